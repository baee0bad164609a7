"""The numbers and switches among the arguments of `fit`, checked before anything is touched."""

from __future__ import annotations

import inspect

from .. import errors
from .predictor import DEFAULT_BATCH, read_threads
from .validation import Validation


class FitNumbers:
    """As `fit` takes them, without its defaults."""

    def __init__(
        self,
        where: str,
        *,
        batch_size: object,
        epochs: object,
        initial_epoch: object,
        shuffle: object,
        cache_frozen: object,
        threads: int | None,
        steps_per_epoch: object,
        validation_split: object,
        validation_batch_size: object,
        validation_steps: object,
        validation_freq: object,
    ) -> None:
        default = batch_size is None
        self.batch = DEFAULT_BATCH if default else errors.integer(where, "batch_size", batch_size, at_least=1)
        self.epochs = errors.integer(where, "epochs", epochs, at_least=0)
        self.initial_epoch = errors.integer(where, "initial_epoch", initial_epoch, at_least=0)
        self.shuffle = errors.boolean(where, "shuffle", shuffle)
        self.cache_frozen = errors.boolean(where, "cache_frozen", cache_frozen)
        self.threads = read_threads(where, threads)
        self.validation = Validation(where, validation_batch_size, self.batch, validation_steps, validation_freq)
        self.validation_split = errors.number(where, "validation_split", validation_split, at_least=0.0, below=1.0)
        self.steps = errors.count(where, "steps_per_epoch", steps_per_epoch)


FIT_NUMBERS = tuple(name for name in inspect.signature(FitNumbers).parameters if name != "where")
