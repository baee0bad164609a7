"""One form for every message: where, which argument, what was expected, what was received.

`where` names the function or the layer as the user wrote it ("fit", "Dense 'dense_1'"). Each function returns the
exception, so that the `raise` stays where the mistake was found.
"""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable, Sequence

HISTORICAL_NAMES = {
    "lr": "learning_rate",
    "activation_function": "activation",
    "kernal_initializer": "kernel_initializer",
    "kernal_initialization": "kernel_initializer",
    "init": "kernel_initializer",
    "nb_epoch": "epochs",
    "output_dim": "units",
    "momentum": "beta_1",  # of Adam and its kin
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None when nothing comes near."""
    known = list(known)
    if HISTORICAL_NAMES.get(name) in known:
        return HISTORICAL_NAMES[name]
    by_lower = {candidate.lower(): candidate for candidate in known}
    words = set(name.lower().split("_"))  # "sparse_crossentropy" lacks a word of "sparse_categorical_crossentropy"
    longer = [candidate for candidate in by_lower if len(words) > 1 and words <= set(candidate.split("_"))]
    found = sorted(longer, key=len) or difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    found = found or [candidate for candidate in by_lower if len(name) > 1 and candidate.startswith(name.lower())]
    return by_lower[found[0]] if found else None


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    listed = f"Known: {', '.join(known)}."
    return f"Did you mean {close!r}? {listed}" if close else listed


def shape_text(shape: Iterable[int | str | None]) -> str:
    """A shape the way NumPy prints it; names of free dimensions are left unquoted: "(rows, 784)"."""
    parts = ["None" if size is None else str(size) for size in shape]
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def unknown_name(where: str, argument: str, received: object, known: Iterable[str]) -> ValueError:
    """A name that is not in a list: shows the nearest one."""
    names = sorted(set(known))
    if not isinstance(received, str):
        return wrong_value(where, argument, f"one of {', '.join(names)}", received)
    return ValueError(f"{where}: {argument}={received!r} is not known. {_suggestion(received, names)}")


def unknown_argument(where: str, received: Iterable[str], known: Iterable[str]) -> TypeError:
    """A keyword that a function does not have: shows the nearest one."""
    name = sorted(received)[0]
    return TypeError(f"{where}: there is no argument {name!r}. {_suggestion(name, list(known))}")


def unknown_attribute(where: str, name: str, known: Iterable[str]) -> AttributeError:
    """A name that a module does not have: shows the nearest one."""
    close = nearest(name, known)
    hint = f" Did you mean {close!r}?" if close else ""
    return AttributeError(f"{where} has no attribute {name!r}.{hint}", name=name)


def wrong_value(where: str, argument: str, expected: str, received: object) -> ValueError:
    """The right type, but not a value that can be meant."""
    return ValueError(f"{where}: {argument}: expected {expected}, received {received!r}")


def wrong_type(where: str, argument: str, expected: str, received: object) -> TypeError:
    """A value of the wrong type."""
    text = f"{received!r} of type {type(received).__name__}"
    return wrong_kind(where, argument, expected, text if len(text) <= 200 else f"a {type(received).__name__}")


def wrong_kind(where: str, argument: str, expected: str, description: str) -> TypeError:
    """Something that cannot be used, in words of the caller."""
    return TypeError(f"{where}: {argument}: expected {expected}, received {description}")


def wrong_shape(
    where: str,
    argument: str,
    expected: Iterable[int | str | None],
    received: Iterable[int | str | None],
    hint: str = "",
) -> ValueError:
    """An array of the wrong shape: shows both, and what to do where that is known."""
    text = f"{where}: {argument} has shape {shape_text(received)}, expected {shape_text(expected)}"
    return ValueError(f"{text}. {hint}" if hint else text)


def integer(where: str, argument: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """`value` as an int; booleans and floats are mistakes here, not numbers."""
    expected = f"an integer of at least {at_least}" + ("" if at_most is None else f" and at most {at_most}")
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise wrong_type(where, argument, expected, value)
    whole = int(value)
    if whole < at_least or (at_most is not None and whole > at_most):
        raise wrong_value(where, argument, expected, value)
    return whole


def count(where: str, argument: str, value: object) -> int | None:
    """None, or `value` as an int of at least 1."""
    return None if value is None else integer(where, argument, value, at_least=1)


def number(
    where: str,
    argument: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """`value` as a finite float inside the given range."""
    limits = [
        text
        for limit, text in (
            (above, f"above {above}"),
            (at_least, f"at least {at_least}"),
            (below, f"below {below}"),
            (at_most, f"at most {at_most}"),
        )
        if limit is not None
    ]
    expected = " ".join(["a finite number", " and ".join(limits)]).strip()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise wrong_type(where, argument, expected, value)
    result = float(value)
    inside = (
        abs(result) < float("inf")
        and (above is None or result > above)
        and (at_least is None or result >= at_least)
        and (below is None or result < below)
        and (at_most is None or result <= at_most)
    )
    if not inside:
        raise wrong_value(where, argument, expected, value)
    return result


def boolean(where: str, argument: str, value: object) -> bool:
    """`value` as a bool; numbers and strings are mistakes here."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):  # NumPy's bools, without importing NumPy
        return bool(value)
    raise wrong_type(where, argument, "True or False", value)
