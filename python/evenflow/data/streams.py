"""Batches that somebody else makes: PyDataset, Python generators, loaders of other packages.

A batch is (x, y) or (x, y, sample_weight), as arrays of any kind; for `predict` x alone will do. Each is one step.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors

if TYPE_CHECKING:
    from concurrent.futures import Future

ARRAYS = ("__array__", "__dlpack__", "shape", "columns", "tocsr")  # what has one of these is no stream of batches
END = object()


class PyDataset:
    """Base class of data that is made batch by batch, as Keras has it: `__getitem__(index)` returns a batch.

    `__len__`, or the property `num_batches`, tells how many there are; None: without end. `fit(shuffle=True)` takes
    them in another order each epoch. With `workers` above 1 as many threads make batches ahead of training, at most
    `max_queue_size`; `on_epoch_begin` and `on_epoch_end` are called around each epoch.
    """

    workers = 1
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        where = type(self).__name__
        self.workers = errors.integer(where, "workers", workers, at_least=0)
        if errors.boolean(where, "use_multiprocessing", use_multiprocessing):
            raise errors.wrong_value(where, "use_multiprocessing", "False: workers are threads", use_multiprocessing)
        self.max_queue_size = errors.integer(where, "max_queue_size", max_queue_size, at_least=1)

    def __getitem__(self, index: int) -> Any:
        """The batch of this number."""
        raise NotImplementedError(f"{type(self).__name__}: expected a method __getitem__(self, index)")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None: without end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__}: expected a method __len__, or the property num_batches")

    def on_epoch_begin(self) -> None:
        """Before the first batch of an epoch."""

    def on_epoch_end(self) -> None:
        """After the last batch of an epoch."""


def same(described: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise ValueError where a fit that goes on is not as the one before."""
    for name, value in own.items():
        if described[name] != value:
            raise ValueError(f"it is of a fit with {name}={described[name]}, this one has {name}={value}")


def is_stream(x: object) -> bool:
    """Whether x gives batches, and is not rows itself."""
    if isinstance(x, (PyDataset, Iterator)):
        return True
    if x is None or isinstance(x, (Sequence, Mapping, Set)) or any(hasattr(x, name) for name in ARRAYS):
        return False
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "num_batches"))


def refuse(where: str, **arguments: object) -> None:
    """Raise where an argument is given that only rows can have."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{where}: {name}: expected None where x gives batches, received a {type(value).__name__}")


class Stream:
    """A source of batches, gone through in epochs of `steps`; None: of as many as there are.

    As in Keras, an epoch goes on where the one before stopped, and ends early, with a warning, where the source does;
    the next one begins anew. `shuffler` gives the order of a source whose batches have numbers.
    """

    batch = 0  # rows scored at once: all of a batch
    rows = None

    def __init__(
        self,
        where: str,
        source: Any,
        steps: int | None = None,
        shuffler: np.random.Generator | None = None,
        argument: str = "x",
    ) -> None:
        self.where, self.source, self.argument, self.shuffler = where, source, argument, shuffler
        self.numbered = isinstance(source, PyDataset) or (
            hasattr(source, "__getitem__") and hasattr(source, "num_batches")
        )
        self.asked = None if steps is None else errors.integer(where, "steps", steps, at_least=1)
        self.length = self._length()
        self.ended = False  # for good: an iterator can be gone through once
        self._running: Iterator[Any] | None = None
        self._done = 0  # batches of the present pass
        self._drawn_from: dict[str, Any] | None = None  # the shuffler's state when it drew the order of the pass
        self.epoch_done = 0  # steps of the next epoch that were done before it goes on here
        self._warned = False

    def _length(self) -> int | None:
        found = self.source.num_batches if self.numbered else None
        if not self.numbered and hasattr(self.source, "__len__"):
            with contextlib.suppress(TypeError):  # what loaders say that do not know, or that never end
                found = len(self.source)
        return None if found is None else errors.integer(self.where, f"{self.argument}: length", found, at_least=1)

    @property
    def steps(self) -> int | None:
        """Batches of an epoch, where that is known."""
        return self.asked or self.length

    def epoch(self) -> Iterator[tuple[str, tuple[Any, Any, Any]]]:
        """The batches of the next epoch, each with its name for messages: (x, y, sample_weight)."""
        first, self.epoch_done = self.epoch_done, 0
        self._tell("on_epoch_begin")
        if self._running is None or (self.asked is None and first == 0):
            self._running, self._done = self._batches(), 0
        for step in itertools.count(first) if self.steps is None else range(first, self.steps):
            batch = next(self._running, END)
            if batch is END:
                self.ended = self._running is self.source or step == 0
                self._running = None
                if step == 0 or self.steps is not None:
                    self.warn(step)
                break
            self._done += 1
            yield (name := f"{self.where}: batch {self._done - 1} of {self.argument}"), _parts(name, batch)
            if self.length is not None and self._done >= self.length:
                self._running = None
                if self.asked is not None and step + 1 < self.asked:
                    self.warn(step + 1)
                break
        self._tell("on_epoch_end")

    def warn(self, steps: int) -> None:
        """Tell, unless that was told already, that an epoch had so many steps only."""
        if self.ended and self._warned:
            return
        self._warned = True
        asked = "some" if self.asked is None else self.asked
        warnings.warn(
            f"{self.where}: {self.argument} ran out of data: expected {asked} batches in each epoch, received {steps}",
            UserWarning,
            stacklevel=4,
        )

    def describe(self) -> dict[str, Any]:
        """What `go_on` needs beside the number of steps done of the epoch: plain data."""
        done = 0 if self._running is None else self._done
        shuffle = {"shuffle": self.shuffler is not None, "drawn_from": self._drawn_from}
        sizes = {"batches": self.length, "steps_per_epoch": self.asked}
        return {**sizes, **shuffle, "done": done, "ended": self.ended}

    def check(self, described: dict[str, Any]) -> None:
        """Raise ValueError where `describe` was asked in a fit that went through its batches in another way."""
        shuffle = self.shuffler is not None
        same(described, {"batches": self.length, "steps_per_epoch": self.asked, "shuffle": shuffle})
        errors.integer("stream", "done", described["done"], at_least=0)

    def go_on(self, described: dict[str, Any], step: int) -> None:
        """Let the next epoch be the one that `describe` was asked in, after so many of its steps: a source whose
        batches have no numbers is asked for those that were done, and must give the same ones again."""
        done = described["done"] if step or self.asked is not None or self._once else 0
        if done:
            if self.shuffler is not None and described["drawn_from"] is not None:
                self.shuffler.bit_generator.state = described["drawn_from"]
            self._running, self._done = self._batches(done), done
        if step and self.length is not None and done >= self.length:  # the pass is over
            self._running = None if step == self.steps else iter(())
        self.ended, self.epoch_done = described["ended"], step

    @property
    def _once(self) -> bool:
        """Whether the source can be gone through once only."""
        return not self.numbered and iter(self.source) is self.source

    def _tell(self, hook: str) -> None:
        if self.numbered and hasattr(self.source, hook):
            getattr(self.source, hook)()

    def _batches(self, skipped: int = 0) -> Iterator[Any]:
        """The batches of a pass but the first ones."""
        self._drawn_from = None if self.shuffler is None else dict(self.shuffler.bit_generator.state)
        if not self.numbered:
            running: Iterator[Any] = iter(self.source)
            next(itertools.islice(running, skipped, skipped), None)  # goes through them
            return running
        numbers: Iterator[int] = itertools.count() if self.length is None else iter(range(self.length))
        if self.shuffler is not None and self.length is not None:
            numbers = iter(self.shuffler.permutation(self.length).tolist())
        numbers = itertools.islice(numbers, skipped, None)
        workers = getattr(self.source, "workers", 1)
        return self._ahead(numbers, workers) if workers > 1 else map(self.source.__getitem__, numbers)

    def _ahead(self, numbers: Iterator[int], workers: int) -> Iterator[Any]:
        """The batches in order, while threads make those that follow."""
        from concurrent.futures import ThreadPoolExecutor  # where it is used: not every training wants it

        with ThreadPoolExecutor(workers, thread_name_prefix="evenflow") as pool:
            waiting: deque[Future[Any]] = deque()
            try:
                for number in numbers:
                    waiting.append(pool.submit(self.source.__getitem__, number))
                    if len(waiting) >= self.source.max_queue_size:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _parts(where: str, batch: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of a batch; None for what it lacks."""
    if isinstance(batch, list):  # as loaders of PyTorch have it
        batch = tuple(batch)
    if isinstance(batch, (dict, str)) or (isinstance(batch, tuple) and len(batch) not in (1, 2, 3)):
        received = f"{len(batch)} values" if isinstance(batch, tuple) else f"a {type(batch).__name__}"
        raise errors.wrong_kind(where, "the batch", "(x, y) or (x, y, sample_weight)", received)
    if not isinstance(batch, tuple):
        batch = (batch,)
    x, y, weight = (*batch, None, None)[:3]
    return x, y, weight
