"""A learning-rate search: train a little while the rate rises, and see where the loss falls and where it climbs."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..common import keywords
from ..data import arrays
from ..data.arrays import Inputs
from .trainer import Trainer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MEMORY = 0.9  # each loss counts so much as the next, in the mean of the last ones
WINDOW = 100  # beyond which nothing is left of that
DIVERGED = 4.0  # times the lowest smoothed loss: the search ends
CAUTION = 10.0  # the rate suggested is so many times lower than where the loss begins to climb


@dataclass(frozen=True)
class Search:
    """What `find_learning_rate` found: the rate, loss and smoothed loss of each step, and a suggestion.

    `diverged`: whether the loss climbed so far that the search ended before `max_rate`.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float
    diverged: bool

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw it: see `plotting.learning_rate_search`."""
        from ..plotting import learning_rate_search

        return learning_rate_search(self, path)


@keywords.checked
def find_learning_rate(
    model: Trainer,
    x: object,
    y: object,
    batch_size: int = 32,
    *,
    min_rate: float = 1e-5,
    max_rate: float = 10.0,
    epochs: int = 1,
    seed: int = 0,
    allow_nonfinite: bool = False,
) -> Search:
    """Learning-rate range test (Smith 2017): train while the rate rises exponentially from `min_rate` to `max_rate`.

    One step on each full batch of `epochs` passes over the rows, shuffled by `seed`, or until the smoothed loss is 4
    times its lowest, or no number. `suggestion` is a tenth of the rate at which the smoothed loss was lowest, just
    before it climbs: a rate to keep, or the maximum of `schedules.OneCycle`. Give it a hundred steps or more.

    The model must be compiled; its weights, optimizer and shuffling are afterwards as they were, also after an error or
    Ctrl-C. A model that had no weights gets its initial ones. Raises ValueError or TypeError for arguments that do not
    fit, and ValueError where not even the first step has a finite loss.
    """
    where = "find_learning_rate"
    if not isinstance(model, Trainer):
        raise errors.wrong_type(where, "model", "a model", model)
    min_rate = errors.number(where, "min_rate", min_rate, above=0.0)
    max_rate = errors.number(where, "max_rate", max_rate, above=min_rate)
    epochs = errors.integer(where, "epochs", epochs, at_least=1)
    batch_size = errors.integer(where, "batch_size", batch_size, at_least=1)
    seed = errors.integer(where, "seed", seed, at_least=0)
    rows, targets = model.read_array(where, "x", x), arrays.as_array(where, "y", y)
    arrays.same_length(where, ("x", "y"), rows, targets)
    batch_size = min(batch_size, len(rows))
    steps = epochs * (len(rows) // batch_size) if batch_size else 0
    if steps < 2:
        raise ValueError(
            f"{where}: expected at least 2 steps, received {steps}: {len(rows)} rows, batch_size={batch_size}, "
            f"epochs={epochs}"
        )
    own = model.check_training(where, rows, targets, allow_nonfinite=allow_nonfinite)
    weights = model.get_weights()
    done, slots = own.state()
    trial = copy.copy(own)
    trial.restore(done, slots)
    rise = max_rate / min_rate
    trial.learning_rate = lambda step: min_rate * rise ** ((step - done) / (steps - 1))
    losses = []
    smoothed: list[float] = []
    diverged = False
    model.optimizer = trial
    try:
        for loss in _losses(model, rows, targets, batch_size, epochs, seed, allow_nonfinite):
            diverged = not math.isfinite(loss)
            if diverged:
                break
            losses.append(loss)
            smoothed.append(_smoothed(losses))
            diverged = smoothed[-1] > DIVERGED * min(smoothed)
            if diverged:
                break
    finally:
        model.optimizer = own
        model.set_weights(weights)
    if not losses:
        raise ValueError(f"{where}: expected a finite loss of the first step, at min_rate={min_rate}, received none")
    rates = min_rate * rise ** (np.arange(len(losses)) / (steps - 1))
    suggestion = float(rates[np.argmin(smoothed)]) / CAUTION
    return Search(rates, np.array(losses), np.array(smoothed), suggestion, diverged)


def _losses(
    model: Trainer,
    x: Inputs,
    y: NDArray[np.generic],
    batch_size: int,
    epochs: int,
    seed: int,
    allow_nonfinite: bool,
) -> Iterator[float]:
    """Train step after step; the loss of each, from before its update."""
    shuffler = np.random.Generator(np.random.PCG64(seed))
    for _ in range(epochs):
        order = shuffler.permutation(len(x))
        for start in range(0, len(x) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            logs = model.train_on_batch(x[chosen], y[chosen], return_dict=True, allow_nonfinite=allow_nonfinite)
            assert isinstance(logs, dict)
            yield logs["loss"]


def _smoothed(losses: list[float]) -> float:
    """The mean of the losses so far, weighted by 0.9^age."""
    last = np.array(losses[-WINDOW:])
    return float(np.average(last, weights=MEMORY ** np.arange(len(last))[::-1]))
