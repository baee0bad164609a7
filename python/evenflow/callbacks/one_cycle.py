"""OneCycle: the 1cycle schedule for a `fit` of whatever length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..optimizers import schedules
from .base import Callback, Logs

if TYPE_CHECKING:
    from ..optimizers.base import Optimizer
    from ..optimizers.pace import Pace


class OneCycle(Callback):
    """One cycle of learning rate and momentum over all steps of a `fit`: `schedules.OneCycle`, and finds the length.

    The optimizer's own learning rate, which must be a number, is put back when training ends; its own momentum counts
    again then. History gets the rate of the step after each epoch as "learning_rate". Raises ValueError where `fit`
    does not know how many steps an epoch has: give `steps_per_epoch`. Arguments and defaults are the schedule's.
    """

    def __init__(
        self,
        max_learning_rate: float,
        pct_start: float = 0.45,
        anneal_strategy: str = "linear",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 10.0,
        final_div_factor: float = 1000.0,
        three_phase: bool = True,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "max_learning_rate": max_learning_rate,
            "pct_start": pct_start,
            "anneal_strategy": anneal_strategy,
            "cycle_momentum": cycle_momentum,
            "base_momentum": base_momentum,
            "max_momentum": max_momentum,
            "div_factor": div_factor,
            "final_div_factor": final_div_factor,
            "three_phase": three_phase,
        }
        schedules.OneCycle(total_steps=1, **self._arguments)
        self._before: tuple[Optimizer, Pace] | None = None
        self._cycle: dict[str, Any] = {}  # once it has begun: its steps, and the first of them

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._cycle = {}
        self.settable_rate()
        if self.params["steps"] is None:
            raise ValueError(
                "OneCycle: the number of steps in an epoch is not known: give steps_per_epoch, or the data a length"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._before is None:  # only now the number of the first epoch is known
            optimizer = self.settable_rate()
            steps = (self.params["epochs"] - epoch) * self.params["steps"]
            self._cycle = self._cycle or {"total_steps": steps, "first_step": optimizer.batches}
            self._before = optimizer, optimizer.pace
            optimizer.learning_rate = schedules.OneCycle(**self._cycle, **self._arguments)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None and self._before is not None:
            logs["learning_rate"] = float(self._before[0].learning_rate)

    def backup_state(self) -> dict[str, Any]:
        return {"cycle": self._cycle}

    def restore_state(self, state: dict[str, Any]) -> None:
        self._cycle = state["cycle"]

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.close()

    def close(self) -> None:
        if self._before is not None:
            optimizer, pace = self._before
            optimizer.pace = pace
            self._before = None
