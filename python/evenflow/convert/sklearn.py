"""Fitted multi-layer perceptrons of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import errors
from ..layers import Dense, Input
from ..models import Sequential
from .filling import put

ACTIVATIONS = {
    "identity": "linear",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exponential",
}


def from_sklearn(estimator: Any, *, dtype: str = "float32", name: str | None = None) -> Sequential:
    """The network of a fitted `MLPClassifier` or `MLPRegressor`, read from its `coefs_` and `intercepts_`.

    A classifier's outputs are those of `predict_proba`, in the order of its `classes_`; of two classes there is one
    output, the probability of the second, and of several labels one probability each. A regressor's are those of
    `predict`. `feature_names_in_` become the model's `feature_names`. Penalty, rate and optimizer stay behind: compile
    the model to train it further. scikit-learn's `alpha` is an l2 penalty of alpha / (2 * rows of the batch).

    Raises TypeError for anything that is no such estimator, ValueError for one that is not fitted.
    """
    where = "from_sklearn"
    kind = type(estimator).__name__
    if isinstance(estimator, type) or not all(hasattr(estimator, n) for n in ("hidden_layer_sizes", "activation")):
        raise errors.wrong_type(where, "estimator", "a fitted MLPClassifier or MLPRegressor", estimator)
    if not all(hasattr(estimator, n) for n in ("coefs_", "intercepts_", "out_activation_")):
        raise ValueError(f"{where}: estimator: expected a fitted {kind}, received one without weights: call its fit")
    if hasattr(estimator, "model_"):  # normalization and dropout are not among coefs_ and intercepts_
        expected = "one of scikit-learn's: an estimator of evenflow.sklearn has its network in model_"
        raise errors.wrong_kind(where, "estimator", expected, f"a {kind} of evenflow")
    kernels = [np.asarray(kernel) for kernel in estimator.coefs_]
    biases = [np.asarray(bias) for bias in estimator.intercepts_]
    activations = [estimator.activation] * (len(kernels) - 1) + [estimator.out_activation_]
    for activation in activations:
        if activation not in ACTIVATIONS:
            raise errors.unknown_name(where, "activation of the estimator", activation, ACTIVATIONS)
    layers = [
        Dense(kernel.shape[1], ACTIVATIONS[activation]) for kernel, activation in zip(kernels, activations, strict=True)
    ]
    model = Sequential([Input(kernels[0].shape[:1]), *layers], name=name, dtype=dtype)
    variables = model.variables
    arrays = [array for pair in zip(kernels, biases, strict=True) for array in pair]
    names = [f"{part}[{n}]" for n in range(len(kernels)) for part in ("coefs_", "intercepts_")]
    put(where, zip(variables, arrays, names, strict=True))
    if hasattr(estimator, "feature_names_in_"):
        model.feature_names = tuple(map(str, estimator.feature_names_in_))
    return model
