"""Optimizer rules and gradient clipping, in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .arrays import Array, wide


def decay(p: Array, rate: float) -> Array:
    """p - rate p: decoupled weight decay, which every rule below does first, with rate = weight_decay learning_rate.

    Loshchilov and Hutter 2019; Keras' form, in which the decay follows the learning rate."""
    return wide(p) - rate * wide(p)


def coupled(p: Array, g: Array, rate: float) -> Array:
    """g + rate p: PyTorch's weight decay, which every rule below sees as its gradient, with rate = coupled_decay."""
    return wide(g) + rate * wide(p)


def sgd_step(
    p: Array,
    g: Array,
    m: Array | None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    dampening: float = 0.0,
    step: int = 1,
    torch: bool = False,
) -> None:
    """p -= learning_rate g; with momentum (Keras' form, the rate inside m): m = momentum m - learning_rate g, and
    p += m, or p += momentum m - learning_rate g with Nesterov's look-ahead.

    torch: the rate outside, as PyTorch: m = momentum m + g, p -= learning_rate m, or p -= learning_rate (momentum m
    + g); from the second step on with (1 - dampening) g in place of g."""
    g = coupled(p, g, coupled_decay)
    start, push = decay(p, weight_decay * learning_rate), -learning_rate * wide(g)
    if m is None:
        p[...] = start + push
        return
    if torch:
        taken = wide(g) if step == 1 else (1 - dampening) * wide(g)
        buffer = momentum * wide(m) + taken
        m[...] = buffer
        p[...] = start - learning_rate * (momentum * buffer + taken if nesterov else buffer)
        return
    velocity = momentum * wide(m) + push
    m[...] = velocity
    p[...] = start + (momentum * velocity + push if nesterov else velocity)


def adam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    v_max: Array | None = None,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None:
    """m = beta_1 m + (1 - beta_1) g, v = beta_2 v + (1 - beta_2) g^2,
    p -= learning_rate sqrt(1 - beta_2^step) / (1 - beta_1^step) m / (sqrt(v) + epsilon); `step` counts from 1.

    With v_max (AMSGrad, Reddi et al. 2018), v_max = max(v_max, v) stands in place of v.
    Kingma and Ba's "epsilon hat" form, as Keras; with `torch`, sqrt(v) + sqrt(1 - beta_2^step) epsilon below, which is
    PyTorch's sqrt(v / (1 - beta_2^step)) + epsilon."""
    g = coupled(p, g, coupled_decay)
    first, second = average(m, g, beta_1), average(v, wide(g) ** 2, beta_2)
    start = decay(p, weight_decay * learning_rate)
    rate = learning_rate * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    m[...], v[...] = first, second
    if v_max is not None:
        second = np.maximum(wide(v_max), second)
        v_max[...] = second
    hat = epsilon * math.sqrt(1 - beta_2**step) if torch else epsilon
    p[...] = start - rate * first / (np.sqrt(second) + hat)


def nadam_step(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    momentum_decay: float = 1.0,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    momentum_product: float | None = None,
) -> None:
    """m and v as Adam's; p -= learning_rate m_hat / (sqrt(v / (1 - beta_2^step)) + epsilon) with Nesterov's look-ahead
    m_hat = mu_next m / (1 - product mu_next) + (1 - mu) g / (1 - product),
    where mu = beta_1 (1 - 0.96^(step momentum_decay) / 2), mu_next is that of the next step, and product that of all
    mu up to this step. Dozat 2016; Keras' momentum_decay is 1, PyTorch's 0.004.

    momentum_product: that of the steps before this one, where they had another beta_1; None: they had this one."""
    g = coupled(p, g, coupled_decay)
    first, second = average(m, g, beta_1), average(v, wide(g) ** 2, beta_2)
    start = decay(p, weight_decay * learning_rate)
    mu = [beta_1 * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(1, step + 2)]
    before = math.prod(mu[:-2]) if momentum_product is None else momentum_product
    product = before * mu[-2]
    look_ahead = mu[-1] * first / (1 - product * mu[-1]) + (1 - mu[-2]) * wide(g) / (1 - product)
    m[...], v[...] = first, second
    p[...] = start - learning_rate * look_ahead / (np.sqrt(second / (1 - beta_2**step)) + epsilon)


def adamax_step(
    p: Array,
    g: Array,
    m: Array,
    u: Array,
    *,
    step: int,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None:
    """m as Adam's, u = max(beta_2 u, |g|), p -= learning_rate / (1 - beta_1^step) m / (u + epsilon).

    Kingma and Ba 2015, section 7: Adam with the infinity norm.
    torch: u = max(beta_2 u, |g| + epsilon), p -= ... m / u, as PyTorch; but a u without any gradient so far stays 0."""
    g = coupled(p, g, coupled_decay)
    inner, outer = (epsilon, 0.0) if torch else (0.0, epsilon)
    first, norm = average(m, g, beta_1), np.maximum(beta_2 * wide(u), np.abs(wide(g)) + inner)
    norm = np.where(wide(u) + np.abs(wide(g)) == 0, 0.0, norm)
    start = decay(p, weight_decay * learning_rate)
    m[...], u[...] = first, norm
    p[...] = start - learning_rate / (1 - beta_1**step) * first / np.maximum(norm + outer, epsilon)


def adagrad_step(
    p: Array,
    g: Array,
    accumulator: Array,
    *,
    learning_rate: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None:
    """accumulator += g^2, p -= learning_rate g / sqrt(accumulator + epsilon). Duchi et al. 2011.

    torch: sqrt(accumulator) + epsilon below, as PyTorch."""
    g = coupled(p, g, coupled_decay)
    total = wide(accumulator) + wide(g) ** 2
    start = decay(p, weight_decay * learning_rate)
    accumulator[...] = total
    p[...] = start - learning_rate * ratio_to_root(g, total, epsilon, torch=torch)


def adadelta_step(
    p: Array,
    g: Array,
    accumulated_grad: Array,
    accumulated_delta_var: Array,
    *,
    learning_rate: float,
    rho: float,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
) -> None:
    """accumulated_grad = rho accumulated_grad + (1 - rho) g^2,
    delta = -sqrt(accumulated_delta_var + epsilon) / sqrt(accumulated_grad + epsilon) g,
    accumulated_delta_var = rho accumulated_delta_var + (1 - rho) delta^2, p += learning_rate delta. Zeiler 2012."""
    g = coupled(p, g, coupled_decay)
    grads, deltas = average(accumulated_grad, wide(g) ** 2, rho), wide(accumulated_delta_var)
    start = decay(p, weight_decay * learning_rate)
    delta = -np.sqrt(deltas + epsilon) / np.sqrt(grads + epsilon) * wide(g)
    accumulated_grad[...], accumulated_delta_var[...] = grads, average(deltas, delta**2, rho)
    p[...] = start + learning_rate * delta


def rmsprop_step(
    p: Array,
    g: Array,
    velocity: Array,
    m: Array | None = None,
    average_gradient: Array | None = None,
    *,
    learning_rate: float,
    rho: float,
    momentum: float = 0.0,
    epsilon: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
    torch: bool = False,
) -> None:
    """velocity = rho velocity + (1 - rho) g^2, p -= learning_rate g / sqrt(velocity + epsilon).

    Centered: average_gradient = rho average_gradient + (1 - rho) g, and velocity - average_gradient^2, which is
    negative by rounding only, stands in place of velocity. With momentum: m = momentum m + learning_rate (the ratio),
    p -= m. Hinton 2012, lecture 6e.

    torch: sqrt(velocity) + epsilon below, m = momentum m + (the ratio), p -= learning_rate m, as PyTorch."""
    g = coupled(p, g, coupled_decay)
    squares = average(velocity, wide(g) ** 2, rho)
    start = decay(p, weight_decay * learning_rate)
    variance = squares
    if average_gradient is not None:
        mean = average(average_gradient, g, rho)
        variance = np.maximum(squares - mean**2, 0)
        average_gradient[...] = mean
    step = (1.0 if torch else learning_rate) * ratio_to_root(g, variance, epsilon, torch=torch)
    if m is not None:
        step = momentum * wide(m) + step
        m[...] = step
    velocity[...] = squares
    p[...] = start - (learning_rate if torch else 1.0) * step


def lion_step(
    p: Array,
    g: Array,
    m: Array,
    *,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    weight_decay: float = 0.0,
    coupled_decay: float = 0.0,
) -> None:
    """p -= learning_rate sign(beta_1 m + (1 - beta_1) g), then m = beta_2 m + (1 - beta_2) g. Chen et al. 2023."""
    g = coupled(p, g, coupled_decay)
    start = decay(p, weight_decay * learning_rate)
    p[...] = start - learning_rate * np.sign(average(m, g, beta_1))
    m[...] = average(m, g, beta_2)


def ratio_to_root(g: Array, squares: Array, epsilon: float, *, torch: bool) -> Array:
    """g / sqrt(squares + epsilon), or PyTorch's g / (sqrt(squares) + epsilon)."""
    return wide(g) / (np.sqrt(squares) + epsilon if torch else np.sqrt(squares + epsilon))


def average(old: Array, new: Array, kept: float) -> Array:
    """kept old + (1 - kept) new: an exponential moving average."""
    return kept * wide(old) + (1 - kept) * wide(new)


def clip_by_value(g: Array, limit: float) -> None:
    """g = min(max(g, -limit), limit), element by element."""
    g[...] = np.clip(wide(g), -limit, limit)


def clip_by_norm(g: Array, limit: float, *, epsilon: float = 0.0) -> float:
    """g *= min(1, limit / (|g| + epsilon)) with the l2 norm |g| of this one variable, which is returned.

    PyTorch's epsilon is 1e-6."""
    return clip_by_global_norm([g], limit, epsilon=epsilon)


def clip_by_global_norm(gs: Sequence[Array], limit: float, *, epsilon: float = 0.0) -> float:
    """The same with the norm of all variables together."""
    norm = math.sqrt(sum(float((wide(g) ** 2).sum()) for g in gs))
    for g in gs:
        g[...] = wide(g) * (limit / np.maximum(norm + epsilon, limit))
    return norm
