"""Losses, row by row. A loss gives each row's value and that value's gradient in the row's prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import sigmoid, softplus
from .arrays import Array, find, wide
from .outputs import log_softmax, softmax

EPSILON = 1e-7  # Keras': probabilities are clipped to [EPSILON, 1 - EPSILON]; outside, the slope is zero
Found = tuple[Array, Array]  # each row's value; its gradient in the row's prediction


def clipped(p: Array, highest: float = 1 - EPSILON) -> tuple[Array, Array]:
    """p within its limits, and where it was there."""
    q = np.clip(p, EPSILON, highest)
    return q, (q == p) | np.isnan(p)


def _mean(values: Array, slopes: Array) -> Found:
    """Of the units of each row."""
    return values.mean(axis=1), slopes / values.shape[1]


# Cross-entropies ------------------------------------------------------------------------------------------------------


def _normalized(p: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
    """p / sum(p), its sum, and the way back for a gradient."""
    whole = p.sum(axis=1, keepdims=True)
    p = p / whole
    return p, whole, lambda dp: (dp - (dp * p).sum(axis=1, keepdims=True)) / whole


def categorical_crossentropy(
    p: Array, t: Array, from_logits: bool = False, label_smoothing: float = 0.0, ignored: Array | None = None
) -> Found:
    """-sum_j t_j log(p_j / sum p), as in Keras; with p = softmax(z) where the prediction z is logits."""
    t = t * (1 - label_smoothing) + label_smoothing / p.shape[1]
    if from_logits:
        rows, gradient = -(t * log_softmax(p)).sum(axis=1), softmax(p) * t.sum(axis=1, keepdims=True) - t
    else:
        p, _, back = _normalized(p)
        q, inside = clipped(p)
        rows, gradient = -(t * np.log(q)).sum(axis=1), back(np.where(inside, -t / q, 0))
    if ignored is not None:
        rows, gradient = np.where(ignored, 0, rows), np.where(ignored[:, None], 0, gradient)
    return rows, gradient


def sparse_categorical_crossentropy(
    p: Array,
    labels: Array,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    ignore_class: int | None = None,
) -> Found:
    """`categorical_crossentropy` of the one-hot rows of integer labels; 0 where the label is `ignore_class`."""
    labels = np.ravel(labels).astype(np.int64)
    ignored = labels == ignore_class if ignore_class is not None else np.zeros(len(labels), bool)
    one_hot = np.eye(p.shape[1])[np.where(ignored, 0, labels)]
    return categorical_crossentropy(p, one_hot, from_logits, label_smoothing, ignored)


def binary_crossentropy(p: Array, t: Array, from_logits: bool = False, label_smoothing: float = 0.0) -> Found:
    """Mean over units of -t log p - (1 - t) log(1 - p), with p = sigmoid(z) where the prediction z is logits."""
    t = t * (1 - label_smoothing) + label_smoothing / 2
    if from_logits:
        return _mean(softplus(p) - t * p, sigmoid(p) - t)
    q, inside = clipped(p)
    return _mean(-(t * np.log(q) + (1 - t) * np.log1p(-q)), np.where(inside, (q - t) / (q * (1 - q)), 0))


def categorical_focal_crossentropy(
    p: Array,
    t: Array,
    from_logits: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
) -> Found:
    """sum_j -alpha (1 - p_j)^gamma t_j log p_j, with p / sum(p) or softmax(z) for p."""
    t = t * (1 - label_smoothing) + label_smoothing / p.shape[1]
    if from_logits:
        q, log_q = softmax(p), log_softmax(p)
    else:
        p, _, back = _normalized(p)
        q, inside = clipped(p)
        log_q = np.log(q)
    rows = -alpha * ((1 - q) ** gamma * t * log_q).sum(axis=1)
    fall = gamma * (1 - q) ** (gamma - 1) if gamma else np.zeros_like(q)
    dq_q = alpha * t * (fall * q * log_q - (1 - q) ** gamma)  # the slope times q
    if from_logits:
        return rows, dq_q - q * dq_q.sum(axis=1, keepdims=True)
    return rows, back(np.where(inside, dq_q / q, 0))


def binary_focal_crossentropy(
    p: Array,
    t: Array,
    from_logits: bool = False,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
) -> Found:
    """Mean of the binary cross-entropy times (1 - p_t)^gamma, p_t = t p + (1 - t)(1 - p), and with balancing times
    t alpha + (1 - t)(1 - alpha)."""
    t = t * (1 - label_smoothing) + label_smoothing / 2
    weight = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1.0
    if from_logits:
        value, slope = softplus(p) - t * p, sigmoid(p) - t
        u, du = t * sigmoid(-p) + (1 - t) * sigmoid(p), (1 - 2 * t) * sigmoid(p) * sigmoid(-p)
    else:
        q, inside = clipped(p)
        value, slope = -(t * np.log(q) + (1 - t) * np.log1p(-q)), np.where(inside, (q - t) / (q * (1 - q)), 0)
        u, du = t * (1 - p) + (1 - t) * p, 1 - 2 * t
    fall = gamma * u ** (gamma - 1) if gamma else np.zeros_like(u)
    return _mean(weight * u**gamma * value, weight * (u**gamma * slope + fall * du * value))


# Regression -----------------------------------------------------------------------------------------------------------


def mean_squared_error(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of (p - t)^2."""
    return _mean((p - t) ** 2, 2 * (p - t))


def mean_absolute_error(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of |p - t|."""
    return _mean(abs(p - t), np.sign(p - t))


def mean_absolute_percentage_error(p: Array, t: Array, from_logits: bool = False) -> Found:
    """100 times the mean over units of |p - t| / max(|t|, EPSILON)."""
    size = np.maximum(abs(t), EPSILON)
    return _mean(100 * abs(p - t) / size, 100 * np.sign(p - t) / size)


def mean_squared_logarithmic_error(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of (log(1 + p) - log(1 + t))^2, both at least EPSILON."""
    difference = np.log1p(np.maximum(p, EPSILON)) - np.log1p(np.maximum(t, EPSILON))
    return _mean(difference**2, np.where(p < EPSILON, 0, 2 * difference / (1 + p)))


def huber(p: Array, t: Array, from_logits: bool = False, delta: float = 1.0) -> Found:
    """Mean over units of d^2 / 2 for |d| <= delta, else delta |d| - delta^2 / 2, with d = p - t."""
    d = p - t
    values = np.where(abs(d) > delta, delta * (abs(d) - delta / 2), d * d / 2)
    return _mean(values, np.clip(d, -delta, delta))


def log_cosh(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of log(cosh(p - t)), as log(1 + 2 sinh(d / 2)^2) where that neither overflows nor cancels."""
    a = abs(p - t)
    near = np.log1p(2 * np.sinh(np.minimum(a, 1) / 2) ** 2)
    log_2 = np.log(np.full((), 2.0, p.dtype))
    return _mean(np.where(a < 1, near, a - log_2 + np.log1p(np.exp(-2 * a))), np.tanh(p - t))


def poisson(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of p - t log(p + EPSILON)."""
    return _mean(p - t * np.log(p + EPSILON), 1 - t / (p + EPSILON))


def quantile(p: Array, t: Array, from_logits: bool = False, quantiles: Sequence[float] = (0.5,)) -> Found:
    """Mean over units of max(q d, (q - 1) d), d = t - p; block k of the units is for quantile k."""
    q = np.repeat(np.asarray(quantiles, p.dtype), t.shape[1])
    d = np.tile(t, len(quantiles)) - p
    return _mean(np.maximum(q * d, (q - 1) * d), np.where(d > 0, -q, np.where(d < 0, 1 - q, d)))


def gaussian_nll(p: Array, t: Array, from_logits: bool = False, full: bool = False, epsilon: float = 1e-6) -> Found:
    """Mean over targets of (log v + (m - t)^2 / v) / 2, v = max(exp(s), epsilon); p is the means m, then the s."""
    m, s = np.split(p, 2, axis=1)
    s = np.maximum(s, np.log(np.full((), epsilon, p.dtype)))
    values = (s + (m - t) ** 2 * np.exp(-s)) / 2 + (np.log(2 * np.pi) / 2 if full else 0)
    slopes = np.concatenate([(m - t) * np.exp(-s), (1 - (m - t) ** 2 * np.exp(-s)) / 2], axis=1)
    return values.mean(axis=1), slopes / t.shape[1]


# Hinges, distributions, directions ------------------------------------------------------------------------------------


def _distance(p: Array, t: Array) -> tuple[Array, Array]:
    """max(1 - t p, 0) with t of -1 and 1, and the t."""
    t = np.where(t == 0, -1, t)
    return np.maximum(1 - t * p, 0), t


def hinge(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of max(1 - t p, 0); t is -1 or 1, or 0 or 1."""
    distance, t = _distance(p, t)
    return _mean(distance, np.where(distance > 0, -t, 0))


def squared_hinge(p: Array, t: Array, from_logits: bool = False) -> Found:
    """Mean over units of max(1 - t p, 0)^2; t is -1 or 1, or 0 or 1."""
    distance, t = _distance(p, t)
    return _mean(distance**2, -2 * t * distance)


def categorical_hinge(p: Array, t: Array, from_logits: bool = False) -> Found:
    """max(max_j (1 - t_j) p_j - sum_j t_j p_j + 1, 0)."""
    other = (1 - t) * p
    worst = np.eye(p.shape[1])[other.argmax(axis=1)]
    rows = np.maximum(other.max(axis=1) - (t * p).sum(axis=1) + 1, 0)
    return rows, np.where(rows[:, None] > 0, worst * (1 - t) - t, 0)


def kl_divergence(p: Array, t: Array, from_logits: bool = False) -> Found:
    """sum_j t_j log(t_j / p_j), both within [EPSILON, 1]."""
    (q, inside), (u, _) = clipped(p, 1.0), clipped(t, 1.0)
    return (u * np.log(u / q)).sum(axis=1), np.where(inside, -u / q, 0)


def cosine_similarity(p: Array, t: Array, from_logits: bool = False) -> Found:
    """-sum_j t_j p_j / (|t| |p|), where a length below EPSILON counts as EPSILON."""
    length = np.sqrt((p * p).sum(axis=1, keepdims=True))
    by_p = 1 / np.maximum(length, EPSILON)
    by_t = 1 / np.maximum(np.sqrt((t * t).sum(axis=1, keepdims=True)), EPSILON)
    cosine = (p * t).sum(axis=1, keepdims=True) * by_p * by_t
    along = np.where(length < EPSILON, 0, cosine * by_p * p)
    return -cosine[:, 0], (along - t * by_t) * by_p


LOSSES: dict[str, Callable[..., Found]] = {
    f.__name__: f
    for f in (
        sparse_categorical_crossentropy,
        categorical_crossentropy,
        binary_crossentropy,
        mean_squared_error,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_logarithmic_error,
        huber,
        log_cosh,
        poisson,
        quantile,
        gaussian_nll,
        hinge,
        squared_hinge,
        categorical_hinge,
        kl_divergence,
        cosine_similarity,
        binary_focal_crossentropy,
        categorical_focal_crossentropy,
    )
}


def loss_forward_backward(
    name: str, prediction: ArrayLike, target: ArrayLike, *, from_logits: bool = False, **parameters: Any
) -> Found:
    """The loss of each row, and the gradient of their mean with respect to the prediction."""
    p = wide(prediction)
    with np.errstate(over="ignore"):
        rows, gradient = find(LOSSES, name, "loss_forward_backward")(p, np.asarray(target), from_logits, **parameters)
    return rows, gradient / len(p)


def reduced(
    description: Mapping[str, Any], rows: Array, gradient: Array, target: ArrayLike, weights: ArrayLike | None = None
) -> Found:
    """What a batch makes of its rows' losses and of the gradient of their mean.

    The sum of weight times loss is divided by the number of rows, by 1 ("sum"), or by the sum of the weights
    ("mean_with_sample_weight"); rows of `ignore_class` are not counted. A row's value is what it adds to the batch's
    loss, times the number of rows.
    """
    count = len(rows)
    weight = np.ones(count) if weights is None else np.ravel(weights)
    counted = np.ones(count, bool)
    if description.get("ignore_class") is not None:
        counted = np.ravel(target) != description["ignore_class"]
    divisors = {"mean": counted.sum(), "sum": 1, "mean_with_sample_weight": weight[counted].sum()}
    divisor = divisors[description.get("reduction", "mean")]
    factor = weight * description.get("weight", 1.0) * (count / divisor if divisor else 0.0)
    return rows * factor, gradient * factor[:, None]
