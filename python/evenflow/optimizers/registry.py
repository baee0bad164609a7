"""From a name or a serialized form to an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..common.registry import Registry
from .base import Optimizer as Optimizer
from .rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop

if TYPE_CHECKING:
    pass


REGISTRY = Registry(
    Optimizer,
    (SGD, Adam, AdamW, Nadam, Adamax, Adagrad, Adadelta, RMSprop, Lion),
    aliases={cls.__name__.lower(): cls for cls in (AdamW, RMSprop)},
    example="Adam(learning_rate=0.001)",
)


def get(identifier: object, where: str = "get", argument: str = "optimizer") -> Optimizer:
    """An optimizer from a name, an optimizer, or its serialized form (which is without state)."""
    if isinstance(identifier, Mapping) and str(identifier.get("class_name")).startswith("torch."):
        from . import torch

        return torch.REGISTRY.make(where, argument, identifier)
    return REGISTRY.make(where, argument, identifier)
