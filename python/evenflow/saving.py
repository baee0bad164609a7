"""Models in one safetensors file: tensors by path, everything else as JSON in its metadata.

Tensors: "layer/variable" and "optimizer/<slot>/<layer/variable>". Metadata: "format" (evenflow), "format_version", and
for whole models "model", "compile" and "state". Reading looks names up and compares shapes; it never runs code from the
file, and a file that does not fit is refused before the model is touched.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import errors, keywords, losses, metrics
from .custom_loss import CustomLoss
from .optimizer import MOMENTUM_PRODUCT
from .reduction_metrics import MeanMetricWrapper
from .registry import describe

if TYPE_CHECKING:
    from .model import Model
    from .optimizer import Slots

Tensors = dict[str, NDArray[Any]]
PathLike = str | os.PathLike[str]

FORMAT = "evenflow"
VERSION = 1
FOREIGN = (".keras", ".h5", ".hdf5", ".pt", ".pth", ".onnx", ".pkl", ".npz")


def save_model(model: Model, filepath: PathLike, *, overwrite: bool) -> None:
    """What `Model.save` does."""
    tensors = _weights(model, "save")
    metadata = {"model": json.dumps(model.get_config())}
    state: dict[str, Any] = {"shuffle": model.shuffle_state}
    if model.optimizer is not None:
        batches, slots = model.optimizer.state()
        present = set(tensors)
        tensors |= {f"optimizer/{slot}/{path}": array for (slot, path), array in slots.items() if path in present}
        state["iterations"] = batches
        if MOMENTUM_PRODUCT in slots:
            state["momentum_product"] = float(slots[MOMENTUM_PRODUCT])
        if isinstance(model.loss, CustomLoss):
            name = model.loss.name
            warnings.warn(
                f"save: the loss is the Python function {name!r}, which no file holds: to load this model, give "
                f"load_model(..., custom_objects={{{name!r}: function}}), or compile=False",
                UserWarning,
                stacklevel=3,
            )
        functions = [
            m.function_name for m in model.metrics + model.weighted_metrics if isinstance(m, MeanMetricWrapper)
        ]
        if functions:
            wanted = ", ".join(f"{name!r}: function" for name in functions)
            warnings.warn(
                f"save: metrics are Python functions, which no file holds: to load this model, give "
                f"load_model(..., custom_objects={{{wanted}}}), or compile=False",
                UserWarning,
                stacklevel=3,
            )
        state["undecayed"] = [v.path for v in model.variables if model.optimizer.excludes(v)]
        metadata["compile"] = json.dumps(
            {
                "optimizer": describe(model.optimizer),
                "loss": None if model.loss is None else describe(model.loss),
                "loss_weights": model.loss_weights,
                "metrics": [_described(metric) for metric in model.metrics],
                "weighted_metrics": [_described(metric) for metric in model.weighted_metrics],
            }
        )
    metadata["state"] = json.dumps(state)
    _write(filepath, tensors, metadata, overwrite=overwrite)


def save_weights(model: Model, filepath: PathLike, *, overwrite: bool) -> None:
    """What `Model.save_weights` does."""
    _write(filepath, _weights(model, "save_weights"), {}, overwrite=overwrite)


@keywords.checked
def load_model(filepath: PathLike, custom_objects: Mapping[str, object] | None = None, compile: bool = True) -> Model:
    """The model that `Model.save` wrote, with optimizer state and shuffling: `fit` goes on where it stopped.

    `custom_objects`: what no file holds, by name: the functions of a custom loss or metric. `compile=False`: without
    optimizer, loss and metrics.
    """
    from .functional import Functional
    from .models import Sequential

    file = _File("load_model", filepath)
    if "model" not in file.metadata:
        raise file.damaged("it holds weights only: make the model and use its load_weights")
    try:
        config = file.json("model")
        kind = Functional if "outputs" in config else Sequential
        model: Model = kind.from_config(config)
        compiled = file.json("compile") if compile and "compile" in file.metadata else None
        if compiled is not None:
            objects = custom_objects or {}
            loss = _loss(compiled["loss"], objects)
            listed, weighted = (
                [_metric(m, objects) for m in compiled.get(key, [])] for key in ("metrics", "weighted_metrics")
            )
            model.compile(compiled["optimizer"], loss, compiled.get("loss_weights"), listed, weighted)
        state = file.json("state")
        if model.optimizer is not None and "undecayed" in state:
            model.optimizer.restore_exclusions(state["undecayed"])
        model.shuffle_state = state["shuffle"]
        batches = errors.integer("load_model", "iterations", state.get("iterations", 0), at_least=0)
        product = state.get("momentum_product", 1.0)
        product = errors.number("load_model", "momentum_product", product, at_least=0.0, at_most=1.0)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise file.damaged(f"its description of the model does not hold: {error}") from error
    slots = _take(file, model, optimizer_too=model.optimizer is not None)
    if model.optimizer is not None:
        if "momentum_product" in state:
            slots[MOMENTUM_PRODUCT] = np.array(product)
        model.optimizer.restore(batches, slots)
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
    _take(_File("load_weights", filepath), model, optimizer_too=False)


def _weights(model: Model, wanted: str) -> Tensors:
    if not model.built:
        raise ValueError(
            f"{model.name}.{wanted}: the model has no weights yet: add Input(shape=...) or call build or fit"
        )
    return {variable.path: variable.numpy() for variable in model.variables}


def _take(file: _File, model: Model, *, optimizer_too: bool) -> Slots:
    """Put the file's tensors into the model after all of them were found to fit; the optimizer's are returned."""
    variables = {variable.path: variable for variable in model.variables}
    slots: Slots = {}
    for name, shape in file.shapes.items():
        kind, _, rest = name.partition("/")
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
        variable.assign(values[path])
    return slots


class _File:
    """An evenflow file, checked as far as it can be without a model."""

    def __init__(self, where: str, filepath: PathLike) -> None:
        from safetensors import SafetensorError, safe_open

        self.where, self.path = where, Path(filepath)
        if not self.path.is_file():
            raise FileNotFoundError(f"{where}: there is no file {str(self.path)!r}")
        try:
            file: Any = safe_open(self.path, framework="numpy")
            self.shapes: dict[str, tuple[int, ...]] = {
                n: tuple(file.get_slice(n).get_shape()) for n in list(file.keys())
            }
            self.metadata: dict[str, str] = file.metadata() or {}
        except (SafetensorError, OSError, ValueError) as error:
            raise self.damaged(f"it is not a whole safetensors file: {error}") from error
        self._file = file
        if self.metadata.get("format") != FORMAT:
            raise self.damaged("it is a safetensors file of another program")
        version = self.metadata.get("format_version", "")
        if not version.isdecimal() or not 1 <= int(version) <= VERSION:
            raise self.damaged(f"its format version is {version!r}, this evenflow reads up to {VERSION}")

    def damaged(self, reason: str) -> ValueError:
        return ValueError(f"{self.where}: cannot use {str(self.path)!r}: {reason}")

    def json(self, key: str) -> Any:
        return json.loads(self.metadata[key])

    def tensor(self, name: str, dtype: str) -> NDArray[Any]:
        from safetensors import SafetensorError

        try:
            array: NDArray[Any] = self._file.get_tensor(name)
        except (SafetensorError, TypeError, ValueError) as error:
            raise self.damaged(f"tensor {name!r} cannot be read: {error}") from error
        if array.dtype != np.dtype(dtype):
            raise self.damaged(f"tensor {name!r} has dtype {array.dtype}, the model's has {dtype}")
        return array


def _write(filepath: PathLike, tensors: Tensors, metadata: dict[str, str], *, overwrite: bool) -> None:
    """Write beside the target, flush to the disk, rename: a reader sees the old file or the new one, never a part."""
    from safetensors.numpy import save

    target = Path(os.path.realpath(filepath))
    if target.suffix in FOREIGN:
        raise ValueError(
            f"save: {str(filepath)!r}: evenflow writes safetensors files, "
            f"expected a name such as {target.stem + '.safetensors'!r}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(filepath)!r} is a folder, expected the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: {str(filepath)!r}: there is no folder {str(target.parent)!r}")
    if not overwrite and target.exists():
        raise FileExistsError(f"save: {str(filepath)!r} exists and overwrite=False")
    content = save(tensors, {"format": FORMAT, "format_version": str(VERSION), **metadata})
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself must reach the disk too; only POSIX can say so
        folder = os.open(target.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
