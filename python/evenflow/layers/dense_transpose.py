"""DenseTranspose: a Dense layer backwards, with the same kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import constraints, errors, initializers, regularizers
from ..common.registry import describe
from .activation_base import activation_spec
from .base import Layer, Shape, flat_features
from .dense import Dense
from .learned import activation_config, read_activation
from .variables import Variable


class DenseTranspose(Layer):
    """activation(x @ transpose(dense.kernel) + bias): the way back through a Dense layer below it, for autoencoders
    with tied weights.

    dense: a Dense layer of the same model, or its name, [features, units]: this layer takes `units` and gives
    `features`. The kernel is one variable, which belongs to `dense` with its penalties and limits, and learns where
    `dense` does; its gradient is the sum of both uses. `trainable` is that of the bias [features], which is the only
    variable here. Other arguments as Dense has them. The kernel is never copied: a step reads it as it lies.
    """

    bias: Variable

    ARGUMENTS = (
        "dense",
        "activation",
        "use_bias",
        "bias_initializer",
        "bias_regularizer",
        "activity_regularizer",
        "bias_constraint",
    )

    def __init__(
        self,
        dense: Dense | str,
        activation: object = None,
        use_bias: bool = True,
        bias_initializer: object = "zeros",
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        bias_constraint: object = None,
        **options: Any,
    ) -> None:
        kind = type(self).__name__
        if not isinstance(dense, (str, Dense)):
            raise errors.wrong_type(kind, "dense", "a Dense layer, or the name of one", dense)
        self._dense: Dense | str = dense
        self._by_name = dense if isinstance(dense, str) else None  # which it stays until it stands in a model
        self.activation, self.learned = read_activation(activation, kind)
        self.use_bias = errors.boolean(kind, "use_bias", use_bias)
        self.bias_initializer = initializers.get_for_vector(bias_initializer, kind, "bias_initializer")
        self.bias_regularizer = regularizers.get_for_vector(bias_regularizer, kind, "bias_regularizer")
        self.bias_constraint = constraints.get_for_vector(bias_constraint, kind, "bias_constraint")
        self.units: int | None = None  # known once it stands in a model
        super().__init__(activity_regularizer=activity_regularizer, **options)

    @property
    def dense(self) -> Dense | str:
        """The layer whose kernel this one transposes; its name before it stands in a model, if it was given so."""
        return self._dense

    @property
    def dense_name(self) -> str:
        """The name of that layer."""
        return self._dense if isinstance(self._dense, str) else self._dense.name

    def look_below(self, below: Iterable[tuple[Layer, Shape]]) -> None:
        bound = self._by_name is None or self.built or self.kept_value is not None
        wanted = self._dense if bound else self._by_name
        for layer, row_shape in below:
            if isinstance(layer, Dense) and wanted in (layer, layer.name):
                self._dense, self.units = layer, row_shape[0]
                return
        raise errors.wrong_value(self.label, "dense", "a Dense layer below it in the same model", self.dense_name)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        features = flat_features(self, input_shape)
        if self.units is None or isinstance(self._dense, str):
            raise ValueError(f"{self.label}: dense: {self.dense_name!r} is not yet a layer of the same model")
        if features != self._dense.units:
            raise errors.wrong_shape(self.label, "input", ("rows", self._dense.units), ("rows", features))
        return (self.units,)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        shape = self.compute_output_shape(input_shape)
        if self.use_bias:
            self._add("bias", shape, self.bias_initializer, dtype)
        if self.learned is not None:
            self.learned.become_part_of(self, f"{self.name}/activation", shape, dtype)

    def followed_by(self, activation: str) -> str:
        return "linear"

    def spec(self) -> list[dict[str, Any]]:
        dense = {
            "kind": "dense",
            "name": self.name,
            "units": self.units,
            "use_bias": self.use_bias,
            "trainable": self.trainable,
            "transposes": self.dense_name,
            **regularizers.spec_of(self, ("bias",) if self.use_bias else ()),
        }
        name = f"{self.name}/activation"
        if self.learned is not None:
            return [dense, *self.learned.spec_within(self, name)]
        return [dense, *activation_spec(name, self.activation)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dense": self.dense_name,
            "activation": activation_config(self.activation, self.learned),
            "use_bias": self.use_bias,
            "bias_initializer": describe(self.bias_initializer),
            **regularizers.config_of(self, ("bias",)),
        }
