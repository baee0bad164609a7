"""Every backward pass in float64 against central differences of its own forward pass."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import ACTIVATION_CASES, Case
from loss_cases import KINDS
from networks import BINARY, CATEGORICAL, NETWORKS, SPARSE, data, outputs
from programs import initialize

from evenflow import _core, reference

STEP = 1e-6
# (f(x + h) - f(x - h)) / 2h is off by h^2 f''' / 6 and by eps |f| / h; the first is far below the second.
ROUNDING = 4 * np.finfo(np.float64).eps / STEP
SHAPES = [(1, 1, 1), (2, 3, 5), (12, 17, 7), (13, 5, 33)]


def entries(values: np.ndarray, rng: np.random.Generator, count: int = 8) -> Iterator[tuple[int, ...]]:
    """Some positions in an array, the last one among them."""
    yield tuple(n - 1 for n in values.shape)
    for flat in rng.choice(values.size, min(count, values.size), replace=False):
        yield tuple(map(int, np.unravel_index(flat, values.shape)))


def check(
    f: Callable[[], np.ndarray], values: np.ndarray, gradient: np.ndarray, rng: np.random.Generator, name: str = ""
) -> None:
    """That `gradient` is the derivative in `values` of the sum of what f returns, which is summed more exactly."""
    assert gradient.shape == values.shape
    for at in entries(values, rng):
        kept = values[at]
        values[at] = kept + STEP
        above, size = f().astype(np.longdouble), kept + STEP
        values[at] = kept - STEP
        below, width = f().astype(np.longdouble), size - values[at]
        values[at] = kept
        slope = float((above - below).sum() / width)
        noise = ROUNDING * float(np.sqrt((above**2).sum()))
        assert gradient[at] == pytest.approx(slope, rel=1e-6, abs=noise), f"{name}{list(at)}"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense(shape, isa, rng):
    (dy, x, w), _ = Case("dense_backward", shape).arguments(rng, np.float64)
    b = rng.standard_normal(shape[2])
    dx, dw, db = _core.dense_backward(dy, x, w)
    for name, values, gradient in (("x", x, dx), ("w", w, dw), ("b", b, db)):
        check(lambda: dy * _core.dense_forward(x, w, b), values, gradient, rng, name)


@pytest.mark.parametrize("shape", [(2, 1), (3, 16), (12, 33), (77, 5)], ids=str)
def test_batch_norm(shape, isa, rng):
    x, dy = 2 + 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    gamma, beta = rng.uniform(0.5, 1.5, shape[1]), rng.standard_normal(shape[1])
    _, mean, variance = _core.batch_norm_forward(x, gamma, beta, epsilon=1e-3)
    dx, dgamma, dbeta = _core.batch_norm_backward(dy, x, gamma, mean, variance, epsilon=1e-3)
    for name, values, gradient in (("x", x, dx), ("gamma", gamma, dgamma), ("beta", beta, dbeta)):
        check(lambda: dy * _core.batch_norm_forward(x, gamma, beta, epsilon=1e-3)[0], values, gradient, rng, name)


@pytest.mark.parametrize("shape", [(1, 2), (3, 16), (12, 33), (5, 77)], ids=str)
@pytest.mark.parametrize("kernel", ["layer_norm", "rms_norm"])
def test_row_normalization(kernel, shape, isa, rng):
    x, dy = 2 + 3 * rng.standard_normal(shape), rng.standard_normal(shape)
    names, keywords = ("gamma", "beta") if kernel == "layer_norm" else ("scale",), {"epsilon": 1e-3}
    vectors = [rng.uniform(0.5, 1.5, shape[1]) for _ in names]
    forward, backward = getattr(_core, f"{kernel}_forward"), getattr(_core, f"{kernel}_backward")
    gradients = backward(dy, x, vectors[0], **keywords)
    for name, values, gradient in zip(("x", *names), (x, *vectors), gradients, strict=True):
        check(lambda: dy * forward(x, *vectors, **keywords), values, gradient, rng, name)


@pytest.mark.parametrize("case", ACTIVATION_CASES, ids=lambda c: "-".join([c.name, *map(str, c.parameters.values())]))
def test_activation(case, isa, rng):
    x, dy = 2 * rng.standard_normal((13, 33)), rng.standard_normal((13, 33))
    x[np.abs(x) < 10 * STEP] = 0.5  # away from kinks
    y = _core.activation_forward(case.name, x, **case.parameters)
    dx = _core.activation_backward(case.name, dy, x, y, **case.parameters)
    check(lambda: dy * _core.activation_forward(case.name, x, **case.parameters), x, dx, rng)


@pytest.mark.parametrize(("loss", "settings"), KINDS, ids=str)
@pytest.mark.parametrize("shape", [(1, 2), (12, 10), (13, 33)], ids=str)
def test_loss(shape, loss, settings, isa, rng):
    case = Case("loss_forward_backward", shape, {"loss": loss, **settings})
    (_, prediction, target), _ = case.arguments(rng, np.float64)
    if "epsilon" in settings:  # below, the slope is that at the limit
        prediction = np.maximum(prediction, np.log(settings["epsilon"]) + 10 * STEP)
    if ("crossentropy" in loss and "from_logits" not in settings) or loss == "kl_divergence":
        prediction = np.clip(prediction, 1e-3, 1 - 1e-3)  # where the step is small against p
    _, gradient = _core.loss_forward_backward(loss, prediction, target, **settings)

    def rows() -> Any:
        return _core.loss_forward_backward(loss, prediction, target, **settings)[0] / shape[0]

    check(rows, prediction, gradient, rng)


def made(spec: Any, rng: np.random.Generator, **options: Any) -> Any:
    program = _core.Program(spec, dtype="float64", batch_size=16, **options)
    shapes = {name: shape for name, shape, _ in program.variables()}
    for name, value in initialize(shapes, rng).items():
        program.set(name, value)
    return program


def away_from_kinks(spec: Any, program: Any, x: np.ndarray) -> bool:
    """That no input of a kinked activation changes its sign within a step."""
    net = reference.Network(spec)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    net.forward(x)
    kinked = [
        i
        for i, layer in enumerate(spec["layers"])
        if layer.get("activation") in ("relu", "leaky_relu", "prelu", "elu", "selu") or layer.get("noise") == "rrelu"
    ]
    return all(np.abs(net.inputs[i]).min() > 100 * STEP for i in kinked)


def check_variables(program: Any, loss: Callable[[], np.ndarray], rng: np.random.Generator) -> None:
    """The program's gradients of its trainable variables against differences of the loss."""
    gradients = {name: program.gradient(name) for name, _, trainable in program.variables() if trainable}
    assert gradients or all(not trainable for _, _, trainable in program.variables())
    for name, gradient in gradients.items():
        values = program.get(name)

        def shifted(name: str = name, values: np.ndarray = values) -> np.ndarray:
            program.set(name, values)
            return loss()

        check(shifted, values, gradient, rng, name)
        program.set(name, values)


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("rows", [5, 13])  # with fewer, a small variance divides the rounding that differences show
@pytest.mark.parametrize("name", NETWORKS)
def test_program(name, rows, fusion, isa, rng):
    spec = NETWORKS[name]
    program = made(spec, rng, fusion=fusion)
    x, _ = data(spec, rows, rng)
    while not away_from_kinks(spec, program, x):
        x, _ = data(spec, rows, rng)
    dy = rng.standard_normal((rows, outputs(spec)))
    program.forward(x, training=True)
    dx = program.backward(dy)
    check(lambda: dy * program.forward(x, training=True), x, dx, rng, "input")
    program.forward(x, training=True)
    program.backward(dy)
    check_variables(program, lambda: dy * program.forward(x, training=True), rng)


def plain(name):
    """The layers of a network that do the same in training and inference."""
    return [layer for layer in NETWORKS[name]["layers"] if layer["kind"] not in ("batch_normalization", "noise")]


def stands_alone(name):
    """Whether none of the plain layers reads another kind."""
    layers = NETWORKS[name]["layers"]
    return "batch norm" not in name and (plain(name) == layers or not any("inputs" in layer for layer in layers))


@pytest.mark.parametrize("name", [name for name in NETWORKS if stands_alone(name)])
def test_losses_of_programs(name, isa, rng):
    # `train` with rate 0 fills the gradients of the loss and changes no parameter. Only where nothing depends on the
    # batch and nothing is random does `evaluate` give that loss.
    spec = {**NETWORKS[name], "layers": plain(name)}
    program = made(spec, rng)
    x, y = data(spec, 13, rng)
    while not away_from_kinks(spec, program, x):
        x, y = data(spec, 13, rng)
    program.train(x, y, learning_rate=0.0)
    check_variables(program, lambda: np.array([program.evaluate(x, y).loss / len(x)]), rng)


@pytest.mark.parametrize(("loss", "last"), [(SPARSE, "softmax"), (CATEGORICAL, "softmax"), (BINARY, "sigmoid")])
def test_fused_and_separate_losses_have_one_gradient(loss, last, isa, rng):
    from_logits = {**NETWORKS["logits"], "loss": {"kind": loss, "from_logits": True}, "metrics": []}
    layer = {"kind": "activation", "name": "last", "activation": last, "parameters": {}}
    from_probabilities = {
        **from_logits,
        "layers": [*from_logits["layers"], layer],
        "loss": {"kind": loss, "from_logits": False},
    }
    programs = [made(spec, np.random.default_rng(1)) for spec in (from_logits, from_probabilities)]
    x, y = data(from_logits, 13, rng)
    for program in programs:
        program.train(x, y, learning_rate=0.0)
    np.testing.assert_array_equal(programs[0].gradients, programs[1].gradients)
    assert np.abs(programs[0].gradients).max() > 1e-3
