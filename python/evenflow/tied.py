"""Tied weights: an autoencoder whose decoder has the transposed kernels of its encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import errors
from .custom_loss import CustomLoss, CustomSteps
from .layer import Layer
from .layers import Dense
from .loss import Loss
from .models import Sequential
from .optimizers import Optimizer
from .regularizers import ProximalL1

Array = NDArray[Any]
Ties = Sequence[tuple[Dense, Dense]]


class TiedSequential(Sequential):
    """A stack in which the kernel of the second layer of each of `ties` is the first one's, transposed.

    Both are variables, equal from the start. A step adds up their gradients, dW = dW_1 + dW_2^T, before the update, so
    that it is the gradient of the one kernel that they stand for; an update goes element by element, so they stay equal
    to the bit. Biases are free. The step passes through Python, as with a loss that is a Python function.
    """

    def __init__(self, layers: Sequence[Layer], ties: Ties, dtype: str) -> None:
        super().__init__(layers, dtype=dtype)
        self.ties = list(ties)
        for first, second in ties:
            if first.kernel_constraint is not None or isinstance(first.kernel_regularizer, ProximalL1):
                raise ValueError(
                    f"{first.label}: tied: expected a kernel without constraint and proximal penalty, which would "
                    f"change one of two kernels that are to stay equal"
                )
            second.kernel.assign(first.kernel.numpy().T)

    def compile_tied(self, optimizer: Optimizer, loss: Loss) -> None:
        """Compile with a loss of evenflow's."""
        if optimizer.gradient_accumulation_steps is not None:
            raise errors.wrong_value("tied", "gradient_accumulation_steps", "None", optimizer.gradient_accumulation_steps)
        if optimizer.clipnorm is not None:
            raise errors.wrong_value("tied", "clipnorm", "None, or global_clipnorm instead", optimizer.clipnorm)

        def of_rows(y: Array, prediction: Array) -> tuple[Array, Array]:
            return loss.rows(y, prediction), loss.gradient(y, prediction) * len(prediction)

        self.compile(optimizer, CustomLoss(of_rows))

    def _steps_for(self, y: Array, batch: int, *, training: bool = False, exact: bool = False) -> TiedSteps:
        executor = self._executor_for(batch, training=training, exact=exact)
        assert isinstance(self.loss, CustomLoss)
        steps = TiedSteps(executor, self.loss, self.scores, [], self.loss_weights)
        steps.ties = [(first.kernel.path, second.kernel.path) for first, second in self.ties]
        return steps


class TiedSteps(CustomSteps):
    """Steps in which tied kernels get the sum of their gradients."""

    ties: Sequence[tuple[str, str]] = ()  # paths of kernels

    def gradients_written(self) -> None:
        program = self.executor.program
        for first, second in self.ties:
            total = program.gradient(first) + program.gradient(second).T
            program.set_gradient(first, total)
            program.set_gradient(second, np.ascontiguousarray(total.T))
