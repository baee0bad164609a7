"""What every peer has in common: the problem it is given and how it walks through it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import workloads
from .workloads import FORWARD, GRADIENT, Array, Workload

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

    def batch(self, step: int) -> tuple[Array, Array]:
        """Of the data set: a copy of rows in the order, or where nothing is trained rows as they lie."""
        if self.workload.part == FORWARD:
            begin = step * self.workload.batch
            return self.x[begin : begin + self.workload.batch], self.y[begin : begin + self.workload.batch]
        rows = self.rows(step)
        return self.x[rows], self.y[rows]


class Peer:
    """A network in training. `block()` runs some steps, returns how many, and returns only when they are done."""

    distribution = ""  # what pip calls the library
    drops = True  # whether it has dropout
    parts: tuple[str, ...] = (workloads.STEP, GRADIENT, FORWARD)  # what it can be asked for
    build: Callable[..., None]  # of the number of threads and the options of a variant

    def __init__(self, problem: Problem, threads: int, **options: Any) -> None:
        self.problem = problem
        self.workload = problem.workload
        self.step = 0  # of the epoch
        self.settings = threads, options
        self.build(threads, **options)

    @classmethod
    def unable(cls, workload: Workload) -> str:
        """Why it cannot do this workload, or nothing."""
        return "" if workload.part in cls.parts else f"no public call for {workload.training.split(', ')[-1]}"

    @classmethod
    def note(cls, workload: Workload) -> str:
        """What differs from the workload, if anything."""
        return ""

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
        """Trains on the first batches; the loss of each, before its update. Without an update, each batch's loss and
        the l2 norm of its gradient, or the root mean square of its outputs."""
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

    def check(self, expected: list[float] | None = None) -> tuple[list[float], list[float]]:
        """Takes the first steps; their losses and the expected ones, or an error if they are not the same.

        `expected`: by another peer that computes the same. Everybody drops units of their own: what is compared is the
        network without dropout, and that dropout then makes a difference.
        """
        if self.problem.workload.dropout:
            quiet = replace(self.problem, workload=replace(self.problem.workload, dropout=0.0))
            threads, options = self.settings
            losses, expected = type(self)(quiet, threads, **options).check(expected)
            if not self.drops:
                return losses, expected
            dropped = self.first_losses(FIRST_LOSSES)
            pairs = zip(dropped, losses, strict=True)
            if not np.isfinite(dropped).all() or all(np.isclose(a, b, rtol=LOSS_TOLERANCE) for a, b in pairs):
                raise WrongAnswerError(
                    f"{type(self).__name__}, {self.workload.name}: expected dropout, received {dropped}, and without "
                    f"it {losses}"
                )
            return losses, expected
        losses = self.first_losses(FIRST_LOSSES)
        expected = expected or self.expected_losses()
        if not np.allclose(losses[: len(expected)], expected, rtol=LOSS_TOLERANCE, atol=0):
            raise WrongAnswerError(
                f"{type(self).__name__}, {self.workload.name}: losses of the first steps expected {expected}, "
                f"received {losses}"
            )
        return losses, expected
