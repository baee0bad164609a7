"""Sequential: a stack of layers with Keras' methods."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from . import errors, folding, naming, recalibration, saving
from .activations import OUTPUTS
from .cloning import clone_model
from .layer import Layer, Shape, assign_all
from .layers import REGISTRY, InputLayer
from .registry import describe
from .saving import load_model
from .seeds import own_seed
from .summary import table
from .trainer import Trainer
from .variables import Variable

__all__ = ["Sequential", "clone_model", "load_model"]

DTYPES = ("float32", "float64")


class Sequential(Trainer):
    """Layers in a row: `Sequential([Flatten(input_shape=(28, 28)), Dense(100, "relu"), Dense(10, "softmax")])`.

    The variables are made as soon as the shape of a row is known: from `Input(shape=...)`, from `input_shape=` of the
    first layer, or from the first data. `dtype`: "float32" or "float64". `seed` is that of the shuffling in `fit`.
    """

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
    ) -> None:
        kind = type(self).__name__
        if dtype not in DTYPES:
            raise errors.unknown_name(kind, "dtype", dtype, DTYPES)
        if isinstance(layers, Layer) or not isinstance(layers, Iterable | None):
            raise errors.wrong_type(kind, "layers", "a list of layers", layers)
        errors.boolean(kind, "trainable", trainable)
        self.dtype = dtype
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

    def add(self, layer: Layer) -> None:
        """Put a layer on top."""
        self._check_addition(layer)
        layers = [*self._layers, layer]
        row_shape = self._row_shape or _known_row_shape(layers[0])
        _entries(self.name, layers)
        if row_shape is not None:
            _shapes(layers, row_shape, self.dtype)
        self._release()
        self._layers, self._output_shape = layers, None
        if row_shape is not None:
            self._build(row_shape)

    def _check_addition(self, layer: object) -> None:
        where = f"{self.name}.add"
        if not isinstance(layer, Layer):
            hint = ": give an instance, with parentheses" if isinstance(layer, type) else ""
            raise errors.wrong_type(where, "layer", f"a layer such as Dense(10){hint}", layer)
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
        return layer

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place in `layers`."""
        where = f"{self.name}.get_layer"
        if (name is None) == (index is None):
            raise ValueError(f"{where}: expected either name or index, received name={name!r}, index={index!r}")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise errors.wrong_value(where, "index", f"one of the {len(layers)} layers", index)
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        raise errors.unknown_name(where, "name", name, [layer.name for layer in layers])

    @property
    def trainable(self) -> bool:
        """Whether training changes any layer; assigning sets it for all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

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
        if row_shape == self._row_shape:
            self._output_shape = shape
        return shape

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

    # variables

    @property
    def variables(self) -> list[Variable]:
        return [variable for layer in self.layers for variable in layer.variables]

    @property
    def weights(self) -> list[Variable]:
        """All variables in Keras' order: layer by layer; kernel, bias; gamma, beta, moving_mean, moving_variance."""
        return self.variables

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.variables if variable.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.variables if not variable.trainable]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def count_params(self) -> int:
        """Number of values in all variables."""
        return sum(variable.size for variable in self._built_variables("count_params"))

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of all variables' values, in the order of `weights`; kernels are [inputs, units], C order."""
        return [variable.numpy() for variable in self._built_variables("get_weights")]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the values of all variables, or of none if one array does not fit."""
        assign_all(f"{self.name}.set_weights", self._built_variables("set_weights"), weights)

    def _built_variables(self, wanted: str) -> list[Variable]:
        if self._row_shape is None:
            raise ValueError(
                f"{self.name}.{wanted}: the model has no weights yet: add Input(shape=...) or call build or fit"
            )
        return self.variables

    # batch normalization, after training

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

    def layer_spec(self) -> list[dict[str, Any]]:
        return _entries(self.name, self._layers)

    def summary(self, *, show_trainable: bool = False, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers with their output shapes and numbers of parameters, and the totals."""
        (print_fn or print)(table(self, show_trainable=show_trainable))

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

    def save(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write architecture, weights, optimizer state and shuffling state to one safetensors file, atomically."""
        saving.save_model(self, filepath, overwrite=overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the variables to a safetensors file, atomically."""
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the variables from a file that `save` or `save_weights` wrote: all of them, or none if one does not
        fit."""
        saving.load_weights(self, filepath)

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}>"


def _known_row_shape(first: Layer) -> Shape | None:
    """The shape of a row as far as a model's first layer tells it."""
    if first.expected_shape is None and first.built:
        return first.input_shape[1:]  # type: ignore[return-value]  # only the batch dimension is None
    return first.expected_shape


def _entries(name: str, layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """The core's entries of all layers, in an order that it can run."""
    entries = [entry for layer in layers for entry in (*layer.spec(), *layer.activity_spec())]
    for entry, above in itertools.pairwise(entries):
        if entry.get("activation") == "softmax" and above["kind"] == "activity_regularization":
            raise ValueError(
                f"{name}: activity_regularizer after softmax ({entry['name']!r}): expected a penalty "
                f"below the softmax: put ActivityRegularization before Activation('softmax')"
            )
    for entry in entries[:-1]:
        if entry.get("activation") in OUTPUTS:
            kind = entry["activation"]
            raise ValueError(f"{name}: {kind} ({entry['name']!r}) must be the last thing a model computes")
    for entry in entries[1:]:
        if entry["kind"] == "rescaling":
            raise ValueError(f"{name}: Rescaling {entry['name']!r} must be the first thing a model computes")
    return entries


def _shapes(layers: Sequence[Layer | None], row_shape: Shape, dtype: str) -> list[Shape]:
    """The input shape of every layer; raises where one does not fit. None stands for "what comes out at the top"."""
    shapes, shape = [], row_shape
    for layer in layers:
        shapes.append(shape)
        if layer is not None:
            if layer.expected_shape is not None and layer.expected_shape != shape:
                raise errors.wrong_shape(layer.label, "input", ("rows", *layer.expected_shape), ("rows", *shape))
            layer.check_built(shape, dtype)
            shape = layer.compute_output_shape(shape)
    return shapes
