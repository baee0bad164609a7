"""Regularizers and constraints inside a program: against the reference, as derivatives, and bit by bit."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import (
    CATEGORICAL,
    SPARSE,
    SQUARED,
    activation,
    batch_norm,
    data,
    dense,
    layer_norm,
    learned,
    network as plain_network,
    with_optimizer,
)
from optimizer_specs import LION, OPTIMIZERS, comparable_rate
from programs import made, same, state
from test_gradients import check_variables
from test_program import compare_with_reference

from evenflow import _core
from evenflow.reference import Network

Spec = dict[str, Any]


def penalty(l1: float = 0.0, l2: float = 0.0, **more: Any) -> Spec:
    return {"l1": l1, "l2": l2, **more}


def pairs(factor: float, mode: str) -> Spec:
    return penalty(orthogonal=factor, mode=mode)


def activity(l1: float = 0.0, l2: float = 0.0) -> Spec:
    return {"kind": "activity_regularization", "l1": l1, "l2": l2}


def norm(lowest: float, highest: float, rate: float = 1.0) -> Spec:
    return {"kind": "norm", "min_value": lowest, "max_value": highest, "rate": rate}


NON_NEGATIVE = {"kind": "non_negative"}
L2, L1, BOTH, PROXIMAL = penalty(l2=0.03), penalty(l1=0.02), penalty(0.02, 0.03), penalty(l1=0.3, proximal=True)
# Kernels of several panels and blocks, and of one; penalties at the input, after a product, a bias, a normalization and
# an activation, twice in one place, and of a layer that is frozen.
PENALIZED: dict[str, Spec] = {
    "penalties everywhere": plain_network(
        65,
        [
            activity(0.01, 0.02),
            batch_norm() | {"regularizers": {"gamma": L2, "beta": L1}},
            dense(33) | {"regularizers": {"kernel": L2, "bias": L1}},
            activity(l2=0.1),
            activation("elu"),
            activity(l1=0.05),
            activity(l2=0.03),
            dense(100, use_bias=False) | {"regularizers": {"kernel": L1}},
            batch_norm() | {"regularizers": {"gamma": BOTH, "beta": BOTH}},
            activation("tanh"),
            dense(17) | {"regularizers": {"kernel": BOTH, "bias": L2}},
            dense(10),
            activation("softmax"),
        ],
        SPARSE,
        metrics=("sparse_categorical_accuracy",),
    ),
    "pairs of weights": plain_network(
        65,
        [
            dense(33) | {"regularizers": {"kernel": pairs(0.5, "rows"), "bias": L2}},
            activation("elu"),
            dense(100, use_bias=False) | {"regularizers": {"kernel": pairs(0.7, "columns") | {"l2": 0.01}}},
            batch_norm(),
            activation("tanh"),
            dense(17) | {"regularizers": {"kernel": pairs(0.5, "rows")}, "trainable": False},
            dense(1) | {"regularizers": {"kernel": pairs(2.0, "columns")}},
            dense(3) | {"regularizers": {"kernel": pairs(2.0, "rows")}},
        ],
        SQUARED,
    ),
    "an activity at the output": plain_network(
        7,
        [
            dense(31) | {"regularizers": {"kernel": L2}, "trainable": False},
            activation("gelu"),
            dense(5, use_bias=False) | {"regularizers": {"kernel": L2}},
            activity(0.03, 0.02),
        ],
        SQUARED,
    ),
    # Statistics that features share, rows, and parameters of activations: for each unit and for the layer.
    "vectors of other layers": plain_network(
        65,
        [
            batch_norm(shape=[5, 13], axis=[2]) | {"regularizers": {"gamma": BOTH, "beta": L1}},
            dense(33),
            learned("prelu") | {"regularizers": {"alpha": BOTH}},
            layer_norm() | {"regularizers": {"gamma": L2, "beta": BOTH}},
            dense(40),
            learned("learned_swish", shared=True) | {"regularizers": {"beta": L2}},
            dense(17),
            learned("prelu", shared=True) | {"regularizers": {"alpha": L1}},
            layer_norm(center=False) | {"regularizers": {"gamma": BOTH}, "trainable": False},
            dense(4),
        ],
        SQUARED,
    ),
}
CONSTRAINED: dict[str, Spec] = {
    "constraints": plain_network(
        65,
        [
            batch_norm() | {"constraints": {"gamma": norm(1, 1), "beta": NON_NEGATIVE}},
            dense(33) | {"constraints": {"kernel": norm(0, 1), "bias": norm(0.5, 2, 0.3)}},
            activation("elu"),
            dense(100) | {"constraints": {"kernel": norm(1, 1), "bias": NON_NEGATIVE}},
            activation("tanh"),
            dense(17) | {"constraints": {"kernel": NON_NEGATIVE}, "regularizers": {"kernel": BOTH}},
            activation("tanh"),
            dense(10) | {"constraints": {"kernel": norm(0.5, 1, 0.2)}},
        ],
        CATEGORICAL,
        from_logits=True,
    ),
    "constraints of other layers": plain_network(
        65,
        [
            batch_norm(shape=[5, 13], axis=[2]) | {"constraints": {"gamma": norm(0.5, 2), "beta": NON_NEGATIVE}},
            dense(33),
            learned("prelu") | {"constraints": {"alpha": norm(0, 0.5)}, "regularizers": {"alpha": PROXIMAL}},
            layer_norm() | {"constraints": {"gamma": norm(1, 1), "beta": norm(0, 1)}},
            dense(20),
            learned("prelu", shared=True) | {"constraints": {"alpha": NON_NEGATIVE}},
            dense(4),
        ],
        SQUARED,
    ),
    "norms along other axes": plain_network(
        65,
        [
            batch_norm() | {"constraints": {"gamma": norm(0, 2) | {"axis": -1}}},
            dense(33) | {"constraints": {"kernel": norm(0, 0.5) | {"axis": 1}, "bias": norm(0, 1) | {"axis": [0]}}},
            activation("elu"),
            dense(100) | {"constraints": {"kernel": norm(1, 1) | {"axis": [-1]}}, "regularizers": {"kernel": PROXIMAL}},
            activation("tanh"),
            dense(17) | {"constraints": {"kernel": norm(1, 2, 0.5) | {"axis": [0, 1]}}},
            activation("tanh"),
            dense(3) | {"constraints": {"kernel": norm(0, 0.1) | {"axis": 1}}},
        ],
        SQUARED,
    ),
    "proximal": plain_network(
        33,
        [
            dense(40) | {"regularizers": {"kernel": PROXIMAL, "bias": PROXIMAL}},
            activation("elu"),
            dense(20) | {"regularizers": {"kernel": PROXIMAL}, "constraints": {"kernel": norm(0, 0.5)}},
            activation("tanh"),
            dense(3) | {"regularizers": {"kernel": PROXIMAL}, "constraints": {"kernel": NON_NEGATIVE}},
        ],
        SQUARED,
    ),
}
REGULARIZED = PENALIZED | CONSTRAINED
every_network = pytest.mark.parametrize("name", REGULARIZED)
SOME = ["momentum", "adam", "clipvalue", "clipnorm", "global_clipnorm", "adagrad"]


@pytest.mark.parametrize("optimizer", SOME)
@every_network
def test_training_is_the_references(name, optimizer, isa, dtype, rng):
    spec = with_optimizer(REGULARIZED[name], OPTIMIZERS[optimizer])
    compare_with_reference(spec, dtype, rng, rate=comparable_rate(optimizer))


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("name", PENALIZED)
def test_gradients_are_those_of_the_reported_loss(name, fusion, isa, rng):
    spec = PENALIZED[name]
    program = made(spec, dtype="float64", fusion=fusion)
    x, y = data(spec, 13, rng)

    def loss() -> np.ndarray:
        return np.array([program.train(x, y, learning_rate=0.0).loss / len(x)])

    loss()
    check_variables(program, loss, rng)


@pytest.mark.parametrize("name", PENALIZED)
def test_pieces_of_a_step_have_the_penalties(name, isa, dtype, rng):
    spec = PENALIZED[name]
    program, net = made(spec, dtype=dtype.name), Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 13, rng, dtype)
    dy = np.zeros_like(net.forward(x)) if spec["loss"]["kind"] == SPARSE else net.forward(x) - y
    program.forward(x)
    dx, right = program.backward(dy.astype(dtype)), net.backward(dy)
    bound = 100 * np.finfo(dtype).eps
    assert np.abs(dx - right).max() <= bound * np.abs(right).max()
    for variable, gradient in net.gradients.items():
        assert np.abs(program.gradient(variable) - gradient).max() <= bound * max(1, np.abs(gradient).max()), variable
    program.update(0.05)
    net.update(0.05)
    for variable, value in net.variables.items():
        assert np.abs(program.get(variable) - value).max() <= bound * np.abs(value).max(), variable


@pytest.mark.parametrize("batch", [5, 13, 32])
@pytest.mark.parametrize("name", PENALIZED)
def test_evaluation_reports_the_penalties(name, batch, isa, dtype, rng):
    spec = PENALIZED[name]
    program, net = made(spec, dtype=dtype.name), Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 32, rng, dtype)
    net.forward(x, training=False)
    expected = net.loss(y)[0].mean() + net.penalty()
    assert net.penalty() > 0.1
    assert program.evaluate(x, y, batch_size=batch).loss / len(x) == pytest.approx(
        expected, rel=100 * float(np.finfo(dtype).eps)
    )
    part = None
    for step in range(-(-32 // batch)):
        part = program.evaluate(x, y, batch_size=batch, first_step=step, seconds=0.0, after=part)
    assert part.loss == program.evaluate(x, y, batch_size=batch).loss


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "clipnorm", "global_clipnorm"])
@every_network
def test_same_bits_for_any_number_of_threads_and_with_and_without_fusion(name, optimizer, isa, dtype, rng):
    spec = with_optimizer(REGULARIZED[name], OPTIMIZERS[optimizer])
    x, y = data(spec, 77, rng, dtype)
    found = []
    for threads, fusion in ((1, True), (2, True), (3, True), (8, True), (1, False), (3, False)):
        program = made(spec, dtype=dtype.name, threads=threads, fusion=fusion)
        losses = [program.train(x, y, learning_rate=0.01).loss for _ in range(2)]
        found.append(([*losses, program.evaluate(x, y).loss], state(program)))
    for losses, variables in found[1:]:
        assert losses == found[0][0]
        same(variables, found[0][1])


@pytest.mark.parametrize("name", PENALIZED)
def test_training_and_evaluation_weigh_alike(name, isa, dtype, rng):
    # Where nothing depends on the batch, one step with rate 0 sees the network that an evaluation sees: the same bits.
    spec = {**PENALIZED[name]}
    spec["layers"] = [layer for layer in spec["layers"] if layer["kind"] != "batch_normalization"]
    program = made(spec, dtype=dtype.name)
    x, y = data(spec, 32, rng, dtype)
    assert program.train(x, y, learning_rate=0.0).loss == program.evaluate(x, y).loss


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "lion"])
@every_network
def test_padding_stays_zero(name, optimizer, isa, dtype, rng):
    spec = with_optimizer(REGULARIZED[name], OPTIMIZERS.get(optimizer, LION))
    program = made(spec, dtype=dtype.name)
    padding = program.parameters == 0
    x, y = data(spec, 77, rng, dtype)
    program.train(x, y, learning_rate=0.005)
    assert np.any(padding)
    for flat in (program.parameters, program.gradients):
        assert not np.any(flat[padding])
        assert not np.any(np.signbit(flat[padding]))


def sparse_problem(regularizer: Spec | None, isa: str) -> np.ndarray:
    """The kernel of a linear model of which three of forty inputs matter, after training to rest."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 40)).astype(np.float32)
    y = x[:, :3] @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.1 * rng.standard_normal((256, 1)).astype(np.float32)
    layer = dense(1) | ({"regularizers": {"kernel": regularizer}} if regularizer else {})
    program = made(plain_network(40, [layer], SQUARED), batch_size=256)
    for _ in range(500):
        program.train(x, y, learning_rate=0.05)
    return program.get("layer_0/kernel")[:, 0]


def test_proximal_l1_makes_zeros_and_l1_does_not(isa):
    plain, l1, proximal = (sparse_problem(r, isa) for r in (None, penalty(l1=0.1), penalty(l1=0.1, proximal=True)))
    assert np.all(plain != 0)
    assert np.all(l1 != 0)
    np.testing.assert_array_equal(proximal[3:], 0)
    assert np.all(proximal[:3] != 0)
    # Both minimize the same function: a gradient that jumps leaves l1 within a step of the proximal solution.
    np.testing.assert_allclose(l1, proximal, rtol=0, atol=2 * 0.05 * 0.1)
    # The lasso's solution: the gradient of the squares is -l1 * sign(w) where w is not 0, and smaller elsewhere.
    assert np.all(np.abs(proximal[:3]) < np.abs(plain[:3]))


def test_max_norm_leaves_columns_inside_alone(isa, dtype, rng):
    spec = plain_network(50, [dense(40) | {"constraints": {"kernel": norm(0, 2.0)}}], SQUARED)
    free = plain_network(50, [dense(40)], SQUARED)
    x, y = data(spec, 32, rng, dtype)
    programs = [made(s, dtype=dtype.name) for s in (spec, free)]
    kernel = rng.standard_normal((50, 40))
    kernel *= np.where(np.arange(40) % 3 == 0, 3.0, 1.0) / np.linalg.norm(kernel, axis=0)
    for program in programs:
        program.set("layer_0/kernel", kernel.astype(dtype))
        program.train(x, y, learning_rate=0.001)
    limited, unlimited = (program.get("layer_0/kernel") for program in programs)
    inside = np.arange(40) % 3 != 0
    np.testing.assert_array_equal(limited[:, inside], unlimited[:, inside])
    norms = np.linalg.norm(limited[:, ~inside].astype(np.float64), axis=0)
    np.testing.assert_allclose(norms, 2, rtol=1e-6)
    assert np.all(np.linalg.norm(unlimited[:, ~inside], axis=0) > 2.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_columns_propagate(value, isa, dtype, rng):
    w = rng.standard_normal((9, 33)).astype(dtype)
    w[3, 20] = value
    with np.errstate(invalid="ignore"):
        _core.limit_norms(w, max_value=1.0)
    assert np.isnan(w[3, 20])
    assert np.all(np.isfinite(np.delete(w, 20, axis=1)))
    g, p = np.zeros(9, dtype), np.full(9, value, dtype)
    assert not np.isfinite(_core.penalize(p, g, l1=1.0, l2=1.0))
    assert not np.any(np.isfinite(g))
    _core.soft_threshold(p, 0.5)
    np.testing.assert_array_equal(p, value)


def test_zeros_of_a_threshold_are_positive(isa, dtype):
    p = np.array([-0.0, 0.0, 0.3, -0.3, 0.5, -0.5], dtype)
    _core.soft_threshold(p, 0.5)
    assert p.tobytes() == bytes(p.nbytes)


def test_the_plan_tells(isa):
    for spec in REGULARIZED.values():
        program = _core.Program(spec)
        assert program.spec == spec
    text = "\n".join(str(_core.Program(spec)) for spec in REGULARIZED.values())
    for words in (
        "(kernel, l2 0.03)",
        "(bias, l1 0.02)",
        "(gamma, l2 0.03) (beta, l1 0.02)",
        "(kernel, l2 0.01, orthogonal columns 0.7)",
        "activity, l1 0.05, l2 0.03",
    ):
        assert words in text
    for words in (
        "(kernel, norms from 0 to 1)",
        "(beta, not negative)",
        "(kernel, l1 0.3 proximal)",
        "(alpha, l1 0.3 proximal, norms from 0 to 0.5)",
        "(kernel, norms of inputs from 0 to 0.5)",
        "(kernel, norms of all from 1 to 2)",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layer: layer["regularizers"].update(kernl=L2), "there is no variable 'kernl'"),
        (lambda layer: layer["regularizers"].update(kernel=penalty(l2=-1.0)), "regularizers of 'kernel'.*'l2'.*-1.0"),
        (lambda layer: layer["regularizers"].update(kernel=penalty(l1=np.nan)), "'l1'.*nan"),
        (lambda layer: layer["regularizers"].update(kernel=penalty(0.1, 0.1, proximal=True)), "proximal"),
        (lambda layer: layer["regularizers"].update(kernel="l2"), "'regularizers'.*a dict"),
        (lambda layer: layer["regularizers"].update(kernel=pairs(-1, "rows")), "'orthogonal'.*-1"),
        (lambda layer: layer["regularizers"].update(kernel=pairs(1, "row")), "did you mean 'rows'"),
        (lambda layer: layer["regularizers"].update(bias=pairs(1, "rows")), "the kernel of a dense layer.*bias"),
        (lambda layer: layer.update(constraints={"kernel": {"kind": "nrm"}}), "did you mean 'norm'"),
        (lambda layer: layer.update(constraints={"kernel": norm(2, 1)}), "'max_value'.*from 2"),
        (lambda layer: layer.update(constraints={"kernel": norm(0, 1, 1.5)}), "'rate'.*1.5"),
        (lambda layer: layer.update(constraints={"kernel": norm(0, 1) | {"axis": 2}}), "'axis'.*-2 to 1.*2"),
        (lambda layer: layer.update(constraints={"kernel": norm(0, 1) | {"axis": [0, -2]}}), "0, 1 or both.*-2"),
        (lambda layer: layer.update(constraints={"kernel": norm(0, 1) | {"axis": []}}), "'axis'.*none"),
        (lambda layer: layer.update(constraints={"bias": norm(0, 1) | {"axis": 1}}), "0 or -1 for the vector.*1"),
    ],
)
def test_wrong_specs_are_refused(change: Callable[[Any], Any], words):
    spec = copy.deepcopy(PENALIZED["penalties everywhere"])
    change(spec["layers"][2])
    with pytest.raises((ValueError, TypeError), match=words):
        _core.Program(spec)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: _core.penalize(p, l1=-0.1), "penalize: argument 'l1'"),
        (lambda p: _core.penalize(p, p, l1=0.1), "memory shared with 'p'"),
        (lambda p: _core.penalize(p, np.zeros(3), l1=0.1), "'g'.*shape"),
        (lambda p: _core.penalize_pairs(p, factor=1.0), "'w'.*dimension"),
        (lambda p: _core.penalize_pairs(p.reshape(2, 2), factor=-1.0), "'factor'.*-1"),
        (lambda p: _core.penalize_pairs(p.reshape(2, 2), factor=1.0, mode="row"), "did you mean 'rows'"),
        (lambda p: _core.soft_threshold(p, -1.0), "'threshold'.*-1"),
        (lambda p: _core.keep_nonnegative([1.0]), "'p'.*a NumPy array"),
        (lambda p: _core.limit_norms(p, min_value=2.0, max_value=1.0), "'max_value'.*from 2"),
        (lambda p: _core.limit_norms(p.reshape(2, 2, 1), max_value=1.0), "'w'.*a kernel"),
        (lambda p: _core.limit_norms(p, max_value=1.0, axis=1), "'axis'.*0, the only axis of a vector.*1"),
        (lambda p: _core.limit_norms(p.reshape(2, 2), max_value=1.0, axis=[1, -1]), "'axis'.*0, 1, or both"),
        (lambda p: _core.limit_norms(p.reshape(2, 2), max_value=1.0, axis="0"), "'axis'.*'0'"),
    ],
)
def test_wrong_calls_are_refused(call: Callable[[np.ndarray], Any], words):
    p = np.array([1.0, -2.0, 3.0, -4.0])
    kept = p.copy()
    with pytest.raises((ValueError, TypeError), match=words):
        call(p)
    np.testing.assert_array_equal(p, kept)
