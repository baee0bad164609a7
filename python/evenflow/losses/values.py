"""Losses of values, of margins and of distributions; the cross-entropies are in `crossentropies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from .. import errors
from .base import MEAN, Array, Loss, last_axis


class MeanSquaredError(Loss):
    """mean((y - p)^2) over a row's units. For values whose errors are about normal; outliers weigh heavily."""

    kind = "mean_squared_error"


class MeanAbsoluteError(Loss):
    """mean(|y - p|) over a row's units: trains towards the median, and outliers weigh no more than others."""

    kind = "mean_absolute_error"


class MeanAbsolutePercentageError(Loss):
    """100 mean(|y - p| / max(|y|, 1e-7)) over a row's units: relative errors, of targets far from 0."""

    kind = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(Loss):
    """mean((log(1 + y) - log(1 + p))^2) over a row's units, targets at least 0, predictions below 1e-7 taken as that:
    relative errors of values that span orders of magnitude."""

    kind = "mean_squared_logarithmic_error"
    targets = "nonnegative"


class Huber(Loss):
    """mean(d^2 / 2 where |d| <= delta, else delta |d| - delta^2 / 2) over a row's units, d = y - p.

    Like mse near the target and like mae away from it: fast, and robust against outliers. `delta` > 0. Huber 1964.
    """

    kind = "huber"
    hyper_parameters = ("delta",)

    def __init__(
        self, delta: float = 1.0, reduction: str | None = MEAN, name: str | None = None, **unknown: Any
    ) -> None:
        super().__init__(reduction, name, **unknown)
        self.delta = errors.number("Huber", "delta", delta, at_least=1e-30)


class LogCosh(Loss):
    """mean(log(cosh(y - p))) over a row's units: like Huber, and smooth everywhere."""

    kind = "log_cosh"


class Poisson(Loss):
    """mean(p - y log(p + 1e-7)) over a row's units: counts y >= 0 whose expectation is p.

    p must be positive: end the network with `exponential` or `softplus`.
    """

    kind = "poisson"
    targets = "nonnegative"


class Quantile(Loss):
    """mean(max(q d, (q - 1) d)) over a row's units, d = y - p: the pinball loss, which trains towards quantile q.

    Several `quantiles` at once, each between 0 and 1, take so many outputs for each column of the targets: the first
    block of outputs, as wide as the targets, is for the first quantile, and so on, so that
    `np.split(prediction, len(quantiles), axis=1)` parts them. Median 0.5; 0.1 and 0.9 bound 80 % of the targets.
    Koenker and Bassett 1978.
    """

    kind = "quantile"
    hyper_parameters = ("quantiles",)

    def __init__(
        self,
        quantiles: float | Sequence[float] = 0.5,
        reduction: str | None = MEAN,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(reduction, name, **unknown)
        listed = list(quantiles) if isinstance(quantiles, Sequence) else [quantiles]
        if not 1 <= len(listed) <= 64:
            raise errors.wrong_value("Quantile", "quantiles", "1 to 64 numbers", quantiles)
        self.quantiles = [errors.number("Quantile", "quantiles", q, above=0.0, below=1.0) for q in listed]
        self.outputs_per_target = len(listed)

    def point_block(self) -> int | None:
        """The median's, if that is among the quantiles."""
        return self.quantiles.index(0.5) if 0.5 in self.quantiles else None


class GaussianNLL(Loss):
    """mean((s + (y - m)^2 / exp(s)) / 2) over a row's targets: the negative log-likelihood of y ~ N(m, exp(s)).

    The network has two outputs for each target: the first half are the means m, the second half the *logarithms of the
    variances* s, `m, s = np.split(prediction, 2, axis=1)`. Any s is meant, so the last layer needs no activation, and
    nothing is divided by. The variance counts as at least `epsilon` (1e-30 or more); there the slope in s stays that
    at the limit, so that a variance which shrank too far grows again. `full` adds log(2 pi) / 2. PyTorch's
    GaussianNLLLoss with var = exp(s). Nix and Weigend 1994.
    """

    kind = "gaussian_nll"
    hyper_parameters = ("full", "epsilon")
    outputs_per_target = 2

    def __init__(
        self,
        full: bool = False,
        epsilon: float = 1e-6,
        reduction: str | None = MEAN,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(reduction, name, **unknown)
        self.full = errors.boolean("GaussianNLL", "full", full)
        self.epsilon = errors.number("GaussianNLL", "epsilon", epsilon, at_least=1e-30)


class Hinge(Loss):
    """mean(max(1 - y p, 0)) over a row's units; targets -1 and 1, or 0 and 1, which mean the same.

    A margin, as support vector machines have it: for `Dense(units, "tanh")` or no activation.
    """

    kind = "hinge"
    targets = "sides"


class SquaredHinge(Loss):
    """mean(max(1 - y p, 0)^2) over a row's units; targets -1 and 1, or 0 and 1."""

    kind = "squared_hinge"
    targets = "sides"


class CategoricalHinge(Loss):
    """max(max((1 - y) p) - sum(y p) + 1, 0); targets are one-hot [rows, classes]: the true class must lead by 1."""

    kind = "categorical_hinge"
    targets = "probabilities"


class KLDivergence(Loss):
    """sum(y log(y / p)), both limited to [1e-7, 1]; targets are probabilities [rows, classes].

    What the categorical cross-entropy has above its least value. Kullback and Leibler 1951.
    """

    kind = "kl_divergence"
    targets = "probabilities"


class CosineSimilarity(Loss):
    """-sum(y p) / (|y| |p|): -1 where both point the same way, whatever their lengths."""

    kind = "cosine_similarity"

    def __init__(self, axis: int = -1, reduction: str | None = MEAN, name: str | None = None, **unknown: Any) -> None:
        super().__init__(reduction, name, **unknown)
        last_axis("CosineSimilarity", axis)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean((y_true - y_pred)^2) over the units of each row."""
    return MeanSquaredError().rows(y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(|y_true - y_pred|) over the units of each row."""
    return MeanAbsoluteError().rows(y_true, y_pred)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """100 mean(|y_true - y_pred| / max(|y_true|, 1e-7)) over the units of each row."""
    return MeanAbsolutePercentageError().rows(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean((log(1 + y_true) - log(1 + y_pred))^2) over the units of each row."""
    return MeanSquaredLogarithmicError().rows(y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Array:
    """The mean over the units of each row of d^2 / 2 for |d| <= delta, else delta |d| - delta^2 / 2."""
    return Huber(delta).rows(y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(log(cosh(y_pred - y_true))) over the units of each row."""
    return LogCosh().rows(y_true, y_pred)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(y_pred - y_true log(y_pred + 1e-7)) over the units of each row."""
    return Poisson().rows(y_true, y_pred)


def quantile(y_true: ArrayLike, y_pred: ArrayLike, quantiles: float | Sequence[float] = 0.5) -> Array:
    """The pinball loss of each row; y_pred [rows, len(quantiles) * columns] for y_true [rows, columns]."""
    return Quantile(quantiles).rows(y_true, y_pred)


def gaussian_nll(y_true: ArrayLike, y_pred: ArrayLike, full: bool = False, epsilon: float = 1e-6) -> Array:
    """`GaussianNLL` of each row; y_pred [rows, 2 * columns], means then log variances, for y_true [rows, columns]."""
    return GaussianNLL(full, epsilon).rows(y_true, y_pred)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(max(1 - y_true y_pred, 0)) over the units of each row; y_true -1 and 1, or 0 and 1."""
    return Hinge().rows(y_true, y_pred)


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """mean(max(1 - y_true y_pred, 0)^2) over the units of each row; y_true -1 and 1, or 0 and 1."""
    return SquaredHinge().rows(y_true, y_pred)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """max(max((1 - y_true) y_pred) - sum(y_true y_pred) + 1, 0) of each row."""
    return CategoricalHinge().rows(y_true, y_pred)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """sum(y_true log(y_true / y_pred)) of each row, both limited to [1e-7, 1]."""
    return KLDivergence().rows(y_true, y_pred)


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Array:
    """-sum(y_true y_pred) / (|y_true| |y_pred|) of each row."""
    return CosineSimilarity(axis).rows(y_true, y_pred)
