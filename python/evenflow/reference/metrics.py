"""Metrics: what a batch of rows adds to a metric's state, which is a row of sums.

Most are means: their state is the sum of a value of each row. `evenflow.metrics` makes results of states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import losses
from .arrays import Array, find, wide

Settings = Mapping[str, Any]


def one_hot(t: Array, units: int) -> Array:
    """Class numbers as rows; rows as they are."""
    return wide(np.eye(units)[np.ravel(t).astype(np.int64)] if t.ndim == 1 else t)


def unit_mean(f: Callable[[Array, Array], Array]) -> Callable[[Array, Array, Settings], Array]:
    """The mean over units of a value of each output."""
    return lambda p, t, settings: wide(f(p, t).mean(axis=1))


def in_top_k(p: Array, labels: Array, settings: Settings) -> Array:
    """1 where fewer than k outputs are above that of the label, which is a number."""
    own = p[np.arange(len(p)), labels][:, None]
    return wide((~(p <= own)).sum(axis=1) < settings["k"])


def of_loss(loss: Callable[[Array, Array], tuple[Array, Array]]) -> Callable[[Array, Array, Settings], Array]:
    """The value of each row that a loss has."""
    return lambda p, t, settings: loss(p, t)[0]


def correlations(p: Array, t: Array) -> tuple[Array, Array, Array, Array]:
    """Of each row: covariance of p and t, variance of p, variance of t, and how far the means are apart."""
    shift = t.mean(axis=1) - p.mean(axis=1)
    p, t = p - p.mean(axis=1, keepdims=True), t - t.mean(axis=1, keepdims=True)
    return (p * t).mean(axis=1), (p * p).mean(axis=1), (t * t).mean(axis=1), shift


def pearson(p: Array, t: Array, settings: Settings) -> Array:
    """Covariance over both standard deviations."""
    covariance, of_p, of_t, _ = correlations(p, t)
    return wide(covariance / np.sqrt(of_p * of_t))


def concordance(p: Array, t: Array, settings: Settings) -> Array:
    """Twice the covariance over both variances and the squared distance of the means [Lin 1989], EPSILON added."""
    covariance, of_p, of_t, shift = correlations(p, t)
    return wide(2 * covariance / (of_p + of_t + shift**2 + losses.EPSILON))


def outputs_ends(p: Array, settings: Settings) -> tuple[Array, Array]:
    """An interval's ends: two of the blocks of outputs."""
    blocks = np.split(p, settings["blocks"], axis=1)
    return blocks[settings["lower"]], blocks[settings["upper"]]


def normal_ends(p: Array, settings: Settings) -> tuple[Array, Array]:
    """An interval's ends: deviations from the mean, of outputs that are means and logarithms of variances."""
    m, s = np.split(p, 2, axis=1)
    return m + settings["lower"] * np.exp(s / 2), m + settings["upper"] * np.exp(s / 2)


def coverage(ends: Callable[[Array, Settings], tuple[Array, Array]]) -> Callable[[Array, Array, Settings], Array]:
    """The share of targets within the interval, its ends included."""

    def value(p: Array, t: Array, settings: Settings) -> Array:
        lower, upper = ends(p, settings)
        return wide(((lower <= t) & (t <= upper)).mean(axis=1))

    return value


def width(ends: Callable[[Array, Settings], tuple[Array, Array]]) -> Callable[[Array, Array, Settings], Array]:
    """The mean width of the intervals."""

    def value(p: Array, t: Array, settings: Settings) -> Array:
        lower, upper = ends(p, settings)
        return wide((upper - lower).mean(axis=1))

    return value


ROW_VALUES: dict[str, Callable[[Array, Array, Settings], Array]] = {  # the value of each row; the state is their sum
    "accuracy": unit_mean(lambda p, t: 1.0 * (p == t)),
    "binary_accuracy": lambda p, t, s: ((p > s.get("threshold", 0.5)) == t).mean(axis=1),
    "categorical_accuracy": lambda p, t, s: 1.0 * (p.argmax(axis=1) == t.argmax(axis=1)),
    "sparse_categorical_accuracy": lambda p, t, s: 1.0 * (p.argmax(axis=1) == np.ravel(t)),
    "top_k_categorical_accuracy": lambda p, t, s: in_top_k(p, t.argmax(axis=1), s),
    "sparse_top_k_categorical_accuracy": lambda p, t, s: in_top_k(p, np.ravel(t), s),
    "mean_absolute_error": of_loss(losses.mean_absolute_error),
    "mean_squared_error": of_loss(losses.mean_squared_error),
    "mean_absolute_percentage_error": of_loss(losses.mean_absolute_percentage_error),
    "mean_squared_logarithmic_error": of_loss(losses.mean_squared_logarithmic_error),
    "log_cosh": of_loss(losses.log_cosh),
    "hinge": of_loss(losses.hinge),
    "squared_hinge": of_loss(losses.squared_hinge),
    "poisson": of_loss(losses.poisson),
    "categorical_hinge": of_loss(losses.categorical_hinge),
    "kl_divergence": of_loss(losses.kl_divergence),
    "cosine_similarity": lambda p, t, s: -losses.cosine_similarity(p, t)[0],
    "binary_crossentropy": lambda p, t, s: losses.binary_crossentropy(
        p, t, s.get("from_logits", False), s.get("label_smoothing", 0.0)
    )[0],
    "categorical_crossentropy": lambda p, t, s: losses.categorical_crossentropy(
        p, t, s.get("from_logits", False), s.get("label_smoothing", 0.0)
    )[0],
    "sparse_categorical_crossentropy": lambda p, t, s: losses.sparse_categorical_crossentropy(
        p, t, s.get("from_logits", False)
    )[0],
    "pearson_correlation": pearson,
    "concordance_correlation": concordance,
    "pinball": lambda p, t, s: losses.quantile(p, t, quantiles=s.get("quantiles", (0.5,)))[0],
    "interval_coverage": coverage(outputs_ends),
    "interval_width": width(outputs_ends),
    "normal_coverage": coverage(normal_ends),
    "normal_width": width(normal_ends),
}


def r2_sums(p: Array, t: Array, weights: Array, settings: Settings) -> Array:
    """[3][units]: sums of t, of t^2, of (t - p)^2."""
    return np.stack([weights @ t, weights @ t**2, weights @ (t - p) ** 2])


def class_sums(p: Array, t: Array, weights: Array, settings: Settings) -> Array:
    """[3][units]: sums of t where predicted, of the predictions, of t. Predicted is what is above the threshold, or
    without one the largest of its row."""
    threshold = settings.get("threshold")
    largest = (p >= p.max(axis=1, keepdims=True)) & (abs(p) > 1e-9)
    predicted = largest if threshold is None else p > threshold
    return np.stack([weights @ (predicted * t), weights @ predicted, weights @ t])


def threshold_counts(p: Array, t: Array, weights: Array, settings: Settings) -> Array:
    """[units if multi_label][negative, positive][bins]: outputs by the number of thresholds below them, none for those
    that are not among the k largest of their row."""
    thresholds = np.asarray(settings.get("thresholds", []), dtype=np.float64)
    bins = (p[:, :, None] > thresholds).sum(axis=2)
    if settings.get("k") is not None:
        rank = np.argsort(np.argsort(-p, axis=1, kind="stable"), axis=1)
        bins = np.where(rank < settings["k"], bins, 0)
    units = range(p.shape[1]) if settings.get("class_id") is None else [settings["class_id"]]
    several = settings.get("multi_label", False)
    counts = np.zeros((len(units) if several else 1, 2, len(thresholds) + 1))
    for label, unit in enumerate(units):
        np.add.at(counts[label if several else 0], ((t[:, unit] != 0).astype(int), bins[:, unit]), weights)
    return counts


def confusion_matrix(p: Array, t: Array, weights: Array, settings: Settings) -> Array:
    """[true class][predicted class].

    A class is where a row is largest ("strongest"), or each value gives one: itself ("number"), or 1 where it is above
    the threshold ("above"; of one output unless told), or not below it ("from"). Pairs with a class that there is not,
    or of the true class `ignore_class`, do not count.
    """
    threshold = settings.get("threshold", 0.5)
    read: dict[str, Callable[[Array], Array]] = {
        "strongest": lambda x: x.argmax(axis=1)[:, None],
        "number": np.trunc,
        "above": lambda x: 1 * (x > threshold),
        "from": lambda x: 1 * (x >= threshold),
    }
    usual = "above" if p.shape[1] == 1 else "strongest"
    actual = read[settings.get("target_class", usual)](t)
    predicted = read[settings.get("prediction_class", usual)](p)
    classes = settings.get("classes", max(2, p.shape[1]))
    known = (actual >= 0) & (actual < classes) & (predicted >= 0) & (predicted < classes)
    known &= actual != settings.get("ignore_class")
    counts = np.zeros((classes, classes))
    w = np.broadcast_to(weights[:, None], known.shape)
    np.add.at(counts, (actual[known].astype(int), predicted[known].astype(int)), w[known])
    return counts


def predictions(p: Array, t: Array, weights: Array, settings: Settings) -> Array:
    """[units]: sums of the outputs."""
    return weights @ p


SUMS: dict[str, Callable[[Array, Array, Array, Settings], Array]] = {
    "r2_sums": r2_sums,
    "class_sums": class_sums,
    "threshold_counts": threshold_counts,
    "confusion_matrix": confusion_matrix,
    "predictions": predictions,
}


def metric_sums(
    metric: str | Settings, prediction: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None
) -> Array:
    """The state of a metric over these rows: the name of its kind, or that and settings.

    With `blocks` there are several outputs for each target, block after block as wide as the targets. Metrics of one
    prediction read block number `block`.
    """
    settings: Settings = {"kind": metric} if isinstance(metric, str) else metric
    p, t = wide(prediction), np.asarray(target)
    w = np.ones(len(p)) if weights is None else wide(np.ravel(np.asarray(weights)))
    kind = settings["kind"]
    if "block" in settings:
        p = np.split(p, settings["blocks"], axis=1)[settings["block"]]
    if kind in SUMS:
        return SUMS[kind](p, one_hot(t, p.shape[1]), w, settings).ravel()
    t = t if kind.startswith("sparse") else wide(t)
    return np.array([w @ find(ROW_VALUES, kind, "metric_sums")(p, t, settings)])
