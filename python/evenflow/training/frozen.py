"""The frozen layers at the bottom of a model, computed once for each row: `fit(cache_frozen=True)`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..callbacks.base import say
from ..data.arrays import Inputs
from . import memory
from .executor import SLICE_PRODUCTS, Executor, executor_for
from .task import Pair

if TYPE_CHECKING:
    from ..callbacks import History
    from ..layers.variables import Variable
    from .trainer import Trainer

Array = NDArray[Any]
Entry = Mapping[str, Any]

CAPACITY = 256  # rows that go through the frozen layers at a time
PIECES = 16  # at least so many native calls for many rows, the first of which show how many threads are best


class FrozenCache:
    """What the frozen layers make of the rows of `fit`, and the program of the layers above them.

    `pairs`: the rows that are trained on, then those of the validation, if there are any. Where a callback freezes or
    thaws layers, or changes a frozen weight, the features are computed anew; where nothing can be kept any more, `head`
    gives nothing.
    """

    def __init__(self, where: str, model: Trainer, pairs: Sequence[Pair], threads: int) -> None:
        self.model, self.pairs, self.threads = model, list(pairs), threads
        self.executor: Executor | None = None  # of the layers above
        self.scored = 0  # validations
        self.seconds = dict.fromkeys(map(id, self.pairs), 0.0)  # that the features took
        self._features: dict[int, Array] = {}
        self._below: list[Entry] = []
        self._stamps: list[int] = []
        self._units = 0
        spec = model.spec()
        if len(model.output_names) > 1:
            raise ValueError(f"{where}: cache_frozen: expected a model with one output, received {model.output_names}")
        self._begin(spec, frozen_entries(where, spec["layers"]))
        self.layers = [entry["name"] for entry in self._below if "trainable" in entry]
        self.bytes = sum(map(len, self.pairs)) * self._units * np.dtype(model.dtype).itemsize
        self._check_memory(where)

    def head(self, pair: Pair, batch: int, *, training: bool, exact: bool) -> tuple[Executor, Inputs] | None:
        """What trains or scores the layers above, and its inputs for these rows; None for rows that are not kept."""
        spec = self.model.spec()
        try:
            end = frozen_entries("fit", spec["layers"])
        except ValueError:  # since a callback changed the model
            end = 0
        if self._below != spec["layers"][:end] or self._stamps != [v.stamp for v in self._variables(self._below)]:
            self._begin(spec, end)
        if end == 0 or id(pair) not in self.seconds:
            return None
        self.scored += not training
        if id(pair) not in self._features:
            self._features[id(pair)] = self._compute(spec, pair)
        above = spec["layers"][end:]
        self.executor = executor_for(
            spec | {"inputs": self._units, "layers": above},
            self._variables(above),
            self.executor,
            dtype=self.model.dtype,
            batch=batch,
            training=training,
            exact=exact,
            device=self.model.device,
        )
        return self.executor, self._features[id(pair)]

    def __enter__(self) -> None:
        self.model.frozen_cache = self

    def __exit__(self, *_: object) -> None:
        self.model.frozen_cache = None
        if self.executor is not None:
            self.executor.release()

    def report(self, history: History, rows: int, verbose: int) -> None:
        """Note in the History what was kept and what that saved, where an epoch has so many rows; print it unless
        `verbose` is 0."""
        first, *others = (self.seconds[id(pair)] for pair in self.pairs)
        passes = len(history.epoch) * rows / len(self.pairs[0])
        once = first + sum(others)
        saved = max(0.0, (passes - 1) * first + (self.scored - 1) * sum(others))
        history.cached = {"layers": self.layers, "bytes": self.bytes, "seconds": once, "seconds_saved": saved}
        if verbose:
            say(
                f"cache_frozen: {', '.join(self.layers)} computed once, in {once:.2g} s, instead of in every epoch: "
                f"{memory.text(self.bytes)} kept, about {saved:.2g} s saved"
            )

    def _begin(self, spec: Mapping[str, Any], end: int) -> None:
        """Keep what entries up to this one make, and nothing yet."""
        self._below, self._features = list(spec["layers"][:end]), {}
        if self.executor is not None:
            self.executor.forget_data()  # new features may lie where the old ones did
        self._stamps = [variable.stamp for variable in self._variables(self._below)]
        if end:
            units = self._lower(spec, 1).program.outputs
            assert isinstance(units, int)  # of a chain
            self._units = units

    def _lower(self, spec: Mapping[str, Any], capacity: int) -> Executor:
        parts = {"inputs": spec["inputs"], "layers": self._below, "loss": None, "metrics": [], "optimizer": None}
        return Executor(parts, self._variables(self._below), dtype=self.model.dtype, capacity=capacity)

    def _variables(self, entries: Sequence[Entry]) -> list[Variable]:
        names = {entry["name"] for entry in entries}
        return [variable for variable in self.model.variables if variable.path.rpartition("/")[0] in names]

    def _compute(self, spec: Mapping[str, Any], pair: Pair) -> Array:
        begin = time.perf_counter()
        lower = self._lower(spec, CAPACITY)
        lower.synchronize()
        out = np.empty((len(pair), self._units), self.model.dtype)
        products = sum(variable.size for variable in self._variables(self._below))
        part = max(CAPACITY, min(int(SLICE_PRODUCTS // max(1, products)), len(pair) // PIECES))
        times = dict.fromkeys(
            [self.threads] if self.threads else [0, 1], 0.0
        )  # of the first pieces; the fastest goes on
        for piece, start in enumerate(range(0, len(pair), part)):
            count = list(times)[piece] if piece < len(times) else min(times, key=times.__getitem__)
            with lower.threads(count):
                since = time.perf_counter()
                lower.program.predict(pair.x[start : start + part], out[start : start + part])
                times[count] = time.perf_counter() - since
        self.seconds[id(pair)] = time.perf_counter() - begin
        return out

    def _check_memory(self, where: str) -> None:
        found = memory.available()
        if found is not None and self.bytes > found:
            rows = " + ".join(f"{len(pair):,}" for pair in self.pairs)
            raise MemoryError(
                f"{where}: cache_frozen: what the layers up to {self.layers[-1]!r} make of {rows} rows, "
                f"{self._units:,} numbers of {self.model.dtype} each, takes {memory.text(self.bytes)}, and "
                f"{memory.text(found)} are available: train without cache_frozen, or on fewer rows"
            )


def frozen_entries(where: str, entries: Sequence[Entry]) -> int:
    """How many of the core's entries, from the bottom on, give the same for a row in every epoch.

    Raises ValueError where that is of no use: nothing is frozen there, nothing is trained, or frozen layers lie above
    something that changes from step to step.
    """
    argument = f"{where}: cache_frozen"
    if any(entry.keys() & {"inputs", "shares", "transposes"} for entry in entries):
        raise ValueError(
            f"{argument}: expected a model whose layers form a chain, received one with branches, or with a kernel "
            f"that is used more than once"
        )
    if not any(entry.get("trainable") for entry in entries):
        raise ValueError(f"{argument}: every layer is frozen: there is nothing to train")
    end = next(place for place, entry in enumerate(entries) if _changes(entry) is not None)
    first = entries[end]
    above = [entry["name"] for entry in entries[end:] if entry.get("trainable") is False]
    if above and _changes(first):
        raise ValueError(
            f"{argument}: {first['name']!r} lies below the frozen {above[0]!r} and {_changes(first)}, so that what "
            f"the frozen layers make of a row is not the same in every epoch"
        )
    if not any(entry.get("trainable") is False for entry in entries[:end]):
        trained = next((entry["name"] for entry in entries if entry.get("trainable")), first["name"])
        raise ValueError(
            f"{argument}: expected frozen layers (trainable=False) at the bottom of the model, received "
            f"{trained!r}, which is trained"
        )
    return end


def _changes(entry: Entry) -> str | None:
    """Why what an entry makes of a row changes from step to step: the text is empty where it simply learns, None where
    nothing changes."""
    if entry["kind"] == "noise":
        return "is random in training (leave it out, or put it above)"
    if entry["kind"] == "activity_regularization":
        return "adds a penalty of every batch to the loss (drop its activity_regularizer)"
    if entry["kind"] == "batch_normalization" and entry["trainable"]:
        return "takes the statistics of every batch (freeze it too: trainable=False)"
    return "" if entry.get("trainable") else None
