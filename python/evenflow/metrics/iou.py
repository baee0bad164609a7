"""Intersection over union, tp / (tp + fp + fn), of classes: from the same counts as `ConfusionMatrix`.

Names, arguments and values are Keras 3's. Rows count by their weights as these are, which in Keras takes
`dtype="float"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import errors
from ..data import arrays
from ..losses.base import last_axis
from .base import MOST_CLASSES, Metric, State

TINY = 1e-7  # added to Keras' denominators


class IoU(Metric):
    """The mean over `target_class_ids` of tp / (tp + fp + fn), of classes that occur in targets or predictions.

    `num_classes`: how many classes there are. `sparse_y_pred`: predictions are class numbers, one for each target;
    False, which is what a network with an output for each class needs: the place of a row's largest output is.
    `sparse_y_true`: targets are class numbers; False: one-hot rows. `ignore_class`: a class whose rows do not count;
    neither do rows with a class below 0 or above the others.
    """

    kind = "confusion_matrix"
    default_name = "iou"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name)
        where = type(self).__name__
        self.num_classes = errors.integer(where, "num_classes", num_classes, at_least=2, at_most=MOST_CLASSES)
        self.target_class_ids = [errors.integer(where, "target_class_ids", i, at_least=0) for i in target_class_ids]
        if not self.target_class_ids or max(self.target_class_ids) >= self.num_classes:
            expected = f"some of 0 to {self.num_classes - 1}, as there are {self.num_classes} classes"
            raise errors.wrong_value(where, "target_class_ids", expected, target_class_ids)
        self.ignore_class = None
        if ignore_class is not None:
            self.ignore_class = errors.integer(where, "ignore_class", ignore_class, at_least=-(2**53))
        self.sparse_y_true = errors.boolean(where, "sparse_y_true", sparse_y_true)
        self.sparse_y_pred = errors.boolean(where, "sparse_y_pred", sparse_y_pred)
        last_axis(where, axis)
        self.targets = "dense" if self.sparse_y_pred else "either"

    def get_config(self) -> dict[str, Any]:
        own = ("num_classes", "target_class_ids", "name", "ignore_class", "sparse_y_true", "sparse_y_pred")
        return {name: getattr(self, name) for name in own}

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {"classes": self.num_classes}
        if self.ignore_class is not None:
            found["ignore_class"] = self.ignore_class
        return found | ({"target_class": "number", "prediction_class": "number"} if self.sparse_y_pred else {})

    def check(self, where: str, units: int) -> None:
        if not self.sparse_y_pred and self.num_classes != units:
            raise ValueError(
                f"{where}: metric {self.name!r} has num_classes={self.num_classes}, the model has {units} outputs"
            )

    def update_state(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        """Add predictions [n, classes], or class numbers of any shape, which all count; weights as y_true has rows."""
        where = f"{type(self).__name__}.update_state"
        y, p = arrays.as_array(where, "y_true", y_true), arrays.as_array(where, "y_pred", y_pred)
        one_hot = not self.sparse_y_true or (not self.sparse_y_pred and y.shape == p.shape)
        if one_hot and y.ndim > 1 and y.shape[-1] == self.num_classes:
            y = y.argmax(axis=-1)
        weights = None if sample_weight is None else arrays.as_array(where, "sample_weight", sample_weight)
        if weights is not None and weights.ndim < y.ndim:
            weights = np.broadcast_to(weights.reshape(weights.shape + (1,) * (y.ndim - weights.ndim)), y.shape)
        y = y.reshape(-1)
        if self.sparse_y_pred:
            p = p.reshape(-1, 1)
        else:
            p = p.reshape(-1, p.shape[-1])
            if len(p) == len(y):
                known = (y >= 0) & (y < self.num_classes)
                if not known.all():  # such labels have no one-hot row
                    y, p = y[known], p[known]
                    weights = None if weights is None else np.ravel(weights)[known]
                if not len(y):
                    return
        super().update_state(y, p, None if weights is None else np.ravel(weights))

    def compute(self, state: State, weight: float, rows: int) -> Any:
        matrix = state.reshape(self.num_classes, self.num_classes)
        right = matrix.diagonal()[self.target_class_ids]
        union = (matrix.sum(axis=0) + matrix.sum(axis=1))[self.target_class_ids] - right
        present = union > 1e-9
        return float(np.where(present, right / (union + TINY), 0).sum() / (present.sum() + TINY))


class BinaryIoU(IoU):
    """`IoU` of classes 0 and 1, or of one of them: an output of `threshold` or more is class 1; targets are 0 and 1."""

    default_name = "binary_io_u"

    def __init__(
        self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, name: str | None = None
    ) -> None:
        super().__init__(2, target_class_ids, name)
        self.threshold = errors.number("BinaryIoU", "threshold", threshold)

    def get_config(self) -> dict[str, Any]:
        return {"target_class_ids": self.target_class_ids, "threshold": self.threshold, "name": self.name}

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"prediction_class": "from", "threshold": self.threshold}


class MeanIoU(IoU):
    """`IoU` of all classes."""

    default_name = "mean_io_u"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        count = errors.integer(type(self).__name__, "num_classes", num_classes, at_least=2, at_most=MOST_CLASSES)
        super().__init__(num_classes, range(count), name, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["target_class_ids"]
        return config


class OneHotIoU(IoU):
    """`IoU` of one-hot targets and rows of outputs: for a network with an output for each class."""

    default_name = "one_hot_io_u"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["sparse_y_true"]
        return config


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot targets and rows of outputs: for a network with an output for each class."""

    default_name = "one_hot_mean_io_u"

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["sparse_y_true"]
        return config
