"""Callbacks that end training: when the loss is no number any more, when time is over."""

from __future__ import annotations

import math
import time
from typing import Any

from .. import errors
from .base import Callback, Logs, say


class TerminateOnNaN(Callback):
    """Ends training when the loss is infinite or not a number; with `raise_error`, by a RuntimeError.

    It looks between native calls, so that it costs nothing: within a twentieth of a second.
    """

    leaves_model = True

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = errors.boolean("TerminateOnNaN", "raise_error", raise_error)

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        if math.isfinite(logs["loss"]):
            return
        self.model.stop_training = True
        text = f"the loss is {logs['loss']} after {rows} rows of the epoch"
        if self.raise_error:
            raise RuntimeError(f"TerminateOnNaN: {text}")
        say(f"TerminateOnNaN: {text}: training ends")


class TimeBudget(Callback):
    """Ends training `seconds` after it began, validations included, within a twentieth of a second or one step.

    The epoch that is under way ends with the steps it has made: its logs are means over those, and it is validated.
    Where BackupAndRestore lets a training go on, the time until the backup counts, not what came after it. With
    `verbose`, says so.
    """

    leaves_model = True

    def __init__(self, seconds: float, verbose: int = 0) -> None:
        self.seconds = errors.number("TimeBudget", "seconds", seconds, above=0.0)
        self.verbose = errors.integer("TimeBudget", "verbose", verbose, at_least=0)
        self._start = 0.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._start = time.monotonic()

    def backup_state(self) -> dict[str, Any]:
        return {"seconds": time.monotonic() - self._start}

    def restore_state(self, state: dict[str, Any]) -> None:
        self._start = time.monotonic() - state["seconds"]

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        self._look()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._look()

    def _look(self) -> None:
        if not self.model.stop_training and time.monotonic() - self._start >= self.seconds:
            self.model.stop_training = True
            if self.verbose:
                say(f"TimeBudget: {self.seconds:g} seconds are over: training ends")
