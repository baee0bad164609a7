"""What nodes of ONNX become: layers, the tensors that they are called on, and arrays for their variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto

from .. import layers
from ..activations import DEFAULTS
from ..layers.base import Layer, Shape
from .reading import Array, Source

Make = Callable[[str, Sequence[Shape]], Layer]  # of a name and the shapes of rows


@dataclass(frozen=True)
class Part:
    """A layer, the tensors that it is called on, and arrays for its variables by name. None: the tensor as it is."""

    sources: tuple[str, ...]
    make: Make | None = None
    arrays: Mapping[str, Array] = field(default_factory=dict)


Reader = Callable[[Source, NodeProto], Part]
DEVIATIONS = (1e-7, 1e19)  # Normalization takes no smaller ones; squares of larger ones are beyond float32


def layer_of(kind: Callable[..., Layer], tensor: str, *arguments: Any, **options: Any) -> Part:
    """A layer without arrays."""
    return Part((tensor,), lambda name, _: kind(*arguments, name=name, **options))


def function_of(tensor: str, kind: str, **parameters: float) -> Part:
    """An activation by the core's name."""
    data = {"kind": kind, "parameters": {**DEFAULTS[kind], **parameters}}
    return layer_of(layers.Activation, tensor, data)


def dense_of(source: Source, node: NodeProto, tensor: str, kernel: Array, bias: Array | None) -> Part:
    """A Dense layer of a kernel [inputs, units] and a bias that broadcasts to [units]."""
    if kernel.ndim != 2 or kernel.dtype.kind != "f" or 0 in kernel.shape:
        received = f"{kernel.dtype}{kernel.shape}"
        raise source.refusal(node, f"expected a kernel [inputs, units] of floats, received {received}")
    arrays, units = {"kernel": kernel}, kernel.shape[1]
    if bias is not None:
        if bias.size not in (1, units) or bias.shape[:-1] not in ((), (1,)):
            raise source.refusal(node, f"expected a bias ({units},), received {bias.shape}")
        arrays["bias"] = np.broadcast_to(bias.reshape(-1), (units,))

    def make(name: str, shapes: Sequence[Shape]) -> Layer:
        if shapes[0] != kernel.shape[:1]:
            raise ValueError(f"rows have shape {shapes[0]}, the kernel {kernel.shape}")
        return layers.Dense(units, use_bias=bias is not None, name=name)

    return Part((tensor,), make, arrays)


def number_of(array: Array) -> float:
    """The one element of a constant."""
    return float(array.reshape(()))


def standardized(source: Source, node: NodeProto, tensor: str, mean: Array, deviation: Array) -> Part:
    """(x - mean) / deviation, one of each for each feature."""
    mean, deviation = (np.asarray(part, np.float64).reshape(-1) for part in (mean, deviation))
    low, high = DEVIATIONS
    if not np.all((deviation >= low) & (deviation <= high)):
        raise source.refusal(node, f"expected deviations from {low} to {high}, which Normalization computes with")

    def make(name: str, shapes: Sequence[Shape]) -> Layer:
        if shapes[0] != mean.shape:
            raise ValueError(f"rows have shape {shapes[0]}, the constant {mean.shape}")
        return layers.Normalization(mean=mean, variance=deviation**2, name=name)

    return Part((tensor,), make)


def hard_sigmoid_of(source: Source, node: NodeProto) -> str | None:
    """The activation that a HardSigmoid of these attributes is."""
    given = source.attributes(node)
    slope, offset = given.get("alpha", 0.2), given.get("beta", 0.5)
    slopes = {"hard_sigmoid": 1 / 6, "sparse_sigmoid": 0.5}
    return next((k for k, s in slopes.items() if offset == 0.5 and math.isclose(slope, s, rel_tol=1e-5)), None)
