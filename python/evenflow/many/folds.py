"""Folds for cross-validation: which rows to train on, and which to test on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import errors

Rows = NDArray[np.int64]
Fold = tuple[Rows, Rows]


def folds_of(where: str, count: int, rows: int, *, classes: ArrayLike | None = None, seed: int = 0) -> list[Fold]:
    """`count` folds of so many shuffled rows, each (rows to train on, rows to test on), in ascending order.

    Every row is tested once; sizes differ by one row at most, and so do the rows of each of the `classes` [rows], where
    they are given (stratified folds).
    """
    count = errors.integer(where, "folds", count, at_least=2)
    if rows < count:
        raise ValueError(f"{where}: folds={count}: expected at least as many rows, received {rows}")
    order = np.random.default_rng(seed).permutation(rows)
    if classes is not None:
        order = order[np.argsort(np.asarray(classes)[order], kind="stable")]
    fold_of = np.empty(rows, np.int64)
    fold_of[order] = np.arange(rows) % count  # dealt out like cards, class by class
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(count)]


def read_folds(where: str, given: Any, rows: int) -> list[Fold]:
    """Pairs of arrays of row numbers, as `split` of scikit-learn's splitters gives them, checked."""
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes, dict)):
        raise errors.wrong_type(where, "folds", "a number, or pairs (rows to train on, rows to test on)", given)
    found = []
    for number, pair in enumerate(given):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise errors.wrong_type(where, f"folds[{number}]", "a pair (rows to train on, rows to test on)", pair)
        training, test = (_row_numbers(where, f"folds[{number}][{i}]", part, rows) for i, part in enumerate(pair))
        found.append((training, test))
    if not found:
        raise errors.wrong_value(where, "folds", "at least one", found)
    return found


def _row_numbers(where: str, argument: str, given: object, rows: int) -> Rows:
    numbers = np.asarray(given)
    if numbers.dtype == bool and numbers.shape == (rows,):
        numbers = np.flatnonzero(numbers)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not numbers.size:
        expected = f"row numbers, or a mask of {rows} rows, with at least one row"
        raise errors.wrong_kind(where, argument, expected, f"shape {numbers.shape} of {numbers.dtype}")
    if numbers.min() < 0 or numbers.max() >= rows:
        wrong = numbers.min() if numbers.min() < 0 else numbers.max()
        raise errors.wrong_value(where, argument, f"rows from 0 to {rows - 1}", int(wrong))
    return numbers.astype(np.int64)
