"""Activations: values and slopes."""

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
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)"""
    return np.clip(x, 0, 6)


@elementwise
def clipped_relu(x: Array, max_value: float = 6.0, negative_slope: float = 0.0, threshold: float = 0.0) -> Array:
    """min(x, max_value) for x > threshold, negative_slope (x - threshold) else; of a max_value of 1e300, no limit."""
    below = np.zeros_like(x) if negative_slope == 0 else negative_slope * (x - threshold)
    above = np.minimum(x, np.inf if max_value >= 1e300 else max_value)
    return np.where(x > threshold, above, np.where(np.isnan(x), x, below))


@elementwise
def threshold(x: Array, threshold: float = 0.0, default_value: float = 0.0) -> Array:
    """x for x > threshold, default_value else."""
    return np.where(x <= threshold, default_value, x)


@elementwise
def celu(x: Array, alpha: float = 1.0) -> Array:
    """x for x > 0, alpha (e^(x / alpha) - 1) else [Barron 2017]."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


@elementwise
def selu(x: Array) -> Array:
    """1.0507 elu(x, 1.6733): keeps mean 0 and variance 1 [Klambauer et al. 2017]."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


@elementwise
def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)"""
    return 1 / (1 + np.exp(-x))


@elementwise
def hard_sigmoid(x: Array) -> Array:
    """min(max(x / 6 + 1/2, 0), 1)"""
    return _ramp(x, 3)


@elementwise
def sparse_sigmoid(x: Array) -> Array:
    """min(max((x + 1) / 2, 0), 1)"""
    return _ramp(x, 1)


@elementwise
def log_sigmoid(x: Array) -> Array:
    """log(sigmoid(x))"""
    return np.negative(softplus(-x))


@elementwise
def tanh(x: Array) -> Array:
    """(e^x - e^-x) / (e^x + e^-x)"""
    return np.tanh(x)


@elementwise
def hard_tanh(x: Array) -> Array:
    """min(max(x, -1), 1)"""
    return np.clip(x, -1, 1)


@elementwise
def tanh_shrink(x: Array) -> Array:
    """x - tanh(x). For |x| < 1/2, where that cancels, as (x cosh(x) - sinh(x)) / cosh(x), whose numerator is the series
    2/3! x^3 + 4/5! x^5 + 6/7! x^7 + ..."""
    small = np.clip(x, -0.5, 0.5)
    term, total = small**3 / 3, np.zeros_like(small)
    for n in range(1, 15):  # 2n / (2n + 1)!
        total = total + term
        term = term * small**2 * (n + 1) / n / ((2 * n + 2) * (2 * n + 3))
    return np.where(np.abs(x) < 0.5, total / np.cosh(small), x - np.tanh(x))


@elementwise
def softsign(x: Array) -> Array:
    """x / (1 + |x|), and its limits at the infinities."""
    return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


@elementwise
def isru(x: Array, alpha: float = 1.0) -> Array:
    """x / sqrt(1 + alpha x^2), and its limits at the infinities."""
    y: Array = np.where(np.isinf(x), np.sign(x) / np.sqrt(alpha), x / np.hypot(1.0, np.sqrt(alpha) * x))
    return y


@elementwise
def exponential(x: Array) -> Array:
    """e^x"""
    return np.exp(x)


@elementwise
def soft_shrink(x: Array, threshold: float = 0.5) -> Array:
    """x less the part of it within [-threshold, threshold] [Donoho 1995]."""
    return np.asarray(x - np.clip(x, -threshold, threshold))


@elementwise
def hard_shrink(x: Array, threshold: float = 0.5) -> Array:
    """0 for |x| <= threshold, x else."""
    return np.where(np.abs(x) <= threshold, 0, x)


@elementwise
def softplus(x: Array) -> Array:
    """log(1 + e^x)"""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@elementwise
def squareplus(x: Array, b: float = 4.0) -> Array:
    """(x + sqrt(x^2 + b)) / 2; for x < 0 as b / 2 / (sqrt(x^2 + b) - x), which does not cancel [Barron 2021]."""
    size = np.abs(x)
    return np.maximum(x, 0) + b / 4 / (size / 2 + np.hypot(x, np.sqrt(b)) / 2)


@elementwise
def sparse_plus(x: Array) -> Array:
    """sparse_sigmoid(x)^2 for x < 1, x else [Blondel et al. 2019]."""
    return np.where(x >= 1, x, _ramp(x, 1) ** 2)


@elementwise
def silu(x: Array) -> Array:
    """x sigmoid(x), also called swish."""
    return _gated(x, sigmoid(x))


@elementwise
def swish(x: Array, beta: float = 1.0) -> Array:
    """x sigmoid(beta x) [Ramachandran et al. 2017]."""
    return _gated(x, sigmoid(beta * x))


@elementwise
def hard_silu(x: Array) -> Array:
    """x hard_sigmoid(x) [Howard et al. 2019]."""
    return _gated(x, _ramp(x, 3))


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


def _ramp(x: Array, half: float) -> Array:
    """0 up to -half, 1 from half on, a line between."""
    return np.clip(x + half, 0, 2 * half) / (2 * half)


def _gated(x: Array, gate: Array) -> Array:
    """x gate, and its limit 0 at minus infinity."""
    return np.where(np.isneginf(x), 0, x * gate)


def _gelu_tanh_2u(x: Array) -> tuple[Array, Array]:
    """2u of `gelu_tanh`, and its derivative."""
    factor = np.sqrt(2 / np.arctan(np.ones_like(x)))  # 2 sqrt(2 / pi)
    return factor * (x + 0.044715 * x**3), factor * (1 + 3 * 0.044715 * x**2)


def _step(x: Array, left: float, right: Array | float) -> Array:
    """`right` for x > 0, else `left`; NaN stays."""
    return np.where(x > 0, right, np.where(np.isnan(x), x, left))


def _within(x: Array, low: float, high: float, slope: float) -> Array:
    """`slope` for low < x < high, else 0; NaN stays."""
    return np.where((x > low) & (x < high), slope, np.where(np.isnan(x), x, 0))


def _sigmoid_slope(x: Array) -> Array:
    return sigmoid(x) * sigmoid(-x)


def _gated_slope(x: Array, u: Array, du: Array | float) -> Array:
    """Of x sigmoid(u(x))."""
    return sigmoid(u) + x * _sigmoid_slope(u) * du


VALUES: dict[str, Callable[..., Array]] = {
    f.__name__: f
    for f in (
        linear,
        relu,
        leaky_relu,
        relu6,
        clipped_relu,
        threshold,
        elu,
        celu,
        selu,
        gelu,
        gelu_tanh,
        gelu_sigmoid,
        silu,
        swish,
        hard_silu,
        mish,
        softplus,
        squareplus,
        sparse_plus,
        sigmoid,
        hard_sigmoid,
        sparse_sigmoid,
        log_sigmoid,
        tanh,
        hard_tanh,
        tanh_shrink,
        softsign,
        isru,
        soft_shrink,
        hard_shrink,
        exponential,
    )
}
SLOPES: dict[str, Callable[..., Array]] = {  # derivatives; at a kink that of the flatter side
    "linear": lambda x: np.ones_like(x),
    "relu": lambda x: _step(x, 0, 1),
    "leaky_relu": lambda x, negative_slope=0.2: _step(x, negative_slope, 1),
    "elu": lambda x, alpha=1.0: np.where(x > 0, 1.0, alpha * np.exp(np.minimum(x, 0))),
    "relu6": lambda x: _within(x, 0, 6, 1),
    "clipped_relu": lambda x, max_value=6.0, negative_slope=0.0, threshold=0.0: _step(
        x - threshold, negative_slope, np.where(x >= max_value, 0, 1)
    ),
    "threshold": lambda x, threshold=0.0, default_value=0.0: _step(x - threshold, 0, 1),
    "celu": lambda x, alpha=1.0: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0) / alpha)),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0))),
    "gelu": lambda x: normal_distribution(x) + x * normal_density(x),
    "gelu_tanh": lambda x: _gated_slope(x, *_gelu_tanh_2u(x)),
    "gelu_sigmoid": lambda x: _gated_slope(x, 1.702 * x, 1.702),
    "silu": lambda x: _gated_slope(x, x, 1.0),
    "swish": lambda x, beta=1.0: _gated_slope(x, beta * x, beta),
    "hard_silu": lambda x: np.where(x >= 3, 1, np.where(x <= -3, 0, x / 3 + 0.5)),
    "mish": lambda x: np.tanh(softplus(x)) + x * 4 * _sigmoid_slope(2 * softplus(x)) * sigmoid(x),
    "softplus": sigmoid,
    "squareplus": lambda x, b=4.0: squareplus(x, b) / np.hypot(x, np.sqrt(b)),
    "sparse_plus": lambda x: _ramp(x, 1),
    "sigmoid": _sigmoid_slope,
    "hard_sigmoid": lambda x: _within(x, -3, 3, 1 / 6),
    "sparse_sigmoid": lambda x: _within(x, -1, 1, 0.5),
    "log_sigmoid": lambda x: sigmoid(-x),
    "tanh": lambda x: 4 * _sigmoid_slope(2 * x),  # 1 - tanh^2 without the difference of nearly equal numbers
    "hard_tanh": lambda x: _within(x, -1, 1, 1),
    "tanh_shrink": lambda x: np.tanh(x) ** 2,
    "softsign": lambda x: 1 / (1 + np.abs(x)) ** 2,
    "isru": lambda x, alpha=1.0: np.hypot(1, np.sqrt(alpha) * x) ** -3,
    "soft_shrink": lambda x, threshold=0.5: _step(np.abs(x) - threshold, 0, 1),
    "hard_shrink": lambda x, threshold=0.5: _step(np.abs(x) - threshold, 0, 1),
    "exponential": lambda x: np.exp(x),
}


def activation_forward(name: str, x: ArrayLike, **parameters: float) -> Array:
    """y = f(x), element by element."""
    return find(VALUES, name, "activation_forward")(x, **parameters)


def activation_backward(name: str, dy: ArrayLike, x: ArrayLike, y: ArrayLike, **parameters: float) -> Array:
    """dx = dy f'(x). `y` = f(x) is there for kernels whose slope is cheaper from it."""
    slope = elementwise(find(SLOPES, name, "activation_backward"))
    return wide(dy) * slope(np.clip(wide(x), -1e9, 1e9), **parameters)  # where every slope has reached its limit
