"""`evenflow bench --kernels`: the eager kernels against what one writes in NumPy, and the same call in PyTorch.

For n from 8 to 4096 an operation has n rows, n inputs, n units, or n x n elements. All are called in turn in one
process, after their answers are compared; the least time of each counts. The crossover is the smallest n from which on
evenflow is never slower.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
EPSILON = 1e-3
Call = Callable[[], Any]
Calls = dict[str, Call]  # by whose it is


def arrays(*shapes: tuple[int, ...]) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, dtype=np.float32) for shape in shapes]


def _dense(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    x, w, b = arrays((n, n), (n, n), (n,))
    calls: Calls = {"evenflow": lambda: kernels.dense_forward(x, w, b), "numpy": lambda: x @ w + b}
    packed = kernels.PackedWeights(w)
    calls["packed"] = lambda: kernels.dense_forward(x, packed, b)
    if torch:
        tx, tw, tb = (torch.from_numpy(a) for a in (x, np.ascontiguousarray(w.T), b))
        calls["torch"] = lambda: torch.nn.functional.linear(tx, tw, tb)
    return calls


def _dense_backward(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    dy, x, w = arrays((n, n), (n, n), (n, n))
    calls: Calls = {
        "evenflow": lambda: kernels.dense_backward(dy, x, w),
        "numpy": lambda: (dy @ w.T, x.T @ dy, dy.sum(axis=0)),
    }
    if torch:
        ty, tx, tw = (torch.from_numpy(a) for a in (dy, x, w))
        calls["torch"] = lambda: (ty @ tw.T, tx.T @ ty, ty.sum(0))
    return calls


def _fused(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    x, w, gamma, beta = arrays((n, n), (n, n), (n,), (n,))
    w /= np.float32(np.sqrt(n))

    def numpy() -> Any:
        z = x @ w
        h = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + EPSILON) * gamma + beta
        return np.maximum(h, 0)

    calls: Calls = {
        "evenflow": lambda: kernels.dense_bn_act_forward(x, w, None, gamma, beta, activation="relu", epsilon=EPSILON)[
            0
        ],
        "numpy": numpy,
    }
    if torch:
        tx, tw, tg, tb = (torch.from_numpy(a) for a in (x, np.ascontiguousarray(w.T), gamma, beta))
        functional = torch.nn.functional
        calls["torch"] = lambda: functional.relu(
            functional.batch_norm(functional.linear(tx, tw), None, None, tg, tb, True, 0.1, EPSILON)
        )
    return calls


def _batch_norm(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    x, gamma, beta = arrays((n, n), (n,), (n,))
    calls: Calls = {
        "evenflow": lambda: kernels.batch_norm_forward(x, gamma, beta, epsilon=EPSILON)[0],
        "numpy": lambda: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + EPSILON) * gamma + beta,
    }
    if torch:
        tx, tg, tb = (torch.from_numpy(a) for a in (x, gamma, beta))
        calls["torch"] = lambda: torch.nn.functional.batch_norm(tx, None, None, tg, tb, True, 0.1, EPSILON)
    return calls


def _relu(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    (x,) = arrays((n, n))
    calls: Calls = {"evenflow": lambda: kernels.activation_forward("relu", x), "numpy": lambda: np.maximum(x, 0)}
    if torch:
        tx = torch.from_numpy(x)
        calls["torch"] = lambda: torch.relu(tx)
    return calls


def _elu(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    (x,) = arrays((n, n))
    calls: Calls = {
        "evenflow": lambda: kernels.activation_forward("elu", x),
        "numpy": lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    }
    if torch:
        tx = torch.from_numpy(x)
        calls["torch"] = lambda: torch.nn.functional.elu(tx)
    return calls


def _crossentropy(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    (x,) = arrays((n, n))
    labels = np.arange(n) % n

    def numpy() -> Any:
        z = x - x.max(axis=1, keepdims=True)
        gradient = np.exp(z)
        total = gradient.sum(axis=1, keepdims=True)
        rows = np.log(total[:, 0]) - z[np.arange(n), labels]
        gradient /= total
        gradient[np.arange(n), labels] -= 1
        gradient /= n
        return rows, gradient

    return {"evenflow": lambda: kernels.softmax_crossentropy(x, labels), "numpy": numpy}


def _adam(n: int, torch: Any) -> Calls:
    from evenflow import kernels

    p, g = arrays((n, n), (n, n))
    settings = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    own, other = ([p.copy(), g, np.zeros_like(p), np.zeros_like(p)] for _ in "ab")

    def evenflow() -> Any:
        kernels.adam_step(*own, step=1, **settings)
        return own[0]

    def numpy() -> Any:
        q, gradient, m, v = other
        m += (1 - 0.9) * (gradient - m)
        v += (1 - 0.999) * (gradient * gradient - v)
        q -= (1e-3 * (1 - 0.999) ** 0.5 / (1 - 0.9)) * m / (np.sqrt(v) + 1e-7)
        return q

    calls: Calls = {"evenflow": evenflow, "numpy": numpy}
    if torch:
        parameter = torch.nn.Parameter(torch.from_numpy(p.copy()))
        parameter.grad = torch.from_numpy(g)
        adam = torch.optim.Adam([parameter], lr=1e-3, fused=True)

        def torch_step() -> None:
            adam.step()

        calls["torch"] = torch_step
    return calls


KERNELS: dict[str, Callable[[int, Any], Calls]] = {
    "dense_forward": _dense,
    "dense_backward": _dense_backward,
    "dense_bn_act_forward": _fused,
    "batch_norm_forward": _batch_norm,
    "relu": _relu,
    "elu": _elu,
    "softmax_crossentropy": _crossentropy,
    "adam_step": _adam,
}


def check(name: str, n: int, calls: Calls) -> None:
    """That all agree, where they return something."""
    expected = calls["numpy"]()
    for who, call in calls.items():
        result = expected if who == "numpy" else call()
        pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (result, expected)), strict=True)
        for a, b in pairs if result is not None else ():
            worst = float(np.max(np.abs(np.asarray(a) - b))) if np.size(b) else 0.0
            if not worst <= 1e-4 * max(float(np.max(np.abs(b))), 1e-30):
                raise AssertionError(f"{name}, n = {n}: {who} differs from NumPy by {worst}")


def timed(calls: Calls, seconds: float) -> dict[str, list[float]]:
    """Seconds of a call, each in turn, for about `seconds` altogether and at least three times."""
    times: dict[str, list[float]] = {who: [] for who in calls}
    repeats = {}
    for who, call in calls.items():
        start = time.perf_counter()
        call()
        repeats[who] = max(1, int(1e-4 / max(time.perf_counter() - start, 1e-9)))
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        for who, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[who]):
                call()
            times[who].append((time.perf_counter() - start) / repeats[who])
        rounds += 1
    return times


def least(calls: Calls, seconds: float) -> dict[str, float]:
    """The least seconds of a call."""
    return {who: min(found) for who, found in timed(calls, seconds).items()}


def measure(sizes: Sequence[int], threads: int, seconds: float) -> list[dict[str, Any]]:
    """For each kernel and size the least seconds of everybody."""
    try:
        torch = import_module("torch")
        torch.set_num_threads(threads)
    except ModuleNotFoundError:
        torch = None
    import_module("evenflow._core").set_num_threads(threads)
    found = []
    for name, make in KERNELS.items():
        for n in sizes:
            calls = make(n, torch)
            check(name, n, calls)
            found.append({"kernel": name, "n": n, "seconds": least(calls, seconds)})
    return found


def crossover(measured: Sequence[dict[str, Any]], kernel: str, peer: str) -> int | None:
    """The smallest size from which on evenflow is never slower than the peer, or None."""
    rows = [row for row in measured if row["kernel"] == kernel and peer in row["seconds"]]
    smallest = None
    for row in sorted(rows, key=lambda row: -row["n"]):
        if row["seconds"]["evenflow"] > row["seconds"][peer]:
            break
        smallest = row["n"]
    return smallest


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Microseconds at least, and how many times longer the others take."""
    from .report import aligned, duration

    lines = [["us at least", "n", "evenflow", "packed", "numpy", "times", "torch", "times", "never slower from"]]
    for row in measured:
        seconds = row["seconds"]
        cells = [row["kernel"], str(row["n"]), duration(seconds["evenflow"]), *(
            [duration(seconds["packed"])] if "packed" in seconds else [""]
        )]  # fmt: skip
        for peer in ("numpy", "torch"):
            there = peer in seconds
            cells += [duration(seconds[peer]), f"{seconds[peer] / seconds['evenflow']:.2f}"] if there else ["", ""]
        last = row["n"] == max(other["n"] for other in measured if other["kernel"] == row["kernel"])
        notes = [f"{peer} {crossover(measured, row['kernel'], peer) or '-'}" for peer in ("numpy", "torch")]
        lines.append([*cells, ", ".join(notes) if last else ""])
    return aligned(lines)
