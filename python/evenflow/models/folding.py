"""Batch normalizations folded into the kernels beside them: the same outputs from fewer layers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..common.registry import describe
from ..layers import REGISTRY, Dense, DenseTranspose, Flatten
from ..layers.base import Layer
from ..layers.noise import NoiseLayer
from ..layers.normalization import BatchNormalization

if TYPE_CHECKING:
    from .sequential import Sequential

Array = NDArray[np.float64]

PASSED = (Flatten, NoiseLayer)  # layers that change no feature in inference


@dataclass
class _Affine:
    """x * scale + shift for each feature."""

    scale: Array
    shift: Array

    @classmethod
    def of(cls, layer: BatchNormalization) -> _Affine:
        """A batch normalization in inference: scale = gamma / sqrt(variance + epsilon), shift = beta - mean scale."""
        shape = cast("tuple[int, ...]", layer.input_shape[1:])
        kept = layer.kept_axes(shape)

        def each(values: Any) -> Array:  # from the shape of a statistic to one value for each feature of flat rows
            given = np.asarray(values, np.float64)
            aligned = given.reshape([size if axis in kept else 1 for axis, size in enumerate(shape, 1)])
            return np.broadcast_to(aligned, shape).reshape(-1)

        scale = 1 / np.sqrt(each(layer.moving_variance.numpy()) + layer.epsilon)
        if layer.scale:
            scale = scale * each(layer.gamma.numpy())
        shift = -each(layer.moving_mean.numpy()) * scale
        return cls(scale, shift + each(layer.beta.numpy()) if layer.center else shift)

    def then(self, other: _Affine) -> _Affine:
        """This one first, then the other."""
        return _Affine(self.scale * other.scale, self.shift * other.scale + other.shift)


@dataclass
class _Step:
    """A layer of the folded model; `kernel` and `bias` where it is a Dense layer, in float64."""

    layer: Layer
    kernel: Array | None = None
    bias: Array | None = None

    @classmethod
    def of(cls, layer: Layer) -> _Step:
        if not isinstance(layer, Dense):
            return cls(layer)
        kernel = layer.kernel.numpy().astype(np.float64)
        return cls(layer, kernel, layer.bias.numpy().astype(np.float64) if layer.use_bias else None)

    def fold_after(self, affine: _Affine) -> None:
        """(x w + b) scale + shift = x (w scale) + (b scale + shift)"""
        bias = np.zeros_like(affine.shift) if self.bias is None else self.bias
        self.kernel, self.bias = cast(Array, self.kernel) * affine.scale, bias * affine.scale + affine.shift

    def fold_before(self, affine: _Affine) -> None:
        """(x scale + shift) w + b = x (scale w) + (b + shift w), by rows of w"""
        kernel = cast(Array, self.kernel)
        bias = affine.shift @ kernel
        self.kernel, self.bias = kernel * affine.scale[:, None], bias if self.bias is None else self.bias + bias

    def copy(self) -> Layer:
        """A new layer of the same name, with a bias where one came to be."""
        description = describe(self.layer)
        if self.bias is not None:
            description["config"]["use_bias"] = True
        return REGISTRY.make("fold_batch_norm", "layers", description)

    def weights(self) -> list[Any]:
        if self.kernel is None:
            return list(self.layer.get_weights())
        own = [self.kernel] if self.bias is None else [self.kernel, self.bias]
        learned = cast(Dense, self.layer).learned
        return own if learned is None else [*own, *learned.get_weights()]


def fold_batch_norm(model: Sequential) -> Sequential:
    """What `Sequential.fold_batch_norm` does."""
    from .sequential import Sequential

    where = f"{model.name}.fold_batch_norm"
    if not model.built:
        raise ValueError(f"{where}: the model has no weights yet: add Input(shape=...) or call build or fit")
    for layer in model.layers:
        if isinstance(layer, DenseTranspose):
            raise ValueError(
                f"{where}: expected layers with kernels of their own, received {layer.label}, which transposes that of "
                f"{layer.dense_name!r}: fold Sequential(layers) of those below it"
            )
    steps, kept = _fold(model.layers)
    if not steps:
        raise ValueError(f"{where}: expected a layer besides batch normalizations, received none")
    folded = Sequential([step.copy() for step in steps], name=model.name, dtype=model.dtype, seed=model.seed)
    folded.build(model.input_shape)
    folded.feature_names = model.feature_names
    for layer, step in zip(folded.layers, steps, strict=True):
        layer.set_weights(step.weights())
    for layer, reason in kept:
        warnings.warn(f"{where}: {layer.name!r} stays: {reason}", UserWarning, stacklevel=3)
    return folded


def _fold(layers: Sequence[Layer]) -> tuple[list[_Step], list[tuple[Layer, str]]]:
    """The layers that are left, and which batch normalizations are among them, with the reason."""
    steps: list[_Step] = []
    kept: list[tuple[Layer, str]] = []
    pending: _Affine | None = None  # what is on its way up to a Dense layer
    held: list[Layer] = []  # the layers it comes from, and those it passed

    def stay(reason: str) -> None:
        nonlocal pending
        steps.extend(_Step.of(layer) for layer in held)
        kept.extend((layer, reason) for layer in held if isinstance(layer, BatchNormalization))
        held.clear()
        pending = None

    for layer in layers:
        below = steps[-1].layer if steps and pending is None else None
        if isinstance(layer, BatchNormalization):
            affine = _Affine.of(layer)
            if isinstance(below, Dense) and below.activation.kind == "linear":
                steps[-1].fold_after(affine)
            else:
                pending = affine if pending is None else pending.then(affine)
                held.append(layer)
        elif pending is not None and isinstance(layer, PASSED):
            held.append(layer)
        elif pending is not None and isinstance(layer, Dense):
            step = _Step.of(layer)
            step.fold_before(pending)
            steps.extend(_Step.of(other) for other in held if not isinstance(other, BatchNormalization))
            steps.append(step)
            held.clear()
            pending = None
        else:
            stay(f"{layer.label} comes between it and the next Dense layer")
            steps.append(_Step.of(layer))
    stay("no Dense layer comes after it")
    return steps, kept
