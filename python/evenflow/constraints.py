"""Constraints: what weights are projected onto after each update. Keras 3's names and defaults.

They act inside the native step, on a panel of the kernel while it is in cache, or after the update where a norm is that
of several panels. `kernel_constraint` of Dense limits the incoming weights of each unit, unless `axis` says otherwise;
a norm constraint of a vector (bias, gamma, beta) is that of the whole vector, as in Keras. Frozen layers are left
alone, and so are initial weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import errors
from .common.keywords import Checked
from .common.registry import Registry

__all__ = [
    "REGISTRY",
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "NormConstraint",
    "UnitNorm",
    "get",
]


class Constraint(Checked):
    """Base class: `constraint(w)` returns the array that w is projected onto."""

    def spec(self) -> dict[str, Any]:
        """What the core is told."""
        raise NotImplementedError

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        from .kernels import keep_nonnegative, limit_norms

        array = np.array(w, order="C")
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
        spec = self.spec()
        if spec.pop("kind") == "norm":
            limit_norms(array, **spec)
        else:
            keep_nonnegative(array)
        return array

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same constraint again."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_config().items())})"


class NonNeg(Constraint):
    """max(w, 0): no negative weights."""

    def spec(self) -> dict[str, Any]:
        return {"kind": "non_negative"}


class NormConstraint(Constraint):
    """Base class of limits of l2 norms along an axis. Of a kernel [inputs, units] or a table [categories, columns] 0 is
    each column's, a unit's incoming weights; 1 or -1 each row's, what an input, or a category, sends out; [0, 1] that
    of all elements. A vector has only axis 0."""

    def __init__(self, axis: int | Sequence[int]) -> None:
        kind, expected = type(self).__name__, "0, 1, -1 or [0, 1]"
        listed = list(axis) if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
        if any(isinstance(one, bool) or not isinstance(one, int) for one in listed):
            raise errors.wrong_type(kind, "axis", expected, axis)
        if not 1 <= len({one % 2 for one in listed}) == len(listed) or not -2 <= min(listed) <= max(listed) <= 1:
            raise errors.wrong_value(kind, "axis", expected, axis)
        self.axis = listed[0] if len(listed) == 1 else listed

    def _limits(self, lowest: float, highest: float, rate: float = 1.0) -> dict[str, Any]:
        limits = {"kind": "norm", "min_value": lowest, "max_value": highest, "rate": rate}
        return limits if self.axis == 0 else {**limits, "axis": self.axis}


class MaxNorm(NormConstraint):
    """w * max_value / (norm + 1e-7) for each unit whose incoming weights have an l2 norm above max_value; the others
    keep their bits. `axis`: whose norms, see `NormConstraint`; of an Embedding axis=1 limits each category's row.

    Max-norm regularization: a smaller max_value constrains more. Unlike l2 it adds nothing to the loss. Goes well with
    dropout and high learning rates. Keras shrinks the others too, by norm / (norm + 1e-7). Srebro and Shraibman 2005;
    Srivastava et al. 2014, section 5.1.
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0) -> None:
        self.max_value = errors.number("MaxNorm", "max_value", max_value, at_least=0.0)
        super().__init__(axis)

    def spec(self) -> dict[str, Any]:
        return self._limits(0.0, self.max_value)

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(NormConstraint):
    """w / (norm + 1e-7): the incoming weights of each unit keep an l2 norm of 1. `axis`: as `NormConstraint` has it."""

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        super().__init__(axis)

    def spec(self) -> dict[str, Any]:
        return self._limits(1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(NormConstraint):
    """w * (rate * clip(norm, min_value, max_value) + (1 - rate) * norm) / (norm + 1e-7) for each unit whose incoming
    weights have an l2 norm outside [min_value, max_value]; the others keep their bits. A rate below 1 moves towards the
    interval a part at a time. `axis`: as `NormConstraint` has it."""

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ) -> None:
        self.min_value = errors.number("MinMaxNorm", "min_value", min_value, at_least=0.0)
        self.max_value = errors.number("MinMaxNorm", "max_value", max_value, at_least=self.min_value)
        self.rate = errors.number("MinMaxNorm", "rate", rate, at_least=0.0, at_most=1.0)
        super().__init__(axis)

    def spec(self) -> dict[str, Any]:
        return self._limits(self.min_value, self.max_value, self.rate)

    def get_config(self) -> dict[str, Any]:
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


# Keras' other names of the classes: `constraints.max_norm(1.0)`.
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

REGISTRY = Registry(Constraint, (MaxNorm, NonNeg, UnitNorm, MinMaxNorm), aliases={}, example="MaxNorm(2.0)")


def get(identifier: object, where: str = "get", argument: str = "constraint") -> Constraint | None:
    """A constraint from a name ("max_norm", "MaxNorm"), a constraint or its class, its serialized form, or None."""
    if identifier is None:
        return None
    if isinstance(identifier, type) and issubclass(identifier, Constraint):
        identifier = identifier()
    found = REGISTRY.make(where, argument, identifier)
    if type(found) not in REGISTRY.classes.values():
        raise errors.wrong_type(where, argument, f"one of {', '.join(REGISTRY.classes)}", identifier)
    return found


def get_for_vector(identifier: object, where: str, argument: str) -> Constraint | None:
    """As `get`, for a bias and the like, which have only one axis."""
    found = get(identifier, where, argument)
    if isinstance(found, NormConstraint) and found.axis not in (0, -1):
        raise errors.wrong_value(where, argument, "axis=0, the only one of a vector", found)
    return found
