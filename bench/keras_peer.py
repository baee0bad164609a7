"""Keras, and a model in its words, which are evenflow's too."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from . import workloads
from .jax_peer import Jax
from .problem import Peer, Problem, Variant
from .workloads import CROSSENTROPY, FORWARD, SQUARED, STEP, Workload


def optimizer_of(library: Any, workload: Workload) -> Any:
    settings = workload.optimizer
    common: dict[str, Any] = {"learning_rate": settings.learning_rate}
    common |= {"global_clipnorm": settings.clip} if settings.clip else {}
    common |= {"weight_decay": settings.weight_decay} if settings.weight_decay else {}
    if settings.kind == "adam":
        return library.optimizers.Adam(epsilon=workloads.EPSILON, **common)
    if settings.kind == "adagrad":
        start = workloads.ACCUMULATOR
        return library.optimizers.Adagrad(initial_accumulator_value=start, epsilon=workloads.EPSILON, **common)
    return library.optimizers.SGD(momentum=settings.momentum, **common)


def compiled_model(library: Any, problem: Problem, **options: Any) -> Any:
    """A Sequential of `library`, Keras or evenflow, with the problem's weights."""
    workload, kinds = problem.workload, library.layers
    penalty = {"kernel_regularizer": library.regularizers.L2(workload.l2)} if workload.alpha else {}
    layers: list[Any] = [kinds.Input((workload.inputs,))]
    for units in workload.hidden:
        layers.append(kinds.Dense(units, use_bias=not workload.batch_norm, **penalty))
        if workload.batch_norm:
            layers.append(kinds.BatchNormalization(momentum=workloads.BN_MOMENTUM, epsilon=workloads.BN_EPSILON))
        layers.append(kinds.Activation(workload.activation))
        if workload.dropout:
            layers.append(kinds.Dropout(workload.dropout))
    layers.append(kinds.Dense(workload.outputs, **penalty))
    model = library.Sequential(layers)
    if workload.loss == CROSSENTROPY:
        loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    elif workload.loss == SQUARED:
        loss = library.losses.MeanSquaredError()
    else:
        loss = library.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer_of(library, workload), loss=loss, **options)
    model.set_weights(list(problem.variables.values()))
    return model


class Fitted(Peer):
    """A model with Keras' methods, an epoch in one call."""

    parts = (STEP, FORWARD)
    model: Any

    def block(self) -> int:
        if self.workload.part == FORWARD:
            self.model.predict(self.problem.x, batch_size=self.workload.batch, verbose=0)
        else:
            self.model.fit(self.problem.x, self.problem.y, batch_size=self.workload.batch, verbose=0)
        return self.workload.batches


class Keras(Fitted):
    """Keras 3 on its JAX backend, an epoch of `fit` in one call."""

    distribution = "keras"

    @staticmethod
    def variants(threads: int, quick: bool) -> list[Variant]:
        return [Variant(v.name, v.environment | {"KERAS_BACKEND": "jax"}) for v in Jax.variants(threads, quick=True)]

    def build(self, threads: int) -> None:
        self.model = compiled_model(import_module("keras"), self.problem, jit_compile=True)

    def first_losses(self, count: int) -> list[float]:
        losses = []
        for step in range(count):
            x, y = self.problem.batch(step)
            if self.workload.part == FORWARD:
                losses.append(float(np.sqrt(np.mean(np.square(self.model.predict_on_batch(x), dtype=np.float64)))))
            else:
                self.model.reset_metrics()
                losses.append(float(self.model.train_on_batch(x, y)))
        return losses
