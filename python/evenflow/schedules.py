"""Learning-rate schedules: the rate of a step as a function of its number, from 0, with Keras' names and formulas.

An optimizer takes one in place of a number. `fit` computes the rates of a whole epoch at once, so a schedule costs
nothing per step. In the formulas, r0 is `initial_learning_rate`, t the step, d `decay_steps`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import errors
from .keywords import Checked
from .registry import Registry, describe

Array = NDArray[np.float64]

__all__ = [
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


class _Formula(LearningRateSchedule):
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


class ExponentialDecay(_Formula):
    """r0 * decay_rate^(t / d), with `staircase` t // d: a factor `decay_rate` every d steps ("exponential scheduling").

    The chapter's 0.1^(t / s) is `decay_rate=0.1, decay_steps=s`.
    """

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.decay_rate = self._number("decay_rate", decay_rate, above=0.0)
        self.staircase = errors.boolean(type(self).__name__, "staircase", staircase)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        p = steps / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** (np.floor(p) if self.staircase else p)


class InverseTimeDecay(_Formula):
    """r0 / (1 + decay_rate * t / d), with `staircase` t // d. `PowerDecay` has other powers of the denominator."""

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "decay_rate", "staircase")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.decay_rate = self._number("decay_rate", decay_rate, at_least=0.0)
        self.staircase = errors.boolean(type(self).__name__, "staircase", staircase)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        p = steps / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (np.floor(p) if self.staircase else p))


class PowerDecay(_Formula):
    """r0 / (1 + t / s)^c with s = `decay_steps`, c = `power`: the chapter's power scheduling.

    With c = 1, the rate is r0 / 2 after s steps, r0 / 3 after s more: it falls fast, then more and more slowly. Keras
    has c = 1 only, as InverseTimeDecay(r0, s, 1.0).
    """

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "power")

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, power: float = 1.0, name: str = "PowerDecay"
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.power = self._number("power", power, at_least=0.0)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        return self.initial_learning_rate / (1 + steps / self.decay_steps) ** self.power


class PiecewiseConstantDecay(_Formula):
    """values[i] for t <= boundaries[i], the last value afterwards."""

    ARGUMENTS = ("boundaries", "values")

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        where = type(self).__name__
        for argument, given in (("boundaries", boundaries), ("values", values)):
            if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, np.ndarray)):
                raise errors.wrong_type(where, argument, "a list of numbers", given)
        self.boundaries = [self._number("boundaries", boundary) for boundary in boundaries]
        self.values = [self._number("values", value, at_least=0.0) for value in values]
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{where}: values: expected one more than the {len(self.boundaries)} boundaries, "
                f"received {len(self.values)} values"
            )
        if any(later <= earlier for earlier, later in itertools.pairwise(self.boundaries)):
            raise errors.wrong_value(where, "boundaries", "numbers that rise", self.boundaries)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, steps, side="left")]


class PolynomialDecay(_Formula):
    """(r0 - end) * (1 - min(t, d) / d)^power + end, where end is `end_learning_rate`.

    `cycle`: in place of stopping at t = d, d becomes d * ceil(t / d), so that the rate jumps up and falls again.
    """

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.end_learning_rate = self._number("end_learning_rate", end_learning_rate, at_least=0.0)
        self.power = self._number("power", power, at_least=0.0)
        self.cycle = errors.boolean(type(self).__name__, "cycle", cycle)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        if self.cycle:
            p = steps / (self.decay_steps * np.where(steps == 0, 1.0, np.ceil(steps / self.decay_steps)))
        else:
            p = np.minimum(steps, self.decay_steps) / self.decay_steps
        return (self.initial_learning_rate - self.end_learning_rate) * (1 - p) ** self.power + self.end_learning_rate


class CosineDecay(_Formula):
    """r * ((1 - alpha) * (1 + cos(pi * min(t, d) / d)) / 2 + alpha): half a cosine from r to alpha * r.

    r is r0, or with `warmup_target` that target, to which the rate first rises from r0 in a line over `warmup_steps`.
    Loshchilov and Hutter 2017; warmup: Goyal et al. 2017.
    """

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "alpha", "warmup_target", "warmup_steps")

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.alpha = self._number("alpha", alpha, at_least=0.0)
        self.warmup_steps = self._number("warmup_steps", warmup_steps, at_least=0.0)
        self.warmup_target = None
        if warmup_target is not None:
            self.warmup_target = self._number("warmup_target", warmup_target, at_least=0.0)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        target, warmup = (self.initial_learning_rate, 0.0)
        if self.warmup_target is not None:
            target, warmup = self.warmup_target, self.warmup_steps
        p = np.clip(steps - warmup, 0.0, self.decay_steps) / self.decay_steps
        falling = target * ((1 - self.alpha) * 0.5 * (1 + np.cos(np.pi * p)) + self.alpha)
        if warmup == 0:
            return np.asarray(falling)
        rising = (target - self.initial_learning_rate) * (steps / warmup) + self.initial_learning_rate
        return np.where(steps < warmup, rising, falling)


class CosineDecayRestarts(_Formula):
    """CosineDecay that begins anew after `first_decay_steps`, then after `t_mul` times as many, and so on (SGDR).

    r0 * ((1 - alpha) * m_mul^i * (1 + cos(pi * p)) / 2 + alpha), p the part done of period i. Loshchilov and Hutter
    2017.
    """

    ARGUMENTS = ("initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha")

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.first_decay_steps = self._number("first_decay_steps", first_decay_steps, above=0.0)
        self.t_mul = self._number("t_mul", t_mul, at_least=1.0)
        self.m_mul = self._number("m_mul", m_mul, at_least=0.0)
        self.alpha = self._number("alpha", alpha, at_least=0.0)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        done = steps / self.first_decay_steps
        if self.t_mul == 1:
            period = np.floor(done)
            p = done - period
        else:  # periods begin at 0, 1, 1 + t_mul, 1 + t_mul + t_mul^2, ...
            period = np.floor(np.log(1 - done * (1 - self.t_mul)) / math.log(self.t_mul))
            p = (done - (1 - self.t_mul**period) / (1 - self.t_mul)) / self.t_mul**period
        cosine = 0.5 * self.m_mul**period * (1 + np.cos(np.pi * p))
        return np.asarray(self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha))


class OneCycle(_Formula):
    """1cycle, for `total_steps` steps: the rate rises to its maximum and falls while the momentum falls and rises.

    From max / `div_factor` to max in the first `pct_start` of the steps, back in as many, and in the rest down to that
    start / `final_div_factor`, where it stays. The momentum moves from `max_momentum` to `base_momentum` and back; it
    is the momentum of SGD and RMSprop, the beta_1 of Adam, AdamW, Nadam and Adamax, in place of the optimizer's own,
    unless `cycle_momentum` is False. `three_phase=False`: from max straight to the end. `anneal_strategy`: "linear" or
    "cos". `first_step`: the optimizer's step at which the cycle begins. Take as maximum what `find_learning_rate`
    suggests. Smith 2018; the arguments and values are those of PyTorch's OneCycleLR.
    """

    ARGUMENTS = (
        "max_learning_rate",
        "total_steps",
        "pct_start",
        "anneal_strategy",
        "cycle_momentum",
        "base_momentum",
        "max_momentum",
        "div_factor",
        "final_div_factor",
        "three_phase",
        "first_step",
    )

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.45,
        anneal_strategy: str = "linear",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 10.0,
        final_div_factor: float = 1000.0,
        three_phase: bool = True,
        first_step: int = 0,
        name: str = "OneCycle",
    ) -> None:
        where = type(self).__name__
        self.max_learning_rate = self._number("max_learning_rate", max_learning_rate, at_least=0.0)
        self.total_steps = errors.integer(where, "total_steps", total_steps, at_least=1)
        self.three_phase = errors.boolean(where, "three_phase", three_phase)
        self.first_step = errors.integer(where, "first_step", first_step, at_least=0)
        self.pct_start = self._number("pct_start", pct_start, at_least=0.0, at_most=0.5 if three_phase else 1.0)
        if anneal_strategy not in ("linear", "cos"):
            raise errors.unknown_name(where, "anneal_strategy", anneal_strategy, ("linear", "cos"))
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = errors.boolean(where, "cycle_momentum", cycle_momentum)
        self.base_momentum = self._number("base_momentum", base_momentum, at_least=0.0, below=1.0)
        self.max_momentum = self._number("max_momentum", max_momentum, at_least=0.0, below=1.0)
        self.div_factor = self._number("div_factor", div_factor, above=0.0)
        self.final_div_factor = self._number("final_div_factor", final_div_factor, above=0.0)
        super().__init__(name)

    def _along(self, steps: Array, start: float, peak: float, end: float) -> Array:
        """From start to peak, back if there are three phases, and to end, which the last step has."""
        steps = steps - self.first_step
        rise = self.pct_start * self.total_steps - 1
        turns = [(0.0, start), (rise, peak), (float(self.total_steps - 1), end)]
        if self.three_phase:
            turns.insert(2, (2 * rise, start))
        result = np.full(np.shape(steps), end)
        for (first, before), (last, after) in reversed(list(itertools.pairwise(turns))):
            p = np.clip((steps - first) / (last - first), 0.0, 1.0) if last > first else np.ones(np.shape(steps))
            if self.anneal_strategy == "cos":
                p = (1 - np.cos(np.pi * p)) / 2
            result = np.where(steps <= last, before + (after - before) * p, result)
        return result

    def rates(self, steps: Array) -> Array:
        start = self.max_learning_rate / self.div_factor
        return self._along(steps, start, self.max_learning_rate, start / self.final_div_factor)

    def momenta(self, steps: Array) -> Array | None:
        if not self.cycle_momentum:
            return None
        return self._along(steps, self.max_momentum, self.base_momentum, self.max_momentum)


REGISTRY = Registry[LearningRateSchedule](
    LearningRateSchedule,
    (
        ExponentialDecay,
        PiecewiseConstantDecay,
        InverseTimeDecay,
        PolynomialDecay,
        CosineDecay,
        CosineDecayRestarts,
        PowerDecay,
        OneCycle,
    ),
    aliases={},
    example="ExponentialDecay(0.01, decay_steps=1000, decay_rate=0.1)",
)


def register(cls: type[LearningRateSchedule]) -> type[LearningRateSchedule]:
    """Class decorator: models that use this schedule can be saved, and loaded where it is registered, too."""
    if not (isinstance(cls, type) and issubclass(cls, LearningRateSchedule)):
        raise errors.wrong_type("register", "cls", "a subclass of LearningRateSchedule", cls)
    other = REGISTRY.classes.get(cls.__name__)
    if other is not None and other.__module__ == __name__:
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
