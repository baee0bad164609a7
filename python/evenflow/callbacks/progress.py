"""The progress of `fit`, `evaluate` and `predict` on standard output."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import errors
from .base import Callback, Logs, read_callbacks
from .display import shows_bars
from .health import PREFIX
from .history import History

DELAY = 0.2  # seconds before the bar of a prediction: most are over by then


def _text(logs: Mapping[str, Any], separator: str) -> str:
    def number(value: float) -> str:
        return f"{value:.4f}" if value == 0 or not math.isfinite(value) or abs(value) >= 1e-3 else f"{value:.3e}"

    return separator.join(f"{name}: {number(value)}" for name, value in logs.items() if _is_shown(name, value))


def _is_shown(name: str, value: Any) -> bool:
    return np.ndim(value) == 0 and not name.startswith(PREFIX)  # six numbers a layer are no line


class ProgbarLogger(Callback):
    """Progress on standard output: a line per epoch, after a bar on a terminal unless verbose=2.

    The same for `evaluate` and `predict`; with `lines=False` a prediction leaves no line.
    """

    leaves_model = True

    def __init__(self, *, lines: bool = True) -> None:
        self.lines = errors.boolean("ProgbarLogger", "lines", lines)
        self._bar: Any = None
        self._start = 0.0
        self._seen = 0  # rows of this epoch
        self._testing = False

    def _open(self, title: str, rows: int | None, delay: float = 0.0) -> None:
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
                delay=delay,
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
        print(" - ".join(filter(None, (title, f"{seconds:.2f}s", f"{rate} samples/s", _text(logs, " - ")))), flush=True)

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

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._open("Predict", self.params["rows"], DELAY)

    def on_predict_progress(self, rows: int) -> None:
        self._show(rows, {})

    def on_predict_end(self, logs: Logs | None = None) -> None:
        if self.lines:
            self._finish("Predict", {})

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def read_verbose(where: str, verbose: object) -> int:
    """The `verbose=` argument: 0, 1 or 2; "auto" is 1."""
    if verbose == "auto":
        return 1
    if isinstance(verbose, str) or verbose not in (0, 1, 2):
        raise errors.wrong_value(where, "verbose", "0, 1, 2 or 'auto'", verbose)
    return int(verbose)


def with_defaults(where: str, given: object, verbose: int | str) -> list[Callback]:
    """The user's callbacks, a History, and the progress display unless it is silent."""
    listed = read_callbacks(where, given)
    if not any(isinstance(callback, History) for callback in listed):
        listed.append(History())
    if read_verbose(where, verbose) and not any(isinstance(callback, ProgbarLogger) for callback in listed):
        listed.append(ProgbarLogger())
    return listed


def with_bar(where: str, given: object, verbose: int | str) -> list[Callback]:
    """The user's callbacks of a prediction, and its progress display: with "auto" a bar, where one can be drawn."""
    listed = read_callbacks(where, given)
    wanted = shows_bars(sys.stdout) if verbose == "auto" else bool(read_verbose(where, verbose))
    if wanted and not any(isinstance(callback, ProgbarLogger) for callback in listed):
        listed.append(ProgbarLogger(lines=verbose != "auto"))
    return listed
