"""Who is measured: evenflow in two ways here, and beside it the peers, each with its library at its best settings.

A peer is built in a process of its own (`worker.py`) and imports its library only there. It starts from the workload's
initial variables and walks through the same batches in the same order as every other peer.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .jax_peer import Jax
from .keras_peer import Fitted, Keras, compiled_model
from .numpy_peer import Numpy
from .problem import Peer, Variant
from .sklearn_peer import Sklearn
from .torch_peer import Torch
from .workloads import FORWARD, GRADIENT, SQUARED, STEP


class Own(Peer):
    """What evenflow's two ways have in common."""

    distribution = "evenflow"

    def version(self) -> str:
        return str(import_module("evenflow").__version__)


class Evenflow(Own):
    """evenflow's compiled program, a block of the epoch in one call."""

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant("program", {"EVENFLOW_NUM_THREADS": str(threads)})]

    def build(self, threads: int) -> None:
        core = import_module("evenflow._core")
        # The environment limits the threads; within that the program finds the fastest number, as it does for users.
        self.program = core.Program(workloads.spec(self.workload), dtype="float32", batch_size=self.workload.batch)
        for name, value in self.problem.variables.items():
            self.program.set(name, value)
        if self.workload.part == GRADIENT:
            self.loss = core.loss_forward_backward
        if self.workload.part == FORWARD:
            self.out = np.empty((self.workload.block * self.workload.batch, self.workload.outputs), np.float32)

    def train(self, first: int, count: int) -> Any:
        return self.program.train(
            self.problem.x,
            self.problem.y,
            learning_rate=self.workload.optimizer.learning_rate,
            order=self.problem.order,
            batch_size=self.workload.batch,
            first_step=first,
            max_steps=count,
        )

    def gradient(self, step: int) -> float:
        """One batch's loss; its gradient is then in the program."""
        x, y = self.problem.batch(step)
        logits = self.workload.loss != SQUARED
        rows, dy = self.loss(self.workload.loss, self.program.forward(x), y, from_logits=logits)
        self.program.backward(dy)
        return float(rows.mean())

    def predict(self, first: int, count: int) -> Any:
        """Outputs of batches that lie side by side."""
        begin, end = first * self.workload.batch, (first + count) * self.workload.batch
        return self.program.predict(self.problem.x[begin:end], out=self.out[: end - begin])

    def first_losses(self, count: int) -> list[float]:
        if self.workload.part == STEP:
            return [self.train(step, 1).loss / self.workload.batch for step in range(count)]
        if self.workload.part == FORWARD:
            return [
                float(np.sqrt(np.mean(np.square(self.predict(step, 1), dtype=np.float64)))) for step in range(count)
            ]
        found = []
        for step in range(count):
            found.append(self.gradient(step))
            gradients = [self.program.gradient(name) for name, _, trained in self.program.variables() if trained]
            found.append(float(np.sqrt(sum(np.sum(g * g, dtype=np.float64) for g in gradients))))
        return found

    def steps(self, first: int, count: int) -> None:
        if self.workload.part == STEP:
            self.train(first, count)
        elif self.workload.part == FORWARD:
            self.predict(first, count)
        else:
            for step in range(first, first + count):
                self.gradient(step)


class EvenflowFit(Own, Fitted):
    """evenflow through `Sequential.fit`, an epoch in one call: what the Python around the program costs."""

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant("fit", {"EVENFLOW_NUM_THREADS": str(threads)})]

    def build(self, threads: int) -> None:
        self.model = compiled_model(import_module("evenflow"), self.problem)

    def first_losses(self, count: int) -> list[float]:
        losses, batch = [], self.workload.batch
        for step in range(count):
            x, y = self.problem.batch(step)
            if self.workload.part == FORWARD:
                outputs = self.model.predict(x, batch_size=batch, verbose=0)
                losses.append(float(np.sqrt(np.mean(np.square(outputs, dtype=np.float64)))))
                continue
            history = self.model.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
            losses.append(float(history.history["loss"][0]))
        return losses


PEERS: dict[str, type[Peer]] = {
    "evenflow": Evenflow,
    "fit": EvenflowFit,
    "jax": Jax,
    "torch": Torch,
    "keras": Keras,
    "sklearn": Sklearn,
    "numpy": Numpy,
}
