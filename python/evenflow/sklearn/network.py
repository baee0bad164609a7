"""The network that an estimator's parameters describe, with the initial weights that scikit-learn would draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import errors, initializers
from ..layers import Activation, AlphaDropout, BatchNormalization, Dense, Dropout, Input
from ..layers.base import Layer
from ..models import Sequential
from ..models.cloning import clone_layer
from ..regularizers import L2

# scikit-learn's names of activations.
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
OUT_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "softmax": "softmax", "exp": "exponential"}


def read_sizes(where: str, given: object) -> list[int]:
    """`hidden_layer_sizes`: a number, or one for each hidden layer."""
    listed = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    return [errors.integer(where, "hidden_layer_sizes", size, at_least=1) for size in listed]


def read_activations(where: str, given: object, hidden: int) -> list[Any]:
    """`activation`: one for all hidden layers, or a list of one for each."""
    listed = list(given) if isinstance(given, (list, tuple)) else [given] * hidden
    if len(listed) != hidden:
        raise errors.wrong_value(where, "activation", f"one, or {hidden}: one for each hidden layer", given)
    return listed


def build(
    features: int,
    sizes: Sequence[int],
    activations: Sequence[Any],
    outputs: int,
    out_activation: str,
    *,
    batch_norm: bool,
    dropout: float,
    dtype: str,
    random_state: np.random.RandomState,
) -> Sequential:
    """Dense, batch normalization, activation and dropout for each hidden layer; a Dense layer of the outputs.

    Where all activations are scikit-learn's, weights are drawn as it draws them, number for number. Otherwise kernels
    start as `kernel_initializer="auto"` says, and biases as 0.
    """
    own = all(isinstance(name, str) and name in ACTIVATIONS for name in activations)

    def seed() -> int:
        return int(random_state.randint(np.iinfo(np.int32).max))

    model = Sequential([Input((features,))], name="mlp", dtype=dtype, seed=0)
    for number, (units, given) in enumerate(zip(sizes, activations, strict=True), 1):
        initializer: object = "zeros" if own else initializers.Auto(seed=seed())
        model.add(Dense(units, kernel_initializer=initializer, name=f"hidden_{number}"))
        if batch_norm:
            model.add(BatchNormalization(name=f"normalization_{number}"))
        model.add(_activation(given, f"activation_{number}"))
        if dropout:
            kind = AlphaDropout if given == "selu" else Dropout
            model.add(kind(dropout, seed=0, name=f"dropout_{number}"))
    initializer = "zeros" if own else initializers.GlorotUniform(seed=seed())
    last = OUT_ACTIVATIONS.get(out_activation, out_activation)
    model.add(Dense(outputs, last, kernel_initializer=initializer, name="output"))
    if own:
        _draw(model, 2.0 if "logistic" in activations else 6.0, random_state)
    for layer in model.layers:
        if isinstance(layer, (Dropout, AlphaDropout)):  # after the weights, which are scikit-learn's so
            layer.seed = seed()
    return model


def _activation(given: Any, name: str) -> Layer:
    if isinstance(given, Layer):
        return clone_layer(given)
    return Activation(ACTIVATIONS.get(given, given) if isinstance(given, str) else given, name=name)


def _draw(model: Sequential, factor: float, random_state: np.random.RandomState) -> None:
    """Uniform on [-r, r], r = sqrt(factor / (inputs + units)), kernel and bias: scikit-learn's Glorot."""
    for layer in dense_layers(model):
        inputs, units = layer.kernel.shape
        limit = math.sqrt(factor / (inputs + units))
        layer.kernel.assign(random_state.uniform(-limit, limit, (inputs, units)))
        layer.bias.assign(random_state.uniform(-limit, limit, units))


def dense_layers(model: Sequential) -> list[Dense]:
    """The layers with the `coefs_` and `intercepts_`."""
    return [layer for layer in model.layers if isinstance(layer, Dense)]


def penalize(model: Sequential, alpha: float, rows: float) -> None:
    """scikit-learn's penalty alpha / (2 rows) * sum(w^2) of the kernels, for batches of so many rows."""
    penalty = L2(alpha / (2 * rows)) if alpha else None
    for layer in dense_layers(model):
        if layer.kernel_regularizer != penalty:
            layer.kernel_regularizer = penalty
