"""A model from an ONNX file."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from .. import errors
from ..convert.filling import put
from ..layers import Input
from ..layers.base import Layer, Shape
from ..layers.values import Value, call
from ..models import Sequential
from ..models.functional import Functional
from ..models.model import Model
from .exporting import DESCRIPTION, DIGEST, digest
from .operators import part_of
from .parts import Part
from .reading import Array, Source

WHERE = "load"


def load_model(path: str | os.PathLike[str], outputs: Sequence[str] | None) -> Model:
    """What `evenflow.onnx.load` does."""
    source = Source(WHERE, path)
    properties = {entry.key: entry.value for entry in source.proto.metadata_props}
    if outputs is None and DESCRIPTION in properties and properties.get(DIGEST) == digest(source.proto):
        return _described(source, properties[DESCRIPTION])
    return _Network(source, _outputs(source, outputs)).model()


def _outputs(source: Source, given: Sequence[str] | None) -> list[str]:
    """The names of the outputs to read."""
    known = [output.name for output in source.proto.graph.output]
    if given is None:
        return known
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise errors.wrong_type(WHERE, "outputs", "a list of names of outputs", given)
    for name in given:
        if name not in known:
            raise errors.unknown_name(WHERE, "outputs", name, known)
    if not given:
        raise errors.wrong_value(WHERE, "outputs", f"at least one of {known}", given)
    return list(given)


def _described(source: Source, text: str) -> Model:
    """The model that `export` described, with the weights of the graph."""
    try:
        model = Model.from_config(json.loads(text))
        variables = model.variables
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise source.unusable(f"its description of the model does not hold: {error}") from error
    pairs = []
    for variable in variables:
        array = source.constant(variable.path)
        if array is None or array.size != variable.size or array.dtype != np.dtype(variable.dtype):
            held = "none" if array is None else f"{array.dtype}{array.shape}"
            raise source.unusable(
                f"expected an array {variable.path!r} of {variable.dtype}{variable.shape}, received {held}"
            )
        pairs.append((variable, array.reshape(variable.shape), variable.path))
    put(WHERE, pairs)
    return model


class _Network:
    """A graph as layers called on values."""

    def __init__(self, source: Source, outputs: Sequence[str]) -> None:
        self.source, self.outputs = source, outputs
        self.inputs = {i.name: i for i in source.proto.graph.input if i.name not in source.initializers}
        self.values: dict[str, Value] = {}
        self.arrays: list[tuple[Layer, str, Array, NodeProto]] = []
        self.names: set[str] = set()

    def model(self) -> Model:
        """The layers up to the outputs, with their weights."""
        parts = self._parts()
        kept = [name for name in self.inputs if name in {s for part, _ in parts.values() for s in part.sources}]
        self.names.update(map(self._plain, kept))
        for name in kept:
            self.values[name] = self._input(self.inputs[name])
        for tensor, (part, node) in parts.items():
            self.values[tensor] = self._value(part, node)
        ends = [self.values[tensor] for tensor in self.outputs]
        name = self._plain(self.source.proto.graph.name) or None
        double = any(array.dtype == np.float64 for _, _, array, _ in self.arrays) or self._in_double()
        dtype = "float64" if double else "float32"
        try:
            model: Model = self._made([self.values[tensor] for tensor in kept], ends, name, dtype)
        except (TypeError, ValueError) as error:
            raise self.source.unusable(str(error)) from error
        put(WHERE, [self._pair(*entry) for entry in self.arrays])
        return model

    def _in_double(self) -> bool:
        """Whether an output is of float64, as it is where constants are not weights of layers."""
        given = {output.name: output.type.tensor_type.elem_type for output in self.source.proto.graph.output}
        return any(given[name] == TensorProto.DOUBLE for name in self.outputs)

    def _parts(self) -> dict[str, tuple[Part, NodeProto]]:
        """What each needed tensor is made by, every one after those that it is made of."""
        found: dict[str, tuple[Part, NodeProto]] = {}
        read: dict[str, tuple[Part, NodeProto]] = {}
        waiting = list(self.outputs)
        while waiting:
            tensor = waiting[-1]
            if tensor in found or tensor in self.inputs:
                waiting.pop()
                continue
            if tensor not in read:
                node = self.source.producers.get(tensor)
                if self.source.constant(tensor) is not None:
                    raise self.source.unusable(f"{tensor!r} is a constant, expected what depends on an input")
                if node is None:
                    raise self.source.unusable(f"{tensor!r} is not the first output of any node, nor an input")
                read[tensor] = part_of(self.source, node), node
            missing = [s for s in read[tensor][0].sources if s not in found and s not in self.inputs]
            if not missing:
                found[tensor] = read[tensor]
            waiting += missing
        return found

    def _input(self, info: ValueInfoProto) -> Value:
        """An input of rows whose shape is known."""
        given = info.type.tensor_type
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in given.shape.dim]
        if len(sizes) < 2 or any(not size or size < 1 for size in sizes[1:]):
            expected = ("rows", "sizes that are known")
            raise errors.wrong_shape(f"{WHERE}: {str(self.source.path)!r}", f"input {info.name!r}", expected, sizes)
        if given.elem_type == TensorProto.STRING:
            raise self.source.unusable(f"input {info.name!r} is of strings, which only files of evenflow may have")
        try:
            dtype = str(helper.tensor_dtype_to_np_dtype(given.elem_type))
        except KeyError:
            raise self.source.unusable(f"input {info.name!r} is of the unknown type {given.elem_type}") from None
        whole = dtype if np.dtype(dtype).kind in "iu" and dtype != "uint64" else None
        shape: Shape = tuple(size for size in sizes[1:] if size)
        return Input(shape, whole, name=self._plain(info.name))

    def _value(self, part: Part, node: NodeProto) -> Value:
        sources = [self.values[tensor] for tensor in part.sources]
        if part.make is None:
            return sources[0]
        try:
            layer = part.make(self._name(node), [value.row_shape for value in sources])
            value = call(layer, sources if layer.MERGES else sources[0])
        except (TypeError, ValueError) as error:
            raise self.source.refusal(node, str(error)) from error
        self.arrays += [(layer, name, array, node) for name, array in part.arrays.items()]
        return value

    def _made(self, inputs: list[Value], outputs: list[Value], name: str | None, dtype: str) -> Model:
        made = Functional(inputs, outputs, name, dtype=dtype)
        values = made.values
        chain = all(value.sources == (below,) for below, value in itertools.pairwise(values))
        if len(inputs) > 1 or len(outputs) > 1 or not chain or outputs[0] is not values[-1]:
            return made
        return Sequential([value.layer for value in values], name=made.name, dtype=dtype)

    def _pair(self, layer: Layer, name: str, array: Array, node: NodeProto) -> tuple[Any, Array, str]:
        variable = next(v for v in layer.variables if v.name == name)
        return variable, array, f"{name} of node {node.name or node.output[0]!r}"

    @staticmethod
    def _plain(name: str) -> str:
        return re.sub("/+", "_", name.strip("/"))

    def _name(self, node: NodeProto) -> str:
        """A name for the layer of a node, which no other has."""
        first = self._plain(node.name) or self._plain(node.output[0]) or "layer"
        name, number = first, 1
        while name in self.names:
            name, number = f"{first}_{number}", number + 1
        self.names.add(name)
        return name
