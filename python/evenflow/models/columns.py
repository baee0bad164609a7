"""What a model's inputs become before the core reads them: numbers as they are, words and numbers as ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import errors
from ..data import arrays
from ..data.arrays import Inputs, Several
from ..layers.base import Layer, Shape
from ..layers.lookups import Lookup
from ..layers.values import Value


class Feed(NamedTuple):
    """An input of the core: the number of the model's, what looks it up, and the value that it stands for."""

    input: int
    lookup: Lookup[Any] | None
    value: Value

    @property
    def row_shape(self) -> Shape:
        return self.value.sources[0].row_shape if self.lookup else self.value.row_shape


def feeds_of(inputs: Sequence[Value], readers: Mapping[int, Sequence[Value]]) -> list[Feed]:
    """The core's inputs: each of the model's that is read as it is, and each way in which one is looked up."""
    found: list[Feed] = []
    for number, value in enumerate(inputs):
        looked_up = [reader for reader in readers[value.number] if isinstance(reader.layer, Lookup)]
        others = [reader for reader in readers[value.number] if not isinstance(reader.layer, Lookup)]
        if getattr(value.layer, "dtype", None) == "string" and others:
            expected = f"a StringLookup to read {value.name!r}, an input of strings"
            raise errors.wrong_value("Model", "inputs", expected, others[0].layer.label)
        if others or not looked_up:
            found.append(Feed(number, None, value))
        found += [Feed(number, reader.layer, reader) for reader in looked_up if isinstance(reader.layer, Lookup)]
    return found


def number_of(value: Value, feeds: Sequence[Feed]) -> int | None:
    """Which of the core's inputs a value is, if it is one."""
    return next((i for i, feed in enumerate(feeds) if feed.value is value), None)


def read(where: str, labels: Sequence[str], given: Sequence[Any], feeds: Sequence[Feed]) -> Inputs:
    """The core's inputs of a model's: one array, or several of one length."""
    listed = []
    for feed in feeds:
        label, x = labels[feed.input], given[feed.input]
        found = feed.lookup.ids_of(where, label, x) if feed.lookup else arrays.as_array(where, label, x)
        listed.append(found[:, None] if found.ndim == 1 and feed.row_shape == (1,) and len(feeds) > 1 else found)
    for feed, array in zip(feeds[1:], listed[1:], strict=True):
        arrays.same_length(where, (labels[feeds[0].input], labels[feed.input]), listed[0], array)
    return listed[0] if len(listed) == 1 else Several(listed)


def lookup_of(layers: Sequence[Layer]) -> Lookup[Any] | None:
    """The lookup that a stack of layers begins with; raises where one comes later."""
    for layer in layers[1:]:
        if layer.LOOKS_UP:
            raise ValueError(f"{layer.label}: expected right after Input: it reads what a model is given")
    return layers[0] if layers and isinstance(layers[0], Lookup) else None
