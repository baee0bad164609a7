"""Steps of networks that differ in one thing, each timed right after the one that it is compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .problem import LOSS_TOLERANCE, Problem, WrongAnswerError
from .report import aligned, duration
from .workloads import Workload

MOST_STEPS = 24  # timed together, after one that brings the network into the caches


class Training:
    """A network in training: a workload's, or what became of it."""

    def __init__(self, name: str, workload: Workload, spec: dict[str, Any], threads: int) -> None:
        core = import_module("evenflow._core")
        self.workload, self.spec = workload, spec
        self.problem = Problem.of(workload)
        self.program = core.Program(spec, dtype="float32", batch_size=workload.batch, threads=threads)
        for path, value in self.problem.variables.items():
            self.program.set(path, value)
        self.steps = min(MOST_STEPS, workload.batches - 1)
        self.step = 0
        self.check(name)

    def train(self, steps: int) -> float:
        """The mean loss of the next steps, which must not run over the end of the epoch."""
        progress = self.program.train(
            self.problem.x,
            self.problem.y,
            learning_rate=workloads.LEARNING_RATE,
            order=self.problem.order,
            first_step=self.step,
            max_steps=steps,
        )
        self.step = progress.next_step
        return float(progress.loss / progress.rows)

    def check(self, name: str) -> None:
        """Takes the first two steps, or an error if their losses are not those of the reference."""
        network = import_module("evenflow.reference").Network(self.spec)
        for path, value in network.variables.items():
            value[...] = self.program.get(path)
        for _ in range(2):
            rows = self.problem.rows(self.step)
            expected = network.train_step(self.problem.x[rows], self.problem.y[rows], workloads.LEARNING_RATE)[0]
            expected /= len(rows)
            loss = self.train(1)
            if not np.isclose(loss, expected, rtol=LOSS_TOLERANCE, atol=0):
                raise WrongAnswerError(
                    f"{name}, {self.workload.name}: loss of a first step expected {expected}, received {loss}"
                )

    def time(self) -> float:
        """Seconds per step."""
        if self.step + 1 + self.steps > self.workload.batches:
            self.step = 0
        self.train(1)
        start = time.perf_counter()
        self.train(self.steps)
        return (time.perf_counter() - start) / self.steps


@dataclass
class Cost:
    """One network's times, and those of the other just before each."""

    name: str
    target: float | None  # for the ratio
    times: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def ratio_of_least(self) -> float:
        return min(self.times) / min(self.beside)

    @property
    def ratio(self) -> float:
        """Of neighbours, their median."""
        return statistics.median(own / base for own, base in zip(self.times, self.beside, strict=True))


def measure(pairs: Sequence[tuple[Cost, Training, Training]], rounds: int, seconds: float) -> list[Cost]:
    """Each network in turn with the other before it: at least `rounds` times, and for `rounds * seconds` altogether."""
    end = time.perf_counter() + rounds * seconds
    done = 0
    while done < rounds or time.perf_counter() < end:
        for cost, own, base in pairs:
            cost.beside.append(base.time())
            cost.times.append(own.time())
        done += 1
    return [cost for cost, _, _ in pairs]


def table(title: str, beside: str, costs: Sequence[Cost]) -> str:
    """One line for each network."""
    rows = [["us per step", "median", "least", f"times {beside}", "by the least", "target"]]
    for cost in costs:
        missed = " missed" if cost.target is not None and cost.ratio_of_least > cost.target else ""
        times = [duration(statistics.median(cost.times)), duration(min(cost.times))]
        ratios = [f"{cost.ratio:.2f} x", f"{cost.ratio_of_least:.2f} x"]
        rows.append([cost.name, *times, *ratios, "" if cost.target is None else f"{cost.target:g} x{missed}"])
    return "\n".join(["", title, aligned(rows)])


def as_data(costs: Sequence[Cost]) -> dict[str, Any]:
    """Everything measured, times in seconds per step."""
    return {c.name: vars(c) | {"ratio": c.ratio, "ratio_of_least": c.ratio_of_least} for c in costs}
