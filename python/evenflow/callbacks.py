"""What runs between the native calls of training: History, progress, logs, learning rates, and what users write.

EarlyStopping, ReduceLROnPlateau and ModelCheckpoint, which watch a value, are in `monitors`; BackupAndRestore,
GradientNorms, Health, OneCycle, SwapEMAWeights and TensorBoard in modules of their own; all appear here too.
"""

from __future__ import annotations

import csv
import inspect
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import errors
from .averages import SwapEMAWeights
from .backup import BackupAndRestore
from .callback import Callback, Logs, read_callbacks, say
from .display import shows_bars
from .gradient_norms import GradientNorms
from .health import PREFIX, Health
from .monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from .one_cycle import OneCycle
from .predictor import read_verbose
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "GradientNorms",
    "Health",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OneCycle",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeBudget",
]


class History(Callback):
    """`history`: one list per loss and metric, one entry per finished epoch; `epoch`: their numbers.

    An entry is a number, or an array for a metric of several values. `messages`: what callbacks had to say. `cached`,
    after `fit(cache_frozen=True)`: names of the frozen layers that were computed once, bytes kept, seconds that took,
    and seconds_saved, an estimate by the former: each further pass would have taken as long.
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self.messages: list[str] = []
        self.cached: dict[str, Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch, self.messages = [], []
        self.history = {}
        self.cached = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        grown = {name: [*self.history.get(name, []), value] for name, value in (logs or {}).items()}
        self.epoch, self.history = [*self.epoch, epoch], self.history | grown  # at once: Ctrl-C leaves both or neither

    def backup_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "history": self.history}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.epoch, self.history = state["epoch"], state["history"]


def _text(logs: Mapping[str, Any], separator: str) -> str:
    def number(value: float) -> str:
        return f"{value:.4f}" if value == 0 or not math.isfinite(value) or abs(value) >= 1e-3 else f"{value:.3e}"

    return separator.join(f"{name}: {number(value)}" for name, value in logs.items() if _is_shown(name, value))


def _is_shown(name: str, value: Any) -> bool:
    return np.ndim(value) == 0 and not name.startswith(PREFIX)  # six numbers a layer are no line


class ProgbarLogger(Callback):
    """Progress on standard output: a line per epoch, after a bar on a terminal unless verbose=2."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._start = 0.0
        self._seen = 0  # rows of this epoch
        self._testing = False

    def _open(self, title: str, rows: int | None) -> None:
        self.close()
        self._start, self._seen = time.perf_counter(), 0
        if self.params["verbose"] == 1 and shows_bars(sys.stdout):
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(
                total=rows,
                desc=title,
                unit=" samples",
                unit_scale=True,
                # loss and accuracy in 80 columns
                bar_format="{desc} {n:,} samples, {rate_fmt}{postfix}"
                if rows is None
                else "{desc} {percentage:3.0f}%|{bar}| {rate_fmt}{postfix}",
                file=sys.stdout,
                dynamic_ncols=True,
                mininterval=0.05,
                leave=False,
            )

    def _show(self, rows: int, logs: Logs) -> None:
        self._seen = rows
        if self._bar is not None:
            self._bar.set_postfix_str(_text(logs, ", "), refresh=False)
            self._bar.update(rows - self._bar.n)

    def _finish(self, title: str, logs: Logs) -> None:
        self.close()
        seconds = time.perf_counter() - self._start
        rate = f"{self._seen / seconds:,.0f}" if seconds > 0 else "?"
        print(f"{title} - {seconds:.2f}s - {rate} samples/s - {_text(logs, ' - ')}", flush=True)

    def _epoch_title(self, epoch: int) -> str:
        return f"Epoch {epoch + 1}/{self.params['epochs']}"

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._open(self._epoch_title(epoch), self.params["rows"])

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        self._show(rows, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(self._epoch_title(epoch), logs or {})

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._testing = "epochs" not in self.params  # validation inside an epoch belongs to the epoch's line
        if self._testing:
            self._open("Evaluate", self.params["rows"])

    def on_test_progress(self, rows: int, logs: Logs) -> None:
        if self._testing:
            self._show(rows, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self._testing:
            self._finish("Evaluate", logs or {})

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


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


def _cell(values: Any) -> str:
    """Several values as Keras writes them."""
    return f'"[{", ".join(map(str, values))}]"'


class CSVLogger(Callback):
    """A line for each epoch in a CSV file: the epoch from 0, then the logs by name; "NA" for missing ones.

    Keras' format: the columns of a run without validation are followed by empty ones for it. The file is written anew
    unless `append`. A run that BackupAndRestore lets go on drops the lines written after the backup.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(filename, (str, os.PathLike)):
            raise errors.wrong_type("CSVLogger", "filename", "a path", filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise errors.wrong_value("CSVLogger", "separator", "one character", separator)
        self.filename = Path(filename)
        self.separator = separator
        self.append = errors.boolean("CSVLogger", "append", append)
        self._file: TextIO | None = None
        self._writer: csv.DictWriter[str] | None = None
        self._names: list[str] = []
        self._size = 0  # in bytes, of what was there before the next line

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.close()
        self._file = self.filename.open("a", newline="", encoding="utf-8")
        self._names, self._size = [], self._file.tell() if self.append else 0

    def _drop_the_rest(self) -> None:
        if self._file is not None and self._writer is None:
            self._file.truncate(self._size)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._drop_the_rest()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._file is None:
            return
        logs = logs or {}
        if self._writer is None:
            self._drop_the_rest()
            names = sorted(logs)
            if not any(name.startswith("val_") for name in names):
                names += [f"val_{name}" for name in names]
            self._names = self._names or ["epoch", *names]
            self._writer = csv.DictWriter(
                self._file, self._names, restval="NA", extrasaction="ignore", delimiter=self.separator
            )
            if self._size == 0:
                self._writer.writeheader()
        cells = {name: value if np.ndim(value) == 0 else _cell(value) for name, value in logs.items()}
        self._writer.writerow({"epoch": epoch, **cells})
        self._file.flush()
        self._size = self._file.tell()

    def backup_state(self) -> dict[str, Any]:
        if self._file is not None:
            os.fsync(self._file.fileno())  # a backup must not know of lines that a crash takes away
        return {"size": self._size, "names": self._names}

    def restore_state(self, state: dict[str, Any]) -> None:
        self._names, self._size = state["names"], min(state["size"], self.filename.stat().st_size)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._drop_the_rest()
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None


class TerminateOnNaN(Callback):
    """Ends training when the loss is infinite or not a number; with `raise_error`, by a RuntimeError.

    It looks between native calls, so that it costs nothing: within a twentieth of a second.
    """

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
    With `verbose`, says so.
    """

    def __init__(self, seconds: float, verbose: int = 0) -> None:
        self.seconds = errors.number("TimeBudget", "seconds", seconds, above=0.0)
        self.verbose = errors.integer("TimeBudget", "verbose", verbose, at_least=0)
        self._start = 0.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._start = time.monotonic()

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        self._look()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._look()

    def _look(self) -> None:
        if not self.model.stop_training and time.monotonic() - self._start >= self.seconds:
            self.model.stop_training = True
            if self.verbose:
                say(f"TimeBudget: {self.seconds:g} seconds are over: training ends")


class LambdaCallback(Callback):
    """A callback made of functions: LambdaCallback(on_epoch_end=lambda epoch, logs: ...).

    Every hook of `Callback` can be given; the per-batch ones make `fit` go step by step.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., object] | None = None,
        on_epoch_end: Callable[..., object] | None = None,
        on_train_begin: Callable[..., object] | None = None,
        on_train_end: Callable[..., object] | None = None,
        on_train_batch_begin: Callable[..., object] | None = None,
        on_train_batch_end: Callable[..., object] | None = None,
        **others: Callable[..., object] | None,
    ) -> None:
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        hooks = [name for name in vars(Callback) if name.startswith("on_") or name == "close"]
        unknown = others.keys() - set(hooks)
        if unknown:
            raise errors.unknown_argument("LambdaCallback", unknown, hooks)
        for hook, function in (given | others).items():
            if function is None:
                continue
            if not callable(function):
                raise errors.wrong_type("LambdaCallback", hook, "a function", function)
            setattr(self, hook, function)


def with_defaults(where: str, given: object, verbose: int | str) -> list[Callback]:
    """The user's callbacks, a History, and the progress display unless it is silent."""
    listed = read_callbacks(where, given)
    if not any(isinstance(callback, History) for callback in listed):
        listed.append(History())
    if read_verbose(where, verbose) and not any(isinstance(callback, ProgbarLogger) for callback in listed):
        listed.append(ProgbarLogger())
    return listed
