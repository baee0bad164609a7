"""Sequential: a stack of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .. import errors
from ..common import keywords, naming
from ..common.registry import describe
from ..common.seeds import own_seed
from ..data import frames
from ..data.arrays import Inputs
from ..layers import REGISTRY, Input, InputLayer
from ..layers.base import Layer, Shape
from ..layers.preprocessing import Preparation
from ..layers.values import Value, call
from . import columns, folding, recalibration
from .model import Model, check_dtype, check_entries


class Sequential(Model):
    """Layers in a row: `Sequential([Flatten(input_shape=(28, 28)), Dense(100, "relu"), Dense(10, "softmax")])`.

    The variables are made as soon as the shape of a row is known: from `Input(shape=...)`, from `input_shape=` of the
    first layer, or from the first data. `dtype`: "float32" or "float64". `seed` is that of the shuffling in `fit`.
    """

    @keywords.checked
    def __init__(
        self,
        layers: Iterable[Layer | Value] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        kind = type(self).__name__
        if isinstance(layers, Layer) or not isinstance(layers, Iterable | None):
            raise errors.wrong_type(kind, "layers", "a list of layers", layers)
        errors.boolean(kind, "trainable", trainable)
        self.dtype = check_dtype(kind, dtype)
        self.name = naming.automatic(kind) if name is None else naming.given(kind, name)
        self.seed = own_seed(kind, seed)
        super().__init__()
        self._layers: list[Layer] = []
        self._output_shape: Shape | None = None  # of a row, while nothing changes the stack
        for layer in layers or ():
            self.add(layer)
        if not trainable:
            self.trainable = False

    # layers

    @property
    def layers(self) -> list[Layer]:
        """The layers, without `Input`."""
        return [layer for layer in self._layers if not isinstance(layer, InputLayer)]

    @property
    def stack(self) -> list[Layer]:
        """The layers, with `Input`."""
        return list(self._layers)

    def add(self, layer: Layer | Value | Model) -> None:
        """Put a layer on top, or all layers of another Sequential, which keeps them: they are shared."""
        if isinstance(layer, Value) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        added: list[Any] = [layer]
        if isinstance(layer, Sequential):
            added = layer.layers if self._layers else layer.stack
            if not layer.layers:
                raise ValueError(f"{self.name}.add: model {layer.name!r} has no layers: add some")
        for one in added:
            self._check_addition(one)
        layers = [*self._layers, *added]
        row_shape = self._row_shape or _known_row_shape(layers[0])
        check_entries(self.name, _entries(layers))
        if row_shape is not None:
            _shapes(layers, row_shape, self.dtype)
        lookup = columns.lookup_of([one for one in layers if not isinstance(one, InputLayer)])
        self._release()
        self._layers, self._output_shape = layers, None
        self._lookups = {} if lookup is None else {0: lookup}
        if row_shape is not None:
            self._build(row_shape)

    def _check_addition(self, layer: object) -> None:
        where = f"{self.name}.add"
        if isinstance(layer, Model):
            raise errors.wrong_kind(where, "layer", "a layer or a Sequential: use Model(inputs, outputs)", layer.name)
        if not isinstance(layer, Layer):
            hint = ": give an instance, with parentheses" if isinstance(layer, type) else ""
            raise errors.wrong_type(where, "layer", f"a layer such as Dense(10){hint}", layer)
        if layer.MERGES:
            raise errors.wrong_kind(where, "layer", "a layer of one value: use Model(inputs, outputs)", layer.label)
        if any(other.name == layer.name for other in self._layers):
            raise errors.wrong_value(where, "layer name", "one that no other layer of the model has", layer.name)
        if isinstance(layer, InputLayer) and self._layers:
            raise ValueError(
                f"{where}: Input must be the first element of a model; this one has {len(self._layers)} before it"
            )

    def pop(self) -> Layer:
        """Take the top layer off and return it."""
        if not self._layers:
            raise ValueError(f"{self.name}.pop: the model has no layers")
        self._release()
        self._output_shape = None
        layer = self._layers.pop()
        self._tell_activations()
        if not self._layers:
            self._row_shape = self.feature_names = None
        if not self.layers:
            self._lookups = {}
        return layer

    # building

    @property
    def built(self) -> bool:
        return self._row_shape is not None

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Make the variables for inputs of this shape, batch dimension included: build((None, 784))."""
        where = f"{self.name}.build"
        if isinstance(input_shape, (str, int)) or len(input_shape) < 2:
            raise errors.wrong_value(
                where, "input_shape", "a shape with the batch dimension, such as (None, 784)", input_shape
            )
        row_shape = tuple(errors.integer(where, "input_shape", size, at_least=1) for size in input_shape[1:])
        if self._row_shape not in (None, row_shape):
            raise errors.wrong_shape(where, "input", ("rows", *(self._row_shape or ())), ("rows", *row_shape))
        self.infer_output_shape(row_shape)
        self._build(row_shape)

    def _build(self, row_shape: Shape) -> None:
        for layer, shape in zip(self._layers, _shapes(self._layers, row_shape, self.dtype), strict=True):
            layer.build(shape, self.dtype)
        self._row_shape = row_shape
        self._tell_activations()

    def _tell_activations(self) -> None:
        """For kernel_initializer="auto", which runs at the first look at the kernel."""
        activation = "linear"
        for layer in reversed(self._layers):
            activation = layer.followed_by(activation)

    def infer_output_shape(self, row_shape: Shape) -> Shape:
        """The shape of an output row; raises where a layer cannot take what it is given. Changes nothing."""
        if self._output_shape is not None and row_shape == self._row_shape:
            return self._output_shape
        if not self.layers:
            raise ValueError(f"{self.name}: the model has no layers: add some")
        *_, shape = _shapes([*self._layers, None], row_shape, self.dtype)
        if len(shape) != 1:
            raise errors.wrong_shape(
                self.name, "output", ("rows", "units"), ("rows", *shape), "Add Flatten() and Dense(...)."
            )
        if not self.layer_spec():
            raise ValueError(f"{self.name}: no layer computes anything: add Dense(...)")
        if row_shape == self._row_shape and not any(isinstance(layer, Preparation) for layer in self._layers):
            self._output_shape = shape  # which nothing but another stack changes
        return shape

    def read_array(self, where: str, argument: str, x: object) -> Inputs:
        """Inputs as an array; of ids, where the first layer looks them up."""
        if not self._lookups:
            return super().read_array(where, argument, x)
        frames.check_names(where, argument, frames.column_names(x), self.feature_names)
        return self._lookups[0].ids_of(where, argument, x)

    @property
    def output_names(self) -> list[str]:
        """The name of the last layer."""
        return [self._layers[-1].name if self._layers else "output"]

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, *shape of a row)."""
        return (None, *self._known_shape("input_shape"))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, number of outputs)."""
        return (None, *self.infer_output_shape(self._known_shape("output_shape")))

    def _known_shape(self, wanted: str) -> Shape:
        if self._row_shape is None:
            raise AttributeError(f"{self.name}: {wanted} is known once the model has seen its input shape")
        return self._row_shape

    # batch normalization, after training

    @keywords.checked
    def recalibrate_batch_norm(self, x: object, batch_size: int | None = None) -> None:
        """Set the statistics of batch normalizations to those of all rows of `x`: see
        `evenflow.recalibrate_batch_norm`."""
        recalibration.recalibrate_batch_norm(self, x, batch_size)

    def fold_batch_norm(self) -> Sequential:
        """A smaller model with equal outputs: each BatchNormalization, with its moving statistics, becomes part of the
        Dense layer it directly follows, where that has no activation, or else of the Dense layer after it.

        One that has neither stays, and a UserWarning names it and says what is in the way: an activation, dropout or
        another normalization between it and the next Dense layer, or the end of the model. Computed in float64: outputs
        differ from this model's by the rounding of its dtype alone. Layers that stay keep their names; a Dense layer
        without a bias may get one. The new model has weights of its own and is not compiled; train this one, fold at
        the end. Raises ValueError before there are weights.
        """
        return folding.fold_batch_norm(self)

    # description

    def wiring(self) -> list[tuple[Layer, list[int]]]:
        return [(layer, [i - 1] if i else []) for i, layer in enumerate(self.layers)]

    def layer_spec(self) -> list[dict[str, Any]]:
        return _entries(self._layers)

    # as values

    @property
    def input(self) -> Value:
        """The value that goes in, for `Model(model.input, model.get_layer("name").output)`."""
        return self._traced()[0]

    @property
    def output(self) -> Value:
        """The value that comes out."""
        return self._traced()[-1]

    @property
    def inputs(self) -> list[Value]:
        """The value that goes in, in a list."""
        return [self.input]

    @property
    def outputs(self) -> list[Value]:
        """The value that comes out, in a list."""
        return [self.output]

    def _traced(self) -> list[Value]:
        shape = self._known_shape("input")
        first = self._layers[0]
        values = [first.value if isinstance(first, InputLayer) else Input(shape)]
        for layer in self.layers:
            source = values[-1]
            kept = layer.kept_value
            values.append(kept if kept is not None and kept.sources == (source,) else call(layer, source))
        return values

    def trace(self, given: object) -> Value:
        """The model as a part of another: its layers called on another value."""
        value = given
        for layer in self.layers:
            value = call(layer, value)
        if not isinstance(value, Value):
            raise ValueError(f"{self.name}: the model has no layers: add some")
        return value

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same model without its weights."""
        config: dict[str, Any] = {
            "name": self.name,
            "dtype": self.dtype,
            "seed": self.seed,
            "layers": [describe(layer) for layer in self._layers],
        }
        if self._row_shape is not None:
            config["build_input_shape"] = [None, *self._row_shape]
        if self.feature_names is not None:
            config["feature_names"] = list(self.feature_names)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """The model that `get_config` described, with new initial weights."""
        layers = [REGISTRY.make("from_config", "layers", entry) for entry in config["layers"]]
        model = cls(layers, name=config["name"], dtype=config["dtype"], seed=config["seed"])
        shape = config.get("build_input_shape")
        if shape is not None:
            model.build(shape)
        names = config.get("feature_names")
        model.feature_names = None if names is None else tuple(names)
        return model


def _known_row_shape(first: Layer) -> Shape | None:
    """The shape of a row as far as a model's first layer tells it."""
    if first.expected_shape is None and first.built:
        return first.input_shape[1:]  # type: ignore[return-value]  # only the batch dimension is None
    return first.expected_shape


def _entries(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """The core's entries of all layers."""
    return [entry for layer in layers for entry in (*layer.spec(), *layer.activity_spec())]


def _shapes(layers: Sequence[Layer | None], row_shape: Shape, dtype: str) -> list[Shape]:
    """The input shape of every layer; raises where one does not fit. None stands for "what comes out at the top"."""
    shapes: list[Shape] = []
    below: list[tuple[Layer, Shape]] = []
    shape = row_shape
    for layer in layers:
        shapes.append(shape)
        if layer is not None:
            layer.look_below(below)
            below.append((layer, shape))
            if layer.expected_shape is not None and layer.expected_shape != shape:
                raise errors.wrong_shape(layer.label, "input", ("rows", *layer.expected_shape), ("rows", *shape))
            layer.check_built(shape, dtype)
            shape = layer.compute_output_shape(shape)
    return shapes
