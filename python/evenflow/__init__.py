"""evenflow trains deep dense networks, fast and stably, on the processor you have.

`import evenflow` loads next to nothing: every module and name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .common import openmp as _openmp

if TYPE_CHECKING:
    from . import (
        activations,
        backend,
        callbacks,
        constraints,
        convert,
        datasets,
        initializers,
        jax as jax,
        keras as keras,
        kernels,
        layers,
        losses,
        many,
        metrics,
        models,
        onnx as onnx,
        optimizers,
        plotting,
        pretraining,
        recipes,
        reference,
        regularizers,
        sklearn as sklearn,
        torch as torch,
        utils,
    )
    from ._core import Program, __version__, num_threads, set_num_threads
    from .common.devices import get_device, set_device
    from .common.naming import clear_session
    from .common.seeds import set_seed
    from .layers import Input
    from .many import fit_many
    from .models import Model, Sequential
    from .models.recalibration import recalibrate_batch_norm
    from .optimizers import schedules
    from .reporting import report
    from .training.finder import find_learning_rate

_openmp.load()

_MODULES = (
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "convert",
    "datasets",
    "initializers",
    "jax",
    "keras",
    "kernels",
    "layers",
    "losses",
    "many",
    "metrics",
    "models",
    "onnx",
    "optimizers",
    "plotting",
    "pretraining",
    "recipes",
    "reference",
    "regularizers",
    "schedules",
    "sklearn",
    "torch",
    "utils",
)
_NAMES = {
    "Input": "layers",
    "Model": "models",
    "Program": "_core",
    "Sequential": "models",
    "__version__": "_core",
    "clear_session": "common.naming",
    "find_learning_rate": "training.finder",
    "fit_many": "many",
    "get_device": "common.devices",
    "num_threads": "_core",
    "recalibrate_batch_norm": "models.recalibration",
    "report": "reporting",
    "set_device": "common.devices",
    "set_num_threads": "_core",
    "set_seed": "common.seeds",
}

# Doors to other packages, some of which import them: not what `from evenflow import *` should bring.
_DOORS = ("jax", "keras", "onnx", "sklearn", "torch")

__all__ = [
    "Input",
    "Model",
    "Program",
    "Sequential",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "clear_session",
    "constraints",
    "convert",
    "datasets",
    "find_learning_rate",
    "fit_many",
    "get_device",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "many",
    "metrics",
    "models",
    "num_threads",
    "optimizers",
    "plotting",
    "pretraining",
    "recalibrate_batch_norm",
    "recipes",
    "reference",
    "regularizers",
    "report",
    "schedules",
    "set_device",
    "set_num_threads",
    "set_seed",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _NAMES:
        return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    from .errors import unknown_attribute

    raise unknown_attribute("evenflow", name, __dir__())


def __dir__() -> list[str]:
    return sorted([*__all__, *_DOORS])
