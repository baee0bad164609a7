"""Learning-rate schedules: the rate of a step as a function of its number, from 0, with Keras' names and formulas.

An optimizer takes one in place of a number. `fit` computes the rates of a whole epoch at once, so a schedule costs
nothing per step. In the formulas, r0 is `initial_learning_rate`, t the step, d `decay_steps`.
"""

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
from .registry import REGISTRY, deserialize, register, serialize

__all__ = [
    "REGISTRY",
    "CosineCycles",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "PowerDecay",
    "deserialize",
    "register",
    "serialize",
]
