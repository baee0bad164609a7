"""Models in one safetensors file: tensors by path, everything else as JSON in its metadata.

Tensors: "layer/variable" and "optimizer/<slot>/<layer/variable>". Metadata: "format" (evenflow), "format_version", and
for whole models "model", "compile" and "state". A file that does not fit is refused before the model is touched.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors, keywords, losses, metrics
from .custom_loss import CustomLoss
from .files import File, PathLike, Tensors, write
from .optimizer import MOMENTUM_PRODUCT
from .position import Position
from .reduction_metrics import MeanMetricWrapper
from .registry import describe

if TYPE_CHECKING:
    from .model import Model
    from .optimizer import Slots


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


def training_state(model: Model, wanted: str) -> tuple[Tensors, dict[str, Any]]:
    """Weights and optimizer slots by name, and as plain data what else training goes on from."""
    tensors = _weights(model, wanted)
    position = model.position
    state: dict[str, Any] = {"shuffle": model.shuffle_state, "epoch": position.epoch, "step": position.step}
    if model.optimizer is not None:
        batches, slots = model.optimizer.state()
        present = set(tensors)
        tensors |= {f"optimizer/{slot}/{path}": array for (slot, path), array in slots.items() if path in present}
        state["iterations"] = batches
        if MOMENTUM_PRODUCT in slots:
            state["momentum_product"] = float(slots[MOMENTUM_PRODUCT])
        state["undecayed"] = [v.path for v in model.variables if model.optimizer.excludes(v)]
    return tensors, state


def restore_training_state(file: File, model: Model, state: dict[str, Any]) -> None:
    """The inverse of `training_state`, after everything was found to fit."""
    try:
        batches = errors.integer(file.where, "iterations", state.get("iterations", 0), at_least=0)
        product = state.get("momentum_product", 1.0)
        product = errors.number(file.where, "momentum_product", product, at_least=0.0, at_most=1.0)
        epoch, step = (errors.integer(file.where, key, state.get(key, 0), at_least=0) for key in ("epoch", "step"))
        undecayed = [str(path) for path in state.get("undecayed", ())]
        check_shuffle_state(state["shuffle"])
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise file.damaged(f"its description of the training does not hold: {error}") from error
    slots = _take(file, model, optimizer_too=model.optimizer is not None)
    model.shuffle_state, model.position = state["shuffle"], Position(epoch, step)
    if model.optimizer is not None:
        if "undecayed" in state:
            model.optimizer.restore_exclusions(undecayed)
        if "momentum_product" in state:
            slots[MOMENTUM_PRODUCT] = np.array(product)
        model.optimizer.restore(batches, slots)


def check_shuffle_state(state: dict[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError where a model cannot shuffle from this state."""
    np.random.Generator(np.random.PCG64(0)).bit_generator.state = state


def save_weights(model: Model, filepath: PathLike, *, overwrite: bool) -> None:
    """What `Model.save_weights` does."""
    write(filepath, _weights(model, "save_weights"), {}, overwrite=overwrite)


@keywords.checked
def load_model(filepath: PathLike, custom_objects: Mapping[str, object] | None = None, compile: bool = True) -> Model:
    """The model that `Model.save` wrote, with optimizer state and shuffling: `fit` goes on where it stopped.

    `custom_objects`: what no file holds, by name: the functions of a custom loss or metric. `compile=False`: without
    optimizer, loss and metrics.
    """
    from .model import Model

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


def _described(metric: metrics.Metric | str) -> str | dict[str, Any]:
    return metric if isinstance(metric, str) else describe(metric)


def _each(of_outputs: list[Any]) -> Any:
    return of_outputs[0] if len(of_outputs) == 1 else of_outputs


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


def load_weights(model: Model, filepath: PathLike) -> None:
    """What `Model.load_weights` does."""
    _weights(model, "load_weights")
    _take(File("load_weights", filepath), model, optimizer_too=False)


def _weights(model: Model, wanted: str) -> Tensors:
    if not model.built:
        raise ValueError(
            f"{model.name}.{wanted}: the model has no weights yet: add Input(shape=...) or call build or fit"
        )
    return {variable.path: variable.numpy() for variable in model.variables}


def _take(file: File, model: Model, *, optimizer_too: bool) -> Slots:
    """Put the file's tensors into the model after all of them were found to fit; the optimizer's are returned."""
    variables = {variable.path: variable for variable in model.variables}
    slots: Slots = {}
    for name, shape in file.shapes.items():
        kind, _, rest = name.partition("/")
        if kind == "backup" and "backup" in file.metadata:
            continue
        slot, _, path = rest.partition("/")
        owner = variables.get(name) or (variables.get(path) if kind == "optimizer" else None)
        if owner is None:
            raise file.damaged(f"tensor {name!r} belongs to no variable of model {model.name!r}")
        if shape != owner.shape:
            raise file.damaged(f"tensor {name!r} has shape {shape}, the model's has {owner.shape}")
        if name not in variables and optimizer_too:
            slots[slot, path] = file.tensor(name, owner.dtype)
    missing = [path for path in variables if path not in file.shapes]
    if missing:
        raise file.damaged(f"it has no tensor {missing[0]!r}")
    values = {path: file.tensor(path, variable.dtype) for path, variable in variables.items()}
    for path, variable in variables.items():
        variable.adopt(values[path])
    return slots
