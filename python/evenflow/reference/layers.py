"""Dense and batch normalization."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, wide


def dense_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None) -> Array:
    """y = x w + b."""
    y = wide(x) @ wide(w)
    return np.asarray(y if b is None else y + wide(b))


def dense_backward(dy: ArrayLike, x: ArrayLike, w: ArrayLike) -> tuple[Array, Array, Array]:
    """dx = dy w^T, dw = x^T dy, db = column sums of dy."""
    dy = wide(dy)
    return dy @ wide(w).T, wide(x).T @ dy, dy.sum(axis=0)


def batch_norm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta with the batch's mean and biased variance."""
    x = wide(x)
    mean = x.mean(axis=0)
    variance = ((x - mean) ** 2).mean(axis=0)
    return batch_norm_inference(x, gamma, beta, mean, variance, epsilon=epsilon), mean, variance


def batch_norm_inference(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, mean: ArrayLike, variance: ArrayLike, *, epsilon: float
) -> Array:
    """The same with given statistics."""
    scale = wide(gamma) / np.sqrt(wide(variance) + epsilon)
    return np.asarray((wide(x) - wide(mean)) * scale + wide(beta))


def batch_norm_backward(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, mean: ArrayLike, variance: ArrayLike, *, epsilon: float
) -> tuple[Array, Array, Array]:
    """dx, dgamma, dbeta of `batch_norm_forward`; `mean` and `variance` are those of the batch.

    With xhat the normalized x: dbeta = sum(dy), dgamma = sum(dy xhat) over rows, and
    dx = gamma / sqrt(variance + epsilon) (dy - mean(dy) - xhat mean(dy xhat)).
    """
    dy = wide(dy)
    deviation = np.sqrt(wide(variance) + epsilon)
    xhat = (wide(x) - wide(mean)) / deviation
    dbeta, dgamma = dy.sum(axis=0), (dy * xhat).sum(axis=0)
    dx = wide(gamma) / deviation * (dy - dbeta / len(dy) - xhat * (dgamma / len(dy)))
    return dx, dgamma, dbeta


def standardize(x: ArrayLike, mean: ArrayLike, variance: ArrayLike, *, invert: bool = False) -> Array:
    """y = (x - mean) / max(sqrt(variance), 1e-7); inverted: y = x max(sqrt(variance), 1e-7) + mean."""
    deviation = deviation_of(variance)
    return np.asarray(wide(x) * deviation + wide(mean) if invert else (wide(x) - wide(mean)) / deviation)


def deviation_of(variance: ArrayLike) -> Array:
    """What a Normalization layer divides by: max(sqrt(variance), 1e-7)."""
    return np.maximum(np.sqrt(wide(variance)), 1e-7)


def moving_average(moving: ArrayLike, batch: ArrayLike, *, momentum: float) -> Array:
    """The next moving mean or variance: moving momentum + batch (1 - momentum)."""
    return np.asarray(wide(moving) * momentum + wide(batch) * (1 - momentum))
