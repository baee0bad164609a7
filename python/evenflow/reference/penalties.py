"""Regularizers and constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, wide

EPSILON = 1e-7  # keeps the factor of a zero vector finite, as in Keras


def penalize(p: ArrayLike, g: Array | None = None, *, l1: float = 0.0, l2: float = 0.0) -> float:
    """l1 sum |p| + l2 sum p^2; its gradient l1 sign(p) + 2 l2 p is added to g."""
    p = wide(p)
    if g is not None:
        g[...] = wide(g) + l1 * np.sign(p) + 2 * l2 * p
    return float(l1 * np.abs(p).sum() + l2 * (p**2).sum())


def penalize_pairs(w: ArrayLike, g: Array | None = None, *, factor: float, mode: str = "rows") -> float:
    """factor times the mean of |cosine| over all pairs of the rows, or columns, of w; its gradient is added to g."""
    v = wide(w) if mode == "rows" else wide(w).T
    if len(v) < 2:
        return 0.0
    with np.errstate(divide="ignore"):
        inverse = np.minimum(1 / np.sqrt((v**2).sum(axis=1, keepdims=True)), 1 / EPSILON)
    u = v * inverse
    cosines = u @ u.T
    np.fill_diagonal(cosines, 0)
    share = factor / (len(v) * (len(v) - 1) / 2)
    if g is not None:
        d = np.sign(cosines) @ u
        d = share * inverse * (d - np.where(inverse < 1 / EPSILON, (u * d).sum(axis=1, keepdims=True), 0) * u)
        g[...] = wide(g) + (d if mode == "rows" else d.T)
    return float(share * np.abs(cosines).sum() / 2)


def soft_threshold(p: Array, threshold: float) -> None:
    """p = sign(p) max(|p| - threshold, 0): the proximal operator of threshold sum |p|. Parikh and Boyd 2014."""
    p[...] = np.sign(wide(p)) * np.maximum(np.abs(wide(p)) - threshold, 0)


def keep_nonnegative(p: Array) -> None:
    """p = max(p, 0)."""
    p[...] = np.maximum(wide(p), 0)


def limit_norms(
    w: Array, *, min_value: float = 0.0, max_value: float, rate: float = 1.0, axis: int | Sequence[int] = 0
) -> None:
    """Each column of w [inputs, units], or a vector as a whole, keeps its bits where min_value <= |w| <= max_value for
    its l2 norm |w|; else w *= (rate clip(|w|, min_value, max_value) + (1 - rate) |w|) / (|w| + EPSILON). axis=1: each
    row; [0, 1]: all together."""
    norm = np.sqrt((wide(w) ** 2).sum(axis=axis if isinstance(axis, int) else tuple(axis), keepdims=True))
    desired = rate * np.clip(norm, min_value, max_value) + (1 - rate) * norm
    inside = (min_value <= norm) & (norm <= max_value)
    w[...] = wide(w) * np.where(inside, 1, desired / (norm + EPSILON))


def settle(regularizer: Mapping[str, Any], constraint: Mapping[str, Any], p: Array, learning_rate: float) -> None:
    """What a variable's regularizer and constraint do to it after an update; either may be empty."""
    if regularizer.get("proximal"):
        soft_threshold(p, max(0.0, learning_rate * regularizer["l1"]))
    if constraint.get("kind") == "non_negative":
        keep_nonnegative(p)
    if constraint.get("kind") == "norm":
        limit_norms(p, **{name: value for name, value in constraint.items() if name != "kind"})
