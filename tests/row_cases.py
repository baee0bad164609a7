"""Arguments and error scales of the kernels that normalize rows; `cases` says what a scale is."""

from typing import Any

import numpy as np
from roundings import normal, summed

Array = np.ndarray


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, features = case.shape
    # Offsets of some ten deviations: a one-pass variance would fail here.
    x = normal(rng, dtype, rows, features) * np.exp(normal(rng, dtype, rows, 1)) + 10 * normal(rng, dtype, rows, 1)
    gamma, beta = 1 + normal(rng, dtype, features) / 4, normal(rng, dtype, features)
    keywords = {"epsilon": 1e-3}
    if case.kernel.endswith("backward"):
        return [normal(rng, dtype, rows, features), x, gamma], keywords
    return [x, gamma, beta] if case.kernel == "layer_norm_forward" else [x, gamma], keywords


def normalized(x: Array, epsilon: float, eps: float, centered: bool) -> tuple[Array, Array, Array, Array]:
    """x as it is normalized and the error of that, the deviation and the relative error of one over it."""
    factor = summed(x.shape[1])
    mean = x.mean(axis=1, keepdims=True) if centered else 0.0
    shift = factor * abs(x).mean(axis=1, keepdims=True) if centered else 0.0  # the error of the mean
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    spread = (2 + factor) * variance + eps * shift**2
    deviation = np.sqrt(variance + epsilon)
    stretch = 3 + spread / (variance + epsilon) / 2
    difference = abs(x - mean)
    offset = shift + abs(x) + abs(mean) if centered else 0.0
    return difference / deviation, (offset + stretch * difference) / deviation, deviation, stretch


def forward_scales(args: list[Any], keywords: Any, _: Any, eps: float) -> list[Any]:
    x, gamma, *beta = args
    y, error, _, _ = normalized(x, keywords["epsilon"], eps, bool(beta))
    return [abs(gamma) * (error + y) + (abs(beta[0]) if beta else 0)]


def backward_scales(args: list[Any], keywords: Any, expected: list[Any], eps: float) -> list[Any]:
    dy, x, gamma = args
    centered = len(expected) == 3
    y, error, deviation, stretch = normalized(x, keywords["epsilon"], eps, centered)
    g, factor = abs(gamma * dy), summed(x.shape[1])

    def mean(terms: Array) -> Any:
        return terms.mean(axis=1, keepdims=True)

    shift = mean(g) if centered else 0
    dx = 2 * g + (2 + factor) * (shift + y * mean(g * y)) + error * mean(g * y) + y * mean(g * error)
    dx = (dx + stretch * (g + shift + y * mean(g * y))) / deviation
    rows = summed(len(dy))
    dgamma = (abs(dy) * ((2 + rows) * y + error)).sum(axis=0)
    return [dx, dgamma, rows * abs(dy).sum(axis=0)][: len(expected)]


SCALES = {
    "layer_norm_forward": forward_scales,
    "layer_norm_backward": backward_scales,
    "rms_norm_forward": forward_scales,
    "rms_norm_backward": backward_scales,
}
