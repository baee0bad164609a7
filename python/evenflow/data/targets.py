"""Targets in the form that a loss takes: class numbers, or values in the range that the loss is defined on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import errors
from . import arrays

Array = NDArray[Any]

# What a loss may ask of its targets, beside "labels": the limits, and how an error tells them.
RANGES = {
    "values": (-np.inf, np.inf, ""),
    "nonnegative": (0.0, np.inf, "at least 0"),
    "probabilities": (0.0, 1.0, "0 to 1"),
    "sides": (-1.0, 1.0, "-1 and 1, or 0 and 1"),
}


def read_target(
    where: str,
    argument: str,
    y: Array,
    shape: tuple[int, int],
    dtype: str,
    kind: str,
    *,
    allow_nonfinite: bool,
    ignore_class: int | None = None,
) -> Array:
    """y for `shape`, rows and what each has: for the kind "labels" so many classes, else so many values."""
    if kind == "labels":
        return read_labels(where, argument, y, *shape, ignore_class=ignore_class)
    return read_values(where, argument, y, *shape, dtype, kind, allow_nonfinite=allow_nonfinite)


def read_labels(
    where: str, argument: str, y: Array, rows: int, classes: int, *, ignore_class: int | None = None
) -> Array:
    """Class numbers as int64 [rows], each in [0, classes), or `ignore_class`."""
    if y.ndim == 2 and y.shape[1] == classes and classes > 1:
        hint = "One-hot rows go with loss='categorical_crossentropy'."
        raise errors.wrong_shape(where, argument, (rows,), y.shape, hint)
    if y.shape not in ((rows,), (rows, 1)):
        raise errors.wrong_shape(where, argument, (rows,), y.shape)
    y = y.reshape(rows)
    if y.dtype.kind == "f":
        wrong = ~(np.isfinite(y) & (y == np.floor(y)))
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"{where}: {argument} has {y[row]} in row {row}, expected whole class numbers")
    if y.dtype.kind != "b" and (y.min() < 0 or y.max() >= classes):
        wrong = (y < 0) | (y >= classes)
        if ignore_class is not None:
            wrong &= y != ignore_class
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"{where}: {argument} has label {y[row]} in row {row}, "
                f"expected 0 to {classes - 1} as the model has {classes} outputs"
            )
    return np.ascontiguousarray(y, dtype=np.int64)


def read_values(
    where: str, argument: str, y: Array, rows: int, columns: int, dtype: str, kind: str, *, allow_nonfinite: bool
) -> Array:
    """Target values as a 2-D float array [rows, columns]; a vector serves a single column."""
    lowest, highest, expected = RANGES[kind]
    if y.shape == (rows,) and columns == 1:
        y = y.reshape(rows, 1)
    if y.shape != (rows, columns):
        hint = ""
        if y.size == rows and kind == "probabilities":
            hint = "Class numbers go with loss='sparse_categorical_crossentropy'."
        raise errors.wrong_shape(where, argument, (rows, columns), y.shape, hint)
    values = arrays.read_floats(y, dtype)
    if not allow_nonfinite:
        arrays.check_finite(where, argument, values, dtype)
    if kind == "sides":
        wrong = (values != (-1 if (values == -1).any() else 0)) & (values != 1) & ~np.isnan(values)
    elif values.min() < lowest or values.max() > highest:
        wrong = (values < lowest) | (values > highest)
    else:
        return values
    if not wrong.any():
        return values
    row, column = np.argwhere(wrong)[0]
    raise ValueError(
        f"{where}: {argument} has {values[row, column]} in row {row}, column {column}, expected {expected}"
    )


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> Array:
    """Class numbers as rows of zeros and a one, float64 [..., num_classes]; a last axis of length 1 is dropped.

    What `categorical_crossentropy` takes. `num_classes`: the largest of them plus one, unless given.
    """
    where = "to_categorical"
    labels = arrays.as_array(where, "x", x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.size == 0:
        raise errors.wrong_shape(where, "x", ("rows",), labels.shape, "There is nothing in it.")
    if labels.dtype.kind == "f" and not (labels == np.floor(labels)).all():
        raise errors.wrong_kind(where, "x", "whole class numbers", f"dtype {labels.dtype}")
    lowest, highest = int(labels.min()), int(labels.max())
    classes = highest + 1 if num_classes is None else errors.integer(where, "num_classes", num_classes, at_least=1)
    if lowest < 0 or highest >= classes:
        raise errors.wrong_value(where, "x", f"classes from 0 to {classes - 1}", lowest if lowest < 0 else highest)
    return np.eye(classes)[labels.astype(np.int64)]
