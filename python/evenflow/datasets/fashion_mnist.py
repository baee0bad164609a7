"""Keras' `datasets.fashion_mnist`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .idx import load_fashion_mnist

Arrays = tuple[NDArray[Any], NDArray[Any]]


def load_data() -> tuple[Arrays, Arrays]:
    """(x_train, y_train), (x_test, y_test): uint8 images [rows, 28, 28] and class numbers [rows].

    Read from where the Debian package dataset-fashion-mnist or Keras put the files; FileNotFoundError says how to get
    them where neither did. Nothing is downloaded.
    """
    data = load_fashion_mnist()
    return (data.x_train, data.y_train), (data.x_test, data.y_test)
