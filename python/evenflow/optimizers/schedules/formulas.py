"""Schedules that are a formula of the step's number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from ... import errors
from .base import Array, Formula


class ExponentialDecay(Formula):
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


class InverseTimeDecay(Formula):
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


class PowerDecay(Formula):
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


class PiecewiseConstantDecay(Formula):
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


class PolynomialDecay(Formula):
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


class CosineDecay(Formula):
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


class CosineDecayRestarts(Formula):
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


class CosineCycles(Formula):
    """r0 * (1 - cos(2 pi log2(1 + (2^c - 1) t / d))) / 2, c = `cycles`, 0 from t = d on.

    The rate starts at 0 and ends at 0; it rises to r0 and falls c times, each time for twice as long as before, so that
    there are good weights early, and high rates late. "coslog4" of RealMLP. Holzmueller, Grinsztajn and Steinwart 2024.
    """

    ARGUMENTS = ("initial_learning_rate", "decay_steps", "cycles")

    def __init__(
        self, initial_learning_rate: float, decay_steps: float, cycles: int = 4, name: str = "CosineCycles"
    ) -> None:
        self.initial_learning_rate = self._number("initial_learning_rate", initial_learning_rate, at_least=0.0)
        self.decay_steps = self._number("decay_steps", decay_steps, above=0.0)
        self.cycles = errors.integer(type(self).__name__, "cycles", cycles, at_least=1)
        super().__init__(name)

    def rates(self, steps: Array) -> Array:
        p = np.minimum(steps / self.decay_steps, 1.0)
        wave = 1 - np.cos(2 * np.pi * np.log2(1 + (2.0**self.cycles - 1) * p))
        return np.asarray(0.5 * self.initial_learning_rate * wave)
