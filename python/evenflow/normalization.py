"""Layers that normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import constraints, errors, initializers, regularizers
from .layer import Layer, Shape, flat_features
from .registry import describe
from .variables import Variable


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
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
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
        beta_regularizer: object = None,
        gamma_regularizer: object = None,
        beta_constraint: object = None,
        gamma_constraint: object = None,
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
        self.beta_regularizer = regularizers.get(beta_regularizer, where, "beta_regularizer")
        self.gamma_regularizer = regularizers.get(gamma_regularizer, where, "gamma_regularizer")
        self.beta_constraint = constraints.get(beta_constraint, where, "beta_constraint")
        self.gamma_constraint = constraints.get(gamma_constraint, where, "gamma_constraint")
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (flat_features(self, input_shape),)

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
                **regularizers.spec_of(self, ["beta"] * self.center + ["gamma"] * self.scale),
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
            **regularizers.config_of(self, ("beta", "gamma")),
        }
