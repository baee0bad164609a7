"""Columns of numbers as categories, and categories as columns of numbers: CategoryEncoding, Discretization."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..data import arrays, ids
from . import variables
from .base import Shape
from .preprocessing import ENCODINGS, Preparation, encode, encoded_shape, encoding_spec, read_mode, refuse_sparse

Array = NDArray[Any]


class CategoryEncoding(Preparation):
    """Ids of `num_tokens` categories as columns of zeros and ones, [rows, ids] -> [rows, num_tokens].

    "one_hot": a one for the id of each element, [rows, ids, num_tokens] where a row has several; "multi_hot": a one for
    each category that a row has; "count": how often it has it. Ids are whole numbers from 0 to num_tokens - 1; others
    are refused. In a model the core does this, batch by batch: the data set is never encoded as a whole. Called on an
    array the layer returns float32.
    """

    ARGUMENTS = ("num_tokens", "output_mode", "sparse")
    READS_IDS = True

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot", sparse: bool = False, **options: Any) -> None:
        where = "CategoryEncoding"
        self.num_tokens = errors.integer(where, "num_tokens", num_tokens, at_least=1)
        self.output_mode = read_mode(where, output_mode, ENCODINGS)
        self.sparse = refuse_sparse(where, sparse)
        super().__init__(**options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return encoded_shape(self, input_shape, self.output_mode, self.num_tokens)

    def _of_array(self, inputs: Any) -> Array:
        listed = isinstance(inputs, (list, tuple, int))
        given = arrays.as_array(self.label, "inputs", np.asarray(inputs) if listed else inputs)
        limit = ids.Limit(self.num_tokens, self.name)
        flat = given.reshape(-1, given.shape[-1] if given.ndim else 1)
        found = ids.read(self.label, "inputs", flat, limit).astype(np.int64).reshape(given.shape)
        return encode(found, self.output_mode, self.num_tokens)

    def spec(self) -> list[dict[str, Any]]:
        return encoding_spec(self.name, self.output_mode, self.num_tokens)

    def get_config(self) -> dict[str, Any]:
        own = {"num_tokens": self.num_tokens, "output_mode": self.output_mode, "sparse": self.sparse}
        return {**super().get_config(), **own}


class Discretization(Preparation):
    """The bin of each number: how many of `bin_boundaries` are at most x, so that [0.0, 1.0] makes the bins
    (-inf, 0), [0, 1), [1, inf).

    With `num_bins` in place of boundaries, `adapt(data)` sets them to quantiles: bins of about as many numbers each,
    within `epsilon` of the data's ranks (all columns share them). `output_mode`: "int" for the number of the bin, which
    an `Embedding` may read, else what `CategoryEncoding` makes of it. NaN falls into the last bin. In a model the core
    compares in the model's dtype; called on an array the layer returns int64, or float32 of an encoding.
    """

    ARGUMENTS = ("bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse")

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Any,
    ) -> None:
        where = "Discretization"
        if (bin_boundaries is None) == (num_bins is None):
            given = "neither" if num_bins is None else "both"
            raise ValueError(f"{where}: expected either bin_boundaries or num_bins, received {given}")
        self.num_bins = None if num_bins is None else errors.integer(where, "num_bins", num_bins, at_least=1)
        self.bin_boundaries = None if bin_boundaries is None else read_boundaries(where, bin_boundaries)
        self.epsilon = errors.number(where, "epsilon", epsilon, at_least=0.0)
        if not 0 < self.epsilon <= 1:
            raise errors.wrong_value(where, "epsilon", "above 0, at most 1", epsilon)
        self.output_mode = read_mode(where, output_mode, ("int", *ENCODINGS))
        self.sparse = refuse_sparse(where, sparse)
        super().__init__(**options)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Set the boundaries to quantiles of all numbers of an array, a table, or an iterable of batches of them;
        `steps`: only so many batches. NaN and infinity are refused."""
        if self.num_bins is None:
            raise ValueError(f"{self.label} adapt: the boundaries were given: expected num_bins in their place")
        steps = errors.count(f"{self.label} adapt", "steps", steps)
        summary = np.zeros((2, 0), np.float32)
        for number, batch in enumerate(_batches(data)):
            if number == steps:
                break
            values = _numbers(f"{self.label} adapt", batch)
            summary = _merged(_summary(values, self.epsilon), summary, self.epsilon)
        if summary.shape[1] == 0:
            raise errors.wrong_value(f"{self.label} adapt", "data", "at least one number", "none")
        quantiles = _compressed(summary, 1.0 / self.num_bins)[0, :-1]
        self.bin_boundaries = [float(b) for b in quantiles[: self.num_bins - 1]]  # rounding may give one more share
        variables.tick()  # programs have the boundaries of before

    @property
    def bins(self) -> int:
        """How many there are: the boundaries and one, as soon as they are known."""
        return (self.num_bins or 1) if self.bin_boundaries is None else len(self.bin_boundaries) + 1

    def _known(self) -> list[float]:
        if self.bin_boundaries is None:
            raise ValueError(f"{self.label}: the boundaries are not known yet: call adapt(data) first")
        return self.bin_boundaries

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return encoded_shape(self, input_shape, self.output_mode, self.bins)

    def _of_array(self, inputs: Any) -> Array:
        given = arrays.as_array(
            self.label, "inputs", np.asarray(inputs) if isinstance(inputs, (list, float)) else inputs
        )
        return encode(np.digitize(given, self._known()).astype(np.int64), self.output_mode, self.bins)

    def spec(self) -> list[dict[str, Any]]:
        binned = {"kind": "discretization", "name": self.name, "boundaries": list(self._known())}
        if self.output_mode == "int":
            return [binned]
        return [{**binned, "name": f"{self.name}/bins"}, *encoding_spec(self.name, self.output_mode, self.bins)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bin_boundaries": None if self.bin_boundaries is None else list(self.bin_boundaries),
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Discretization:
        boundaries = config.get("bin_boundaries")
        if boundaries is None or config.get("num_bins") is None:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})
        layer.bin_boundaries = read_boundaries("Discretization", boundaries)
        return layer


def read_boundaries(where: str, given: Any) -> list[float]:
    """Finite numbers in ascending order."""
    expected = "a list of finite numbers in ascending order"
    try:
        found = [float(b) for b in given]
    except (TypeError, ValueError):
        raise errors.wrong_type(where, "bin_boundaries", expected, given) from None
    if not all(map(math.isfinite, found)) or found != sorted(found):
        raise errors.wrong_value(where, "bin_boundaries", expected, given)
    return found


def _batches(given: Any) -> Iterable[Any]:
    """An array, a table or a list of numbers as it is; of anything else that can be gone through, each element."""
    if isinstance(given, (list, tuple)) and not (given and hasattr(given[0], "shape")):
        return [np.asarray(given)]
    return [given] if hasattr(given, "shape") or not isinstance(given, Iterable) else given


def _numbers(where: str, batch: Any) -> Array:
    values = arrays.as_array(where, "data", batch).astype(np.float32).ravel()
    if not np.isfinite(values).all():
        raise errors.wrong_value(where, "data", "finite numbers", values[~np.isfinite(values)][0])
    return values


# A summary is [values, weights], sorted by value: each stands for so many numbers up to it, as Keras has them.


def _summary(values: Array, epsilon: float) -> Array:
    """Every so-manieth of the sorted values, about 1 / epsilon of them."""
    step = max(values.size / (1.0 / epsilon), 1)
    kept = np.sort(values)[int(step - 1) :: int(step)]
    return np.stack([kept, np.ones_like(kept) * step])


def _merged(one: Array, other: Array, epsilon: float) -> Array:
    both = np.concatenate([one, other], axis=1)
    return _compressed(both[:, np.argsort(both[0])], epsilon)


def _compressed(summary: Array, epsilon: float) -> Array:
    """The values at the shares epsilon, 2 epsilon, ... of all weight, where there are more of them."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    total = summary[1].cumsum()
    values = np.interp(shares, total / total[-1], summary[0])
    weights = np.diff(np.interp(shares, total / total[-1], total), prepend=0)
    return np.stack([values, weights]).astype(np.float32)
