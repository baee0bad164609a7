"""Tables in files as what `fit` trains on, and as what is evaluated and predicted: block by block."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..data.streams import Stream
from ..tables.streams import NamedRows, TableStream
from .feeds import Batches, Piece, Rows, check_rows
from .task import Pair

Parts = tuple[Any, Any, Any]


class Blocks:
    """A file's rows, block by block, each trained on by itself; epochs as `feeds.Rows` has them."""

    def __init__(
        self,
        where: str,
        source: TableStream,
        steps: int | None,
        shuffler: np.random.Generator | None,
        read: Callable[..., Pair],
        class_weight: object,
    ) -> None:
        if isinstance(class_weight, str):
            expected = "a dict such as {0: 1.0, 1: 5.0}, where x is a file"
            raise errors.wrong_value(where, "class_weight", expected, class_weight)
        if source.target is None:
            kind = type(source).__name__
            raise ValueError(f"{where}: x: expected a {kind} with target=..., received one without a target")
        self.where, self.source, self.asked, self.shuffler = where, source, steps, shuffler
        self.read, self.class_weight = read, class_weight
        self._running: Iterator[tuple[Pair, NDArray[np.int64] | None]] | None = None
        self._block: tuple[Pair, NDArray[np.int64] | None] | None = None
        self._step = 0  # of the block
        self._left = 0  # steps of the present pass
        self._first = 0  # steps of the pass before the present epoch
        self._done = 0  # steps of the epoch that were done before it went on here
        self._logged = 0  # rows of its log of norms that blocks have which were done then
        self._drawn_from: dict[str, Any] | None = None  # the shuffler's state when it drew the order of the pass

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.source) if self.asked is None else min(self.asked, len(self.source))

    @property
    def rows(self) -> int:
        """Rows of an epoch."""
        return min(self.steps * self.source.batch_size, self.source.rows)

    def ends_before(self, epochs: int) -> bool:
        """Whether there is nothing for so many more epochs: never."""
        return False

    def _pass(self) -> Iterator[tuple[Pair, NDArray[np.int64] | None]]:
        # One number is drawn in an epoch, however many blocks there are: a saved state of the model's generator tells
        # the order of all that follow.
        self._drawn_from = None if self.shuffler is None else dict(self.shuffler.bit_generator.state)
        drawn = None if self.shuffler is None else np.random.default_rng(self.shuffler.integers(1 << 62))
        return _read_blocks(self.where, self.source, self.read, drawn)

    def pieces(self) -> Iterator[Piece]:
        """The next epoch. As in Keras it ends, with a warning, where the rows do."""
        if self._running is None:
            self._running, self._left = self._pass(), len(self.source)
        todo, done, logged = min(self.steps, self._left), self._done, self._logged
        self._first, self._done, self._logged = len(self.source) - self._left, 0, 0
        if self.asked is not None and todo < self.asked:
            warnings.warn(
                f"{self.where}: steps_per_epoch={self.asked}: the rows ended after {todo} steps of this epoch; "
                f"the next one begins with all of them",
                UserWarning,
                stacklevel=5,
            )
        self._left -= todo
        batch = self.source.batch_size
        while done < todo:
            if self._block is None:
                self._block, self._step = next(self._running), 0
            pair, order = self._block
            steps, first = -(-len(pair) // batch), self._step
            end = min(steps, first + todo - done)
            classes = pair.class_weight(self.where, self.class_weight)
            self._step, self._block = end, None if end == steps else self._block
            yield Piece(pair, batch, first, end, done - first, order, classes, exact=True, logged=logged)
            del pair, order
            done, logged = done + end - first, logged + steps
        if self._left == 0:
            self._running = None

    def describe(self) -> dict[str, Any]:
        """As `Rows.describe`."""
        sizes = {"rows": self.source.rows, "batch_size": self.source.batch_size, "steps_per_epoch": self.asked}
        passed = {"shuffle": self.shuffler is not None, "drawn_from": self._drawn_from}
        done = 0 if self._running is None else len(self.source) - self._left
        return {**sizes, **passed, "first": self._first, "next": done}

    def check(self, described: dict[str, Any]) -> None:
        """As `Rows.check`."""
        check_rows(described, self.describe())

    def go_on(self, described: dict[str, Any], step: int) -> None:
        """As `Rows.go_on`; blocks that were done are read once more."""
        first = described["first"] if step else described["next"]
        if first or step:
            if self.shuffler is not None:
                self.shuffler.bit_generator.state = described["drawn_from"]
            self._running, self._left = self._pass(), len(self.source) - first
            passed, end = 0, first + step
            while passed < end:
                pair, order = next(self._running)
                steps = -(-len(pair) // self.source.batch_size)
                if passed + steps > end:
                    self._block, self._step = (pair, order), end - passed
                elif passed + steps > first:
                    self._logged += steps
                passed += steps
        self._done = step


def _read_blocks(
    where: str, source: TableStream, read: Callable[..., Pair], generator: np.random.Generator | None
) -> Iterator[tuple[Pair, NDArray[np.int64] | None]]:
    """One pass. No method: it would keep its own object alive, and with it the thread that reads ahead."""
    for number, block in enumerate(source.blocks(generator)):
        rows = NamedRows(block.x, source.feature_names)
        yield read(f"{where}: block {number} of x", rows, block.y, block.weights), block.order


class BlockStream:
    """A file's rows in their order, for evaluation and prediction, with the methods of a `Stream`."""

    def __init__(self, where: str, source: TableStream, steps: int | None, argument: str) -> None:
        self.where, self.source, self.argument = where, source, argument
        self.batch = source.batch_size
        self.rows = source.rows if steps is None else min(source.rows, steps * self.batch)

    def epoch(self) -> Iterator[tuple[str, Parts]]:
        """The blocks, each with its name for messages: (x, y, sample_weight)."""
        left = self.rows
        for number, block in enumerate(self.source.blocks()):
            x = NamedRows(block.x[:left], self.source.feature_names)
            y, weights = (None if part is None else part[:left] for part in (block.y, block.weights))
            left -= len(block.x)
            yield f"{self.where}: block {number} of {self.argument}", (x, y, weights)
            if left <= 0:
                break


Feed = Rows | Batches | Blocks


def feed_of(
    where: str,
    x: Any,
    steps: int | None,
    shuffler: np.random.Generator | None,
    read: Callable[..., Pair],
    class_weight: object,
) -> Feed:
    """What `fit` trains on, where x is no array."""
    if isinstance(x, TableStream):
        return Blocks(where, x, steps, shuffler, read, class_weight)
    return Batches(Stream(where, x, steps, shuffler), read, class_weight)


def stream_of(where: str, x: Any, steps: int | None, argument: str = "x") -> Stream | BlockStream:
    """What is evaluated or predicted, where x is no array."""
    if isinstance(x, TableStream):
        return BlockStream(where, x, steps, argument)
    return Stream(where, x, steps, argument=argument)
