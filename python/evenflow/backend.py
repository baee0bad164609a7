"""Keras' `keras.backend`, as far as notebooks on dense networks use it."""

from __future__ import annotations

from typing import Any

from . import errors
from .common.naming import clear_session

__all__ = ["clear_session", "get_value", "set_value"]


def get_value(x: Any) -> Any:
    """The value of a variable, or of `optimizer.learning_rate`, as NumPy has it; other things as they are."""
    return x.numpy() if hasattr(x, "numpy") else x


def set_value(x: Any, value: Any) -> None:
    """Assign to a variable, or to `optimizer.learning_rate`."""
    if not hasattr(x, "assign"):
        raise errors.wrong_type("set_value", "x", "a variable, or optimizer.learning_rate", x)
    x.assign(value)
