"""Folding batch normalizations into the kernels beside them."""

import warnings

import numpy as np
import pytest

import evenflow
from evenflow import Sequential
from evenflow.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    Normalization,
    Rescaling,
)


def trained(layers, rng, dtype, shape=(4, 5)):
    """A model whose batch normalizations have values of their own everywhere."""
    model = Sequential([Input(shape), *layers], dtype=dtype, seed=0, name="net")
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            weights = {v.name: rng.uniform(0.5, 1.5, v.shape) * rng.choice([-1, 1], v.shape) for v in layer.variables}
            weights["moving_variance"] = abs(weights["moving_variance"])
            layer.set_weights(list(weights.values()))
    return model


def folded(model):
    """The folded model, where everything can be folded."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.fold_batch_norm()


STACKS = {
    "after the linear part": lambda: [
        Flatten(),
        Dense(33, use_bias=False),
        BatchNormalization(),
        Activation("relu"),
        Dense(17, name="with_bias"),
        BatchNormalization(center=False),
        Activation("silu"),
        Dense(3, "softmax"),
    ],
    "after the activation": lambda: [
        Flatten(),
        Dense(33, "elu"),
        BatchNormalization(),
        Dense(17, "tanh", use_bias=False),
        BatchNormalization(scale=False),
        Dense(3),
    ],
    "first, flat": lambda: [Rescaling(0.5), Flatten(), BatchNormalization(), Dense(9, "selu"), Dense(3)],
    "first, one per column": lambda: [BatchNormalization(), Flatten(), Dense(9, "selu"), Dense(3)],
    "first, one per row": lambda: [BatchNormalization(axis=1, center=False), Flatten(), Dense(9, "selu"), Dense(3)],
    "first, both axes": lambda: [BatchNormalization(axis=[1, 2]), Flatten(), Dense(9, "selu"), Dense(3)],
    "several in a row": lambda: [
        BatchNormalization(),
        BatchNormalization(axis=1),
        Flatten(),
        BatchNormalization(),
        Dense(9),
        BatchNormalization(),
        BatchNormalization(),
        Activation("relu"),
        BatchNormalization(),
        Dense(3),
        BatchNormalization(),
    ],
    "frozen": lambda: [Flatten(), Dense(9, trainable=False), BatchNormalization(trainable=False), Dense(3)],
}


@pytest.mark.parametrize("name", STACKS)
def test_outputs_are_equal(name, isa, dtype, rng):
    model = trained(STACKS[name](), rng, dtype.name)
    before, x = model.get_weights(), rng.standard_normal((50, 4, 5)).astype(dtype)
    y = model.predict(x)
    small = folded(model)
    assert [type(layer) for layer in small.layers] == [
        type(layer) for layer in model.layers if not isinstance(layer, BatchNormalization)
    ]
    assert [layer.name for layer in small.layers] == [
        layer.name for layer in model.layers if not isinstance(layer, BatchNormalization)
    ]
    assert (small.name, small.dtype, small.output_shape) == (model.name, model.dtype, model.output_shape)
    # Two roundings of each weight, and sums of some ten terms a layer in another order, through up to three layers.
    bound = 64 * np.finfo(dtype).eps * max(1, abs(y).max())
    np.testing.assert_allclose(small.predict(x), y, rtol=0, atol=bound)
    for old, new in zip(before, model.get_weights(), strict=True):  # the original is as it was
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(model.predict(x), y)


def test_the_kernel_that_the_chapter_means(rng):
    model = trained([Dense(3), BatchNormalization(epsilon=0.5)], rng, "float64", shape=(2,))
    w, b, gamma, beta, mean, variance = model.get_weights()
    kernel, bias = folded(model).get_weights()
    np.testing.assert_allclose(kernel, gamma * w / np.sqrt(variance + 0.5), rtol=1e-14)
    np.testing.assert_allclose(bias, gamma * (b - mean) / np.sqrt(variance + 0.5) + beta, rtol=1e-13)


STAYING = {
    "last": ([Dense(3, "relu"), BatchNormalization(name="bn")], "no Dense layer comes after it"),
    "between activations": (
        [Dense(3, "relu"), BatchNormalization(name="bn"), Activation("tanh"), Dense(2)],
        "Activation 'activation",
    ),
    "before rows": (
        [Dense(3, "relu"), BatchNormalization(name="bn"), LayerNormalization(), Dense(2)],
        "LayerNormalization 'layer_normalization",
    ),
    "after a normalization": ([Dense(3), Normalization(), BatchNormalization(name="bn")], "no Dense layer"),
}


@pytest.mark.parametrize("name", STAYING)
def test_what_cannot_be_folded_stays_and_is_named(name, rng):
    layers, reason = STAYING[name]
    model = trained([type(layer).from_config(layer.get_config()) for layer in layers], rng, "float64", shape=(4,))
    with pytest.warns(UserWarning, match=f"net.fold_batch_norm: 'bn' stays: .*{reason}"):
        same = model.fold_batch_norm()
    assert [layer.name for layer in same.layers] == [layer.name for layer in model.layers]
    x = rng.standard_normal((9, 4))
    np.testing.assert_array_equal(same.predict(x), model.predict(x))


def test_some_stay_in_their_order(rng):
    layers = [BatchNormalization(axis=1), Flatten(), BatchNormalization(), Activation("tanh"), Dense(3)]
    model = trained(layers, rng, "float64")
    x = rng.standard_normal((9, 4, 5))
    with pytest.warns(UserWarning, match="stays") as seen:
        same = model.fold_batch_norm()
    assert len(seen) == 2
    np.testing.assert_array_equal(same.predict(x), model.predict(x))


def test_a_folded_model_is_trained_and_saved(rng, tmp_path):
    x, y = rng.standard_normal((60, 4, 5)).astype(np.float32), rng.integers(0, 3, 60)
    model = Sequential([*STACKS["after the linear part"]()], seed=3)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    kept = model.get_weights()
    small = folded(model)
    small.save(tmp_path / "small.safetensors")
    again = evenflow.models.load_model(tmp_path / "small.safetensors")
    np.testing.assert_array_equal(again.predict(x), small.predict(x))
    small.compile("adam", "sparse_categorical_crossentropy")
    before = small.evaluate(x, y, verbose=0)
    small.fit(x, y, epochs=5, verbose=0)
    assert small.evaluate(x, y, verbose=0) < before
    for old, new in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_folding_wants_weights_and_layers():
    with pytest.raises(ValueError, match="no weights yet"):
        Sequential([Dense(3)]).fold_batch_norm()
