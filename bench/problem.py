"""What every peer has in common: the problem it is given and how it walks through it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import workloads
from .workloads import Array, Workload

FIRST_LOSSES = 5
# Float32 runs of all peers stay within 2e-5 of the float64 losses of the first steps; a dropped gamma or a wrong
# epsilon shows in the second digit.
LOSS_TOLERANCE = 1e-4


class WrongAnswerError(RuntimeError):
    """A peer's first losses are not those of the network it should train."""


@dataclass(frozen=True)
class Variant:
    """One setting of a peer: the best of its variants is what evenflow is compared with."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def thread_environment(threads: int) -> dict[str, str]:
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass
class Problem:
    """A workload with its data, shuffled order and initial variables."""

    workload: Workload
    x: Array
    y: Array
    order: Array
    variables: dict[str, Array]

    @classmethod
    def of(cls, workload: Workload, seed: int = 0) -> Problem:
        x, y = workloads.data(workload, seed)
        return cls(workload, x, y, workloads.order(workload, seed), workloads.initial_variables(workload, seed))

    def variable(self, kind: str, index: int, variable: str) -> Array:
        return self.variables[f"{workloads.layer_name(kind, index)}/{variable}"]

    def rows(self, step: int, steps: int = 1) -> Array:
        """Rows of batches `step` to `step + steps`, which must not run over the end of the epoch."""
        batch = self.workload.batch
        return self.order[step * batch : (step + steps) * batch]


class Peer:
    """A network in training. `block()` runs some steps, returns how many, and returns only when they are done."""

    distribution = ""  # what pip calls the library
    note = ""  # what differs from the workload, if anything
    build: Callable[..., None]  # of the number of threads and the options of a variant

    def __init__(self, problem: Problem, threads: int, **options: Any) -> None:
        self.problem = problem
        self.workload = problem.workload
        self.step = 0  # of the epoch
        self.build(threads, **options)

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        """The settings worth trying with at most `threads` threads; `quick` leaves out those slow to build.

        One thread and all of them: small steps are often faster with one.
        """
        return [Variant(f"{n} thr.", thread_environment(n)) for n in sorted({1, threads})]

    def version(self) -> str:
        """Of the library."""
        return importlib.metadata.version(self.distribution)

    def first_losses(self, count: int) -> list[float]:
        """Trains on the first batches; the loss of each, before its update."""
        raise NotImplementedError

    def steps(self, first: int, count: int) -> None:
        """Trains on batches `first` to `first + count` of the epoch."""
        raise NotImplementedError

    def expected_losses(self) -> list[float]:
        """What `first_losses` should be, by plain NumPy in float64."""
        from .numpy_peer import Numpy

        return Numpy(self.problem, 1, dtype="float64").first_losses(FIRST_LOSSES)

    def block(self) -> int:
        count = self.workload.block
        self.steps(self.step, count)
        self.step = (self.step + count) % self.workload.batches
        return count

    def check(self) -> list[float]:
        """Takes the first steps; their losses, or an error if they are not the expected ones."""
        losses, expected = self.first_losses(FIRST_LOSSES), self.expected_losses()
        if not np.allclose(losses[: len(expected)], expected, rtol=LOSS_TOLERANCE, atol=0):
            raise WrongAnswerError(
                f"{type(self).__name__}, {self.workload.name}: losses of the first steps expected {expected}, "
                f"received {losses}"
            )
        return losses
