"""The base classes of the layers that are activations."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import activations
from ..activations import Activation as CoreActivation
from ..initializers import Initializer
from .base import Layer, Shape, flat_features


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
    """Base class of the layers that apply one function to every element, or to every row."""

    def as_activation(self) -> CoreActivation:
        """What `Dense(activation=this layer)` computes."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (flat_features(self, input_shape),) if self.as_activation().kind in activations.OUTPUTS else input_shape

    def followed_by(self, activation: str) -> str:
        own = self.as_activation().kind
        return activation if own == "linear" else own

    def spec(self) -> list[dict[str, Any]]:
        return activation_spec(self.name, self.as_activation())


class LearnedActivation(ActivationLayer):
    """Base class of the activations with a parameter that is trained: one for each unit, or one that all share.

    As `activation=` of another layer it serves as a description: that layer has the parameter as its own.
    """

    kind: ClassVar[str]  # in the core
    initializer: Initializer
    shared: bool

    @property
    def learned(self) -> LearnedActivation | None:
        """The layer itself, unless its parameter is fixed."""
        return self

    def as_activation(self) -> CoreActivation:
        return CoreActivation(self.kind, {})

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape if self.learned is None else (flat_features(self, input_shape),)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        if self.learned is not None:
            parameter, _ = activations.LEARNED[self.kind]
            self._add(parameter, (1,) if self.shared else input_shape, self.initializer, dtype)

    def spec(self) -> list[dict[str, Any]]:
        return super().spec() if self.learned is None else self.spec_within(self, self.name)

    def spec_within(self, layer: Layer, name: str) -> list[dict[str, Any]]:
        """The core's entry as a part of that layer, which may be this one."""
        return [
            {
                "kind": "activation",
                "name": name,
                "activation": self.kind,
                "parameters": {},
                "shared": self.shared,
                "trainable": layer.trainable and self.trainable,
            }
        ]

    def become_part_of(self, layer: Layer, name: str, input_shape: Shape, dtype: str) -> None:
        """Make the parameter a variable of that layer, below this name."""
        self.name = name
        self.build(input_shape, dtype)
        for variable in self.variables:
            variable.learned = self.trainable
            variable.trainable = layer.trainable and self.trainable
        layer.variables += self.variables
