"""The calls of a model's layers, in order, whatever kind of model it is: for what makes the same network elsewhere."""

from __future__ import annotations

from typing import NamedTuple

from ..layers import InputLayer
from ..layers.base import Layer, Shape
from .functional import Functional
from .model import Model
from .sequential import Sequential


class Call(NamedTuple):
    """A layer that is called: a name of the value it gives, those of what it reads, and the shape of a row of it."""

    name: str
    layer: Layer
    sources: tuple[str, ...]
    row_shape: Shape


def calls_of(model: Model) -> tuple[list[Call], list[str]]:
    """The calls of a model with weights, inputs first, each after what it reads; and the names of those that give
    its outputs. Raises where a layer has come to give other columns. Changes nothing."""
    if isinstance(model, Functional):
        model.infer_output_shape(())
        names = model.value_names
        rest = [value for value in model.values if value not in model.inputs]
        listed = [
            Call(names[v.number], v.layer, tuple(names[source.number] for source in v.sources), v.row_shape)
            for v in (*model.inputs, *rest)
        ]
        return listed, [names[value.number] for value in model.outputs]
    assert isinstance(model, Sequential)
    shape: Shape = tuple(size for size in model.input_shape[1:] if size is not None)
    model.infer_output_shape(shape)
    stack = model.stack
    if not isinstance(stack[0], InputLayer):
        taken = {layer.name for layer in stack}
        free = next(name for name in ("input", *(f"input_{n}" for n in range(len(stack)))) if name not in taken)
        stack.insert(0, InputLayer(shape, name=free))
    listed = [Call(stack[0].name, stack[0], (), shape)]
    for layer in stack[1:]:
        shape = layer.compute_output_shape(shape)
        listed.append(Call(layer.name, layer, (listed[-1].name,), shape))
    return listed, [listed[-1].name]
