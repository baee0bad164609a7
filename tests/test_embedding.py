"""Embeddings, encodings and bins inside a program: against the reference, as derivatives, and bit by bit."""

from typing import Any

import numpy as np
import pytest
from entries import activation, again, batch_norm, dense, discretization, embedding, encoding, noise, reads, rescaling
from networks import SQUARED, network, with_optimizer
from optimizer_specs import ADAM, OPTIMIZERS, SGD, comparable_rate
from programs import made, same, state
from test_gradients import check_variables

from evenflow import _core
from evenflow.reference import Network

Spec = dict[str, Any]

# The categories of each input's columns; None: numbers. Tables of one block and of many, rows of less than a vector, of
# several panels and of parts of two blocks; ids of one column and of several; a layer that is called twice.
ONE: Spec = network(3, [embedding(40, 5), activation("tanh"), dense(2)], SQUARED)
WIDE_AND_DEEP: Spec = network(
    [3, 1, 4],
    [
        {"kind": "input"},
        rescaling(0.5, 0.1),
        {"kind": "input", "input": 1},
        embedding(700, 33),
        noise("dropout", rate=0.2),
        {"kind": "input", "input": 2},
        embedding(1000, 3),
        batch_norm(),
        reads({"kind": "concatenate"}, 1, 4, 7),
        dense(17),
        activation("elu"),
        dense(2),
    ],
    SQUARED,
)
SHARED: Spec = network(
    [2, 2],
    [
        {"kind": "input"},
        embedding(150, 20),
        {"kind": "input", "input": 1},
        again(1, embedding(150, 20), 2),
        reads({"kind": "multiply"}, 1, 3),
        dense(2),
    ],
    SQUARED,
)
BINNED: Spec = network(
    [5, 3],
    [
        {"kind": "input"},
        discretization(-1.0, -0.2, 0.5, 1.25),
        reads(embedding(5, 7), 1),
        reads(encoding(6, "count"), 1),
        {"kind": "input", "input": 1},
        reads(encoding(9, "one_hot"), 4),
        reads(encoding(9, "multi_hot"), 4),
        reads(embedding(9, 4, trainable=False), 4),
        reads({"kind": "concatenate"}, 0, 2, 3, 5, 6, 7),
        dense(33),
        activation("elu"),
        dense(2),
    ],
    SQUARED,
)
CATEGORIES: dict[str, tuple[Spec, list[int | None]]] = {
    "one": (ONE, [40]),
    "wide and deep": (WIDE_AND_DEEP, [None, 700, 1000]),
    "shared": (SHARED, [150, 150]),
    "binned": (BINNED, [None, 9]),
}
L2 = {"l1": 0.0, "l2": 0.03}
NORMS = {"kind": "norm", "min_value": 0.0, "max_value": 0.7, "rate": 1.0}


def changed(spec: Spec, **more: Any) -> Spec:
    """With regularizers or constraints of the embeddings."""
    own = [layer["kind"] == "embedding" and "shares" not in layer for layer in spec["layers"]]
    return {**spec, "layers": [layer | (more if o else {}) for layer, o in zip(spec["layers"], own, strict=True)]}


def data(spec: Spec, categories: list[int | None], rows: int, rng: Any, dtype: Any) -> tuple[Any, Any]:
    features = np.atleast_1d(spec["inputs"])
    x = [
        rng.standard_normal((rows, n)).astype(dtype) if c is None else rng.integers(0, c, (rows, n))
        for n, c in zip(features, categories, strict=True)
    ]
    return x[0] if isinstance(spec["inputs"], int) else x, rng.standard_normal((rows, 2)).astype(dtype)


def part(x: Any, rows: Any) -> Any:
    return [one[rows] for one in x] if isinstance(x, list) else x[rows]


def compare(spec: Spec, categories: list[int | None], rng: Any, dtype: Any, rate: float, **options: Any) -> None:
    """Three steps, predictions, and the way back to the inputs, beside the reference's."""
    bound = 300 * float(np.finfo(dtype).eps)
    program = made(spec, dtype=dtype.name, batch_size=13, **options)
    net = Network(spec)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    x, y = data(spec, categories, 37, rng, dtype)
    order = rng.permutation(37)
    progress = program.train(x, y, learning_rate=rate, order=order)
    loss = sum(net.train_step(part(x, at), y[at], rate)[0] for at in np.split(order, [13, 26]))
    assert progress.loss == pytest.approx(loss, rel=bound)
    for name, right in net.variables.items():
        assert np.abs(program.get(name) - right).max() <= bound * np.abs(right).max(), name
        right[...] = program.get(name)
    for slot, values in net.slots.items():
        for name, right in values.items():
            assert np.abs(program.get_slot(slot, name) - right).max() <= bound * max(np.abs(right).max(), 1e-3), slot
    right = net.forward(x, training=False)
    assert np.abs(program.predict(x) - right).max() <= bound * max(1, np.abs(right).max())
    first = part(x, slice(13))
    program.forward(first, training=True, draw=3)
    net.iterations = 3
    net.forward(first)
    got, expected = program.backward(y[:13]), net.backward(y[:13])
    for mine, theirs in zip(*([a] if isinstance(a, np.ndarray) else a for a in (got, expected)), strict=True):
        assert np.abs(mine - theirs).max() <= bound * np.abs(theirs).max()
    for name, right in net.gradients.items():
        assert np.abs(program.gradient(name) - right).max() <= bound * np.abs(right).max(), name


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("name", CATEGORIES)
def test_networks_are_the_references(name, fusion, isa, dtype, rng):
    spec, categories = CATEGORIES[name]
    compare(with_optimizer(spec, {**ADAM, "epsilon": 1e-3}), categories, rng, dtype, 0.01, threads=2, fusion=fusion)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_the_references(optimizer, isa, rng):
    spec = with_optimizer(WIDE_AND_DEEP, OPTIMIZERS[optimizer])
    compare(spec, CATEGORIES["wide and deep"][1], rng, np.dtype("float64"), comparable_rate(optimizer), threads=3)


SETTINGS: dict[str, tuple[Spec, Spec]] = {
    "l2": ({"regularizers": {"embeddings": L2}}, SGD),
    "proximal": ({"regularizers": {"embeddings": {"l1": 0.3, "l2": 0.0, "proximal": True}}}, SGD),
    "norms": ({"constraints": {"embeddings": NORMS}}, SGD),
    "norms of rows": ({"constraints": {"embeddings": {**NORMS, "axis": 1}}}, SGD),
    "norm of all": ({"constraints": {"embeddings": {**NORMS, "axis": [0, -1]}}}, {**SGD, "momentum": 0.9}),
    "not negative": ({"constraints": {"embeddings": {"kind": "non_negative"}}}, SGD),
    "everything": (
        {"regularizers": {"embeddings": L2}, "constraints": {"embeddings": NORMS}},
        {**ADAM, "epsilon": 1e-3, "weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.9, "global_clipnorm": 0.1},
    ),
    "decay": ({}, {**SGD, "weight_decay": 0.1}),
    "average": ({}, {**SGD, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 2}),
    "accumulation": ({}, {**SGD, "gradient_accumulation_steps": 2}),
    "own rate": ({}, {**SGD, "learning_rate_factors": {"layer_3/embeddings": 3.0, "layer_6/embeddings": 0.0}}),
}


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_the_references(name, fusion, isa, rng):
    more, optimizer = SETTINGS[name]
    spec = with_optimizer(changed(WIDE_AND_DEEP, **more), optimizer)
    compare(spec, CATEGORIES["wide and deep"][1], rng, np.dtype("float64"), 0.02, threads=2, fusion=fusion)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "clipvalue", "clipnorm", "global_clipnorm", "adagrad"])
@pytest.mark.parametrize("name", CATEGORIES)
def test_threads_and_fusion_change_no_bit(name, optimizer, dtype, rng):
    spec, categories = CATEGORIES[name]
    x, y = data(spec, categories, 50, rng, dtype)
    found = []
    for threads, fusion in [(1, True), (2, True), (3, False), (7, True), (1, False)]:
        program = made(
            with_optimizer(spec, OPTIMIZERS[optimizer]), dtype=dtype.name, batch_size=16, threads=threads, fusion=fusion
        )
        losses = [program.train(x, y, learning_rate=0.05).loss for _ in range(3)]
        program.forward(part(x, slice(16)), draw=2)
        program.backward(y[:16])
        program.update(0.01)
        gradients = {name: program.gradient(name) for name, _, trainable in program.variables() if trainable}
        found.append((losses, state(program), gradients))
    for losses, variables, gradients in found[1:]:
        assert losses == found[0][0]
        same(variables, found[0][1])
        same(gradients, found[0][2])


@pytest.mark.parametrize("name", CATEGORIES)
def test_gradients_are_derivatives(name, isa, rng):
    spec, categories = CATEGORIES[name]
    program = made(spec, dtype="float64", batch_size=16)
    x, dy = data(spec, categories, 13, rng, np.dtype("float64"))
    program.forward(x)
    dx = program.backward(dy)
    for one, count in zip([dx] if isinstance(dx, np.ndarray) else dx, categories, strict=True):
        assert count is None or not one.any()  # ids have no gradient
    check_variables(program, lambda: dy * program.forward(x), rng)


def test_rows_that_no_id_names_keep_their_bits_under_sgd(isa, dtype, rng):
    program = made(with_optimizer(ONE, SGD), dtype=dtype.name, batch_size=8)
    before = program.get("layer_0/embeddings")
    ids = np.array([[0, 7, 7], [39, 0, 20]])
    program.train(ids, np.ones((2, 2), dtype), learning_rate=0.1)
    moved = np.flatnonzero((program.get("layer_0/embeddings") != before).any(axis=1))
    assert moved.tolist() == [0, 7, 20, 39]
    gradient = program.gradient("layer_0/embeddings")
    assert np.flatnonzero(gradient.any(axis=1)).tolist() == [0, 7, 20, 39]
    program.train(ids[:1], np.ones((1, 2), dtype), learning_rate=0.1)  # what the step before left is gone
    assert np.flatnonzero(program.gradient("layer_0/embeddings").any(axis=1)).tolist() == [0, 7]


def test_gradients_that_somebody_wrote_are_spent_and_forgotten(dtype, rng):
    spec = with_optimizer(network(1, [embedding(3000, 4), dense(2)], SQUARED), SGD)
    program = made(spec, dtype=dtype.name, batch_size=4)
    x, y = np.array([[1], [2]]), np.ones((2, 2), dtype)
    program.forward(x)
    program.backward(y)
    before = program.get("layer_0/embeddings")
    program.gradients[...] = 1
    program.update(0.5)
    np.testing.assert_array_equal(program.get("layer_0/embeddings"), before - dtype.type(0.5))
    program.forward(x)
    program.backward(y)
    gradient = program.gradient("layer_0/embeddings")
    assert np.flatnonzero(gradient.any(axis=1)).tolist() == [1, 2]
    before = program.get("layer_0/embeddings")
    program.set_gradient("layer_0/embeddings", np.full((3000, 4), 2, dtype))
    program.update(0.5)
    np.testing.assert_array_equal(program.get("layer_0/embeddings"), before - dtype.type(1))
    view = program.gradients  # held while the epoch goes on
    view[...] = 3
    program.train(x, y, learning_rate=0.0)
    assert np.flatnonzero(program.gradient("layer_0/embeddings").any(axis=1)).tolist() == [1, 2]


@pytest.mark.parametrize("element", [np.int32, np.int64, np.uint8, np.float32, np.float64])
def test_ids_of_every_type_are_the_same(element, dtype, rng):
    program = made(with_optimizer(ONE, ADAM), dtype=dtype.name, batch_size=8)
    x, _ = data(ONE, [40], 8, rng, dtype)
    np.testing.assert_array_equal(program.predict(x.astype(element)), program.predict(x))
    wide = np.zeros((16, 7), element)
    wide[::2, 1::2] = x
    np.testing.assert_array_equal(program.predict(wide[::2, 1::2]), program.predict(x))


@pytest.mark.parametrize("wrong", [-1, 40, 2**40, 0.5, np.nan, np.inf])
@pytest.mark.parametrize("call", ["train", "evaluate", "predict", "forward"])
def test_ids_that_are_none_are_refused(call, wrong, rng):
    program = made(with_optimizer(ONE, ADAM), batch_size=8)
    before = state(program)
    x = np.zeros((5, 3))
    x[3, 1] = wrong
    y = np.zeros((5, 2), np.float32)
    arguments = {"train": (x, y), "evaluate": (x, y), "predict": (x,), "forward": (x,)}[call]
    rate = {"learning_rate": 0.1} if call == "train" else {}
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 39 for layer 'layer_0'.* in row 3, column 1"):
        getattr(program, call)(*arguments, **rate)
    same(state(program), before)


def test_descriptions_that_do_not_fit_are_refused():
    for layers, message in [
        ([dense(3), embedding(4, 2)], "an input of whole numbers or a discretization"),
        ([rescaling(2.0), embedding(4, 2)], "an input of whole numbers or a discretization"),
        ([discretization(0.0, 1.0), embedding(2, 2)], "at least the 3 different values"),
        ([discretization(1.0, 0.0), dense(2)], "ascending order"),
        ([encoding(3, "other"), dense(2)], "encoding"),
        ([embedding(0, 2)], "input_dim"),
        ([embedding((1 << 24) + 1, 1)], "2\\^24"),
    ]:
        with pytest.raises(ValueError, match=message):
            _core.Program(network(2, layers, SQUARED))
    with pytest.raises(MemoryError):
        _core.Program(network(2, [embedding(1 << 24, 1 << 24)], SQUARED))


@pytest.mark.parametrize("call", ["embedding_forward", "embedding_backward"])
def test_eager_kernels_refuse_what_is_no_id(call, dtype):
    ids, dy, table = np.zeros((3, 2), np.int64), np.zeros((3, 8), dtype), np.zeros((5, 4), dtype)
    kernel = getattr(_core, call)
    for wrong in (-1, 5):
        ids[2, 1] = wrong
        arguments = (ids, table) if call == "embedding_forward" else (dy, ids, 5)
        with pytest.raises(ValueError, match=f"{call}: argument 'ids'.*0 to 4, received {wrong}.* in row 2, column 1"):
            kernel(*arguments)
