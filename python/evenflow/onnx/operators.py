"""Operators of ONNX as layers: what a node computes, with the nodes below it that belong to the same layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto, TensorProto

from .. import layers
from ..layers.base import Layer, Shape
from .activations import SELU
from .arithmetic import add, div, merge, mul, sub
from .parts import Part, Reader, dense_of, function_of, hard_sigmoid_of, layer_of, number_of, standardized
from .reading import Source

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
INTEGERS = (TensorProto.INT32, TensorProto.INT64)
WHOLE = (*INTEGERS, TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16, TensorProto.BOOL)


def part_of(source: Source, node: NodeProto) -> Part:
    """What a node stands for; ValueError with its name and operator where that has no counterpart."""
    key = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    if key not in READERS:
        raise source.refusal(node, f"not known here. Known: {', '.join(sorted(READERS))}")
    try:
        return READERS[key](source, node)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise source.refusal(node, f"damaged: {type(error).__name__} {error}") from error


# Dense layers


def _gemm(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    kernel, bias = source.needed(node, 1), source.optional(node, 2)
    if given.get("transA", 0):
        raise source.refusal(node, "expected transA=0, rows first")
    if given.get("transB", 0):
        kernel = kernel.T
    alpha, beta = (kernel.dtype.type(given.get(name, 1.0)) for name in ("alpha", "beta"))
    return dense_of(source, node, node.input[0], kernel * alpha, None if bias is None else bias * beta)


def _matmul(source: Source, node: NodeProto) -> Part:
    return dense_of(source, node, node.input[0], source.needed(node, 1), None)


def _concat(source: Source, node: NodeProto) -> Part:
    axis = source.attributes(node).get("axis")
    if axis not in (-1, 1):
        raise source.refusal(node, f"expected axis 1 or -1, received {axis}")
    return merge(functools.partial(layers.Concatenate, axis=axis))(source, node)


# Normalizations


def _batch_normalization(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    if given.get("training_mode", 0) or not given.get("spatial", 1):
        raise source.refusal(node, "expected inference mode: export the model after model.eval()")
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = {name: source.needed(node, place) for place, name in enumerate(names, 1)}
    settings = {"epsilon": given.get("epsilon", 1e-5), "momentum": given.get("momentum", 0.9)}
    return Part((node.input[0],), lambda name, _: layers.BatchNormalization(1, name=name, **settings), arrays)


def _layer_normalization(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    if given.get("axis", -1) not in (-1, 1):
        raise source.refusal(node, f"expected axis -1, received {given['axis']}")
    arrays = {"gamma": source.needed(node, 1)}
    beta = source.optional(node, 2)
    if beta is not None:
        arrays["beta"] = beta
    epsilon, center = given.get("epsilon", 1e-5), beta is not None
    return Part(
        (node.input[0],),
        lambda name, _: layers.LayerNormalization(epsilon=epsilon, center=center, name=name),
        arrays,
    )


def _rms_normalization(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    if given.get("axis", -1) not in (-1, 1):
        raise source.refusal(node, f"expected axis -1, received {given['axis']}")
    epsilon = given.get("epsilon", 1e-5)
    return Part(
        (node.input[0],),
        lambda name, _: layers.RMSNormalization(epsilon=epsilon, name=name),
        {"scale": source.needed(node, 1)},
    )


def _scaler(source: Source, node: NodeProto) -> Part:
    """(x - offset) * scale of scikit-learn's StandardScaler and its kin."""
    given = source.attributes(node)
    offset, scale = (np.asarray(given.get(name, missing)) for name, missing in (("offset", [0.0]), ("scale", [1.0])))
    offset, scale = np.broadcast_arrays(offset, scale)
    if not np.all(scale > 0):
        raise source.refusal(node, "expected scales above 0")
    if scale.size == 1:
        return layer_of(layers.Rescaling, node.input[0], number_of(scale), -number_of(offset) * number_of(scale))
    return standardized(source, node, node.input[0], offset, 1 / scale.astype(np.float64))


# Shapes, ids, and what passes through


def _passed(source: Source, node: NodeProto) -> Part:
    return Part((node.input[0],))


def _dropout(source: Source, node: NodeProto) -> Part:
    mode = source.optional(node, 2)
    if mode is not None and mode.any():
        raise source.refusal(node, "expected inference mode: export the model after model.eval()")
    return _passed(source, node)


def _cast(source: Source, node: NodeProto) -> Part:
    to = source.attributes(node)["to"]
    if to not in FLOATS and not (to in INTEGERS and _makes_ids(source, node)):
        raise source.refusal(node, "expected a cast to floats, or of an input to whole numbers that are ids")
    return Part((node.input[0],))


def _makes_ids(source: Source, node: NodeProto) -> bool:
    """Whether a cast is of an input that holds whole numbers, or whose whole numbers only choose rows of tables."""
    graph = source.proto.graph
    given = {i.name: i.type.tensor_type.elem_type for i in graph.input}.get(node.input[0])
    readers = [one for one in graph.node if node.output[0] in one.input]
    chooses = all(one.op_type == "Gather" and one.input[0] != node.output[0] for one in readers)
    return given is not None and (given in WHOLE or chooses)


def _flatten(source: Source, node: NodeProto) -> Part:
    axis = source.attributes(node).get("axis", 1)
    if axis != 1:
        raise source.refusal(node, f"expected axis 1, received {axis}")
    return layer_of(layers.Flatten, node.input[0])


def _reshape(source: Source, node: NodeProto) -> Part:
    shape = [int(size) for size in source.needed(node, 1).reshape(-1)]

    def make(name: str, shapes: Sequence[Shape]) -> Layer:
        if len(shape) != 2 or shape[1] not in (-1, math.prod(shapes[0])):
            raise ValueError(f"expected to flatten rows of shape {shapes[0]}, received the shape {tuple(shape)}")
        return layers.Flatten(name=name)

    return Part((node.input[0],), make)


def _gather(source: Source, node: NodeProto) -> Part:
    table, axis = source.needed(node, 0), source.attributes(node).get("axis", 0)
    if table.ndim != 2 or axis != 0 or table.dtype.kind != "f":
        raise source.refusal(node, f"expected rows of a table of floats, received axis {axis} of shape {table.shape}")
    rows, units = table.shape
    return Part((node.input[1],), lambda name, _: layers.Embedding(rows, units, name=name), {"embeddings": table})


# Activations


def _plain(kind: str, **attributes: tuple[str, float]) -> Reader:
    """An activation; attributes: the hyper-parameter that each stands for, and its default in ONNX."""

    def read(source: Source, node: NodeProto) -> Part:
        given = source.attributes(node)
        parameters = {own: float(given.get(name, default)) for name, (own, default) in attributes.items()}
        return function_of(node.input[0], kind, **parameters)

    return read


def _selu(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    if not all(math.isclose(given.get(name, value), value, rel_tol=1e-5) for name, value in SELU.items()):
        raise source.refusal(node, f"expected SELU's own alpha and gamma, received {given}")
    return function_of(node.input[0], "selu")


def _read_hard_sigmoid(source: Source, node: NodeProto) -> Part:
    kind = hard_sigmoid_of(source, node)
    if kind is None:
        raise source.refusal(node, "expected alpha 1/6 or 1/2 and beta 1/2")
    return function_of(node.input[0], kind)


def _gelu(source: Source, node: NodeProto) -> Part:
    tanh = source.attributes(node).get("approximate", "none") == "tanh"
    return function_of(node.input[0], "gelu_tanh" if tanh else "gelu")


def _over_units(kind: str) -> Reader:
    def read(source: Source, node: NodeProto) -> Part:
        axis = source.attributes(node).get("axis", -1)
        if axis not in (-1, 1):
            raise source.refusal(node, f"expected axis -1, received {axis}")
        return function_of(node.input[0], kind)

    return read


def _prelu(source: Source, node: NodeProto) -> Part:
    slope = source.needed(node, 1)
    shared = [1] if slope.size == 1 else None
    return Part(
        (node.input[0],), lambda name, _: layers.PReLU(shared_axes=shared, name=name), {"alpha": slope.reshape(-1)}
    )


def _clip(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    low, high = source.optional(node, 1), source.optional(node, 2)
    least = float(given.get("min", -math.inf)) if low is None else number_of(low)
    most = float(given.get("max", math.inf)) if high is None else number_of(high)
    if (least, most) == (-1, 1):
        return function_of(node.input[0], "hard_tanh")
    if least == 0 and most > 0:
        return layer_of(layers.ReLU, node.input[0], None if most >= np.finfo(np.float32).max else most)
    raise source.refusal(node, f"expected a ReLU with a limit, or -1 and 1, received {least} and {most}")


def _shrink(source: Source, node: NodeProto) -> Part:
    given = source.attributes(node)
    threshold, bias = float(given.get("lambd", 0.5)), float(given.get("bias", 0.0))
    if bias not in (0.0, threshold):
        raise source.refusal(node, f"expected a bias of 0 or lambd, received {bias}")
    return function_of(node.input[0], "soft_shrink" if bias else "hard_shrink", threshold=threshold)


READERS: Mapping[str, Reader] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Sum": merge(layers.Add),
    "Concat": _concat,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "RMSNormalization": _rms_normalization,
    "ai.onnx.ml.Scaler": _scaler,
    "Identity": _passed,
    "Dropout": _dropout,
    "Cast": _cast,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Gather": _gather,
    "Relu": _plain("relu"),
    "LeakyRelu": _plain("leaky_relu", alpha=("negative_slope", 0.01)),
    "ThresholdedRelu": _plain("threshold", alpha=("threshold", 1.0)),
    "PRelu": _prelu,
    "Elu": _plain("elu", alpha=("alpha", 1.0)),
    "Celu": _plain("celu", alpha=("alpha", 1.0)),
    "Selu": _selu,
    "Sigmoid": _plain("sigmoid"),
    "HardSigmoid": _read_hard_sigmoid,
    "HardSwish": _plain("hard_silu"),
    "Swish": _plain("swish", alpha=("beta", 1.0)),
    "Tanh": _plain("tanh"),
    "Softplus": _plain("softplus"),
    "Softsign": _plain("softsign"),
    "Mish": _plain("mish"),
    "Gelu": _gelu,
    "Exp": _plain("exponential"),
    "Clip": _clip,
    "Shrink": _shrink,
    "Softmax": _over_units("softmax"),
    "LogSoftmax": _over_units("log_softmax"),
}
