"""What is to be learned: rows with targets and weights, and whether loss, metrics and outputs fit each other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from . import axes
from .data import Inputs
from .loss import Loss
from .metrics import Metric, resolve_metric
from .weights import read_class_weight

Array = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """Rows, targets and weights of rows as the core takes them, and the shape of a row as the user gave it."""

    x: Inputs
    y: Array
    row_shape: tuple[int, ...]
    weights: Array | None = None

    units: int = 0  # of a row of outputs
    names: tuple[str, ...] | None = None  # of the columns, where x is a table

    def __len__(self) -> int:
        return len(self.x)

    def part(self, rows: slice) -> Pair:
        """These rows of it."""
        weight = None if self.weights is None else self.weights[rows]
        return Pair(self.x[rows], self.y[rows], self.row_shape, weight, self.units, self.names)

    def class_weight(self, where: str, given: object) -> Array | None:
        """The weights of classes 0, 1, ... that `class_weight=` names."""
        if given is None:
            return None
        if self.weights is not None:
            raise ValueError(f"{where}: expected either class_weight or sample_weight, as in Keras, received both")
        columns = self.units if self.y.ndim == 1 else self.y.shape[1]
        return read_class_weight(where, given, self.y, columns if columns > 1 else 0)


def split(where: str, pair: Pair, share: float) -> tuple[Pair, Pair]:
    """The rows before and from Keras' split point: the last `share` of the rows is for validation."""
    rows = len(pair)
    at = math.floor(rows * (1.0 - share))
    if at in (0, rows):
        raise ValueError(
            f"{where}: validation_split={share}: expected some rows on both sides, received {rows} rows in all"
        )
    return pair.part(slice(at)), pair.part(slice(at, rows))


def check_task(
    loss: Loss, listed: Sequence[Metric | str], units: int, layers: Sequence[dict[str, Any]]
) -> list[Metric]:
    """The metrics that fit loss and outputs; raises where loss and outputs do not fit each other."""
    if loss.targets == "labels" and units == 1:
        raise ValueError(
            f"compile: loss {loss.name!r} needs at least 2 outputs, one for each class, the model has 1: "
            f"use Dense(number of classes) or loss='binary_crossentropy'"
        )
    loss.check_units("compile", units)
    if loss.outputs_per_target > 1 and listed:
        raise ValueError(
            f"compile: loss {loss.name!r} takes {loss.outputs_per_target} outputs for each target, metrics take one: "
            f"expected metrics=None, received {len(listed)}"
        )
    last = next((e.get("activation") for e in reversed(layers) if e["kind"] != "activity_regularization"), None)
    if loss.from_logits and last in ("softmax", "sparsemax", "sigmoid"):
        raise ValueError(
            f"compile: loss {loss.name!r} has from_logits=True, but the last layer already applies {last}: "
            f"drop the activation or from_logits"
        )
    binary = loss.kind.startswith("binary")
    if last == "log_softmax" and "crossentropy" in loss.kind and (binary or not loss.from_logits):
        takes = "outputs of a sigmoid" if binary else "probabilities"
        raise ValueError(
            f"compile: loss {loss.name!r} takes {takes}, but the last layer gives logarithms (log_softmax): "
            f"use softmax, or a categorical cross-entropy with from_logits=True"
        )
    logits = True if loss.from_logits else False if last in ("softmax", "sparsemax", "sigmoid") else None
    return [resolve_metric(metric, loss.kind, units, logits=logits) for metric in listed]


def warn_about_single_rows(where: str, layers: Sequence[dict[str, Any]], rows: int, batch_size: int) -> bool:
    """Warn where a batch normalization in training gets a batch of one row; whether it did."""
    norms = [e for e in layers if e["kind"] == "batch_normalization" and e["trainable"]]
    if (batch_size != 1 and rows % batch_size != 1) or all(axes.shares(entry) for entry in norms):
        return False
    warnings.warn(
        f"{where}: a batch has a single row: its variance is 0, so BatchNormalization outputs beta for it "
        f"({rows} rows, batch_size={batch_size})",
        UserWarning,
        stacklevel=4,
    )
    return True
