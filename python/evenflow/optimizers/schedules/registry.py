"""From a name or a serialized form to a schedule."""

from __future__ import annotations

from typing import Any

from ... import errors
from ...common.registry import Registry, describe
from .base import LearningRateSchedule
from .formulas import (
    CosineCycles,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    PowerDecay,
)
from .one_cycle import OneCycle

OWN: tuple[type[LearningRateSchedule], ...] = (
    ExponentialDecay,
    PiecewiseConstantDecay,
    InverseTimeDecay,
    PolynomialDecay,
    CosineDecay,
    CosineDecayRestarts,
    PowerDecay,
    CosineCycles,
    OneCycle,
)
REGISTRY = Registry[LearningRateSchedule](
    LearningRateSchedule, OWN, aliases={}, example="ExponentialDecay(0.01, decay_steps=1000, decay_rate=0.1)"
)


def register(cls: type[LearningRateSchedule]) -> type[LearningRateSchedule]:
    """Class decorator: models that use this schedule can be saved, and loaded where it is registered, too."""
    if not (isinstance(cls, type) and issubclass(cls, LearningRateSchedule)):
        raise errors.wrong_type("register", "cls", "a subclass of LearningRateSchedule", cls)
    if cls.__name__ in {own.__name__ for own in OWN}:
        raise errors.wrong_value("register", "cls", "a name that evenflow's schedules leave free", cls.__name__)
    REGISTRY.classes[cls.__name__] = cls
    return cls


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Plain data from which `deserialize` makes an equal schedule."""
    kind = type(learning_rate_schedule)
    if REGISTRY.classes.get(kind.__name__) is not kind:
        raise TypeError(
            f"serialize: {kind.__name__} is not a schedule of evenflow's: decorate the class with schedules.register"
        )
    return describe(learning_rate_schedule)


def deserialize(config: object) -> LearningRateSchedule:
    """The schedule that `serialize` described."""
    return REGISTRY.make("deserialize", "config", config)
