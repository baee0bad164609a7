"""From a name, a function or a serialized form to a metric, and which one "accuracy" means."""

from __future__ import annotations

from collections.abc import Sequence

from .. import errors
from ..common.functions import takes
from ..common.registry import Registry
from ..losses.base import Loss
from .base import Metric
from .confusion import (
    ConfusionMatrix,
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from .distribution import IntervalCoverage, IntervalWidth, PinballLoss
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .means import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    PearsonCorrelation,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
)
from .reductions import Mean, MeanMetricWrapper, Sum
from .scores import AUC, F1Score, FBetaScore

CLASSES: tuple[type[Metric], ...] = (  # those that the core counts
    AUC,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    BinaryIoU,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConcordanceCorrelation,
    ConfusionMatrix,
    CosineSimilarity,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    Hinge,
    IntervalCoverage,
    IntervalWidth,
    IoU,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanIoU,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    OneHotIoU,
    OneHotMeanIoU,
    PearsonCorrelation,
    PinballLoss,
    Poisson,
    Precision,
    PrecisionAtRecall,
    R2Score,
    Recall,
    RecallAtPrecision,
    RootMeanSquaredError,
    SensitivityAtSpecificity,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SpecificityAtSensitivity,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
_ALIASES: dict[str, type[Metric]] = {
    "bce": BinaryCrossentropy,
    "logcosh": LogCoshError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "mse": MeanSquaredError,
    "msle": MeanSquaredLogarithmicError,
    "rmse": RootMeanSquaredError,
}
REGISTRY = Registry(
    Metric,
    (*CLASSES, Mean, MeanMetricWrapper, Sum),
    aliases=_ALIASES | {name.upper(): cls for name, cls in _ALIASES.items() if name != "logcosh"},
    example="MeanAbsoluteError()",
)
# Which one is meant depends on loss and outputs: of one output, of class numbers, of rows of classes.
_AUTOMATIC: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    **dict.fromkeys(("accuracy", "acc"), (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy)),
    **dict.fromkeys(
        ("crossentropy", "ce", "log_loss"),
        (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
    ),
}


def get(identifier: object, where: str = "get", argument: str = "metrics") -> Metric:
    """A metric from a name, a metric, or its serialized form; a name stays the key in History, as in Keras."""
    if isinstance(identifier, str):
        if identifier not in REGISTRY.names and identifier not in REGISTRY.classes:
            raise errors.unknown_name(where, argument, identifier, [*REGISTRY.names, *_AUTOMATIC])
        cls = REGISTRY.find(where, argument, identifier)
        try:
            return cls(name=identifier)
        except TypeError:
            raise errors.wrong_value(where, argument, f"an object: {cls.__name__}(...)", identifier) from None
    if takes(identifier, 2) and not isinstance(identifier, (Metric, Loss)):
        return MeanMetricWrapper(identifier)  # type: ignore[arg-type]  # it is a function
    return REGISTRY.make(where, argument, identifier)


def name_of(metric: Metric | str) -> str:
    """The key in History of what `read_metrics` returns."""
    return metric if isinstance(metric, str) else metric.name


def read_metrics(metrics: object, where: str = "compile", argument: str = "metrics") -> list[Metric | str]:
    """What `compile(metrics=...)` was given, checked; "accuracy" stays a name until the outputs are known."""
    if metrics is None:
        return []
    listed = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
    found: list[Metric | str] = [
        m if isinstance(m, str) and m in _AUTOMATIC else get(m, where, argument) for m in listed
    ]
    names = [name_of(metric) for metric in found]
    if len(set(names)) < len(names):
        raise errors.wrong_value(where, argument, "different names", names)
    return found


def lower_is_better(metric: Metric | str) -> bool | None:
    """Whether a metric is to be small; None: neither small nor large."""
    return (_AUTOMATIC[metric][0] if isinstance(metric, str) else metric).lower_is_better


def resolve_metric(metric: Metric | str, loss: str, units: int, *, logits: bool | None = None) -> Metric:
    """The metric itself, and for "accuracy" the one Keras picks: binary for one output, else by the targets.

    `logits`: whether the outputs are logits, where that is known.
    """
    labels = loss == "sparse_categorical_crossentropy"
    if isinstance(metric, str):
        binary, sparse, dense = _AUTOMATIC[metric]
        cls = binary if units == 1 else sparse if labels else dense
        return cls(name=metric, from_logits=True) if logits and issubclass(cls, CrossEntropy) else cls(name=metric)
    if metric.targets == ("dense" if labels else "labels"):
        takes = "class numbers" if not labels else f"targets of shape (rows, {units})"
        given = "class numbers" if labels else f"targets of shape (rows, {units})"
        raise ValueError(f"compile: metric {metric.name!r} takes {takes}, but loss {loss!r} is given {given}")
    from_logits = getattr(metric, "from_logits", logits)
    if logits is not None and from_logits != logits:
        outputs = "logits, as the loss says" if logits else "probabilities"
        raise ValueError(
            f"compile: metric {metric.name!r} has from_logits={from_logits}, but the outputs are {outputs}"
        )
    metric.check("compile", units)
    return metric
