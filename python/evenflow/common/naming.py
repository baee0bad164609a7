"""Names that number themselves as in Keras: dense, dense_1, batch_normalization, ..."""

from __future__ import annotations

import re
import threading
from collections import Counter

from .. import errors

_lock = threading.Lock()
_used: Counter[str] = Counter()


def snake_case(class_name: str) -> str:
    """Keras' spelling: BatchNormalization -> batch_normalization, LeakyReLU -> leaky_re_lu."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def automatic(class_name: str) -> str:
    """The next free name of a class in this process."""
    prefix = snake_case(class_name)
    with _lock:
        number = _used[prefix]
        _used[prefix] += 1
    return f"{prefix}_{number}" if number else prefix


def given(where: str, name: object) -> str:
    """A name the user chose: "/" separates layer and variable in paths, so it cannot be part of one."""
    if not isinstance(name, str) or not name or "/" in name:
        raise errors.wrong_value(where, "name", "a non-empty string without '/'", name)
    return name


def clear_session() -> None:
    """Number automatic names from the beginning again."""
    with _lock:
        _used.clear()
