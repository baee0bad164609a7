"""A whole training step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import activation_backward, activation_forward, softmax
from .arrays import Array, wide
from .layers import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
    dense_backward,
    dense_forward,
    moving_average,
)
from .losses import loss_forward_backward
from .metrics import metric_sums
from .noise import noise_backward, noise_forward, without_noise
from .rules import apply_rule, slots_of
from .updates import clip_by_global_norm, clip_by_norm, clip_by_value

# Losses on probabilities that are computed from the logits below the last activation, so that log(0) never occurs.
FUSED = {
    ("softmax", "categorical_crossentropy"),
    ("softmax", "sparse_categorical_crossentropy"),
    ("sigmoid", "binary_crossentropy"),
}


class Network:
    """A program's training step, one readable operation after the other.

    `spec` is the plain data of a model's `spec()`. `variables` and `gradients` are float64 arrays by "layer/variable",
    `slots` the optimizer's by slot and variable.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.variables: dict[str, Array] = {}
        self.trainable: list[str] = []
        self.gradients: dict[str, Array] = {}
        self.iterations = 0
        features = spec["inputs"]
        for layer in spec["layers"]:
            made: dict[str, Array] = {}
            if layer["kind"] == "dense":
                made = {"kernel": np.zeros((features, layer["units"])), "bias": np.zeros(layer["units"])}
                features = layer["units"]
                if not layer["use_bias"]:
                    del made["bias"]
            elif layer["kind"] == "batch_normalization":
                made |= {"gamma": np.ones(features)} if layer["scale"] else {}
                made |= {"beta": np.zeros(features)} if layer["center"] else {}
            named = {f"{layer['name']}/{name}": value for name, value in made.items()}
            self.variables |= named
            self.trainable += named if layer.get("trainable") else []
            if layer["kind"] == "batch_normalization":
                self.variables[f"{layer['name']}/moving_mean"] = np.zeros(features)
                self.variables[f"{layer['name']}/moving_variance"] = np.ones(features)
        self.slots: dict[str, dict[str, Array]] = {}
        if spec["optimizer"] is not None:
            names, start = slots_of(spec["optimizer"])
            self.slots = {
                slot: {name: np.full_like(self.variables[name], start) for name in self.trainable} for slot in names
            }

    def forward(self, x: ArrayLike, training: bool = True) -> Array:
        """The output; training uses (and averages) batch statistics, except in frozen batch normalizations."""
        h = wide(x)
        self.inputs: list[Array] = []  # of each layer, kept for backward
        self.statistics: dict[str, tuple[Array, Array]] = {}  # of each batch normalization that used the batch's
        for layer in self.spec["layers"]:
            self.inputs.append(h)
            own = self._own(layer["name"])
            if layer["kind"] == "rescaling":
                h = h * layer["scale"] + layer["offset"]
            elif layer["kind"] == "noise":
                if training:
                    h = noise_forward(layer["noise"], h, **self._draw(layer), **layer["parameters"])
                else:
                    h = without_noise(layer["noise"], h, **layer["parameters"])
            elif layer["kind"] == "dense":
                h = dense_forward(h, own["kernel"], own.get("bias"))
            elif layer["kind"] == "batch_normalization":
                gamma, beta = own.get("gamma", np.ones(h.shape[1])), own.get("beta", np.zeros(h.shape[1]))
                moving = own["moving_mean"], own["moving_variance"]
                if training and layer["trainable"]:
                    h, *batch = batch_norm_forward(h, gamma, beta, epsilon=layer["epsilon"])
                    self.statistics[layer["name"]] = (batch[0], batch[1])
                    for old, new in zip(moving, batch, strict=True):
                        old[...] = moving_average(old, new, momentum=layer["momentum"])
                else:
                    h = batch_norm_inference(h, gamma, beta, *moving, epsilon=layer["epsilon"])
            elif layer["activation"] == "softmax":
                h = softmax(h)
            else:
                h = activation_forward(layer["activation"], h, **layer["parameters"])
        self.output = h
        return h

    def backward(self, dy: ArrayLike) -> Array:
        """From the gradient of the last forward's output to that of its input; fills `gradients`."""
        return self._backward(wide(dy), len(self.inputs))

    def _backward(self, dy: Array, layers: int) -> Array:
        found: dict[str, Array] = {}
        outputs = [*self.inputs[1:], self.output]
        for layer, x, y in reversed(list(zip(self.spec["layers"], self.inputs, outputs, strict=True))[:layers]):
            name, own = layer["name"], self._own(layer["name"])
            if layer["kind"] == "rescaling":
                dy = dy * layer["scale"]
            elif layer["kind"] == "noise":
                dy = noise_backward(layer["noise"], dy, y, **self._draw(layer), **layer["parameters"])
            elif layer["kind"] == "dense":
                dy, found[f"{name}/kernel"], found[f"{name}/bias"] = dense_backward(dy, x, own["kernel"])
            elif layer["kind"] == "batch_normalization":
                gamma = own.get("gamma", np.ones(x.shape[1]))
                if name in self.statistics:
                    results = batch_norm_backward(dy, x, gamma, *self.statistics[name], epsilon=layer["epsilon"])
                    dy, found[f"{name}/gamma"], found[f"{name}/beta"] = results
                else:
                    scale = 1 / np.sqrt(own["moving_variance"] + layer["epsilon"])
                    found[f"{name}/gamma"] = (dy * (x - own["moving_mean"]) * scale).sum(axis=0)
                    found[f"{name}/beta"] = dy.sum(axis=0)
                    dy = dy * gamma * scale
            elif layer["activation"] == "softmax":
                dy = y * (dy - (dy * y).sum(axis=1, keepdims=True))
            else:
                dy = activation_backward(layer["activation"], dy, x, y, **layer["parameters"])
        self.gradients = {name: found[name] for name in self.trainable}
        return dy

    def _draw(self, layer: Mapping[str, Any]) -> dict[str, int]:
        """Which random numbers a layer draws in the present step: those of its seed and of its place among its kind."""
        random = [other for other in self.spec["layers"] if other["kind"] == "noise"]
        number = next(i for i, other in enumerate(random) if other is layer)
        return {"seed": layer["seed"], "step": self.iterations, "layer": number}

    def _own(self, layer: str) -> dict[str, Array]:
        """A layer's variables by their short names."""
        return {k.removeprefix(f"{layer}/"): v for k, v in self.variables.items() if k.rpartition("/")[0] == layer}

    def loss(self, target: ArrayLike) -> tuple[Array, Array, int]:
        """Of the last forward: each row's loss, the gradient of their mean, and the number of layers below it."""
        kind, from_logits = self.spec["loss"]["kind"], self.spec["loss"]["from_logits"]
        fused = (self.spec["layers"][-1].get("activation"), kind) in FUSED and not from_logits
        prediction = self.inputs[-1] if fused else self.output
        rows, gradient = loss_forward_backward(kind, prediction, target, from_logits=fused or from_logits)
        return rows, gradient, len(self.inputs) - fused

    def metrics(self, target: ArrayLike) -> list[Array]:
        """Of the last forward: what it adds to the state of each metric."""
        return [metric_sums(metric, self.output, target) for metric in self.spec["metrics"]]

    def update(self, learning_rate: float) -> float:
        """Clip, then apply the optimizer; returns the global norm before clipping."""
        settings = self.spec["optimizer"]
        gradients = list(self.gradients.values())
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
        for g in gradients:
            if settings.get("clipvalue") is not None:
                clip_by_value(g, settings["clipvalue"])
            if settings.get("clipnorm") is not None:
                clip_by_norm(g, settings["clipnorm"])
        if settings.get("global_clipnorm") is not None:
            clip_by_global_norm(gradients, settings["global_clipnorm"])
        self.iterations += 1
        for name, g in self.gradients.items():
            slots = {slot: values[name] for slot, values in self.slots.items()}
            decays = name not in settings.get("undecayed", ())
            apply_rule(settings, self.variables[name], g, slots, self.iterations, learning_rate, decays=decays)
        return norm

    def train_step(self, x: ArrayLike, target: ArrayLike, learning_rate: float) -> tuple[float, list[Array]]:
        """One step; returns the sum of the rows' losses and each metric's state, both from before the update."""
        self.forward(x, training=True)
        rows, dy, layers = self.loss(target)
        self._backward(dy, layers)
        self.update(learning_rate)
        return float(rows.sum()), self.metrics(target)
