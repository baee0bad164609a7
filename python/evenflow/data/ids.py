"""Ids of categories among a model's inputs: which inputs have them, and that they are in range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core

Array = NDArray[Any]

CHECK_ROWS = 1 << 22  # looked through by one native call, so that Ctrl-C is served
IN_PLACE = ("float32", "float64", "uint8", "int32", "int64")  # what the core reads where it lies


class Limit(NamedTuple):
    """Ids are from 0 to `categories` - 1, because this layer has so many."""

    categories: int
    layer: str


def limits(entries: Sequence[dict[str, Any]]) -> dict[int, Limit]:
    """Of the core's entries: the inputs that are read as ids, by their numbers; the smallest limit where several
    layers read one."""
    known = {entry["name"]: entry for entry in entries}
    found: dict[int, Limit] = {}
    for i, entry in enumerate(entries):
        if entry["kind"] not in ("embedding", "category_encoding"):
            continue
        count = entry["input_dim"] if entry["kind"] == "embedding" else entry["units"] + entry.get("masks", False)
        below = known[entry["inputs"][0]] if entry.get("inputs") else entries[i - 1] if i else None
        if below is not None and below["kind"] != "input":
            continue
        number = 0 if below is None else below.get("input", 0)
        if number not in found or count < found[number].categories:
            found[number] = Limit(count, entry["name"])
    return found


def read(where: str, argument: str, x: Array, limit: Limit) -> Array:
    """Rows of ids as a 2-D array that the core takes, without a copy where it can read them in place; raises with row,
    column and value of the first that is no whole number within the limit."""
    flat = x if x.ndim == 2 else x.reshape(x.shape[0], -1)
    if flat.dtype.name not in IN_PLACE or not flat.dtype.isnative or not flat.flags.aligned:
        flat = flat.astype(np.float32 if flat.dtype.itemsize < 4 and flat.dtype.kind == "f" else _wide(flat.dtype))
    for start in range(0, len(flat), CHECK_ROWS):
        found = _core.find_wrong_id(flat[start : start + CHECK_ROWS], limit.categories)
        if found is not None:
            row, column = start + found[0], found[1]
            value = x.reshape(x.shape[0], -1)[row, column]
            raise ValueError(
                f"{where}: {argument} has {value} in row {row}, column {column}, expected whole numbers from 0 to "
                f"{limit.categories - 1}: ids of the {limit.categories} categories of layer {limit.layer!r}"
            )
    return flat


def _wide(dtype: np.dtype[Any]) -> type:
    """A type of IN_PLACE that tells apart whatever this one does, as far as ids go."""
    return np.float64 if dtype.kind == "f" or dtype == np.uint64 else np.int64
