"""Runs of the benchmark's networks, for the tests that set other libraries beside evenflow.

A run starts from the workload's initial variables and takes one step per batch, the same batches in the same order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from evenflow.bench import workloads
from evenflow.bench.catalogue import WORKLOADS
from evenflow.bench.problem import Problem
from evenflow.bench.workloads import Workload

from evenflow import _core

NETWORKS = ("geron", "deep", "tabular")
STEPS = 100
BATCHES = 20  # distinct ones
RATES = [0.01 / (1 + 0.05 * step) if step % 20 else 0.002 for step in range(200)]  # that fall, and jump
SMALL = Workload("small", 20, (33, 17), 5, "silu", 12, 10, 10, workloads.Target(1, 1, 1))


@dataclass
class Run:
    """The loss of each step, and every variable after the last, in float64."""

    losses: np.ndarray
    variables: dict[str, np.ndarray]


def problem(name: str, seed: int = 0) -> Problem:
    return Problem.of(replace(WORKLOADS[name], batches=BATCHES, block=BATCHES), seed)


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


def updates(optimizer: dict[str, Any], rates: Sequence[float]) -> Iterator[list[Any]]:
    """A float64 program's optimizer on gradients that do not depend on the weights.

    First the initial variables, then for each rate the gradients and the variables after the step. Gradients grow and
    shrink by a factor of 1000, and some are zero.
    """
    layers = [{"kind": "dense", "name": "dense", "units": 5, "use_bias": True, "trainable": True}]
    spec = {"inputs": 7, "layers": layers, "loss": None, "metrics": [], "optimizer": optimizer}
    made = _core.Program(spec, dtype="float64", batch_size=3)
    rng = np.random.default_rng(0)
    names = ["dense/kernel", "dense/bias"]
    for name, shape, _ in made.variables():
        made.set(name, rng.standard_normal(shape))
    yield [made.get(name) for name in names]
    for step, rate in enumerate(rates):
        dy = rng.standard_normal((3, 5)) * 10 ** (1.5 * np.sin(step / 7) - 1.5)
        dy[:, step % 5] = 0
        made.forward(rng.standard_normal((3, 7)))
        made.backward(dy)
        gradients = [made.gradient(name) for name in names]
        made.update(rate)
        yield [gradients, [made.get(name) for name in names]]


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
