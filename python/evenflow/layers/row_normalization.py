"""Layers that normalize each row by itself, so that neither the batch nor a moving average matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from . import axes
from .base import Layer, Shape, flat_features
from .variables import Variable


class _RowNormalization(Layer):
    """What both have: one axis, the features of flat rows, and an epsilon."""

    def _read(self, axis: int | Sequence[int], epsilon: float) -> None:
        where = type(self).__name__
        if axes.read(where, axis) not in ((-1,), (1,)):
            raise errors.wrong_value(
                where, "axis", "-1, the features of flat rows: put Flatten() before the layer", axis
            )
        self.axis = -1
        self.epsilon = errors.number(where, "epsilon", epsilon, at_least=0.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (flat_features(self, input_shape),)


class LayerNormalization(_RowNormalization):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, with mean and (biased) variance of each row. Ba, Kiros and
    Hinton 2016.

    Training and inference compute the same, and the rows of a batch do not see each other: for small batches, and where
    BatchNormalization's two ways of computing get in the way. On a plain network with batches of 32 or more try
    BatchNormalization first, which costs nothing in inference once folded. gamma and beta, one for each feature, are
    left out with `scale=False` and `center=False`, and have Keras' regularizers and constraints; put it before the
    activation or after it.
    """

    gamma: Variable
    beta: Variable

    ARGUMENTS = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: object = "zeros",
        gamma_initializer: object = "ones",
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
        **options: Any,
    ) -> None:
        where = "LayerNormalization"
        self._read(axis, epsilon)
        self.center = errors.boolean(where, "center", center)
        self.scale = errors.boolean(where, "scale", scale)
        self.beta_initializer = initializers.get_for_vector(beta_initializer, where, "beta_initializer")
        self.gamma_initializer = initializers.get_for_vector(gamma_initializer, where, "gamma_initializer")
        self.beta_regularizer = regularizers.get_for_vector(beta_regularizer, where, "beta_regularizer")
        self.gamma_regularizer = regularizers.get_for_vector(gamma_regularizer, where, "gamma_regularizer")
        self.beta_constraint = constraints.get_for_vector(beta_constraint, where, "beta_constraint")
        self.gamma_constraint = constraints.get_for_vector(gamma_constraint, where, "gamma_constraint")
        super().__init__(**options)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        if self.scale:
            self._add("gamma", input_shape, self.gamma_initializer, dtype)
        if self.center:
            self._add("beta", input_shape, self.beta_initializer, dtype)

    def spec(self) -> list[dict[str, Any]]:
        return [
            {
                "kind": "layer_normalization",
                "name": self.name,
                "epsilon": self.epsilon,
                "center": self.center,
                "scale": self.scale,
                "trainable": self.trainable,
                **regularizers.spec_of(self, ["beta"] * self.center + ["gamma"] * self.scale),
            }
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": describe(self.beta_initializer),
            "gamma_initializer": describe(self.gamma_initializer),
            **regularizers.config_of(self, ("beta", "gamma")),
        }


class RMSNormalization(_RowNormalization):
    """scale * x / sqrt(mean(x^2) + epsilon), with the mean over each row. Zhang and Sennrich 2019.

    LayerNormalization without a mean to subtract and without beta: cheaper, and about as good.
    """

    scale: Variable

    ARGUMENTS = ("axis", "epsilon")

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **options: Any) -> None:
        self._read(axis, epsilon)
        super().__init__(**options)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        self._add("scale", input_shape, initializers.get("ones", "RMSNormalization", "scale"), dtype)

    def spec(self) -> list[dict[str, Any]]:
        return [{"kind": "rms_normalization", "name": self.name, "epsilon": self.epsilon, "trainable": self.trainable}]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}
