"""How healthy a network is while it trains: counts of the kernels, for the logs of `fit`, and what they tell."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors
from .base import Callback, Logs

if TYPE_CHECKING:
    from .. import _core
    from ..training.executor import Executor

PREFIX = "health/"
QUANTITIES = ("mean", "std", "dead", "saturated", "gradient", "update")
# Activations that are exactly zero on one side, and steep on the other: zeros are their way of working.
RECTIFIERS = ("relu", "relu6", "clipped_relu", "threshold")


@dataclass
class HealthLog:
    """The counts of an epoch: of every `every`-th step all, of each step which units were alive."""

    every: int
    order: list[str] = field(default_factory=list)  # all layers, as the network has them
    activations: dict[str, str] = field(default_factory=dict)  # of the layers whose slopes are counted
    counts: _core.Health | None = None
    before: Mapping[str, Any] | None = None  # counts of the epoch's steps that another process has made

    def describe(self) -> dict[str, Any]:
        """The counts so far, as plain data with arrays."""
        plain = {"every": self.every, "order": self.order, "activations": self.activations}
        return plain | {"counts": self._counted()}

    @classmethod
    def restored(cls, described: Mapping[str, Any]) -> HealthLog:
        """The inverse of `describe`."""
        return cls(described["every"], described["order"], described["activations"], before=described["counts"])

    def _counted(self) -> Mapping[str, Any] | None:
        if self.counts is None:
            return self.before
        return {name: getattr(self.counts, name) for name in ("steps", "sampled", "rows", "outputs", "weights")}

    def of(self, executor: Executor) -> _core.Health:
        """What counts the steps of a program. Where a layer was frozen or thawed the epoch's counts begin anew."""
        if self.counts is None or not self.counts.fits(executor.program):
            self.counts = executor.health(self.every)
            if self.before is not None:
                with suppress(ValueError):  # of other layers: one was frozen or thawed after the last step
                    self.counts.go_on(self.before)
                self.before = None
            entries = {entry["name"].removesuffix("/activation"): entry for entry in executor.spec["layers"]}
            self.order = list(entries)
            curved = {output["layer"] for output in self.counts.outputs if output["curved"]}
            self.activations = {name: entry["activation"] for name, entry in entries.items() if name in curved}
        return self.counts

    @property
    def layers(self) -> list[str]:
        """Layers whose outputs are counted, in order."""
        counted = self._counted()
        return [] if counted is None else [output["layer"] for output in counted["outputs"]]

    def values(self) -> dict[str, dict[str, float]]:
        """Each quantity by layer; empty before a step was counted."""
        found: dict[str, dict[str, float]] = {quantity: {} for quantity in QUANTITIES}
        counted = self._counted()
        if counted is None or counted["rows"] == 0:
            return {}
        rows, sampled = counted["rows"], counted["sampled"]
        for output in counted["outputs"]:
            layer, means = output["layer"], output["mean"]
            found["mean"][layer] = float(means.mean())
            found["std"][layer] = math.sqrt(output["squares"].mean() / rows + means.var())
            found["dead"][layer] = float((output["alive"] == 0).mean())
            if layer in self.activations:
                found["saturated"][layer] = float(output["flat"].mean()) / rows
        for weights in counted["weights"] if sampled else ():
            layer = weights["layer"]
            found["gradient"][layer] = weights["gradient"] / sampled
            if weights["weight"] > 0:
                found["update"][layer] = weights["update"] / weights["weight"]
        return found


class Health(Callback):
    """Records how healthy each layer is, and warns in plain words where it is not.

    History gets, once an epoch and for each layer that has them, "health/dense_1/mean" and ".../std" of what the layer
    puts out; ".../dead", the share of units that were zero for every row of the epoch; ".../saturated", the share of
    units whose activation has a slope below 0.01, on average over rows (of tanh those beyond 0.995, of sigmoid those
    outside 0.0101 to 0.9899, of ELU those below -0.99, of ReLU its zeros); ".../gradient", the l2 norm of the gradient
    of its variables before clipping, a mean over steps; ".../update", the norm of what a step changes over that of the
    weights. An activation layer has its own name, a Dense layer with `activation=` that of the layer; of Dense layers
    that no activation follows, and of outputs whose softmax or sigmoid the loss absorbs, what is counted comes before
    it. In training, before dropout.

    One step in `every` is measured, beginning with the first of the epoch; which units are dead is known of every step.
    The weights are bit for bit what they are without this callback. What it costs: docs/performance.md.

    A layer is warned about once for each ailment in a training: `dead` units beyond that share; saturated ones beyond
    `saturated` (not of ReLU's kind, nor of the last layer); the gradient of the lowest Dense layer below `vanishing`
    times that of the highest; one whose norm is above `exploding`; a step that changes more than the share `update`
    of the weights; outputs that are not finite. `messages` holds the words; `warn=False` keeps them from being Python
    warnings (UserWarning) too. `report` shows all of it.
    """

    wants_health = 0

    def __init__(
        self,
        every: int = 16,
        *,
        warn: bool = True,
        dead: float = 0.5,
        saturated: float = 0.5,
        vanishing: float = 1e-4,
        exploding: float = 1e3,
        update: float = 0.1,
    ) -> None:
        where = "Health"
        self.wants_health = errors.integer(where, "every", every, at_least=1)
        self.warn = errors.boolean(where, "warn", warn)
        self.dead = errors.number(where, "dead", dead, above=0.0, at_most=1.0)
        self.saturated = errors.number(where, "saturated", saturated, above=0.0, at_most=1.0)
        self.vanishing = errors.number(where, "vanishing", vanishing, at_least=0.0, below=1.0)
        self.exploding = errors.number(where, "exploding", exploding, above=0.0)
        self.update = errors.number(where, "update", update, above=0.0)
        self.messages: list[str] = []
        self._known: set[tuple[str, str]] = set()
        self._names: dict[str, float] = {}  # of all that was logged, in order: what is frozen later becomes NaN

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.messages, self._known, self._names = [], set(), {}

    def backup_state(self) -> dict[str, Any]:
        return {"messages": self.messages, "known": sorted(self._known), "names": list(self._names)}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.messages, self._known = state["messages"], {(ailment, layer) for ailment, layer in state["known"]}
        self._names = dict.fromkeys(state["names"], math.nan)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        log = self.model.health
        values = {} if log is None else log.values()
        if log is None or not values:
            return
        found = {
            f"{PREFIX}{layer}/{quantity}": by_layer[layer]
            for layer in log.order
            for quantity, by_layer in values.items()
            if layer in by_layer
        }
        self._names |= found
        if logs is not None:
            logs.update({name: found.get(name, math.nan) for name in self._names})
        for ailment, layer, text in self._findings(log, values):
            if (ailment, layer) in self._known:
                continue
            self._known.add((ailment, layer))
            self.messages.append(f"epoch {epoch + 1}: {text}")
            if self.model.history is not None:
                self.model.history.messages.append(self.messages[-1])
            if self.warn:
                warnings.warn(f"Health: {self.messages[-1]}", UserWarning, stacklevel=5)

    def _findings(self, log: HealthLog, values: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, str]]:
        """(ailment, layer, words) of everything that is wrong."""
        broken = [layer for layer in log.layers if not math.isfinite(values["std"][layer])]
        if broken:
            text = (
                f"layer {broken[0]}: what it puts out is not finite: training diverged; try a lower learning rate, "
                f"global_clipnorm=1.0, batch normalization, or look for NaN in the data"
            )
            return [("not finite", broken[0], text)]
        found = []
        for layer in log.layers:
            found += self._of_outputs(layer, log.activations.get(layer, ""), values, last=layer == log.layers[-1])
        for layer, share in values["update"].items():
            if share > self.update:
                text = (
                    f"layer {layer}: a step changes {_percent(share)} of its weights: the learning rate is too high "
                    f"(healthy is about 0.1 %); try a lower one, a warm-up, or clipping"
                )
                found.append(("update", layer, text))
        return found + self._of_gradients(values["gradient"])

    def _of_outputs(
        self, layer: str, activation: str, values: Mapping[str, Mapping[str, float]], *, last: bool
    ) -> list[tuple[str, str, str]]:
        found = []
        dead, saturated = values["dead"][layer], values["saturated"].get(layer, 0.0)
        if dead >= self.dead:
            text = f"layer {layer}: {_percent(dead)} of its units were zero for every row of this epoch: "
            if activation in RECTIFIERS:
                text += "dying ReLU; try LeakyReLU, He initialization, a lower learning rate"
            else:
                text += "they pass nothing on; look at its weights and at what it is given"
            found.append(("dead", layer, text))
        if saturated >= self.saturated and activation not in RECTIFIERS and not last:
            text = (
                f"layer {layer}: {_percent(saturated)} of its units are saturated: {activation} is flat there and "
                f"passes hardly any gradient; try batch normalization, standardized inputs, smaller initial weights, "
                f"or ELU in its place"
            )
            found.append(("saturated", layer, text))
        return found

    def _of_gradients(self, gradients: Mapping[str, float]) -> list[tuple[str, str, str]]:
        """Of the lowest Dense layer beside the highest, and of the one with the largest."""
        trained = [v.path.rsplit("/", 1)[0] for v in self.model.trainable_weights if v.path.endswith("/kernel")]
        layers = [layer for layer in trained if layer in gradients]
        if not layers or not np.isfinite([gradients[layer] for layer in layers]).all():
            return []
        found = []
        lowest, highest, largest = layers[0], layers[-1], max(layers, key=lambda layer: gradients[layer])
        if gradients[lowest] < self.vanishing * gradients[highest]:
            text = (
                f"gradient of {lowest} is {gradients[lowest] / gradients[highest]:.0e} of {highest}'s: vanishing; try "
                f"ReLU's kin with He initialization, batch normalization, or residual connections"
            )
            found.append(("vanishing", lowest, text))
        if gradients[largest] > self.exploding:
            text = (
                f"gradient of {largest} has a norm of {gradients[largest]:.2g}: exploding; try global_clipnorm=1.0, "
                f"batch normalization, smaller initial weights, or targets of a smaller scale"
            )
            found.append(("exploding", largest, text))
        return found


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share < 1 else f"{100 * share:.0f} %"
