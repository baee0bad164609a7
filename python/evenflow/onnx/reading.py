"""An ONNX file as it is read: constants by name, and the node that makes each tensor."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, checker, helper, inliner, load_model_from_string
from onnx.external_data_helper import load_external_data_for_model

from ..convert.filling import existing, unusable
from .graph import array_of

Array = NDArray[Any]
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
# What makes an array of another: values the same, never more of them.
FOLDED: dict[str, Callable[[Array, dict[str, Any]], Array]] = {
    "Identity": lambda array, _: array,
    "Transpose": lambda array, given: np.transpose(array, given.get("perm")),
    "Cast": lambda array, given: array.astype(helper.tensor_dtype_to_np_dtype(given["to"])),
}
VALUES = ("value_float", "value_floats", "value_int", "value_ints")


class Source:
    """A model in a file, checked; errors name the file, and the node."""

    def __init__(self, where: str, path: str | os.PathLike[str]) -> None:
        self.where, self.path = where, existing(where, path)
        self.proto = self._read()
        graph = self.proto.graph
        self.initializers = {tensor.name: tensor for tensor in graph.initializer}
        self.producers = {node.output[0]: node for node in graph.node if node.output}
        self._arrays: dict[str, Array] = {}

    def _read(self) -> ModelProto:
        try:
            proto = load_model_from_string(self.path.read_bytes())
            load_external_data_for_model(proto, str(Path(self.path).parent))  # only of files in this folder
            checker.check_model(proto)
            graph = proto.graph
            named = (graph, *graph.input, *graph.output, *graph.node, *graph.initializer)
            if not all(isinstance(one.name, str) for one in named):  # bytes where they are not UTF-8
                raise ValueError("a name is no text")
            return inliner.inline_local_functions(proto) if proto.functions else proto
        except Exception as error:  # of many kinds, from parsing and checking
            raise self.unusable(f"it is no valid ONNX model: {_first_line(error)}") from error

    def unusable(self, reason: str) -> ValueError:
        """The error that says why this file cannot be used."""
        return unusable(self.where, self.path, reason)

    def refusal(self, node: NodeProto, reason: str) -> ValueError:
        """The error of a node that has no counterpart."""
        name = node.name or (node.output[0] if node.output else "")
        operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        ends = [output.name for output in self.proto.graph.output]
        hint = f". The file has the outputs {ends}; outputs=[...] reads what some depend on" if len(ends) > 1 else ""
        return self.unusable(f"node {name!r}, operator {operator}: {reason}{hint}")

    # what a node says

    def attributes(self, node: NodeProto) -> dict[str, Any]:
        """A node's attributes by name; texts as str."""
        found = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}

    def producer(self, tensor: str, operator: str) -> NodeProto | None:
        """The node that makes a tensor, if it is of that operator."""
        node = self.producers.get(tensor)
        return node if node is not None and node.op_type == operator and node.domain in DOMAINS[:2] else None

    def constant(self, tensor: str) -> Array | None:
        """The array of a tensor that no input changes; None for others."""
        if tensor not in self._arrays:
            found = self._constant(tensor)
            if found is None:
                return None
            self._arrays[tensor] = found
        return self._arrays[tensor]

    def _constant(self, tensor: str) -> Array | None:
        chain: list[NodeProto] = []
        while tensor not in self.initializers:
            node = self.producers.get(tensor)
            if node is None:
                return None
            if node.op_type == "Constant":
                break
            if node.op_type not in FOLDED or node.domain not in DOMAINS[:2]:
                return None
            chain.append(node)
            tensor = node.input[0]
        try:
            array = self._array(tensor)
            for node in reversed(chain):
                array = FOLDED[node.op_type](array, self.attributes(node))
            return array
        except Exception as error:  # of a damaged tensor
            raise self.unusable(f"constant {tensor!r}: {_first_line(error)}") from error

    def _array(self, tensor: str) -> Array:
        if tensor in self.initializers:
            return _real(array_of(self.initializers[tensor]))
        given = self.attributes(self.producers[tensor])
        if "value" in given:
            return _real(array_of(given["value"]))
        key = next(name for name in VALUES if name in given)
        return np.asarray(given[key], np.float32 if "float" in key else np.int64)

    def needed(self, node: NodeProto, place: int) -> Array:
        """The constant that a node reads at this place."""
        found = self.optional(node, place)
        if found is None:
            expected = f"input {place} to be a constant" if place < len(node.input) else f"an input {place}"
            raise self.refusal(node, f"expected {expected}")
        return found

    def optional(self, node: NodeProto, place: int) -> Array | None:
        """The same, or None where the node reads nothing there; a value of other nodes is refused."""
        if place >= len(node.input) or not node.input[place]:
            return None
        found = self.constant(node.input[place])
        if found is None:
            raise self.refusal(node, f"expected input {place}, {node.input[place]!r}, to be a constant")
        return found


def _real(array: Array) -> Array:
    """Numbers that NumPy computes with: of half precision, float32."""
    if array.dtype.kind in "OSU":
        raise TypeError("expected numbers, received texts")
    half = array.dtype.itemsize < 4 and array.dtype.kind not in "iub"
    return array.astype(np.float32) if half else array


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
