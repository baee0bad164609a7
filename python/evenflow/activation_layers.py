"""Activations as layers of their own."""

from __future__ import annotations

from typing import Any

from . import activations, errors
from .activations import Activation as CoreActivation
from .layer import Layer


def activation_spec(name: str, activation: CoreActivation) -> list[dict[str, Any]]:
    """The core's entries of an activation: none where it is linear."""
    if activation.kind == "linear":
        return []
    if activation.kind == "rrelu":
        parameters = dict(activation.parameters)
        seed = parameters.pop("seed")
        return [{"kind": "noise", "name": name, "noise": "rrelu", "parameters": parameters, "seed": seed}]
    return [{"kind": "activation", "name": name, "activation": activation.kind, "parameters": activation.parameters}]


class ActivationLayer(Layer):
    """Base class of the layers that apply one function to every element."""

    def as_activation(self) -> CoreActivation:
        """What `Dense(activation=this layer)` computes."""
        raise NotImplementedError

    def followed_by(self, activation: str) -> str:
        own = self.as_activation().kind
        return activation if own == "linear" else own

    def spec(self) -> list[dict[str, Any]]:
        return activation_spec(self.name, self.as_activation())


class Activation(ActivationLayer):
    """An activation as a layer of its own: `Activation("elu")`."""

    ARGUMENTS = ("activation",)

    def __init__(self, activation: object, **options: Any) -> None:
        self.activation = activations.resolve(activation, "Activation")
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return self.activation

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(ActivationLayer):
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


class LeakyReLU(ActivationLayer):
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


class ELU(ActivationLayer):
    """x where x >= 0, else alpha * (exp(x) - 1)."""

    ARGUMENTS = ("alpha",)

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        self.alpha = errors.number("ELU", "alpha", alpha)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("elu", {"alpha": self.alpha})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(ActivationLayer):
    """exp(x) / sum(exp(x)) over a row's units; only as the last layer."""

    ARGUMENTS = ("axis",)

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis not in (-1, 1):
            raise errors.wrong_value("Softmax", "axis", "-1, the units of a row", axis)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("softmax", {})
