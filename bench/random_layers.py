"""What random layers cost: a step with one after each hidden layer, beside the step without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import beside, workloads
from .beside import Cost, Training
from .catalogue import WORKLOADS
from .workloads import Workload

ON = ("geron", "tabular", "deep")
LAYERS: dict[str, dict[str, float]] = {
    "dropout": {"rate": 0.2},
    "alpha_dropout": {"rate": 0.1},
    "gaussian_dropout": {"rate": 0.2},
    "gaussian_noise": {"stddev": 0.1},
}
TARGETS = {"dropout": 1.05}  # times the step without


def spec(workload: Workload, name: str) -> dict[str, Any]:
    """The workload's with this layer after each activation."""
    made = workloads.spec(workload)
    layers: list[dict[str, Any]] = []
    for layer in made["layers"]:
        layers.append(layer)
        if layer["kind"] == "activation":
            own = {"kind": "noise", "noise": name, "parameters": LAYERS[name]}
            layers.append({**own, "name": f"{name} of {layer['name']}", "seed": len(layers)})
    return {**made, "layers": layers}


def measure(threads: int, rounds: int, seconds: float, on: Sequence[str] = ON) -> list[Cost]:
    """Each layer in turn with the step without it before."""
    pairs = []
    for workload in (WORKLOADS[name] for name in on):
        base = Training("no random layer", workload, workloads.spec(workload), threads)
        for name in LAYERS:
            own = Training(name, workload, spec(workload, name), threads)
            pairs.append((Cost(f"{workload.name}, {name}", TARGETS.get(name)), own, base))
    return beside.measure(pairs, rounds, seconds)


def table(costs: Sequence[Cost]) -> str:
    """One line for each workload and layer."""
    return beside.table("Random layers after each hidden layer, beside the step without", "without", costs)
