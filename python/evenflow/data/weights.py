"""Weights of rows and of classes, as the core takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from . import arrays

Array = NDArray[Any]

MOST_CLASSES = 1 << 20


def read_sample_weight(where: str, argument: str, given: object, rows: int) -> Array:
    """A weight for each row, [rows, 1]: float32 and float64 where they lie."""
    weight = arrays.as_array(where, argument, given)
    if weight.shape not in ((rows,), (rows, 1)):
        raise errors.wrong_shape(where, argument, (rows,), weight.shape)
    weight = arrays.read_floats(weight.reshape(rows, 1), "float64")
    if not (weight.min() >= 0 and weight.max() < np.inf):
        row = int(np.argmin((weight >= 0) & (weight < np.inf)))
        raise ValueError(
            f"{where}: {argument} has {weight[row, 0]} in row {row}, expected finite numbers of at least 0"
        )
    return weight


def read_class_weight(where: str, given: object, y: Array, classes: int) -> NDArray[np.float64]:
    """The weight of classes 0, 1, ...: 1 for those that are not named.

    y is labels [rows], or targets [rows, columns], whose class is that of the largest column or the whole number that
    the only one is near. `classes` bounds the names; 0: any.
    """
    argument = "class_weight"
    if isinstance(given, str):
        if given != "balanced":
            raise errors.unknown_name(where, argument, given, ["balanced"])
        return _balanced(where, y)
    if not isinstance(given, Mapping) or not given:
        raise errors.wrong_type(where, argument, "a dict such as {0: 1.0, 1: 5.0}, or 'balanced'", given)
    found = {}
    for key, value in given.items():
        number = errors.integer(where, f"{argument}: class", key, at_least=0)
        if number >= (classes or MOST_CLASSES):
            limit = f"one of 0 to {(classes or MOST_CLASSES) - 1}"
            raise errors.wrong_value(where, f"{argument}: class", limit, key)
        found[number] = errors.number(where, f"{argument}[{number}]", value, at_least=0.0)
    table = np.ones(max(found) + 1)
    for number, value in found.items():
        table[number] = value
    return table


def of_rows(y: Array, sample_weight: Array | None, class_weight: Array | None) -> NDArray[np.float64] | None:
    """The product of both weights of these rows, as the core takes it; None without any."""
    if sample_weight is None and class_weight is None:
        return None
    found = np.ones(len(y)) if sample_weight is None else np.array(sample_weight[:, 0], np.float64)
    if class_weight is not None:
        classes = classes_of(y)
        known = (classes >= 0) & (classes < len(class_weight))
        found[known] *= class_weight[classes[known]]
    return found


def classes_of(y: Array) -> NDArray[np.int64]:
    """The class of each row, as the core finds it."""
    if y.ndim == 1:
        return y.astype(np.int64, copy=False)
    if y.shape[1] > 1:
        return np.asarray(y.argmax(axis=1), np.int64)
    return np.asarray(np.rint(y[:, 0]), np.int64)


def _balanced(where: str, y: Array) -> NDArray[np.float64]:
    """rows / (classes * rows of the class), as scikit-learn has it; classes are those that occur."""
    numbers = classes_of(y)
    if numbers.min() < 0 or numbers.max() >= MOST_CLASSES:
        raise errors.wrong_value(
            where, "class_weight", f"'balanced' beside classes from 0 to {MOST_CLASSES - 1}", int(numbers.min())
        )
    counts = np.bincount(numbers)
    present = counts > 0
    return np.where(present, len(y) / (present.sum() * np.maximum(counts, 1)), 1.0)


def read_loss_weight(where: str, given: object) -> float:
    """Keras' `loss_weights`: a number for the only output, or a list of one."""
    if isinstance(given, (list, tuple)) and len(given) == 1:
        given = given[0]
    if isinstance(given, (list, tuple, dict)):
        raise errors.wrong_value(where, "loss_weights", "one number: the model has one output", given)
    return 1.0 if given is None else errors.number(where, "loss_weights", given, at_least=0.0)
