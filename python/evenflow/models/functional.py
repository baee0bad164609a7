"""Functional: a model from the values that go in to those that come out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import errors
from ..common import keywords, naming
from ..common.registry import describe
from ..common.seeds import own_seed
from ..data import frames
from ..data.arrays import Inputs, Several
from ..layers import REGISTRY, InputLayer
from ..layers.base import Layer, Shape
from ..layers.lookups import StringLookup
from ..layers.preprocessing import Preparation
from ..layers.values import Value, ancestors, call, read_values
from ..training.predictor import last_activation
from . import columns
from .model import Model, check_dtype, check_entries


class Functional(Model):
    """`Model(inputs, outputs)`: what leads from `Input(...)` values to output values.

    ```python
    x = Input(shape=(20,))
    hidden = Dense(30, "relu")(Dense(30, "relu")(x))
    model = Model(x, Dense(1)(Concatenate()([x, hidden])))
    ```

    `inputs`: a value of `Input`, or a list of several; data are then lists of as many arrays. `outputs`: a value, or
    several in a list or a dict; predictions have the same form, and `output_names` (the dict's keys, else the names of
    the layers) are what `compile` and History call them. A layer that is called more than once on the way, or in other
    models, has one set of weights. The model is built at once.
    """

    @keywords.checked
    def __init__(
        self,
        inputs: object,
        outputs: object,
        name: str | None = None,
        *,
        dtype: str = "float32",
        seed: int | None = None,
        trainable: bool = True,
    ) -> None:
        kind = "Model"
        self.dtype = check_dtype(kind, dtype)
        self.name = naming.automatic(kind) if name is None else naming.given(kind, name)
        self.seed = own_seed(kind, seed)
        super().__init__()
        self._inputs = _read_inputs(kind, inputs)
        self._outputs, self._keys = _read_outputs(kind, outputs)
        self._values = ancestors(self._outputs)
        self._names = _names(self._values)
        self._check_values(kind)
        self._readers: dict[int, list[Value]] = {value.number: [] for value in self._values}
        for value in self._values:
            for source in value.sources:
                self._readers[source.number].append(value)
        self._feeds = columns.feeds_of(self._inputs, self._readers)
        self._lookups = {i: feed.lookup for i, feed in enumerate(self._feeds) if feed.lookup is not None}
        check_entries(self.name, self.layer_spec(), self._tops())
        for value in self._values:
            value.layer.check_built(_shape_in(value), self.dtype)
        for value in self._values:
            value.layer.build(_shape_in(value), self.dtype)
        self._row_shape = self._inputs[0].row_shape
        self._tell_activations()
        if not errors.boolean(kind, "trainable", trainable):
            self.trainable = False

    def _check_values(self, where: str) -> None:
        given = {value.number for value in self._inputs}
        for value in self._values:
            if isinstance(value.layer, InputLayer) and value.number not in given:
                raise errors.wrong_value(
                    where, "inputs", f"{value.name!r} among them, which outputs depend on", "others"
                )
        for value in self._inputs:
            if value not in self._values:
                raise errors.wrong_value(where, "inputs", "inputs that the outputs depend on", value.name)
        seen: dict[str, Layer] = {}
        for value in self._values:
            if seen.setdefault(value.name, value.layer) is not value.layer:
                raise errors.wrong_value(where, "layer name", "one that no other layer of the model has", value.name)
        for output in self._outputs:
            if output in self._inputs:
                raise errors.wrong_value(where, "outputs", "what a layer made of the inputs", "an input itself")
            if len(output.row_shape) != 1:
                raise errors.wrong_shape(
                    where, "outputs", ("rows", "units"), ("rows", *output.row_shape), "Add Flatten() and Dense(...)."
                )

    # description

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order in which they were first called, inputs included."""
        return list({id(value.layer): value.layer for value in self._values}.values())

    @property
    def values(self) -> list[Value]:
        """All values in the order in which they were made: the calls of the layers, and the inputs."""
        return list(self._values)

    @property
    def value_names(self) -> dict[int, str]:
        """The name of each value, by its number: that of its layer, numbered from the layer's second call on."""
        return dict(self._names)

    @property
    def inputs(self) -> list[Value]:
        """The values that go in."""
        return list(self._inputs)

    @property
    def outputs(self) -> list[Value]:
        """The values that come out."""
        return list(self._outputs)

    @property
    def input(self) -> Value | list[Value]:
        """The value that goes in, or a list of several."""
        return self._inputs[0] if len(self._inputs) == 1 else list(self._inputs)

    @property
    def output(self) -> Any:
        """The value that comes out, or a list or dict of several."""
        return self.formed(self._outputs)

    def formed(self, of_outputs: Sequence[Any]) -> Any:
        """One for each output in the form in which the outputs were given."""
        if self._keys is not None:
            return dict(zip(self._keys, of_outputs, strict=True))
        return of_outputs[0] if len(self._outputs) == 1 else list(of_outputs)

    @property
    def output_names(self) -> list[str]:
        """The keys of the dict of outputs, else the names of the layers that give them."""
        return list(self._keys or [self._names[value.number] for value in self._outputs])

    @property
    def built(self) -> bool:
        return True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Nothing: a model of values is built when it is made."""

    @property
    def input_shape(self) -> Any:
        """(None, *shape of a row), or a list of them."""
        shapes = [value.shape for value in self._inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        """(None, number of outputs), or a list or dict of several."""
        return self.formed([value.shape for value in self._outputs])

    def infer_output_shape(self, row_shape: Shape) -> Shape:
        """The shape of a row of the first output; raises where a layer has come to give other columns."""
        for value in self._values:
            if isinstance(value.layer, Preparation):
                found = value.layer.compute_output_shape(_shape_in(value))
                if found != value.row_shape:
                    hint = f"It got other categories after {self.name!r} was made: make the model anew."
                    raise errors.wrong_shape(
                        value.layer.label, "output", ("rows", *value.row_shape), ("rows", *found), hint
                    )
        return self._outputs[0].row_shape

    def output_units(self, row_shape: Shape) -> list[int]:
        """Units of a row of each output."""
        return [value.row_shape[0] for value in self._outputs]

    def output_activations(self) -> list[str | None]:
        """The activation that gives each output, where one does."""
        entries = {entry["name"]: entry for entry in self.layer_spec()}
        names = list(entries)
        found = []
        for value, top in zip(self._outputs, self._tops(), strict=True):
            own = [name for name in names if name.split("/")[0] == self._names[value.number]]
            found.append(last_activation([entries[name] for name in own] or [entries[top]]))
        return found

    def as_given(self, outputs: Any) -> Any:
        """A list or dict of several outputs."""
        return self.formed(outputs if len(self._outputs) > 1 else [outputs])

    def input_row_shapes(self) -> list[Shape]:
        """The shapes of a row of each input of the core's: what is looked up in two ways comes twice."""
        return [feed.row_shape for feed in self._feeds]

    def read_array(self, where: str, argument: str, x: object) -> Inputs:
        """Inputs as an array, or as several: a list in the order of `inputs`, or a dict by their names, also of one."""
        names = [value.name for value in self._inputs]
        if isinstance(x, Several):
            return x
        if len(names) == 1:
            if isinstance(x, dict):
                if list(x) != names:
                    expected = f"an array, or a dict by the name of the input {names}"
                    raise errors.wrong_value(where, argument, expected, sorted(map(str, x)))
                x = x[names[0]]
            frames.check_names(where, argument, frames.column_names(x), self.feature_names)
            return columns.read(where, [argument], [x], self._feeds)
        expected = f"a list of {len(names)} arrays, or a dict by the names of the inputs {names}"
        if not isinstance(x, (list, tuple, dict)):
            raise errors.wrong_type(where, argument, expected, x)
        if len(x) != len(names) or (isinstance(x, dict) and set(x) != set(names)):
            raise errors.wrong_value(where, argument, expected, sorted(map(str, x)) if isinstance(x, dict) else len(x))
        listed = [x[name] for name in names] if isinstance(x, dict) else list(x)
        labels = [f"{argument}[{names[i] if isinstance(x, dict) else i}]" for i in range(len(names))]
        return columns.read(where, labels, listed, self._feeds)

    def word_inputs(self) -> set[int]:
        """The numbers of the inputs that are words, for a StringLookup."""
        return {feed.input for feed in self._feeds if isinstance(feed.lookup, StringLookup)}

    def feature_counts(self) -> int | list[int]:
        """Features of a row of each input of the core's."""
        counts = [math.prod(feed.row_shape) for feed in self._feeds]
        return counts[0] if len(counts) == 1 else counts

    def wiring(self) -> list[tuple[Layer, list[int]]]:
        """The layers in order, each with the places of those that it reads."""
        places = {value.number: i for i, value in enumerate(self._values)}
        return [(value.layer, [places[source.number] for source in value.sources]) for value in self._values]

    def layer_spec(self) -> list[dict[str, Any]]:
        """The core's entries: as those of a Sequential where each value has one reader, else with what each reads."""
        return self._entries()[0]

    def output_layers(self) -> list[str]:
        """The core's entry that has each of several outputs."""
        return self._tops() if len(self._outputs) > 1 else []

    def _tops(self) -> list[str]:
        top = self._entries()[1]
        return [top[value.number] for value in self._outputs]

    def _entries(self) -> tuple[list[dict[str, Any]], dict[int, str]]:
        """The core's entries, and the name of the one that has each value."""
        entries: list[dict[str, Any]] = []
        chain = all(len(value.sources) <= 1 and len(self._readers[value.number]) <= 1 for value in self._values)
        top: dict[int, str] = {}
        for value in self._values:
            name = self._names[value.number]
            below = [top[source.number] for source in value.sources]
            own = [dict(entry) for entry in (*value.layer.spec(), *value.layer.activity_spec())]
            feed = columns.number_of(value, self._feeds)
            if feed is not None and not chain:
                below = [name if not own else f"{name}/ids"]
                entries.append({"kind": "input", "name": below[0], "input": feed})
            for entry in own:
                if name != value.name:  # another call of the layer
                    entry["shares"], entry["name"] = entry["name"], name + entry["name"].removeprefix(value.name)
                if below and not chain:
                    entry["inputs"] = below
                below = [entry["name"]]
            top[value.number] = below[0] if below else ""
            entries += own
        return entries, top

    def _tell_activations(self) -> None:
        before: dict[int, str] = {}  # the activation that each value goes through next
        for value in reversed(self._values):
            readers = self._readers[value.number]
            following = before[readers[0].number] if len(readers) == 1 else "linear"
            before[value.number] = value.layer.followed_by(following)

    def trace(self, given: object) -> Any:
        """The model as a part of another: its layers called on other values."""
        listed = read_values(self.name, "input", given, "what Input(...) or another layer returned")
        if len(listed) != len(self._inputs):
            raise errors.wrong_kind(self.name, "input", f"{len(self._inputs)} values", f"{len(listed)}")
        found = {own.number: value for own, value in zip(self._inputs, listed, strict=True)}
        for own, value in zip(self._inputs, listed, strict=True):
            if own.row_shape != value.row_shape:
                raise errors.wrong_shape(self.name, "input", own.shape, value.shape)
        for value in self._values:
            if value.number not in found:
                sources = [found[source.number] for source in value.sources]
                found[value.number] = call(value.layer, sources if value.layer.MERGES else sources[0])
        return self.formed([found[value.number] for value in self._outputs])

    def get_config(self) -> dict[str, Any]:
        """Plain data from which `from_config` makes the same model without its weights."""
        config = {
            "name": self.name,
            "dtype": self.dtype,
            "seed": self.seed,
            "layers": [
                {
                    **({"layer": describe(value.layer)} if name == value.name else {"call": value.name, "name": name}),
                    "inbound": [self._names[source.number] for source in value.sources],
                }
                for value, name in ((value, self._names[value.number]) for value in self._values)
            ],
            "inputs": [value.name for value in self._inputs],
            "outputs": [self._names[value.number] for value in self._outputs],
        }
        return config if self._keys is None else {**config, "output_keys": list(self._keys)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Functional:
        """The model that `get_config` described, with new initial weights."""
        values: dict[str, Value] = {}
        for entry in config["layers"]:
            if "call" in entry:
                layer, name = values[entry["call"]].layer, entry["name"]
            else:
                layer = REGISTRY.make("from_config", "layers", entry["layer"])
                name = layer.name
            sources = [values[source] for source in entry["inbound"]]
            if isinstance(layer, InputLayer):
                values[name] = layer.value
            else:
                values[name] = call(layer, sources if layer.MERGES else sources[0])
        inputs = [values[name] for name in config["inputs"]]
        listed = [values[name] for name in config["outputs"]]
        keys = config.get("output_keys")
        outputs = listed if keys is None else dict(zip(keys, listed, strict=True))
        return cls(inputs, outputs, config["name"], dtype=config["dtype"], seed=config["seed"])


def _shape_in(value: Value) -> Shape:
    return value.sources[0].row_shape if value.sources else value.row_shape


def _read_inputs(where: str, given: object) -> list[Value]:
    listed = read_values(where, "inputs", given, "what Input(shape=...) returned, or a list of that")
    for value in listed:
        if not isinstance(value.layer, InputLayer):
            raise errors.wrong_kind(
                where, "inputs", "what Input(shape=...) returned", f"the value of {value.layer.label}"
            )
    if not listed or len({value.number for value in listed}) < len(listed):
        raise errors.wrong_value(where, "inputs", "at least one input, each once", [value.name for value in listed])
    return listed


def _read_outputs(where: str, given: object) -> tuple[list[Value], tuple[str, ...] | None]:
    """The values, and their keys where they are a dict."""
    keys = tuple(map(str, given)) if isinstance(given, Mapping) else None
    listed = list(given.values()) if isinstance(given, Mapping) else given
    found = read_values(where, "outputs", listed, "what a layer returned when it was called")
    if not found or len({value.number for value in found}) < len(found):
        raise errors.wrong_value(where, "outputs", "at least one value, each once", [value.name for value in found])
    return found, keys


def _names(values: Sequence[Value]) -> dict[int, str]:
    """A name for each value: that of its layer, with a number from the layer's second call on."""
    calls: dict[int, int] = {}
    found = {}
    for value in values:
        number = calls[id(value.layer)] = calls.get(id(value.layer), -1) + 1
        found[value.number] = f"{value.name}:{number}" if number else value.name
    return found
