"""SwapEMAWeights: evaluation with the moving averages of the weights."""

from __future__ import annotations

from .. import errors
from .base import Callback, Logs


class SwapEMAWeights(Callback):
    """Evaluates, and validates in `fit`, with the moving averages that an optimizer with use_ema keeps.

    As in Keras: weights and averages change places before an evaluation and back after it. With `swap_on_epoch` they
    do at the end of an epoch and back at the beginning of the next, so that what runs then (ModelCheckpoint, placed
    after this callback) has the averages. `fit` ends with the averages in any case.
    Averaged weights are mostly better than the last ones, at a higher learning rate. Polyak and Juditsky 1992.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = errors.boolean("SwapEMAWeights", "swap_on_epoch", swap_on_epoch)

    def _swap(self, wanted: bool) -> None:
        optimizer = self.model.optimizer
        if optimizer is None or not optimizer.use_ema:
            received = "none" if optimizer is None else f"{type(optimizer).__name__} with use_ema=False"
            raise errors.wrong_kind("SwapEMAWeights", "optimizer", "one with use_ema=True", received)
        if optimizer.averages_swapped != wanted:
            optimizer.swap_averages(self.model.trainable_weights)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._swap(self.swap_on_epoch)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._swap(False)

    def close(self) -> None:
        if self.model.optimizer is not None and self.model.optimizer.averages_swapped:
            self._swap(False)
