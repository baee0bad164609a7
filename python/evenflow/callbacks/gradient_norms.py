"""Norms of gradients, which the backward pass sums up as it writes them, for the logs of `fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from .base import Callback, Logs

if TYPE_CHECKING:
    from ..training.feeds import Piece

NO_STEP = -1.0  # no norm is negative; NaN is one, of gradients that are not numbers


class NormLog:
    """The l2 norms of an epoch: a row for each batch, a column for each variable that is trained, before clipping.

    `names` are the variables' paths. Rows of batches that made no step (yet, or because gradients accumulate) are -1.
    """

    def __init__(self, batches: int) -> None:
        self.names: list[str] = []
        self.values: NDArray[np.float64] = np.zeros((batches, 0))

    def describe(self) -> dict[str, Any]:
        """The norms so far, as plain data with arrays."""
        return {"names": self.names, "values": self.values}

    @classmethod
    def restored(cls, described: Mapping[str, Any]) -> NormLog:
        """The inverse of `describe`."""
        log = cls(0)
        log.names, log.values = list(described["names"]), described["values"]
        return log

    def of(self, names: Sequence[str], piece: Piece) -> NDArray[np.float64]:
        """The array for a program that trains these variables on a piece of the epoch.

        Columns go on where a layer was frozen or thawed; rows are added where nobody knew how many there would be.
        """
        first, count = piece.norm_rows
        missing = first + count - len(self.values)
        if missing > 0:
            added = np.full((max(missing, len(self.values)), len(self.names)), NO_STEP)
            self.values = np.concatenate((self.values, added))
        if list(names) != self.names:
            values = np.full((len(self.values), len(names)), NO_STEP)
            for column, name in enumerate(names):
                if name in self.names:
                    values[:, column] = self.values[:, self.names.index(name)]
            self.names, self.values = list(names), values
        return self.values[first : first + count]

    def means(self) -> Logs:
        """Means over the steps so far, by name in the logs."""
        return {name: float(values.mean()) for name, values in self.by_name().items()}

    def by_name(self) -> dict[str, NDArray[np.float64]]:
        """Each step's norm: "gradient_norm" of all variables together, "gradient_norm/dense" of a layer's,
        "gradient_norm/dense/kernel" of one."""
        rows = self.of_steps()
        if rows.size == 0:
            return {}
        squares = np.where(rows == NO_STEP, 0.0, rows) ** 2
        layer_of = [name.partition("/")[0] for name in self.names]
        found = {"gradient_norm": np.sqrt(squares.sum(axis=1))}
        for layer in dict.fromkeys(layer_of):
            own = [column for column, other in enumerate(layer_of) if other == layer]
            found[f"gradient_norm/{layer}"] = np.sqrt(squares[:, own].sum(axis=1))
        return found | {f"gradient_norm/{name}": rows[:, column] for column, name in enumerate(self.names)}

    def of_steps(self) -> NDArray[np.float64]:
        """The rows of the batches that made a step."""
        done: NDArray[np.float64] = self.values[~(self.values == NO_STEP).all(axis=1)]
        return done


class GradientNorms(Callback):
    """Puts the l2 norms of gradients before clipping into the logs, and so into History: means over an epoch's steps.

    "gradient_norm" is that of all variables together, "gradient_norm/dense" that of a layer's, unless `layers` is
    False, "gradient_norm/dense/kernel" that of one, unless `variables` is False. With `per_step`, `steps` holds every
    step's, a list for each of these names, as far as training went. Norms that fall from the last layer to the first
    tell that gradients vanish, norms that grow that they explode; a limit for clipping (`clipnorm`, `global_clipnorm`)
    is chosen by looking at them.
    """

    wants_gradient_norms = True

    def __init__(self, variables: bool = True, per_step: bool = False, *, layers: bool = True) -> None:
        self.layers = errors.boolean("GradientNorms", "layers", layers)
        self.variables = errors.boolean("GradientNorms", "variables", variables)
        self.per_step = errors.boolean("GradientNorms", "per_step", per_step)
        self.steps: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.steps = {}

    def backup_state(self) -> dict[str, Any]:
        return {"steps": {name: np.asarray(norms) for name, norms in self.steps.items()}}

    def restore_state(self, state: dict[str, Any]) -> None:
        self.steps = {name: norms.tolist() for name, norms in state["steps"].items()}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        log = self.model.gradient_norms
        for name, values in ({} if log is None else log.by_name()).items():
            if not (True, self.layers, self.variables)[min(name.count("/"), 2)]:
                continue
            if logs is not None:
                logs[name] = float(values.mean())
            if self.per_step:
                self.steps.setdefault(name, []).extend(values.tolist())
