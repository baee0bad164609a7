"""From a name, a function or a serialized form to a loss."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..common.registry import Registry
from .base import Array, Loss
from .crossentropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_crossentropy,
)
from .custom import CustomLoss
from .values import (
    CategoricalHinge,
    CosineSimilarity,
    GaussianNLL,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
    SquaredHinge,
    categorical_hinge,
    cosine_similarity,
    gaussian_nll,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    quantile,
    squared_hinge,
)

_FUNCTIONS: dict[Callable[..., Array], type[Loss]] = {
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    binary_crossentropy: BinaryCrossentropy,
    binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy,
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    huber: Huber,
    log_cosh: LogCosh,
    poisson: Poisson,
    quantile: Quantile,
    gaussian_nll: GaussianNLL,
    hinge: Hinge,
    squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge,
    kl_divergence: KLDivergence,
    cosine_similarity: CosineSimilarity,
}


_SHORT: dict[str, type[Loss]] = {
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
    "bce": BinaryCrossentropy,
    "kld": KLDivergence,
}


REGISTRY = Registry(
    Loss,
    tuple(_FUNCTIONS.values()),
    aliases={
        **_SHORT,
        **{short.upper(): cls for short, cls in _SHORT.items()},
        **{function.__name__: cls for function, cls in _FUNCTIONS.items()},
        "pinball": Quantile,
    },
    example="MeanSquaredError()",
)


def get(identifier: object, where: str = "get", argument: str = "loss") -> Loss:
    """A loss from a name ("mse"), a function of `losses` (also in `functools.partial`), a loss, its serialized form,
    or a function of (y, prediction) that returns value and gradient: see `CustomLoss`."""
    given: dict[str, Any] = {}
    function: Any = identifier
    if isinstance(identifier, functools.partial) and not identifier.args:
        function, given = identifier.func, identifier.keywords
    if callable(function) and not isinstance(function, (Loss, type)):
        return _FUNCTIONS[function](**given) if function in _FUNCTIONS else CustomLoss(identifier)  # type: ignore[arg-type]
    return REGISTRY.make(where, argument, identifier)
