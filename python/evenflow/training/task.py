"""What is to be learned: rows with targets and weights, and whether loss, metrics and outputs fit each other."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..callbacks.base import Logs
from ..data.arrays import Inputs, Several
from ..data.weights import read_class_weight
from ..layers import axes
from ..losses.base import Loss
from ..metrics import Metric
from ..metrics.base import State, mean
from ..metrics.reductions import MeanMetricWrapper
from ..metrics.registry import name_of, resolve_metric

if TYPE_CHECKING:
    from .objectives import Objective

Array = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """Rows, targets and weights of rows as the core takes them, and the shape of a row as the user gave it.

    `y` and `weights` are `Several` where there are several outputs.
    """

    x: Inputs
    y: Array | Several
    row_shape: tuple[int, ...]
    weights: Array | Several | None = None

    units: int = 0  # of a row of the only output
    names: tuple[str, ...] | None = None  # of the columns, where x is a table

    def __len__(self) -> int:
        return len(self.x)

    def part(self, rows: slice) -> Pair:
        """These rows of it."""
        weight = None if self.weights is None else self.weights[rows]
        return Pair(self.x[rows], self.y[rows], self.row_shape, weight, self.units, self.names)

    def slices(self, size: int) -> Iterator[slice]:
        """So many rows after another."""
        return (slice(start, start + size) for start in range(0, len(self), size))

    def class_weight(self, where: str, given: object) -> Array | None:
        """The weights of classes 0, 1, ... that `class_weight=` names."""
        if given is None:
            return None
        if isinstance(self.y, Several):
            raise ValueError(f"{where}: class_weight: as in Keras, expected None for a model with several outputs")
        if self.weights is not None:
            raise ValueError(f"{where}: expected either class_weight or sample_weight, as in Keras, received both")
        columns = self.units if self.y.ndim == 1 else self.y.shape[1]
        return read_class_weight(where, given, self.y, columns if columns > 1 else 0)


def split(where: str, pair: Pair, share: float) -> tuple[Pair, Pair]:
    """The rows before and from Keras' split point: the last `share` of the rows is for validation."""
    rows = len(pair)
    at = split_point(where, rows, share)
    return pair.part(slice(at)), pair.part(slice(at, rows))


def split_point(where: str, rows: int, share: float) -> int:
    """The first of so many rows that is for validation."""
    at = math.floor(rows * (1.0 - share))
    if at in (0, rows):
        raise ValueError(
            f"{where}: validation_split={share}: expected some rows on both sides, received {rows} rows in all"
        )
    return at


@dataclass(frozen=True)
class Score:
    """A metric with its key in History; `weighted`: rows count by their weights."""

    name: str
    metric: Metric | str
    weighted: bool = False
    output: int = 0


def scores(objectives: Sequence[Objective]) -> list[Score]:
    """Metrics and weighted metrics of each output, in their order; of two with the same name the weighted one is called
    so, and where there are several outputs the output's name comes first, as in Keras."""
    found = []
    for output, objective in enumerate(objectives):
        of = f"{objective.name}_" if len(objectives) > 1 else ""
        taken = {name_of(metric) for metric in objective.metrics}
        found += [Score(f"{of}{name_of(metric)}", metric, False, output) for metric in objective.metrics]
        for metric in objective.weighted_metrics:
            name = name_of(metric)
            found.append(Score(f"{of}weighted_{name}" if name in taken else f"{of}{name}", metric, True, output))
    return found


def loss_means(objectives: Sequence[Objective], sums: Sequence[float], rows: int) -> Logs:
    """The loss of each output by itself, by name, where there are several; as Keras has it, without its weight."""
    counted = [i for i, objective in enumerate(objectives) if objective.loss is not None]
    return {f"{objectives[i].name}_loss": sums[i] / rows for i in counted} if len(counted) > 1 else {}


def means(scores: Sequence[Score], states: Sequence[State], weights: Sequence[float], rows: int) -> Logs:
    """The value of each metric over so many rows with these weights together, for each output, by name."""
    found: Logs = {}
    for score, state in zip(scores, states, strict=True):
        counted = weights[score.output] if score.weighted else rows
        metric = score.metric
        found[score.name] = mean(state, counted) if isinstance(metric, str) else metric.compute(state, counted, rows)
    return found


def check_task(loss: Loss, listed: Sequence[Score], units: int, last: str | None) -> list[str | dict[str, Any]]:
    """What the core is to count for the metrics; raises where loss, metrics and outputs, which come from the activation
    `last`, do not fit each other."""
    if loss.targets == "labels" and units == 1:
        raise ValueError(
            f"compile: loss {loss.name!r} needs at least 2 outputs, one for each class, the model has 1: "
            f"use Dense(number of classes) or loss='binary_crossentropy'"
        )
    loss.check_units("compile", units)
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
    return metric_specs(loss, listed, units, logits)


def metric_specs(
    loss: Loss, listed: Sequence[Score], units: int, logits: bool | None = None, kind: str | None = None
) -> list[str | dict[str, Any]]:
    """What the core is to count, for metrics that fit a loss (of the kind `kind`, if not its own) and its outputs."""
    found: list[str | dict[str, Any]] = []
    functions = False
    for score in listed:
        metric = _one_prediction(loss, score.metric) if loss.outputs_per_target > 1 else score.metric
        if isinstance(metric, MeanMetricWrapper):
            functions = True
            continue
        beside: dict[str, Any] = {"weighted": True} if score.weighted else {}
        columns = units
        if loss.outputs_per_target > 1 and isinstance(metric, Metric) and not metric.of_distributions:
            beside |= {"blocks": loss.outputs_per_target, "block": loss.point_block()}
            columns //= loss.outputs_per_target
        resolved = resolve_metric(metric, kind or loss.kind, columns, logits=logits)
        if resolved.of_distributions and resolved.outputs_per_target != loss.outputs_per_target:
            raise ValueError(
                f"compile: metric {resolved.name!r}: expected {resolved.outputs_per_target} of a row's outputs for "
                f"each target, loss {loss.name!r} takes {loss.outputs_per_target}"
            )
        found.append(resolved.spec(**beside))
    return [*found, MeanMetricWrapper.kind] if functions else found


def _one_prediction(loss: Loss, metric: Metric | str) -> Metric:
    """A metric beside a loss that takes several outputs for each target: of those, or of the one that predicts it."""
    expected = "metrics of values, which read the predicted median or mean, or of distributions, such as PinballLoss"
    if isinstance(metric, str) or metric.targets not in ("dense", "any"):
        raise ValueError(f"compile: loss {loss.name!r}: expected {expected}, received {name_of(metric)!r}")
    if not metric.of_distributions and metric.targets == "dense" and loss.point_block() is None:
        raise ValueError(
            f"compile: metric {metric.name!r} reads the predicted median, and loss {loss.name!r} has no quantile 0.5: "
            f"expected {expected}"
        )
    return metric


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
