"""The five workloads of the speed targets, as plain data.

Each is `Dense(use_bias=False) -> BatchNormalization -> activation` for each hidden layer and a last `Dense` with bias,
trained with Adam on softmax cross-entropy in float32. Everything here is a function of the workload and a seed, so that
separate processes build the same problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEARNING_RATE = 1e-3
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7  # of Adam, in Keras' place
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.99  # the fraction kept
ADAM_BYTES = 28  # read g, m, v, p and write m, v, p in float32
ADAM_STATE_BYTES = 16  # g, m, v, p: what such a pass keeps in cache


@dataclass(frozen=True)
class Target:
    """What a workload must reach: times faster than two peers, and the share of the floor."""

    jax: float
    torch: float
    floor: float


@dataclass(frozen=True)
class Workload:
    """A network, a batch size, and how much data to train it on."""

    name: str
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str
    batch: int
    batches: int  # distinct batches of the data set
    block: int  # steps timed together; a divisor of `batches`
    target: Target

    @property
    def rows(self) -> int:
        return self.batch * self.batches

    @property
    def kernels(self) -> tuple[tuple[int, int], ...]:
        """(inputs, units) of each Dense layer."""
        widths = (self.inputs, *self.hidden, self.outputs)
        return tuple(pairwise(widths))

    @property
    def parameters(self) -> int:
        """Trainable parameters: kernels, gammas and betas, the last bias."""
        return sum(i * o for i, o in self.kernels) + 2 * sum(self.hidden) + self.outputs

    @property
    def flops(self) -> int:
        """Of one training step: forward and dW for each layer, dX for all but the first."""
        return sum((6 if layer else 4) * self.batch * i * o for layer, (i, o) in enumerate(self.kernels))

    def floor(self, fma: float, bandwidth: float) -> tuple[float, float]:
        """(multiply-add seconds, optimizer seconds) of one step at the ceilings; their sum is the floor.

        `fma` in FLOP/s, `bandwidth` in bytes/s at a working set of `ADAM_STATE_BYTES * parameters`.
        """
        return self.flops / fma, ADAM_BYTES * self.parameters / bandwidth

    def __str__(self) -> str:
        hidden = "-".join(str(units) for units in self.hidden)
        if len(self.hidden) > 2 and len(set(self.hidden)) == 1:
            hidden = f"({self.hidden[0]} x {len(self.hidden)})"
        return f"{self.inputs}-{hidden}-{self.outputs}, {self.activation}, batch {self.batch}"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", 8, (64, 64), 4, "relu", 64, 256, 256, Target(3.0, 20.0, 0.40)),
        Workload("geron", 784, (300, 100), 10, "elu", 32, 128, 128, Target(2.9, 5.0, 0.80)),
        Workload("deep", 784, (100,) * 20, 10, "elu", 64, 64, 64, Target(3.5, 9.0, 0.60)),
        Workload("tabular", 54, (256,) * 3, 7, "silu", 256, 32, 32, Target(2.2, 3.3, 0.85)),
        Workload("wide", 1024, (1024,) * 4, 1000, "relu", 512, 20, 5, Target(1.4, 2.4, 0.92)),
    )
}


def layer_name(kind: str, index: int) -> str:
    """Keras' automatic names: dense, dense_1, ..."""
    return kind if index == 0 else f"{kind}_{index}"


def spec(workload: Workload) -> dict[str, Any]:
    """The network as `evenflow._core.Program` takes it: logits out, cross-entropy from logits."""
    layers: list[dict[str, Any]] = []
    for index, units in enumerate(workload.hidden):
        layers += [
            {
                "kind": "dense",
                "name": layer_name("dense", index),
                "units": units,
                "use_bias": False,
                "trainable": True,
            },
            {
                "kind": "batch_normalization",
                "name": layer_name("batch_normalization", index),
                "momentum": BN_MOMENTUM,
                "epsilon": BN_EPSILON,
                "center": True,
                "scale": True,
                "trainable": True,
            },
            {
                "kind": "activation",
                "name": layer_name("activation", index),
                "activation": workload.activation,
                "parameters": {"alpha": 1.0} if workload.activation == "elu" else {},
            },
        ]
    last = {
        "kind": "dense",
        "name": layer_name("dense", len(workload.hidden)),
        "units": workload.outputs,
        "use_bias": True,
        "trainable": True,
    }
    return {
        "inputs": workload.inputs,
        "layers": [*layers, last],
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "metrics": [],
        "optimizer": {
            "kind": "adam",
            "beta_1": BETA_1,
            "beta_2": BETA_2,
            "epsilon": EPSILON,
            "clipvalue": None,
            "clipnorm": None,
            "global_clipnorm": None,
        },
    }


def initial_variables(workload: Workload, seed: int = 0) -> dict[str, Array]:
    """Every variable by its "layer/variable" name, in Keras' order, float32.

    Kernels are He normal. Gammas and betas are off their usual 1 and 0, so that a peer that drops one is found out.
    """
    generator = np.random.default_rng([seed, 1])

    def normal(scale: float, shape: tuple[int, ...]) -> Array:
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    variables: dict[str, Array] = {}
    for index, (inputs, units) in enumerate(workload.kernels):
        variables[f"{layer_name('dense', index)}/kernel"] = normal(np.sqrt(2.0 / inputs), (inputs, units))
        if index == len(workload.hidden):
            variables[f"{layer_name('dense', index)}/bias"] = normal(0.1, (units,))
            break
        batch_norm = layer_name("batch_normalization", index)
        variables[f"{batch_norm}/gamma"] = 1 + normal(0.1, (units,))
        variables[f"{batch_norm}/beta"] = normal(0.1, (units,))
        variables[f"{batch_norm}/moving_mean"] = np.zeros(units, np.float32)
        variables[f"{batch_norm}/moving_variance"] = np.ones(units, np.float32)
    return variables


def data(workload: Workload, seed: int = 0) -> tuple[Array, Array]:
    """x [rows, inputs] float32 and labels [rows] int64: noise around one centre per class.

    Only elementwise arithmetic: a matrix product would round differently from one BLAS to the next.
    """
    generator = np.random.default_rng([seed, 2])
    labels = generator.integers(0, workload.outputs, workload.rows)
    centres = generator.standard_normal((workload.outputs, workload.inputs), dtype=np.float32)
    x = generator.standard_normal((workload.rows, workload.inputs), dtype=np.float32)
    x += np.float32(0.25) * centres[labels]
    return x, labels


def order(workload: Workload, seed: int = 0) -> NDArray[np.int64]:
    """A shuffled order of the rows, [rows] int64; batch `k` is `order[k * batch : (k + 1) * batch]`."""
    return np.random.default_rng([seed, 3]).permutation(workload.rows)
