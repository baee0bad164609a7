"""Values of a network before there are numbers: what layers give when they are called on one another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from .base import Layer, Shape

_numbers = itertools.count()


class Value:
    """What a layer makes of other values. `shape`: (None, *shape of a row)."""

    def __init__(self, layer: Layer, sources: Sequence[Value], row_shape: Shape) -> None:
        self.layer, self.sources, self.row_shape = layer, tuple(sources), row_shape
        self.number = next(_numbers)  # every value comes after those it is made of

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def shape(self) -> tuple[int | None, ...]:
        return (None, *self.row_shape)

    def __repr__(self) -> str:
        return f"<Value of {self.layer.label}, shape={errors.shape_text(self.shape)}>"


def read_values(where: str, argument: str, given: object, expected: str) -> list[Value]:
    """One value or several, as a list."""
    found = []
    for value in given if isinstance(given, (list, tuple)) else [given]:
        if not isinstance(value, Value):
            raise errors.wrong_type(where, argument, expected, value)
        found.append(value)
    return found


def call(layer: Layer, given: object) -> Value:
    """The value of a layer called on a value, or on a list of them where it merges several."""
    listed = read_values(layer.label, "input", given, "what Input(...) or another layer returned")
    several = isinstance(given, (list, tuple))
    if several != layer.MERGES or not listed:
        expected = "a list of at least two values" if layer.MERGES else "one value"
        raise errors.wrong_kind(layer.label, "input", expected, f"a list of {len(listed)}" if several else "one value")
    if layer.LOOKS_UP and listed[0].sources:
        received = f"the value of {listed[0].layer.label}"
        raise errors.wrong_kind(layer.label, "input", "what Input(...) returned", received)
    shapes = [value.row_shape for value in listed]
    if layer.MERGES:
        output = layer.merged_shape(shapes)
    else:
        if layer.expected_shape is not None and layer.expected_shape != shapes[0]:
            raise errors.wrong_shape(layer.label, "input", ("rows", *layer.expected_shape), ("rows", *shapes[0]))
        layer.look_below(_below(listed))
        output = layer.compute_output_shape(shapes[0])
    value = Value(layer, listed, output)
    layer.keep_value(value)
    return value


def ancestors(outputs: Sequence[Value]) -> list[Value]:
    """These values and all they are made of, in the order in which they were made."""
    found: dict[int, Value] = {}
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if value.number not in found:
            found[value.number] = value
            waiting.extend(value.sources)
    return [found[number] for number in sorted(found)]


def _below(values: Sequence[Value]) -> Iterator[tuple[Layer, Shape]]:
    """The layers that these values came through, each with the shape of a row that it read."""
    for value in ancestors(values):
        if value.sources:
            yield value.layer, value.sources[0].row_shape
