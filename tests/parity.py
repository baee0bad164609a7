"""Runs of the benchmark's networks, for the tests that set other libraries beside evenflow.

A run starts from the workload's initial variables and takes one step per batch, the same batches in the same order.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from evenflow.bench import workloads
from evenflow.bench.problem import Problem
from evenflow.bench.workloads import WORKLOADS, Workload

from evenflow import _core

NETWORKS = ("geron", "deep", "tabular")
STEPS = 100
BATCHES = 20  # distinct ones
SMALL = Workload("small", 20, (33, 17), 5, "silu", 12, 10, 10, workloads.Target(1, 1, 1))


@dataclass
class Run:
    """The loss of each step, and every variable after the last, in float64."""

    losses: np.ndarray
    variables: dict[str, np.ndarray]


def problem(name: str) -> Problem:
    return Problem.of(replace(WORKLOADS[name], batches=BATCHES, block=BATCHES))


def batch(given: Problem, step: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rows = given.rows(step % given.workload.batches)
    return given.x[rows].astype(dtype), given.y[rows]


def spec(given: Problem, optimizer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The workload's, with other settings of the optimizer if asked for."""
    plain = workloads.spec(given.workload)
    return plain if optimizer is None else plain | {"optimizer": optimizer}


def program(given: Problem, dtype: Any, optimizer: dict[str, Any] | None = None) -> Any:
    made = _core.Program(spec(given, optimizer), dtype=np.dtype(dtype).name, batch_size=given.workload.batch)
    for name, value in given.variables.items():
        made.set(name, value.astype(dtype))
    return made


def evenflow_run(
    given: Problem, dtype: Any, steps: int, optimizer: dict[str, Any] | None = None, learning_rate: float | None = None
) -> Run:
    made = program(given, dtype, optimizer)
    rate = workloads.LEARNING_RATE if learning_rate is None else learning_rate
    losses = []
    for step in range(steps):
        x, y = batch(given, step, dtype)
        losses.append(made.train(x, y, learning_rate=rate).loss / len(x))
    return Run(np.array(losses), {name: made.get(name).astype(np.float64) for name in given.variables})


def largest_difference(run: Run, exact: Run) -> float:
    """Of the losses and of each variable, relative to the largest magnitude of its kind."""
    pairs = [(run.losses, exact.losses), *((run.variables[name], value) for name, value in exact.variables.items())]
    return float(max(np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in pairs))


def distances(run: Run, exact: Run) -> dict[str, float]:
    """Root mean squares of the differences, of the loss curve and of all variables together."""
    names = list(exact.variables)
    weights = np.concatenate([(run.variables[name] - exact.variables[name]).ravel() for name in names])
    curve = run.losses - exact.losses
    return {"losses": float(np.sqrt(np.mean(curve**2))), "weights": float(np.sqrt(np.mean(weights**2)))}
