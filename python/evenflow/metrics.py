"""Metrics, as descriptions: the native core counts them while it trains and evaluates. Each is a mean over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from . import errors
from .registry import Registry


class Metric:
    """Base class. `name` is the key in History."""

    kind: ClassVar[str]

    def __init__(self, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise errors.wrong_type(type(self).__name__, "name", "a string", name)
        self.name = name or self.kind

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same object again."""
        return {"name": self.name}


class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest output is the class of the target [rows]."""

    kind = "sparse_categorical_accuracy"


class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is where the target [rows, classes] is largest."""

    kind = "categorical_accuracy"


class BinaryAccuracy(Metric):
    """Share of outputs on the same side of 0.5 as their target."""

    kind = "binary_accuracy"


class MeanAbsoluteError(Metric):
    """mean(|y - p|) over a row's units."""

    kind = "mean_absolute_error"


class MeanSquaredError(Metric):
    """mean((y - p)^2) over a row's units."""

    kind = "mean_squared_error"


REGISTRY = Registry(
    Metric,
    (SparseCategoricalAccuracy, CategoricalAccuracy, BinaryAccuracy, MeanAbsoluteError, MeanSquaredError),
    aliases={"mae": MeanAbsoluteError, "MAE": MeanAbsoluteError, "mse": MeanSquaredError, "MSE": MeanSquaredError},
    example="MeanAbsoluteError()",
)
_ACCURACY = ("accuracy", "acc")  # which accuracy depends on loss and outputs


def get(identifier: object, where: str = "get", argument: str = "metrics") -> Metric:
    """A metric from a name, a metric, or its serialized form; a name stays the key in History, as in Keras."""
    if isinstance(identifier, str):
        if identifier not in REGISTRY.names and identifier not in REGISTRY.classes:
            raise errors.unknown_name(where, argument, identifier, [*REGISTRY.names, *_ACCURACY])
        return REGISTRY.find(where, argument, identifier)(identifier)
    return REGISTRY.make(where, argument, identifier)


def read_metrics(metrics: object, where: str = "compile") -> list[Metric | str]:
    """What `compile(metrics=...)` was given, checked; "accuracy" stays a name until the outputs are known."""
    if metrics is None:
        return []
    listed = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
    found: list[Metric | str] = [m if isinstance(m, str) and m in _ACCURACY else get(m, where) for m in listed]
    names = [m if isinstance(m, str) else m.name for m in found]
    if len(set(names)) < len(names):
        raise errors.wrong_value(where, "metrics", "different names", names)
    return found


def resolve_metric(metric: Metric | str, loss: str, units: int) -> Metric:
    """The metric itself, and for "accuracy" the one Keras picks: binary for one output, else by the targets."""
    labels = loss == "sparse_categorical_crossentropy"
    if isinstance(metric, str):
        if units == 1:
            return BinaryAccuracy(metric)
        return SparseCategoricalAccuracy(metric) if labels else CategoricalAccuracy(metric)
    if isinstance(metric, SparseCategoricalAccuracy) != labels:
        takes = "class numbers" if not labels else f"targets of shape (rows, {units})"
        given = "class numbers" if labels else f"targets of shape (rows, {units})"
        raise ValueError(f"compile: metric {metric.name!r} takes {takes}, but loss {loss!r} is given {given}")
    return metric
