"""Variable: a named array of a layer whose truth has exactly one home at a time."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import errors
from ..initializers import Initializer

_lock = threading.Lock()
_clock = 0


def now() -> int:
    """Stamp of the latest change of any variable: while it stands still, no copy can be out of date."""
    return _clock


def tick() -> int:
    """A new stamp."""
    global _clock
    with _lock:
        _clock += 1
        return _clock


class Home(Protocol):
    """A native program that trains variables and so holds their current values."""

    stamp: int

    def read(self, path: str) -> NDArray[Any]:
        """A copy of the value of the variable with this path."""
        ...


class Variable:
    """An array of a layer: kernel, bias, gamma, ...

    Its value lives in one place: nowhere yet (the initializer runs at the first look), in a host array, or in the
    program that last trained it, from which it is copied when somebody asks. Programs compare `stamp` with the one they
    last copied.
    """

    def __init__(
        self,
        layer: str,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        *,
        learned: bool = True,
        dtype: str,
    ) -> None:
        self.name = name
        self.path = f"{layer}/{name}"
        self.shape = shape
        self.dtype = dtype
        self.initializer = initializer
        self.learned = learned  # by gradients; moving averages are not
        self.trainable = learned
        self._value: NDArray[Any] | None = None
        self._home: Home | None = None
        self._stamp = tick()

    @property
    def size(self) -> int:
        """Number of elements, without looking at the value."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def nbytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def stamp(self) -> int:
        return self._home.stamp if self._home is not None else self._stamp

    def numpy(self) -> NDArray[Any]:
        """A copy of the current value, C order."""
        if self._home is not None:
            return self._home.read(self.path)
        if self._value is None:
            self._value = self.initializer(self.shape, dtype=self.dtype)
        return np.array(self._value)

    @property
    def value(self) -> NDArray[Any]:
        return self.numpy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        converted: NDArray[Any] = np.asarray(self.numpy(), dtype=dtype)
        return converted

    def check(self, where: str, value: ArrayLike) -> NDArray[Any]:
        """`value` as an array that `assign` accepts, or an error."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise errors.wrong_kind(where, self.path, "an array of real numbers", f"dtype {array.dtype}")
        if array.shape != self.shape:
            raise errors.wrong_shape(where, self.path, self.shape, array.shape)
        return np.array(array, dtype=self.dtype, order="C")

    def assign(self, value: ArrayLike) -> None:
        """Replace the value by a copy of an array of the same shape."""
        self._keep(self.check("assign", value), tick())

    def adopt(self, value: NDArray[Any]) -> None:
        """Replace the value by this very array, of the same shape and dtype, which nobody else may change."""
        self._keep(value, tick())

    def move_to(self, home: Home) -> None:
        """Declare a program that holds a current copy the home of the truth, because it is about to change it."""
        self._home, self._value = home, None

    def lives_in(self, home: Home) -> bool:
        """Whether that program holds the truth."""
        return self._home is home

    def leave(self, home: Home) -> None:
        """Bring the value back to the host if that program is its home; copies elsewhere stay up to date."""
        if self._home is home:
            self._keep(home.read(self.path), home.stamp)

    def _keep(self, value: NDArray[Any], stamp: int) -> None:
        self._value, self._home, self._stamp = value, None, stamp

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, trainable={self.trainable}>"
