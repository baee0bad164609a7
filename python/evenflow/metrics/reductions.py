"""Mean and sum of values that somebody else has, and the metric that is a Python function. As in Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import errors
from ..common.functions import takes
from ..data import arrays
from .base import Metric, State, mean, read_weights

Array = NDArray[Any]


class Mean(Metric):
    """Mean of the values that `update_state(values, sample_weight)` is given, weighted where there are weights: what
    lies along other axes than the first is averaged, or counts alike where weights have these axes too.

    Works alone, and not in `compile`: a model has targets and predictions, of which `MeanMetricWrapper` makes values.
    """

    kind = "mean"
    lower_is_better = None

    def check(self, where: str, units: int) -> None:
        raise ValueError(
            f"{where}: metric {self.name!r} takes values, a model has targets and predictions: expected a function of "
            f"both, or MeanMetricWrapper(function)"
        )

    def update_state(  # type: ignore[override]  # one array, as in Keras
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add values: [rows], one number, or more axes."""
        where = f"{type(self).__name__}.update_state"
        found = np.asarray(arrays.as_array(where, "values", values), np.float64)
        added = self._sums(*self._rows_of(where, found, sample_weight))
        self._state = added if self._state is None else self._state + added

    def _rows_of(self, where: str, values: State, sample_weight: ArrayLike | None) -> tuple[State, State]:
        weights: State = np.ones(values.shape[:1])
        if sample_weight is not None:
            weights = np.asarray(arrays.as_array(where, "sample_weight", sample_weight), np.float64)
            if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
                weights = weights[..., 0]
            if weights.ndim > values.ndim or weights.shape != values.shape[: weights.ndim]:
                raise errors.wrong_shape(where, "sample_weight", values.shape[:1], weights.shape)
        values = self._reduced(values, weights.ndim) * weights
        return self._reduced(values, 1), self._reduced(weights, 1)

    def _reduced(self, values: State, axes: int) -> State:
        rest = tuple(range(axes, values.ndim))
        return np.asarray(values.mean(axis=rest) if rest else values)

    def _sums(self, values: State, weights: State) -> State:
        return np.array([values.sum(), weights.sum()])

    def compute(self, state: State, weight: float, rows: int) -> Any:
        return mean(state, state[1])

    def __call__(  # type: ignore[override]
        self, values: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        self.update_state(values, sample_weight)
        return self.result()


class Sum(Mean):
    """Sum of the values that `update_state(values, sample_weight)` is given, each times its weight."""

    kind = "sum"

    def _reduced(self, values: State, axes: int) -> State:
        return np.asarray(values.sum(axis=tuple(range(axes, values.ndim))))

    def compute(self, state: State, weight: float, rows: int) -> Any:
        return float(state[0])


class MeanMetricWrapper(Metric):
    """Mean over rows of what a function returns: `fn(y_true, y_pred, **kwargs)` of the rows of a batch.

    It returns a value for each row, [rows], or more axes, of which the mean is taken; or one number, which then counts
    once for each batch and cannot have weights. y_true is [rows, columns], or class numbers [rows], y_pred
    [rows, outputs]. In `compile(metrics=[...])` the function itself will do. Slower than a metric of the core: while
    one is there, every step ends in Python. The steps themselves stay native and keep their bits.
    """

    kind = "predictions"
    default_name = "mean_metric_wrapper"
    targets = "any"
    lower_is_better = None

    def __init__(self, fn: Callable[..., ArrayLike], name: str | None = None, **kwargs: Any) -> None:
        if not takes(fn, 2, **kwargs):
            expected = "a function of (y_true, y_pred)" + "".join(f", {key}" for key in kwargs)
            raise errors.wrong_type("MeanMetricWrapper", "fn", expected, fn)
        super().__init__(name or getattr(fn, "__name__", None))
        self.fn, self.arguments = fn, kwargs

    @property
    def function_name(self) -> str:
        """What `custom_objects` of `load_model` calls the function."""
        return str(getattr(self.fn, "__name__", type(self.fn).__name__))

    def get_config(self) -> dict[str, Any]:
        """The function's name, which `load_model` needs in `custom_objects`, and its arguments."""
        return {"fn": self.function_name, "name": self.name, **self.arguments}

    def of_batch(self, y: Array, prediction: Array, weights: State | None = None) -> State:
        """What a batch adds to the state, [sum of weight times value, sum of weights]."""
        where = f"metric {self.name!r}"
        values = np.asarray(arrays.as_array(where, "value", self.fn(y, prediction, **self.arguments)), np.float64)
        if values.ndim == 0 and weights is None:
            return np.array([values, 1.0])
        if values.shape[:1] != (len(prediction),):
            hint = "" if weights is not None else "Or one number for the batch."
            raise errors.wrong_shape(where, "value", (len(prediction),), values.shape, hint)
        values = values.mean(axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values
        return np.array([values.sum(), len(values)] if weights is None else [values @ weights, weights.sum()])

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        where = f"{type(self).__name__}.update_state"
        y, p = arrays.as_array(where, "y_true", y_true), arrays.as_array(where, "y_pred", y_pred)
        added = self.of_batch(y, p, read_weights(where, sample_weight, len(p)))
        self._state = added if self._state is None else self._state + added

    def compute(self, state: State, weight: float, rows: int) -> Any:
        return mean(state, state[1])
