"""Steps with a loss that is a Python function: forward, through the function, backward and to the update."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..data import targets, weights
from ..data.arrays import Inputs
from ..losses.custom import CustomLoss
from ..metrics.reductions import MeanMetricWrapper
from ..optimizers.base import Optimizer
from .executor import SLICE_SECONDS, Executor
from .observed_steps import Observed
from .task import Score

Array = NDArray[Any]


@dataclass
class CustomProgress:
    """What `_core.Progress` is to a native loss."""

    observed: Observed
    loss: float = 0.0
    rows: int = 0
    weight: float = 0.0  # of the rows
    next_step: int = 0
    scorer: _core.Program | None = None
    counted: _core.Progress | None = None

    @property
    def losses(self) -> list[float]:
        return [self.loss]

    @property
    def weights(self) -> list[float]:
        return [self.weight]

    @property
    def metrics(self) -> list[Any]:
        return self.observed.beside([] if self.counted is None else self.counted.metrics)


class CustomSteps:
    """Steps of an executor's program with a custom loss: `train` and `evaluate` as `Executor` has them."""

    def __init__(
        self, executor: Executor, loss: CustomLoss, scores: Sequence[Score], specs: list[Any], loss_weight: float
    ) -> None:
        self.executor, self.loss, self.loss_weight = executor, loss, loss_weight
        self.scores = scores
        self.specs = [spec for spec in specs if spec != MeanMetricWrapper.kind]  # of the core's metrics

    def trained_paths(self) -> list[str]:
        """As the executor has them."""
        return self.executor.trained_paths()

    def train(
        self,
        x: Inputs,
        y: Any,
        optimizer: Optimizer,
        *,
        batch_size: int,
        first_step: int = 0,
        max_steps: int = 0,
        threads: int = 0,
        order: NDArray[np.int64] | None = None,
        after: Any = None,
        sample_weight: Any = None,
        class_weight: NDArray[np.float64] | None = None,
        gradient_norms: NDArray[np.float64] | None = None,
        health: _core.Health | None = None,
    ) -> CustomProgress:
        """Steps of an epoch, for about `SLICE_SECONDS`."""
        steps = -(-len(x) // batch_size)
        program = self.executor.take(optimizer)
        progress: CustomProgress = after or CustomProgress(Observed(self.scores))
        end = steps if max_steps == 0 else min(steps, first_step + max_steps)
        until = time.monotonic() + SLICE_SECONDS
        with self.executor.threads(threads):
            for step in range(first_step, end):
                pace, momentum = optimizer.pace.of_epoch(optimizer.batches, step, steps, 1)
                position = slice(step * batch_size, (step + 1) * batch_size)
                chosen = position if order is None else order[position]
                prediction = program.forward(x[chosen], training=True, health=health)
                penalty = len(prediction) * program.penalty(len(prediction))
                weight = _chosen(sample_weight, chosen)
                gradient = self._score(progress, y[chosen], prediction, penalty, weight, class_weight)
                program.backward(gradient)
                program.update(float(pace), None if momentum is None else float(momentum), health)
                norms = program.gradient_norms
                if gradient_norms is not None and norms is not None:
                    gradient_norms[step] = list(norms.values())
                progress.next_step = step + 1
                if time.monotonic() >= until:
                    break
        return progress

    def evaluate(
        self,
        x: Inputs,
        y: Any,
        *,
        batch_size: int,
        threads: int = 0,
        first_step: int = 0,
        after: Any = None,
        sample_weight: Any = None,
    ) -> CustomProgress:
        """Steps of an evaluation, for about `SLICE_SECONDS`."""
        self.executor.synchronize()
        progress: CustomProgress = after or CustomProgress(Observed(self.scores))
        until = time.monotonic() + SLICE_SECONDS
        with self.executor.threads(threads):
            for step in range(first_step, -(-len(x) // batch_size)):
                chosen = slice(step * batch_size, (step + 1) * batch_size)
                prediction, penalty = self._predict(x[chosen])
                self._score(progress, y[chosen], prediction, penalty, _chosen(sample_weight, chosen), None)
                progress.next_step = step + 1
                if time.monotonic() >= until:
                    break
        return progress

    def _predict(self, x: Inputs) -> tuple[Array, float]:
        """Predictions, and the penalties beside them times the number of rows."""
        program, capacity = self.executor.program, self.executor.capacity
        if len(x) <= capacity:
            prediction = program.predict(x)
            return prediction, len(x) * program.penalty(len(x))
        parts = [self._predict(x[first : first + capacity]) for first in range(0, len(x), capacity)]
        return np.concatenate([prediction for prediction, _ in parts]), math.fsum(penalty for _, penalty in parts)

    def _score(
        self,
        progress: CustomProgress,
        y: Array,
        prediction: Array,
        penalty: float,
        sample_weight: Array | None,
        class_weight: NDArray[np.float64] | None,
    ) -> Array:
        """Add a batch's loss and metrics; the gradient of the batch's loss is returned."""
        value, gradient = self.loss.of_batch(y, prediction)
        rows = len(prediction)
        factor: Any = self.loss_weight
        row_weights = weights.of_rows(y, sample_weight, class_weight)
        if row_weights is not None:
            if value.ndim == 0:
                raise ValueError(
                    f"loss {self.loss.name!r}: value: expected one for each row beside weights, received one number"
                )
            factor = row_weights * factor
        if value.ndim == 0:
            total, factor = float(value) * rows * factor, np.asarray(factor)
        else:
            total, factor = math.fsum(value * factor), np.asarray(factor) / rows
        progress.loss += total + penalty
        progress.rows += rows
        progress.weight += rows if row_weights is None else math.fsum(row_weights)
        progress.observed.add(y, prediction, row_weights)
        if self.specs:
            self._measure(progress, y, prediction, row_weights)
        return np.ascontiguousarray(gradient * factor[..., None], prediction.dtype)

    def _measure(self, progress: CustomProgress, y: Array, prediction: Array, row_weights: Array | None) -> None:
        """Metrics of given predictions: those of a network that passes its input on."""
        rows, units = prediction.shape
        sparse = takes_labels(y, units)
        if progress.scorer is None:
            layer = {"kind": "activation", "name": "prediction", "activation": "linear", "parameters": {}}
            kind = "sparse_categorical_crossentropy" if sparse else "mean_squared_error"
            spec = {
                "inputs": units,
                "layers": [layer],
                "loss": {"kind": kind, "from_logits": sparse},
                "metrics": self.specs,
                "optimizer": None,
            }
            progress.scorer = _core.Program(
                spec, dtype=str(prediction.dtype), batch_size=max(rows, self.executor.capacity)
            )
        kind = "labels" if sparse else "values"
        where = f"metrics beside loss {self.loss.name!r}"
        target = targets.read_target(where, "y", y, (rows, units), str(prediction.dtype), kind, allow_nonfinite=True)
        progress.counted = progress.scorer.evaluate(
            prediction,
            target,
            batch_size=rows,
            after=progress.counted,
            sample_weight=None if row_weights is None else row_weights[:, None],
        )


def takes_labels(y: Array, units: int) -> bool:
    """Whether targets are class numbers, as far as their shape and type tell."""
    return units > 1 and y.dtype.kind in "iub" and y.shape in ((len(y),), (len(y), 1))


def _chosen(sample_weight: Array | None, rows: Any) -> Array | None:
    return None if sample_weight is None else sample_weight[rows]
