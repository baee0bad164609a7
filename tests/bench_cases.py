"""Small workloads that have one of each kind of everything that the benchmark's mix, and a child that checks a peer."""

import dataclasses
import os
import subprocess
import sys

from evenflow.bench.harness import child_environment
from evenflow.bench.peers import PEERS
from evenflow.bench.problem import Problem
from evenflow.bench.workloads import BINARY, FORWARD, GRADIENT, SQUARED, Optimizer, Workload

NARROW = Workload("narrow", 6, (9, 7), 3, "relu", 8, 6, 6, ground="tests")
PLAIN = dataclasses.replace(NARROW, batch_norm=False)
ADAMW = Optimizer("adam", weight_decay=10.0, clip=0.5)
MOMENTUM = Optimizer("sgd", 0.05, momentum=0.9)
SMALL = {
    "cross-entropy, mish, AdamW, clipped": dataclasses.replace(NARROW, activation="mish", optimizer=ADAMW),
    "gelu, Adagrad": dataclasses.replace(NARROW, activation="gelu", optimizer=Optimizer("adagrad", 0.05)),
    "squares, tanh, momentum": dataclasses.replace(PLAIN, activation="tanh", loss=SQUARED, optimizer=MOMENTUM),
    "linear, SGD": dataclasses.replace(PLAIN, activation="linear", loss=SQUARED, optimizer=Optimizer("sgd", 0.05)),
    "no hidden layer": dataclasses.replace(PLAIN, hidden=(), loss=SQUARED),
    "dropout, binary, l2": dataclasses.replace(PLAIN, dropout=0.4, outputs=1, loss=BINARY, alpha=0.5),
    "gradient": dataclasses.replace(PLAIN, part=GRADIENT, loss=SQUARED, activation="tanh"),
    "gradient, dropout": dataclasses.replace(PLAIN, part=GRADIENT, loss=SQUARED, dropout=0.4),
    "forward": dataclasses.replace(PLAIN, part=FORWARD, loss=SQUARED),
    "two classes": dataclasses.replace(PLAIN, outputs=2),
}

# Who compiles each of them takes seconds for it.
FEW = ("cross-entropy, mish, AdamW, clipped", "squares, tanh, momentum", "dropout, binary, l2")
CASES = {"keras": FEW, "jax": (*FEW, "gelu, Adagrad", "gradient", "forward"), "torch": (*SMALL,), "sklearn": (*SMALL,)}


def cases(peer: str) -> list[str]:
    return [case for case in CASES[peer] if not PEERS[peer].unable(SMALL[case])]


def check(name: str) -> None:
    """Prints the workloads that a peer has trained as it should, or raises."""
    kind = PEERS[name]
    options = kind.variants(1, quick=True)[0].options
    for case in cases(name):
        peer = kind(Problem.of(SMALL[case]), 1, **options)
        peer.check()
        assert peer.block() > 0
        print(case)


def checked_in_a_child(name: str) -> subprocess.CompletedProcess[str]:
    variant = PEERS[name].variants(1, quick=True)[0]
    environment = child_environment(variant)
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), environment["PYTHONPATH"]])
    code = f"import bench_cases; bench_cases.check({name!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
