"""Layers: small descriptions that own variables. The native core does all arithmetic; `spec` is what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import activations, errors, initializers
from .activations import Activation as CoreActivation
from .initializers import Auto
from .layer import Layer, Shape
from .registry import Registry, describe
from .variables import Variable


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


def _flat(layer: Layer, input_shape: Shape) -> int:
    if len(input_shape) != 1:
        hint = "Put Flatten() before it."
        raise errors.wrong_shape(layer.label, "input", ("rows", "features"), ("rows", *input_shape), hint)
    return input_shape[0]


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
        _flat(self, input_shape)
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
        return [dense, *_activation_spec(f"{self.name}/activation", self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": describe(self.kernel_initializer),
            "bias_initializer": describe(self.bias_initializer),
        }


class BatchNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, per feature. Ioffe and Szegedy 2015.

    Training uses the batch's mean and (biased) variance and moves `moving_mean` and `moving_variance` towards them:
    moving = momentum * moving + (1 - momentum) * batch. Inference, and a frozen layer, use the moving ones.
    """

    gamma: Variable
    beta: Variable
    moving_mean: Variable
    moving_variance: Variable

    ARGUMENTS = (
        "axis",
        "momentum",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
    )

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        moving_mean_initializer: object = "zeros",
        moving_variance_initializer: object = "ones",
        **options: Any,
    ) -> None:
        where = "BatchNormalization"
        if axis not in (-1, 1, [-1], [1], (-1,), (1,)) or isinstance(axis, bool):
            raise ValueError(
                f"{where}: axis={axis!r}: expected -1, the features of flat rows. Other axes are not supported in this "
                f"version: put Flatten() before the layer, which then keeps one mean and variance for every element"
            )
        self.axis = -1
        self.momentum = errors.number(where, "momentum", momentum, at_least=0.0, at_most=1.0)
        self.epsilon = errors.number(where, "epsilon", epsilon, at_least=0.0)
        self.center = errors.boolean(where, "center", center)
        self.scale = errors.boolean(where, "scale", scale)
        self.beta_initializer = initializers.get_for_vector(beta_initializer, where, "beta_initializer")
        self.gamma_initializer = initializers.get_for_vector(gamma_initializer, where, "gamma_initializer")
        self.moving_mean_initializer = initializers.get_for_vector(
            moving_mean_initializer, where, "moving_mean_initializer"
        )
        self.moving_variance_initializer = initializers.get_for_vector(
            moving_variance_initializer, where, "moving_variance_initializer"
        )
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (_flat(self, input_shape),)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        if self.scale:
            self._add("gamma", input_shape, self.gamma_initializer, dtype)
        if self.center:
            self._add("beta", input_shape, self.beta_initializer, dtype)
        self._add("moving_mean", input_shape, self.moving_mean_initializer, dtype, learned=False)
        self._add("moving_variance", input_shape, self.moving_variance_initializer, dtype, learned=False)

    def spec(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": "batch_normalization",
                "name": self.name,
                "momentum": self.momentum,
                "epsilon": self.epsilon,
                "center": self.center,
                "scale": self.scale,
                "trainable": self.trainable,
            }
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": describe(self.beta_initializer),
            "gamma_initializer": describe(self.gamma_initializer),
            "moving_mean_initializer": describe(self.moving_mean_initializer),
            "moving_variance_initializer": describe(self.moving_variance_initializer),
        }


def _activation_spec(name: str, activation: CoreActivation) -> list[dict[str, Any]]:
    if activation.kind == "linear":
        return []
    return [{"kind": "activation", "name": name, "activation": activation.kind, "parameters": activation.parameters}]


class _ActivationLayer(Layer):
    def as_activation(self) -> CoreActivation:
        """What `Dense(activation=this layer)` computes."""
        raise NotImplementedError

    def followed_by(self, activation: str) -> str:
        own = self.as_activation().kind
        return activation if own == "linear" else own

    def spec(self) -> list[dict[str, Any]]:
        return _activation_spec(self.name, self.as_activation())


class Activation(_ActivationLayer):
    """An activation as a layer of its own: `Activation("elu")`."""

    ARGUMENTS = ("activation",)

    def __init__(self, activation: object, **options: Any) -> None:
        self.activation = activations.resolve(activation, "Activation")
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return self.activation

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(_ActivationLayer):
    """max(x, 0); negative_slope * x below zero; min(max(x, 0), 6) with max_value=6. Other limits, a limit together with
    a slope, and Keras' `threshold` are not supported."""

    ARGUMENTS = ("max_value", "negative_slope", "threshold")

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **options: Any
    ) -> None:
        self.negative_slope = errors.number("ReLU", "negative_slope", negative_slope, at_least=0.0)
        allowed = (None,) if self.negative_slope else (None, 6)
        if max_value not in allowed or isinstance(max_value, bool):
            expected = "None" if self.negative_slope else "None or 6"
            raise errors.wrong_value("ReLU", "max_value", expected, max_value)
        self.max_value = None if max_value is None else float(max_value)
        if errors.number("ReLU", "threshold", threshold) != 0:
            raise errors.wrong_value("ReLU", "threshold", "0", threshold)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        if self.negative_slope:
            return CoreActivation("leaky_relu", {"negative_slope": self.negative_slope})
        return CoreActivation("relu" if self.max_value is None else "relu6", {})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_value": self.max_value, "negative_slope": self.negative_slope}


class LeakyReLU(_ActivationLayer):
    """x where x >= 0, else negative_slope * x; `alpha` is an older name of the slope. The name "leaky_relu" has slope
    0.2."""

    ARGUMENTS = ("negative_slope", "alpha")

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **options: Any) -> None:
        slope = negative_slope if alpha is None else alpha
        self.negative_slope = errors.number(
            "LeakyReLU", "negative_slope" if alpha is None else "alpha", slope, at_least=0.0
        )
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("leaky_relu", {"negative_slope": self.negative_slope})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(_ActivationLayer):
    """x where x >= 0, else alpha * (exp(x) - 1)."""

    ARGUMENTS = ("alpha",)

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        self.alpha = errors.number("ELU", "alpha", alpha)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("elu", {"alpha": self.alpha})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(_ActivationLayer):
    """exp(x) / sum(exp(x)) over a row's units; only as the last layer."""

    ARGUMENTS = ("axis",)

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis not in (-1, 1):
            raise errors.wrong_value("Softmax", "axis", "-1, the units of a row", axis)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("softmax", {})


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
    (InputLayer, Flatten, Dense, BatchNormalization, Activation, ReLU, LeakyReLU, ELU, Softmax, Rescaling),
    aliases={},
    example="Dense(10)",
)
