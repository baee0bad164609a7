"""Activations in inference mode as operators of ONNX, by the core's names and with its hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ..activations import UNLIMITED, Activation
from ..layers.activation_base import LearnedActivation
from .graph import Graph, Term

SELU = {"alpha": 1.6732632423543772848, "gamma": 1.0507009873554804934}


def write(graph: Graph, tensor: str, activation: Activation, learned: LearnedActivation | None = None) -> str:
    """The tensor that comes out of an activation; `learned` has the parameter of one that is trained."""
    kind, parameters = activation
    if kind == "linear":
        return tensor
    x = Term(graph, graph.numbers(tensor))
    if learned is not None:
        return LEARNED[kind](x, Term(graph, graph.variable(learned.variables[0]))).tensor
    since, native = NATIVE.get(kind, (0, None))
    if native is not None and graph.dtype == np.float32 and graph.opset >= since:
        return native(x, **parameters).tensor
    return WRITTEN_OUT[kind](x, **parameters).tensor


# Parts of formulas


def _clip(x: Term, low: float, high: float) -> Term:
    return x.of("Clip", low, high)


def _ramp(x: Term, half: float) -> Term:
    """0 up to -half, 1 from half on, a line between."""
    return _clip(x * (0.5 / half) + 0.5, 0.0, 1.0)


def _leaky(x: Term, slope: Term | float) -> Term:
    return (x > 0.0).where(x, x * slope)


def _elu(x: Term, alpha: float, width: float) -> Term:
    """x where x > 0, else alpha (e^(x / width) - 1)"""
    below = x.of("Min", 0.0)
    return (x > 0.0).where(x, ((below if width == 1 else below * (1 / width)).of("Exp") - 1.0) * alpha)


def _softplus(x: Term) -> Term:
    return x.of("Max", 0.0) + ((-x.of("Abs")).of("Exp") + 1.0).of("Log")


def _clipped_relu(x: Term, max_value: float, negative_slope: float, threshold: float) -> Term:
    above = x if max_value >= UNLIMITED else x.of("Min", max_value)
    below = (x - threshold) * negative_slope
    return (x > threshold).where(above, below)


def _gelu(x: Term) -> Term:
    """x (1 + erf(x / sqrt(2))) / 2"""
    graph, inside = x.graph, x * math.sqrt(0.5)
    if graph.dtype == np.float64:  # runtimes have no Erf of it
        narrow = Term(graph, graph.cast(inside.tensor, np.float32)).of("Erf")
        return x * (Term(graph, graph.cast(narrow.tensor, np.float64)) + 1.0) * 0.5
    return x * (inside.of("Erf") + 1.0) * 0.5


def _gelu_tanh(x: Term) -> Term:
    """x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)"""
    return x * ((x * x * 0.044715 + 1.0) * x * math.sqrt(8 / math.pi)).of("Sigmoid")


def _squareplus(x: Term, b: float) -> Term:
    """max(x, 0) + b / 2 / (|x| + sqrt(x^2 + b)), which does not cancel."""
    if b == 0:
        return x.of("Relu")
    return x.of("Max", 0.0) + (b / 2) / (x.of("Abs") + (x * x + b).of("Sqrt"))


def _sparse_plus(x: Term) -> Term:
    """ramp(x)^2 where x < 1, else x"""
    ramp = _ramp(x, 1.0)
    return (x >= 1.0).where(x, ramp * ramp)


def _sparsemax(x: Term) -> Term:
    """max(x - t, 0): with x sorted downwards, the first k that hold 1 + k x_k > x_1 + ... + x_k, and with
    t = (their sum - 1) / k [Martins and Astudillo 2016]."""
    graph = x.graph
    last = graph.constant([-1], np.int64)
    count = graph.node("Gather", graph.node("Shape", x.tensor), last)
    largest = Term(graph, graph.node("TopK", x.tensor, count, axis=-1))
    graph.nodes[-1].output.append(f"{graph.nodes[-1].name}/indices")
    place = Term(graph, graph.node("CumSum", (largest * 0.0 + 1.0).tensor, graph.constant(-1, np.int64)))
    total = Term(graph, graph.node("CumSum", largest.tensor, graph.constant(-1, np.int64)))
    inside = Term(graph, graph.cast((place * largest + 1.0 > total).tensor, graph.dtype))
    k = Term(graph, graph.node("ReduceSum", inside.tensor, last))
    over = Term(graph, graph.node("ReduceSum", (inside * largest).tensor, last)) - 1.0
    return (x - over / k).of("Relu")


# Formulas in elementary operators, which runtimes have for both dtypes
WRITTEN_OUT: Mapping[str, Callable[..., Term]] = {
    "linear": lambda x: x,
    "relu": lambda x: x.of("Relu"),
    "leaky_relu": lambda x, negative_slope: _leaky(x, negative_slope),
    "relu6": lambda x: _clip(x, 0.0, 6.0),
    "clipped_relu": _clipped_relu,
    "threshold": lambda x, threshold, default_value: (x <= threshold).where(default_value, x),
    "rrelu": lambda x, lower, upper, seed: _leaky(x, (lower + upper) / 2),
    "elu": lambda x, alpha: _elu(x, alpha, 1.0),
    "celu": lambda x, alpha: _elu(x, alpha, alpha) if alpha else x.of("Relu"),
    "selu": lambda x: _elu(x, SELU["alpha"], 1.0) * SELU["gamma"],
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_sigmoid": lambda x: x * (x * 1.702).of("Sigmoid"),
    "silu": lambda x: x * x.of("Sigmoid"),
    "swish": lambda x, beta: x * (x * beta).of("Sigmoid"),
    "hard_silu": lambda x: x * _ramp(x, 3.0),
    "mish": lambda x: x * _softplus(x).of("Tanh"),
    "softplus": _softplus,
    "squareplus": _squareplus,
    "sparse_plus": _sparse_plus,
    "sigmoid": lambda x: x.of("Sigmoid"),
    "hard_sigmoid": lambda x: _ramp(x, 3.0),
    "sparse_sigmoid": lambda x: _ramp(x, 1.0),
    "log_sigmoid": lambda x: -_softplus(-x),
    "tanh": lambda x: x.of("Tanh"),
    "hard_tanh": lambda x: _clip(x, -1.0, 1.0),
    "tanh_shrink": lambda x: x - x.of("Tanh"),
    "softsign": lambda x: x / (x.of("Abs") + 1.0),
    "isru": lambda x, alpha: x / (x * x * alpha + 1.0).of("Sqrt"),
    "soft_shrink": lambda x, threshold: x - _clip(x, -threshold, threshold),
    "hard_shrink": lambda x, threshold: (x.of("Abs") <= threshold).where(0.0, x),
    "exponential": lambda x: x.of("Exp"),
    "softmax": lambda x: x.of("Softmax", axis=-1),
    "log_softmax": lambda x: x.of("LogSoftmax", axis=-1),
    "sparsemax": _sparsemax,
}
# Operators for them, with the opset that brought each; their attributes are of float32
NATIVE: Mapping[str, tuple[int, Callable[..., Term]]] = {
    "leaky_relu": (16, lambda x, negative_slope: x.of("LeakyRelu", alpha=negative_slope)),
    "rrelu": (16, lambda x, lower, upper, seed: x.of("LeakyRelu", alpha=(lower + upper) / 2)),
    "elu": (6, lambda x, alpha: x.of("Elu", alpha=alpha)),
    "celu": (12, lambda x, alpha: x.of("Celu", alpha=alpha) if alpha else x.of("Relu")),
    "selu": (6, lambda x: x.of("Selu", **SELU)),
    "gelu": (20, lambda x: x.of("Gelu")),
    "gelu_tanh": (20, lambda x: x.of("Gelu", approximate="tanh")),
    "hard_silu": (14, lambda x: x.of("HardSwish")),
    "mish": (18, lambda x: x.of("Mish")),
    "softplus": (1, lambda x: x.of("Softplus")),
    "hard_sigmoid": (6, lambda x: x.of("HardSigmoid", alpha=1 / 6, beta=0.5)),
    "sparse_sigmoid": (6, lambda x: x.of("HardSigmoid", alpha=0.5, beta=0.5)),
    "log_sigmoid": (1, lambda x: -(-x).of("Softplus")),
    "softsign": (1, lambda x: x.of("Softsign")),
}
LEARNED: Mapping[str, Callable[[Term, Term], Term]] = {
    "prelu": lambda x, alpha: x.of("PRelu", alpha) if x.graph.dtype == np.float32 else _leaky(x, alpha),
    "learned_swish": lambda x, beta: x * (x * beta).of("Sigmoid"),
}
