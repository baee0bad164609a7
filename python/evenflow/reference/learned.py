"""Activations with a parameter that is trained: one for each feature, or one [1] for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .activations import elementwise, sigmoid
from .arrays import Array, find, wide

LEARNED = {"prelu": ("alpha", 0.0), "learned_swish": ("beta", 1.0)}  # the parameter's name and first value


@elementwise
def prelu(x: Array, alpha: ArrayLike = 0.0) -> Array:
    """x for x > 0, alpha x else [He et al. 2015]."""
    return np.where(x > 0, x, wide(alpha) * x)


@elementwise
def learned_swish(x: Array, beta: ArrayLike = 1.0) -> Array:
    """x sigmoid(beta x), and its limit 0 where beta x is minus infinity [Ramachandran et al. 2017]."""
    return np.where(np.isneginf(wide(beta) * x), 0, x * sigmoid(wide(beta) * x))


FORWARD = {"prelu": prelu, "learned_swish": learned_swish}


def learned_forward(name: str, x: ArrayLike, parameter: ArrayLike) -> Array:
    """y = f(x), with the features of x in its last axis."""
    return find(FORWARD, name, "learned_forward")(x, parameter)


def learned_backward(name: str, dy: ArrayLike, x: ArrayLike, parameter: ArrayLike) -> tuple[Array, Array]:
    """dx = dy df/dx, and the parameter's gradient: the sum of dy df/dparameter over rows, and over features where the
    parameter is one [1] for all."""
    find(FORWARD, name, "learned_backward")
    dy, x, parameter = wide(dy), wide(x), wide(parameter)
    if name == "prelu":
        slope, in_parameter = np.where(x > 0, 1, parameter), np.minimum(x, 0)
    else:
        s = sigmoid(parameter * x)
        bend = x * s * sigmoid(-parameter * x)
        slope, in_parameter = s + parameter * bend, x * bend
    total = (dy * in_parameter).sum(axis=0)
    return dy * slope, total if parameter.size == total.size else total.sum(keepdims=True)
