"""Position: where a call of `fit` stands, so that another call can go on from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from .. import _core, errors
from .custom_steps import CustomProgress
from .observed_steps import Observed, ObservedProgress

if TYPE_CHECKING:
    from .blocks import Feed
    from .runners import AnyProgress
    from .task import Score

SUMS = ("loss", "losses", "metrics", "rows", "weights", "steps", "next_step")


@dataclass
class Position:
    """Epochs done, steps done of the one that runs, and the sums of its loss and metrics."""

    epoch: int = 0
    step: int = 0
    progress: AnyProgress | None = None
    feed: ref[Feed] | None = None  # the caller's data is not kept
    over: bool = False  # whether training was ended before its last epoch

    def epochs(self, end: int) -> Iterator[int]:
        """The numbers of the epochs that are left."""
        while self.epoch < end and not self.over:
            yield self.epoch

    def move(self, epoch: int, step: int) -> None:
        """Stand between two calls of `fit`, so many epochs and steps done."""
        self.epoch, self.step = epoch, step
        self.progress, self.feed, self.over = None, None, False

    def advance(self, step: int, progress: AnyProgress) -> None:
        """So many steps of the epoch are done."""
        self.step, self.progress = step, progress

    def end_epoch(self) -> None:
        """The epoch is done, validation included."""
        self.epoch, self.step, self.progress = self.epoch + 1, 0, None

    def describe(self, *, over: bool) -> dict[str, Any]:
        """As plain data with arrays."""
        feed = self._running_feed()
        described = {"epoch": self.epoch, "step": self.step, "over": over, "feed": feed.describe()}
        return described | {"progress": None if self.progress is None else describe_progress(self.progress)}

    def check(self, described: dict[str, Any], scores: Sequence[Score]) -> None:
        """Raise where `go_on` would: ValueError where the other training was another, with its reason."""
        errors.boolean("position", "over", described["over"])
        for name in ("epoch", "step"):
            errors.integer("position", name, described[name], at_least=0)
        self._running_feed().check(described["feed"])
        if described["progress"] is not None:
            progress_from(described["progress"], scores)

    def go_on(self, described: dict[str, Any], scores: Sequence[Score]) -> None:
        """Stand where `describe` was asked."""
        self.epoch, self.step, self.over = described["epoch"], described["step"], described["over"]
        progress = described["progress"]
        self.progress = None if progress is None else progress_from(progress, scores)
        self._running_feed().go_on(described["feed"], self.step)

    def _running_feed(self) -> Feed:
        assert self.feed is not None
        feed = self.feed()
        assert feed is not None  # there is one while `fit` runs
        return feed


def describe_progress(progress: AnyProgress) -> dict[str, Any]:
    """The sums of an epoch so far, as plain data with arrays."""
    if isinstance(progress, _core.Progress):
        return {name: getattr(progress, name) for name in SUMS}
    native = progress.counted if isinstance(progress, CustomProgress) else progress.native
    described: dict[str, Any] = {"functions": [list(pair) for pair in progress.observed.states.items()]}
    described["native"] = None if native is None else describe_progress(native)
    if isinstance(progress, CustomProgress):
        described["custom"] = {name: getattr(progress, name) for name in ("loss", "rows", "weight", "next_step")}
    return described


def progress_from(described: dict[str, Any], scores: Sequence[Score]) -> AnyProgress:
    """The inverse of `describe_progress`."""
    if "functions" not in described:
        return _core.Progress(**{name: described[name] for name in SUMS})
    states = {place: np.asarray(state) for place, state in described["functions"]}
    native = described["native"] and _core.Progress(**{name: described["native"][name] for name in SUMS})
    if "custom" in described:
        return CustomProgress(Observed(scores, states), counted=native or None, **described["custom"])
    progress = ObservedProgress(scores)
    progress.observed.states = states
    if native:
        progress.go_on(native)
    return progress
