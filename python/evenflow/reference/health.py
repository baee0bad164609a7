"""How healthy a network is: what a step leaves of its activations, gradients and updates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .activations import activation_backward
from .arrays import Array
from .learned import LEARNED, learned_backward
from .network import Network
from .outputs import OUTPUTS

FLAT_SLOPE = 0.01  # a unit is saturated where the slope of its activation is smaller


class Health:
    """Counts of the steps of a network, of every `every`-th all of them.

    `values` and `slopes` have the rows of sampled steps by the name of each layer of the spec, `alive` the units that
    were not zero in every row of every step. `gradient`, `update` and `weight` have an l2 norm for each sampled step by
    the layer of the variables: of the gradient before clipping, of what the update changed, of the weights before it.
    """

    def __init__(self, network: Network, every: int = 1) -> None:
        self.network, self.every, self.steps = network, every, 0
        self.values: dict[str, list[Array]] = {}
        self.slopes: dict[str, list[Array]] = {}
        self.alive: dict[str, Array] = {}
        self.gradient: dict[str, list[float]] = {}
        self.update: dict[str, list[float]] = {}
        self.weight: dict[str, list[float]] = {}

    def train_step(
        self, x: ArrayLike, target: ArrayLike, learning_rate: float, weights: ArrayLike | None = None
    ) -> None:
        """A step of the network, counted."""
        network, sampled = self.network, self.steps % self.every == 0
        before = {name: network.variables[name].copy() for name in network.trainable}
        network.train_step(x, target, learning_rate, weights)
        self.steps += 1
        for layer, given, value in zip(network.spec["layers"], network.inputs, network.values, strict=True):
            name = layer["name"]
            self.alive[name] = self.alive.get(name, False) | (value != 0).any(axis=0)
            if sampled:
                self.values.setdefault(name, []).append(value.copy())
                self.slopes.setdefault(name, []).append(self._slope(layer, given, value, before))
        for name in self._layers() if sampled else ():
            own = [path for path in network.trainable if layer_of(path) == name]
            self.gradient.setdefault(name, []).append(_norm([network.gradients[path] for path in own]))
            self.update.setdefault(name, []).append(_norm([network.variables[path] - before[path] for path in own]))
            self.weight.setdefault(name, []).append(_norm([before[path] for path in own]))

    def _layers(self) -> list[str]:
        return list(dict.fromkeys(layer_of(path) for path in self.network.trainable))

    def _slope(self, layer: dict[str, Any], x: Array, y: Array, variables: dict[str, Array]) -> Array:
        """f'(x) of an activation; 1 of everything else."""
        kind, one = layer.get("activation", ""), np.ones_like(y)
        if layer["kind"] != "activation" or kind in OUTPUTS:
            return one
        if kind in LEARNED:
            path = f"{layer.get('shares', layer['name'])}/{LEARNED[kind][0]}"
            return learned_backward(kind, one, x, variables.get(path, self.network.variables[path]))[0]
        return activation_backward(kind, one, x, y, **layer["parameters"])


def layer_of(path: str) -> str:
    """The layer of a variable: "dense" of "dense/kernel" and of "dense/activation/alpha"."""
    return path.rsplit("/", 1)[0].removesuffix("/activation")


def saturation(slopes: Array) -> float:
    """The share of rows and units whose slope is below FLAT_SLOPE in magnitude."""
    return float((np.abs(slopes) < FLAT_SLOPE).mean())


def _norm(arrays: list[Array]) -> float:
    return float(np.sqrt(sum((array**2).sum() for array in arrays)))
