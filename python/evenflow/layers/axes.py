"""Which axes of rows keep statistics of their own, as Keras numbers them: 0 is the batch, -1 the last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import errors
from .base import Layer, Shape

Axes = tuple[int, ...]


def read(where: str, axis: object) -> Axes:
    """`axis` as a tuple: a number other than 0, the batch, or a list of different ones."""
    expected = "an axis such as -1, or a list of axes such as [1, 2]; 0 is the batch"
    listed = [axis] if isinstance(axis, int) else axis
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise errors.wrong_type(where, "axis", expected, axis)
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, int):
            raise errors.wrong_type(where, "axis", expected, axis)
    if 0 in listed or len(set(listed)) < len(listed):
        raise errors.wrong_value(where, "axis", expected, axis)
    return tuple(listed)


def kept(layer: Layer, axes: Axes, input_shape: Shape) -> Axes:
    """The axes counted from the batch, ascending; raises where rows of this shape lack one."""
    rank = len(input_shape) + 1
    found = tuple(sorted(axis % rank for axis in axes if -rank < axis < rank))
    if len(set(found)) < len(axes):
        shape = errors.shape_text(("rows", *input_shape))
        raise errors.wrong_value(layer.label, "axis", f"different axes of inputs of shape {shape}", list(axes))
    return found


def statistics_shape(kept_axes: Axes, input_shape: Shape) -> Shape:
    """The shape of a mean or a variance."""
    return tuple(input_shape[axis - 1] for axis in kept_axes)


def spec(kept_axes: Axes, input_shape: Shape) -> dict[str, Any]:
    """What the core is told of them: nothing where rows are flat and every feature is on its own."""
    if len(input_shape) == 1 and kept_axes:
        return {}
    return {"shape": list(input_shape), "axis": list(kept_axes)}


def shares(entry: dict[str, Any]) -> bool:
    """Whether features share statistics, in an entry of a spec."""
    if "shape" not in entry:
        return False
    return bool(math.prod(entry["shape"][axis - 1] for axis in entry["axis"]) < math.prod(entry["shape"]))
