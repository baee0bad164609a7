"""Layers that multiply: by given numbers, or by a trained factor for each feature."""

from __future__ import annotations

from typing import Any

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from .base import Layer, Shape, flat_features
from .variables import Variable


class Rescaling(Layer):
    """x * scale + offset: `Rescaling(1 / 255)` for images of bytes. As the first layer it costs no pass of its own."""

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
        self.scale_regularizer = regularizers.get_for_vector(scale_regularizer, "Scaling", "scale_regularizer")
        self.scale_constraint = constraints.get_for_vector(scale_constraint, "Scaling", "scale_constraint")
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
