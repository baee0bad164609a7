"""What a workload is, as plain data: a network, its training, and how much data. `catalogue` has those there are.

Each hidden layer is `Dense -> activation`, or `Dense without bias -> BatchNormalization -> activation`, either with
dropout behind it or not; then comes a last `Dense` with bias; all in float32. Everything here is a function of the
workload and a seed, so that separate processes build the same problem.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEARNING_RATE = 1e-3
BETA_1 = 0.9
BETA_2 = 0.999
EPSILON = 1e-7  # of Adam, in Keras' place
ACCUMULATOR = 0.1  # what Adagrad's starts from
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.99  # the fraction kept
SIZE = 4  # bytes of a float32

CROSSENTROPY, SQUARED, BINARY = "sparse_categorical_crossentropy", "mean_squared_error", "binary_crossentropy"
LOSSES = {CROSSENTROPY: "cross-entropy", SQUARED: "squared error", BINARY: "binary cross-entropy"}
# What is timed: a step of training; forward and backward without an update; forward alone, as in inference.
STEP, GRADIENT, FORWARD = "step", "gradient", "forward"


def bytes_kept(slots: int) -> int:
    """Of a parameter: itself, its gradient and the slots."""
    return SIZE * (2 + slots)


def bytes_moved(slots: int) -> int:
    """In an update: all of these are read, and all but the gradient written."""
    return SIZE * (3 + 2 * slots)


ADAM_BYTES = bytes_moved(2)
ADAM_STATE_BYTES = bytes_kept(2)


@dataclass(frozen=True)
class Optimizer:
    """An update rule with its settings, in Keras' form."""

    kind: str = "adam"  # or "sgd", "adagrad"
    learning_rate: float = LEARNING_RATE
    momentum: float = 0.0  # of SGD
    weight_decay: float = 0.0  # decoupled, of all variables
    clip: float | None = None  # limit of the global norm

    @property
    def slots(self) -> int:
        return {"adam": 2, "adagrad": 1, "sgd": int(self.momentum > 0)}[self.kind]

    def spec(self) -> dict[str, Any]:
        """As a program's spec has it."""
        settings: dict[str, dict[str, Any]] = {
            "adam": {"beta_1": BETA_1, "beta_2": BETA_2, "epsilon": EPSILON},
            "sgd": {"momentum": self.momentum, "nesterov": False},
            "adagrad": {"initial_accumulator_value": ACCUMULATOR, "epsilon": EPSILON},
        }
        decay = {"weight_decay": self.weight_decay} if self.weight_decay else {}
        clipping = {"clipvalue": None, "clipnorm": None, "global_clipnorm": self.clip}
        return {"kind": self.kind, **settings[self.kind], **decay, **clipping}

    def __str__(self) -> str:
        name = {"adam": "AdamW" if self.weight_decay else "Adam", "sgd": "SGD", "adagrad": "Adagrad"}[self.kind]
        momentum = f", momentum {self.momentum:g}" if self.momentum else ""
        return f"{name} {self.learning_rate:g}{momentum}" + (f", clip {self.clip:g}" if self.clip else "")


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
    target: Target | None = None
    batch_norm: bool = True
    loss: str = CROSSENTROPY
    optimizer: Optimizer = Optimizer()
    alpha: float = 0.0  # l2 of the kernels as scikit-learn has it: alpha / 2 / batch times their squares
    dropout: float = 0.0  # after each hidden layer
    scale: float = 1.0  # of the inputs' deviation
    part: str = STEP
    ground: str = ""  # who measures it

    def as_data(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Workload:
        """What `as_data` gave, after JSON."""
        target = data["target"] and Target(**data["target"])
        optimizer, hidden = Optimizer(**data["optimizer"]), tuple(data["hidden"])
        return cls(**data | {"target": target, "optimizer": optimizer, "hidden": hidden})

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
        """Trainable parameters: kernels; gammas and betas, or biases; the last bias."""
        return sum(i * o for i, o in self.kernels) + (2 if self.batch_norm else 1) * sum(self.hidden) + self.outputs

    @property
    def l2(self) -> float:
        """Of a kernel's squares, as Keras has it."""
        return self.alpha / 2 / self.batch

    @property
    def flops(self) -> int:
        """Of a step's products: forward, and where there are gradients dW for each layer, dX for all but the first."""
        of_layers = [2 * self.batch * i * o for i, o in self.kernels]
        return sum(of_layers) if self.part == FORWARD else 3 * sum(of_layers) - of_layers[0]

    @property
    def state_bytes(self) -> int:
        """What an update has in cache."""
        return bytes_kept(self.optimizer.slots) * self.parameters

    @property
    def update_bytes(self) -> int:
        """What a step's update moves."""
        return bytes_moved(self.optimizer.slots) * self.parameters if self.part == STEP else 0

    @property
    def data_bytes(self) -> int:
        """Of the data set, which each process has."""
        return SIZE * self.rows * (self.inputs + (2 if self.loss == CROSSENTROPY else self.outputs))

    def floor(self, fma: float, bandwidth: float) -> tuple[float, float]:
        """(multiply-add seconds, update seconds) of one step at the ceilings; their sum is the floor.

        `fma` in FLOP/s, `bandwidth` in bytes/s at a working set of `state_bytes`.
        """
        return self.flops / fma, self.update_bytes / bandwidth

    def __str__(self) -> str:
        hidden = "".join(f"-{units}" for units in self.hidden)
        if len(self.hidden) > 2 and len(set(self.hidden)) == 1:
            hidden = f"-({self.hidden[0]} x {len(self.hidden)})"
        return f"{self.inputs}{hidden}-{self.outputs}, {self.activation}, batch {self.batch}"

    @property
    def training(self) -> str:
        """Everything that the short description leaves out."""
        words = ["batch norm"] if self.batch_norm else []
        words += [f"dropout {self.dropout:g}"] if self.dropout else []
        words += [LOSSES[self.loss]] if self.part != FORWARD else []
        words += [f"l2 {self.alpha:g}"] if self.alpha else []
        words.append({STEP: str(self.optimizer), GRADIENT: "no update", FORWARD: "forward alone"}[self.part])
        return ", ".join(words)


def layer_name(kind: str, index: int) -> str:
    """Keras' automatic names: dense, dense_1, ..."""
    return kind if index == 0 else f"{kind}_{index}"


def dense(workload: Workload, index: int) -> dict[str, Any]:
    """A Dense layer of the spec."""
    last = index == len(workload.hidden)
    return {
        "kind": "dense",
        "name": layer_name("dense", index),
        "units": workload.outputs if last else workload.hidden[index],
        "use_bias": last or not workload.batch_norm,
        "trainable": True,
        **({"regularizers": {"kernel": {"l1": 0.0, "l2": workload.l2}}} if workload.alpha else {}),
    }


def spec(workload: Workload) -> dict[str, Any]:
    """The network as `evenflow._core.Program` takes it: the loss is one of logits."""
    layers: list[dict[str, Any]] = []
    for index in range(len(workload.hidden)):
        layers.append(dense(workload, index))
        if workload.batch_norm:
            layers.append(
                {
                    "kind": "batch_normalization",
                    "name": layer_name("batch_normalization", index),
                    "momentum": BN_MOMENTUM,
                    "epsilon": BN_EPSILON,
                    "center": True,
                    "scale": True,
                    "trainable": True,
                }
            )
        layers.append(
            {
                "kind": "activation",
                "name": layer_name("activation", index),
                "activation": workload.activation,
                "parameters": {"alpha": 1.0} if workload.activation == "elu" else {},
            }
        )
        if workload.dropout:
            layers.append(
                {
                    "kind": "noise",
                    "name": layer_name("dropout", index),
                    "noise": "dropout",
                    "parameters": {"rate": workload.dropout},
                    "seed": index,
                }
            )
    return {
        "inputs": workload.inputs,
        "layers": [*layers, dense(workload, len(workload.hidden))],
        "loss": {"kind": workload.loss, "from_logits": workload.loss != SQUARED},
        "metrics": [],
        "optimizer": workload.optimizer.spec(),
    }


def initial_variables(workload: Workload, seed: int = 0) -> dict[str, Array]:
    """Every variable by its "layer/variable" name, in Keras' order, float32.

    Kernels are He normal. Gammas, betas and biases are off their usual 1 and 0, so that a peer that drops one is found
    out.
    """
    generator = np.random.default_rng([seed, 1])

    def normal(scale: float, shape: tuple[int, ...]) -> Array:
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    variables: dict[str, Array] = {}
    for index, (inputs, units) in enumerate(workload.kernels):
        name, last = layer_name("dense", index), index == len(workload.hidden)
        variables[f"{name}/kernel"] = normal(np.sqrt(2.0 / inputs), (inputs, units))
        if last or not workload.batch_norm:
            variables[f"{name}/bias"] = normal(0.1, (units,))
            continue
        batch_norm = layer_name("batch_normalization", index)
        variables[f"{batch_norm}/gamma"] = 1 + normal(0.1, (units,))
        variables[f"{batch_norm}/beta"] = normal(0.1, (units,))
        variables[f"{batch_norm}/moving_mean"] = np.zeros(units, np.float32)
        variables[f"{batch_norm}/moving_variance"] = np.ones(units, np.float32)
    return variables


def data(workload: Workload, seed: int = 0) -> tuple[Array, Array]:
    """x [rows, inputs] float32 and y: labels [rows] int64 with noise around one centre per class; for binary
    cross-entropy 0 or 1, else noise, [rows, outputs] float32.

    Only elementwise arithmetic: a matrix product would round differently from one BLAS to the next.
    """
    generator = np.random.default_rng([seed, 2])
    if workload.loss == CROSSENTROPY:
        y = generator.integers(0, workload.outputs, workload.rows)
        centres = generator.standard_normal((workload.outputs, workload.inputs), dtype=np.float32)
        x = generator.standard_normal((workload.rows, workload.inputs), dtype=np.float32)
        x += np.float32(0.25) * centres[y]
    else:
        x = generator.standard_normal((workload.rows, workload.inputs), dtype=np.float32)
        y = generator.standard_normal((workload.rows, workload.outputs), dtype=np.float32)
        y = (y > 0).astype(np.float32) if workload.loss == BINARY else y
    if workload.scale != 1:
        x *= np.float32(workload.scale)
    return x, y


def order(workload: Workload, seed: int = 0) -> NDArray[np.int64]:
    """A shuffled order of the rows, [rows] int64; batch `k` is `order[k * batch : (k + 1) * batch]`. Where only the way
    forward is timed the rows are taken as they lie."""
    if workload.part == FORWARD:
        return np.arange(workload.rows)
    return np.random.default_rng([seed, 3]).permutation(workload.rows)
