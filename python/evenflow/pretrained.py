"""Pretrained: layers that learned something, and how they came to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import errors
from .layer import Layer
from .layers import Input, InputLayer
from .models import Sequential
from .values import Value


@dataclass
class Pretrained:
    """What the functions of `evenflow.pretraining` return.

    `layers`: those that were given, trained. `model`: the network in which they were. `histories`: the History of each
    training; of a GAN, its losses by epoch.
    """

    layers: list[Layer]
    model: Any
    histories: list[Any]

    def under(self, *top: Layer, freeze: bool = False, dtype: str | None = None) -> Sequential:
        """A model of these layers under a new top, to be compiled and trained.

        The layers are shared: training the model trains them. `freeze` makes them untrainable, which is where to start
        with very few labels; a lower learning rate for them is another way (`learning_rate_factors`).
        """
        freeze = errors.boolean("under", "freeze", freeze)
        given = self.layers[0].input_shape[1:]
        shape = tuple(size for size in given if size is not None)
        model = Sequential([Input(shape), *self.layers, *top], dtype=dtype or _dtype_of(self.layers))
        if freeze:
            for layer in self.layers:
                layer.trainable = False
        return model


def _dtype_of(layers: Iterable[Layer]) -> str:
    return next((layer.variables[0].dtype for layer in layers if layer.variables), "float32")


def read_layers(where: str, layers: object) -> list[Layer]:
    """The `layers=` argument, checked; `Input` in front may be there and is left out."""
    if isinstance(layers, Layer) or not isinstance(layers, Iterable):
        raise errors.wrong_type(where, "layers", "a list of layers", layers)
    listed = list(layers)
    found = [layer.layer if isinstance(layer, Value) else layer for layer in listed]
    for layer in found:
        if not isinstance(layer, Layer):
            raise errors.wrong_type(where, "layers", "layers such as Dense(10)", layer)
    found = [layer for layer in found if not isinstance(layer, InputLayer)]
    if not found:
        raise errors.wrong_kind(where, "layers", "at least one layer", "none")
    return found
