"""Where seeds come from: `set_seed` makes everything that follows reproducible."""

from __future__ import annotations

import random
import threading

import numpy as np

from .. import errors

_lock = threading.Lock()
_root = np.random.SeedSequence()


def set_seed(seed: int) -> None:
    """Start the sequence of seeds anew: the same seed and the same program give the same initial weights and shuffles.

    Initializers and models that were given their own `seed=` do not depend on it.
    """
    seed = errors.integer("set_seed", "seed", seed, at_least=0)
    global _root
    with _lock:
        _root = np.random.SeedSequence(seed)


def next_seed() -> int:
    """A new seed from the sequence that `set_seed` started (from the system's entropy without it)."""
    with _lock:
        (child,) = _root.spawn(1)
    return int(child.generate_state(1, np.uint32)[0])


def counter_seed(where: str, seed: object) -> int:
    """`own_seed` of 64 bits, as the generator of random layers takes it."""
    if seed is not None and errors.integer(where, "seed", seed, at_least=0) >= 1 << 64:
        raise errors.wrong_value(where, "seed", "an integer from 0 to 2^64 - 1", seed)
    return own_seed(where, seed)


class Drawn(int):
    """A seed that nobody chose: `clone_model` draws another in its place."""


def own_seed(where: str, seed: object) -> int:
    """The seed a user gave, or the next of the sequence."""
    if seed is None:
        return Drawn(next_seed())
    return seed if isinstance(seed, Drawn) else errors.integer(where, "seed", seed, at_least=0)


def set_random_seed(seed: int) -> None:
    """Keras' `utils.set_random_seed`: `set_seed`, and the global generators of `random` and NumPy (seed < 2^32)."""
    if errors.integer("set_random_seed", "seed", seed, at_least=0) >= 1 << 32:
        raise errors.wrong_value("set_random_seed", "seed", "an integer from 0 to 2^32 - 1", seed)
    set_seed(seed)
    random.seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002, as in Keras
