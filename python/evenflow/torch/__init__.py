"""A door to PyTorch: its optimizers by name, and layers and native optimizers for PyTorch's own training loops.

Without PyTorch: SGD, Adam, AdamW, NAdam, Adamax, Adagrad, Adadelta, RMSprop describe an optimizer for `compile`, with
PyTorch's arguments, defaults and arithmetic (`evenflow.optimizers.torch`). Importing this package imports no torch.

With PyTorch, imported when first asked for:

FusedDense, FusedMLP    nn.Module: Linear, BatchNorm1d, activation and dropout in one native call each way
from_torch              an nn.Sequential whose layers run fused where they can
optim                   SGD, Adam, AdamW, NAdam, RMSprop, Adagrad: torch.optim's classes with native steps
clip_grad_norm_         as torch.nn.utils.clip_grad_norm_, native

`AdamW(model.parameters(), lr=1e-3)` is `optim.AdamW(...)`: an optimizer that is given parameters is PyTorch's kind.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..optimizers.torch import REGISTRY as REGISTRY, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RMSprop

if TYPE_CHECKING:
    from . import optim as optim
    from .modules import (
        FusedDense as FusedDense,
        FusedMLP as FusedMLP,
        FusedSequential as FusedSequential,
        from_torch as from_torch,
    )
    from .optim import clip_grad_norm_ as clip_grad_norm_

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RMSprop"]
ON_DEMAND = {
    "FusedDense": "modules",
    "FusedMLP": "modules",
    "FusedSequential": "modules",
    "from_torch": "modules",
    "clip_grad_norm_": "optim",
}


def __getattr__(name: str) -> Any:
    if name == "optim":
        return import_module(f"{__name__}.optim")
    if name in ON_DEMAND:
        return getattr(import_module(f"{__name__}.{ON_DEMAND[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *ON_DEMAND, "optim"])
