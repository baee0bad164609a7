"""Activations: values, slopes, and softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array, find, wide


def elementwise(f: Callable[..., Array]) -> Callable[..., Array]:
    """f on a promoted array. Overflow is no error: e^-x is infinite where sigmoid is 0."""

    @wraps(f)
    def promoted(x: ArrayLike, *parameters: float, **named: float) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(f(wide(x), *parameters, **named))

    return promoted


@elementwise
def normal_density(x: Array) -> Array:
    """exp(-x^2 / 2) / sqrt(2 pi). With h, x in steps of 1/16, h^2 is exact, so x^2 costs the tails no accuracy."""
    x = np.clip(x, -200, 200)  # far beyond underflow
    pi = 4 * np.arctan(np.ones_like(x))
    h = np.rint(16 * x) / 16
    return np.asarray(np.exp(-h * h / 2) * np.exp(-(x - h) * (x + h) / 2) / np.sqrt(2 * pi))


@elementwise
def normal_distribution(x: Array) -> Array:
    """P(X <= x) = (1 + erf(x / sqrt(2))) / 2, to a few units in the last place in both tails.

    |x| <= 1: 1/2 + density(x) (x + x^3/3 + x^5/(3 5) + ...) [Abramowitz and Stegun 26.2.11];
    else the tail density(x) / (|x| + 1/(|x| + 2/(|x| + 3/(...)))) [Laplace; 26.2.14].
    """
    term = inside = np.clip(x, -1, 1)
    total = inside
    for n in range(1, 25):
        term = term * inside * inside / (2 * n + 1)
        total = total + term
    outside = np.maximum(np.abs(x), 1)
    fraction = outside
    for n in range(600, 0, -1):  # enough for |x| = 1
        fraction = outside + n / fraction
    tail = normal_density(outside) / fraction
    return np.where(np.abs(x) <= 1, 0.5 + normal_density(inside) * total, np.where(x > 0, 1 - tail, tail))


SELU_ALPHA = 1.6732632423543772848
SELU_SCALE = 1.0507009873554804934


@elementwise
def linear(x: Array) -> Array:
    """x"""
    return x


@elementwise
def relu(x: Array) -> Array:
    """max(x, 0)"""
    return np.maximum(x, 0)


@elementwise
def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    """x for x > 0, negative_slope x else."""
    return np.where(x > 0, x, negative_slope * x)


@elementwise
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x for x > 0, alpha (e^x - 1) else [Clevert et al. 2015]."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@elementwise
def selu(x: Array) -> Array:
    """1.0507 elu(x, 1.6733): keeps mean 0 and variance 1 [Klambauer et al. 2017]."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


@elementwise
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)"""
    return 1 / (1 + np.exp(-x))


@elementwise
def tanh(x: Array) -> Array:
    """(e^x - e^-x) / (e^x + e^-x)"""
    return np.tanh(x)


@elementwise
def softplus(x: Array) -> Array:
    """log(1 + e^x)"""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@elementwise
def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish."""
    return _gated(x, sigmoid(x))


@elementwise
def mish(x: Array) -> Array:
    """x tanh(softplus(x)) [Misra 2019]."""
    return _gated(x, np.tanh(softplus(x)))


@elementwise
def gelu(x: Array) -> Array:
    """x P(X <= x) for a standard normal X [Hendrycks and Gimpel 2016]."""
    return _gated(x, normal_distribution(x))


@elementwise
def gelu_tanh(x: Array) -> Array:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3); (1 + tanh(u)) / 2 is sigmoid(2u)."""
    return _gated(x, sigmoid(_gelu_tanh_2u(x)[0]))


@elementwise
def gelu_sigmoid(x: Array) -> Array:
    """x sigmoid(1.702 x)"""
    return _gated(x, sigmoid(1.702 * x))


def _gated(x: Array, gate: Array) -> Array:
    """x gate, and its limit 0 at minus infinity."""
    return np.where(np.isneginf(x), 0, x * gate)


def _gelu_tanh_2u(x: Array) -> tuple[Array, Array]:
    """2u of `gelu_tanh`, and its derivative."""
    factor = np.sqrt(2 / np.arctan(np.ones_like(x)))  # 2 sqrt(2 / pi)
    return factor * (x + 0.044715 * x**3), factor * (1 + 3 * 0.044715 * x**2)


def _step(x: Array, left: float, right: float) -> Array:
    """`right` for x > 0, else `left`; NaN stays."""
    return np.where(x > 0, right, np.where(np.isnan(x), x, left))


def _sigmoid_slope(x: Array) -> Array:
    return sigmoid(x) * sigmoid(-x)


def _gated_slope(x: Array, u: Array, du: Array | float) -> Array:
    """Of x sigmoid(u(x))."""
    return sigmoid(u) + x * _sigmoid_slope(u) * du


VALUES: dict[str, Callable[..., Array]] = {
    f.__name__: f
    for f in (linear, relu, leaky_relu, elu, selu, gelu, gelu_tanh, gelu_sigmoid, silu, mish, softplus, sigmoid, tanh)
}
SLOPES: dict[str, Callable[..., Array]] = {  # derivatives; at a kink that of the left side
    "linear": lambda x: np.ones_like(x),
    "relu": lambda x: _step(x, 0, 1),
    "leaky_relu": lambda x, negative_slope=0.2: _step(x, negative_slope, 1),
    "elu": lambda x, alpha=1.0: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    "gelu": lambda x: normal_distribution(x) + x * normal_density(x),
    "gelu_tanh": lambda x: _gated_slope(x, *_gelu_tanh_2u(x)),
    "gelu_sigmoid": lambda x: _gated_slope(x, 1.702 * x, 1.702),
    "silu": lambda x: _gated_slope(x, x, 1.0),
    "mish": lambda x: np.tanh(softplus(x)) + x * 4 * _sigmoid_slope(2 * softplus(x)) * sigmoid(x),
    "softplus": sigmoid,
    "sigmoid": _sigmoid_slope,
    "tanh": lambda x: 4 * _sigmoid_slope(2 * x),  # 1 - tanh^2 without the difference of nearly equal numbers
}


def activation_forward(name: str, x: ArrayLike, **parameters: float) -> Array:
    """y = f(x), element by element."""
    return find(VALUES, name, "activation_forward")(x, **parameters)


def activation_backward(name: str, dy: ArrayLike, x: ArrayLike, y: ArrayLike, **parameters: float) -> Array:
    """dx = dy f'(x). `y` = f(x) is there for kernels whose slope is cheaper from it."""
    slope = elementwise(find(SLOPES, name, "activation_backward"))
    return wide(dy) * slope(np.clip(wide(x), -1e5, 1e5), **parameters)  # where every slope has reached its limit


def softmax(x: ArrayLike) -> Array:
    """e^x / sum(e^x) over each row, shifted by the row's maximum."""
    x = wide(x)
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
