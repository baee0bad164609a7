"""A new model from layers, and foreign arrays put into its variables: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .. import errors
from ..layers.base import Layer
from ..layers.variables import Variable
from ..models import Sequential
from ..models.cloning import clone_layer
from ..models.model import Model

Array = NDArray[Any]
PathLike = str | os.PathLike[str]
Pairs = Iterable[tuple[Variable, Array, str]]  # a variable, its value, and what the source calls that


def blank(where: str, layers: object, change: Callable[[dict[str, Any]], None] | None = None) -> Model:
    """A model of the same layers with variables of its own; `change` may change the description of each layer."""
    if isinstance(layers, Model):
        model: Model = layers
    elif isinstance(layers, (list, tuple)):
        model = Sequential([clone_layer(layer) if isinstance(layer, Layer) else layer for layer in layers])
    else:
        raise errors.wrong_type(where, "layers", "a model or a list of layers", layers)
    config = model.get_config()
    if change is not None:
        for entry in config["layers"]:
            change(entry.get("layer", entry))
    return type(model).from_config(config)


def put(where: str, pairs: Pairs) -> None:
    """Assign every array, after all of them were found to fit."""
    checked = []
    for variable, array, name in pairs:
        if array.dtype.kind not in "fiu":
            raise errors.wrong_kind(where, repr(name), "an array of real numbers", f"dtype {array.dtype}")
        checked.append((variable, variable.check(f"{where}: {name!r}", array)))
    for variable, value in checked:
        variable.assign(value)


def existing(where: str, path: PathLike) -> Path:
    """The path of a file that is there."""
    if not isinstance(path, (str, os.PathLike)):
        raise errors.wrong_type(where, "path", "the path of a file", path)
    found = Path(path)
    if not found.is_file():
        raise FileNotFoundError(f"{where}: there is no file {str(found)!r}")
    return found


def unusable(where: str, path: Path, reason: str) -> ValueError:
    """A file that is damaged, or of something else."""
    return ValueError(f"{where}: cannot use {str(path)!r}: {reason}")
