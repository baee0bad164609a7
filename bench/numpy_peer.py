"""The workloads in plain NumPy: a peer in float32, and in float64 what the others' first losses are checked against."""

from __future__ import annotations

import numpy as np

from . import workloads
from .problem import Peer
from .workloads import Array, layer_name


class Numpy(Peer):
    """The network as one writes it in NumPy: one expression per formula, a dictionary of arrays."""

    distribution = "numpy"

    def build(self, threads: int, dtype: str = "float32") -> None:
        self.x = self.problem.x.astype(dtype, copy=False)
        self.variables = {name: value.astype(dtype) for name, value in self.problem.variables.items()}
        self.m = {name: np.zeros_like(value) for name, value in self.variables.items() if "/moving_" not in name}
        self.v = {name: np.zeros_like(value) for name, value in self.m.items()}
        self.updates = 0

    def first_losses(self, count: int) -> list[float]:
        return [self.train(step) for step in range(count)]

    def steps(self, first: int, count: int) -> None:
        for step in range(first, first + count):
            self.train(step)

    def train(self, step: int) -> float:
        rows = self.problem.rows(step)
        loss, gradients = self.loss_and_gradients(self.x[rows], self.problem.y[rows])
        self.update(gradients)
        return loss

    def activation(self, z: Array) -> tuple[Array, Array]:
        """Value and slope."""
        if self.workload.activation == "relu":
            return np.maximum(z, 0), (z > 0).astype(z.dtype)
        if self.workload.activation == "elu":
            negative = np.expm1(np.minimum(z, 0))
            return np.where(z > 0, z, negative), np.where(z > 0, 1, negative + 1)
        sigmoid = 1 / (1 + np.exp(-z))
        return z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))

    def batch_norm(self, index: int, z: Array) -> tuple[Array, Array, Array]:
        """gamma * normal + beta, normal, and 1 / standard deviation; moves the moving statistics."""
        name, keep = layer_name("batch_normalization", index), workloads.BN_MOMENTUM
        mean, variance = z.mean(axis=0), z.var(axis=0)
        for moving, value in (("moving_mean", mean), ("moving_variance", variance)):
            self.variables[f"{name}/{moving}"] = keep * self.variables[f"{name}/{moving}"] + (1 - keep) * value
        scale = 1 / np.sqrt(variance + workloads.BN_EPSILON)
        normal = (z - mean) * scale
        return normal * self.variables[f"{name}/gamma"] + self.variables[f"{name}/beta"], normal, scale

    def loss_and_gradients(self, a: Array, y: Array) -> tuple[float, dict[str, Array]]:
        variables, depth, batch = self.variables, len(self.workload.hidden), len(a)
        kept: list[tuple[Array, Array, Array, Array]] = []
        for index in range(depth):
            z = a @ variables[layer_name("dense", index) + "/kernel"]
            y_norm, normal, scale = self.batch_norm(index, z)
            value, slope = self.activation(y_norm)
            kept.append((a, normal, scale, slope))
            a = value
        last = layer_name("dense", depth)
        logits = a @ variables[f"{last}/kernel"] + variables[f"{last}/bias"]
        loss, dz = cross_entropy(logits, y)
        gradients = {f"{last}/kernel": a.T @ dz, f"{last}/bias": dz.sum(axis=0)}
        da = dz @ variables[f"{last}/kernel"].T
        for index in reversed(range(depth)):
            dense, norm = layer_name("dense", index), layer_name("batch_normalization", index)
            a, normal, scale, slope = kept[index]
            dy = da * slope
            dbeta, dgamma = dy.sum(axis=0), (dy * normal).sum(axis=0)
            gradients[f"{norm}/gamma"], gradients[f"{norm}/beta"] = dgamma, dbeta
            dz = variables[f"{norm}/gamma"] * scale * (dy - dbeta / batch - normal * (dgamma / batch))
            gradients[f"{dense}/kernel"] = a.T @ dz
            if index:
                da = dz @ variables[f"{dense}/kernel"].T
        return loss, gradients

    def update(self, gradients: dict[str, Array]) -> None:
        """Adam in Keras' form."""
        self.updates += 1
        beta_1, beta_2 = workloads.BETA_1, workloads.BETA_2
        rate = workloads.LEARNING_RATE * (1 - beta_2**self.updates) ** 0.5 / (1 - beta_1**self.updates)
        for name, gradient in gradients.items():
            m, v = self.m[name], self.v[name]
            m += (1 - beta_1) * (gradient - m)
            v += (1 - beta_2) * (gradient * gradient - v)
            self.variables[name] -= rate * m / (np.sqrt(v) + workloads.EPSILON)


def cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Mean over rows of the softmax cross-entropy, and its gradient with respect to the logits."""
    picked = np.arange(len(labels)), labels
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(sums[:, 0]) - shifted[picked]))
    gradient = exponentials / sums
    gradient[picked] -= 1
    return loss, gradient / len(labels)
