"""Pace: an optimizer's learning rate, and the momentum where a schedule moves it, from step to step."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from . import schedules
from .schedules import LearningRateSchedule

if TYPE_CHECKING:
    from .base import Optimizer

Array = NDArray[np.float64]
LearningRate = float | LearningRateSchedule | Callable[..., Any]


class Rate(float):
    """The rate that `optimizer.learning_rate` tells: a number, with the `assign` and `numpy` of Keras' variable."""

    def __new__(cls, value: float, optimizer: Optimizer) -> Rate:
        rate = super().__new__(cls, value)
        rate._optimizer = weakref.ref(optimizer)  # not to keep a model alive from its History
        return rate

    _optimizer: weakref.ref[Optimizer]

    def assign(self, value: Any) -> None:
        """Set the optimizer's rate, as `optimizer.learning_rate = value` does."""
        optimizer = self._optimizer()
        if optimizer is not None:
            optimizer.learning_rate = float(value)

    def numpy(self) -> np.float64:
        """The number alone."""
        number: np.float64 = np.float64(self)
        return number

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


class Pace:
    """What `Optimizer(learning_rate=...)` was given: a number, a schedule, its serialized form, or a function.

    `momentum` names the hyper-parameter that a schedule with momentum moves, with the optimizer's own value.
    """

    def __init__(self, where: str, source: object, momentum: tuple[str, float] | None) -> None:
        self.where = where
        if isinstance(source, Mapping):
            source = schedules.REGISTRY.make(where, "learning_rate", source)
        self.source: Any = source
        self.asked_each_step = False  # a function without arguments may answer differently before each step
        self._epoch: tuple[int, int, Array, Array | None] | None = None
        if isinstance(source, type) and issubclass(source, LearningRateSchedule):
            raise errors.wrong_type(where, "learning_rate", "an instance, with parentheses", source)
        if isinstance(source, LearningRateSchedule):
            self._check_momentum(momentum)
        elif callable(source):
            self.asked_each_step = _parameters(where, source) == 0
        else:
            expected = "a number, a schedule of evenflow.schedules, or a function"
            if isinstance(source, (str, list, tuple)) or source is None:
                raise errors.wrong_type(where, "learning_rate", expected, source)
            self.source = errors.number(where, "learning_rate", source, at_least=0.0)

    @property
    def constant(self) -> bool:
        """Whether it is a number."""
        return isinstance(self.source, float)

    def describe(self) -> Any:
        """As plain data: the number, or the schedule's serialized form."""
        if self.constant:
            return self.source
        if isinstance(self.source, LearningRateSchedule):
            return schedules.serialize(self.source)
        raise TypeError(
            f"{self.where}: learning_rate is the function {self.source!r}, which cannot be described or saved: write a "
            f"schedule (see schedules.LearningRateSchedule)"
        )

    def rate(self, step: int) -> float:
        """The rate of a step."""
        return float(self._values(np.array([step], np.float64))[0][0])

    def of_epoch(
        self, iterations: int, first_step: int, steps: int, max_steps: int
    ) -> tuple[float | Array, float | Array | None]:
        """Rate and momentum as the core takes them: a number, or one for each step of an epoch that has `steps`.

        Step `first_step` of the epoch is number `iterations` of the optimizer. The values of an epoch are computed
        once, and refused at once if one of them cannot be used; a single step asks for its own only.
        """
        if self.constant:
            return self.source, None
        if max_steps == 1 or self.asked_each_step:
            rates, momenta = self._values(np.array([iterations], np.float64))
            return float(rates[0]), None if momenta is None else float(momenta[0])
        start = iterations - first_step  # negative where the optimizer was replaced in the middle of an epoch
        if first_step == 0 or self._epoch is None or self._epoch[:2] != (start, steps):
            rates, momenta = self._values(np.arange(iterations, start + steps, dtype=np.float64))
            filler = np.zeros(first_step)  # of steps that are done
            momenta = None if momenta is None else np.concatenate((filler, momenta))
            self._epoch = start, steps, np.concatenate((filler, rates)), momenta
        return self._epoch[2:]

    def _values(self, steps: Array) -> tuple[Array, Array | None]:
        """Rates and momenta of these steps, every one of them checked."""
        if self.constant:
            return np.full(steps.shape, self.source), None
        momenta = None
        if self.asked_each_step:
            rates = self._read("learning rate", [self.source() for _ in steps], steps, np.inf)
        elif isinstance(self.source, LearningRateSchedule):
            rates = self._read("learning rate", self.source.rates(steps), steps, np.inf)
            momenta = self.source.momenta(steps)
            momenta = None if momenta is None else self._read("momentum", momenta, steps, np.nextafter(1.0, 0.0))
        else:
            rates = self._read("learning rate", [self.source(int(step)) for step in steps], steps, np.inf)
        return rates, momenta

    def _read(self, what: str, given: Any, steps: Array, most: float) -> Array:
        where = f"{self.where}: {_name(self.source)}"
        values = np.asarray(given)
        if values.dtype.kind not in "fiu":
            raise errors.wrong_kind(where, what, "a number for each step", f"{given!r:.100}")
        values = np.array(values, np.float64)
        if values.shape != steps.shape:
            raise errors.wrong_shape(where, what, steps.shape, values.shape)
        usable = np.isfinite(values) & (values >= 0) & (values <= most)
        if not usable.all():
            at = int(np.argmin(usable))
            expected = "a finite number of at least 0" + (" and below 1" if most < 1 else "")
            raise errors.wrong_value(where, f"{what} of step {int(steps[at])}", expected, float(values[at]))
        return values

    def _check_momentum(self, momentum: tuple[str, float] | None) -> None:
        if self.source.momenta(np.zeros(1)) is None or (momentum is not None and momentum[1] != 0):
            return
        has = "has none" if momentum is None else f"has {momentum[0]}=0"
        advice = "" if momentum is None else f"give {momentum[0]}=0.95, or "
        raise ValueError(
            f"{self.where}: learning_rate: {type(self.source).__name__} moves the momentum, but this optimizer {has}: "
            f"{advice}make the schedule with cycle_momentum=False"
        )


def _name(source: Any) -> str:
    if isinstance(source, LearningRateSchedule):
        return type(source).__name__
    return f"learning_rate function {getattr(source, '__name__', type(source).__name__)}"


def _parameters(where: str, function: Callable[..., Any]) -> int:
    """How many arguments a function must be given: 0 or 1."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions do not tell
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if len(needed) > 1 or any(p.kind not in positional for p in needed):
        raise errors.wrong_kind(
            where,
            "learning_rate",
            "a function of the step, or one without arguments",
            f"one of {len(needed)} arguments",
        )
    return len(needed)
