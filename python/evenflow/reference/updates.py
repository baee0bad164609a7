"""Optimizer rules and gradient clipping, in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import Array, wide


def sgd_step(
    p: Array, g: Array, m: Array | None, *, learning_rate: float, momentum: float = 0.0, nesterov: bool = False
) -> None:
    """p -= learning_rate g; with momentum (Keras' form, the rate inside m): m = momentum m - learning_rate g, and
    p += m, or p += momentum m - learning_rate g with Nesterov's look-ahead."""
    step = -learning_rate * wide(g)
    if m is None:
        p[...] = wide(p) + step
        return
    velocity = momentum * wide(m) + step
    m[...] = velocity
    p[...] = wide(p) + (momentum * velocity + step if nesterov else velocity)


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """m = beta_1 m + (1 - beta_1) g, v = beta_2 v + (1 - beta_2) g^2,
    p -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon); `step` counts from 1.

    Kingma and Ba's "epsilon hat" form, as Keras; PyTorch's epsilon is this one divided by sqrt(1 - beta_2^step)."""
    g = wide(g)
    first = beta_1 * wide(m) + (1 - beta_1) * g
    second = beta_2 * wide(v) + (1 - beta_2) * g * g
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    m[...], v[...] = first, second
    p[...] = wide(p) - rate * first / (np.sqrt(second) + epsilon)


def clip_by_value(g: Array, limit: float) -> None:
    """g = min(max(g, -limit), limit), element by element."""
    g[...] = np.clip(wide(g), -limit, limit)


def clip_by_norm(g: Array, limit: float) -> float:
    """g *= limit / max(|g|, limit) with the l2 norm |g| of this one variable, which is returned."""
    return clip_by_global_norm([g], limit)


def clip_by_global_norm(gs: Sequence[Array], limit: float) -> float:
    """The same with the norm of all variables together."""
    norm = math.sqrt(sum(float((wide(g) ** 2).sum()) for g in gs))
    for g in gs:
        g[...] = wide(g) * (limit / np.maximum(norm, limit))
    return norm
