"""What `fit` trains on: rows in memory, gone through in shuffled passes, or batches of a stream; in pieces, each of
which the core trains on by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import errors
from .streams import Stream
from .task import Pair


@dataclass(frozen=True)
class Piece:
    """Steps `first` to `end` through a pair's rows in that order; `base`: the epoch's steps before step 0 of it."""

    pair: Pair
    batch: int
    first: int
    end: int
    base: int = 0
    order: NDArray[np.int64] | None = None
    classes: NDArray[Any] | None = None  # weights of them
    exact: bool = False  # whether the program should have room for this batch and no more
    logged: int | None = None  # rows of the epoch's log of norms that other pieces have, if not one for each step

    def most(self, step: int) -> int:
        """How many steps there are from this one on, as runners take it: 0 for all that the rows give."""
        return 0 if self.end == -(-len(self.pair) // self.batch) else self.end - step

    @property
    def norm_rows(self) -> tuple[int, int]:
        """Which rows of the epoch's log of norms are this piece's: the first, and how many."""
        return max(self.base, 0) if self.logged is None else self.logged, -(-len(self.pair) // self.batch)


class Rows:
    """Rows in memory. An epoch is a pass through all of them, or `steps` steps that go on where the last ones ended."""

    def __init__(
        self,
        where: str,
        pair: Pair,
        batch: int,
        steps: int | None,
        shuffler: np.random.Generator | None,
        class_weight: object,
    ) -> None:
        self.where, self.pair, self.batch, self.asked, self.shuffler = where, pair, batch, steps, shuffler
        self.classes = pair.class_weight(where, class_weight)
        self._order: NDArray[np.int64] | None = None
        self._next = 0  # step of the present pass

    @property
    def _pass(self) -> int:
        return -(-len(self.pair) // self.batch)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self._pass if self.asked is None else min(self.asked, self._pass)

    def ends_before(self, epochs: int) -> bool:
        """Whether there is nothing for so many more epochs: never."""
        return False

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return min(self.steps * self.batch, len(self.pair))

    def pieces(self) -> Iterator[Piece]:
        """The next epoch, in one piece. As in Keras it ends, with a warning, where the rows do."""
        if self._next == 0:
            self._order = None if self.shuffler is None else self.shuffler.permutation(len(self.pair))
        first, end = self._next, min(self._next + self.steps, self._pass)
        if self.asked is not None and end - first < self.asked:
            warnings.warn(
                f"{self.where}: steps_per_epoch={self.asked}: the rows ended after {end - first} steps of this epoch; "
                f"the next one begins with all of them",
                UserWarning,
                stacklevel=5,
            )
        self._next = 0 if end == self._pass else end
        yield Piece(self.pair, self.batch, first, end, -first, self._order, self.classes, exact=True)


class Batches:
    """The batches of a stream, one step each."""

    rows = None

    def __init__(self, stream: Stream, read: Callable[..., Pair], class_weight: object) -> None:
        if isinstance(class_weight, str):
            expected = f"a dict such as {{0: 1.0, 1: 5.0}}, where {stream.argument} gives batches"
            raise errors.wrong_value(stream.where, "class_weight", expected, class_weight)
        self.stream, self.read, self.class_weight = stream, read, class_weight

    @property
    def steps(self) -> int | None:
        """Steps of an epoch, where that is known."""
        return self.stream.steps

    def ends_before(self, epochs: int) -> bool:
        """Whether there is nothing for so many more epochs; warns where some are left."""
        if self.stream.ended and epochs:
            self.stream.warn(0)
        return self.stream.ended

    def pieces(self) -> Iterator[Piece]:
        """The next epoch, batch by batch."""
        for base, (where, parts) in enumerate(self.stream.epoch()):
            pair = self.read(where, *parts)
            yield Piece(pair, len(pair), 0, 1, base, classes=pair.class_weight(where, self.class_weight))
