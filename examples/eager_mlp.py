"""A trainer of sixty lines made of eager kernels: two hidden layers with batch normalization, ELU, Adam.

Each kernel is NumPy in, NumPy out. The weights equal those of the compiled program bit for bit, which is the test of
this example: what is inside `fit` is nothing but these calls.
"""

from itertools import pairwise

import numpy as np

from evenflow import kernels

EPSILON, MOMENTUM = 1e-3, 0.99
ADAM = {"learning_rate": 1e-2, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}


def initial(rng, sizes):
    """For each layer its kernel, and gamma and beta, or a bias for the last."""
    layers = []
    for inputs, units in pairwise(sizes):
        w = rng.uniform(-1, 1, (inputs, units)) * np.sqrt(6 / (inputs + units))
        layers.append([w.astype(np.float32), np.ones(units, np.float32), np.zeros(units, np.float32)])
    layers[-1].pop(1)
    return layers


def train(x, labels, layers, batch=32, epochs=10):
    """Updates the layers in place; returns moving statistics and the mean loss of each epoch."""
    *hidden, (w_out, b_out) = layers
    variables = [v for layer in layers for v in layer]
    m, v = ([np.zeros_like(p) for p in variables] for _ in range(2))
    moving = [[np.zeros_like(beta), np.ones_like(beta)] for _, _, beta in hidden]
    losses, step = [], 0
    for _ in range(epochs):
        total = 0.0
        for first in range(0, len(x), batch):
            a, target = x[first : first + batch], labels[first : first + batch]
            kept = []
            for (w, gamma, beta), statistics in zip(hidden, moving, strict=True):
                y, z, *now = kernels.dense_bn_act_forward(a, w, None, gamma, beta, activation="elu", epsilon=EPSILON)
                kept.append((a, z, *now))
                for average, value in zip(statistics, now, strict=True):
                    kernels.moving_average(average, value, momentum=MOMENTUM, out=average)
                a = y
            logits = kernels.dense_forward(a, w_out, b_out)
            rows, da = kernels.softmax_crossentropy(logits, target)
            total += float(rows.sum())
            da, dw, db = kernels.dense_backward(da, a, w_out)
            gradients = [dw, db]
            for (w, gamma, beta), (below, z, mean, variance) in zip(hidden[::-1], kept[::-1], strict=True):
                da, dw, _, dgamma, dbeta = kernels.dense_bn_act_backward(
                    da, below, w, z, gamma, beta, mean, variance, activation="elu", epsilon=EPSILON
                )
                gradients = [dw, dgamma, dbeta, *gradients]
            step += 1
            kernels.adam_step(variables, gradients, m, v, step=step, **ADAM)
        losses.append(total / len(x))
    return moving, losses


def main():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 20), dtype=np.float32)
    labels = np.digitize(x[:, 0] * x[:, 1] + x[:, 2], [-0.7, 0.7])
    _, losses = train(x, labels, initial(rng, (20, 64, 64, 3)))
    print("mean loss by epoch: " + ", ".join(f"{loss:.3f}" for loss in losses))
    return losses


if __name__ == "__main__":
    main()
