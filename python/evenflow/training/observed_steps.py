"""Steps of the core, one at a time, with metrics that are Python functions of each batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..data import weights
from ..data.arrays import Inputs, Several
from ..metrics.base import State
from ..metrics.reductions import MeanMetricWrapper
from ..optimizers.base import Optimizer
from .executor import SLICE_SECONDS, Executor
from .task import Score

if TYPE_CHECKING:
    from .. import _core

Array = NDArray[Any]


@dataclass
class Observed:
    """The states of those metrics that are functions."""

    scores: Sequence[Score]
    states: dict[int, State] = field(default_factory=dict)  # by place among the scores

    @property
    def outputs(self) -> list[int]:
        """The outputs that have such metrics."""
        return sorted({score.output for score in self.scores if isinstance(score.metric, MeanMetricWrapper)})

    def add(self, y: Array, prediction: Array, row_weights: State | None, output: int = 0) -> None:
        """Count a batch of an output; weights of its rows bear on weighted metrics."""
        for place, score in enumerate(self.scores):
            if isinstance(score.metric, MeanMetricWrapper) and score.output == output:
                added = score.metric.of_batch(y, prediction, row_weights if score.weighted else None)
                self.states[place] = added if place not in self.states else self.states[place] + added

    def beside(self, native: Sequence[State]) -> list[State]:
        """All metrics' states, in order, where the core has those of the others, and after them, for each output that
        has functions, that of its predictions."""
        others, outputs, found = iter(native), self.outputs, []
        for i, score in enumerate(self.scores):
            found.append(self.states[i] if i in self.states else next(others))
            last_of_output = i + 1 == len(self.scores) or self.scores[i + 1].output != score.output
            if last_of_output and score.output in outputs:
                next(others, None)
        return found


class ObservedProgress:
    """A `_core.Progress`, and the states of the functions beside it."""

    def __init__(self, scores: Sequence[Score]) -> None:
        self.observed = Observed(scores)
        self.native: _core.Progress | None = None
        self.loss, self.rows, self.next_step = 0.0, 0, 0
        self.losses: list[float] = []
        self.weights: list[float] = []

    def go_on(self, native: _core.Progress) -> int:
        """Take over what a step returned; the number of its rows."""
        rows = native.rows - self.rows
        self.native, self.loss, self.rows = native, native.loss, native.rows
        self.losses, self.weights, self.next_step = native.losses, native.weights, native.next_step
        return rows

    @property
    def metrics(self) -> list[State]:
        return self.observed.beside([] if self.native is None else self.native.metrics)


class ObservedSteps:
    """`train` and `evaluate` as `Executor` has them, for an executor whose spec keeps predictions."""

    def __init__(self, executor: Executor, scores: Sequence[Score]) -> None:
        self.executor, self.scores = executor, scores

    def trained_paths(self) -> list[str]:
        """As the executor has them."""
        return self.executor.trained_paths()

    def train(
        self,
        x: Inputs,
        y: Array | Several,
        optimizer: Optimizer,
        *,
        batch_size: int,
        first_step: int = 0,
        max_steps: int = 0,
        after: Any = None,
        order: Array | None = None,
        sample_weight: Array | Several | None = None,
        class_weight: Array | None = None,
        **arguments: Any,
    ) -> ObservedProgress:
        """Steps of an epoch, for about `SLICE_SECONDS`."""
        progress: ObservedProgress = after or ObservedProgress(self.scores)

        def step(number: int, native: _core.Progress | None) -> _core.Progress:
            return self.executor.train(
                x,
                y,
                optimizer,
                batch_size=batch_size,
                first_step=number,
                max_steps=1,
                after=native,
                order=order,
                sample_weight=sample_weight,
                class_weight=class_weight,
                **arguments,
            )

        steps = -(-len(x) // batch_size)
        end = steps if max_steps == 0 else min(steps, first_step + max_steps)
        self._run(progress, step, range(first_step, end), batch_size, y, order, sample_weight, class_weight)
        return progress

    def evaluate(
        self,
        x: Inputs,
        y: Array | Several,
        *,
        batch_size: int,
        threads: int = 0,
        first_step: int = 0,
        after: Any = None,
        sample_weight: Array | Several | None = None,
    ) -> ObservedProgress:
        """Steps of an evaluation, for about `SLICE_SECONDS`."""
        progress: ObservedProgress = after or ObservedProgress(self.scores)
        batch = min(batch_size, self.executor.capacity)

        def step(number: int, native: _core.Progress | None) -> _core.Progress:
            return self.executor.evaluate(
                x,
                y,
                batch_size=batch,
                threads=threads,
                first_step=number,
                max_steps=1,
                after=native,
                sample_weight=sample_weight,
            )

        self._run(progress, step, range(first_step, -(-len(x) // batch)), batch, y, None, sample_weight, None)
        return progress

    def _run(
        self,
        progress: ObservedProgress,
        step: Callable[[int, _core.Progress | None], _core.Progress],
        steps: range,
        batch: int,
        y: Array | Several,
        order: Array | None,
        sample_weight: Array | Several | None,
        class_weight: Array | None,
    ) -> None:
        until = time.monotonic() + SLICE_SECONDS
        for number in steps:
            rows = progress.go_on(step(number, progress.native))
            position = slice(number * batch, number * batch + rows)
            chosen = position if order is None else order[position]
            for output in progress.observed.outputs:
                own = _of_output(y, output)
                weight = _of_output(sample_weight, output)
                assert own is not None  # an output without targets has no metrics
                row_weights = weights.of_rows(own[chosen], None if weight is None else weight[chosen], class_weight)
                prediction = self.executor.program.predictions(rows, output)
                progress.observed.add(own[chosen], prediction, row_weights, output)
            if time.monotonic() >= until:
                break


def _of_output(given: Array | Several | None, output: int) -> Array | None:
    return given.arrays[output] if isinstance(given, Several) else given
