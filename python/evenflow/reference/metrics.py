"""Metrics: what a batch of rows adds to a metric's state, which is a row of sums.

Most are means: their state is the sum of a value of each row. `evenflow.metrics` makes results of states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import softplus
from .arrays import Array, find, wide
from .losses import binary_crossentropy, categorical_crossentropy, sparse_categorical_crossentropy

SMALL = 1e-7  # Keras' limit below what is divided by or has its logarithm taken
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


def smoothed(t: Array, settings: Settings, classes: int) -> Array:
    """t (1 - s) + s / classes."""
    s = settings.get("label_smoothing", 0.0)
    return wide(t * (1 - s) + s / classes)


def log_cosh(p: Array, t: Array) -> Array:
    """log(cosh(p - t)), without overflow."""
    d = abs(p - t)
    return wide(d + softplus(-2 * d) - np.log(2.0))


def hinge(p: Array, t: Array) -> Array:
    """max(0, 1 - t p); a target of 0 stands for -1."""
    return wide(np.maximum(1 - np.where(t == 0, -1, t) * p, 0))


def cosine_similarity(p: Array, t: Array, settings: Settings) -> Array:
    """sum p t / (|p| |t|)."""

    def length(x: Array) -> Array:
        return wide(np.sqrt(np.maximum((x**2).sum(axis=1), 1e-12)))

    return wide((p * t).sum(axis=1) / (length(p) * length(t)))


def kl_divergence(p: Array, t: Array, settings: Settings) -> Array:
    """sum t log(t / p)."""
    p, t = np.clip(p, SMALL, 1), np.clip(t, SMALL, 1)
    return wide((t * np.log(t / p)).sum(axis=1))


ROW_VALUES: dict[str, Callable[[Array, Array, Settings], Array]] = {  # the value of each row; the state is their sum
    "accuracy": unit_mean(lambda p, t: 1.0 * (p == t)),
    "binary_accuracy": lambda p, t, s: ((p > s.get("threshold", 0.5)) == t).mean(axis=1),
    "categorical_accuracy": lambda p, t, s: 1.0 * (p.argmax(axis=1) == t.argmax(axis=1)),
    "sparse_categorical_accuracy": lambda p, t, s: 1.0 * (p.argmax(axis=1) == np.ravel(t)),
    "top_k_categorical_accuracy": lambda p, t, s: in_top_k(p, t.argmax(axis=1), s),
    "sparse_top_k_categorical_accuracy": lambda p, t, s: in_top_k(p, np.ravel(t), s),
    "mean_absolute_error": unit_mean(lambda p, t: abs(p - t)),
    "mean_squared_error": unit_mean(lambda p, t: (p - t) ** 2),
    "mean_absolute_percentage_error": unit_mean(lambda p, t: 100 * abs((t - p) / np.maximum(abs(t), SMALL))),
    "mean_squared_logarithmic_error": unit_mean(
        lambda p, t: (np.log1p(np.maximum(p, SMALL)) - np.log1p(np.maximum(t, SMALL))) ** 2
    ),
    "log_cosh": unit_mean(log_cosh),
    "hinge": unit_mean(hinge),
    "squared_hinge": unit_mean(lambda p, t: hinge(p, t) ** 2),
    "poisson": unit_mean(lambda p, t: p - t * np.log(p + SMALL)),
    "categorical_hinge": lambda p, t, s: np.maximum(((1 - t) * p).max(axis=1) - (t * p).sum(axis=1) + 1, 0),
    "kl_divergence": kl_divergence,
    "cosine_similarity": cosine_similarity,
    "binary_crossentropy": lambda p, t, s: binary_crossentropy(p, smoothed(t, s, 2), s.get("from_logits", False))[0],
    "categorical_crossentropy": lambda p, t, s: categorical_crossentropy(
        p, smoothed(t, s, p.shape[1]), s.get("from_logits", False)
    )[0],
    "sparse_categorical_crossentropy": lambda p, t, s: sparse_categorical_crossentropy(
        p, t, s.get("from_logits", False)
    )[0],
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
    """[true class][predicted class]; one output is the probability of the second of two classes."""

    def classes(x: Array) -> Array:
        return 1 * (x[:, 0] > 0.5) if x.shape[1] == 1 else x.argmax(axis=1)

    counts = np.zeros((max(2, p.shape[1]),) * 2)
    np.add.at(counts, (classes(t), classes(p)), weights)
    return counts


SUMS: dict[str, Callable[[Array, Array, Array, Settings], Array]] = {
    "r2_sums": r2_sums,
    "class_sums": class_sums,
    "threshold_counts": threshold_counts,
    "confusion_matrix": confusion_matrix,
}


def metric_sums(
    metric: str | Settings, prediction: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None
) -> Array:
    """The state of a metric over these rows: the name of its kind, or that and settings."""
    settings: Settings = {"kind": metric} if isinstance(metric, str) else metric
    p, t = wide(prediction), np.asarray(target)
    w = np.ones(len(p)) if weights is None else wide(weights)
    kind = settings["kind"]
    if kind in SUMS:
        return SUMS[kind](p, one_hot(t, p.shape[1]), w, settings).ravel()
    t = t if kind.startswith("sparse") else wide(t)
    return np.array([w @ find(ROW_VALUES, kind, "metric_sums")(p, t, settings)])
