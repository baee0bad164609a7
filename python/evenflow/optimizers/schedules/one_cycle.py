"""OneCycle: the 1cycle policy."""

from __future__ import annotations

import itertools

import numpy as np

from ... import errors
from .base import Array, Formula


class OneCycle(Formula):
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
