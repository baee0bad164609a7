"""What an estimator does between the epochs of `fit`: the curves, and scikit-learn's rules for when to stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..callbacks.base import Callback, Logs

if TYPE_CHECKING:
    from .perceptron import Perceptron

LEAST_RATE = 1e-6  # at which learning_rate="adaptive" ends training, as in scikit-learn
ADAPTIVE_FACTOR = 5.0


class Shuffler:
    """Draws the order of an epoch from scikit-learn's generator, as its `shuffle` does: the last order shuffled."""

    def __init__(self, random_state: np.random.RandomState) -> None:
        self.random_state = random_state
        self.bit_generator = SimpleNamespace(state={})  # a backup's business, which nobody asks for here
        self._order: NDArray[np.int64] | None = None

    def permutation(self, rows: int) -> NDArray[np.int64]:
        """The rows in the order of the next epoch."""
        chosen = np.arange(rows)
        self.random_state.shuffle(chosen)
        self._order = chosen if self._order is None else self._order[chosen]
        return self._order


class Watch(Callback):
    """Keeps the estimator's curves, adapts the learning rate, and ends training when nothing improves.

    As in scikit-learn an epoch counts as no better unless the loss is lower by `tol` than the best, or, with early
    stopping, the validation score higher by `tol`; more than `n_iter_no_change` such epochs in a row end training.
    """

    leaves_model = True

    def __init__(self, estimator: Perceptron, score: str | None) -> None:
        self.estimator, self.score = estimator, score
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Look at the epoch."""
        estimator, logs = self.estimator, logs or {}
        estimator.loss_ = float(logs["loss"]) * estimator._loss_scale
        estimator.loss_curve_.append(estimator.loss_)
        estimator.n_iter_ += 1
        estimator.t_ += self.params["rows"]
        improved = not estimator.loss_ > estimator._least_loss - estimator.tol
        estimator._least_loss = min(estimator._least_loss, estimator.loss_)
        estimator.best_loss_ = None if estimator.early_stopping else estimator._least_loss
        if "val_loss" in logs:
            improved_there = self._look_at_validation(logs)
            improved = improved_there if estimator.early_stopping else improved
        estimator._no_improvement_count = 0 if improved else estimator._no_improvement_count + 1
        self._move_rate()
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down()

    def _look_at_validation(self, logs: Logs) -> bool:
        """Note score and loss of the validation rows; whether that by which training stops has improved by `tol`."""
        estimator = self.estimator
        score = float(logs[f"val_{self.score}"]) if self.score else estimator._validation_score()
        loss = float(logs["val_loss"]) * estimator._loss_scale
        estimator.validation_scores_ = [*(estimator.validation_scores_ or ()), score]
        estimator.validation_loss_curve_ = [*(estimator.validation_loss_curve_ or ()), loss]
        value = -loss if estimator.early_stopping == "loss" else score
        best = estimator._best_value
        if value > best:
            estimator._best_value, estimator.best_validation_score_ = value, score
            if estimator.early_stopping:
                estimator._best_weights = self.model.get_weights()
        return not value < best + estimator.tol

    def _move_rate(self) -> None:
        estimator = self.estimator
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            self.settable_rate().learning_rate = estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t

    def _stop_or_slow_down(self) -> None:
        estimator = self.estimator
        if estimator.solver == "sgd" and estimator.learning_rate == "adaptive":
            optimizer = self.settable_rate()
            if optimizer.learning_rate > LEAST_RATE:
                optimizer.learning_rate = optimizer.learning_rate / ADAPTIVE_FACTOR
                estimator._no_improvement_count = 0
                return
        self.stopped = self.model.stop_training = True
