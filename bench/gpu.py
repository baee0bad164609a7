"""Training steps on a GPU: evenflow beside PyTorch and JAX, answers checked before anything is timed.

    python -m evenflow.bench.gpu [--build] [--workloads tiny,geron] [--rounds 5] [--json FILE]

`--build`, in a checkout, builds and installs the package with its second extension first. Float32 for everybody, with
products in full float32: NVIDIA's TF32 is off in PyTorch and in JAX as it is in evenflow. Everybody starts from the
same variables and walks through the same batches, and the first losses must be those of a float64 calculation in NumPy
(`problem.Peer.check`). All peers of a workload live in one process; blocks of steps are timed in turn, A B A B.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from . import workloads
from .catalogue import TARGETS, WORKLOADS
from .jax_peer import Jax
from .peers import Evenflow
from .problem import Peer, Problem, WrongAnswerError
from .torch_peer import Torch

BUILD = ["pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "-Ccmake.define.EVENFLOW_CUDA=ON", "."]


class EvenflowGpu(Evenflow):
    """evenflow's program on the GPU."""

    def build(self, threads: int, **_: Any) -> None:
        cuda = import_module("evenflow._cuda")
        self.program = cuda.Program(workloads.spec(self.workload), dtype="float32", batch_size=self.workload.batch)
        for name, value in self.problem.variables.items():
            self.program.set(name, value)


class TorchGpu(Torch):
    """PyTorch with data and optimizer on the GPU: eager, or compiled into CUDA graphs."""

    def build(self, threads: int, mode: str = "eager", torch_threads: int = 1) -> None:
        super().build(threads, "eager", torch_threads)
        torch = import_module("torch")
        self.model = self.model.to("cuda")
        self.x, self.y, self.order = self.x.to("cuda"), self.y.to("cuda"), self.order.to("cuda")
        self.optimizer = self.optimizer_of(torch)
        self.loss = self.called if mode == "eager" else torch.compile(self.called, mode=mode)


class JaxGpu(Jax):
    """JAX: a block of the epoch in one `jit`."""

    def build(self, threads: int, **_: Any) -> None:
        import_module("jax").config.update("jax_default_matmul_precision", "highest")
        super().build(threads)


PEERS: dict[str, tuple[type[Peer], dict[str, Any]]] = {
    "evenflow": (EvenflowGpu, {}),
    "JAX, a block in one jit": (JaxGpu, {}),
    "PyTorch, reduce-overhead": (TorchGpu, {"mode": "reduce-overhead"}),
    "PyTorch, eager": (TorchGpu, {"mode": "eager"}),
}


def timed(peer: Peer, seconds: float) -> float:
    """Microseconds of a step, over at least so long."""
    steps, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        steps += peer.block()
    return 1e6 * spent / steps


def measure(workload: workloads.Workload, names: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Times of each peer in each round, or why it has none."""
    problem, peers = Problem.of(workload), {}
    found: dict[str, Any] = {}
    for name in names:
        kind, options = PEERS[name]
        try:
            peers[name] = kind(problem, 1, **options)
            peers[name].check()
            timed(peers[name], seconds)
        except (ImportError, RuntimeError) as error:
            if name == "evenflow" or isinstance(error, WrongAnswerError):
                raise
            peers.pop(name, None)
            found[name] = {"error": str(error)}
    times: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            times[name].append(timed(peer, seconds))
    return found | {name: {"median": statistics.median(t), "least": min(t), "all": t} for name, t in times.items()}


def versions() -> dict[str, Any]:
    found: dict[str, Any] = {"evenflow": import_module("evenflow").__version__}
    found |= {f"gpu {key}": value for key, value in import_module("evenflow._cuda").info().items()}
    for name in ("torch", "jax"):
        try:
            found[name] = import_module(name).__version__
        except ImportError:
            found[name] = None
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: microseconds per step, and how often evenflow's time goes into the best of the others."""
    names = [name for name in PEERS if any(name in row for row in results.values())]
    lines = ["| | " + " | ".join(names) + " | best other / evenflow |", "|---" * (len(names) + 2) + "|"]
    for workload, row in results.items():
        cells = [f"{row[n]['median']:.1f}" if "median" in row.get(n, {}) else "-" for n in names]
        others = [row[n]["median"] for n in names if n != "evenflow" and "median" in row.get(n, {})]
        ratio = f"{min(others) / row['evenflow']['median']:.2f}" if others else "-"
        lines.append(f"| {workload} | " + " | ".join(cells) + f" | {ratio} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m evenflow.bench.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--build", action="store_true", help="build and install from this checkout first")
    parser.add_argument("--workloads", default=",".join(w.name for w in TARGETS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each peer in a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.build:
        subprocess.run([sys.executable, "-m", *BUILD], check=True)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    found = {"versions": versions(), "results": {}}
    print(found["versions"], flush=True)
    for name in options.workloads.split(","):
        found["results"][name] = measure(WORKLOADS[name], list(PEERS), options.rounds, options.seconds)
        print(table({name: found["results"][name]}), flush=True)
    print(table(found["results"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
