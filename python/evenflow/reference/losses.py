"""Losses, row by row. A loss gives each row's value and that value's gradient in the row's prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .activations import sigmoid, softplus
from .arrays import Array, find, wide
from .outputs import softmax

LOWEST = 1e-7  # probabilities are clipped to [LOWEST, 1 - LOWEST], as in Keras; outside, the slope is zero


def clipped(p: Array) -> tuple[Array, Array]:
    """p within its limits, and where it was there."""
    q = np.clip(p, LOWEST, 1 - LOWEST)
    return q, (q == p) | np.isnan(p)


def categorical_crossentropy(p: Array, t: Array, from_logits: bool = False) -> tuple[Array, Array]:
    """-sum_j t_j log(p_j / sum p), as in Keras; with p = softmax(z) where the prediction z is logits."""
    if not from_logits:
        whole = p.sum(axis=1, keepdims=True)
        p = p / whole
        q, inside = clipped(p)
        dp = np.where(inside, -t / q, 0)
        return -(t * np.log(q)).sum(axis=1), (dp - (dp * p).sum(axis=1, keepdims=True)) / whole
    shifted = p - p.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(t * log_p).sum(axis=1), softmax(p) * t.sum(axis=1, keepdims=True) - t


def sparse_categorical_crossentropy(p: Array, labels: Array, from_logits: bool = False) -> tuple[Array, Array]:
    """`categorical_crossentropy` of the one-hot rows of integer labels."""
    return categorical_crossentropy(p, np.eye(p.shape[1])[np.ravel(labels).astype(np.int64)], from_logits)


def binary_crossentropy(p: Array, t: Array, from_logits: bool = False) -> tuple[Array, Array]:
    """Mean over units of -t log p - (1 - t) log(1 - p), with p = sigmoid(z) where the prediction z is logits."""
    units = p.shape[1]
    if from_logits:
        return (softplus(p) - t * p).mean(axis=1), (sigmoid(p) - t) / units
    q, inside = clipped(p)
    rows = -(t * np.log(q) + (1 - t) * np.log1p(-q)).mean(axis=1)
    return rows, np.where(inside, (q - t) / (q * (1 - q)), 0) / units


def mean_squared_error(p: Array, t: Array, from_logits: bool = False) -> tuple[Array, Array]:
    """Mean over units of (p - t)^2."""
    return ((p - t) ** 2).mean(axis=1), 2 * (p - t) / p.shape[1]


LOSSES: dict[str, Callable[..., tuple[Array, Array]]] = {
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
    "categorical_crossentropy": categorical_crossentropy,
    "binary_crossentropy": binary_crossentropy,
    "mean_squared_error": mean_squared_error,
}


def loss_forward_backward(
    name: str, prediction: ArrayLike, target: ArrayLike, *, from_logits: bool = False
) -> tuple[Array, Array]:
    """The loss of each row, and the gradient of their mean with respect to the prediction."""
    p = wide(prediction)
    with np.errstate(over="ignore"):
        rows, gradient = find(LOSSES, name, "loss_forward_backward")(p, np.asarray(target), from_logits)
    return rows, gradient / len(p)
