"""F scores and areas under curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import errors
from .base import MOST_THRESHOLDS, Metric, State, plain, ratio
from .confusion import Counts

TINY = 1e-7  # added to Keras' denominators


class FBetaScore(Metric):
    """(1 + beta^2) precision recall / (beta^2 precision + recall), for each class: recall weighs beta times as much.

    `average` of the classes: None for all values, "macro" for their mean, "weighted" for their mean by the number of
    true rows, "micro" for the score of all classes' counts together. `threshold`: outputs above it are predicted; None:
    the largest output of a row is. A single output needs a threshold. Targets are one-hot or 0 and 1 [rows, classes],
    or class numbers [rows].
    """

    kind = "class_sums"
    default_name = "fbeta_score"
    targets = "either"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        where = type(self).__name__
        known = ("micro", "macro", "weighted")
        if average is not None and average not in known:
            raise errors.unknown_name(where, "average", average, known)
        self.average = average
        self.beta = errors.number(where, "beta", beta, above=0.0)
        self.threshold = threshold
        if threshold is not None:
            self.threshold = errors.number(where, "threshold", threshold, above=0.0, at_most=1.0)

    def get_config(self) -> dict[str, Any]:
        return {"average": self.average, "beta": self.beta, "threshold": self.threshold, "name": self.name}

    def settings(self) -> dict[str, Any]:
        return {} if self.threshold is None else {"threshold": self.threshold}

    def check(self, where: str, units: int) -> None:
        if units == 1 and self.threshold is None:
            raise ValueError(
                f"{where}: metric {self.name!r} has no threshold, so the largest of a row's outputs is predicted, but "
                f"the model has 1 output: use threshold=0.5"
            )

    def compute(self, state: State, weight: float, rows: int) -> Any:
        right, predicted, true = state.reshape(3, -1)
        weights = true
        if self.average == "micro":
            right, predicted, true = right.sum(), predicted.sum(), true.sum()
        precision, recall = right / (predicted + TINY), right / (true + TINY)
        square = self.beta**2
        score: Any = (1 + square) * precision * recall / (square * precision + recall + TINY)
        if self.average == "weighted":
            score = (score * weights).sum() / (weights.sum() + TINY)
        elif self.average == "macro":
            score = score.mean()
        return plain(score)


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall), for each class; arguments as `FBetaScore` has, without beta."""

    default_name = "f1_score"

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = None) -> None:
        super().__init__(average, 1.0, threshold, name)

    def get_config(self) -> dict[str, Any]:
        return {"average": self.average, "threshold": self.threshold, "name": self.name}


class AUC(Metric):
    """The area under the ROC or the precision-recall curve, from counts at `num_thresholds` thresholds (200).

    ROC: recall over fp / (fp + tn); the area is the probability that a positive is ranked above a negative. "PR":
    precision over recall, which says more where positives are rare. `summation_method`: "interpolation" (trapezoids;
    for PR the formula of Davis & Goadrich, 2006, which interpolates counts), "minoring" or "majoring" (the smaller or
    larger ends). "PRGAIN": precision gain over recall gain, 1 - fp / tp * positives / negatives and the same of fn; 0
    as good as always saying yes, 1 perfect, comparable between shares of positives (Flach and Kull 2015).
    Thresholds are evenly spaced in [0, 1], or those of `thresholds` and the ends: the area is an
    approximation, good where the predictions spread over them.

    `multi_label` keeps every output's curve apart, and takes the mean of the areas, weighted by `label_weights`
    [units]; else all outputs count alike. `from_logits`: the outputs are before the sigmoid.
    """

    kind = "threshold_counts"
    default_name = "auc"
    targets = "either"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name)
        curves = ("ROC", "PR", "PRGAIN")
        if not isinstance(curve, str) or curve not in (*curves, *map(str.lower, curves)):
            raise errors.unknown_name("AUC", "curve", curve, curves)
        methods = ("interpolation", "minoring", "majoring")
        if summation_method not in methods:
            raise errors.unknown_name("AUC", "summation_method", summation_method, methods)
        self.curve = curve.upper()
        self.summation_method = summation_method
        self.num_thresholds = errors.integer(
            "AUC", "num_thresholds", num_thresholds, at_least=2, at_most=MOST_THRESHOLDS
        )
        self.thresholds: list[float] | None = None  # those between the ends
        if thresholds is not None:
            inner = [errors.number("AUC", "thresholds", t, at_least=0.0, at_most=1.0) for t in thresholds]
            self.thresholds = sorted(inner)
            self.num_thresholds = len(inner) + 2
        self.multi_label = errors.boolean("AUC", "multi_label", multi_label)
        self.num_labels = None if num_labels is None else errors.integer("AUC", "num_labels", num_labels, at_least=1)
        self.label_weights: list[float] | None = None
        if label_weights is not None:
            self.label_weights = [errors.number("AUC", "label_weights", w, at_least=0.0) for w in label_weights]
        if not self.multi_label and (num_labels is not None or label_weights is not None):
            given = "label_weights" if num_labels is None else "num_labels"
            raise errors.wrong_value("AUC", given, "None unless multi_label=True", locals()[given])
        self.from_logits = errors.boolean("AUC", "from_logits", from_logits)

    def get_config(self) -> dict[str, Any]:
        return {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "name": self.name,
            "thresholds": self.thresholds,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }

    def settings(self) -> dict[str, Any]:
        steps = self.num_thresholds - 1
        inner = np.array([i / steps for i in range(1, steps)] if self.thresholds is None else self.thresholds)
        if self.from_logits:  # a sigmoid is above t where its logit is above log(t / (1 - t))
            with np.errstate(divide="ignore"):
                inner = np.log(inner) - np.log1p(-inner)
        return {"thresholds": inner.tolist(), "multi_label": self.multi_label}

    def check(self, where: str, units: int) -> None:
        for argument in ("num_labels", "label_weights"):
            value = getattr(self, argument)
            labels = len(value) if isinstance(value, list) else value
            if labels not in (None, units):
                raise ValueError(
                    f"{where}: metric {self.name!r} has {argument} for {labels} labels, the model has {units} outputs"
                )

    def compute(self, state: State, weight: float, rows: int) -> Any:
        histogram = state.reshape(-1, 2, self.num_thresholds - 1)
        # Every prediction is above the first threshold, just below 0, and none above the last, just over 1.
        ends = np.zeros((*histogram.shape[:2], 1))
        areas = self._areas(Counts.of(np.concatenate([ends, histogram, ends], axis=-1)))
        weights = self.label_weights
        return float(areas.mean() if weights is None else ratio((areas * weights).sum(), sum(weights)))

    def _areas(self, counts: Counts) -> Any:
        """The area of each label."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            tp, positive = counts.tp, counts.tp + counts.fp
            more_tp, more = tp[:, :-1] - tp[:, 1:], positive[:, :-1] - positive[:, 1:]
            slope = ratio(more_tp, more)
            intercept = tp[:, 1:] - slope * positive[:, 1:]
            growth = np.where(positive[:, 1:] > 0, ratio(positive[:, :-1], positive[:, 1:]), 1)
            return ratio(slope * (more_tp + intercept * np.log(growth)), (tp + counts.fn)[:, 1:]).sum(axis=-1)
        curves = {
            "ROC": ("fallout", "recall"),
            "PR": ("recall", "precision"),
            "PRGAIN": ("recall_gain", "precision_gain"),
        }
        x, y = (getattr(counts, name) for name in curves[self.curve])
        heights = {
            "interpolation": (y[:, :-1] + y[:, 1:]) / 2,
            "minoring": np.minimum(y[:, :-1], y[:, 1:]),
            "majoring": np.maximum(y[:, :-1], y[:, 1:]),
        }[self.summation_method]
        return ((x[:, :-1] - x[:, 1:]) * heights).sum(axis=-1)
