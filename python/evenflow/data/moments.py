"""Means and variances of rows that come in pieces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Moments:
    """Mean and biased variance in float64, one for each index of the kept axes (0 is the batch), over all other axes.

    Each piece is summed in two passes and merged by Chan's formula (Chan, Golub and LeVeque 1983), so that a large mean
    costs no digits of the variance. Memory: that of a piece.
    """

    def __init__(self, kept: tuple[int, ...]) -> None:
        self.kept = kept
        self.count = 0  # of values behind each mean
        self.mean: Array = np.zeros(())
        self.squares: Array = np.zeros(())  # of differences from the mean, summed

    def add(self, rows: NDArray[Any]) -> None:
        """Take in some rows."""
        x = rows.astype(np.float64)
        others = tuple(axis for axis in range(x.ndim) if axis not in self.kept)
        count = math.prod(x.shape[axis] for axis in others)
        own = x.mean(axis=others, keepdims=True)
        squares = ((x - own) ** 2).sum(axis=others)
        difference = own.reshape(squares.shape) - self.mean
        total = self.count + count
        self.squares = self.squares + squares + difference**2 * (self.count * count / total)
        self.mean = self.mean + difference * (count / total)
        self.count = total

    @property
    def variance(self) -> Array:
        """Biased: the mean of the squared differences."""
        return np.asarray(self.squares / self.count)
