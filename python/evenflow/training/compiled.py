"""Compiled: what a model is asked for, its outputs' objectives and an optimizer, and data that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .. import optimizers
from ..common.devices import check_device
from ..data import frames
from ..data.arrays import Inputs, Several
from ..losses.custom import CustomLoss
from ..optimizers import Optimizer
from .compile_arguments import check_execution
from .objectives import Objective, read_objectives, read_targets, read_weights
from .predictor import Predictor
from .runners import Runner, runner_of
from .task import Pair, Score, check_task, scores

if TYPE_CHECKING:
    from .frozen import FrozenCache

Array = NDArray[Any]


class Compiled(Predictor):
    """A Predictor with objectives and an optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizer: Optimizer | None = None
        self.objectives: list[Objective] = []  # of each output, once compiled
        self.frozen_cache: FrozenCache | None = None  # while `fit` keeps what the frozen layers make

    # description

    def compile(
        self,
        optimizer: object = "rmsprop",
        loss: object = None,
        loss_weights: object = None,
        metrics: object = None,
        weighted_metrics: object = None,
        *,
        device: str | None = None,
        **execution: Any,
    ) -> None:
        """Choose optimizer, loss and metrics: names, or objects of `optimizers`, `losses` and `metrics`.

        `loss` may also be a function of (y, prediction) that returns value and gradient: see `losses.CustomLoss`.
        `loss_weights`, a number of at least 0, multiplies the loss. Where a model has several outputs, the loss is the
        weighted sum of theirs: each of the arguments is a list in their order or a dict by their names, with None for
        an output that has none; a single loss is that of all. "accuracy" means the accuracy that fits the loss and the
        outputs. In `weighted_metrics` rows count by their `sample_weight` and `class_weight`, in `metrics` all
        alike; a name in both is `weighted_...` in History for the former. A metric may be a function of (y_true,
        y_pred): see `metrics.MeanMetricWrapper`. A model compiled again keeps its weights. `device`, "cpu" or
        "cuda", is `model.device`; None leaves that as it is. For `execution` see `compile_arguments.check_execution`.
        """
        check_execution("compile", execution)
        new_optimizer = optimizers.get(optimizer, "compile")
        device = None if device is None else check_device("compile", device)
        objectives = read_objectives(self.output_names, loss, loss_weights, metrics, weighted_metrics)
        if self._row_shape is not None:
            self._counted(objectives, self.output_units(self._row_shape))
        self.optimizer, self.objectives = new_optimizer, objectives
        if device is not None:
            self.device = device

    def _counted(
        self, objectives: Sequence[Objective], units: Sequence[int]
    ) -> list[tuple[Objective, list[str | dict[str, Any]]]]:
        """What the core is to count for each output's metrics; raises where loss, metrics and outputs do not fit."""
        listed = scores(objectives)
        found = []
        for i, objective in enumerate(objectives):
            own = [score for score in listed if score.output == i]
            counted: list[str | dict[str, Any]] = []
            if objective.loss is not None and not isinstance(objective.loss, CustomLoss):
                counted = check_task(objective.loss, own, units[i], self.output_activations()[i])
            found.append((objective, counted))
        return found

    def _each(self, values: Sequence[Any]) -> Any:
        return values[0] if len(self.output_names) == 1 else list(values)

    @property
    def loss(self) -> Any:
        """The loss, or a list of those of several outputs; None before `compile`."""
        return self._each([objective.loss for objective in self.objectives]) if self.objectives else None

    @property
    def loss_weights(self) -> Any:
        """The weight of the loss, or a list of those of several outputs."""
        return self._each([objective.weight for objective in self.objectives]) if self.objectives else 1.0

    @property
    def metrics(self) -> list[Any]:
        """The metrics, or a list for each of several outputs."""
        found: list[Any] = self._each([objective.metrics for objective in self.objectives] or [[]])
        return found

    @property
    def weighted_metrics(self) -> list[Any]:
        """The weighted metrics, or a list for each of several outputs."""
        found: list[Any] = self._each([objective.weighted_metrics for objective in self.objectives] or [[]])
        return found

    def spec(self) -> dict[str, Any]:
        """The network, loss, metrics and optimizer as plain data: what the native core compiles."""
        spec = super().spec()
        outputs = spec.get("outputs", [spec])
        counted = self._counted(self.objectives, self.output_units(self._row_shape or ()))
        for output, (objective, metrics) in zip(outputs, counted, strict=False):  # none before `compile`
            if objective.loss is not None and not isinstance(objective.loss, CustomLoss):
                weight = {} if objective.weight == 1 else {"weight": objective.weight}
                output |= {"loss": objective.loss.spec() | weight, "metrics": metrics}
        if self.optimizer is not None:
            spec["optimizer"] = self.optimizer.spec(self.variables)
        return spec

    def _steps_for(
        self, pair: Pair, batch: int, *, training: bool = False, exact: bool = False
    ) -> tuple[Runner, Inputs]:
        """What trains and evaluates on these rows, and the inputs that it takes."""
        head = self.frozen_cache and self.frozen_cache.head(pair, batch, training=training, exact=exact)
        executor, x = head or (self._executor_for(batch, training=training, exact=exact), pair.x)
        return runner_of(executor, self.objectives, self.scores, pair.y), x

    @property
    def scores(self) -> list[Score]:
        """Metrics and weighted metrics, with their keys in History."""
        return scores(self.objectives)

    # checks

    def _compiled(self, where: str) -> Optimizer:
        if self.optimizer is None or all(objective.loss is None for objective in self.objectives):
            raise RuntimeError(f"{where}: compile the model with an optimizer and a loss first")
        if [objective.name for objective in self.objectives] != self.output_names and len(self.objectives) > 1:
            raise RuntimeError(f"{where}: the outputs are others than those that were compiled: compile again")
        return self.optimizer

    def _check_optimizer(self, where: str, optimizer: Optimizer) -> None:
        homes = (None, self._executor, self.frozen_cache.executor if self.frozen_cache else None)
        if not any(optimizer.lives_in(home) for home in homes):
            raise ValueError(f"{where}: optimizer {optimizer.name!r} holds the state of another model: make a new one")

    def _read_pair(
        self,
        where: str,
        x: object,
        y: object,
        sample_weight: object = None,
        *,
        allow_nonfinite: bool,
        names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    ) -> Pair:
        self._compiled(where)
        if self._executor is not None:
            self._executor.forget_data()
        inputs = self.read_array(where, names[0], x)
        given = read_targets(where, names[1], y, self.objectives, inputs, names[0])
        rows, shape, units = self._read_rows(where, names[0], inputs, allow_nonfinite=allow_nonfinite)
        if self._row_shape is None:  # otherwise spec() sees to it
            self._counted(self.objectives, units)
        targets: list[Array | None] = []
        for i, (objective, array) in enumerate(zip(self.objectives, given, strict=True)):
            label = names[1] if len(given) == 1 else f"{names[1]}[{objective.name!r}]"
            if objective.loss is None or array is None:
                targets.append(None)
                continue
            expected = (len(rows), units[i])
            targets.append(objective.loss.read_target(where, label, array, expected, self.dtype, allow_nonfinite))
        weight = read_weights(where, names[2], sample_weight, self.output_names, len(rows))
        only = targets[0]
        return Pair(
            rows,
            Several(targets) if len(targets) > 1 or only is None else only,
            shape,
            weight,
            units[0],
            frames.column_names(x),
        )
