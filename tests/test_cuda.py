"""Programs on a GPU against those of the processor: the same plan, formulas and random numbers, in another order."""

from typing import Any

import numpy as np
import pytest
from entries import discretization, embedding, encoding, rescaling, shared_noise, transposed
from loss_cases import KINDS as LOSSES, arguments as loss_arguments, outputs_per_target
from metric_cases import KINDS as METRICS, arguments as metric_arguments, fits
from networks import DEEP, NETWORKS, SPARSE, SQUARED, activation, data, dense, network, noise, with_optimizer
from optimizer_specs import ADAM, LION, OPTIMIZERS, SGD, comparable_rate
from programs import initialize, same, state

from evenflow import _core

cuda = pytest.importorskip("evenflow._cuda", reason="built without EVENFLOW_CUDA")
pytestmark = pytest.mark.skipif(cuda.missing() is not None, reason=f"no program runs on a GPU here: {cuda.missing()}")

LIMIT = {"kind": "norm", "min_value": 0.0, "max_value": 1.0, "rate": 1.0}
REFUSED = [
    "rescaling",
    "statistics of columns",
    "statistics of more than a panel",
    "frozen statistics of columns",
    "statistics given",
    "noise beside other layers",
    "learned and shared",
    "branches with batch norm: residual, gated, side by side",
    "wide and deep with batch norm",
    "two rows of maps with batch norm",
    "layers called twice",
    "shared statistics called twice",
    "tied",
    "tied, frozen and in branches",
    "softmax and its kin within",
    "sparsemax within",
    "numbers that elements share",
    "sparsemax",
]
RUN = [name for name in NETWORKS if name not in REFUSED]
of_both = pytest.mark.parametrize("batch", [1, 12, 64, 77, 256])


def made(kind: Any, spec: Any, **options: Any) -> Any:
    """A program of this executor whose variables depend on the spec only."""
    program = kind.Program(spec, **{"batch_size": 32, **options})
    shapes = {name: shape for name, shape, _ in program.variables()}
    for name, value in initialize(shapes, np.random.default_rng(0)).items():
        program.set(name, value.astype(program.dtype))
    return program


def pair(spec: Any, **options: Any) -> tuple[Any, Any]:
    return made(_core, spec, **options), made(cuda, spec, **options)


def close(a: Any, b: Any, *, tolerance: float) -> None:
    """All variables and slots, to parts of the largest number of each."""
    a, b = state(a), state(b)
    assert a.keys() == b.keys()
    for name in a:
        scale = max(abs(a[name]).max(initial=0), 1e-3)
        np.testing.assert_allclose(b[name], a[name], rtol=0, atol=tolerance * scale, err_msg=name)


def agree(a: Any, b: Any, tolerance: float) -> None:
    """The sums of two runs."""
    np.testing.assert_allclose(b.loss, a.loss, rtol=tolerance)
    np.testing.assert_allclose(b.losses, a.losses, rtol=tolerance)
    assert (b.rows, b.steps, b.next_step) == (a.rows, a.steps, a.next_step)
    np.testing.assert_allclose(b.weights, a.weights, rtol=1e-12)
    for found, expected in zip(b.metrics, a.metrics, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# -------------------------------------------------------------------------------------------------------------- steps


@pytest.mark.parametrize("name", RUN)
@of_both
def test_steps_of_every_network(name, batch, rng):
    # In float64 nothing but a mistake can be seen: an order of sums moves the sixteenth digit.
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["adam"])
    x, y = data(spec, 3 * batch + batch // 2, rng)
    cpu, gpu = pair(spec, dtype="float64", batch_size=batch)
    order = rng.permutation(len(x))
    for _ in range(3):
        runs = [program.train(x, y, learning_rate=0.01, order=order) for program in (cpu, gpu)]
        agree(*runs, tolerance=1e-8)
    close(cpu, gpu, tolerance=1e-7)
    agree(cpu.evaluate(x, y), gpu.evaluate(x, y), tolerance=1e-7)
    np.testing.assert_allclose(gpu.predict(x), cpu.predict(x), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["batch norm before", "frozen", "dropout", "scaling"])
@pytest.mark.parametrize("batch", [32, 200])
def test_fusion_changes_no_bit(name, batch, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["adam"])
    x, y = data(spec, 3 * batch, rng, dtype)
    found = []
    for fusion in (True, False):
        program = made(cuda, spec, dtype=dtype.name, batch_size=batch, fusion=fusion)
        program.train(x, y, learning_rate=0.01)
        found.append(state(program))
    same(*found)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name):
    with pytest.raises(ValueError, match=r"device 'cuda': expected a chain .*, received .*, which only the CPU runs"):
        cuda.Program(NETWORKS[name])


@pytest.mark.parametrize(
    ("layers", "metrics", "received"),
    [
        ([dense(3), rescaling(2.0), dense(3)], [], "the rescaling 'layer_1' behind other layers"),
        ([dense(16), transposed(0, 16)], [], "a kernel in both directions, of 'layer_1'"),
        ([embedding(9, 2)], [], "the embedding 'layer_0'"),
        ([encoding(9, "count")], [], "the encoding of categories 'layer_0'"),
        ([discretization(0.0)], [], "the discretization 'layer_0'"),
        ([dense(3), activation("log_softmax"), dense(3)], [], "log_softmax below other layers, in 'layer_1'"),
        ([dense(3), shared_noise("dropout", [3], []), dense(3)], [], "random numbers that several elements share, .*"),
        (
            [dense(3) | {"constraints": {"kernel": LIMIT | {"axis": 1}}}],
            [],
            "limits of norms along other axes than 0, .*",
        ),
        ([dense(3) | {"regularizers": {"kernel": {"orthogonal": 1.0}}}], [], "an orthogonal regularizer, of .*"),
        ([dense(3)], ["predictions"], "a metric that is a Python function"),
    ],
)
def test_what_no_chain_has_is_named(layers, metrics, received):
    spec = network(16, layers, SQUARED, metrics=tuple({"kind": kind} for kind in metrics))
    with pytest.raises(ValueError, match=f", received {received}, which only the CPU runs"):
        cuda.Program(spec)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "lion"])
def test_every_optimizer(optimizer, rng):
    plain = network(16, [dense(33), activation("tanh"), dense(3)], SQUARED)  # no gradient is rounding alone
    spec = with_optimizer(DEEP, OPTIMIZERS[optimizer]) if optimizer != "lion" else with_optimizer(plain, LION)
    x, y = data(spec, 77, rng)
    cpu, gpu = pair(spec, dtype="float64")
    for _ in range(2):
        for program in (cpu, gpu):
            program.train(x, y, learning_rate=comparable_rate(optimizer))
    assert gpu.iterations == cpu.iterations
    assert gpu.momentum_product == cpu.momentum_product
    close(cpu, gpu, tolerance=1e-7)


def test_rates_and_momenta_of_steps(rng):
    spec = with_optimizer(DEEP, {**ADAM, "epsilon": 1e-3})
    x, y = data(spec, 77, rng)
    rates, momenta = np.linspace(0.01, 0.001, 3), np.linspace(0.95, 0.85, 3)
    cpu, gpu = pair(spec, dtype="float64")
    for program in (cpu, gpu):
        program.train(x, y, learning_rate=rates, momentum=momenta)
    close(cpu, gpu, tolerance=1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {"weight_decay": 0.1, "undecayed": ["layer_1/kernel"]},
        {"ema_momentum": 0.9, "ema_overwrite_frequency": 2},
        {"learning_rate_factors": {"layer_1/kernel": 0.1, "layer_1/bias": 0.0}},
        {"weight_decay": 0.1, "coupled": True},
    ],
)
def test_what_stands_around_a_rule(more, rng):
    spec = with_optimizer(DEEP, {**ADAM, "epsilon": 1e-3, **more})
    x, y = data(spec, 77, rng)
    cpu, gpu = pair(spec, dtype="float64")
    for program in (cpu, gpu):
        program.train(x, y, learning_rate=0.01)
    close(cpu, gpu, tolerance=1e-9)


def test_regularizers_and_constraints(rng):
    l1_l2 = {"l1": 0.01, "l2": 0.02}
    layers = [
        {**dense(33), "regularizers": {"kernel": l1_l2, "bias": l1_l2}},
        activation("tanh"),
        {"kind": "activity_regularization", "l1": 0.01, "l2": 0.03},
        {**dense(17), "constraints": {"kernel": {"kind": "norm", "min_value": 0.0, "max_value": 0.5, "rate": 1.0}}},
        activation("elu"),
        {**dense(9), "constraints": {"kernel": {"kind": "non_negative"}}},
        {
            **dense(20),
            "regularizers": {"kernel": {"l1": 0.05, "proximal": True}},
            "constraints": {"bias": {"kind": "norm", "min_value": 1.0, "max_value": 2.0, "rate": 0.5}},
        },
        dense(3),
    ]
    spec = with_optimizer(network(16, layers, SQUARED), OPTIMIZERS["global_clipnorm"])
    x, y = data(spec, 77, rng)
    cpu, gpu = pair(spec, dtype="float64")
    for _ in range(2):
        agree(*(program.train(x, y, learning_rate=0.05) for program in (cpu, gpu)), tolerance=1e-9)
    close(cpu, gpu, tolerance=1e-9)
    agree(cpu.evaluate(x, y), gpu.evaluate(x, y), tolerance=1e-9)


@pytest.mark.parametrize("name", sorted(_core.activations()))
def test_every_activation(name, rng):
    spec = network(9, [dense(40), activation(name), dense(20), activation(name), dense(3)], SQUARED)
    x, y = data(spec, 64, rng)
    cpu, gpu = pair(spec, dtype="float64", batch_size=64)
    agree(*(program.train(x, y, learning_rate=0.01) for program in (cpu, gpu)), tolerance=1e-12)
    close(cpu, gpu, tolerance=1e-12)


@pytest.mark.parametrize(("kind", "settings"), LOSSES)
@pytest.mark.parametrize("columns", [1, 7, 100])
def test_every_loss(kind, settings, columns, rng):
    if columns == 1 and ("categorical" in kind or kind == "cosine_similarity"):
        pytest.skip("a single class")
    case = type("Case", (), {"settings": {"loss": kind, **settings}, "shape": (33, columns)})
    (_, p, t), rest = loss_arguments(case, rng, np.dtype(np.float64))
    # The predictions are the inputs of a network that scales them by about 1.
    layers = [{"kind": "scaling", "trainable": True, "name": "s"}]
    spec = {"inputs": p.shape[1], "layers": layers, "loss": {"kind": kind, **rest}, "metrics": [], "optimizer": SGD}
    weights = rng.uniform(0, 2, (33, 1))
    cpu, gpu = (k.Program(spec, dtype="float64", batch_size=33) for k in (_core, cuda))
    assert p.shape[1] == columns * outputs_per_target(kind, settings)
    for given in ({}, {"sample_weight": weights}):
        agree(*(program.train(p, t, learning_rate=0.001, **given) for program in (cpu, gpu)), tolerance=1e-10)
    close(cpu, gpu, tolerance=1e-9)


@pytest.mark.parametrize("metric", [m for m in METRICS if m["kind"] != "predictions"], ids=str)
@pytest.mark.parametrize("units", [6, 66])
def test_every_metric(metric, units, rng):
    if not fits(metric, units):
        pytest.skip("not for so many outputs")
    _, p, t = metric_arguments(metric, 77, units, rng, np.dtype(np.float64))
    blocks = metric.get("blocks", 1)
    loss: dict[str, Any] = {"kind": SPARSE if t.ndim == 1 else SQUARED}
    if blocks > 1:
        loss = {"kind": "quantile", "quantiles": [0.5] * blocks}
    layers = [{"kind": "activation", "activation": "linear", "name": "a"}]
    spec = {
        "inputs": units,
        "layers": layers,
        "loss": loss,
        "metrics": [{**metric, "weighted": True}],
        "optimizer": SGD,
    }
    weights = rng.integers(0, 4, (77, 1)).astype(np.float64)
    cpu, gpu = (k.Program(spec, dtype="float64", batch_size=32) for k in (_core, cuda))
    for given in ({}, {"sample_weight": weights}):
        runs = [program.evaluate(p, t, **given) for program in (cpu, gpu)]
        for a, b in zip(runs[0].metrics, runs[1].metrics, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-11, atol=1e-11)


# --------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("element", [np.float32, np.float64, np.uint8, np.int32, np.int64])
def test_elements_and_strides(element, rng):
    spec = with_optimizer(network(9, [dense(33), activation("elu"), dense(4)], SPARSE, from_logits=True), SGD)
    x = rng.integers(0, 9, (100, 30)).astype(element)
    y = rng.integers(0, 4, 50)
    for given in (x[::2, 3:12], x[:50, 1:28:3], np.asfortranarray(x)[50:, :9]):
        cpu, gpu = pair(spec, dtype="float64")
        agree(*(program.train(given, y, learning_rate=0.01) for program in (cpu, gpu)), tolerance=1e-11)
        close(cpu, gpu, tolerance=1e-11)


@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_with_sample_weight"])
def test_weights_of_rows_and_classes(reduction, rng):
    spec = network(9, [dense(33), activation("elu"), dense(4)], SPARSE, from_logits=True, metrics=("class_sums",))
    spec["loss"] |= {"reduction": reduction, "ignore_class": 2, "weight": 0.5}
    x, y = rng.standard_normal((77, 9)), rng.integers(0, 4, 77)
    weights, classes = rng.uniform(0, 2, (77, 1)), np.array([0.5, 2.0, 1.0])
    cpu, gpu = pair(spec, dtype="float64")
    for given in ({}, {"sample_weight": weights}, {"class_weight": classes}):
        agree(*(program.train(x, y, learning_rate=0.001, **given) for program in (cpu, gpu)), tolerance=1e-10)
    close(cpu, gpu, tolerance=1e-10)


def test_data_that_changed_are_copied_again(rng):
    spec = network(9, [dense(4)], SQUARED)
    x, y = data(spec, 32, rng)
    cpu, gpu = pair(spec, dtype="float64")
    for _ in range(2):
        agree(*(program.evaluate(x, y) for program in (cpu, gpu)), tolerance=1e-12)
        x += 1
        gpu.forget_data()


def test_an_epoch_in_parts_is_the_epoch(rng):
    spec = with_optimizer(DEEP, OPTIMIZERS["nadam"])
    x, y = data(spec, 333, rng)
    whole, parts = (made(cuda, spec, dtype="float64") for _ in range(2))
    order = rng.permutation(len(x))
    expected = whole.train(x, y, learning_rate=0.01, order=order)
    progress = None
    while progress is None or progress.rows < len(x):
        first = progress.next_step if progress else 0
        progress = parts.train(x, y, learning_rate=0.01, order=order, first_step=first, max_steps=2, after=progress)
    agree(expected, progress, tolerance=1e-13)
    same(state(whole), state(parts))


# ------------------------------------------------------------------------------------------------ curves and their bits


@pytest.mark.parametrize("batch", [32, 200])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_curves_of_100_steps(batch, optimizer, rng):
    # Against float64, float32 on the GPU is off by about as much as on the processor.
    spec = with_optimizer(DEEP, OPTIMIZERS[optimizer])
    x, y = data(spec, 4 * batch, rng, np.float32)
    curves = []
    for kind, dtype in ((_core, "float64"), (_core, "float32"), (cuda, "float32"), (cuda, "float64")):
        program = made(kind, spec, dtype=dtype, batch_size=batch)
        curves.append([])
        for _ in range(25):
            for step in range(4):
                found = program.train(x, y, learning_rate=0.01, first_step=step, max_steps=1)
                curves[-1].append(found.loss / found.rows)
    exact, cpu, gpu, doubles = map(np.array, curves)
    np.testing.assert_allclose(doubles, exact, rtol=1e-6)
    assert abs(gpu - exact).max() <= 4 * abs(cpu - exact).max() + 1e-6 * exact.max()
    assert exact[-1] < exact[0]


@pytest.mark.parametrize("name", ["dropout", "noise of every kind beside batch norm", "batch norm before"])
@pytest.mark.parametrize("batch", [32, 200])
def test_runs_have_the_same_bits(name, batch, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["global_clipnorm"])
    x, y = data(spec, 5 * batch + 3, rng, dtype)
    found = []
    for _ in range(3):
        program = made(cuda, spec, dtype=dtype.name, batch_size=batch)
        run = program.train(x, y, learning_rate=0.01)
        found.append((run.loss, [m.tolist() for m in run.metrics], state(program), program.predict(x)))
    for other in found[1:]:
        assert other[:2] == found[0][:2]
        same(other[2], found[0][2])
        np.testing.assert_array_equal(other[3], found[0][3])


def test_dropout_drops_what_it_drops_on_the_processor(rng):
    layers = [noise("dropout", rate=0.5), activation("linear"), {"kind": "scaling", "trainable": True}]
    spec = network(70, layers, SQUARED)
    x = np.ones((50, 70))
    cpu, gpu = pair(spec, dtype="float64", batch_size=50)
    for program in (cpu, gpu):
        program.train(x, np.zeros((50, 70)), learning_rate=1.0)
    close(cpu, gpu, tolerance=1e-13)


# ------------------------------------------------------------------------------------------------------------- misuse


def test_variables_and_slots_go_there_and_back(dtype, rng):
    program = cuda.Program(with_optimizer(DEEP, ADAM), dtype=dtype.name)
    values = initialize({name: shape for name, shape, _ in program.variables()}, rng, dtype)
    for name, value in values.items():
        program.set(name, value)
    for name, value in values.items():
        np.testing.assert_array_equal(program.get(name), value, strict=True)
    program.set_slot("m", "layer_1/kernel", values["layer_1/kernel"])
    np.testing.assert_array_equal(program.get_slot("m", "layer_1/kernel"), values["layer_1/kernel"])
    program.reset_slots()
    assert not program.get_slot("m", "layer_1/kernel").any()


@pytest.mark.parametrize("method", ["forward", "backward", "update", "predict_mc", "penalty", "predictions"])
def test_what_programs_of_the_processor_alone_do(method):
    program = cuda.Program(DEEP)
    with pytest.raises(ValueError, match=rf"{method}: argument .self.: expected a program on the CPU"):
        getattr(program, method)(1)


def test_health_and_norms_are_refused(rng):
    program = made(cuda, DEEP)
    x, y = data(DEEP, 32, rng, np.float32)
    before, trained = state(program), sum(trainable for _, _, trainable in program.variables())
    with pytest.raises(ValueError, match="gradient_norms: expected None on the device 'cuda'"):
        program.train(x, y, learning_rate=0.1, gradient_norms=np.zeros((1, trained)))
    same(before, state(program))


def test_more_than_the_memory_of_the_gpu_is_refused():
    spec = network(1 << 20, [dense(1 << 20), activation("relu"), dense(1)], SQUARED)
    with pytest.raises(MemoryError, match=r"expected room on the GPU for .* GB"):
        cuda.Program(spec)
    cuda.Program(DEEP)
