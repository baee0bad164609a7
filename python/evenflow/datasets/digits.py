"""scikit-learn's digits: 1797 images of 8 x 8 that come with it."""

from __future__ import annotations

import importlib

import numpy as np

from .base import Dataset, split_rows


def load_digits(*, test_fraction: float = 0.2) -> Dataset:
    """scikit-learn's digits: 1,797 images of 8 x 8, ten classes; part of scikit-learn, so never a download.

    The last `test_fraction` of the rows, in a fixed shuffled order, are for testing.
    """
    try:
        bunch = importlib.import_module("sklearn.datasets").load_digits()
    except ImportError as error:
        raise ModuleNotFoundError(
            "load_digits: scikit-learn is not installed; install it with: pip install 'evenflow[demo]'"
        ) from error
    train, test = split_rows(len(bunch.target), test_fraction, "load_digits")
    x = bunch.images.astype(np.uint8)
    y = bunch.target.astype(np.int64)
    classes = tuple(str(digit) for digit in range(10))
    return Dataset(
        "digits", "scikit-learn", "classification", x[train], y[train], x[test], y[test], classes, scale=1 / 16
    )
