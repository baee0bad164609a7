"""The graph of an ONNX model while it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ..layers.base import Layer, Shape
from ..layers.variables import Variable

ML = "ai.onnx.ml"  # the domain of operators such as LabelEncoder
OF_CONSTANTS = "constants/"  # how the names of what is no variable begin


class Graph:
    """Nodes, and arrays that they read. Numbers are of the model's dtype, ids of int64; tensors are known by name."""

    def __init__(self, dtype: str, opset: int) -> None:
        self.dtype, self.opset = np.dtype(dtype), opset
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self.scope = ""  # the layer that is being written
        self._ids: set[str] = set()
        self._used: dict[str, int] = {}
        self._constants: dict[tuple[Any, ...], str] = {}

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node of one output; its name is that of the layer, and the operator's."""
        name = f"{self.scope}/{operator}"
        number = self._used[name] = self._used.get(name, -1) + 1
        name = f"{name}_{number}" if number else name
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, values: ArrayLike, dtype: Any = None) -> str:
        """An array that is no variable, of the model's dtype unless another is given; the same one only once."""
        array = np.asarray(values, self.dtype if dtype is None else dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"{OF_CONSTANTS}{len(self._constants)}"
            self.initializers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    def variable(self, variable: Variable, shape: Sequence[int] | None = None) -> str:
        """A variable under its path, in another shape if one is given."""
        if variable.path not in self.initializers:
            array = variable.numpy()
            self.initializers[variable.path] = numpy_helper.from_array(
                array if shape is None else array.reshape(shape), variable.path
            )
        return variable.path

    def cast(self, tensor: str, dtype: Any) -> str:
        """The same values in another dtype."""
        return self.node("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    # ids and numbers

    def as_ids(self, tensor: str) -> str:
        """Declare that a tensor holds ids."""
        self._ids.add(tensor)
        return tensor

    def ids(self, tensor: str) -> str:
        """The tensor in int64."""
        return tensor if tensor in self._ids else self.as_ids(self.cast(tensor, np.int64))

    def holds_ids(self, tensor: str) -> bool:
        """Whether a tensor is of int64."""
        return tensor in self._ids

    def numbers(self, tensor: str) -> str:
        """The tensor in the model's dtype."""
        return self.cast(tensor, self.dtype) if tensor in self._ids else tensor

    def name(self, tensor: str, wanted: str) -> None:
        """Give the last tensor of a layer the layer's name, or that of an output."""
        if self.nodes and self.nodes[-1].output[0] == tensor and tensor.startswith(f"{self.scope}/"):
            self.nodes[-1].output[0] = wanted
        else:
            self.nodes.append(helper.make_node("Identity", [tensor], [wanted], name=f"{wanted}/Identity"))
        if tensor in self._ids:
            self._ids.add(wanted)


class Reading:
    """A layer, the tensors that it reads, and the shapes of their rows."""

    def __init__(self, layer: Layer, sources: Sequence[str], shapes: Sequence[Shape]) -> None:
        self.layer, self.sources, self.shapes = layer, tuple(sources), tuple(shapes)

    @property
    def source(self) -> str:
        return self.sources[0]

    @property
    def shape(self) -> Shape:
        return self.shapes[0]


class Term:
    """A tensor of numbers in a formula: `x * (x + 3.0)` writes nodes."""

    def __init__(self, graph: Graph, tensor: str) -> None:
        self.graph, self.tensor = graph, tensor

    def of(self, operator: str, *others: Term | float, **attributes: Any) -> Term:
        """operator(this, *others)"""
        names = [self._name(other) for other in others]
        return Term(self.graph, self.graph.node(operator, self.tensor, *names, **attributes))

    def constant(self, values: ArrayLike) -> Term:
        """An array of the model's dtype beside this one."""
        return Term(self.graph, self.graph.constant(values))

    def _name(self, other: Term | float) -> str:
        return other.tensor if isinstance(other, Term) else self.graph.constant(other)

    def __add__(self, other: Term | float) -> Term:
        return self.of("Add", other)

    def __sub__(self, other: Term | float) -> Term:
        return self.of("Sub", other)

    def __mul__(self, other: Term | float) -> Term:
        return self.of("Mul", other)

    def __truediv__(self, other: Term | float) -> Term:
        return self.of("Div", other)

    def __radd__(self, other: float) -> Term:
        return self.of("Add", other)

    def __rmul__(self, other: float) -> Term:
        return self.of("Mul", other)

    def __rtruediv__(self, other: float) -> Term:
        return self.constant(other).of("Div", self)

    def __neg__(self) -> Term:
        return self.of("Neg")

    def __gt__(self, other: Term | float) -> Term:
        return self.of("Greater", other)

    def __ge__(self, other: Term | float) -> Term:
        return self.of("GreaterOrEqual", other)

    def __le__(self, other: Term | float) -> Term:
        return self.of("LessOrEqual", other)

    def where(self, one: Term | float, other: Term | float) -> Term:
        """`one` where this is true, else `other`."""
        return self.of("Where", one, other)


def array_of(tensor: TensorProto, folder: str = "") -> NDArray[Any]:
    """A tensor as an array; those whose data lie beside the file are read from this folder."""
    found: NDArray[Any] = numpy_helper.to_array(tensor, folder)
    return found
