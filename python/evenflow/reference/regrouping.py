"""Features that share statistics, as columns of their own, or random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Array


def _order(layer: Mapping[str, Any]) -> list[int]:
    """The axes of [rows, *shape], those with statistics of their own last."""
    return [a for a in range(len(layer["shape"]) + 1) if a not in layer["axis"]] + list(layer["axis"])


def columns_of(x: Array, layer: Mapping[str, Any]) -> Array:
    """Flat rows as [values, groups]: a column holds all values that share a statistic."""
    if "shape" not in layer:
        return x
    groups = math.prod(layer["shape"][axis - 1] for axis in layer["axis"])
    columns: Array = x.reshape(len(x), *layer["shape"]).transpose(_order(layer)).reshape(-1, groups)
    return columns


def rows_of(columns: Array, layer: Mapping[str, Any], rows: int) -> Array:
    """And back."""
    if "shape" not in layer:
        return columns
    order, shape = _order(layer), (rows, *layer["shape"])
    moved = columns.reshape([shape[axis] for axis in order])
    return np.transpose(moved, np.argsort(order)).reshape(rows, -1)


def statistic_shape(layer: Mapping[str, Any], features: int) -> tuple[int, ...]:
    """The shape of a mean: one for each feature, or for each index of the axes of the layer's own."""
    return tuple(layer["shape"][axis - 1] for axis in layer["axis"]) if "shape" in layer else (features,)


def groups_of(layer: Mapping[str, Any]) -> list[int]:
    """The group of each feature, numbered by the axes of the layer's own, the last one fastest."""
    sizes = [size if axis in layer["axis"] else 1 for axis, size in enumerate(layer["shape"], start=1)]
    numbers = np.arange(math.prod(sizes)).reshape(sizes)
    return [int(number) for number in np.broadcast_to(numbers, layer["shape"]).ravel()]
