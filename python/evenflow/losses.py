"""Losses, as descriptions for the native core that can also be called on arrays.

The loss of a batch is the mean over its rows; `mean_squared_error` and `binary_crossentropy` average a row's units
first. With `from_logits=False` after softmax or sigmoid the core computes the cross-entropy from the logits, so nothing
is clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, data, errors
from .registry import Registry


def read_target(
    where: str,
    y: NDArray[Any],
    rows: int,
    units: int,
    dtype: str,
    kind: str,
    *,
    allow_nonfinite: bool,
    argument: str = "y",
) -> NDArray[Any]:
    """Targets in the form that the loss `kind` takes."""
    if kind == "sparse_categorical_crossentropy":
        return data.read_labels(where, argument, y, rows, units)
    probabilities = kind != "mean_squared_error"
    return data.read_targets(
        where, argument, y, rows, units, dtype, probabilities=probabilities, allow_nonfinite=allow_nonfinite
    )


def _rows(kind: str, y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool) -> NDArray[Any]:
    prediction = data.as_array(kind, "y_pred", y_pred)
    if prediction.ndim != 2 or 0 in prediction.shape:
        raise errors.wrong_shape(kind, "y_pred", ("rows", "units"), prediction.shape)
    dtype = str(prediction.dtype) if prediction.dtype in (np.float32, np.float64) else "float32"
    prediction = np.ascontiguousarray(prediction, dtype=dtype)
    y = data.as_array(kind, "y_true", y_true)
    rows, units = prediction.shape
    target = read_target(kind, y, rows, units, dtype, kind, allow_nonfinite=True, argument="y_true")
    if target.dtype.kind == "f":
        target = np.ascontiguousarray(target, dtype=dtype)
    return _core.loss_forward_backward(kind, prediction, target, from_logits=from_logits)[0]


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> NDArray[Any]:
    """-log(y_pred[true class] / sum(y_pred)) of each row; y_true [rows] of class numbers, y_pred [rows, classes]."""
    return _rows("sparse_categorical_crossentropy", y_true, y_pred, from_logits)


def categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> NDArray[Any]:
    """-sum(y_true * log(y_pred / sum(y_pred))) of each row; both [rows, classes]."""
    return _rows("categorical_crossentropy", y_true, y_pred, from_logits)


def binary_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> NDArray[Any]:
    """-mean(y log p + (1 - y) log(1 - p)) over the units of each row; both [rows, units]."""
    return _rows("binary_crossentropy", y_true, y_pred, from_logits)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[Any]:
    """mean((y_true - y_pred)^2) over the units of each row; both [rows, units]."""
    return _rows("mean_squared_error", y_true, y_pred, False)


class Loss:
    """Base class: `loss(y_true, y_pred)` is the mean over rows."""

    kind: ClassVar[str]
    from_logits: bool = False

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.kind

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike) -> float:
        return float(_rows(self.kind, y_true, y_pred, self.from_logits).mean())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same object again."""
        return {"name": self.name}

    def spec(self) -> dict[str, Any]:
        """The core's description."""
        return {"kind": self.kind, "from_logits": self.from_logits}


class _CrossEntropy(Loss):
    def __init__(self, from_logits: bool = False, name: str | None = None, **unknown: Any) -> None:
        if unknown:
            raise errors.unknown_argument(type(self).__name__, unknown, ["from_logits", "name"])
        self.from_logits = errors.boolean(type(self).__name__, "from_logits", from_logits)
        super().__init__(name)

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, "name": self.name}


class SparseCategoricalCrossentropy(_CrossEntropy):
    """-log(probability of the true class); targets are class numbers [rows].

    `from_logits`: the outputs are before the softmax.
    """

    kind = "sparse_categorical_crossentropy"


class CategoricalCrossentropy(_CrossEntropy):
    """-sum(y log p); targets are one-hot or class probabilities [rows, classes].

    `from_logits`: the outputs are before the softmax.
    """

    kind = "categorical_crossentropy"


class BinaryCrossentropy(_CrossEntropy):
    """-mean(y log p + (1 - y) log(1 - p)); targets in [0, 1].

    `from_logits`: the outputs are before the sigmoid.
    """

    kind = "binary_crossentropy"


class MeanSquaredError(Loss):
    """mean((y - p)^2) over a row's units."""

    kind = "mean_squared_error"


REGISTRY = Registry(
    Loss,
    (SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError),
    aliases={"mse": MeanSquaredError, "MSE": MeanSquaredError, "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy},
    example="MeanSquaredError()",
)
_FUNCTIONS: dict[Callable[..., NDArray[Any]], type[Loss]] = {
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    binary_crossentropy: BinaryCrossentropy,
    mean_squared_error: MeanSquaredError,
}


def get(identifier: object, where: str = "get", argument: str = "loss") -> Loss:
    """A loss from a name ("mse"), a function of this module, a loss, or its serialized form."""
    if callable(identifier) and not isinstance(identifier, Loss) and identifier in _FUNCTIONS:
        return _FUNCTIONS[identifier]()
    return REGISTRY.make(where, argument, identifier)
