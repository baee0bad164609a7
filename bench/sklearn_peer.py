"""scikit-learn's MLPClassifier and MLPRegressor, `partial_fit` on a block of batches."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .numpy_peer import cross_entropy, loss_of
from .problem import Peer
from .workloads import BINARY, CROSSENTROPY, FORWARD, SQUARED, STEP, Array, Workload

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "linear": "identity"}


class Sklearn(Peer):
    """What it lacks is left out, and said in the note; what has no like at all it cannot do."""

    distribution = "scikit-learn"
    drops = False
    parts = (STEP, FORWARD)

    @classmethod
    def unable(cls, workload: Workload) -> str:
        return super().unable(workload) or ("it has no Adagrad" if workload.optimizer.kind == "adagrad" else "")

    @classmethod
    def note(cls, workload: Workload) -> str:
        words = ["no batch normalization"] if workload.batch_norm else []
        words += [] if workload.activation in ACTIVATIONS else ["ReLU"]
        words += ["a bias in each layer"] if workload.batch_norm else []
        words += ["no dropout"] if workload.dropout else []
        words += ["no decoupled decay"] if workload.optimizer.weight_decay else []
        words += ["no clipping"] if workload.optimizer.clip else []
        words += ["half the squared error"] if workload.loss == SQUARED and workload.part == STEP else []
        words += ["one logistic output for two classes"] if cls.two_classes(workload) else []
        return ", ".join(words)

    @staticmethod
    def two_classes(workload: Workload) -> bool:
        return workload.loss == CROSSENTROPY and workload.outputs == 2

    def build(self, threads: int) -> None:
        network = import_module("sklearn.neural_network")
        workload, variables, depth = self.workload, self.problem.variables, len(self.workload.hidden)
        optimizer = workload.optimizer
        names = [workloads.layer_name("dense", index) for index in range(depth + 1)]
        self.kernels = [variables[f"{name}/kernel"] for name in names]
        self.biases = [variables.get(f"{name}/bias", np.zeros(1, np.float32)) for name in names]
        if self.two_classes(workload):
            for values in (self.kernels, self.biases):
                values[-1] = values[-1][..., 1:] - values[-1][..., :1]
        kind = network.MLPRegressor if workload.loss == SQUARED else network.MLPClassifier
        settings: dict[str, Any] = {"solver": "adam", "beta_1": workloads.BETA_1, "beta_2": workloads.BETA_2}
        settings |= {"epsilon": workloads.EPSILON}
        if optimizer.kind == "sgd":
            settings = {"solver": "sgd", "momentum": optimizer.momentum, "nesterovs_momentum": False}
        self.model = kind(
            hidden_layer_sizes=workload.hidden,
            activation=ACTIVATIONS.get(workload.activation, "relu"),
            alpha=workload.alpha,
            batch_size=workload.batch,
            learning_rate_init=self.rate(workload),
            shuffle=False,
            **settings,
        )
        # The first call makes the coefficients; from then on they are ours.
        x, y = self.problem.batch(0)
        self.fit = self.model.partial_fit
        if workload.loss == SQUARED:
            self.fit(x, self.targets(y))
        else:
            self.fit(x, self.targets(y), classes=np.arange(max(2, workload.outputs)))
        for index, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            self.model.coefs_[index][...] = kernel
            self.model.intercepts_[index][...] = bias

    @staticmethod
    def rate(workload: Workload) -> float:
        """Its squared error is half the sum over the outputs, and SGD's steps grow with that."""
        scaled = workload.loss == SQUARED and workload.optimizer.kind == "sgd"
        return workload.optimizer.learning_rate * (2 / workload.outputs if scaled else 1)

    def targets(self, y: Array) -> Array:
        return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y

    def first_losses(self, count: int) -> list[float]:
        """Of the first batch only: the optimizer has a step behind it."""
        if self.workload.part == FORWARD:
            outputs = self.model.predict(self.problem.batch(0)[0])
            return [float(np.sqrt(np.mean(np.square(outputs, dtype=np.float64))))]
        self.steps(0, 1)
        return [float(self.model.loss_)]

    def expected_losses(self) -> list[float]:
        x, y = self.problem.batch(0)
        a = x.astype(np.float64)
        forward: Any = {"tanh": np.tanh, "linear": lambda z: z}.get(
            self.workload.activation, lambda z: np.maximum(z, 0)
        )
        for kernel, bias in zip(self.kernels[:-1], self.biases[:-1], strict=True):
            a = forward(a @ kernel + bias)
        a = a @ self.kernels[-1] + self.biases[-1]
        if self.workload.part == FORWARD:
            return [float(np.sqrt(np.mean(a * a)))]
        if self.two_classes(self.workload):
            loss = loss_of(BINARY, a, y[:, None])[0]
        elif self.workload.loss == CROSSENTROPY:
            loss = cross_entropy(a, y)[0]
        else:
            loss = loss_of(self.workload.loss, a, y)[0] / (2 if self.workload.loss == SQUARED else 1)
        return [loss + self.workload.l2 * sum(float(np.sum(np.square(k, dtype=np.float64))) for k in self.kernels)]

    def steps(self, first: int, count: int) -> None:
        """One call that makes batches of its rows: on `tiny` a fifth of the time of a call for each batch."""
        batch = self.workload.batch
        if self.workload.part == FORWARD:
            for step in range(first, first + count):
                self.model.predict(self.problem.x[step * batch : (step + 1) * batch])
            return
        rows = self.problem.rows(first, count)
        self.fit(self.problem.x[rows], self.targets(self.problem.y[rows]))
