"""Programs whose layers read any earlier ones: several inputs, and what is refused."""

import numpy as np
import pytest
from networks import SQUARED, activation, batch_norm, dense, network, noise, reads, rescaling, with_optimizer
from optimizer_specs import ADAM
from programs import made

from evenflow import _core
from evenflow.reference import Network

TWO_INPUTS = with_optimizer(
    network(
        [5, 37],
        [
            {"kind": "input", "input": 1},
            rescaling(0.5, 0.25),
            dense(33),
            activation("elu"),
            {"kind": "input"},
            batch_norm(),
            reads({"kind": "concatenate"}, 5, 3),
            noise("dropout", rate=0.2),
            dense(3),
        ],
        SQUARED,
    ),
    {**ADAM, "epsilon": 1e-3},
)


def two_inputs(rows, rng, dtype):
    return [rng.standard_normal((rows, features)).astype(dtype) for features in (5, 37)], rng.standard_normal((rows, 3))


@pytest.mark.parametrize("fusion", [True, False], ids=["fused", "unfused"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_two_inputs_are_the_references(threads, fusion, isa, dtype, rng):
    bound = 100 * float(np.finfo(dtype).eps)
    program = made(TWO_INPUTS, rng, dtype=dtype.name, batch_size=13, threads=threads, fusion=fusion)
    net = Network(TWO_INPUTS)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    x, y = two_inputs(37, rng, dtype)
    y = y.astype(dtype)
    order = rng.permutation(37)
    progress = program.train(x, y, learning_rate=0.01, order=order)
    loss = sum(net.train_step([one[at] for one in x], y[at], 0.01)[0] for at in np.split(order, [13, 26]))
    assert progress.loss == pytest.approx(loss, rel=bound)
    for name, right in net.variables.items():
        assert np.abs(program.get(name) - right).max() <= bound * np.abs(right).max(), name
        right[...] = program.get(name)
    right = net.forward(x, training=False)
    assert np.abs(program.predict(x) - right).max() <= bound * max(1, np.abs(right).max())
    first = [one[:13] for one in x]
    program.forward(first, training=True, draw=3)
    net.iterations = 3
    net.forward(first)
    for got, expected in zip(program.backward(y[:13]), net.backward(y[:13]), strict=True):
        assert np.abs(got - expected).max() <= bound * np.abs(expected).max()


def test_a_frozen_branch_costs_no_way_back():
    # 0 -> 1 -> 2, 0 -> 3 -> 4; only the last layer learns: nothing below it goes backward.
    layers = [{"kind": "input"}, dense(8, trainable=False), reads(dense(8, trainable=False), 0)]
    spec = with_optimizer(network(4, [*layers, reads({"kind": "add"}, 1, 2), dense(2)], SQUARED), ADAM)
    program = _core.Program(spec, batch_size=4)
    before = {name: program.get(name) for name, _, trainable in program.variables() if not trainable}
    x, y = np.ones((4, 4), np.float32), np.ones((4, 2), np.float32)
    program.train(x, y, learning_rate=0.1)
    for name, value in before.items():
        assert np.array_equal(program.get(name), value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([dense(3), reads({"kind": "add"}, 0)], "at least 2 layers"),
        ([dense(3), reads(dense(4), 0), reads({"kind": "add"}, 0, 1)], "3 units from every layer, received 4"),
        ([dense(3), reads(dense(4), 5)], "inputs"),
        ([{"kind": "input"}, dense(3), reads(dense(4), 0)], "read by a later layer"),
        ([dense(3), dense(3), reads(dense(4), 0, 1)], "one name"),
        ([{"kind": "input", "input": 1}, dense(3)], "less than 1"),
    ],
)
def test_what_does_not_fit_is_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        _core.Program(network(4, layers, SQUARED))


def test_arrays_of_inputs_are_checked(rng):
    program = made(TWO_INPUTS, rng, dtype="float32", batch_size=13)
    (a, b), y = two_inputs(13, rng, np.float32)
    y = y.astype(np.float32)
    with pytest.raises(TypeError, match="a list of 2 arrays"):
        program.predict(a)
    with pytest.raises(ValueError, match="2 arrays, one for each input"):
        program.predict([a])
    with pytest.raises(ValueError, match="13 rows in every array, received 12 in array 1"):
        program.train([a, b[:12]], y, learning_rate=0.1)
    with pytest.raises(ValueError, match="memory shared"):
        program.predict([a, b], out=b.reshape(-1)[: 13 * 3].reshape(13, 3))
    assert program.inputs == (5, 37)
