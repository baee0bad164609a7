"""Calls that others time on their own: Dense layers (W8), update rules on lists of arrays (W17), activations (W18)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .kernels import Calls, arrays
from .numpy_peer import error_function
from .workloads import SIZE, Array, bytes_kept, bytes_moved

ROWS = 1024
LAYERS = ((128, 256), (512, 1024), (1024, 1024), (2048, 512), (2048, 1000))
LISTS = {
    "200 x 64": [64] * 200,
    "4 x 262,144": [262_144] * 4,
    "10 x 1 million": [1_000_000] * 10,
    "32 x 4.2 million": [4_200_000] * 32,
    "1 Gi + 274,432": [1 << 30, 274_432],
}
LARGE = ("32 x 4.2 million", "1 Gi + 274,432")
RULES = ("Adam", "AdamW", "SGD, momentum", "Adagrad", "norm and Adam")
ACTIVATIONS = ("tanh", "sigmoid", "exponential", "gelu", "silu", "mish")
SIZES = (1 << 10, 1 << 14, 1 << 20, 10_000_000)
# Of the sweep: every magnitude between these, with both signs.
SMALLEST, LARGEST, SWEPT = -30.0, 6.0, 1 << 18


@dataclass(frozen=True)
class Case:
    """A line of the table: whose calls, and what they cannot be faster than."""

    group: str
    what: str
    make: Callable[[Any], Calls]  # of PyTorch, or None
    flops: float = 0.0
    moved: float = 0.0  # bytes, where `kept` bytes are streamed
    kept: float = 0.0
    memory: float = 0.0  # bytes that everybody's arrays take


# ------------------------------------------------------------------------------------------------------- W8: layers


def _forward(inputs: int, units: int, bias: bool, relu: bool, torch: Any) -> Calls:
    from evenflow import kernels

    x, w, given = arrays((ROWS, inputs), (inputs, units), (units,))
    b = given if bias else None

    def own(weights: Any) -> Any:
        if relu:
            return kernels.dense_bn_act_inference(x, weights, b, activation="relu")
        return kernels.dense_forward(x, weights, b)

    def numpy() -> Any:
        z = x @ w
        if bias:
            z += given
        return np.maximum(z, 0, out=z) if relu else z

    packed = kernels.PackedWeights(w)
    calls: Calls = {"evenflow": lambda: own(w), "packed": lambda: own(packed), "numpy": numpy}
    if torch:
        tx, tw, tb = (torch.from_numpy(a) for a in (x, np.ascontiguousarray(w.T), given))
        linear = torch.nn.functional.linear

        def torch_forward() -> Any:
            y = linear(tx, tw, tb if bias else None)
            return torch.relu_(y) if relu else y

        calls["torch"] = torch_forward
    return calls


def _gradient(inputs: int, units: int, of: str, torch: Any) -> Calls:
    from evenflow import kernels

    x, w, dy = arrays((ROWS, inputs), (inputs, units), (ROWS, units))
    calls: Calls
    if of == "dx":
        calls = {"evenflow": lambda: kernels.dense_forward(dy, w, transposed=True), "numpy": lambda: dy @ w.T}
    else:
        calls = {
            "evenflow": lambda: kernels.dense_backward(dy, x, w, input_gradient=False)[1],
            "numpy": lambda: x.T @ dy,
        }
    if torch:
        tx, tw, ty = (torch.from_numpy(a) for a in (x, np.ascontiguousarray(w.T), dy))
        calls["torch"] = (lambda: ty @ tw) if of == "dx" else (lambda: tx.T @ ty)
    return calls


def layers() -> Iterator[Case]:
    for inputs, units in LAYERS:
        shape, flops = f"{ROWS} x {inputs} x {units}", 2.0 * ROWS * inputs * units
        for bias, relu in ((False, False), (True, False), (False, True), (True, True)):
            what = "forward" + ", bias" * bias + ", ReLU" * relu
            yield Case("W8", f"{shape}, {what}", partial(_forward, inputs, units, bias, relu), flops)
        for of in ("dx", "dw"):
            yield Case("W8", f"{shape}, {of}", partial(_gradient, inputs, units, of), flops)


# ------------------------------------------------------------------------------------------------------ W17: updates


def _update(sizes: list[int], rule: str, torch: Any) -> Calls:
    """The first step of each is compared; later ones go on."""
    from evenflow import kernels

    generator = np.random.default_rng(0)
    p, g = ([generator.standard_normal(n, dtype=np.float32) for n in sizes] for _ in "pg")
    slots, start = SLOTS[rule], workloads.ACCUMULATOR if rule == "Adagrad" else 0.0
    rate, beta_1, beta_2, epsilon = workloads.LEARNING_RATE, workloads.BETA_1, workloads.BETA_2, workloads.EPSILON
    adam = {"learning_rate": rate, "beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon}
    decay = 0.01 if rule == "AdamW" else 0.0

    def copies() -> tuple[list[Any], ...]:
        return (
            [a.copy() for a in p],
            [a.copy() for a in g],
            *([np.full_like(a, start) for a in p] for _ in range(slots)),
        )

    own, other = copies(), copies()
    limit = float(np.sqrt(sum(sizes)))  # about the norm, so that little is scaled

    def evenflow() -> Any:
        if rule == "norm and Adam":
            kernels.clip_by_global_norm(own[1], limit)
        if rule == "SGD, momentum":
            kernels.sgd_step(*own, learning_rate=rate, momentum=0.9)
        elif rule == "Adagrad":
            kernels.adagrad_step(*own, learning_rate=rate, epsilon=epsilon)
        else:
            kernels.adam_step(*own, step=1, weight_decay=decay, **adam)  # type: ignore[arg-type]
        return own[0][0], own[0][-1]

    def numpy() -> Any:
        scale = 1.0
        if rule == "norm and Adam":
            scale = min(1.0, limit / float(np.sqrt(sum(float(np.vdot(a, a)) for a in other[1]))))
        for q, gradient, *kept in zip(*other, strict=True):
            if scale < 1:
                gradient *= np.float32(scale)
            if rule == "SGD, momentum":
                kept[0] *= 0.9
                kept[0] -= rate * gradient
                q += kept[0]
            elif rule == "Adagrad":
                kept[0] += gradient * gradient
                q -= rate * gradient / np.sqrt(kept[0] + epsilon)
            else:
                m, v = kept
                m += (1 - beta_1) * (gradient - m)
                v += (1 - beta_2) * (gradient * gradient - v)
                if decay:
                    q -= rate * decay * q
                q -= (rate * (1 - beta_2) ** 0.5 / (1 - beta_1)) * m / (np.sqrt(v) + epsilon)
        return other[0][0], other[0][-1]

    calls: Calls = {"evenflow": evenflow, "numpy": numpy}
    if torch:
        calls["torch"] = _torch_update(torch, p, g, rule, limit, decay)
    return calls


def _torch_update(torch: Any, p: list[Array], g: list[Array], rule: str, limit: float, decay: float) -> Any:
    parameters = [torch.nn.Parameter(torch.from_numpy(a)) for a in p]
    for parameter, gradient in zip(parameters, g, strict=True):
        parameter.grad = torch.from_numpy(gradient)
    rate, betas = workloads.LEARNING_RATE, (workloads.BETA_1, workloads.BETA_2)
    first_epsilon = workloads.EPSILON / (1 - workloads.BETA_2) ** 0.5  # what Keras' is here, in the first step
    common = {"lr": rate, "fused": True}
    if rule == "SGD, momentum":
        optimizer = torch.optim.SGD(parameters, momentum=0.9, **common)
    elif rule == "Adagrad":
        optimizer = torch.optim.Adagrad(parameters, initial_accumulator_value=workloads.ACCUMULATOR, **common)
    elif rule == "AdamW":
        optimizer = torch.optim.AdamW(parameters, betas=betas, eps=first_epsilon, weight_decay=decay, **common)
    else:
        optimizer = torch.optim.Adam(parameters, betas=betas, eps=first_epsilon, **common)
    ends = parameters[0].detach().numpy(), parameters[-1].detach().numpy()

    def step() -> Any:
        if rule == "norm and Adam":
            torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)
        optimizer.step()
        return ends

    return step


SLOTS = {"Adam": 2, "AdamW": 2, "SGD, momentum": 1, "Adagrad": 1, "norm and Adam": 2}


def updates() -> Iterator[Case]:
    for name, sizes in LISTS.items():
        for rule in RULES:
            slots, count = SLOTS[rule], float(sum(sizes))
            # Norms read the gradients once more.
            moved = count * (bytes_moved(slots) + (SIZE if rule == "norm and Adam" else 0))
            group, kept = "W17-large" if name in LARGE else "W17-lists", count * bytes_kept(slots)
            yield Case(group, f"{name}, {rule}", partial(_update, sizes, rule), 0.0, moved, kept, 3.5 * kept)


# --------------------------------------------------------------------------------------------------- W18: activations


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def numpy_activation(name: str, x: Array) -> Array:
    """As one writes it in NumPy, in the type of x."""
    if name == "tanh":
        return np.tanh(x)
    if name == "sigmoid":
        return _sigmoid(x)
    if name == "exponential":
        return np.exp(x)
    if name == "silu":
        return x * _sigmoid(x)
    if name == "mish":
        return x * np.tanh(np.logaddexp(x, x.dtype.type(0)))
    half, root = x.dtype.type(0.5), x.dtype.type(np.sqrt(0.5))
    return x * (half * (1 + error_function(x * root)))


def numpy_slope(name: str, dy: Array, x: Array, y: Array) -> Array:
    """dy times the derivative."""
    if name == "tanh":
        return dy * (1 - y * y)
    if name == "sigmoid":
        return dy * y * (1 - y)
    if name == "exponential":
        return dy * y
    if name == "silu":
        s = _sigmoid(x)
        return dy * s * (1 + x * (1 - s))
    if name == "mish":
        t, s = np.tanh(np.logaddexp(x, x.dtype.type(0))), _sigmoid(x)
        return dy * (t + x * s * (1 - t * t))
    root, density = x.dtype.type(np.sqrt(0.5)), x.dtype.type(1 / np.sqrt(2 * np.pi))
    return dy * ((1 + error_function(x * root)) / 2 + x * np.exp(-x * x / 2) * density)


def _activation(name: str, size: int, backward: bool, torch: Any) -> Calls:
    from evenflow import kernels

    (x,) = arrays((1, size))
    (dy,) = arrays((1, size))
    y = kernels.activation_forward(name, x)
    if backward:
        calls: Calls = {
            "evenflow": lambda: kernels.activation_backward(name, dy, x, y),
            "numpy": lambda: numpy_slope(name, dy, x, y),
        }
    else:
        calls = {"evenflow": lambda: kernels.activation_forward(name, x), "numpy": lambda: numpy_activation(name, x)}
    if torch:
        tx, ty, td = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(dy)
        functional, slopes = torch.nn.functional, torch.ops.aten
        forward = {
            "tanh": lambda: torch.tanh(tx),
            "sigmoid": lambda: torch.sigmoid(tx),
            "exponential": lambda: torch.exp(tx),
            "gelu": lambda: functional.gelu(tx),
            "silu": lambda: functional.silu(tx),
            "mish": lambda: functional.mish(tx),
        }
        back = {
            "tanh": lambda: slopes.tanh_backward(td, ty),
            "sigmoid": lambda: slopes.sigmoid_backward(td, ty),
            "exponential": lambda: td * ty,
            "gelu": lambda: slopes.gelu_backward(td, tx),
            "silu": lambda: slopes.silu_backward(td, tx),
            "mish": lambda: slopes.mish_backward(td, tx),
        }
        calls["torch"] = (back if backward else forward)[name]
    return calls


def activations() -> Iterator[Case]:
    for name in ACTIVATIONS:
        for backward in (False, True):
            for size in SIZES:
                what = f"{name}, {'backward' if backward else 'forward'}, {size:,}"
                arrays_of = 4 if backward and name in ("gelu", "silu", "mish") else 3 if backward else 2
                moved = float(SIZE * arrays_of * size)
                yield Case("W18", what, partial(_activation, name, size, backward), 0.0, moved, moved, 6 * moved)


def errors(name: str, torch: Any) -> dict[str, float]:
    """The greatest error of an activation in units in the last place of its float64 value, for each; results that
    float32 has no normal number for are left out."""
    from evenflow import kernels

    generator = np.random.default_rng(0)
    x = np.exp2(generator.uniform(SMALLEST, LARGEST, SWEPT)) * generator.choice([-1.0, 1.0], SWEPT)
    x = x.astype(np.float32)[None]
    exact = import_module("evenflow.reference").activation_forward(name, x.astype(np.float64))
    normal = (np.abs(exact) > np.finfo(np.float32).tiny) & (np.abs(exact) < np.finfo(np.float32).max)
    unit = np.spacing(np.abs(exact[normal]).astype(np.float32)).astype(np.float64)
    with np.errstate(over="ignore"):
        found = {"evenflow": kernels.activation_forward(name, x), "numpy": numpy_activation(name, x)}
    if torch:
        tx, functional = torch.from_numpy(x), torch.nn.functional
        function = {"exponential": torch.exp}.get(name) or getattr(functional, name, None) or getattr(torch, name)
        found["torch"] = function(tx).numpy()
    return {who: float(np.max(np.abs(y[normal] - exact[normal]) / unit)) for who, y in found.items()}


def cases(group: str) -> list[Case]:
    made = {"W8": layers, "W17-lists": updates, "W17-large": updates, "W18": activations}[group]
    return [case for case in made() if case.group == group]
