"""Weights and the state of a training, by name: tensors "layer/variable" and "optimizer/<slot>/<layer/variable>".

A file that does not fit is refused before the model is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors
from ..optimizers.base import MOMENTUM_PRODUCT
from .files import File, PathLike, Tensors, write

if TYPE_CHECKING:
    from ..models.model import Model
    from ..optimizers.base import Slots


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
    model.shuffle_state = state["shuffle"]
    model.position.move(epoch, step)
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
