"""Arithmetic of ONNX: with constants, of values, and activations that exporters write out in it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from .. import layers
from ..layers.base import Layer
from .parts import Part, Reader, dense_of, function_of, hard_sigmoid_of, layer_of, number_of, standardized
from .reading import Array, Source


def _constant_and_tensor(source: Source, node: NodeProto) -> tuple[Array | None, str, bool]:
    """The constant of the two that a node reads, the other, and whether the constant comes first."""
    first, second = (source.constant(tensor) for tensor in node.input[:2])
    for array in (first, second):
        if array is not None and (array.ndim > 2 or array.size != (array.shape[-1] if array.shape else 1)):
            expected = "expected a number, or one number for each feature"
            raise source.refusal(node, f"{expected}, received an array of shape {array.shape}")
    if first is not None:
        return first, node.input[1], True
    return second, node.input[0], False


def _scaled(source: Source, node: NodeProto, tensor: str, scale: Array) -> Part:
    if scale.size == 1:
        return layer_of(layers.Rescaling, tensor, number_of(scale))
    return Part((tensor,), lambda name, _: layers.Scaling(name=name), {"scale": scale.reshape(-1)})


def add(source: Source, node: NodeProto) -> Part:
    """Two values, or a value and a constant: also the bias of a MatMul."""
    array, tensor, _ = _constant_and_tensor(source, node)
    if array is None:
        return merge(layers.Add)(source, node)
    below = source.producer(tensor, "MatMul")
    if below is not None and (kernel := source.constant(below.input[1])) is not None:
        return dense_of(source, below, below.input[0], kernel, array)
    if array.size == 1:
        return layer_of(layers.Rescaling, tensor, 1.0, number_of(array))
    return standardized(source, node, tensor, -array, np.ones_like(array))


def sub(source: Source, node: NodeProto) -> Part:
    """A constant from a value, or a value from a number."""
    array, tensor, first = _constant_and_tensor(source, node)
    if array is None or (first and array.size > 1):
        raise source.refusal(node, "expected a constant to be subtracted, or a number to subtract from")
    if array.size == 1:
        scale, offset = (-1.0, number_of(array)) if first else (1.0, -number_of(array))
        return layer_of(layers.Rescaling, tensor, scale, offset)
    return standardized(source, node, tensor, array, np.ones_like(array))


def div(source: Source, node: NodeProto) -> Part:
    """By a constant: also the deviation after a mean."""
    array, tensor, first = _constant_and_tensor(source, node)
    if array is None or first or not np.all(array != 0):
        raise source.refusal(node, "expected a constant to divide by, other than 0")
    if array.dtype.kind != "f":
        raise source.refusal(node, "expected a division of floats, received one of whole numbers, which drops the rest")
    if array.size == 1:
        return layer_of(layers.Rescaling, tensor, 1 / number_of(array))
    below = source.producer(tensor, "Sub")
    if below is not None and np.all(array > 0):
        mean, inner, subtracted_from = _constant_and_tensor(source, below)
        if mean is not None and not subtracted_from and mean.size == array.size:
            return standardized(source, node, inner, mean, array)
    return _scaled(source, node, tensor, 1 / array)


def mul(source: Source, node: NodeProto) -> Part:
    """Two values, or a value and a constant: also the activations x * f(x)."""
    array, tensor, _ = _constant_and_tensor(source, node)
    tensors, factor = _factors(source, node)
    if len(tensors) == 2:
        for x, gate in (tensors, tensors[::-1]):
            if factor == 0.5 and _is_erf_plus_one(source, x, gate):
                return function_of(x, "gelu")
            if factor == 1 and (found := _gated(source, x, gate)) is not None:
                return found
    if array is None:
        return merge(layers.Multiply)(source, node)
    return _scaled(source, node, tensor, array)


def _factors(source: Source, node: NodeProto) -> tuple[list[str], float]:
    """The tensors that a product is of, and the number: of this node, and of one or two below."""
    tensors: list[str] = []
    factor = 1.0
    for one in node.input:
        below = source.producer(one, "Mul")
        inner = [one] if below is None or len(tensors) > 1 else list(below.input)
        for tensor in inner:
            array = source.constant(tensor)
            if array is not None and array.size == 1:
                factor *= number_of(array)
            else:
                tensors.append(tensor)
    return tensors, factor


def _is_erf_plus_one(source: Source, x: str, gate: str) -> bool:
    """Whether a tensor is 1 + erf(x / sqrt(2))."""
    node = source.producer(gate, "Add")
    if node is None:
        return False
    one, tensor, _ = _constant_and_tensor(source, node)
    erf = source.producer(tensor, "Erf")
    if one is None or one.size != 1 or number_of(one) != 1 or erf is None:
        return False
    for operator, factor in (("Div", math.sqrt(2)), ("Mul", math.sqrt(0.5))):
        inside = source.producer(erf.input[0], operator)
        if inside is not None:
            number, of, first = _constant_and_tensor(source, inside)
            fits = number is not None and number.size == 1 and math.isclose(number_of(number), factor, rel_tol=1e-6)
            return fits and of == x and not (first and operator == "Div")
    return False


def _gated(source: Source, x: str, gate: str) -> Part | None:
    """x times something of x, where that is an activation."""
    sigmoid, tanh, hard = (source.producer(gate, name) for name in ("Sigmoid", "Tanh", "HardSigmoid"))
    if sigmoid is not None:
        if sigmoid.input[0] == x:
            return function_of(x, "silu")
        inside = source.producer(sigmoid.input[0], "Mul")
        if inside is not None:
            beta, tensor, _ = _constant_and_tensor(source, inside)
            if beta is not None and tensor == x:
                if beta.size == 1 and number_of(beta) >= 0:
                    return function_of(x, "swish", beta=number_of(beta))
                share = "layer" if beta.size == 1 else "unit"
                arrays = {"beta": beta.reshape(-1)}
                return Part((x,), lambda name, _: layers.Swish(trainable_beta=share, name=name), arrays)
    if tanh is not None:
        softplus = source.producer(tanh.input[0], "Softplus")
        if softplus is not None and softplus.input[0] == x:
            return function_of(x, "mish")
    if hard is not None and hard.input[0] == x and hard_sigmoid_of(source, hard) == "hard_sigmoid":
        return function_of(x, "hard_silu")
    return None


def merge(kind: Callable[..., Layer]) -> Reader:
    """A layer of several values."""

    def read(source: Source, node: NodeProto) -> Part:
        if len(node.input) < 2 or any(source.constant(tensor) is not None for tensor in node.input):
            raise source.refusal(node, "expected at least two values, none of them a constant")
        return Part(tuple(node.input), lambda name, _: kind(name=name))

    return read
