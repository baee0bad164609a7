"""Layers: small descriptions that own variables. The native core does all arithmetic; `spec` is what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import activations, errors, initializers
from .activation_layers import ELU, Activation, LeakyReLU, ReLU, Softmax, activation_spec
from .initializers import Auto
from .layer import Layer, Shape, flat_features
from .noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, RReLU
from .normalization import BatchNormalization
from .registry import Registry, describe
from .variables import Variable

__all__ = [
    "ELU",
    "REGISTRY",
    "Activation",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "RReLU",
    "ReLU",
    "Rescaling",
    "Softmax",
]


class InputLayer(Layer):
    """States the shape of one row."""

    ARGUMENTS = ("shape",)

    def __init__(self, shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> None:
        super().__init__(name=name, input_shape=shape, **unknown)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.expected_shape or ())}


def Input(shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> InputLayer:  # noqa: N802, Keras' name
    """The shape of one row, as the first element of a model: `Input(shape=(28, 28))`."""
    return InputLayer(shape, name=name, **unknown)


class Flatten(Layer):
    """(rows, a, b, ...) -> (rows, a * b * ...)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


class Dense(Layer):
    """activation(x @ kernel + bias); kernel [inputs, units], bias [units].

    `activation`: a name ("elu"), a function of `evenflow.activations`, an activation layer such as LeakyReLU(), or None
    (linear). Kernels start as glorot_uniform, biases as zeros; `kernel_initializer="auto"` chooses by the activation
    that follows. `use_bias=False` goes with a BatchNormalization that follows.
    """

    kernel: Variable
    bias: Variable

    ARGUMENTS = ("units", "activation", "use_bias", "kernel_initializer", "bias_initializer")

    def __init__(
        self,
        units: int,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        **options: Any,
    ) -> None:
        self.units = errors.integer("Dense", "units", units, at_least=1)
        self.activation = activations.resolve(activation, "Dense")
        self.use_bias = errors.boolean("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer, "Dense", "kernel_initializer")
        self.bias_initializer = initializers.get_for_vector(bias_initializer, "Dense", "bias_initializer")
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        flat_features(self, input_shape)
        return (self.units,)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        self._add("kernel", (input_shape[0], self.units), self.kernel_initializer, dtype)
        if self.use_bias:
            self._add("bias", (self.units,), self.bias_initializer, dtype)
        self.followed_by("linear")

    def followed_by(self, activation: str) -> str:
        if self.built and isinstance(self.kernel_initializer, Auto):
            own = self.activation.kind
            self.kernel.initializer = self.kernel_initializer.before(activation if own == "linear" else own)
        return "linear"

    def spec(self) -> list[dict[str, Any]]:
        dense = {
            "kind": "dense",
            "name": self.name,
            "units": self.units,
            "use_bias": self.use_bias,
            "trainable": self.trainable,
        }
        return [dense, *activation_spec(f"{self.name}/activation", self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": describe(self.kernel_initializer),
            "bias_initializer": describe(self.bias_initializer),
        }


class Rescaling(Layer):
    """x * scale + offset, before everything else: `Rescaling(1 / 255)` for images of bytes."""

    ARGUMENTS = ("scale", "offset")

    def __init__(self, scale: float, offset: float = 0.0, **options: Any) -> None:
        self.scale = errors.number("Rescaling", "scale", scale)
        self.offset = errors.number("Rescaling", "offset", offset)
        super().__init__(**options)

    def spec(self) -> list[dict[str, Any]]:
        return [{"kind": "rescaling", "name": self.name, "scale": self.scale, "offset": self.offset}]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


REGISTRY = Registry(
    Layer,
    (
        *(InputLayer, Flatten, Dense, BatchNormalization, Activation, ReLU, LeakyReLU, ELU, Softmax, Rescaling),
        *(Dropout, AlphaDropout, GaussianNoise, GaussianDropout, RReLU),
    ),
    aliases={},
    example="Dense(10)",
)
