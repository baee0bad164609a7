"""Dense and batch normalization, alone and fused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import activation_backward, activation_forward
from .arrays import Array, wide
from .noise import noise_backward, noise_forward


def dense_forward(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None, *, transposed: bool = False) -> Array:
    """y = x w + b; transposed: w is [units, inputs], as PyTorch has it."""
    w = wide(w).T if transposed else wide(w)
    y = wide(x) @ w
    return np.asarray(y if b is None else y + wide(b))


def dense_backward(
    dy: ArrayLike, x: ArrayLike, w: ArrayLike, *, transposed: bool = False
) -> tuple[Array, Array, Array]:
    """dx = dy w^T, dw = x^T dy, db = column sums of dy; transposed: w and dw are [units, inputs]."""
    dy = wide(dy)
    dw = wide(x).T @ dy
    return dy @ (wide(w) if transposed else wide(w).T), dw.T if transposed else dw, dy.sum(axis=0)


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


def dense_bn_act_forward(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    *,
    activation: str = "linear",
    epsilon: float = 1e-3,
    transposed: bool = False,
    rate: float = 0.0,
    seed: int = 0,
    step: int = 0,
    layer: int = 0,
    row: int = 0,
    **parameters: float,
) -> tuple[Array, Array, Array | None, Array | None]:
    """y = dropout(f(batch_norm(z))) with z = x w + b; and z, and mean and variance of the batch.

    Without gamma there is no normalization; with mean and variance it has these, and none are returned."""
    z = dense_forward(x, w, b, transposed=transposed)
    h, now, spread = z, None, None
    if gamma is not None and beta is not None:
        if mean is None or variance is None:
            h, now, spread = batch_norm_forward(z, gamma, beta, epsilon=epsilon)
        else:
            h = batch_norm_inference(z, gamma, beta, mean, variance, epsilon=epsilon)
    y = activation_forward(activation, h, **parameters)
    if rate:
        y = noise_forward("dropout", y, seed=seed, step=step, layer=layer, row=row, rate=rate)
    return y, z, now, spread


def dense_bn_act_inference(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    **settings: Any,
) -> Array:
    """y of `dense_bn_act_forward` with given statistics."""
    return dense_bn_act_forward(x, w, b, gamma, beta, mean, variance, **settings)[0]


def dense_bn_act_backward(
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    z: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    *,
    activation: str = "linear",
    epsilon: float = 1e-3,
    training: bool = True,
    transposed: bool = False,
    rate: float = 0.0,
    seed: int = 0,
    step: int = 0,
    layer: int = 0,
    row: int = 0,
    **parameters: float,
) -> tuple[Array, Array, Array, Array | None, Array | None]:
    """dx, dw, db, dgamma, dbeta. mean and variance are those of the batch, or with training=False constants."""
    g, dgamma, dbeta = wide(dy), None, None
    if rate:
        g = noise_backward("dropout", g, g, seed=seed, step=step, layer=layer, row=row, rate=rate)
    normalized = gamma is not None and beta is not None and mean is not None and variance is not None
    h = wide(z)
    if normalized:
        h = batch_norm_inference(z, gamma, beta, mean, variance, epsilon=epsilon)  # type: ignore[arg-type]
    g = activation_backward(activation, g, h, activation_forward(activation, h, **parameters), **parameters)
    if normalized:
        through, dgamma, dbeta = batch_norm_backward(g, z, gamma, mean, variance, epsilon=epsilon)  # type: ignore[arg-type]
        g = through if training else g * wide(gamma) / np.sqrt(wide(variance) + epsilon)  # type: ignore[arg-type]
    return *dense_backward(g, x, w, transposed=transposed), dgamma, dbeta
