"""What goes into a network: values of rows of a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import errors
from .base import Layer
from .values import Value

DTYPES = ("float32", "float64", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "bool", "string")


class InputLayer(Layer):
    """States the shape of one row."""

    ARGUMENTS = ("shape", "dtype")

    def __init__(
        self, shape: Sequence[int] | int, dtype: str | None = None, *, name: str | None = None, **unknown: Any
    ) -> None:
        self.dtype = read_dtype("Input", dtype)
        if "activity_regularizer" in unknown:
            raise errors.unknown_argument("InputLayer", ["activity_regularizer"], [*self.ARGUMENTS, "name"])
        super().__init__(name=name, input_shape=shape, **unknown)
        self.value = Value(self, (), self.expected_shape or ())
        self.keep_value(self.value)

    def get_config(self) -> dict[str, Any]:
        own = {} if self.dtype is None else {"dtype": self.dtype}
        return {"name": self.name, "shape": list(self.expected_shape or ()), **own}


def read_dtype(where: str, dtype: object) -> str | None:
    """`dtype=` of an input: says what the rows are expected to be, and changes no number. Words are for a
    `StringLookup`."""
    if dtype is not None and dtype not in DTYPES:
        raise errors.unknown_name(where, "dtype", dtype, DTYPES)
    return None if dtype is None else str(dtype)


def Input(  # noqa: N802, Keras' name
    shape: Sequence[int] | int, dtype: str | None = None, *, name: str | None = None, **unknown: Any
) -> Value:
    """A value of rows of this shape: the first element of a Sequential, or what layers of a `Model` are called on.
    `dtype` says what is expected: "string" for the words of a `StringLookup`; numbers of every type are read alike."""
    return InputLayer(shape, dtype, name=name, **unknown).value
