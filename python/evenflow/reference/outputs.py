"""Activations of whole rows, for a network's output."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, wide


def softmax(x: ArrayLike) -> Array:
    """e^x / sum(e^x) over each row, shifted by the row's maximum."""
    x = wide(x)
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))


def log_softmax(x: ArrayLike) -> Array:
    """log(softmax(x)) = x - log(sum(e^x)), shifted by the row's maximum."""
    x = wide(x)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def sparsemax(x: ArrayLike) -> Array:
    """max(x - t, 0), t such that each row adds up to 1 [Martins and Astudillo 2016, algorithm 1].

    Of the entries in falling order, the first k are above t = (their sum - 1) / k: the largest k with
    1 + k x_k > x_1 + ... + x_k.
    """
    with np.errstate(invalid="ignore"):
        z = wide(x) - wide(x).max(axis=1, keepdims=True)
        falling = -np.sort(-z, axis=1)
        sums, ranks = falling.cumsum(axis=1), np.arange(1, z.shape[1] + 1)
        k = np.maximum((1 + ranks * falling > sums).sum(axis=1, keepdims=True), 1)
        t = (np.take_along_axis(sums, k - 1, axis=1) - 1) / k
        return np.asarray(np.maximum(z - t, 0))


OUTPUTS: dict[str, Callable[[ArrayLike], Array]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "sparsemax": sparsemax,
}


def output_backward(name: str, dy: ArrayLike, y: ArrayLike) -> Array:
    """From the gradient of an output y to that of its input."""
    dy, y = wide(dy), wide(y)
    if name == "softmax":
        return np.asarray(y * (dy - (dy * y).sum(axis=1, keepdims=True)))
    if name == "log_softmax":
        return np.asarray(dy - np.exp(y) * dy.sum(axis=1, keepdims=True))
    inside = y > 0  # where entries stay positive, all of them give way for one to grow
    mean = (dy * inside).sum(axis=1, keepdims=True) / inside.sum(axis=1, keepdims=True)
    return np.where(inside, dy - mean, 0)
