"""What `fit` trains on: rows in memory, gone through in shuffled passes, or batches of a stream; in pieces, each of
which the core trains on by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..data.streams import Stream, same
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
        self._drawn_from: dict[str, Any] | None = None  # the shuffler's state when it drew the order
        self._first = self._next = 0  # steps of the present pass: where this epoch began, where the next one will
        self._done = 0  # steps of the epoch that were done before it went on here

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
        if self._next == 0 and self._done == 0:
            self._draw()
        self._first, done, self._done = self._next, self._done, 0
        first, end = self._next, min(self._next + self.steps, self._pass)
        if self.asked is not None and end - first < self.asked:
            warnings.warn(
                f"{self.where}: steps_per_epoch={self.asked}: the rows ended after {end - first} steps of this epoch; "
                f"the next one begins with all of them",
                UserWarning,
                stacklevel=5,
            )
        self._next = 0 if end == self._pass else end
        yield Piece(self.pair, self.batch, first + done, end, -first, self._order, self.classes, exact=True)

    def _draw(self) -> None:
        self._drawn_from = None if self.shuffler is None else dict(self.shuffler.bit_generator.state)
        self._order = None if self.shuffler is None else self.shuffler.permutation(len(self.pair))

    def describe(self) -> dict[str, Any]:
        """What `go_on` needs beside the number of steps done of the epoch: plain data."""
        sizes = {"rows": len(self.pair), "batch_size": self.batch, "steps_per_epoch": self.asked}
        passed = {"shuffle": self.shuffler is not None, "drawn_from": self._drawn_from}
        return {**sizes, **passed, "first": self._first, "next": self._next}

    def check(self, described: dict[str, Any]) -> None:
        """Raise ValueError where `describe` was asked in a fit that went through its rows in another way."""
        check_rows(described, self.describe())

    def go_on(self, described: dict[str, Any], step: int) -> None:
        """Let the next epoch be the one that `describe` was asked in, after so many of its steps."""
        first = described["first"] if step else described["next"]
        if self.shuffler is not None and (first or step):
            self.shuffler.bit_generator.state = described["drawn_from"]
            self._draw()
        self._next, self._done = first, step


def check_rows(described: dict[str, Any], own: dict[str, Any]) -> None:
    """Raise ValueError where one fit goes through its rows in another way than the other."""
    same(described, {name: own[name] for name in ("rows", "batch_size", "steps_per_epoch", "shuffle")})
    for name in ("first", "next"):
        errors.integer("rows", name, described[name], at_least=0)


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
        for base, (where, parts) in enumerate(self.stream.epoch(), self.stream.epoch_done):
            pair = self.read(where, *parts)
            yield Piece(pair, len(pair), 0, 1, base, classes=pair.class_weight(where, self.class_weight))

    def describe(self) -> dict[str, Any]:
        """As `Rows.describe`."""
        return self.stream.describe()

    def check(self, described: dict[str, Any]) -> None:
        """As `Rows.check`."""
        self.stream.check(described)

    def go_on(self, described: dict[str, Any], step: int) -> None:
        """As `Rows.go_on`."""
        self.stream.go_on(described, step)
