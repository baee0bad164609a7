"""A loss that is a Python function: training goes forward, through the function, backward and to the update."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, data, errors, targets, weights
from .data import Inputs
from .executor import SLICE_SECONDS, Executor
from .functions import takes
from .loss import Loss
from .observed_steps import Observed
from .optimizer import Optimizer
from .reduction_metrics import MeanMetricWrapper
from .task import Score

Array = NDArray[Any]
Function = Callable[[Array, Array], tuple[Any, ArrayLike]]


class CustomLoss(Loss):
    """What `compile(loss=function)` makes of a function of (y, prediction) that returns (value, gradient).

    y is rows of what `fit` was given, prediction [rows, outputs] of the model's dtype. value is [rows], each row's
    loss, or one number, the loss of the batch; gradient [rows, outputs] is the derivative of value's sum. So values of
    rows are divided by the number of rows and may have weights; one number is taken as it is, and goes without. Both
    must be real and finite. Slower than a loss of the core: every step passes through Python. As beside every loss,
    what is reported has the penalties of layers in it, and schedules may move the momentum.
    """

    kind = "custom"

    def __init__(self, function: Function) -> None:
        if not takes(function, 2):
            expected = "a function of (y, prediction), or a loss such as MeanSquaredError()"
            raise errors.wrong_type("CustomLoss", "function", expected, function)
        super().__init__(name=getattr(function, "__name__", type(function).__name__))
        self.function = function

    def get_config(self) -> dict[str, Any]:
        """The function's name: what `load_model` needs in `custom_objects`."""
        return {"name": self.name}

    def spec(self) -> dict[str, Any]:
        raise TypeError(f"loss {self.name!r} is a Python function, which the native core cannot run by itself")

    def read_target(
        self, where: str, argument: str, y: Array, shape: tuple[int, ...], dtype: str, allow_nonfinite: bool
    ) -> Array:
        if y.dtype.kind == "f" and not allow_nonfinite and y.size:
            data.check_finite(where, argument, data.read_floats(y.reshape(len(y), -1), dtype), dtype)
        return y

    def _found(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
        prediction = data.as_array(self.name, "y_pred", y_pred)
        value, gradient = self.of_batch(data.as_array(self.name, "y_true", y_true), prediction)
        return np.atleast_1d(value), gradient / (len(prediction) if np.ndim(value) else 1)

    def of_batch(self, y: Array, prediction: Array) -> tuple[Array, Array]:
        """What the function returns, checked: values [rows] or one, and the gradient."""
        where = f"loss {self.name!r}"
        returned = self.function(y, prediction)
        if not isinstance(returned, tuple) or len(returned) != 2:
            received = f"{len(returned)} values" if isinstance(returned, tuple) else f"a {type(returned).__name__}"
            raise errors.wrong_kind(where, "what it returns", "(value, gradient)", received)
        value, gradient = (data.as_array(where, n, r) for n, r in zip(("value", "gradient"), returned, strict=True))
        if value.shape not in ((), (len(prediction),)):
            raise errors.wrong_shape(where, "value", (len(prediction),), value.shape, "Or one number for the batch.")
        if gradient.shape != prediction.shape:
            raise errors.wrong_shape(where, "gradient", prediction.shape, gradient.shape)
        for name, array in (("value", value), ("gradient", gradient)):
            if not np.isfinite(array).all():
                at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
                place = f" at {list(at)}" if at else ""
                raise ValueError(f"{where}: {name} has {array[at]}{place}, expected finite numbers")
        return value, gradient


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
                prediction = program.forward(x[chosen], training=True)
                penalty = len(prediction) * program.penalty(len(prediction))
                weight = _chosen(sample_weight, chosen)
                gradient = self._score(progress, y[chosen], prediction, penalty, weight, class_weight)
                program.backward(gradient)
                program.update(float(pace), None if momentum is None else float(momentum))
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
