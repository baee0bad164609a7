"""What activations cost: a step of `tabular` with each of the catalogue, beside the step with ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from . import beside, workloads
from .beside import Cost, Training
from .catalogue import WORKLOADS

WORKLOAD = WORKLOADS["tabular"]
BASE = "relu"
TARGET = 1.15  # times the step with ReLU
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


def training(name: str, threads: int) -> Training:
    """The network with one activation, in training."""
    return Training(name, WORKLOAD, spec(name), threads)


def measure(names: Sequence[str], threads: int, rounds: int, seconds: float) -> list[Cost]:
    """Each activation in turn with ReLU before it."""
    trainings = {name: training(name, threads) for name in dict.fromkeys([BASE, *names])}
    pairs = [(Cost(name, TARGET), trainings[name], trainings[BASE]) for name in names]
    return beside.measure(pairs, rounds, seconds)


def table(costs: Sequence[Cost]) -> str:
    """One line for each activation, the cheapest first."""
    title = f"{WORKLOAD.name}: {replace(WORKLOAD, activation='each activation')}, beside ReLU"
    return beside.table(title, "ReLU", sorted(costs, key=lambda cost: cost.ratio_of_least))
