"""How every formula takes its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Entry = TypeVar("Entry")


def wide(x: ArrayLike) -> Array:
    """As an array of float64, or wider if it is."""
    x = np.asarray(x)
    return np.asarray(x, dtype=np.result_type(x, np.float64))


def find(table: Mapping[str, Entry], name: str, function: str) -> Entry:
    """The entry of that name, or an error that lists the names."""
    if name not in table:
        raise ValueError(f"{function}: name: expected one of {', '.join(table)}, received {name!r}")
    return table[name]
