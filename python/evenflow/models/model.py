"""Model: what models have in common, whatever their layers read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from .. import errors, lint
from ..activations import OUTPUTS
from ..common import keywords
from ..data import ids
from ..layers.base import Layer, assign_all
from ..layers.lookups import StringLookup
from ..layers.values import Value
from ..layers.variables import Variable
from ..saving.state import load_weights, save_weights
from ..training.trainer import Trainer
from .saving import save_model
from .summary import table

DTYPES = ("float32", "float64")


class Model(Trainer):
    """A network with Keras' methods. `Model(inputs, outputs)` makes one of values: see `functional.Functional`."""

    def __new__(cls, *arguments: Any, **named: Any) -> Model:
        if cls is Model:
            from .functional import Functional

            return super().__new__(Functional)
        return super().__new__(cls)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        raise NotImplementedError

    @property
    def built(self) -> bool:
        """Whether there are variables."""
        raise NotImplementedError

    def trace(self, given: object) -> Any:
        """The model as a part of another: its layers called on other values."""
        raise NotImplementedError

    def wiring(self) -> list[tuple[Layer, list[int]]]:
        """The layers in order, each with the places of those that it reads."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same model without its weights."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Model:
        """The model, a Sequential or one of values, that `get_config` described, with new initial weights."""
        from .functional import Functional
        from .sequential import Sequential

        kind: type[Model] = Functional if "outputs" in config else Sequential
        return kind.from_config(config)

    def __call__(self, x: object, training: bool = False) -> Any:
        """`predict` of arrays; of values, the model as a part of another one, which shares its layers."""
        if isinstance(x, Value) or (isinstance(x, (list, tuple)) and any(isinstance(one, Value) for one in x)):
            return self.trace(x)
        return super().__call__(x, training)

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

    def id_limits(self) -> dict[int, ids.Limit]:
        """The inputs that are read as ids of categories, by their numbers, and how many there are."""
        if not any(layer.READS_IDS or layer.LOOKS_UP for layer in self.layers):
            return {}
        found = ids.limits(self.layer_spec())
        for number, lookup in self._lookups.items():
            if number in found and lookup.vocabulary_size() > found[number].categories:
                expected = f"at least the {lookup.vocabulary_size()} ids of {lookup.label}"
                raise errors.wrong_value(
                    f"layer {found[number].layer!r}", "input_dim", expected, found[number].categories
                )
        return found

    def word_inputs(self) -> set[int]:
        """The numbers of the inputs that are words, for a StringLookup."""
        return {0} if isinstance(self._lookups.get(0), StringLookup) else set()

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
        if not self.built:
            raise ValueError(
                f"{self.name}.{wanted}: the model has no weights yet: add Input(shape=...) or call build or fit"
            )
        return self.variables

    # description

    @keywords.checked
    def summary(self, *, show_trainable: bool = False, print_fn: Callable[[str], object] | None = None) -> None:
        """Print the layers with their output shapes and numbers of parameters, and the totals."""
        (print_fn or print)(table(self, show_trainable=show_trainable))

    def check(self, x: object = None) -> list[lint.Finding]:
        """What is likely to go wrong in training, found in the description alone, and in the inputs if `x` is given.

        A list, empty where nothing was found, of findings with `rule`, `layer`, `message` (what is there, and what to
        do instead) and `reason`: str(finding) has it all. Looked at are SELU's conditions, initializers against
        activations, layers without an activation, stacks of saturating activations, deep networks without clipping,
        what stands around batch normalization, the output against the loss (once compiled), Normalization without
        statistics; and of x the scale, and whether it is finite. docs/guide/health.md lists the rules. Changes nothing.
        """
        rows = None
        if x is not None:
            given = self.read_array("check", "x", x)
            rows, _, _ = self._read_rows("check", "x", given, allow_nonfinite=True)
        return lint.check(self, rows)

    @keywords.checked
    def save(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write architecture, weights, optimizer state and shuffling state to one safetensors file, atomically."""
        save_model(self, filepath, overwrite=overwrite)

    @keywords.checked
    def save_weights(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the variables to a safetensors file, atomically."""
        save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Take the variables from a file that `save` or `save_weights` wrote: all of them, or none if one does not
        fit."""
        load_weights(self, filepath)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def check_dtype(where: str, dtype: object) -> str:
    """The dtype of a model: "float32" or "float64"."""
    if dtype not in DTYPES:
        raise errors.unknown_name(where, "dtype", dtype, DTYPES)
    return str(dtype)


def check_entries(name: str, entries: Sequence[dict[str, Any]], outputs: Sequence[str] = ()) -> None:
    """Raise where the core could not run these entries in this order. `outputs`: the entries that have them, else the
    last."""
    by_name = {entry["name"]: entry for entry in entries}
    readings = list(itertools.pairwise(entries))  # (an entry, one that reads it)
    if any("inputs" in entry for entry in entries):
        readings = [(by_name[below], entry) for entry in entries for below in entry.get("inputs", ())]
    if "" in outputs:
        raise ValueError(f"{name}: outputs: no layer computes anything on the way to one of them: add Dense(...)")
    read = {id(entry) for entry, _ in readings}
    for entry, above in readings:
        if entry.get("activation") in OUTPUTS and above["kind"] == "activity_regularization" and id(above) not in read:
            kind = entry["activation"]
            raise ValueError(
                f"{name}: activity_regularizer after {kind} ({entry['name']!r}): expected a penalty "
                f"below the {kind}: put ActivityRegularization before Activation({kind!r})"
            )
