"""Metric, the base class: what the native core counts, and what is made of the counts.

A metric's *state* is a row of sums. The core adds to it while it trains and evaluates, in row order, and `compute`
turns it into the result; so a result over many batches is that over all their rows, not a mean of means.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, errors
from ..common.keywords import Checked
from ..data import arrays, targets

State = NDArray[np.float64]
# More are a mistake, or a file that means harm.
MOST_THRESHOLDS = 100_000
MOST_CLASSES = 10_000  # of a matrix


class Metric(Checked):
    """Base class. `name` is the key in History.

    Beside its use in `compile(metrics=...)` a metric works alone, as in Keras: `update_state(y_true, y_pred)` adds
    rows, `result()` tells the value over all of them, `reset_state()` forgets them.
    """

    kind: ClassVar[str]  # the core's word for what is counted
    default_name: ClassVar[str] = ""  # `kind` unless given
    targets: str = "dense"  # what y may be: "dense" [rows, units], "labels" [rows], "either", or "any" where unread
    of_distributions: ClassVar[bool] = False  # it reads `outputs_per_target` outputs for each target
    outputs_per_target: int = 1
    lower_is_better: ClassVar[bool | None] = False  # None: neither is

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise errors.wrong_type(type(self).__name__, "name", "a string", name)
        self.name = name or self.default_name or self.kind
        self._state: State | None = None
        self._weight = 0.0
        self._rows = 0

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same object again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric of `get_config`'s data."""
        return cls(**config)

    def settings(self) -> dict[str, Any]:
        """What the core must know beside the kind."""
        return {}

    def spec(self, **beside: Any) -> str | dict[str, Any]:
        """The core's description, with more settings `beside` those of the metric."""
        settings = self.settings() | beside
        return {"kind": self.kind, **settings} if settings else self.kind

    def check(self, where: str, units: int) -> None:
        """Raise where the metric cannot be computed of so many outputs."""

    def compute(self, state: State, weight: float, rows: int) -> Any:
        """The result of a state: a float, or an array where the metric has several values.

        `weight` is the sum of the rows' weights, `rows` their number, which is the same without weights.
        """
        return mean(state, weight)

    # alone

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add rows: y_pred [rows, units] (or [rows], of one unit), y_true as the metric takes it, weights [rows]."""
        where = f"{type(self).__name__}.update_state"
        p = arrays.as_array(where, "y_pred", y_pred)
        p = p.reshape(-1, 1) if p.ndim == 1 else p
        if p.ndim != 2 or 0 in p.shape:
            raise errors.wrong_shape(where, "y_pred", ("rows", "units"), p.shape)
        p = np.ascontiguousarray(p, dtype=p.dtype if p.dtype == np.float64 else np.float32)
        rows, units = p.shape
        self.check(where, units)
        y = arrays.as_array(where, "y_true", y_true)
        t: NDArray[Any]
        if self.targets == "labels" or (self.targets == "either" and units > 1 and y.shape in ((rows,), (rows, 1))):
            t = targets.read_labels(where, "y_true", y, rows, units)
        else:
            columns = units // self.outputs_per_target
            t = targets.read_values(where, "y_true", y, rows, columns, str(p.dtype), "values", allow_nonfinite=True)
        weights = read_weights(where, sample_weight, rows)
        added = _core.metric_sums(self.spec(), p, t, weights)
        if self._state is not None and self._state.shape != added.shape:
            raise ValueError(f"{where}: y_pred has {units} units, other than before: call reset_state() in between")
        self._state = added if self._state is None else self._state + added
        self._weight += rows if weights is None else float(weights.sum())
        self._rows += rows

    def result(self) -> Any:
        """The value over all rows since the last reset; 0 without any."""
        return 0.0 if self._state is None else self.compute(self._state, self._weight, self._rows)

    def reset_state(self) -> None:
        """Forget all rows."""
        self._state, self._weight, self._rows = None, 0.0, 0

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        """`update_state`, then `result`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()


def read_weights(where: str, sample_weight: ArrayLike | None, rows: int) -> State | None:
    """Weights of rows, float64 [rows]."""
    if sample_weight is None:
        return None
    weights = np.ascontiguousarray(arrays.as_array(where, "sample_weight", sample_weight), dtype=np.float64)
    if weights.shape != (rows,):
        raise errors.wrong_shape(where, "sample_weight", (rows,), weights.shape)
    return weights


def mean(state: State, weight: float) -> float:
    """The mean of a value per row."""
    return float(state[0]) / weight if weight else 0.0


def ratio(a: Any, b: Any) -> Any:
    """a / b, and 0 where b is 0."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.zeros(a.shape), where=b != 0)


def plain(value: Any) -> Any:
    """A float for an array without dimensions."""
    return float(value) if np.ndim(value) == 0 else value
