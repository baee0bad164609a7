"""Scaling: a factor for each feature. The native step is among the networks of tests/networks.py."""

import numpy as np
import pytest
from example import bits

import evenflow
from evenflow.layers import Dense, Input, Scaling
from evenflow.models import Sequential, load_model


def test_scaling_is_a_diagonal_dense(isa, rng):
    x, y = rng.standard_normal((50, 17)), rng.standard_normal((50, 2))
    evenflow.set_seed(0)
    model = Sequential([Input((17,)), Scaling(name="s"), Dense(5, "tanh"), Scaling(), Dense(2)], dtype="float64")
    evenflow.set_seed(0)
    diagonal = [Dense(n, use_bias=False, kernel_initializer=evenflow.initializers.Identity()) for n in (17, 5)]
    other = Sequential([Input((17,)), diagonal[0], Dense(5, "tanh"), diagonal[1], Dense(2)], dtype="float64")
    other.set_weights(
        [
            np.diag(w) if w.shape == v.shape[:1] and v.ndim == 2 else w
            for w, v in zip(model.get_weights(), other.get_weights(), strict=True)
        ]
    )
    for each in (model, other):
        each.compile("sgd", "mse")
        each.train_on_batch(x, y)
    for w, v in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(w, np.diag(v) if w.ndim < v.ndim else v, rtol=1e-12, atol=1e-14)
    assert not np.allclose(model.get_weights()[0], 1)
    assert [v.path for v in model.layers[0].weights] == ["s/scale"]


def test_a_factor_of_the_rate_is_its_own(rng):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 1))
    steps = []
    for factor in (1.0, 6.0):
        evenflow.set_seed(0)
        model = Sequential([Input((4,)), Scaling(name="front"), Dense(1)], dtype="float64")
        model.compile(evenflow.optimizers.SGD(0.01, learning_rate_factors={"front": factor}), "mse")
        model.train_on_batch(x, y)
        steps.append(model.get_weights()[0] - 1)
    np.testing.assert_allclose(steps[1], 6 * steps[0], rtol=1e-10)


def test_frozen_saved_and_penalized(rng, tmp_path):
    x, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 1))
    layers = [Scaling(trainable=False), Dense(3), Scaling("zeros", scale_regularizer="l1", scale_constraint="non_neg")]
    model = Sequential([Input((4,)), *layers, Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(layers[0].scale.numpy(), 1)
    assert (layers[2].scale.numpy() >= 0).all()
    assert model.count_params() == 4 + 15 + 3 + 4
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert bits(again) == bits(model)
    assert again.layers[2].get_config() == layers[2].get_config()
    assert "scale" in model.plan()


def test_scaling_wants_flat_rows():
    with pytest.raises(ValueError, match=r"Scaling 'scaling.*: input has shape \(rows, 4, 4\)"):
        Sequential([Input((4, 4)), Scaling()])
    with pytest.raises(TypeError, match="Scaling: there is no argument 'scale_initialiser'"):
        Scaling(scale_initialiser="ones")
