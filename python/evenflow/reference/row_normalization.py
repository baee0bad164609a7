"""Normalization of each row by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, wide


def layer_norm_forward(x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, *, epsilon: float) -> Array:
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta with each row's mean and biased variance."""
    return wide(gamma) * layer_norm_rows(x, epsilon=epsilon)[0] + wide(beta)


def layer_norm_rows(x: ArrayLike, *, epsilon: float) -> tuple[Array, Array]:
    """The normalized x, and each row's deviation."""
    x = wide(x)
    difference = x - x.mean(axis=1, keepdims=True)
    deviation = np.sqrt((difference**2).mean(axis=1, keepdims=True) + epsilon)
    return difference / deviation, deviation


def layer_norm_backward(dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, *, epsilon: float) -> tuple[Array, Array, Array]:
    """dx, dgamma, dbeta of `layer_norm_forward`.

    With xhat the normalized x and g = gamma dy: dbeta = sum(dy), dgamma = sum(dy xhat) over rows, and
    dx = (g - mean(g) - xhat mean(g xhat)) / deviation with means over the row.
    """
    dy = wide(dy)
    xhat, deviation = layer_norm_rows(x, epsilon=epsilon)
    g = wide(gamma) * dy
    dx = (g - g.mean(axis=1, keepdims=True) - xhat * (g * xhat).mean(axis=1, keepdims=True)) / deviation
    return dx, (dy * xhat).sum(axis=0), dy.sum(axis=0)


def rms_norm_forward(x: ArrayLike, scale: ArrayLike, *, epsilon: float) -> Array:
    """y = scale x / sqrt(mean(x^2) + epsilon) with each row's mean."""
    return wide(scale) * wide(x) / rms_rows(x, epsilon=epsilon)


def rms_rows(x: ArrayLike, *, epsilon: float) -> Array:
    """Each row's root mean square."""
    return np.asarray(np.sqrt((wide(x) ** 2).mean(axis=1, keepdims=True) + epsilon))


def rms_norm_backward(dy: ArrayLike, x: ArrayLike, scale: ArrayLike, *, epsilon: float) -> tuple[Array, Array]:
    """dx, dscale of `rms_norm_forward`.

    With xhat the normalized x and g = scale dy: dscale = sum(dy xhat) over rows, and
    dx = (g - xhat mean(g xhat)) / root mean square with the mean over the row.
    """
    dy = wide(dy)
    root = rms_rows(x, epsilon=epsilon)
    xhat, g = wide(x) / root, wide(scale) * dy
    return (g - xhat * (g * xhat).mean(axis=1, keepdims=True)) / root, (dy * xhat).sum(axis=0)
