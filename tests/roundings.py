"""Random numbers for the cases, and how the roundings of their sums add up."""

from typing import Any

import numpy as np


def normal(rng: np.random.Generator, dtype: Any, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def summed(terms: int) -> float:
    """Roundings of a sum of so many terms, in eps: they add up like a random walk, whichever way the sum is split."""
    return 2 + np.sqrt(terms) / 2
