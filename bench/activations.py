"""What activations cost: a step of `tabular` with each of the catalogue, beside the step with ReLU."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .catalogue import WORKLOADS
from .problem import LOSS_TOLERANCE, Problem, WrongAnswerError
from .report import aligned, duration

WORKLOAD = WORKLOADS["tabular"]
BASE = "relu"
TARGET = 1.15  # times the step with ReLU
STEPS = 24  # timed together, after one that brings the network into the caches
SHARED = ", shared"


def catalogue() -> list[str]:
    """Every activation that may stand between two layers, ReLU first. Those with a trained parameter come twice, with
    one for each unit and with one for the layer."""
    core = import_module("evenflow._core")
    learned = [name + of for name in core.learned_activations() for of in ("", SHARED)]
    return [BASE, *(name for name in core.activations() if name != BASE), *learned]


def spec(name: str) -> dict[str, Any]:
    """The workload's with this activation."""
    made = workloads.spec(replace(WORKLOAD, activation=name.removesuffix(SHARED)))
    for layer in made["layers"]:
        if layer["kind"] == "activation":
            layer |= {"parameters": {}, "shared": name.endswith(SHARED), "trainable": True}
    return made


class Training:
    """The network with one activation, in training."""

    def __init__(self, name: str, threads: int) -> None:
        core = import_module("evenflow._core")
        self.problem = Problem.of(WORKLOAD)
        self.spec = spec(name)
        self.program = core.Program(self.spec, dtype="float32", batch_size=WORKLOAD.batch, threads=threads)
        for path, value in self.problem.variables.items():
            self.program.set(path, value)
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
                    f"{name}, {WORKLOAD.name}: loss of a first step expected {expected}, received {loss}"
                )

    def time(self) -> float:
        """Seconds per step."""
        if self.step + 1 + STEPS > WORKLOAD.batches:
            self.step = 0
        self.train(1)
        start = time.perf_counter()
        self.train(STEPS)
        return (time.perf_counter() - start) / STEPS


@dataclass
class Cost:
    """One activation's times, and those of ReLU just before each."""

    name: str
    times: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    @property
    def ratio_of_least(self) -> float:
        return min(self.times) / min(self.beside)

    @property
    def ratio(self) -> float:
        """Of neighbours, their median."""
        return statistics.median(own / base for own, base in zip(self.times, self.beside, strict=True))


def measure(names: list[str], threads: int, rounds: int, seconds: float) -> list[Cost]:
    """Each activation in turn with ReLU before it: at least `rounds` times, and for `rounds * seconds` altogether."""
    trainings = {name: Training(name, threads) for name in dict.fromkeys([BASE, *names])}
    costs = [Cost(name) for name in names]
    end = time.perf_counter() + rounds * seconds
    while len(costs[0].times) < rounds or time.perf_counter() < end:
        for cost in costs:
            cost.beside.append(trainings[BASE].time())
            cost.times.append(trainings[cost.name].time())
    return costs


def table(costs: list[Cost]) -> str:
    """One line for each activation, the cheapest first."""
    rows = [["us per step", "median", "least", "times ReLU", "by the least", "target"]]
    for cost in sorted(costs, key=lambda cost: cost.ratio_of_least):
        missed = " missed" if cost.ratio_of_least > TARGET else ""
        times = [duration(statistics.median(cost.times)), duration(min(cost.times))]
        ratios = [f"{cost.ratio:.2f} x", f"{cost.ratio_of_least:.2f} x"]
        rows.append([cost.name, *times, *ratios, f"{TARGET:g} x{missed}"])
    title = f"{WORKLOAD.name}: {replace(WORKLOAD, activation='each activation')}, beside ReLU"
    return "\n".join(["", title, aligned(rows)])


def as_data(costs: list[Cost]) -> dict[str, Any]:
    """Everything measured, times in seconds per step."""
    ratios = {cost.name: {"ratio": cost.ratio, "ratio_of_least": cost.ratio_of_least} for cost in costs}
    return {"activations": {cost.name: vars(cost) | ratios[cost.name] | {"target": TARGET} for cost in costs}}
