"""What several layers' values become, and which layers read which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import Array

MERGES = ("add", "multiply", "concatenate")


def merge_forward(kind: str, values: Sequence[Array]) -> Array:
    """The sum or product of values of one shape, or the values side by side."""
    if kind == "concatenate":
        return np.concatenate(values, axis=1)
    return sum(values[1:], values[0]) if kind == "add" else math.prod(values[1:], start=values[0])


def merge_backward(kind: str, dy: Array, values: Sequence[Array]) -> list[Array]:
    """From the gradient of the merged value to that of each."""
    if kind == "concatenate":
        return np.split(dy, np.cumsum([value.shape[1] for value in values[:-1]]), axis=1)
    if kind == "add":
        return [dy] * len(values)
    return [math.prod((other for j, other in enumerate(values) if j != i), start=dy) for i in range(len(values))]


def described_outputs(spec: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """Of each output the number of the layer that gives it, and what has its loss and metrics: those that "outputs"
    lists, else the last layer's."""
    number = {layer["name"]: i for i, layer in enumerate(spec["layers"])}
    if "outputs" not in spec:
        return [(len(number) - 1, spec)]
    return [(number[output["layer"]], output) for output in spec["outputs"]]


def sources(spec: Mapping[str, Any]) -> list[list[int]]:
    """The numbers of the layers that each layer reads: by their names in "inputs", else the one before; none: the
    network's only input."""
    number = {layer["name"]: i for i, layer in enumerate(spec["layers"])}
    found: list[list[int]] = []
    for i, layer in enumerate(spec["layers"]):
        if layer["kind"] == "input" or (i == 0 and not layer.get("inputs")):
            found.append([])
        else:
            found.append([number[name] for name in layer["inputs"]] if layer.get("inputs") else [i - 1])
    return found
