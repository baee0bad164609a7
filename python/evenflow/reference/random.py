"""Random numbers without a state: the same integers as the native core draws, and what is made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Array

WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def random_words(counter: ArrayLike, key: int, rows: int = 1) -> NDArray[np.uint32]:
    """Philox 4x32-10: the four words of the counters (c0, c1 + row, c2, c3), [rows, 4]. Salmon et al. 2011."""
    block, row, low, high = (np.uint64(word) for word in np.asarray(counter, np.uint64))
    return philox(block, (row + np.arange(rows, dtype=np.uint64)) & WORD, low, high, key)


def philox(c0: ArrayLike, c1: ArrayLike, c2: ArrayLike, c3: ArrayLike, key: int) -> NDArray[np.uint32]:
    """Philox 4x32-10 of arrays of counters that broadcast, along a new last axis."""
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    a, b, c, d = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in (c0, c1, c2, c3)))
    for _ in range(10):
        first, second = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b = (second >> HALF) ^ b ^ np.uint64(k0), second & WORD
        c, d = (first >> HALF) ^ d ^ np.uint64(k1), first & WORD
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=-1).astype(np.uint32)


def random_bits(
    shape: tuple[int, ...], bits: int, *, seed: int, step: int = 0, layer: int = 0, row: int = 0
) -> NDArray[np.int64]:
    """A signed number of 16 or 32 bits for each row and feature of the shape.

    The counter of a block of 128 bits is (block of features, row, lower word of the step, upper 16 bits of its 48
    with the layer above them), its key the seed.
    """
    (rows, features), of_block = shape, 128 // bits
    blocks = np.arange(-(-features // of_block))
    rows_of_batch = (row + np.arange(rows, dtype=np.uint64)) & WORD
    words = philox(blocks, rows_of_batch[:, None], step & 0xFFFFFFFF, step >> 32 | layer << 16, seed)
    numbers = words.astype("<u4").view(f"<i{bits // 8}").reshape(rows, len(blocks) * of_block)
    return numbers[:, :features].astype(np.int64)


def normals(words: ArrayLike) -> Array:
    """The normal numbers x with P(X <= x) = 1/2 + (s + 1/2) / 2^32 for signed 32-bit words s. Wichura 1988, AS 241."""
    s = np.asarray(words, np.int64)
    q = (s + 0.5) / 2.0**32
    r = 0.180625 - q * q
    central = q * np.polyval(CENTRAL[0], r) / np.polyval(CENTRAL[1], r)
    tail = (2.0**31 - 0.5 - np.where(s < 0, -1 - s, s)) / 2.0**32
    t = np.sqrt(-np.log(tail)) - 1.6
    outer = np.polyval(OUTER[0], t) / np.polyval(OUTER[1], t)
    return np.asarray(np.where(np.abs(q) <= 0.425, central, np.copysign(outer, q)))


# Numerators and denominators, highest power first.
CENTRAL = np.array(
    [
        *([2509.0809287301226727, 5226.4952788528545610], [33430.575583588128105, 28729.085735721942674]),
        *([67265.770927008700853, 39307.895800092710610], [45921.953931549871457, 21213.794301586595867]),
        *([13731.693765509461125, 5394.1960214247511077], [1971.5909503065514427, 687.18700749205790830]),
        *([133.14166789178437745, 42.313330701600911252], [3.3871328727963666080, 1.0]),
    ]
).T
OUTER = np.array(
    [
        *(
            [7.74545014278341407640e-4, 1.05075007164441684324e-9],
            [0.0227238449892691845833, 5.47593808499534494600e-4],
        ),
        *([0.241780725177450611770, 0.0151986665636164571966], [1.27045825245236838258, 0.148103976427480074590]),
        *([3.64784832476320460504, 0.689767334985100004550], [5.76949722146069140550, 1.67638483018380384940]),
        *([4.63033784615654529590, 2.05319162663775882187], [1.42343711074968357734, 1.0]),
    ]
).T
