"""LearningRateSchedule: what every schedule has, and what those that are formulas of arrays have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import errors
from ...common.keywords import Checked

Array = NDArray[np.float64]


class LearningRateSchedule(Checked):
    """Base class, and how to write one: a subclass has `__call__(step)`, which returns the rate of a step (an int).

    It is called once for every step of an epoch before the epoch begins; where that is too slow, override `rates`. With
    `get_config` and the decorator `register`, models that use it can be saved and loaded.
    """

    def __call__(self, step: Any) -> Any:
        """The rate of step 0, 1, 2, ..."""
        raise NotImplementedError(f"{type(self).__name__}: a schedule needs a method __call__(self, step)")

    def rates(self, steps: Array) -> Array:
        """The rates of these steps (whole numbers, as float64)."""
        return np.array([self(int(step)) for step in steps])

    def momenta(self, steps: Array) -> Array | None:
        """The momentum of these steps, for schedules that move it too; None: the optimizer's own."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same schedule again."""
        raise NotImplementedError(
            f"{type(self).__name__}: a schedule that is to be saved needs a method get_config(self)"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        """The schedule that `get_config` described."""
        return cls(**config)


class Formula(LearningRateSchedule):
    """A schedule whose `rates` is a formula of arrays."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    name: str

    def __init__(self, name: object) -> None:
        if not isinstance(name, str):
            raise errors.wrong_type(type(self).__name__, "name", "a string", name)
        self.name = name

    @overload
    def __call__(self, step: float) -> float: ...
    @overload
    def __call__(self, step: ArrayLike) -> Any: ...
    def __call__(self, step: Any) -> Any:
        """The rate of a step as a float, or those of an array of steps as an array of its shape."""
        steps = np.asarray(step, np.float64)
        rates = self.rates(steps)
        return rates if steps.ndim else float(rates)

    def _number(self, argument: str, value: object, **limits: float) -> float:
        return errors.number(type(self).__name__, argument, value, **limits)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same schedule again."""
        return {**{argument: getattr(self, argument) for argument in self.ARGUMENTS}, "name": self.name}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{argument}={getattr(self, argument)!r}" for argument in self.ARGUMENTS)
        return f"{type(self).__name__}({arguments})"
