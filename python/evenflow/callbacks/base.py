"""Callback, the base class, and how `fit` and `evaluate` call a list of them.

Epochs run natively, in slices of about a twentieth of a second; `on_train_progress` is called between slices. The
per-batch hooks make `fit` call the core step by step, `evaluate` and `predict` batch by batch, and cost nothing unless
a callback overrides them. As in Keras each hook is given logs, which are empty before what they are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import errors
from ..common.keywords import Checked

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from ..training.trainer import Trainer

Logs = dict[str, Any]  # numbers by name; arrays for metrics of several values


class Callback(Checked):
    """Base class: override what you need.

    `self.model` and `self.params` (epochs, steps, rows, verbose) are set before training.
    """

    model: Trainer
    params: dict[str, Any]
    comes_last = False  # whether the others are called before it
    writes_files = False  # whether a copy of it would write into the same files
    wants_gradient_norms = False  # whether the model shall have `gradient_norms` while it trains
    leaves_model = (
        False  # whether this very class lets layers, loss, metrics and optimizer of the model be what they are
    )
    wants_health = 0  # whether it shall have `health`: 0, or of how many steps one is measured

    @property
    def per_batch(self) -> bool:
        """Whether `fit` must go step by step for this callback."""
        return overrides(self, *(f"on{kind}_batch_{end}" for kind in ("", "_train") for end in ("begin", "end")))

    def set_model(self, model: Trainer) -> None:
        """Called before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called before training: epochs, steps, rows, verbose."""
        self.params = params

    def set_callbacks(self, callbacks: list[Callback]) -> None:
        """Called before training: all that are called, in their order."""

    def settable_rate(self) -> Optimizer:
        """The model's optimizer, if its learning rate is a number, for callbacks that change it."""
        optimizer = self.model.optimizer
        if optimizer is None or not optimizer.pace.constant:
            source = optimizer and optimizer.pace.source
            raise errors.wrong_value(type(self).__name__, "learning_rate", "an optimizer with a number", source)
        return optimizer

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch of `fit`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; the first is 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch and its validation: means of loss and metrics, those of the validation as val_..."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step, the first of an epoch being 0."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step: means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Keras' former name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Keras' former name of `on_train_batch_end`."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate` or a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate` or a validation, with its logs."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `evaluate` or of a validation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `evaluate` or of a validation: means so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before the first batch of `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After the last batch of `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `predict`: its "outputs"."""

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        """After each native call: rows of this epoch seen so far, and the means over them."""

    def on_test_progress(self, rows: int, logs: Logs) -> None:
        """As `on_train_progress`, for `evaluate` and for validation."""

    def on_predict_progress(self, rows: int) -> None:
        """After each native call of `predict`: rows predicted so far."""

    def backup_state(self) -> dict[str, Any]:
        """What a backup keeps of this callback while `fit` runs: numbers, texts, lists, dicts and arrays by name."""
        return {}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Go on from what `backup_state` returned; called after `on_train_begin`."""

    def close(self) -> None:
        """After training, also when an exception or Ctrl-C ended it: give back what is shown or open."""


def say(text: str) -> None:
    """Print a line of a callback that was asked to be verbose, above a progress bar if there is one."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    tqdm.write(text)


def overrides(callback: Callback, *hooks: str) -> bool:
    """Whether a callback does something at one of these hooks, by its class or by a function of its own."""
    return any(hook in vars(callback) or getattr(type(callback), hook) is not getattr(Callback, hook) for hook in hooks)


def leaves_model(callback: Callback) -> bool:
    """Whether a callback's very class says so, and no hook of its own was put in its place."""
    own_hooks = any(name.startswith("on_") for name in vars(callback))
    return not own_hooks and bool(vars(type(callback)).get("leaves_model", False))


class CallbackList:
    """The callbacks of one call of `fit`, `evaluate` or `predict`, called in order."""

    def __init__(self, callbacks: Sequence[Callback], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = sorted(callbacks, key=lambda callback: callback.comes_last)
        self.per_batch = any(callback.per_batch for callback in self.callbacks)
        self.per_test_batch, self.per_predict_batch = (
            any(overrides(c, f"on_{kind}_batch_begin", f"on_{kind}_batch_end") for c in self.callbacks)
            for kind in ("test", "predict")
        )
        self.gradient_norms = any(callback.wants_gradient_norms for callback in self.callbacks)
        self.health = min((callback.wants_health for callback in self.callbacks if callback.wants_health), default=0)
        # What runs the steps, for rows for training and for others; empty where a callback may change the model.
        self.steps_kept: dict[bool, tuple[Any, ...]] = {}
        self.leave_model = all(leaves_model(callback) for callback in self.callbacks)
        for callback in self.callbacks:
            callback.set_callbacks(self.callbacks)
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


@contextmanager
def closing(hooks: CallbackList) -> Iterator[None]:
    """Tell callbacks at the end, whatever happens."""
    try:
        yield
    finally:
        hooks.call("close")
