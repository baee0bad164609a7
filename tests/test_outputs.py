"""Outputs of whole rows, softmax, log-softmax and sparsemax: their rows, the losses that fit, and those refused."""

import numpy as np
import pytest
from networks import BINARY, CATEGORICAL, SPARSE, SQUARED, activation, dense, network
from programs import made

import evenflow
from evenflow import _core, activations, reference
from evenflow.layers import Dense, Input

OUTPUTS = ("softmax", "log_softmax", "sparsemax")


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("units", [1, 3, 16, 65, 1000])
def test_rows_are_probabilities(units, size, isa, dtype, rng):
    x = (size * rng.standard_normal((20, units))).astype(dtype)
    eps = np.finfo(dtype).eps
    for p in (_core.softmax(x), _core.sparsemax(x), np.exp(_core.log_softmax(x))):
        assert (p >= 0).all()
        np.testing.assert_allclose(p.sum(axis=1, dtype=np.float64), 1, atol=4 * units * eps)
    # An entry is zero just where the one that stays smallest is larger by what is left to share.
    p = _core.sparsemax(x)
    np.testing.assert_array_equal(p == 0, (x < np.where(p > 0, x, np.inf).min(axis=1, keepdims=True)))


def test_sparsemax_of_special_rows(isa, dtype):
    x = np.array([[0, 0, 0, 0], [5, 5, -5, 5], [1e30, 0, 0, 0], [-np.inf, 1, 1, -np.inf], [2, 1, 0.5, 0]], dtype)
    thirds = [1 / 3, 1 / 3, 0, 1 / 3]
    right = [[0.25] * 4, thirds, [1, 0, 0, 0], [0, 0.5, 0.5, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(_core.sparsemax(x), right, rtol=2 * np.finfo(dtype).eps)
    for value in (np.nan, np.inf):
        assert np.isnan(_core.sparsemax(np.array([[0, value, 1]], dtype))).all()


def test_sparsemax_ends_where_rounding_decides(isa, dtype, rng):
    # Entries a few units in the last place around the limit t leave or stay by the rounding of t.
    units = 7
    x = np.zeros((5000, units), dtype)
    x[:, 1:4] = -1 / 4 - rng.integers(-3, 4, (5000, 3)) * np.finfo(dtype).eps / 8
    x[:, 4:] = -5 / 8 - rng.integers(-3, 4, (5000, 3)) * np.finfo(dtype).eps / 4
    np.testing.assert_allclose(_core.sparsemax(x), reference.sparsemax(x), atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("loss", [SPARSE, CATEGORICAL])
def test_log_probabilities_are_logits(loss, isa, dtype, rng):
    spec = network(7, [dense(33), activation("tanh"), dense(10)], loss, from_logits=True)
    output = {**activation("log_softmax"), "name": "last"}
    programs = [
        made({**spec, "layers": layers}, dtype=dtype.name) for layers in (spec["layers"], [*spec["layers"], output])
    ]
    x, y = rng.standard_normal((20, 7)).astype(dtype), rng.integers(0, 10, 20)
    y = y if loss == SPARSE else np.eye(10, dtype=dtype)[y]
    losses = [program.train(x, y, learning_rate=0.1).loss for program in programs]
    eps = float(np.finfo(dtype).eps)
    assert losses[1] == pytest.approx(losses[0], rel=10 * eps)
    np.testing.assert_allclose(programs[1].gradients, programs[0].gradients, atol=20 * eps)
    right = reference.log_softmax(programs[0].predict(x))
    np.testing.assert_allclose(programs[1].predict(x), right, rtol=0, atol=100 * eps)


@pytest.mark.parametrize(
    ("last", "loss", "from_logits", "words"),
    [
        ("log_softmax", "CategoricalCrossentropy", False, ["probabilities", "log_softmax", "from_logits=True"]),
        ("log_softmax", "SparseCategoricalCrossentropy", False, ["probabilities", "use softmax"]),
        ("log_softmax", "BinaryCrossentropy", True, ["outputs of a sigmoid", "log_softmax"]),
        ("sparsemax", "CategoricalCrossentropy", True, ["from_logits=True", "already applies sparsemax"]),
    ],
)
def test_losses_that_do_not_fit(last, loss, from_logits, words):
    model = evenflow.Sequential([Input((4,)), Dense(3, last)])
    with pytest.raises(ValueError, match="compile") as error:
        model.compile("sgd", getattr(evenflow.losses, loss)(from_logits=from_logits))
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(("last", "loss"), [("sparsemax", SPARSE), ("sparsemax", BINARY), ("log_softmax", BINARY)])
def test_programs_refuse_logits_that_are_none(last, loss):
    spec = network(4, [dense(3), activation(last)], loss, from_logits=True)
    with pytest.raises(ValueError, match=f"loss: expected from_logits=False after {last}, received True"):
        _core.Program(spec)


@pytest.mark.parametrize("name", OUTPUTS)
def test_only_at_the_end(name):
    assert name in activations.OUTPUTS
    with pytest.raises(ValueError, match=f"{name}.*last"):
        evenflow.Sequential([Input((4,)), Dense(3, name), Dense(2)]).predict(np.ones((1, 4), np.float32))
    with pytest.raises(ValueError, match=f"expected {name} only as the last layer"):
        _core.Program(network(4, [activation(name), dense(3)], SQUARED))
