"""Keywords that a function does not have are refused with the nearest one that it has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from .. import errors

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the same function with such an error. What takes any keyword comes back as it is."""
    code = function.__code__
    if code.co_flags & inspect.CO_VARKEYWORDS:
        return function
    names = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
    known = frozenset(names)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and not kwargs.keys() <= known:
            where = type(args[0]).__name__ if code.co_name == "__init__" else code.co_name
            raise errors.unknown_argument(where, kwargs.keys() - known, [name for name in names if name != "self"])
        return function(*args, **kwargs)

    return call


class Checked:
    """Base class of what is made by keywords: `__init__` of each subclass is `checked`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            type.__setattr__(cls, "__init__", checked(vars(cls)["__init__"]))
