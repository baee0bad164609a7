"""Models in one safetensors file: tensors by path (see `saving.state`), everything else as JSON in its metadata.

Metadata: "format" (evenflow), "format_version", and for whole models "model", "compile" and "state".
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from .. import metrics
from ..common.registry import describe
from ..losses.custom import CustomLoss
from ..metrics.reductions import MeanMetricWrapper
from ..saving.files import PathLike, write
from ..saving.state import training_state

if TYPE_CHECKING:
    from .model import Model


def save_model(model: Model, filepath: PathLike, *, overwrite: bool) -> None:
    """What `Model.save` does."""
    tensors, state = training_state(model, "save")
    metadata = {"model": json.dumps(model.get_config())}
    if model.optimizer is not None:
        objectives = model.objectives
        if objectives and isinstance(objectives[0].loss, CustomLoss):
            name = objectives[0].loss.name
            warnings.warn(
                f"save: the loss is the Python function {name!r}, which no file holds: to load this model, give "
                f"load_model(..., custom_objects={{{name!r}: function}}), or compile=False",
                UserWarning,
                stacklevel=3,
            )
        functions = [
            metric.function_name
            for objective in objectives
            for metric in objective.metrics + objective.weighted_metrics
            if isinstance(metric, MeanMetricWrapper)
        ]
        if functions:
            wanted = ", ".join(f"{name!r}: function" for name in functions)
            warnings.warn(
                f"save: metrics are Python functions, which no file holds: to load this model, give "
                f"load_model(..., custom_objects={{{wanted}}}), or compile=False",
                UserWarning,
                stacklevel=3,
            )
        metadata["compile"] = json.dumps(
            {
                "optimizer": describe(model.optimizer),
                "loss": _each([None if o.loss is None else describe(o.loss) for o in objectives]),
                "loss_weights": _each([objective.weight for objective in objectives]),
                "metrics": _each([[_described(metric) for metric in o.metrics] for o in objectives]),
                "weighted_metrics": _each([[_described(metric) for metric in o.weighted_metrics] for o in objectives]),
            }
        )
    metadata["state"] = json.dumps(state)
    write(filepath, tensors, metadata, overwrite=overwrite)


def _described(metric: metrics.Metric | str) -> str | dict[str, Any]:
    return metric if isinstance(metric, str) else describe(metric)


def _each(of_outputs: list[Any]) -> Any:
    return of_outputs[0] if len(of_outputs) == 1 else of_outputs
