"""Layers in inference mode as operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from .. import layers
from ..layers import axes
from ..layers.activation_base import ActivationLayer
from ..layers.base import Layer
from ..layers.lookups import Lookup
from . import activations
from .graph import ML, Graph, Reading, Term

Writer = Callable[[Graph, Reading], str]


def write(graph: Graph, call: Reading) -> str:
    """The tensor that comes out of a layer; ValueError for one that ONNX cannot express."""
    for kind in type(call.layer).__mro__:
        if kind in REFUSED:
            raise refusal(call.layer, REFUSED[kind])
        if kind in WRITERS:
            return WRITERS[kind](graph, call)
    raise refusal(call.layer, "this function does not know the class")


def refusal(layer: Layer, reason: str) -> ValueError:
    """A layer that cannot be written."""
    return ValueError(f"export: layer {layer.name!r} ({type(layer).__name__}) cannot be expressed in ONNX: {reason}")


def _activation(graph: Graph, tensor: str, layer: Any) -> str:
    """The activation within a layer."""
    return activations.write(graph, tensor, layer.activation, layer.learned)


def _same(graph: Graph, call: Reading) -> str:
    return call.source


def _flatten(graph: Graph, call: Reading) -> str:
    if len(call.shape) == 1:
        return call.source
    flat = graph.node("Flatten", call.source, axis=1)
    return graph.as_ids(flat) if graph.holds_ids(call.source) else flat


def _dense(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Dense, call.layer)
    x, kernel = graph.numbers(call.source), graph.variable(layer.kernel)
    if layer.use_bias:
        return _activation(graph, graph.node("Gemm", x, kernel, graph.variable(layer.bias)), layer)
    return _activation(graph, graph.node("MatMul", x, kernel), layer)


def _dense_transpose(graph: Graph, call: Reading) -> str:
    layer = cast(layers.DenseTranspose, call.layer)
    kernel = graph.variable(cast(layers.Dense, layer.dense).kernel)
    bias = [graph.variable(layer.bias)] if layer.use_bias else []
    return _activation(graph, graph.node("Gemm", graph.numbers(call.source), kernel, *bias, transB=1), layer)


def _of_activation(graph: Graph, call: Reading) -> str:
    layer = cast(ActivationLayer, call.layer)
    return activations.write(graph, call.source, layer.as_activation(), getattr(layer, "learned", None))


# Normalizations


def _aligned(kept: axes.Axes, call: Reading) -> list[int]:
    """The shape in which statistics of these axes stand against rows."""
    return [size if axis in kept else 1 for axis, size in enumerate(call.shape, 1)]


def _batch_normalization(graph: Graph, call: Reading) -> str:
    layer = cast(layers.BatchNormalization, call.layer)
    x, kept = graph.numbers(call.source), layer.kept_axes(call.shape)
    if len(call.shape) == 1 and graph.dtype == np.float32:  # its epsilon is of float32
        ones = np.ones(call.shape)
        gamma = graph.variable(layer.gamma) if layer.scale else graph.constant(ones)
        beta = graph.variable(layer.beta) if layer.center else graph.constant(0 * ones)
        statistics = graph.variable(layer.moving_mean), graph.variable(layer.moving_variance)
        return graph.node(
            "BatchNormalization", x, gamma, beta, *statistics, epsilon=layer.epsilon, momentum=layer.momentum
        )
    shape = _aligned(kept, call)
    deviation = (Term(graph, graph.variable(layer.moving_variance, shape)) + layer.epsilon).of("Sqrt")
    y = (Term(graph, x) - Term(graph, graph.variable(layer.moving_mean, shape))) / deviation
    if layer.scale:
        y = y * Term(graph, graph.variable(layer.gamma, shape))
    return (y + Term(graph, graph.variable(layer.beta, shape)) if layer.center else y).tensor


def _normalization(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Normalization, call.layer)
    kept = () if layer.axis is None else axes.kept(layer, axes.read(layer.label, layer.axis), call.shape)
    shape = _aligned(kept, call)
    mean = Term(graph, graph.variable(layer.mean, shape))
    deviation = Term(graph, graph.variable(layer.variance, shape)).of("Sqrt").of("Max", 1e-7)
    x = Term(graph, graph.numbers(call.source))
    return (x * deviation + mean if layer.invert else (x - mean) / deviation).tensor


def _layer_normalization(graph: Graph, call: Reading) -> str:
    layer = cast(layers.LayerNormalization, call.layer)
    tensor = graph.numbers(call.source)
    if graph.dtype == np.float32:  # the operator takes its means in it
        gamma = graph.variable(layer.gamma) if layer.scale else graph.constant(np.ones(call.shape))
        beta = [graph.variable(layer.beta)] if layer.center else []
        return graph.node("LayerNormalization", tensor, gamma, *beta, axis=-1, epsilon=layer.epsilon)
    x = Term(graph, tensor)
    x = x - _mean(x)
    y = x / (_mean(x * x) + layer.epsilon).of("Sqrt")
    if layer.scale:
        y = y * Term(graph, graph.variable(layer.gamma))
    return (y + Term(graph, graph.variable(layer.beta)) if layer.center else y).tensor


def _rms_normalization(graph: Graph, call: Reading) -> str:
    layer = cast(layers.RMSNormalization, call.layer)
    x = Term(graph, graph.numbers(call.source))
    y = x / (_mean(x * x) + layer.epsilon).of("Sqrt")
    return (y * Term(graph, graph.variable(layer.scale))).tensor


def _mean(x: Term) -> Term:
    """Of each row, [rows, 1]."""
    return Term(x.graph, x.graph.node("ReduceMean", x.tensor, x.graph.constant([-1], np.int64)))


# Arithmetic


def _rescaling(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Rescaling, call.layer)
    y = Term(graph, graph.numbers(call.source)) * layer.scale
    return (y + layer.offset if layer.offset else y).tensor


def _scaling(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Scaling, call.layer)
    return graph.node("Mul", graph.numbers(call.source), graph.variable(layer.scale))


def _merging(operator: str) -> Writer:
    """Of two values at a time."""

    def write_merge(graph: Graph, call: Reading) -> str:
        total, *others = map(graph.numbers, call.sources)
        for other in others:
            total = graph.node(operator, total, other)
        return total

    return write_merge


def _concatenate(graph: Graph, call: Reading) -> str:
    return graph.node("Concat", *map(graph.numbers, call.sources), axis=-1)


# Columns


def _embedding(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Embedding, call.layer)
    return graph.node("Gather", graph.variable(layer.embeddings), graph.ids(call.source), axis=0)


def _encode(graph: Graph, ids: str, mode: str, columns: int, ids_of_a_row: int) -> str:
    """Ids [rows, ids] as columns; an id that is none gives zeros."""
    if mode == "int":
        return graph.as_ids(ids)
    if ids_of_a_row > 1:
        ids = graph.node("Unsqueeze", ids, graph.constant([-1], np.int64))
    found = graph.node("Equal", ids, graph.constant(np.arange(columns), np.int64))
    encoded = graph.cast(found, graph.dtype)
    if mode == "one_hot" or ids_of_a_row == 1:
        return encoded
    over = "ReduceMax" if mode == "multi_hot" else "ReduceSum"
    return graph.node(over, encoded, graph.constant([1], np.int64), keepdims=0)


def _category_encoding(graph: Graph, call: Reading) -> str:
    layer = cast(layers.CategoryEncoding, call.layer)
    return _encode(graph, graph.ids(call.source), layer.output_mode, layer.num_tokens, call.shape[-1])


def _discretization(graph: Graph, call: Reading) -> str:
    layer = cast(layers.Discretization, call.layer)
    boundaries = graph.constant(layer.spec()[0]["boundaries"])
    last = graph.constant([-1], np.int64)
    x = graph.node("Unsqueeze", graph.numbers(call.source), last)
    passed = graph.node("Not", graph.node("Less", x, boundaries))  # so that NaN has passed all
    bins = graph.node("ReduceSum", graph.cast(passed, np.int64), last, keepdims=0)
    return _encode(graph, bins, layer.output_mode, layer.bins, call.shape[-1])


def _lookup(graph: Graph, call: Reading) -> str:
    layer = cast("Lookup[Any]", call.layer)
    tokens = layer.get_vocabulary(include_special_tokens=False)
    several, words = layer.num_oov_indices > 1, isinstance(layer, layers.StringLookup)
    if not tokens:
        raise refusal(layer, "the vocabulary is not known yet: call adapt(data) first")
    if several and words:
        raise refusal(layer, f"num_oov_indices={layer.num_oov_indices} needs a hash of words; one index would do")
    size = layer.vocabulary_size()
    ids = list(range(size - len(tokens), size))
    first = int(layer.mask_token is not None and layer.output_mode == "int")
    if layer.mask_token is not None:
        tokens, ids = [layer.mask_token, *tokens], [0 if layer.output_mode == "int" else layer.columns, *ids]
    keys = {"keys_strings" if words else "keys_int64s": tokens}
    other = first if layer.num_oov_indices == 1 else -1 if several else max(size, layer.columns) + 1
    found = graph.node("LabelEncoder", call.source, domain=ML, values_int64s=ids, default_int64=other, **keys)
    if several:  # the remainder tells which
        bucket = graph.node("Mod", call.source, graph.constant(layer.num_oov_indices, np.int64))
        bucket = graph.node("Add", bucket, graph.constant(first, np.int64))
        known = graph.node("GreaterOrEqual", found, graph.constant(0, np.int64))
        found = graph.node("Where", known, found, bucket)
    if layer.num_oov_indices == 0:  # what is not in the vocabulary is an index out of range
        found = graph.node("Gather", graph.constant(np.arange(max(size, layer.columns) + 1), np.int64), found)
    return _encode(graph, found, layer.output_mode, layer.columns, call.shape[-1])


WRITERS: Mapping[type[Layer], Writer] = {
    layers.InputLayer: _same,
    layers.Flatten: _flatten,
    layers.Dense: _dense,
    layers.DenseTranspose: _dense_transpose,
    layers.BatchNormalization: _batch_normalization,
    layers.Normalization: _normalization,
    layers.LayerNormalization: _layer_normalization,
    layers.RMSNormalization: _rms_normalization,
    **dict.fromkeys(
        (
            *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU),
            *(layers.Swish, layers.Softmax, layers.RReLU),
        ),
        _of_activation,
    ),
    layers.Rescaling: _rescaling,
    layers.Scaling: _scaling,
    layers.Embedding: _embedding,
    layers.CategoryEncoding: _category_encoding,
    layers.Discretization: _discretization,
    layers.StringLookup: _lookup,
    layers.IntegerLookup: _lookup,
    layers.Add: _merging("Add"),
    layers.Multiply: _merging("Mul"),
    layers.Concatenate: _concatenate,
    **dict.fromkeys(
        (
            *(layers.ActivityRegularization, layers.Dropout, layers.AlphaDropout),
            *(layers.GaussianNoise, layers.GaussianDropout),
        ),
        _same,
    ),
}
REFUSED: Mapping[type[Layer], str] = {}  # classes that no operator can express, with the reason
