"""What runs between the native calls of training: History, progress, and what users write.

Epochs run natively, in slices of about a twentieth of a second; `on_train_progress` is called between slices. The
per-batch hooks make `fit` call the core step by step, and cost nothing unless a callback overrides them.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from .trainer import Trainer

Logs = dict[str, float]


class Callback:
    """Base class: override what you need.

    `self.model` and `self.params` (epochs, steps, rows, verbose) are set before training.
    """

    model: Trainer
    params: dict[str, Any]

    def set_model(self, model: Trainer) -> None:
        """Called before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before training: epochs, steps, rows, verbose."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch of `fit`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation: means of loss and metrics, those of the validation as val_..."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step: means over the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate` or a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate` or a validation."""

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        """After each native call: rows of this epoch seen so far, and the means over them."""

    def on_test_progress(self, rows: int, logs: Logs) -> None:
        """As `on_train_progress`, for `evaluate` and for validation."""

    def close(self) -> None:
        """After training, also when an exception or Ctrl-C ended it: give back what is shown or open."""


class History(Callback):
    """`history`: one list per loss and metric, one entry per finished epoch; `epoch`: their numbers."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        grown = {name: [*self.history.get(name, []), value] for name, value in (logs or {}).items()}
        self.epoch, self.history = [*self.epoch, epoch], self.history | grown  # at once: Ctrl-C leaves both or neither


def _text(logs: Mapping[str, float], separator: str) -> str:
    def number(value: float) -> str:
        return f"{value:.4f}" if value == 0 or not math.isfinite(value) or abs(value) >= 1e-3 else f"{value:.3e}"

    return separator.join(f"{name}: {number(value)}" for name, value in logs.items())


class ProgbarLogger(Callback):
    """Progress on standard output: a line per epoch, after a bar on a terminal unless verbose=2."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._start = 0.0
        self._testing = False

    def _open(self, title: str, rows: int) -> None:
        self.close()
        self._start = time.perf_counter()
        if self.params["verbose"] == 1 and sys.stdout.isatty():
            from tqdm import tqdm  # type: ignore[import-untyped]

            self._bar = tqdm(
                total=rows,
                desc=title,
                unit=" samples",
                unit_scale=True,
                bar_format="{desc} {percentage:3.0f}%|{bar}| {rate_fmt}{postfix}",  # loss and accuracy in 80 columns
                file=sys.stdout,
                dynamic_ncols=True,
                mininterval=0.05,
                leave=False,
            )

    def _show(self, rows: int, logs: Logs) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(_text(logs, ", "), refresh=False)
            self._bar.update(rows - self._bar.n)

    def _finish(self, title: str, rows: int, logs: Logs) -> None:
        self.close()
        seconds = time.perf_counter() - self._start
        rate = f"{rows / seconds:,.0f}" if seconds > 0 else "?"
        print(f"{title} - {seconds:.2f}s - {rate} samples/s - {_text(logs, ' - ')}", flush=True)

    def _epoch_title(self, epoch: int) -> str:
        return f"Epoch {epoch + 1}/{self.params['epochs']}"

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._open(self._epoch_title(epoch), self.params["rows"])

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        self._show(rows, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(self._epoch_title(epoch), self.params["rows"], logs or {})

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._testing = "epochs" not in self.params  # validation inside an epoch belongs to the epoch's line
        if self._testing:
            self._open("Evaluate", self.params["rows"])

    def on_test_progress(self, rows: int, logs: Logs) -> None:
        if self._testing:
            self._show(rows, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if self._testing:
            self._finish("Evaluate", self.params["rows"], logs or {})

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def overrides(callback: Callback, hook: str) -> bool:
    """Whether a callback does something at a hook."""
    return getattr(type(callback), hook) is not getattr(Callback, hook)


class CallbackList:
    """The callbacks of one call of `fit` or `evaluate`, called in order."""

    def __init__(self, callbacks: Sequence[Callback], model: Trainer, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        self.per_batch = any(
            overrides(c, hook) for c in self.callbacks for hook in ("on_train_batch_begin", "on_train_batch_end")
        )
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call one hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


def read_callbacks(where: str, callbacks: object) -> list[Callback]:
    """The `callbacks=` argument, checked."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback):
        return [callbacks]
    if not isinstance(callbacks, Iterable):
        raise errors.wrong_type(where, "callbacks", "a list of callbacks", callbacks)
    listed = list(callbacks)
    for callback in listed:
        if not isinstance(callback, Callback):
            hint = " (an instance, with parentheses)" if isinstance(callback, type) else ""
            raise errors.wrong_type(where, "callbacks", f"objects of type Callback{hint}", callback)
    return listed
