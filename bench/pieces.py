"""Pieces of the work on their own: the optimizer, a one-row prediction, the import. Each in a child process.

`python -m evenflow.bench.pieces '{"index": ..., "threads": ..., "seconds": ...}'` prints {"times": [...]}
or {"missing": module}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np

from . import rules, workloads
from .catalogue import WORKLOADS
from .problem import Problem, Variant, WrongAnswerError, thread_environment
from .workloads import ADAM_BYTES, ADAM_STATE_BYTES, Array

# parameters: inputs and units of a Dense layer with so many, its widths multiples of every panel
OPTIMIZER_SIZES = {"50,000": (224, 224), "10 million": (3200, 3136)}
CLIP_NORM = 1.0
RULE_TURNS = 4  # of timing a rule and measuring the bandwidth
CHUNK_SECONDS = 0.002  # calls are timed in chunks at least this long


def time_calls(call: Callable[[], object], seconds: float) -> list[float]:
    """Seconds per call, of chunks of calls."""

    def chunk(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    calls = 1
    while chunk(calls) < CHUNK_SECONDS:
        calls *= 2
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(chunk(calls) / calls)
    return times


def expected_after_one_step(p: Array, g: Array, clip: bool) -> Array:
    """Adam's first step in Keras' form, float64."""
    p, g = p.astype(np.float64), g.astype(np.float64)
    if clip:
        g = g * min(1.0, CLIP_NORM / np.sqrt(np.sum(g * g)))
    rate = workloads.LEARNING_RATE * (1 - workloads.BETA_2) ** 0.5 / (1 - workloads.BETA_1)
    m, v = (1 - workloads.BETA_1) * g, (1 - workloads.BETA_2) * g * g
    updated: Array = p - rate * m / (np.sqrt(v) + workloads.EPSILON)
    return updated


def require_close(what: str, received: Array, expected: Array, tolerance: float) -> None:
    difference = float(np.max(np.abs(received - expected)))
    if not difference <= tolerance * float(np.max(np.abs(expected))):
        raise WrongAnswerError(
            f"{what}: expected within {tolerance} of NumPy's float64 result, differs by {difference}"
        )


def optimizer_arrays(size: str) -> tuple[Array, Array]:
    """A kernel and a gradient whose norm is above the clipping limit."""
    generator = np.random.default_rng(0)
    kernel, gradient = (generator.standard_normal(OPTIMIZER_SIZES[size], dtype=np.float32) for _ in range(2))
    return kernel, gradient


def program_with_gradient(optimizer: dict[str, Any], kernel: Array, gradient: Array) -> Any:
    """A program of one kernel, after the backward pass that gave it this gradient."""
    inputs, units = kernel.shape
    layer = {"kind": "dense", "name": "dense", "units": units, "use_bias": False, "trainable": True}
    spec = {"inputs": inputs, "layers": [layer], "loss": None, "metrics": [], "optimizer": optimizer}
    program = import_module("evenflow._core").Program(spec, dtype="float32", batch_size=inputs)
    program.set("dense/kernel", kernel)
    # With the identity as input the kernel's gradient is the gradient of the output.
    program.forward(np.eye(inputs, dtype=np.float32))
    program.backward(gradient)
    return program


def evenflow_rule(size: str, rule: str, threads: int, seconds: float) -> dict[str, Any]:
    """A rule's step, timed in turn with a stream over as much memory."""
    core = import_module("evenflow._core")
    kernel, gradient = optimizer_arrays(size)
    program = program_with_gradient(rules.RULES[rule], kernel, gradient)
    program.update(workloads.LEARNING_RATE)
    expected = rules.expected_after_one_step(rule, kernel, gradient, workloads.LEARNING_RATE)
    require_close(f"evenflow's {rule}", program.get("dense/kernel"), expected, 1e-6)
    slots, times, bandwidth = len(program.slot_names()), [], 0.0
    for _ in range(RULE_TURNS):
        times += time_calls(lambda: program.update(workloads.LEARNING_RATE), seconds / RULE_TURNS)
        kept = workloads.bytes_kept(slots) * kernel.size
        bandwidth = max(bandwidth, core.measure_bandwidth(kept, threads, seconds / RULE_TURNS / 2))
    return {"times": times, "ceiling": workloads.bytes_moved(slots) * kernel.size / bandwidth}


def evenflow_optimizer(size: str, clip: bool, threads: int, seconds: float) -> dict[str, Any]:
    core = import_module("evenflow._core")
    adam = workloads.spec(WORKLOADS["tiny"])["optimizer"] | {"global_clipnorm": CLIP_NORM if clip else None}
    kernel, gradient = optimizer_arrays(size)
    program = program_with_gradient(adam, kernel, gradient)
    program.update(workloads.LEARNING_RATE)
    expected = expected_after_one_step(kernel, gradient, clip)
    require_close("evenflow's Adam", program.get("dense/kernel"), expected, 1e-6)
    times = time_calls(lambda: program.update(workloads.LEARNING_RATE), seconds)
    bandwidth = core.measure_bandwidth(ADAM_STATE_BYTES * kernel.size, threads, min(seconds, 0.2))
    return {"times": times, "ceiling": ADAM_BYTES * kernel.size / bandwidth}


def torch_optimizer(size: str, clip: bool, threads: int, seconds: float) -> dict[str, Any]:
    torch = import_module("torch")
    torch.set_num_threads(threads)
    kernel, gradient = optimizer_arrays(size)
    parameter = torch.nn.Parameter(torch.from_numpy(kernel.copy()))
    parameter.grad = torch.from_numpy(gradient)
    betas = workloads.BETA_1, workloads.BETA_2
    first_epsilon = workloads.EPSILON / (1 - workloads.BETA_2) ** 0.5  # what Keras' epsilon is here, in the first step
    adam = torch.optim.Adam([parameter], lr=workloads.LEARNING_RATE, betas=betas, eps=first_epsilon, fused=True)

    def step() -> None:
        if clip:
            torch.nn.utils.clip_grad_norm_([parameter], CLIP_NORM, foreach=True)
        adam.step()

    expected = expected_after_one_step(kernel, gradient, clip)
    step()
    require_close("PyTorch's Adam", parameter.detach().numpy(), expected, 1e-5)
    return {"times": time_calls(step, seconds)}


def logits_of_one_row(problem: Problem) -> tuple[Array, Array]:
    """A row, and the logits that the initial moving statistics give, float64."""
    row = problem.x[:1]
    a = row.astype(np.float64)
    for index in range(len(problem.workload.hidden)):
        z = a @ problem.variable("dense", index, "kernel") / np.sqrt(1 + workloads.BN_EPSILON)
        z = z * problem.variable("batch_normalization", index, "gamma") + problem.variable(
            "batch_normalization", index, "beta"
        )
        a = np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
    depth = len(problem.workload.hidden)
    return row, a @ problem.variable("dense", depth, "kernel") + problem.variable("dense", depth, "bias")


def evenflow_predict(through: str, threads: int, seconds: float) -> dict[str, Any]:
    from .peers import Evenflow, EvenflowFit

    problem = Problem.of(WORKLOADS["geron"])
    row, expected = logits_of_one_row(problem)
    predict: Callable[[Array], Array]
    if through == "program":
        predict = Evenflow(problem, threads).program.predict
    else:
        model = EvenflowFit(problem, threads).model
        predict = lambda x: model.predict(x, verbose=0)  # noqa: E731
    require_close("evenflow's predict", predict(row), expected, 1e-5)
    return {"times": time_calls(lambda: predict(row), seconds)}


def torch_predict(threads: int, seconds: float) -> dict[str, Any]:
    from .torch_peer import Torch

    torch = import_module("torch")
    problem = Problem.of(WORKLOADS["geron"])
    row, expected = logits_of_one_row(problem)
    model = Torch(problem, threads, torch_threads=threads).model.eval()
    x = torch.from_numpy(row)
    with torch.inference_mode():
        require_close("PyTorch's prediction", model(x).numpy(), expected, 1e-5)
        return {"times": time_calls(lambda: model(x), seconds)}


def import_evenflow(threads: int, seconds: float) -> dict[str, Any]:
    """A first model in this process, which has imported NumPy and not yet evenflow."""
    start = time.perf_counter()
    evenflow = import_module("evenflow")
    evenflow.Sequential([evenflow.layers.Dense(1)])
    return {"times": [time.perf_counter() - start]}


@dataclass(frozen=True)
class Piece:
    """One line of the report: what it is, whose, and how to time it."""

    group: str
    what: str
    peer: str
    call: Callable[..., dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    target: float | None = None  # seconds


def _optimizer_pieces() -> list[Piece]:
    pieces = []
    for size, clip, target in (("50,000", True, 2e-6), ("10 million", False, None)):
        what = f"Adam, {size} parameters" + (", clipped by norm" if clip else "")
        options = {"size": size, "clip": clip}
        pieces.append(Piece("optimizer", what, "evenflow", evenflow_optimizer, options, target))
        pieces.append(Piece("optimizer", what, "torch", torch_optimizer, options))
    return pieces


PIECES = [
    *_optimizer_pieces(),
    *(
        Piece("rules", f"{rule}, {size} parameters", "evenflow", evenflow_rule, {"size": size, "rule": rule})
        for size in OPTIMIZER_SIZES
        for rule in rules.RULES
    ),
    Piece("predict", "one row of geron, program", "evenflow", evenflow_predict, {"through": "program"}, 15e-6),
    Piece("predict", "one row of geron, model", "evenflow", evenflow_predict, {"through": "model"}, 15e-6),
    Piece("predict", "one row of geron, eager", "torch", torch_predict),
    Piece("import", "evenflow and a first model", "evenflow", import_evenflow, {}, 0.150),
]


def measure(piece: Piece, threads: int, seconds: float, isa: str) -> dict[str, Any]:
    """Times a piece in a child process: {"times": ...}, {"missing": ...} or {"error": ...}."""
    from .harness import child_environment

    settings = thread_environment(threads) | {"EVENFLOW_NUM_THREADS": str(threads), "EVENFLOW_ISA": isa}
    request = {"index": PIECES.index(piece), "threads": threads, "seconds": seconds}
    child = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(request)],
        capture_output=True,
        text=True,
        env=child_environment(Variant("piece", settings)),
        check=False,
    )
    if child.returncode:
        return {"error": child.stderr[-2000:]}
    answer: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return answer


def main() -> None:
    request = json.loads(sys.argv[1])
    piece = PIECES[request["index"]]
    try:
        answer = piece.call(**piece.options, threads=request["threads"], seconds=request["seconds"])
    except ModuleNotFoundError as error:
        answer = {"missing": error.name}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
