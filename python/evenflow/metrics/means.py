"""Metrics that are means over rows of a value of each row: accuracies, errors, cross-entropies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import errors
from ..losses.base import last_axis
from .base import Metric, State, mean, plain


class Accuracy(Metric):
    """Share of outputs that equal their target exactly.

    The name "accuracy" in `compile(metrics=["accuracy"])` is another thing: the accuracy that fits loss and outputs.
    """

    kind = "accuracy"


class BinaryAccuracy(Metric):
    """Share of outputs on the same side of `threshold` (0.5) as their target, which is 0 or 1."""

    kind = "binary_accuracy"

    def __init__(self, name: str | None = None, *, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = errors.number("BinaryAccuracy", "threshold", threshold)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "threshold": self.threshold}

    def settings(self) -> dict[str, Any]:
        return {"threshold": self.threshold} if self.threshold != 0.5 else {}


class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is where the target [rows, classes] is largest."""

    kind = "categorical_accuracy"


class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest output is the class of the target [rows]."""

    kind = "sparse_categorical_accuracy"
    targets = "labels"


class TopKCategoricalAccuracy(Metric):
    """Share of rows whose true class, where the target [rows, classes] is largest, has one of the `k` largest outputs.

    Outputs equal to the k-th largest count as among the k.
    """

    kind = "top_k_categorical_accuracy"

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        self.k = errors.integer(type(self).__name__, "k", k, at_least=1)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k, "name": self.name}

    def settings(self) -> dict[str, Any]:
        return {"k": self.k}

    def check(self, where: str, units: int) -> None:
        if self.k > units:
            raise ValueError(f"{where}: metric {self.name!r} has k={self.k}, the model has only {units} outputs")


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """Share of rows whose class, the target [rows], has one of the `k` largest outputs.

    Outputs equal to the k-th largest count as among the k.
    """

    kind = "sparse_top_k_categorical_accuracy"
    targets = "labels"


class MeanAbsoluteError(Metric):
    """mean(|y - p|) over a row's units."""

    kind = "mean_absolute_error"
    lower_is_better = True


class MeanSquaredError(Metric):
    """mean((y - p)^2) over a row's units."""

    kind = "mean_squared_error"
    lower_is_better = True


class RootMeanSquaredError(Metric):
    """sqrt(mean((y - p)^2)), the mean over all units and rows: in the units of the target."""

    kind = "mean_squared_error"
    default_name = "root_mean_squared_error"
    lower_is_better = True

    def compute(self, state: State, weight: float, rows: int) -> Any:
        return math.sqrt(mean(state, weight))


class MeanAbsolutePercentageError(Metric):
    """100 mean(|y - p| / max(|y|, 1e-7)) over a row's units."""

    kind = "mean_absolute_percentage_error"
    lower_is_better = True


class MeanSquaredLogarithmicError(Metric):
    """mean((log(1 + y) - log(1 + p))^2) over a row's units, both at least 1e-7: for targets over several magnitudes."""

    kind = "mean_squared_logarithmic_error"
    lower_is_better = True


class LogCoshError(Metric):
    """mean(log(cosh(p - y))) over a row's units: squares of small errors, absolute values of large ones."""

    kind = "log_cosh"
    default_name = "logcosh"
    lower_is_better = True


class CosineSimilarity(Metric):
    """sum(y p) / (|y| |p|) of a row: 1 for the same direction, 0 for a right angle, -1 for the opposite."""

    kind = "cosine_similarity"


class PearsonCorrelation(Metric):
    """Covariance of a row's targets and outputs over both standard deviations, in [-1, 1]: whether a row's units rise
    and fall together. NaN for rows that are constant, and for a single unit. `axis`: the only one of a row, -1."""

    kind = "pearson_correlation"

    def __init__(self, name: str | None = None, axis: int = -1) -> None:
        super().__init__(name)
        last_axis(type(self).__name__, axis)


class ConcordanceCorrelation(PearsonCorrelation):
    """2 cov(y, p) / (var y + var p + (mean y - mean p)^2 + 1e-7) over a row's units: the correlation, lowered where
    scales or means differ. Lin 1989."""

    kind = "concordance_correlation"


class Hinge(Metric):
    """mean(max(0, 1 - y p)) over a row's units; y is -1 or 1, and 0 stands for -1."""

    kind = "hinge"
    lower_is_better = True


class SquaredHinge(Metric):
    """mean(max(0, 1 - y p)^2) over a row's units; y is -1 or 1, and 0 stands for -1."""

    kind = "squared_hinge"
    lower_is_better = True


class CategoricalHinge(Metric):
    """max(0, 1 + max((1 - y) p) - sum(y p)) of a row; y is one-hot [rows, classes]."""

    kind = "categorical_hinge"
    lower_is_better = True


class KLDivergence(Metric):
    """sum(y log(y / p)) of a row, both limited to [1e-7, 1]: what p lacks of the distribution y."""

    kind = "kl_divergence"
    lower_is_better = True


class Poisson(Metric):
    """mean(p - y log(p + 1e-7)) over a row's units, for counts y and their rates p."""

    kind = "poisson"
    lower_is_better = True


class CrossEntropy(Metric):
    """Base class of the cross-entropies."""

    lower_is_better = True

    def __init__(self, name: str | None = None, *, from_logits: bool = False, label_smoothing: float = 0.0) -> None:
        super().__init__(name)
        where = type(self).__name__
        self.from_logits = errors.boolean(where, "from_logits", from_logits)
        self.label_smoothing = errors.number(where, "label_smoothing", label_smoothing, at_least=0.0, at_most=1.0)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {"from_logits": True} if self.from_logits else {}
        return found | ({"label_smoothing": self.label_smoothing} if self.label_smoothing else {})


class BinaryCrossentropy(CrossEntropy):
    """-mean(y log p + (1 - y) log(1 - p)) over a row's units: the log loss of independent labels.

    `from_logits`: the outputs are before the sigmoid. `label_smoothing`: targets become y (1 - s) + s / 2.
    """

    kind = "binary_crossentropy"


class CategoricalCrossentropy(CrossEntropy):
    """-sum(y log p) of a row, p divided by its sum: the log loss of classes; y is one-hot or probabilities.

    `from_logits`: the outputs are before the softmax. `label_smoothing`: targets become y (1 - s) + s / classes.
    """

    kind = "categorical_crossentropy"


class SparseCategoricalCrossentropy(CrossEntropy):
    """-log(p of the true class), p divided by its row's sum: the log loss of classes; y is class numbers [rows].

    `from_logits`: the outputs are before the softmax.
    """

    kind = "sparse_categorical_crossentropy"
    targets = "labels"

    def __init__(self, name: str | None = None, *, from_logits: bool = False) -> None:
        super().__init__(name, from_logits=from_logits)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "from_logits": self.from_logits}


class R2Score(Metric):
    """1 - sum((y - p)^2) / sum((y - mean y)^2) of each unit: 1 is perfect, 0 as good as the mean, below 0 worse.

    `class_aggregation` of several units: "uniform_average", "variance_weighted_average", or None for all values.
    `num_regressors` above 0 gives the adjusted score 1 - (1 - R2) (n - 1) / (n - regressors - 1), n = rows * units.
    """

    kind = "r2_sums"
    default_name = "r2_score"

    def __init__(
        self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0, name: str | None = None
    ) -> None:
        super().__init__(name)
        known = ("uniform_average", "variance_weighted_average")
        if class_aggregation is not None and class_aggregation not in known:
            raise errors.unknown_name("R2Score", "class_aggregation", class_aggregation, known)
        self.class_aggregation = class_aggregation
        self.num_regressors = errors.integer("R2Score", "num_regressors", num_regressors, at_least=0)

    def get_config(self) -> dict[str, Any]:
        return {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
            "name": self.name,
        }

    def compute(self, state: State, weight: float, rows: int) -> Any:
        total, squares, residual = state.reshape(3, -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = squares - total * (total / weight)
            scores = 1 - residual / spread
            scores = np.where(np.isinf(scores), 0.0, scores)  # as in Keras, for targets that are all the same
            score: Any = scores
            if self.class_aggregation == "uniform_average":
                score = scores.mean()
            elif self.class_aggregation == "variance_weighted_average":
                score = (spread * scores).sum() / spread.sum()
        n, regressors = rows * scores.size, self.num_regressors
        if regressors and n - regressors - 1 > 0:
            score = 1 - (1 - score) * (n - 1) / (n - regressors - 1)
        return plain(score)
