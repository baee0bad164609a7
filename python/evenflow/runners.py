"""What goes through the steps of a run: the executor, or what goes through it step by step, and how far it got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .callback import Logs
from .custom_loss import CustomLoss, CustomProgress, CustomSteps, takes_labels
from .executor import Executor
from .loss import Loss
from .observed_steps import ObservedProgress, ObservedSteps
from .reduction_metrics import MeanMetricWrapper
from .task import Score, means, metric_specs

if TYPE_CHECKING:
    from ._core import Progress

    AnyProgress = Progress | CustomProgress | ObservedProgress

Runner = Executor | CustomSteps | ObservedSteps


def runner_of(
    executor: Executor, loss: Loss | None, scores: Sequence[Score], y: NDArray[Any], loss_weight: float
) -> Runner:
    """What trains and evaluates on targets such as y."""
    if not isinstance(loss, CustomLoss):
        functions = any(isinstance(score.metric, MeanMetricWrapper) for score in scores)
        return ObservedSteps(executor, scores) if functions else executor
    units = executor.program.outputs
    kind = "sparse_categorical_crossentropy" if takes_labels(y, units) else loss.kind
    specs = metric_specs(loss, scores, units, kind=kind)
    return CustomSteps(executor, loss, scores, specs, loss_weight)


def logs_of(progress: AnyProgress, scores: Sequence[Score]) -> Logs:
    """Loss and metrics over the rows seen so far, by name."""
    return {"loss": progress.loss / progress.rows} | means(scores, progress.metrics, progress.weight, progress.rows)


def as_result(logs: Logs, return_dict: bool) -> Any:
    """What `evaluate` and the calls on one batch return."""
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
