"""What goes into a network: values of rows of a shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import errors
from .base import Layer
from .values import Value


class InputLayer(Layer):
    """States the shape of one row."""

    ARGUMENTS = ("shape",)

    def __init__(self, shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> None:
        if "activity_regularizer" in unknown:
            raise errors.unknown_argument("InputLayer", ["activity_regularizer"], [*self.ARGUMENTS, "name"])
        super().__init__(name=name, input_shape=shape, **unknown)
        self.value = Value(self, (), self.expected_shape or ())
        self.keep_value(self.value)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.expected_shape or ())}


def Input(shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> Value:  # noqa: N802, Keras' name
    """A value of rows of this shape: the first element of a Sequential, or what layers of a `Model` are called on."""
    return InputLayer(shape, name=name, **unknown).value
