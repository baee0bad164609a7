"""load_model: the inverse of `saving`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import losses, metrics
from ..common import keywords
from ..losses.custom import CustomLoss
from ..metrics.reductions import MeanMetricWrapper
from ..saving.files import File, PathLike
from ..saving.state import restore_training_state
from .model import Model


@keywords.checked
def load_model(filepath: PathLike, custom_objects: Mapping[str, object] | None = None, compile: bool = True) -> Model:
    """The model that `Model.save` wrote, with optimizer state and shuffling: `fit` goes on where it stopped.

    `custom_objects`: what no file holds, by name: the functions of a custom loss or metric. `compile=False`: without
    optimizer, loss and metrics.
    """
    file = File("load_model", filepath)
    if "model" not in file.metadata:
        raise file.damaged("it holds weights only: make the model and use its load_weights")
    try:
        config = file.json("model")
        model = Model.from_config(config)
        compiled = file.json("compile") if compile and "compile" in file.metadata else None
        if compiled is not None:
            objects = custom_objects or {}
            several = len(model.output_names) > 1
            loss = compiled["loss"]
            loss = [_loss(one, objects) for one in loss] if several else _loss(loss, objects)
            listed, weighted = (
                [_metrics(one, objects) for one in compiled[key]]
                if several
                else _metrics(compiled.get(key, []), objects)
                for key in ("metrics", "weighted_metrics")
            )
            model.compile(compiled["optimizer"], loss, compiled.get("loss_weights"), listed, weighted)
        state = file.json("state")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise file.damaged(f"its description of the model does not hold: {error}") from error
    restore_training_state(file, model, state)
    return model


def _loss(described: Any, custom_objects: Mapping[str, object]) -> object:
    if described is None or described["class_name"] != CustomLoss.__name__:
        return described
    name = described["config"]["name"]
    if name not in custom_objects:
        raise ValueError(
            f"its loss is the Python function {name!r}: expected custom_objects={{{name!r}: function}} or compile=False"
        )
    return losses.get(custom_objects[name], "load_model", "custom_objects")


def _metrics(described: Any, custom_objects: Mapping[str, object]) -> list[object]:
    return [_metric(one, custom_objects) for one in described]


def _metric(described: Any, custom_objects: Mapping[str, object]) -> object:
    if isinstance(described, str) or described["class_name"] != MeanMetricWrapper.__name__:
        return described if isinstance(described, str) else metrics.get(described)
    config = dict(described["config"])
    name = config.pop("fn")
    if name not in custom_objects:
        raise ValueError(
            f"a metric is the Python function {name!r}: expected custom_objects={{{name!r}: function}} or compile=False"
        )
    return MeanMetricWrapper(custom_objects[name], **config)  # type: ignore[arg-type]  # which it checks
