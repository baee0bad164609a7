"""Callbacks that watch one value of the logs from epoch to epoch, counting as Keras does."""

from __future__ import annotations

import os
import string
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..metrics.registry import lower_is_better
from ..saving.files import FOREIGN
from .base import Callback, Logs, say


class Monitor(Callback):
    """Base class: which value, in which direction, and what counts as better.

    `mode`: "min", "max", or "auto": lower for losses and errors, higher for accuracies. A value is better than another
    if it is so by more than `min_delta`.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float, verbose: int) -> None:
        where = type(self).__name__
        if not isinstance(monitor, str):
            raise errors.wrong_type(where, "monitor", "a name such as 'val_loss'", monitor)
        if mode not in ("auto", "min", "max"):
            raise errors.unknown_name(where, "mode", mode, ("auto", "min", "max"))
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(errors.number(where, "min_delta", min_delta))
        self.verbose = errors.integer(where, "verbose", verbose, at_least=0)
        self.best: float | None = None
        self._sign = 1.0  # -1 where lower is better

    COUNTERS: tuple[str, ...] = ("best",)  # what changes from epoch to epoch

    def backup_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.COUNTERS}

    def restore_state(self, state: dict[str, Any]) -> None:
        for name in self.COUNTERS:
            setattr(self, name, state[name])

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._sign = 1.0 if (self._automatic() if self.mode == "auto" else self.mode) == "max" else -1.0

    def _automatic(self) -> str:
        name = self.monitor.removeprefix("val_")
        losses = ["loss", *(f"{objective.name}_loss" for objective in self.model.objectives)]
        if name in losses:
            return "min"
        for score in self.model.scores:
            lower = lower_is_better(score.metric)
            if name == score.name and lower is not None:
                return "min" if lower else "max"
        known = ["loss", *(score.name for score in self.model.scores if lower_is_better(score.metric) is not None)]
        raise ValueError(
            f"{type(self).__name__}: mode='auto' cannot tell whether {self.monitor!r} is to be low or high: it is "
            f"none of {', '.join(known)} (or val_...). Give mode='min' or mode='max'"
        )

    def is_better(self, value: float, reference: float | None) -> bool:
        """Whether a value improves on another; anything improves on None."""
        return reference is None or self._sign * value - self.min_delta > self._sign * reference

    def value(self, logs: Logs | None) -> float | None:
        """The value watched, or None with a warning where the logs have none."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            names = ", ".join(logs or {})
            warnings.warn(
                f"{type(self).__name__}: monitor={self.monitor!r} is not in the logs, which have: {names}",
                UserWarning,
                stacklevel=4,
            )
        elif np.ndim(found) > 0:
            raise ValueError(
                f"{type(self).__name__}: monitor={self.monitor!r} has several values in an epoch: watch one number, "
                f"such as an average of theirs"
            )
        return found


class EarlyStopping(Monitor):
    """Ends training after `patience` epochs without improvement.

    Until the value is better than `baseline`, improvements do not start the count again. `restore_best_weights` puts
    the weights of the best epoch back when training ends. Epochs before `start_from_epoch` do not count.
    """

    leaves_model = True

    COUNTERS = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        where = "EarlyStopping"
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience = errors.integer(where, "patience", patience, at_least=0)
        self.baseline = None if baseline is None else errors.number(where, "baseline", baseline)
        self.restore_best_weights = errors.boolean(where, "restore_best_weights", restore_best_weights)
        self.start_from_epoch = errors.integer(where, "start_from_epoch", start_from_epoch, at_least=0)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights: list[NDArray[Any]] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best, self.best_weights = None, None

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)
        self.wait += 1
        if self.is_better(current, self.best):
            self.best = current
            self._keep(epoch)
            if self.baseline is None or self.is_better(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:  # as in Keras, never after the first epoch
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """learning_rate <- max(factor * learning_rate, min_lr) after `patience` epochs without improvement.

    "Performance scheduling". After a reduction, `cooldown` epochs do not count. History gets the rate of each epoch as
    "learning_rate".
    """

    COUNTERS = ("best", "cooldown_counter", "wait")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        where = "ReduceLROnPlateau"
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor = errors.number(where, "factor", factor, above=0.0, below=1.0)
        self.patience = errors.integer(where, "patience", patience, at_least=0)
        self.cooldown = errors.integer(where, "cooldown", cooldown, at_least=0)
        self.min_lr = errors.number(where, "min_lr", min_lr, at_least=0.0)
        self.cooldown_counter = self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.settable_rate()
        self.best, self.cooldown_counter, self.wait = None, 0, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.settable_rate()
        if logs is not None:
            logs["learning_rate"] = optimizer.learning_rate
        current = self.value(logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_better(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter == 0:
            self.wait += 1
            if self.wait >= self.patience and optimizer.learning_rate > self.min_lr:
                optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    rate = optimizer.learning_rate
                    say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")


class ModelCheckpoint(Monitor):
    """Saves the model after every epoch, or after every `save_freq` steps, atomically.

    `filepath` may name `{epoch}` (from 1), `{batch}` (from 1, with a `save_freq`) and the logs, formatted as Python
    does: "run/{epoch:02d}-{val_loss:.3f}.safetensors". `save_best_only` saves only when `monitor` improves, at first on
    `initial_value_threshold`; `save_weights_only` leaves optimizer and description out. A `save_freq` makes `fit` go
    step by step.
    """

    writes_files = True
    COUNTERS = ("best", "_steps")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: int | str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        where = "ModelCheckpoint"
        super().__init__(monitor, mode, 0.0, verbose)
        if not isinstance(filepath, (str, os.PathLike)):
            raise errors.wrong_type(where, "filepath", "a path", filepath)
        self.filepath = os.fspath(filepath)
        if not self.filepath or Path(self.filepath).is_dir() or Path(self.filepath).suffix in FOREIGN:
            raise errors.wrong_value(where, "filepath", "a file such as 'best.safetensors'", self.filepath)
        try:
            list(string.Formatter().parse(self.filepath))
        except ValueError as error:
            raise errors.wrong_value(where, "filepath", f"a format ({error})", self.filepath) from error
        self.save_best_only = errors.boolean(where, "save_best_only", save_best_only)
        self.save_weights_only = errors.boolean(where, "save_weights_only", save_weights_only)
        self.save_freq: int | str = save_freq
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise errors.wrong_value(where, "save_freq", "'epoch' or a number of steps", save_freq)
        if not isinstance(save_freq, str):
            self.save_freq = errors.integer(where, "save_freq", save_freq, at_least=1)
        if initial_value_threshold is not None:
            self.best = errors.number(where, "initial_value_threshold", initial_value_threshold)
        self._epoch = 0
        self._steps = 0  # since the last file

    @property
    def per_batch(self) -> bool:
        return self.save_freq != "epoch"

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if isinstance(self.save_freq, int):
            self._steps += 1
            if self._steps >= self.save_freq:
                self._steps = 0
                self._save({"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(logs or {})

    def _save(self, logs: Logs) -> None:
        named = {"epoch": self._epoch + 1, **logs}
        try:
            path = self.filepath.format(**named)
        except (KeyError, IndexError) as error:
            name = error.args[0] if isinstance(error, KeyError) else "{}"
            raise errors.unknown_name("ModelCheckpoint", "filepath", name, named) from error
        if self.save_best_only and not self._improved(logs):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path, overwrite=True)
        if self.verbose:
            say(f"Epoch {self._epoch + 1}: {'best so far, ' if self.save_best_only else ''}saved to {path}")

    def _improved(self, logs: Logs) -> bool:
        current = self.value(logs)
        if current is None:
            return True  # as in Keras: better a file too many than none
        if not self.is_better(current, self.best):
            if self.verbose:
                say(f"Epoch {self._epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
            return False
        self.best = current
        return True
