"""A training loop of JAX, an epoch in one jit, written with jax.numpy and with evenflow's fused layer and optimizer.

Both train the same network from the same weights on the same batches, with the same arithmetic up to rounding.
"""

import functools
import itertools
import time

import jax
import numpy as np
from jax import numpy as jnp

import evenflow.jax

UNITS = (54, 256, 256, 256, 7)
MOMENTUM, EPSILON, RATE = 0.99, 1e-3, 1e-3


def data(rows):
    """54 columns and 7 classes, as a table of forests has them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, UNITS[0]), np.float32)
    return jnp.asarray(x), jnp.asarray((x[:, :7] * x[:, 7:14] + x[:, 14:21]).argmax(1))


def variables():
    """Parameters, and the moving mean and variance of each normalization."""
    rng = np.random.default_rng(1)
    layers = []
    for inputs, units in itertools.pairwise(UNITS):
        kernel = rng.standard_normal((inputs, units)) * np.sqrt(2 / inputs)
        layers.append({"kernel": kernel, "gamma": np.ones(units), "beta": np.zeros(units)})
    last = layers.pop()
    layers.append({"kernel": last["kernel"], "bias": last["beta"]})
    moving = [(np.zeros(units), np.ones(units)) for units in UNITS[1:-1]]
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (layers, moving))


# With jax.numpy -------------------------------------------------------------------------------------------------------


def jnp_layer(x, kernel, gamma, beta, moving_mean, moving_variance):
    z = x @ kernel
    mean, variance = z.mean(axis=0), z.var(axis=0)
    y = jax.nn.silu((z - mean) * (gamma * jax.lax.rsqrt(variance + EPSILON)) + beta)
    return y, (MOMENTUM * moving_mean + (1 - MOMENTUM) * mean, MOMENTUM * moving_variance + (1 - MOMENTUM) * variance)


def jnp_dense(x, kernel, bias):
    return x @ kernel + bias


class JnpAdam:
    """Adam as optax has it."""

    def init(self, params):
        return 0, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)

    def apply(self, params, grads, state):
        count, m, v = state
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        a, b = 1 - 0.9**count, 1 - 0.999**count
        params = jax.tree.map(lambda p, m, v: p - RATE * (m / a) / (jnp.sqrt(v / b) + 1e-8), params, m, v)
        return params, (count, m, v)


# With evenflow --------------------------------------------------------------------------------------------------------


def evenflow_layer(x, kernel, gamma, beta, moving_mean, moving_variance):
    return evenflow.jax.fused_dense_bn(
        x, kernel, gamma, beta, moving_mean, moving_variance,
        training=True, activation="silu", momentum=MOMENTUM, epsilon=EPSILON,
    )  # fmt: skip


WAYS = {
    "jax.numpy": (jnp_layer, jnp_dense, JnpAdam()),
    "evenflow.jax": (evenflow_layer, evenflow.jax.fused_dense, evenflow.jax.adam(RATE)),
}

# The loop is the same -------------------------------------------------------------------------------------------------


def epoch_of(layer, dense, optimizer):
    """A jitted function: state and batches to state and losses."""

    def loss_of(params, moving, x, y):
        moved = []
        for own, statistics in zip(params[:-1], moving, strict=True):
            x, now = layer(x, own["kernel"], own["gamma"], own["beta"], *statistics)
            moved.append(now)
        logits = dense(x, params[-1]["kernel"], params[-1]["bias"])
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean(), moved

    def step(state, batch):
        params, moving, slots = state
        (loss, moving), grads = jax.value_and_grad(loss_of, has_aux=True)(params, moving, *batch)
        params, slots = optimizer.apply(params, grads, slots)
        return (params, moving, slots), loss

    return jax.jit(functools.partial(jax.lax.scan, step), donate_argnums=0)


def main(epochs=4, rows=8192, batch=256):
    """Epochs of both in turn: (mean loss of the last epoch, least seconds of one)."""
    x, y = data(rows)
    batches = x.reshape(-1, batch, UNITS[0]), y.reshape(-1, batch)
    epochs_of, states, times, losses = {}, {}, {name: [] for name in WAYS}, {}
    for name, (layer, dense, optimizer) in WAYS.items():
        epochs_of[name] = epoch_of(layer, dense, optimizer)
        params, moving = variables()
        states[name] = jax.tree.map(jnp.asarray, (params, moving, optimizer.init(params)))
    for _ in range(epochs):
        for name, epoch in epochs_of.items():
            begin = time.perf_counter()
            states[name], found = epoch(states[name], batches)
            losses[name] = float(found.mean())
            times[name].append(time.perf_counter() - begin)
    for name in WAYS:  # the first epoch compiles
        us = min(times[name][1:]) / len(batches[0]) * 1e6
        print(f"{name}: loss {losses[name]:.4f}, {us:.0f} us per step at best")
    return {name: (losses[name], min(times[name][1:])) for name in WAYS}


if __name__ == "__main__":
    main()
