"""Validation inside `fit`: on which rows or batches, how many of them, after which epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .. import errors
from ..data.streams import Stream, is_stream
from .blocks import BlockStream, stream_of

if TYPE_CHECKING:
    from .task import Pair

NAMES = ("validation_data[0]", "validation_data[1]", "validation_data[2]")


class Validation:
    """The `validation_...` arguments of `fit`. `batch`: rows scored at once; 0: each batch of a stream."""

    def __init__(self, where: str, batch: object, default_batch: int, steps: object, frequency: object) -> None:
        self.where = where
        self.batch = errors.count(where, "validation_batch_size", batch) or default_batch
        self.steps = errors.count(where, "validation_steps", steps)
        self.frequency = _read_frequency(where, frequency)
        self.kept: list[Pair] = []  # rows in memory
        self._pairs: Callable[[], Iterable[Pair]] | None = None

    def take(self, given: Any, row_shape: tuple[int, ...] | None, read: Callable[..., Pair]) -> None:
        """Validate on `validation_data=`, rows or a stream of batches; `read` is the model's `_read_pair`."""
        where = self.where
        if given is None:
            return
        if is_stream(given):
            first = stream_of(where, given, self.steps, "validation_data")
            self.batch = first.batch
            self._pairs = lambda: read_stream(stream_of(where, given, self.steps, "validation_data"), read)
            return
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            received = f"{len(given)} values" if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
            raise errors.wrong_kind(where, "validation_data", "a pair (x, y), or (x, y, sample_weight)", received)
        pair = read(where, *given, names=NAMES)
        if row_shape is not None and pair.row_shape != row_shape:
            raise errors.wrong_shape(where, NAMES[0], ("rows", *row_shape), ("rows", *pair.row_shape))
        self.take_pair(pair)

    def take_pair(self, pair: Pair) -> None:
        """Validate on these rows, or on the first `steps` batches of them."""
        part = pair if self.steps is None else pair.part(slice(self.steps * self.batch))
        self.kept = [part]
        self._pairs = lambda: [part]

    def due(self, epoch: int) -> Iterable[Pair] | None:
        """What is scored after this epoch, the first being 0; None: nothing."""
        every, number = self.frequency, epoch + 1
        now = number % every == 0 if isinstance(every, int) else number in every
        return self._pairs() if now and self._pairs is not None else None


def _read_frequency(where: str, given: object) -> int | frozenset[int]:
    if isinstance(given, (list, tuple, set, frozenset, range)):
        return frozenset(errors.integer(where, "validation_freq", epoch, at_least=1) for epoch in given)
    return errors.integer(where, "validation_freq", given, at_least=1)


def read_stream(stream: Stream | BlockStream, read: Callable[..., Pair]) -> Iterable[Pair]:
    """The pairs of a stream's next epoch."""
    for where, parts in stream.epoch():
        yield read(where, *parts)
