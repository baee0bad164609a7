"""The eager kernels against NumPy, answers compared first: `pytest bench/test_kernels_benchmark.py --benchmark-only`.

Groups hold one kernel and shape; within a group, the rows are NumPy and each instruction set of this machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from evenflow import _core

pytest.importorskip("pytest_benchmark")

EPSILON = 1e-3
Calls = tuple[Callable[[], Any], Callable[[], Any]]  # evenflow's kernel, and what one writes in NumPy instead


def arrays(*shapes: tuple[int, ...]) -> list[Any]:
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, dtype=np.float32) for shape in shapes]


def dense_forward(rows: int, inputs: int, units: int) -> Calls:
    x, w, b = arrays((rows, inputs), (inputs, units), (units,))
    return lambda: _core.dense_forward(x, w, b), lambda: x @ w + b


def dense_backward(rows: int, inputs: int, units: int) -> Calls:
    dy, x, w = arrays((rows, units), (rows, inputs), (inputs, units))
    return lambda: _core.dense_backward(dy, x, w), lambda: (dy @ w.T, x.T @ dy, dy.sum(axis=0))


def batch_norm_forward(rows: int, features: int) -> Calls:
    x, gamma, beta = arrays((rows, features), (features,), (features,))

    def numpy() -> Any:
        mean, variance = x.mean(axis=0), x.var(axis=0)
        return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta, mean, variance

    return lambda: _core.batch_norm_forward(x, gamma, beta, epsilon=EPSILON), numpy


def batch_norm_backward(rows: int, features: int) -> Calls:
    dy, x, gamma = arrays((rows, features), (rows, features), (features,))
    mean, variance = x.mean(axis=0), x.var(axis=0)

    def numpy() -> Any:
        scale = 1 / np.sqrt(variance + EPSILON)
        normal = (x - mean) * scale
        dbeta, dgamma = dy.sum(axis=0), (dy * normal).sum(axis=0)
        return gamma * scale * (dy - dbeta / rows - normal * (dgamma / rows)), dgamma, dbeta

    return lambda: _core.batch_norm_backward(dy, x, gamma, mean, variance, epsilon=EPSILON), numpy


def elu(rows: int, features: int) -> Calls:
    (x,) = arrays((rows, features))
    return lambda: _core.activation_forward("elu", x), lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def silu(rows: int, features: int) -> Calls:
    (x,) = arrays((rows, features))
    return lambda: _core.activation_forward("silu", x), lambda: x / (1 + np.exp(-x))


def tanh(rows: int, features: int) -> Calls:
    (x,) = arrays((rows, features))
    return lambda: _core.activation_forward("tanh", x), lambda: np.tanh(x)


def softmax(rows: int, features: int) -> Calls:
    (x,) = arrays((rows, features))

    def numpy() -> Any:
        exponentials = np.exp(x - x.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    return lambda: _core.softmax(x), numpy


def adam_step(rows: int, features: int) -> Calls:
    """The first step of both is compared; later ones only take time."""
    settings: dict[str, Any] = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    own, other = (
        [*arrays((rows, features), (rows, features)), *np.zeros((2, rows, features), np.float32)] for _ in "ab"
    )
    own_steps, numpy_steps = itertools.count(1), itertools.count(1)

    def evenflow() -> Any:
        _core.adam_step(*own, step=next(own_steps), **settings)
        return own[0]

    def numpy() -> Any:
        (p, g, m, v), step = other, next(numpy_steps)
        m += (1 - settings["beta_1"]) * (g - m)
        v += (1 - settings["beta_2"]) * (g * g - v)
        rate = settings["learning_rate"] * (1 - settings["beta_2"] ** step) ** 0.5 / (1 - settings["beta_1"] ** step)
        p -= rate * m / (np.sqrt(v) + settings["epsilon"])
        return p

    return evenflow, numpy


CASES = [
    *((kernel, shape) for kernel in (dense_forward, dense_backward) for shape in ((32, 784, 300), (256, 256, 256))),
    *(
        (kernel, (256, 256))
        for kernel in (batch_norm_forward, batch_norm_backward, elu, silu, tanh, softmax, adam_step)
    ),
]


@pytest.fixture(params=["numpy", *_core.isas()])
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.isa()
    if request.param != "numpy":
        _core.use_isa(request.param)
    yield request.param
    _core.use_isa(before)


@pytest.mark.parametrize(("kernel", "shape"), CASES, ids=[f"{k.__name__}-{'x'.join(map(str, s))}" for k, s in CASES])
def test_kernel(kernel: Callable[..., Calls], shape: tuple[int, ...], implementation: str, benchmark: Any) -> None:
    own, numpy = kernel(*shape)
    received, expected = own(), numpy()
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (received, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
    benchmark.group = f"{kernel.__name__} {'x'.join(map(str, shape))}"
    benchmark(numpy if implementation == "numpy" else own)
