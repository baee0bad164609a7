"""Dense: what the other layers stand around."""

from __future__ import annotations

from typing import Any

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from ..initializers import Auto
from .activation_base import activation_spec
from .base import Layer, Shape, flat_features
from .learned import activation_config, read_activation
from .variables import Variable


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
        self.bias_regularizer = regularizers.get_for_vector(bias_regularizer, "Dense", "bias_regularizer")
        self.kernel_constraint = constraints.get(kernel_constraint, "Dense", "kernel_constraint")
        self.bias_constraint = constraints.get_for_vector(bias_constraint, "Dense", "bias_constraint")
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
