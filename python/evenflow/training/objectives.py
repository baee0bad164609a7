"""What is asked of a model: for each output a loss, the loss's weight in the sum of all, and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from .. import errors, losses
from ..data import arrays, weights
from ..data.arrays import Inputs, Several
from ..losses.base import Loss
from ..losses.custom import CustomLoss
from ..metrics import Metric
from ..metrics.registry import read_metrics

Array = NDArray[Any]
Metrics = list[Metric | str]


@dataclass(frozen=True)
class Objective:
    """What is asked of one output; nothing where there is no loss."""

    name: str  # of the output
    loss: Loss | None
    weight: float
    metrics: Metrics
    weighted_metrics: Metrics


def read_objectives(
    names: Sequence[str], loss: object, loss_weights: object, metrics: object, weighted_metrics: object
) -> list[Objective]:
    """What `compile` was given, checked, for each of the outputs of these names."""
    where = "compile"
    several = len(names) > 1
    found = []
    for name, one, weight, plain, weighted in zip(
        names,
        _losses(where, names, loss),
        _each(where, "loss_weights", loss_weights, names, "one number: the model has one output"),
        _each(where, "metrics", metrics, names) if several else [_only(metrics, names)],
        _each(where, "weighted_metrics", weighted_metrics, names) if several else [_only(weighted_metrics, names)],
        strict=True,
    ):
        objective = Objective(
            name,
            None if one is None else losses.get(one, where),
            weights.read_loss_weight(where, weight),
            read_metrics(plain),
            read_metrics(weighted, argument="weighted_metrics"),
        )
        _check(where, objective, several=several)
        found.append(objective)
    return found


def _losses(where: str, names: Sequence[str], loss: object) -> list[object]:
    """As Keras has it, a loss that is not one of several is that of every output."""
    described = isinstance(loss, Mapping) and set(loss) == {"class_name", "config"}
    if described or not isinstance(loss, (list, tuple, Mapping)):
        return [loss] * len(names)
    return _each(where, "loss", loss, names)


def _check(where: str, objective: Objective, *, several: bool) -> None:
    name, loss = objective.name, objective.loss
    if loss is not None and loss.reduction is None:
        raise errors.wrong_value(where, f"loss {loss.name!r}: reduction", "one that gives a number", None)
    if several and isinstance(loss, CustomLoss):
        expected = "a loss of evenflow.losses: a Python function can be the loss of a model with one output only"
        raise errors.wrong_value(where, f"loss of output {name!r}", expected, loss.name)
    if several and loss is None and (objective.metrics or objective.weighted_metrics):
        raise ValueError(
            f"{where}: metrics: output {name!r} has no loss, and metrics are counted beside one: give it a loss, "
            f"and 0 in loss_weights"
        )


def _each(
    where: str, argument: str, given: object, names: Sequence[str], single: str | None = None, *, what: str = "values"
) -> list[Any]:
    """What each output is given: by a list in their order, or by a dict of their names, in which some may miss."""
    if given is None:
        return [None] * len(names)
    if isinstance(given, Mapping):
        for key in given:
            if key not in names:
                raise errors.unknown_name(where, f"{argument}: output", key, names)
        return [given.get(name) for name in names]
    if len(names) == 1 and not isinstance(given, (list, tuple)):
        return [given]
    if isinstance(given, (list, tuple)) and len(given) == len(names):
        return list(given)
    received = f"{len(given)} {what}" if isinstance(given, (list, tuple)) else given
    if len(names) == 1:
        raise errors.wrong_value(where, argument, single or "that of one output", received)
    expected = f"a list of {len(names)}, or a dict by the names of the outputs {list(names)}"
    raise errors.wrong_value(where, argument, expected, received)


def _only(given: object, names: Sequence[str]) -> object:
    """The metrics of the only output: a list of them, or one that Keras would take for several outputs."""
    if isinstance(given, Mapping) and set(given) == set(names):
        return given[names[0]]
    if isinstance(given, (list, tuple)) and len(given) == 1 and isinstance(given[0], (list, tuple)):
        return given[0]
    return given


# data


def read_targets(
    where: str, argument: str, y: object, objectives: Sequence[Objective], x: Inputs, x_name: str
) -> list[Array | None]:
    """The targets of each output as arrays, with as many rows as x; None for an output without a loss."""
    if len(objectives) == 1:
        given, labels = [y], [argument]
    else:
        names = [objective.name for objective in objectives]
        wanted = [objective.loss is not None for objective in objectives]
        if not isinstance(y, (list, tuple, Mapping)):
            expected = f"a list of {len(names)} arrays, or a dict by the names of the outputs {names}"
            raise errors.wrong_type(where, argument, expected, y)
        if isinstance(y, (list, tuple)) and len(y) == sum(wanted):  # as Keras has it: of those that have a loss
            listed = iter(y)
            y = [next(listed) if has_loss else None for has_loss in wanted]
        given = _each(where, argument, y, names, what="arrays")
        labels = [f"{argument}[{name if isinstance(y, Mapping) else i}]" for i, name in enumerate(names)]
    found: list[Array | None] = []
    for objective, label, one in zip(objectives, labels, given, strict=True):
        if objective.loss is None and len(objectives) > 1:
            found.append(None)
            continue
        array = arrays.as_array(where, label, one)
        arrays.same_length(where, (x_name, label), x, array)
        found.append(array)
    return found


def read_weights(where: str, argument: str, given: object, names: Sequence[str], rows: int) -> Array | Several | None:
    """Weights of rows: those of one output, or for each of several; an array by itself is for all of them."""
    if given is None:
        return None
    if len(names) == 1:
        if isinstance(given, Mapping):
            (given,) = _each(where, argument, given, names)
        return weights.read_sample_weight(where, argument, given, rows)
    by_output = isinstance(given, Mapping) or (
        isinstance(given, (list, tuple)) and any(one is None or hasattr(one, "__len__") for one in given)
    )
    if not by_output:
        return Several([weights.read_sample_weight(where, argument, given, rows)] * len(names))
    listed = _each(where, argument, given, names, what="arrays")
    labels = [f"{argument}[{name if isinstance(given, Mapping) else i}]" for i, name in enumerate(names)]
    return Several(
        [
            None if one is None else weights.read_sample_weight(where, label, one, rows)
            for label, one in zip(labels, listed, strict=True)
        ]
    )
