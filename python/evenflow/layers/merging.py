"""Layers of several values: Add, Multiply, Concatenate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import errors
from .base import Layer, Shape


class Merge(Layer):
    """Base class: called on a list of at least two values."""

    MERGES = True
    KIND: str

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes) < 2:
            raise errors.wrong_kind(self.label, "input", "a list of at least two values", f"a list of {len(shapes)}")
        for shape in shapes:
            # Rows such as an Embedding gives for one id are flat but for axes of length 1.
            if shape[:-1] != (1,) * (len(shapes[0]) - 1):
                raise errors.wrong_shape(self.label, "input", ("rows", "units"), ("rows", *shape), "Add Flatten().")
        return (*shapes[0][:-1], *self._of_units([shape[-1] for shape in shapes]))

    def _of_units(self, units: Sequence[int]) -> Shape:
        for other in units[1:]:
            if other != units[0]:
                raise errors.wrong_shape(self.label, "input", ("rows", units[0]), ("rows", other))
        return (units[0],)

    def spec(self) -> list[dict[str, Any]]:
        return [{"kind": self.KIND, "name": self.name}]


class Add(Merge):
    """The sum of values of one shape: `Add()([x, block(x)])` is a residual connection (He et al. 2016)."""

    KIND = "add"


class Multiply(Merge):
    """The product, element by element, of values of one shape: a gate."""

    KIND = "multiply"


class Concatenate(Merge):
    """Values side by side, [rows, sum of their units]: Wide & Deep (Cheng et al. 2016) ends with one.

    `axis`: -1 or 1, the only one that a row has.
    """

    KIND = "concatenate"
    ARGUMENTS = ("axis",)

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis not in (-1, 1):
            raise errors.wrong_value("Concatenate", "axis", "-1 or 1", axis)
        self.axis = axis
        super().__init__(**options)

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        merged = super().merged_shape(shapes)
        if self.axis == 1 and len(merged) > 1:
            raise errors.wrong_value(self.label, "axis", "-1 for rows of more than one axis", self.axis)
        return merged

    def _of_units(self, units: Sequence[int]) -> Shape:
        return (sum(units),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
