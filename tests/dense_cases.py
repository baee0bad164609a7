"""Dense layers as cases: their arguments, and what their errors may be."""

from typing import Any

import numpy as np
from roundings import normal, summed


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, inputs, units = case.shape
    x, w = normal(rng, dtype, rows, inputs), normal(rng, dtype, inputs, units)
    keywords = {"transposed": True} if case.settings.get("transposed") else {}
    if keywords:
        w = np.ascontiguousarray(w.T)
    if case.kernel == "dense_forward":
        return [x, w, normal(rng, dtype, units) if case.settings["bias"] else None], keywords
    return [normal(rng, dtype, rows, units), x, w], keywords


def forward_scales(args: list[Any], keywords: Any, *_: Any) -> list[Any]:
    x, w, b = args
    w = w.T if keywords else w
    return [4 * (abs(x) @ abs(w) + (0 if b is None else abs(b)))]


def backward_scales(args: list[Any], keywords: Any, *_: Any) -> list[Any]:
    dy, x, w = args
    dx, dw = 4 * abs(dy) @ (abs(w) if keywords else abs(w).T), 4 * abs(x).T @ abs(dy)
    return [dx, dw.T if keywords else dw, summed(len(dy)) * abs(dy).sum(axis=0)]


def moving_average_arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    return [normal(rng, dtype, *case.shape), normal(rng, dtype, *case.shape)], {"momentum": case.settings["momentum"]}


def moving_average_scales(args: list[Any], keywords: Any, *_: Any) -> list[Any]:
    moving, batch = args
    return [2 * (abs(moving) * keywords["momentum"] + abs(batch) * (1 - keywords["momentum"]))]
