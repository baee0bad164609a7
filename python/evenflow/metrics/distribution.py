"""Metrics of networks that predict a distribution: beside the losses `Quantile` and `GaussianNLL`.

A good one covers as many targets as it says, with intervals as narrow as can be: look at coverage and width together
(Gneiting, Balabdaoui and Raftery 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import errors
from .base import Metric


def _levels(where: str, argument: str, given: object) -> list[float]:
    listed = list(np.atleast_1d(np.asarray(given, dtype=object)))
    if not 1 <= len(listed) <= 64:
        raise errors.wrong_value(where, argument, "1 to 64 numbers", given)
    return [errors.number(where, argument, q, above=0.0, below=1.0) for q in listed]


def _check_outputs(metric: Metric, where: str, units: int) -> None:
    if units % metric.outputs_per_target:
        raise ValueError(
            f"{where}: metric {metric.name!r} takes {metric.outputs_per_target} outputs for each target, expected a "
            f"multiple of it, received {units} outputs"
        )


class PinballLoss(Metric):
    """mean(max(q d, (q - 1) d)) over a row's outputs, d = y - p: the value of the loss `Quantile`, without weights or
    penalties. `quantiles`: those of the loss, a block of outputs for each. Koenker and Bassett 1978."""

    kind = "pinball"
    of_distributions = True
    default_name = "pinball_loss"
    lower_is_better = True

    def __init__(self, quantiles: float | Sequence[float] = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.quantiles = _levels("PinballLoss", "quantiles", quantiles)
        self.outputs_per_target = len(self.quantiles)

    def get_config(self) -> dict[str, Any]:
        return {"quantiles": self.quantiles, "name": self.name}

    def settings(self) -> dict[str, Any]:
        return {"quantiles": self.quantiles}

    def check(self, where: str, units: int) -> None:
        _check_outputs(self, where, units)


class IntervalCoverage(Metric):
    """Share of targets between two quantiles that a network predicts, the ends included: near upper - lower where these
    are right, below it where the network is too sure of itself.

    `interval`: the probabilities of its ends, (0.05, 0.95) for the middle 90 %. `quantiles`: those of the loss
    `Quantile`, both ends among them; None: the outputs are means and logarithms of variances, as `GaussianNLL` has
    them, and the ends are m + z exp(s / 2), z the quantile of the standard normal distribution.
    """

    kind = "interval_coverage"
    of_distributions = True
    lower_is_better: ClassVar[bool | None] = None
    normal_kind = "normal_coverage"

    def __init__(
        self,
        interval: Sequence[float] = (0.05, 0.95),
        quantiles: Sequence[float] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        where = type(self).__name__
        self.interval = _levels(where, "interval", interval)
        if len(self.interval) != 2 or self.interval[0] >= self.interval[1]:
            raise errors.wrong_value(where, "interval", "two probabilities, the lower one first", interval)
        self.quantiles = None if quantiles is None else _levels(where, "quantiles", quantiles)
        for end in self.interval:
            if self.quantiles is not None and end not in self.quantiles:
                raise errors.wrong_value(where, "interval", f"two of the quantiles {self.quantiles}", interval)
        self.outputs_per_target = 2 if self.quantiles is None else len(self.quantiles)

    def get_config(self) -> dict[str, Any]:
        return {"interval": self.interval, "quantiles": self.quantiles, "name": self.name}

    def settings(self) -> dict[str, Any]:
        if self.quantiles is None:
            from statistics import NormalDist  # where it is used: it is slow to import

            lower, upper = (NormalDist().inv_cdf(end) for end in self.interval)
            return {"kind": self.normal_kind, "lower": lower, "upper": upper}
        lower, upper = (self.quantiles.index(end) for end in self.interval)
        return {"blocks": len(self.quantiles), "lower": lower, "upper": upper}

    def check(self, where: str, units: int) -> None:
        _check_outputs(self, where, units)


class IntervalWidth(IntervalCoverage):
    """Mean width of the intervals of `IntervalCoverage`, in the units of the target: of two networks with the same
    coverage the one with the narrower intervals knows more. Arguments as `IntervalCoverage` has them."""

    kind = "interval_width"
    lower_is_better = True
    normal_kind = "normal_width"
