"""A model as an ONNX file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto, checker, defs, helper

from .. import errors
from ..layers import InputLayer
from ..layers.base import Layer, Shape
from ..layers.lookups import Lookup, StringLookup
from ..models.calls import Call, calls_of
from ..models.model import Model
from ..saving.files import write_file
from . import layers
from .graph import ML, OF_CONSTANTS, Graph, Reading

WHERE = "export"
OLDEST = 18  # since then axes of reductions are inputs
ML_OPSET = 3
LARGEST = (1 << 31) - (1 << 24)  # bytes of arrays: a file has less than 2 GiB in all
OWN = "evenflow."  # how the keys of the metadata begin that `load` reads
DESCRIPTION, DIGEST = f"{OWN}model", f"{OWN}digest"


def export_model(
    model: Model, path: str | os.PathLike[str] | None, opset: int, metadata: Mapping[str, str] | None
) -> ModelProto:
    """What `evenflow.onnx.export` does."""
    if not isinstance(model, Model):
        raise errors.wrong_type(WHERE, "model", "a model", model)
    if not model.built:
        raise ValueError(f"{WHERE}: model {model.name!r} has no weights yet: add Input(shape=...) or call build or fit")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        raise errors.wrong_type(WHERE, "path", "the path of a file", path)
    target = None if path is None else Path(path)
    if target is not None and target.suffix != ".onnx":
        raise errors.wrong_value(WHERE, "path", "a name that ends in .onnx", str(path))
    opset = errors.integer(WHERE, "opset", opset, at_least=OLDEST, at_most=defs.onnx_opset_version())
    size = sum(variable.nbytes for variable in model.variables)
    if size > LARGEST:
        raise ValueError(f"{WHERE}: the variables take {size:,} bytes, an ONNX file holds at most {LARGEST:,}")
    proto = _proto(model, opset, _read_metadata(metadata))
    checker.check_model(proto, full_check=True)
    if target is not None:
        write_file(target, proto.SerializeToString())
    return proto


def _read_metadata(given: object) -> dict[str, str]:
    """Texts of the user's, by names that are not ours."""
    expected = f"a dict of texts by names that do not begin with {OWN!r}"
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise errors.wrong_type(WHERE, "metadata", expected, given)
    for key, text in given.items():
        if not isinstance(key, str) or not isinstance(text, str) or key.startswith(OWN):
            raise errors.wrong_value(WHERE, "metadata", expected, {key: text})
    return dict(given)


def _proto(model: Model, opset: int, metadata: dict[str, str]) -> ModelProto:
    from .. import __version__

    graph = Graph(model.dtype, opset)
    steps, ends = calls_of(model)
    outputs = dict(zip(ends, model.output_names, strict=True))
    for step in steps:
        if isinstance(step.layer, InputLayer) and step.name in outputs.values():
            raise errors.wrong_value(WHERE, "outputs", "names that no input has", step.name)
    tensors: dict[str, str] = {}
    shapes: dict[str, Shape] = {}
    inputs: list[ValueInfoProto] = []
    for step in steps:
        graph.scope, shapes[step.name] = step.name, step.row_shape
        if isinstance(step.layer, InputLayer):
            info, tensors[step.name] = _input(graph, step, [s.layer for s in steps if step.name in s.sources])
            inputs.append(info)
            continue
        sources = [tensors[source] for source in step.sources]
        found = layers.write(graph, Reading(step.layer, sources, [shapes[source] for source in step.sources]))
        wanted = outputs.get(step.name, f"{step.name}/output" if step.name in outputs.values() else step.name)
        if found not in sources or step.name in outputs:
            if step.name in outputs:
                found = graph.numbers(found)
            graph.name(found, wanted)
            found = wanted
        tensors[step.name] = found
    element = helper.np_dtype_to_tensor_dtype(graph.dtype)
    results = [
        helper.make_tensor_value_info(output, element, ["batch", *shapes[name]]) for name, output in outputs.items()
    ]
    made = helper.make_graph(graph.nodes, model.name, inputs, results, list(graph.initializers.values()))
    opsets = [helper.make_opsetid("", opset)]
    if any(node.domain == ML for node in graph.nodes):
        opsets.append(helper.make_opsetid(ML, ML_OPSET))
    proto = helper.make_model(
        made, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets, ignore_unknown=True),
        producer_name="evenflow", producer_version=__version__,
    )  # fmt: skip
    own = {DESCRIPTION: json.dumps(model.get_config()), DIGEST: digest(proto)}
    helper.set_model_props(proto, metadata | own)
    return proto


def digest(proto: ModelProto) -> str:
    """SHA-256 of what a graph computes, weights aside: while it stands, the description of the model holds."""
    found = hashlib.sha256()
    graph = proto.graph
    for part in (*graph.node, *graph.input, *graph.output):
        found.update(part.SerializeToString(deterministic=True))
    for tensor in graph.initializer:
        if tensor.name.startswith(OF_CONSTANTS):
            found.update(tensor.SerializeToString(deterministic=True))
    return found.hexdigest()


def _input(graph: Graph, step: Call, readers: list[Layer]) -> tuple[ValueInfoProto, str]:
    """An input's type, and the tensor that layers read: of strings, of ids or of the model's dtype."""
    declared = getattr(step.layer, "dtype", None)
    ids = all(reader.READS_IDS or isinstance(reader, Lookup) for reader in readers)
    dtype: Any = np.dtype(np.int64) if ids else graph.dtype
    tensor = step.name
    if any(isinstance(reader, StringLookup) for reader in readers):
        element = helper.np_dtype_to_tensor_dtype(np.dtype(object))
    else:
        given = dtype if declared is None else np.dtype(declared)
        element = helper.np_dtype_to_tensor_dtype(given)
        if given != dtype:
            tensor = graph.cast(step.name, dtype)
        if ids:
            graph.as_ids(tensor)
    return helper.make_tensor_value_info(step.name, element, ["batch", *step.row_shape]), tensor
