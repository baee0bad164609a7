"""LearningRateScheduler: a learning rate for each epoch, from a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import errors
from .base import Callback, Logs, say


class LearningRateScheduler(Callback):
    """At the beginning of each epoch, learning_rate = schedule(epoch) or schedule(epoch, learning_rate).

    History gets the rate as "learning_rate". For a rate that changes from step to step give the optimizer one of
    `schedules` instead. `verbose=1` prints each change.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        if not callable(schedule):
            raise errors.wrong_type("LearningRateScheduler", "schedule", "a function of the epoch", schedule)
        self.schedule = schedule
        self.verbose = errors.integer("LearningRateScheduler", "verbose", verbose, at_least=0)
        self._takes_rate = _takes_two(schedule)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.settable_rate()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.settable_rate()
        given = self.schedule(epoch, optimizer.learning_rate) if self._takes_rate else self.schedule(epoch)
        where = "LearningRateScheduler"
        optimizer.learning_rate = errors.number(where, f"schedule({epoch})", given, at_least=0.0)
        if self.verbose:
            say(f"Epoch {epoch + 1}: {where} setting learning rate to {optimizer.learning_rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = self.settable_rate().learning_rate


def _takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with two arguments."""
    try:
        inspect.signature(function).bind(0, 0.0)
    except (TypeError, ValueError):
        return False
    return True
