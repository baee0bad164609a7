"""Reading the user's arrays where they lie, and refusing what cannot be meant.

Nothing here changes the caller's data. float32, float64 and uint8 rows are used in place; other numbers are converted
once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core, errors
from . import frames

Array = NDArray[Any]

CHECK_BYTES = 1 << 26  # looked through by one native call, so that Ctrl-C is served while a large file is read
# DLPack's kinds of memory that the processor reads: its own, pinned for CUDA or ROCm, managed by CUDA.
PROCESSOR = (1, 3, 11, 13)
DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 14: "oneAPI"}
IN_PLACE = (np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8))


class Several:
    """Rows of several inputs or outputs: as many arrays, of one length, which are sliced together; None for an output
    that has none."""

    def __init__(self, arrays: Sequence[Array | None]) -> None:
        self.arrays = list(arrays)

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, rows: slice | Array) -> Several:
        return Several([None if array is None else array[rows] for array in self.arrays])

    @property
    def first(self) -> Array:
        """The first array that there is."""
        return next(array for array in self.arrays if array is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first."""
        return self.first.shape

    @property
    def ndim(self) -> int:
        return self.first.ndim


Inputs = Array | Several


def as_array(where: str, argument: str, value: object) -> Array:
    """`value` as a NumPy array of real numbers, without a copy where it offers its memory."""
    expected = "an array of numbers"
    if value is None or isinstance(value, (str, bytes, dict, set)):
        raise errors.wrong_type(where, argument, expected, value)
    if hasattr(value, "tocsr"):
        raise errors.wrong_kind(where, argument, f"a dense array: call {argument}.toarray()", "a sparse matrix")
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise errors.wrong_kind(
            where, argument, f"an array without missing values: call {argument}.filled(...)", "a masked array"
        )
    array = value if isinstance(value, np.ndarray) else _exported(where, argument, value)
    if array.dtype.kind not in "fiub":
        raise errors.wrong_kind(where, argument, expected, f"dtype {array.dtype}")
    return array


def _exported(where: str, argument: str, value: Any) -> Array:
    if frames.is_frame(value):
        return frames.read_frame(where, argument, value)
    device = _device(value)
    if device not in PROCESSOR:
        near = f"one in the processor's memory: call {argument}.cpu(), or jax.device_get({argument})"
        kind = DEVICES.get(device, f"a device of DLPack's kind {device}")
        raise errors.wrong_kind(where, argument, near, f"a {type(value).__name__} on {kind}")
    try:
        if hasattr(value, "__dlpack__"):
            try:
                return np.from_dlpack(value)
            except (BufferError, RuntimeError, TypeError, ValueError):  # a dtype or layout DLPack cannot carry to NumPy
                if not hasattr(value, "__array__"):
                    raise
        return np.asarray(value)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise errors.wrong_kind(
            where, argument, "something NumPy can read", f"a {type(value).__name__}, which says: {error}"
        ) from error


def _device(value: Any) -> int:
    """DLPack's number for the kind of memory where an array lies; that of the processor where it does not say."""
    try:
        return int(value.__dlpack_device__()[0])
    except (AttributeError, BufferError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return PROCESSOR[0]


def _usable(array: Array, dtype: str) -> Array:
    """The array itself if the core can read it in place, else one conversion to the model's dtype."""
    if array.dtype in IN_PLACE and array.dtype.isnative and array.flags.aligned:
        return array
    return array.astype(dtype)


def row_shape(where: str, argument: str, x: Array, expected: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """The shape of one row, which must be the expected one where the model knows it; there is something in it."""
    if 0 in x.shape:
        raise errors.wrong_shape(
            where, argument, ("rows", *(expected or ["features"])), x.shape, "There is nothing in it."
        )
    shape = x.shape[1:]
    if x.ndim < 2 or shape != (expected or shape):
        hint = ""
        if x.ndim == 1:
            hint = f"For a single row pass {argument}[None]."
        elif expected and math.prod(shape) == math.prod(expected):
            fitting = ", ".join(map(str, (-1, *expected)))
            hint = f"The number of features is right: {argument}.reshape({fitting}) fits."
        raise errors.wrong_shape(where, argument, ("rows", *(expected or ["features"])), x.shape, hint)
    return shape


def read_inputs(where: str, argument: str, x: Array, dtype: str, *, allow_nonfinite: bool) -> Array:
    """Rows of features as a 2-D array: a view where the strides allow it."""
    flat = _usable(x if x.ndim == 2 else x.reshape(x.shape[0], -1), dtype)
    if not allow_nonfinite:
        check_finite(where, argument, flat, dtype)
    return flat


def read_floats(y: Array, dtype: str) -> Array:
    """A 2-D array as it is where it holds float32 or float64, else one conversion to the model's dtype."""
    return _usable(y if y.dtype.kind == "f" and y.dtype in IN_PLACE else y.astype(dtype), dtype)


def is_finite(rows: Array) -> bool:
    """Whether a 2-D float array holds neither NaN nor infinity."""
    return _core.find_nonfinite(rows) is None


def check_finite(where: str, argument: str, rows: Array, dtype: str) -> None:
    """Raise with row and column of the first NaN or infinity of a 2-D array, or of what would be one in `dtype`."""
    if rows.dtype.kind != "f":
        return
    block = max(1, CHECK_BYTES // (rows.shape[1] * rows.itemsize))
    for start in range(0, len(rows), block):
        found = _core.find_nonfinite(rows[start : start + block], dtype)
        if found is None:
            continue
        row, column = start + found[0], found[1]
        value = rows[row, column]
        expected = f"numbers that fit into {dtype}" if np.isfinite(value) else "finite numbers"
        raise ValueError(
            f"{where}: {argument} has {value} in row {row}, column {column}, expected {expected}. "
            f"allow_nonfinite=True lets them through."
        )


def same_length(where: str, names: tuple[str, str], x: Inputs, y: Inputs) -> None:
    """Raise where inputs and targets have different numbers of rows."""
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"{where}: {names[0]} and {names[1]} must have the same number of rows: {names[0]} has shape "
            f"{errors.shape_text(x.shape)}, {names[1]} has shape {errors.shape_text(y.shape)}"
        )
