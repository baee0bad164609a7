"""LambdaCallback: a callback made of functions."""

from __future__ import annotations

from collections.abc import Callable

from .. import errors
from .base import Callback


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
