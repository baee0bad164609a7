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
def test_below_other_layers(name, isa, dtype, rng):
    """The same values and, through a layer that changes nothing, the same gradients as at the end."""
    assert name in activations.OUTPUTS
    layers = [dense(33), activation(name)]
    last, within = (
        made(network(7, stack, SQUARED), dtype=dtype.name) for stack in (layers, [*layers, {"kind": "scaling"}])
    )
    x, y = rng.standard_normal((32, 7)).astype(dtype), rng.standard_normal((32, 33)).astype(dtype)
    within.set("layer_2/scale", np.ones(33, dtype))
    np.testing.assert_array_equal(within.predict(x), last.predict(x))
    losses = [program.train(x, y, learning_rate=0.1).loss for program in (last, within)]
    assert losses[1] == pytest.approx(losses[0], rel=10 * float(np.finfo(dtype).eps))
    for variable in ("layer_0/kernel", "layer_0/bias"):
        gradients = [program.gradient(variable) for program in (last, within)]
        np.testing.assert_allclose(*gradients, rtol=0, atol=20 * float(np.finfo(dtype).eps) * abs(gradients[0]).max())
    assert f"{name} layer_1" in str(within)


def test_attention_of_features(tmp_path, rng):
    """A gate whose shares add up to 1, as a user writes it; saved and loaded."""
    x = Input((6,))
    shares = Dense(6, "softmax", name="shares")(x)
    model = evenflow.Model(x, Dense(1)(evenflow.layers.Multiply()([x, shares])))
    model.compile(evenflow.optimizers.Adam(0.05), "mse")
    rows = rng.standard_normal((200, 6)).astype(np.float32)
    history = model.fit(rows, rows[:, :1] * 2, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]
    seen = evenflow.Model(x, model.get_layer("shares").output).predict(rows)
    np.testing.assert_allclose(seen.sum(axis=1), 1, rtol=1e-5)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(evenflow.models.load_model(tmp_path / "model").predict(rows), model.predict(rows))
