"""Metrics made of counts: what was predicted, against what was true.

Most count, in one pass, positive and negative targets by the number of thresholds below the prediction; true and false
positives of every threshold are sums of these. A target is positive where it is not 0, and a prediction where it is
above the threshold. Class numbers [rows] are taken as one-hot rows, so these metrics go with every classification loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import errors
from .base import MOST_THRESHOLDS, Metric, State, ratio

Array = NDArray[np.float64]

EVERYTHING = -1e10  # Keras' threshold where `top_k` chooses the predictions


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives, [..., thresholds]."""

    tp: Array
    fp: Array
    fn: Array
    tn: Array

    @classmethod
    def of(cls, histogram: Array) -> Counts:
        """From counts [..., negative or positive, thresholds below the prediction]."""
        above = histogram[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
        below = histogram.sum(axis=-1, keepdims=True) - above
        return cls(tp=above[..., 1, :], fp=above[..., 0, :], fn=below[..., 1, :], tn=below[..., 0, :])

    @property
    def precision(self) -> Array:
        """tp / (tp + fp)."""
        return np.asarray(ratio(self.tp, self.tp + self.fp))

    @property
    def recall(self) -> Array:
        """tp / (tp + fn), also called sensitivity."""
        return np.asarray(ratio(self.tp, self.tp + self.fn))

    @property
    def recall_gain(self) -> Array:
        """1 - fn / tp * positives / negatives, at least 0; 0 without true positives, as in Keras."""
        odds = ratio(self.tp + self.fn, self.tn + self.fp)
        return np.where(self.tp == 0, 0.0, np.maximum(1 - odds * ratio(self.fn, self.tp), 0))

    @property
    def precision_gain(self) -> Array:
        """1 - fp / tp * positives / negatives; 1 without true positives, as in Keras."""
        odds = ratio(self.tp + self.fn, self.tn + self.fp)
        return np.where(self.tp == 0, 1.0, 1 - odds * ratio(self.fp, self.tp))

    @property
    def fallout(self) -> Array:
        """fp / (fp + tn), 1 - specificity."""
        return np.asarray(ratio(self.fp, self.fp + self.tn))


def check_class(metric: Metric, where: str, units: int, class_id: int | None) -> None:
    """Raise where there is no such output."""
    if class_id is not None and class_id >= units:
        raise ValueError(f"{where}: metric {metric.name!r} has class_id={class_id}, the model has {units} outputs")


class _AtThresholds(Metric):
    """A value at each of some thresholds, 0.5 unless given; `top_k` and `class_id` as `Precision` explains them."""

    kind = "threshold_counts"
    targets = "either"

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        where = type(self).__name__
        listed = [] if thresholds is None else list(np.atleast_1d(np.asarray(thresholds, dtype=object)))
        self.thresholds = [errors.number(where, "thresholds", t, at_least=0.0, at_most=1.0) for t in listed]
        if thresholds is not None and not self.thresholds:
            raise errors.wrong_value(where, "thresholds", "a number or some", thresholds)
        self.top_k = None if top_k is None else errors.integer(where, "top_k", top_k, at_least=1)
        self.class_id = None if class_id is None else errors.integer(where, "class_id", class_id, at_least=0)

    def get_config(self) -> dict[str, Any]:
        thresholds = self.thresholds or None
        return {"thresholds": thresholds, "top_k": self.top_k, "class_id": self.class_id, "name": self.name}

    @property
    def _used(self) -> list[float]:
        return self.thresholds or [0.5 if self.top_k is None else EVERYTHING]

    def settings(self) -> dict[str, Any]:
        return {"thresholds": sorted(self._used), "k": self.top_k, "class_id": self.class_id}

    def check(self, where: str, units: int) -> None:
        check_class(self, where, units, self.class_id)
        if self.top_k is not None and self.top_k > units:
            raise ValueError(f"{where}: metric {self.name!r} has top_k={self.top_k}, the model has {units} outputs")

    def value(self, counts: Counts) -> Array:
        """The value at each threshold."""
        raise NotImplementedError

    def compute(self, state: State, weight: float, rows: int) -> Any:
        values = self.value(Counts.of(state.reshape(2, -1)))
        in_order = np.argsort(np.argsort(self._used, kind="stable"), kind="stable")
        return float(values[0]) if len(values) == 1 else values[in_order]


class Precision(_AtThresholds):
    """tp / (tp + fp): the share of predicted positives that are right; 0 where nothing was predicted positive.

    `thresholds`: one or several in [0, 1] (0.5), with a value for each. All outputs count alike, so over a softmax they
    say how often what had more than half of the probability was right. `class_id`: only this output counts. `top_k`:
    only a row's k largest outputs are predicted positive, above any threshold if none is given.
    """

    default_name = "precision"

    def value(self, counts: Counts) -> Array:
        return counts.precision


class Recall(_AtThresholds):
    """tp / (tp + fn): the share of positives that were found; 0 where there are none. Arguments as `Precision` has."""

    default_name = "recall"

    def value(self, counts: Counts) -> Array:
        return counts.recall


class _Count(_AtThresholds):
    def __init__(self, thresholds: float | Sequence[float] | None = None, name: str | None = None) -> None:
        super().__init__(thresholds, name=name)

    def get_config(self) -> dict[str, Any]:
        return {"thresholds": self.thresholds or None, "name": self.name}


class TruePositives(_Count):
    """Number of positives predicted so, at each of `thresholds` (0.5)."""

    default_name = "true_positives"

    def value(self, counts: Counts) -> Array:
        return counts.tp


class FalsePositives(_Count):
    """Number of negatives predicted positive, at each of `thresholds` (0.5)."""

    default_name = "false_positives"

    def value(self, counts: Counts) -> Array:
        return counts.fp


class TrueNegatives(_Count):
    """Number of negatives predicted so, at each of `thresholds` (0.5)."""

    default_name = "true_negatives"

    def value(self, counts: Counts) -> Array:
        return counts.tn


class FalseNegatives(_Count):
    """Number of positives predicted negative, at each of `thresholds` (0.5)."""

    default_name = "false_negatives"

    def value(self, counts: Counts) -> Array:
        return counts.fn


class _Best(Metric):
    """The best of one value over thresholds where another is at least what was asked for; 0 where it never is."""

    kind = "threshold_counts"
    targets = "either"
    asked: ClassVar[str]

    def __init__(
        self, at_least: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        where = type(self).__name__
        self.at_least = errors.number(where, self.asked, at_least, at_least=0.0, at_most=1.0)
        self.num_thresholds = errors.integer(
            where, "num_thresholds", num_thresholds, at_least=1, at_most=MOST_THRESHOLDS
        )
        self.class_id = None if class_id is None else errors.integer(where, "class_id", class_id, at_least=0)

    def get_config(self) -> dict[str, Any]:
        rest = {"num_thresholds": self.num_thresholds, "class_id": self.class_id, "name": self.name}
        return {self.asked: self.at_least, **rest}

    def settings(self) -> dict[str, Any]:
        n = self.num_thresholds
        return {"thresholds": [0.5] if n == 1 else [i / (n - 1) for i in range(n)], "class_id": self.class_id}

    def check(self, where: str, units: int) -> None:
        check_class(self, where, units, self.class_id)

    def values(self, counts: Counts) -> tuple[Array, Array]:
        """What is asked for, and what is to be large."""
        raise NotImplementedError

    def compute(self, state: State, weight: float, rows: int) -> Any:
        asked, wanted = self.values(Counts.of(state.reshape(2, -1)))
        return float(np.where(asked >= self.at_least, wanted, 0.0).max())


class PrecisionAtRecall(_Best):
    """The best precision of `num_thresholds` thresholds from 0 to 1 whose recall is at least `recall`."""

    default_name = "precision_at_recall"
    asked = "recall"

    def __init__(
        self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name)

    def values(self, counts: Counts) -> tuple[Array, Array]:
        return counts.recall, counts.precision


class RecallAtPrecision(_Best):
    """The best recall of `num_thresholds` thresholds from 0 to 1 whose precision is at least `precision`."""

    default_name = "recall_at_precision"
    asked = "precision"

    def __init__(
        self, precision: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name)

    def values(self, counts: Counts) -> tuple[Array, Array]:
        return counts.precision, counts.recall


class SensitivityAtSpecificity(_Best):
    """The best tp / (tp + fn) of `num_thresholds` thresholds whose tn / (tn + fp) is at least `specificity`."""

    default_name = "sensitivity_at_specificity"
    asked = "specificity"

    def __init__(
        self, specificity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name)

    def values(self, counts: Counts) -> tuple[Array, Array]:
        return np.asarray(ratio(counts.tn, counts.tn + counts.fp)), counts.recall


class SpecificityAtSensitivity(_Best):
    """The best tn / (tn + fp) of `num_thresholds` thresholds whose tp / (tp + fn) is at least `sensitivity`."""

    default_name = "specificity_at_sensitivity"
    asked = "sensitivity"

    def __init__(
        self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name)

    def values(self, counts: Counts) -> tuple[Array, Array]:
        return counts.recall, np.asarray(ratio(counts.tn, counts.tn + counts.fp))


class ConfusionMatrix(Metric):
    """Counts [class of the target, largest output] as an array of int64, as scikit-learn's `confusion_matrix` has it.

    `classes`: the number of classes, which is that of the outputs; or 2 for a single output, which means the second
    class above 0.5. The result is the array itself: in History one for each epoch; progress displays leave it out.
    """

    kind = "confusion_matrix"
    targets = "either"

    def __init__(self, classes: int, name: str | None = None) -> None:
        super().__init__(name)
        self.classes = errors.integer("ConfusionMatrix", "classes", classes, at_least=2)

    def get_config(self) -> dict[str, Any]:
        return {"classes": self.classes, "name": self.name}

    def check(self, where: str, units: int) -> None:
        if self.classes != (2 if units == 1 else units):
            raise ValueError(
                f"{where}: metric {self.name!r} has classes={self.classes}, the model has {units} "
                f"{'output: classes=2' if units == 1 else 'outputs'}"
            )

    def compute(self, state: State, weight: float, rows: int) -> Any:
        counts = np.rint(state).astype(np.int64)
        whole = bool((counts == state).all())  # else there are weights of rows in it
        return (counts if whole else state).reshape(self.classes, self.classes)
