"""Regularizers and constraints as cases: their arguments, and what their errors may be."""

from typing import Any

import numpy as np

Array = np.ndarray
# Penalties with each term and both, and nothing at all; norms above, below and between, a part of the way.
PENALTIES = [{"l1": 0.0, "l2": 0.3}, {"l1": 0.2, "l2": 0.0}, {"l1": 0.2, "l2": 0.3}, {"l1": 0.0, "l2": 0.0}]
LIMITS = [
    {"max_value": 0.5},
    {"max_value": 1e9},
    {"min_value": 1.0, "max_value": 1.0},
    {"min_value": 3.0, "max_value": 6.0, "rate": 0.3},
]
MATRIX_LIMITS = [{**LIMITS[0], "axis": 1}, {**LIMITS[3], "axis": -1}, {**LIMITS[2], "axis": [0, 1]}]


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    p = rng.standard_normal(case.shape).astype(dtype)
    if case.kernel == "penalize":
        return [p, rng.standard_normal(case.shape).astype(dtype)], case.settings
    if case.kernel == "penalize_pairs":
        return [p, rng.standard_normal(case.shape).astype(dtype)], case.settings
    if case.kernel == "soft_threshold":
        return [p, case.settings["threshold"]], {}
    return [p], case.settings


def penalize_scales(args: list[Any], settings: dict[str, Any], expected: list[Any], _: float) -> list[Any]:
    p, g = args
    terms = abs(g) + settings["l1"] + 2 * settings["l2"] * abs(p)
    return [(3 + np.sqrt(p.size) / 2) * expected[0], 2 * terms * (settings["l1"] + settings["l2"] > 0)]


PAIRS = [{"factor": 0.3, "mode": "rows"}, {"factor": 2.0, "mode": "columns"}]


def penalize_pairs_scales(args: list[Any], settings: dict[str, Any], expected: list[Any], _: float) -> list[Any]:
    """Cosines are off by some roundings of sums of 1; so each may be as large, but its sign."""
    w, g = args
    v = w if settings["mode"] == "rows" else w.T
    count, length = v.shape
    lengths = np.sqrt((v**2).sum(axis=1, keepdims=True))
    factor = 8 + np.sqrt(length) / 2
    share = settings["factor"] / max(1, count * (count - 1) / 2)
    u = abs(v) / lengths
    d = share * (8 + np.sqrt(count) + factor) * (u.sum(axis=0) + u * count * np.sqrt(length)) / lengths
    return [settings["factor"] * factor, abs(g) + (d if settings["mode"] == "rows" else d.T)]


def soft_threshold_scales(args: list[Any], *_: Any) -> list[Any]:
    p, threshold = args
    return [abs(p) + threshold]


def nothing_is_rounded(args: list[Any], *_: Any) -> list[Any]:
    return [0 * args[0]]


def limit_norms_scales(args: list[Any], settings: dict[str, Any], expected: list[Any], _: float) -> list[Any]:
    w, axis = args[0], settings.get("axis", 0)
    norm = np.sqrt((w**2).sum(axis=axis if isinstance(axis, int) else tuple(axis), keepdims=True))
    outside = (norm < settings.get("min_value", 0.0)) | (norm > settings["max_value"])  # elsewhere no bit changes
    return [outside * (4 + np.sqrt(w.size / norm.size) / 2) * abs(expected[0])]
