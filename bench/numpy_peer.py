"""The workloads in plain NumPy: a peer in float32, and in float64 what the others' first losses are checked against."""

from __future__ import annotations

import math

import numpy as np

from . import workloads
from .problem import Peer, Variant, thread_environment
from .workloads import BINARY, CROSSENTROPY, FORWARD, STEP, Array, layer_name

# OpenBLAS chooses its kernels by processor, not always the fastest.
CORE_TYPES = {"avx512": "SkylakeX", "avx2": "Haswell"}


class Numpy(Peer):
    """The network as one writes it in NumPy: one expression per formula, a dictionary of arrays."""

    distribution = "numpy"

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        """By threads of the BLAS, and with all of them by the kernels that OpenBLAS may be told to use."""
        counts = {1, threads} if quick else {1, max(1, threads // 2), threads}
        variants = [Variant(f"{n} thr.", thread_environment(n)) for n in sorted(counts)]
        if not quick:
            from evenflow import _core

            for kind in (CORE_TYPES[isa] for isa in _core.isas() if isa in CORE_TYPES):
                environment = thread_environment(threads) | {"OPENBLAS_CORETYPE": kind}
                variants.append(Variant(f"{threads} thr., OpenBLAS {kind}", environment))
        return variants

    def build(self, threads: int, dtype: str = "float32") -> None:
        self.dtype = dtype
        self.variables = {name: value.astype(dtype) for name, value in self.problem.variables.items()}
        self.trained = [name for name in self.variables if "/moving_" not in name]
        start = workloads.ACCUMULATOR if self.workload.optimizer.kind == "adagrad" else 0.0
        self.slots = [
            {name: np.full_like(self.variables[name], start) for name in self.trained}
            for _ in range(self.workload.optimizer.slots)
        ]
        self.updates = 0
        self.generator = np.random.default_rng(0)

    def first_losses(self, count: int) -> list[float]:
        found: list[float] = []
        for step in range(count):
            x, y = self.batch(step)
            if self.workload.part == FORWARD:
                found.append(float(np.sqrt(np.mean(self.outputs(x) ** 2))))
                continue
            loss, gradients = self.loss_and_gradients(x, y)
            found.append(loss + self.penalty())
            if self.workload.part == STEP:
                self.update(gradients)
            else:
                found.append(math.sqrt(sum(float(np.sum(g * g)) for g in gradients.values())))
        return found

    def batch(self, step: int) -> tuple[Array, Array]:
        x, y = self.problem.batch(step)
        return x.astype(self.dtype, copy=False), y if y.dtype.kind == "i" else y.astype(self.dtype, copy=False)

    def steps(self, first: int, count: int) -> None:
        for step in range(first, first + count):
            x, y = self.batch(step)
            if self.workload.part == FORWARD:
                self.outputs(x)
                continue
            _, gradients = self.loss_and_gradients(x, y)
            if self.workload.part == STEP:
                self.update(gradients)

    def activation(self, z: Array) -> tuple[Array, Array]:
        """Value and slope."""
        name = self.workload.activation
        if name == "relu":
            return np.maximum(z, 0), (z > 0).astype(z.dtype)
        if name == "linear":
            return z, np.ones_like(z)
        if name == "tanh":
            y = np.tanh(z)
            return y, 1 - y * y
        if name == "elu":
            negative = np.expm1(np.minimum(z, 0))
            return np.where(z > 0, z, negative), np.where(z > 0, 1, negative + 1)
        if name == "silu":
            sigmoid = 1 / (1 + np.exp(-z))
            return z * sigmoid, sigmoid * (1 + z * (1 - sigmoid))
        if name == "mish":
            tanh, sigmoid = np.tanh(np.logaddexp(z, 0)), 1 / (1 + np.exp(-z))
            return z * tanh, tanh + z * sigmoid * (1 - tanh * tanh)
        assert name == "gelu", name
        below = (1 + error_function(z / math.sqrt(2))) / 2
        return z * below, below + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    def batch_norm(self, index: int, z: Array) -> tuple[Array, Array, Array]:
        """gamma * normal + beta, normal, and 1 / standard deviation; moves the moving statistics."""
        name, keep = layer_name("batch_normalization", index), workloads.BN_MOMENTUM
        mean, variance = z.mean(axis=0), z.var(axis=0)
        for moving, value in (("moving_mean", mean), ("moving_variance", variance)):
            self.variables[f"{name}/{moving}"] = keep * self.variables[f"{name}/{moving}"] + (1 - keep) * value
        scale = 1 / np.sqrt(variance + workloads.BN_EPSILON)
        normal = (z - mean) * scale
        return normal * self.variables[f"{name}/gamma"] + self.variables[f"{name}/beta"], normal, scale

    def outputs(self, a: Array) -> Array:
        """Forward alone, of a network without batch normalization: no slopes, nothing is kept."""
        for index in range(len(self.workload.hidden)):
            name = layer_name("dense", index)
            a = a @ self.variables[f"{name}/kernel"] + self.variables[f"{name}/bias"]
            a = np.maximum(a, 0) if self.workload.activation == "relu" else self.activation(a)[0]
        last = layer_name("dense", len(self.workload.hidden))
        return a @ self.variables[f"{last}/kernel"] + self.variables[f"{last}/bias"]

    def loss_and_gradients(self, a: Array, y: Array) -> tuple[float, dict[str, Array]]:
        variables, depth, batch, rate = self.variables, len(self.workload.hidden), len(a), self.workload.dropout
        kept: list[tuple[Array, Array, Array, Array]] = []
        for index in range(depth):
            name = layer_name("dense", index)
            z, normal, scale = a @ variables[f"{name}/kernel"], a, a
            if self.workload.batch_norm:
                z, normal, scale = self.batch_norm(index, z)
            else:
                z += variables[f"{name}/bias"]
            value, slope = self.activation(z)
            if rate:
                mask = (self.generator.random(z.shape, dtype=np.float32) >= rate).astype(z.dtype) / z.dtype.type(
                    1 - rate
                )
                value, slope = value * mask, slope * mask
            kept.append((a, normal, scale, slope))
            a = value
        last = layer_name("dense", depth)
        logits = a @ variables[f"{last}/kernel"] + variables[f"{last}/bias"]
        loss, dz = loss_of(self.workload.loss, logits, y)
        gradients = {f"{last}/kernel": a.T @ dz, f"{last}/bias": dz.sum(axis=0)}
        da = dz @ variables[f"{last}/kernel"].T if depth else dz
        for index in reversed(range(depth)):
            dense, norm = layer_name("dense", index), layer_name("batch_normalization", index)
            a, normal, scale, slope = kept[index]
            dz = da * slope
            if self.workload.batch_norm:
                dbeta, dgamma = dz.sum(axis=0), (dz * normal).sum(axis=0)
                gradients[f"{norm}/gamma"], gradients[f"{norm}/beta"] = dgamma, dbeta
                dz = variables[f"{norm}/gamma"] * scale * (dz - dbeta / batch - normal * (dgamma / batch))
            else:
                gradients[f"{dense}/bias"] = dz.sum(axis=0)
            gradients[f"{dense}/kernel"] = a.T @ dz
            if index:
                da = dz @ variables[f"{dense}/kernel"].T
        if self.workload.alpha:
            for name, gradient in gradients.items():
                if name.endswith("/kernel"):
                    gradient += 2 * self.workload.l2 * variables[name]
        return loss, gradients

    def penalty(self) -> float:
        """What l2 adds to the loss."""
        kernels = (value for name, value in self.variables.items() if name.endswith("/kernel"))
        return self.workload.l2 * sum(float(np.sum(w * w)) for w in kernels) if self.workload.alpha else 0.0

    def update(self, gradients: dict[str, Array]) -> None:
        """The optimizer's step in Keras' form."""
        self.updates += 1
        optimizer, beta_1, beta_2 = self.workload.optimizer, workloads.BETA_1, workloads.BETA_2
        if optimizer.clip:
            norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients.values()))
            if norm > optimizer.clip:
                gradients = {name: gradient * (optimizer.clip / norm) for name, gradient in gradients.items()}
        rate = optimizer.learning_rate
        for name, gradient in gradients.items():
            p = self.variables[name]
            if optimizer.weight_decay:
                p -= rate * optimizer.weight_decay * p
            if optimizer.kind == "adam":
                m, v = self.slots[0][name], self.slots[1][name]
                m += (1 - beta_1) * (gradient - m)
                v += (1 - beta_2) * (gradient * gradient - v)
                step = rate * (1 - beta_2**self.updates) ** 0.5 / (1 - beta_1**self.updates)
                p -= step * m / (np.sqrt(v) + workloads.EPSILON)
            elif optimizer.kind == "adagrad":
                accumulator = self.slots[0][name]
                accumulator += gradient * gradient
                p -= rate * gradient / np.sqrt(accumulator + workloads.EPSILON)
            elif optimizer.momentum:
                m = self.slots[0][name]
                m *= optimizer.momentum
                m -= rate * gradient
                p += m
            else:
                p -= rate * gradient


def error_function(x: Array) -> Array:
    """erf, which NumPy lacks: of SciPy where it is installed, else Abramowitz and Stegun 7.1.26, good to 1.5e-7."""
    try:
        from scipy.special import erf  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError:
        t = 1 / (1 + 0.3275911 * np.abs(x))
        series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        return np.copysign(1 - series * np.exp(-x * x), x)
    found: Array = erf(x)
    return found


def loss_of(kind: str, outputs: Array, y: Array) -> tuple[float, Array]:
    """Mean loss over rows, and its gradient with respect to the outputs, which are logits of cross-entropies."""
    if kind == CROSSENTROPY:
        return cross_entropy(outputs, y)
    if kind == BINARY:
        loss = np.maximum(outputs, 0) - outputs * y + np.log1p(np.exp(-np.abs(outputs)))
        return float(np.mean(loss)), (1 / (1 + np.exp(-outputs)) - y) / outputs.size
    difference = outputs - y
    return float(np.mean(difference * difference)), difference * (2 / outputs.size)


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
