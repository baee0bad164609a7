"""Keras' arguments of `compile` on how a backend runs a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import errors

KNOWN = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "device")
IGNORED = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")


def check_execution(where: str, given: Mapping[str, Any]) -> None:
    """Raise where one of these arguments is unknown or cannot be meant.

    run_eagerly, steps_per_execution, jit_compile and auto_scale_loss change nothing: whole epochs run natively, nothing
    is compiled just in time, and no loss needs scaling.
    """
    unknown = given.keys() - set(IGNORED)
    if unknown:
        raise errors.unknown_argument(where, unknown, [*KNOWN, *IGNORED])
    for name, value in given.items():
        if name == "steps_per_execution":
            errors.integer(where, name, value, at_least=1)
        elif not (name == "jit_compile" and value == "auto"):
            errors.boolean(where, name, value)
