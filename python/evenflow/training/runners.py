"""What goes through the steps of a run: the executor, or what goes through it step by step, and how far it got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..callbacks.base import Logs
from ..data.arrays import Several
from ..losses.custom import CustomLoss
from ..metrics.reductions import MeanMetricWrapper
from .custom_steps import CustomProgress, CustomSteps, takes_labels
from .executor import Executor
from .objectives import Objective
from .observed_steps import ObservedProgress, ObservedSteps
from .task import Score, loss_means, means, metric_specs

if TYPE_CHECKING:
    from .._core import Progress

    AnyProgress = Progress | CustomProgress | ObservedProgress

Runner = Executor | CustomSteps | ObservedSteps


def runner_of(
    executor: Executor, objectives: Sequence[Objective], scores: Sequence[Score], y: NDArray[Any] | Several
) -> Runner:
    """What trains and evaluates on targets such as y."""
    loss = objectives[0].loss if objectives else None
    if not isinstance(loss, CustomLoss) or isinstance(y, Several):
        functions = any(isinstance(score.metric, MeanMetricWrapper) for score in scores)
        return ObservedSteps(executor, scores) if functions else executor
    units = executor.program.outputs
    assert isinstance(units, int)  # such a loss is that of a model with one output
    kind = "sparse_categorical_crossentropy" if takes_labels(y, units) else loss.kind
    specs = metric_specs(loss, scores, units, kind=kind)
    return CustomSteps(executor, loss, scores, specs, objectives[0].weight)


def executor_of(runner: Runner) -> Executor:
    """Whose program a runner goes through."""
    return runner if isinstance(runner, Executor) else runner.executor


def logs_of(progress: AnyProgress, objectives: Sequence[Objective], scores: Sequence[Score]) -> Logs:
    """Losses and metrics over the rows seen so far, by name."""
    rows = progress.rows
    losses = {"loss": progress.loss / rows} | loss_means(objectives, progress.losses, rows)
    return losses | means(scores, progress.metrics, progress.weights, rows)


def as_result(logs: Logs, return_dict: bool) -> Any:
    """What `evaluate` and the calls on one batch return."""
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
