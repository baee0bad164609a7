"""Layers: small descriptions that own variables. The native core does all arithmetic; `spec` is what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import constraints, errors, initializers, regularizers
from .activation_layer import activation_spec
from .activation_layers import ELU, Activation, LeakyReLU, ReLU, Softmax
from .initializers import Auto
from .layer import Layer, Shape, flat_features
from .learned_activations import PReLU, Swish, activation_config, read_activation
from .merging import Add, Concatenate, Multiply
from .noise import AlphaDropout, Dropout, GaussianDropout, GaussianNoise, RReLU
from .normalization import BatchNormalization, Normalization
from .registry import Registry, describe
from .row_normalization import LayerNormalization, RMSNormalization
from .transposed import DenseTranspose
from .values import Value
from .variables import Variable

__all__ = [
    "ELU",
    "REGISTRY",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "DenseTranspose",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Multiply",
    "Normalization",
    "PReLU",
    "RMSNormalization",
    "RReLU",
    "ReLU",
    "Rescaling",
    "Scaling",
    "Softmax",
    "Swish",
]


class InputLayer(Layer):
    """States the shape of one row."""

    ARGUMENTS = ("shape",)

    def __init__(self, shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> None:
        if "activity_regularizer" in unknown:
            raise errors.unknown_argument("InputLayer", ["activity_regularizer"], [*self.ARGUMENTS, "name"])
        super().__init__(name=name, input_shape=shape, **unknown)
        self.value = Value(self, (), self.expected_shape or ())
        self.keep_value(self.value)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "shape": list(self.expected_shape or ())}


def Input(shape: Sequence[int] | int, *, name: str | None = None, **unknown: Any) -> Value:  # noqa: N802, Keras' name
    """A value of rows of this shape: the first element of a Sequential, or what layers of a `Model` are called on."""
    return InputLayer(shape, name=name, **unknown).value


class Flatten(Layer):
    """(rows, a, b, ...) -> (rows, a * b * ...)."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)


class Dense(Layer):
    """activation(x @ kernel + bias); kernel [inputs, units], bias [units].

    `activation`: a name ("elu"), a function of `evenflow.activations`, an activation layer such as LeakyReLU(), or None
    (linear); the parameter of PReLU() or Swish(trainable_beta="unit") becomes a variable of this layer. Kernels start
    as glorot_uniform, biases as zeros; `kernel_initializer="auto"` chooses by the activation that follows.
    `use_bias=False` goes with a BatchNormalization that follows. Penalties and limits of the weights are those of
    `evenflow.regularizers` and `evenflow.constraints`; `activity_regularizer` penalizes the outputs.
    """

    kernel: Variable
    bias: Variable

    ARGUMENTS = (
        "units",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "activity_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        units: int,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        **options: Any,
    ) -> None:
        self.units = errors.integer("Dense", "units", units, at_least=1)
        self.activation, self.learned = read_activation(activation, "Dense")
        self.use_bias = errors.boolean("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer, "Dense", "kernel_initializer")
        self.bias_initializer = initializers.get_for_vector(bias_initializer, "Dense", "bias_initializer")
        self.kernel_regularizer = regularizers.get(kernel_regularizer, "Dense", "kernel_regularizer")
        self.bias_regularizer = regularizers.get(bias_regularizer, "Dense", "bias_regularizer")
        self.kernel_constraint = constraints.get(kernel_constraint, "Dense", "kernel_constraint")
        self.bias_constraint = constraints.get(bias_constraint, "Dense", "bias_constraint")
        super().__init__(activity_regularizer=activity_regularizer, **options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        flat_features(self, input_shape)
        return (self.units,)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        self._add("kernel", (input_shape[0], self.units), self.kernel_initializer, dtype)
        if self.use_bias:
            self._add("bias", (self.units,), self.bias_initializer, dtype)
        if self.learned is not None:
            self.learned.become_part_of(self, f"{self.name}/activation", (self.units,), dtype)
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
            **regularizers.spec_of(self, ("kernel", "bias") if self.use_bias else ("kernel",)),
        }
        name = f"{self.name}/activation"
        if self.learned is not None:
            return [dense, *self.learned.spec_within(self, name)]
        return [dense, *activation_spec(name, self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activation_config(self.activation, self.learned),
            "use_bias": self.use_bias,
            "kernel_initializer": describe(self.kernel_initializer),
            "bias_initializer": describe(self.bias_initializer),
            **regularizers.config_of(self, ("kernel", "bias")),
        }


class ActivityRegularization(Layer):
    """The rows as they are, with l1 * sum(|x|) + l2 * sum(x^2) over the batch, divided by its rows, added to the loss:
    for sparse codes."""

    ARGUMENTS = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        self.l1 = errors.number("ActivityRegularization", "l1", l1, at_least=0.0)
        self.l2 = errors.number("ActivityRegularization", "l2", l2, at_least=0.0)
        if "activity_regularizer" in options:
            raise errors.unknown_argument("ActivityRegularization", ["activity_regularizer"], self.ARGUMENTS)
        super().__init__(activity_regularizer=regularizers.L1L2(self.l1, self.l2), **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["activity_regularizer"]
        return {**config, "l1": self.l1, "l2": self.l2}


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


class Scaling(Layer):
    """x * scale, with one trained factor [features] for each feature, from 1 on: a Dense layer of a diagonal kernel.

    In front of a network, with a high learning rate (`learning_rate_factors={"scaling": 6.0}`), it selects features:
    those that do not help are soon scaled down. Holzmueller, Grinsztajn and Steinwart 2024. `scale_regularizer` and
    `scale_constraint` are those of `evenflow.regularizers` and `evenflow.constraints`. Costs no pass of its own.
    """

    scale: Variable

    ARGUMENTS = ("scale_initializer", "scale_regularizer", "scale_constraint")

    def __init__(
        self,
        scale_initializer: object = "ones",
        scale_regularizer: object = None,
        scale_constraint: object = None,
        **options: Any,
    ) -> None:
        self.scale_initializer = initializers.get_for_vector(scale_initializer, "Scaling", "scale_initializer")
        self.scale_regularizer = regularizers.get(scale_regularizer, "Scaling", "scale_regularizer")
        self.scale_constraint = constraints.get(scale_constraint, "Scaling", "scale_constraint")
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (flat_features(self, input_shape),)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        self._add("scale", input_shape, self.scale_initializer, dtype)

    def spec(self) -> list[dict[str, Any]]:
        own = regularizers.spec_of(self, ("scale",))
        return [{"kind": "scaling", "name": self.name, "trainable": self.trainable, **own}]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale_initializer": describe(self.scale_initializer),
            **regularizers.config_of(self, ("scale",)),
        }


REGISTRY = Registry(
    Layer,
    (
        InputLayer,
        Flatten,
        Dense,
        DenseTranspose,
        BatchNormalization,
        Normalization,
        LayerNormalization,
        RMSNormalization,
        Activation,
        ReLU,
        LeakyReLU,
        PReLU,
        ELU,
        Swish,
        Softmax,
        Rescaling,
        Scaling,
        ActivityRegularization,
        *(Add, Multiply, Concatenate),
        *(Dropout, AlphaDropout, GaussianNoise, GaussianDropout, RReLU),
    ),
    aliases={},
    example="Dense(10)",
)
