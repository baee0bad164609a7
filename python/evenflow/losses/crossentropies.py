"""Cross-entropies and focal cross-entropies: classes for `compile`, functions on arrays; `losses` has them all."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from .. import errors
from .base import MEAN, Array, Loss, last_axis


class _CrossEntropy(Loss):
    arguments = ("from_logits",)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(reduction, name, **unknown)
        where = type(self).__name__
        last_axis(where, axis)
        self.from_logits = errors.boolean(where, "from_logits", from_logits)
        self.label_smoothing = errors.number(where, "label_smoothing", label_smoothing, at_least=0.0, at_most=1.0)


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log(probability of the true class); targets are class numbers [rows].

    `from_logits`: the outputs are before the softmax. `ignore_class`: rows with this label, which need not be a class,
    count neither in the loss nor in the number of rows that divides it. `label_smoothing` as for
    `CategoricalCrossentropy` (Keras has none here). For one of several classes, the usual choice.
    """

    kind = "sparse_categorical_crossentropy"
    targets = "labels"
    logits_of = "softmax"
    hyper_parameters = ("label_smoothing", "ignore_class")

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = MEAN,
        axis: int = -1,
        name: str | None = None,
        label_smoothing: float = 0.0,
        **unknown: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, **unknown)
        if ignore_class is not None:
            ignore_class = errors.integer(type(self).__name__, "ignore_class", ignore_class, at_least=-(2**53))
        self.ignore_class = ignore_class


class CategoricalCrossentropy(_CrossEntropy):
    """-sum(y log p); targets are one-hot or class probabilities [rows, classes].

    `from_logits`: the outputs are before the softmax. `label_smoothing` s trains towards (1 - s) y + s / classes: the
    network becomes less sure of itself, and often better. Szegedy et al. 2016.
    """

    kind = "categorical_crossentropy"
    targets = "probabilities"
    logits_of = "softmax"
    hyper_parameters = ("label_smoothing",)


class BinaryCrossentropy(_CrossEntropy):
    """-mean(y log p + (1 - y) log(1 - p)); targets in [0, 1].

    `from_logits`: the outputs are before the sigmoid. `label_smoothing` s trains towards (1 - s) y + s / 2. For yes or
    no, also several at once.
    """

    kind = "binary_crossentropy"
    targets = "probabilities"
    logits_of = "sigmoid"
    hyper_parameters = ("label_smoothing",)


class BinaryFocalCrossentropy(_CrossEntropy):
    """The binary cross-entropy times (1 - p_t)^gamma with p_t = y p + (1 - y)(1 - p); targets in [0, 1].

    Rows that are already right count little, so that rare and hard ones are heard. `apply_class_balancing` multiplies
    by y alpha + (1 - y)(1 - alpha), alpha in [0, 1]; gamma >= 0, and 0 is the plain cross-entropy. Lin et al. 2017.
    """

    kind = "binary_focal_crossentropy"
    targets = "probabilities"
    logits_of = "sigmoid"
    hyper_parameters = ("apply_class_balancing", "alpha", "gamma", "label_smoothing")

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, **unknown)
        where = type(self).__name__
        self.apply_class_balancing = errors.boolean(where, "apply_class_balancing", apply_class_balancing)
        self.alpha = errors.number(where, "alpha", alpha, at_least=0.0, at_most=1.0)
        self.gamma = errors.number(where, "gamma", gamma, at_least=0.0)


class CategoricalFocalCrossentropy(_CrossEntropy):
    """-sum(alpha (1 - p)^gamma y log p); targets are one-hot or class probabilities [rows, classes].

    Rows that are already right count little. alpha >= 0 weighs all classes alike; gamma >= 0, and 0 is alpha times the
    plain cross-entropy. Lin et al. 2017.
    """

    kind = "categorical_focal_crossentropy"
    targets = "probabilities"
    logits_of = "softmax"
    hyper_parameters = ("alpha", "gamma", "label_smoothing")

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, **unknown)
        where = type(self).__name__
        self.alpha = errors.number(where, "alpha", alpha, at_least=0.0)
        self.gamma = errors.number(where, "gamma", gamma, at_least=0.0)


def sparse_categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
) -> Array:
    """-log(y_pred[true class] / sum(y_pred)) of each row; y_true [rows] of class numbers, y_pred [rows, classes]."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis, label_smoothing=label_smoothing)
    return loss.rows(y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-sum(y_true * log(y_pred / sum(y_pred))) of each row; both [rows, classes]."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis).rows(y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """-mean(y log p + (1 - y) log(1 - p)) over the units of each row; both [rows, units]."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis).rows(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """The mean over the units of each row of `BinaryFocalCrossentropy`; both [rows, units]."""
    loss = BinaryFocalCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return loss.rows(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """-sum(alpha (1 - p)^gamma y log p) of each row, p = y_pred / sum(y_pred); both [rows, classes]."""
    return CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis).rows(y_true, y_pred)
