"""Dataset: rows to train on and rows to test with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..tables import TableEncoding

Array = NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """Rows to train on and rows to test on.

    `x_train` [rows, ...] and `y_train` [rows]: labels 0..classes-1, or standardized targets [rows] for regression.
    `scale` is the factor that brings raw features to about one (1/255 for pixels): give it to `layers.Rescaling`, and
    uint8 data stays as it is in memory. `encoding` says how the columns of a CSV became numbers.
    """

    name: str
    source: str
    task: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...] = ()
    scale: float = 1.0
    encoding: TableEncoding | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row of features."""
        return self.x_train.shape[1:]


def split_rows(rows: int, test_fraction: float, where: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on and to test on. The order is fixed: runs with different seeds stay comparable."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"{where}: test_fraction must be in [0, 1), got {test_fraction}")
    held_out = math.ceil(rows * test_fraction)
    if rows - held_out < 1:
        raise ValueError(f"{where}: {rows} rows are too few to hold out {test_fraction:g} of them for testing")
    order = np.random.default_rng(0).permutation(rows)
    return order[: rows - held_out], order[rows - held_out :]
