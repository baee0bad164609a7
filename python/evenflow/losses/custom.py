"""CustomLoss: a loss that is a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import errors
from ..common.functions import takes
from ..data import arrays
from .base import Array, Loss

Function = Callable[[Array, Array], tuple[Any, ArrayLike]]


class CustomLoss(Loss):
    """What `compile(loss=function)` makes of a function of (y, prediction) that returns (value, gradient).

    y is rows of what `fit` was given, prediction [rows, outputs] of the model's dtype. value is [rows], each row's
    loss, or one number, the loss of the batch; gradient [rows, outputs] is the derivative of value's sum. So values of
    rows are divided by the number of rows and may have weights; one number is taken as it is, and goes without. Both
    must be real and finite. Slower than a loss of the core: every step passes through Python. As beside every loss,
    what is reported has the penalties of layers in it, and schedules may move the momentum.
    """

    kind = "custom"

    def __init__(self, function: Function) -> None:
        if not takes(function, 2):
            expected = "a function of (y, prediction), or a loss such as MeanSquaredError()"
            raise errors.wrong_type("CustomLoss", "function", expected, function)
        super().__init__(name=getattr(function, "__name__", type(function).__name__))
        self.function = function

    def get_config(self) -> dict[str, Any]:
        """The function's name: what `load_model` needs in `custom_objects`."""
        return {"name": self.name}

    def spec(self) -> dict[str, Any]:
        raise TypeError(f"loss {self.name!r} is a Python function, which the native core cannot run by itself")

    def read_target(
        self, where: str, argument: str, y: Array, shape: tuple[int, ...], dtype: str, allow_nonfinite: bool
    ) -> Array:
        if y.dtype.kind == "f" and not allow_nonfinite and y.size:
            arrays.check_finite(where, argument, arrays.read_floats(y.reshape(len(y), -1), dtype), dtype)
        return y

    def _found(self, y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
        prediction = arrays.as_array(self.name, "y_pred", y_pred)
        value, gradient = self.of_batch(arrays.as_array(self.name, "y_true", y_true), prediction)
        return np.atleast_1d(value), gradient / (len(prediction) if np.ndim(value) else 1)

    def of_batch(self, y: Array, prediction: Array) -> tuple[Array, Array]:
        """What the function returns, checked: values [rows] or one, and the gradient."""
        where = f"loss {self.name!r}"
        returned = self.function(y, prediction)
        if not isinstance(returned, tuple) or len(returned) != 2:
            received = f"{len(returned)} values" if isinstance(returned, tuple) else f"a {type(returned).__name__}"
            raise errors.wrong_kind(where, "what it returns", "(value, gradient)", received)
        value, gradient = (arrays.as_array(where, n, r) for n, r in zip(("value", "gradient"), returned, strict=True))
        if value.shape not in ((), (len(prediction),)):
            raise errors.wrong_shape(where, "value", (len(prediction),), value.shape, "Or one number for the batch.")
        if gradient.shape != prediction.shape:
            raise errors.wrong_shape(where, "gradient", prediction.shape, gradient.shape)
        for name, array in (("value", value), ("gradient", gradient)):
            if not np.isfinite(array).all():
                at = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
                place = f" at {list(at)}" if at else ""
                raise ValueError(f"{where}: {name} has {array[at]}{place}, expected finite numbers")
        return value, gradient
