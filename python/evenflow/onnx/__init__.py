"""A door to ONNX: models as files that other runtimes run, and networks of dense layers from such files.

================  ===================================================================
export            a model of evenflow as an ONNX model, written to a file if one is named
load              a model of evenflow from an ONNX file
================  ===================================================================

Both need the package onnx, which is imported when they are called: `pip install 'evenflow[onnx]'`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..common import keywords

if TYPE_CHECKING:
    from onnx import ModelProto

    from ..models.model import Model

__all__ = ["export", "load"]


@keywords.checked
def export(
    model: Model,
    path: str | os.PathLike[str] | None = None,
    opset: int = 20,
    *,
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """The model in inference mode as an `onnx.ModelProto`; written to `path`, which ends in .onnx, if that is given.

    Sequential and functional models with weights, all layers and activations, float32 and float64, any number of
    inputs, outputs and calls of a layer. Rows are the first dimension of inputs and outputs, of any number ("batch").
    Inputs, outputs and variables keep their names ("dense/kernel"), nodes are named after their layer. Ids of
    categories go in as int64, words of a StringLookup as strings, and what `Input(..., dtype=...)` declares as that.
    Dropout and noise are not there. The file also holds the description of the model, from which `load` makes it again.

    opset: the version of the operators, 18 or higher. metadata: texts by name, to be kept in the file.

    Operators stand for activations where ONNX has them, in float32; else, and in float64, for which runtimes have few,
    activations are written out in elementary ones. The Erf of GELU is computed in float32 also in float64: 1e-7 off.
    What is written has passed `onnx.checker`. Raises ValueError for a model without weights, a layer that ONNX cannot
    express (a StringLookup with several num_oov_indices, whose hash it does not have), a file of more than 2 GiB.
    """
    _need("export")
    from .exporting import export_model

    return export_model(model, path, opset, metadata)


@keywords.checked
def load(path: str | os.PathLike[str], outputs: Sequence[str] | None = None) -> Model:
    """The model in an ONNX file, not compiled: a Sequential where one layer follows the other, else a `Model`.

    Of files that `export` wrote, the same model with the same names and weights. Of others, multi-layer perceptrons in
    float32 or float64: Gemm, MatMul with Add, BatchNormalization, LayerNormalization, RMSNormalization, Embedding by
    Gather, Flatten, Dropout, arithmetic with constants, Add, Mul, Sum and Concat of values, and activations, also GELU,
    SiLU and Mish as they are written out. PyTorch and scikit-learn export such files. What is constant becomes weights.

    outputs: the names of the outputs to read, and what they depend on; default: all. A classifier of scikit-learn has
    labels beside its probabilities: outputs=["probabilities"].

    Raises ValueError for a file that is damaged, and for what has no counterpart here, with node and operator.
    """
    _need("load")
    from .loading import load_model

    return load_model(path, outputs)


def _need(where: str) -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{where}: onnx is not installed; install it with: pip install 'evenflow[onnx]'"
        ) from error


def __dir__() -> list[Any]:
    return __all__
