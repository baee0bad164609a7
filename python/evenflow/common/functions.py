"""Functions that a user gives: what they may be called with."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def takes(function: object, arguments: int, **keywords: Any) -> bool:
    """Whether something is a function of so many arguments, as far as it tells; classes are none."""
    if not callable(function) or isinstance(function, (type, np.ufunc)):
        return False
    try:
        inspect.signature(function).bind(*[None] * arguments, **keywords)
    except (TypeError, ValueError):  # other arguments, or a built-in function that does not tell
        return False
    return True
