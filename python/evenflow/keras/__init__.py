"""A door to Keras: the fused layer within Keras' models on PyTorch, and models to Keras and back.

================  ================================================================================================
FusedDense        keras.layers.Layer: Dense, BatchNormalization, activation and Dropout in one native call each way
to_keras          a model of Keras with the layers and weights of one of evenflow
from_keras        a model of evenflow with the layers and weights of one of Keras
================  ================================================================================================

Keras is imported when one of them is used. FusedDense needs its PyTorch backend (KERAS_BACKEND=torch), the others take
any. Files of Keras are read without Keras by `evenflow.convert`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dense import FusedDense as FusedDense
    from .models import from_keras as from_keras, to_keras as to_keras

__all__ = ["FusedDense", "from_keras", "to_keras"]
ON_DEMAND = {"FusedDense": "dense", "from_keras": "models", "to_keras": "models"}


def __getattr__(name: str) -> Any:
    if name not in ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import keras  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ModuleNotFoundError(
            f"evenflow.keras.{name}: Keras is not installed; install it with: pip install keras torch"
        ) from error
    return getattr(import_module(f"{__name__}.{ON_DEMAND[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *ON_DEMAND])
