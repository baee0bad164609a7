"""Reading words and whole numbers that are to be looked up, and the hash of a word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from . import arrays, frames

Array = NDArray[Any]


def batches(given: Any) -> Iterable[Any]:
    """An array, a column, a table or a list of tokens as it is; of other iterables each element."""
    if isinstance(given, (list, tuple)) and not (given and hasattr(given[0], "shape")):
        return [given]
    if hasattr(given, "shape") or hasattr(given, "dtype") or not isinstance(given, Iterable):
        return [given]
    return given


def codes(x: Any) -> tuple[Array, Array] | None:
    """The categories of a pandas column of categories and the place of each row's among them; None for others, and
    where one is missing."""
    accessor = getattr(x, "cat", None) if getattr(getattr(x, "dtype", None), "name", "") == "category" else None
    if accessor is None or not hasattr(accessor, "codes"):
        return None
    places = np.asarray(accessor.codes)
    return (np.asarray(accessor.categories), places) if len(places) and places.min() >= 0 else None


def strings(where: str, argument: str, x: Any) -> Array:
    """An array of str objects of any shape; raises with the place of what is none."""
    array = _stacked(x) if frames.is_frame(x) else np.asarray(x)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8").astype(object)
    if array.dtype.kind in "UT":
        return array.astype(object)
    if array.dtype.kind != "O":
        raise errors.wrong_kind(where, argument, "strings", f"dtype {array.dtype}")
    flat = array.ravel().tolist()
    wrong = next((i for i, token in enumerate(flat) if not isinstance(token, str)), None)
    if wrong is None:
        return array
    if isinstance(flat[wrong], bytes):
        decoded = np.empty(array.size, object)
        decoded[:] = [token.decode("utf-8") if isinstance(token, bytes) else token for token in flat]
        return strings(where, argument, decoded.reshape(array.shape))
    row, *rest = (int(i) for i in np.unravel_index(wrong, array.shape)) if array.ndim else (0,)
    raise ValueError(
        f"{where}: {argument} has {flat[wrong]!r} in row {row}, column {rest[0] if rest else 0}, expected strings; "
        f"missing ones need a word of their own, such as fillna('missing') gives them"
    )


def _stacked(frame: Any) -> Array:
    """A table as an array of objects."""
    columns = (frame[name] for name in frame.columns)
    return np.column_stack([np.asarray(column).astype(object) for column in columns])


def integers(where: str, argument: str, x: Any) -> Array:
    """An array of int64, or uint64 where it is one, of any shape; raises with the place of what is no whole number."""
    array = arrays.as_array(where, argument, np.asarray(x) if isinstance(x, (list, tuple, int)) else x)
    if array.dtype.kind in "iub":
        return array if array.dtype == np.uint64 else array.astype(np.int64)
    whole = np.isfinite(array) & (array == np.floor(array)) & (abs(array) < 2.0**63)
    if not whole.all():
        row, *rest = (int(i) for i in np.argwhere(~whole)[0])
        raise ValueError(
            f"{where}: {argument} has {array[~whole][0]} in row {row}, column {rest[0] if rest else 0}, expected whole "
            f"numbers"
        )
    return array.astype(np.int64)


# FarmHash (Pike 2014), Fingerprint64: what Keras takes of a word that is not in a vocabulary. All numbers modulo 2^64.

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_ALL = (1 << 64) - 1


def _word(text: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(text[at : at + size], "little")


def _turned(x: int, by: int) -> int:
    x &= _ALL
    return (x >> by | x << (64 - by)) & _ALL


def _folded(x: int) -> int:
    x &= _ALL
    return x ^ x >> 47


def _mixed(u: int, v: int, by: int) -> int:
    a = _folded((u ^ v) * by & _ALL)
    return _folded((v & _ALL ^ a) * by) * by & _ALL


def fingerprint(text: bytes) -> int:
    """The 64 bits of FarmHash."""
    size = len(text)
    if size <= 16:
        return _up_to_16(text)
    if size <= 32:
        by = _K2 + size * 2
        a, b = _word(text, 0) * _K1, _word(text, 8)
        c, d = _word(text, size - 8) * by, _word(text, size - 16) * _K2
        return _mixed(_turned(a + b, 43) + _turned(c, 30) + d, a + _turned(b + _K2, 18) + c, by)
    if size <= 64:
        return _up_to_64(text)
    return _long(text)


def _up_to_16(text: bytes) -> int:
    size = len(text)
    by = _K2 + size * 2
    if size >= 8:
        a, b = _word(text, 0) + _K2, _word(text, size - 8)
        return _mixed(_turned(b, 37) * by + a, (_turned(a, 25) + b) * by, by)
    if size >= 4:
        return _mixed(size + (_word(text, 0, 4) << 3), _word(text, size - 4, 4), by)
    if size == 0:
        return _K2
    y, z = text[0] + (text[size >> 1] << 8), size + (text[-1] << 2)
    return _folded(y * _K2 ^ z * _K0) * _K2 & _ALL


def _up_to_64(text: bytes) -> int:
    size = len(text)
    by = _K2 + size * 2
    a, b = _word(text, 0) * _K2, _word(text, 8)
    c, d = _word(text, size - 8) * by, _word(text, size - 16) * _K2
    y = (_turned(a + b, 43) + _turned(c, 30) + d) & _ALL
    z = _mixed(y, a + _turned(b + _K2, 18) + c, by)
    e, f = _word(text, 16) * by, _word(text, 24)
    g, h = (y + _word(text, size - 32)) * by, (z + _word(text, size - 24)) * by
    return _mixed(_turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g, by)


def _pair(text: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """Of 32 bytes and two numbers."""
    w, x, y, z = (_word(text, at + 8 * i) for i in range(4))
    a += w
    b = _turned(b + a + z, 21)
    c = a
    a += x + y
    b += _turned(a, 44)
    return (a + z) & _ALL, (b + c) & _ALL


def _long(text: bytes) -> int:
    size, seed = len(text), 81
    x, y = seed, (seed * _K1 + 113) & _ALL
    z = _folded(y * _K2 + 113) * _K2 & _ALL
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _word(text, 0)) & _ALL
    end = (size - 1) // 64 * 64
    last = size - 64
    for at in range(0, end, 64):
        x = _turned(x + y + v[0] + _word(text, at + 8), 37) * _K1
        y = _turned(y + v[1] + _word(text, at + 48), 42) * _K1
        x ^= w[1]
        y += v[0] + _word(text, at + 40)
        z = _turned(z + w[0], 33) * _K1
        v = _pair(text, at, v[1] * _K1, x + w[0])
        w = _pair(text, at + 32, z + w[1], y + _word(text, at + 16))
        x, y, z = x & _ALL, y & _ALL, z & _ALL
        z, x = x, z
    by = (_K1 + ((z & 0xFF) << 1)) & _ALL
    w = ((w[0] + ((size - 1) & 63)) & _ALL, w[1])
    v = ((v[0] + w[0]) & _ALL, v[1])
    w = ((w[0] + v[0]) & _ALL, w[1])
    x = _turned(x + y + v[0] + _word(text, last + 8), 37) * by
    y = _turned(y + v[1] + _word(text, last + 48), 42) * by
    x ^= w[1] * 9
    y += v[0] * 9 + _word(text, last + 40)
    z = _turned(z + w[0], 33) * by
    v = _pair(text, last, v[1] * by, x + w[0])
    w = _pair(text, last + 32, z + w[1], y + _word(text, last + 16))
    x, y, z = x & _ALL, y & _ALL, z & _ALL
    z, x = x, z
    return _mixed(_mixed(v[0], w[0], by) + _folded(y) * _K0 + z, _mixed(v[1], w[1], by) + x, by)
