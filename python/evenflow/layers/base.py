"""Layer: the base class of all layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .. import errors, regularizers
from ..common import naming
from ..common.registry import describe
from ..initializers import Initializer
from .values import Value, call
from .variables import Variable

Shape = tuple[int, ...]  # of one row: the batch dimension is left out


def read_row_shape(where: str, argument: str, shape: object) -> Shape:
    """The shape of one row, from a sequence or from a single size."""
    if isinstance(shape, int) and not isinstance(shape, bool):
        shape = (shape,)
    if not isinstance(shape, Sequence) or isinstance(shape, str) or not shape:
        raise errors.wrong_type(where, argument, "the shape of one row such as (28, 28)", shape)
    return tuple(errors.integer(where, argument, size, at_least=1) for size in shape)


class Layer:
    """Base class of all layers.

    `name` numbers itself; `trainable=False` freezes the layer (a frozen BatchNormalization runs in inference mode);
    `input_shape`, the shape of one row, lets a first layer stand without `Input`; `activity_regularizer` penalizes what
    comes out.
    """

    ARGUMENTS: tuple[str, ...] = ()  # of the class itself, for get_config and for messages
    MERGES = False  # whether it is called on several values
    READS_IDS = False  # whether it takes whole numbers that stand for categories
    LOOKS_UP = False  # whether it reads an input's words or numbers, and gives ids, before the core sees them

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int] | int | None = None,
        input_dim: int | None = None,
        activity_regularizer: object = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        if hasattr(type(self), "call"):
            raise TypeError(
                f"{kind}: layers run natively and are not called: a Python method `call` would be ignored. For Monte "
                f"Carlo dropout use model.predict_mc(X) or model(X, training=True)"
            )
        if unknown:
            known = [*self.ARGUMENTS, "name", "trainable", "input_shape", "input_dim", "activity_regularizer"]
            raise errors.unknown_argument(kind, unknown, known)
        if input_dim is not None:
            input_shape = (input_dim,)
        self.expected_shape = None if input_shape is None else read_row_shape(kind, "input_shape", input_shape)
        self._trainable = errors.boolean(kind, "trainable", trainable)
        self.activity_regularizer = regularizers.get_for_activity(activity_regularizer, kind)
        self.name = naming.automatic(kind) if name is None else naming.given(kind, name)
        self.variables: list[Variable] = []
        self._shapes: tuple[Shape, Shape] | None = None
        self.kept_value: Value | None = None  # what it gave when it was first called on a value

    @property
    def label(self) -> str:
        """Class and name, as messages show them."""
        return f"{type(self).__name__} {self.name!r}"

    @property
    def trainable(self) -> bool:
        """Whether training changes this layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = errors.boolean(self.label, "trainable", value)
        for variable in self.variables:
            variable.trainable = self._trainable and variable.learned

    # calls on values, before there are numbers

    def __call__(self, inputs: object) -> Value:
        """The layer's value of what another layer or `Input(...)` gave: `hidden = Dense(30)(x)`."""
        return call(self, inputs)

    def keep_value(self, value: Value) -> None:
        """Remember the first call, for `output`."""
        if self.kept_value is None:
            self.kept_value = value

    @property
    def output(self) -> Value:
        """What the layer gave when it was first called: `Model(model.input, layer.output)` shows it."""
        if self.kept_value is None:
            raise AttributeError(f"{self.label}: output: the layer has not been called on a value")
        return self.kept_value

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """The shape of an output row of a layer of several values."""
        raise NotImplementedError

    # shapes and variables

    def look_below(self, below: Iterable[tuple[Layer, Shape]]) -> None:
        """Find a layer that this one refers to among those below it, each given with the shape of a row that it reads;
        raises where it is not there."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of an output row; raises where the layer cannot take such rows. Changes nothing."""
        return input_shape

    def build(self, input_shape: Shape, dtype: str = "float32") -> None:
        """Make the variables for rows of this shape; a layer that has them already insists on the same shape and
        dtype."""
        if self._shapes is None:
            output = self.kept_value.row_shape if self.MERGES and self.kept_value else None
            self._shapes = (input_shape, output or self.compute_output_shape(input_shape))
            self._make_variables(input_shape, dtype)
        else:
            self.check_built(input_shape, dtype)

    def check_built(self, input_shape: Shape, dtype: str) -> None:
        """Raise where a layer that has variables meets rows or a model that they do not fit."""
        if self._shapes is None:
            return
        if self.variables and self._shapes[0] != input_shape:
            hint = f"Layer {self.name!r} already has weights for the expected shape."
            raise errors.wrong_shape(self.label, "input", ("rows", *self._shapes[0]), ("rows", *input_shape), hint)
        if self.variables and self.variables[0].dtype != dtype:
            raise errors.wrong_value(self.label, "dtype of the model", self.variables[0].dtype, dtype)

    def followed_by(self, activation: str) -> str:
        """Tell the layer the activation that its output goes through next; returns the one that its input does. Where
        no activation comes between two kernels it is "linear"."""
        return activation

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        pass

    def _add(self, name: str, shape: Shape, initializer: Initializer, dtype: str, *, learned: bool = True) -> None:
        variable = Variable(self.name, name, shape, initializer, learned=learned, dtype=dtype)
        variable.trainable = self._trainable and learned
        self.variables.append(variable)
        setattr(self, name, variable)

    @property
    def built(self) -> bool:
        return self._shapes is not None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """(None, *shape of a row), once built."""
        return (None, *self._built_shapes("input_shape")[0])

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """(None, *shape of an output row), once built."""
        return (None, *self._built_shapes("output_shape")[1])

    def _built_shapes(self, wanted: str) -> tuple[Shape, Shape]:
        if self._shapes is None:
            raise AttributeError(f"{self.label}: {wanted} is known once the layer has seen its input shape")
        return self._shapes

    @property
    def weights(self) -> list[Variable]:
        return list(self.variables)

    @property
    def trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.variables if variable.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [variable for variable in self.variables if not variable.trainable]

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    def count_params(self) -> int:
        """Number of values in the variables, trainable or not."""
        return sum(variable.size for variable in self.variables)

    def get_weights(self) -> list[NDArray[Any]]:
        """Copies of the variables' values, in the order of `weights`."""
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the values of all variables, or of none if one does not fit."""
        assign_all(f"{self.label} set_weights", self.variables, weights)

    # plain data

    def spec(self) -> list[dict[str, Any]]:
        """The entries that tell the core what this layer does."""
        return []

    def activity_spec(self) -> list[dict[str, Any]]:
        """The entry that tells the core to penalize what comes out: none where nothing does."""
        if self.activity_regularizer is None:
            return []
        name = f"{self.name}/activity"
        return [{"kind": "activity_regularization", "name": name, **self.activity_regularizer.spec()}]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same layer again, without its weights."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if self.expected_shape is not None:
            config["input_shape"] = list(self.expected_shape)
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = describe(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def flat_features(layer: Layer, input_shape: Shape) -> int:
    """Number of features of flat rows, which the layer needs."""
    if len(input_shape) != 1:
        hint = "Put Flatten() before it."
        raise errors.wrong_shape(layer.label, "input", ("rows", "features"), ("rows", *input_shape), hint)
    return input_shape[0]


def assign_all(where: str, variables: Sequence[Variable], values: Iterable[ArrayLike]) -> None:
    """Assign one array to each variable, after all of them were found to fit."""
    arrays = list(values)
    if len(arrays) != len(variables):
        names = ", ".join(variable.path for variable in variables)
        raise ValueError(f"{where}: expected {len(variables)} arrays ({names}), received {len(arrays)}")
    for variable, array in zip(
        variables, [v.check(where, a) for v, a in zip(variables, arrays, strict=True)], strict=True
    ):
        variable.assign(array)
