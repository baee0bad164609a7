"""What every loss has: a description for the native core that can also be called on arrays."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core, errors
from ..data import arrays, targets, weights

Array = NDArray[Any]

MEAN = "sum_over_batch_size"
REDUCTIONS = (MEAN, "mean", "sum", "mean_with_sample_weight", "none")


class Loss:
    """Base class: `loss(y_true, y_pred, sample_weight=None)` is the reduced value; y_pred is [rows, units].

    `reduction`, as in Keras: "sum_over_batch_size" and "mean" divide the sum of weight times loss by the number of
    rows, "mean_with_sample_weight" by the sum of the weights, "sum" by nothing; None (or "none") gives a value for each
    row, and cannot be trained.
    """

    kind: ClassVar[str]
    targets: ClassVar[str] = "values"  # see targets.RANGES
    hyper_parameters: ClassVar[tuple[str, ...]] = ()
    arguments: ClassVar[tuple[str, ...]] = ()  # beside these, reduction and name
    logits_of: ClassVar[str | None] = None  # the activation that from_logits=True leaves to the loss
    outputs_per_target: int = 1
    from_logits: bool = False
    ignore_class: int | None = None

    def __init__(self, reduction: str | None = MEAN, name: str | None = None, **unknown: Any) -> None:
        where = type(self).__name__
        if unknown:
            known = [p for p in inspect.signature(type(self)).parameters if p != "unknown"]
            raise errors.unknown_argument(where, unknown, known)
        if reduction is not None and reduction not in REDUCTIONS:
            raise errors.unknown_name(where, "reduction", reduction, REDUCTIONS)
        if name is not None and not isinstance(name, str):
            raise errors.wrong_type(where, "name", "a string", name)
        self.reduction = None if reduction == "none" else reduction
        self.name = name or self.kind

    def rows(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """The loss of each row, in the type of y_pred."""
        return self._found(y_true, y_pred)[0]

    def gradient(self, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
        """The gradient of the mean over all rows with respect to y_pred."""
        return self._found(y_true, y_pred)[1]

    def _found(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
        prediction = arrays.as_array(self.kind, "y_pred", y_pred)
        if prediction.ndim != 2 or 0 in prediction.shape:
            raise errors.wrong_shape(self.kind, "y_pred", ("rows", "units"), prediction.shape)
        self.check_units(self.kind, prediction.shape[1])
        dtype = str(prediction.dtype) if prediction.dtype in (np.float32, np.float64) else "float32"
        target = self.read_target(
            self.kind, "y_true", arrays.as_array(self.kind, "y_true", y_true), prediction.shape, dtype, True
        )
        prediction, target = np.ascontiguousarray(prediction, dtype), np.ascontiguousarray(target)
        return _core.loss_forward_backward(
            self.kind, prediction, target, from_logits=self.from_logits, **self._parameters()
        )

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> Any:
        values = self.rows(y_true, y_pred)
        counted = np.ones(len(values), bool)
        if self.ignore_class is not None:
            counted = np.ravel(np.asarray(y_true)) != self.ignore_class
        weight = counted.astype(values.dtype)
        if sample_weight is not None:
            weight = weight * weights.read_sample_weight(self.kind, "sample_weight", sample_weight, len(values))[:, 0]
        values = values * weight
        if self.reduction is None:
            return values
        divisors = {"sum": 1.0, "mean_with_sample_weight": float(weight.sum())}
        divisor = divisors.get(self.reduction, float(counted.sum()))
        return float(values.sum()) / divisor if divisor else 0.0

    def read_target(
        self, where: str, argument: str, y: Array, shape: tuple[int, ...], dtype: str, allow_nonfinite: bool
    ) -> Array:
        """Targets for predictions of this shape, [rows, units], in the form that the core takes."""
        rows, units = shape
        return targets.read_target(
            where,
            argument,
            y,
            (rows, units // self.outputs_per_target),
            dtype,
            self.targets,
            allow_nonfinite=allow_nonfinite,
            ignore_class=self.ignore_class,
        )

    def point_block(self) -> int | None:
        """Of several outputs for each target the block that predicts the target itself; None: there is none."""
        return 0

    def check_units(self, where: str, units: int) -> None:
        """Raise where a row's outputs cannot be predictions of this loss."""
        if units % self.outputs_per_target:
            raise ValueError(
                f"{where}: loss {self.name!r} takes {self.outputs_per_target} outputs for each target, "
                f"expected a multiple of it, received {units} outputs"
            )

    def _parameters(self) -> dict[str, Any]:
        """The hyper-parameters that are not the core's defaults."""
        defaults = _core.losses()[self.kind]
        own = {name: getattr(self, name) for name in self.hyper_parameters}
        return {name: value for name, value in own.items() if value != defaults[name]}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same object again."""
        own = {name: getattr(self, name) for name in (*self.arguments, *self.hyper_parameters)}
        return {**own, "reduction": self.reduction, "name": self.name}

    def spec(self) -> dict[str, Any]:
        """The core's description."""
        spec = {"kind": self.kind, "from_logits": self.from_logits, **self._parameters()}
        if self.reduction not in (MEAN, "mean"):
            spec["reduction"] = self.reduction
        return spec


def last_axis(where: str, axis: object) -> None:
    """Keras' `axis`: units lie along the last one here."""
    if axis not in (-1, 1) or isinstance(axis, bool):
        raise errors.wrong_value(where, "axis", "-1, the only axis of a row", axis)
