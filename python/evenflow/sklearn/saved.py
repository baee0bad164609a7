"""A model as plain data and arrays, which is what an estimator pickles."""

from __future__ import annotations

from typing import Any

from .. import losses, metrics, optimizers
from ..common.registry import describe
from ..models import Model


def dump(model: Model) -> dict[str, Any]:
    """Architecture, weights, loss and optimizer with its state."""
    optimizer = model.optimizer
    assert optimizer is not None  # the estimators compile what they build
    batches, slots = optimizer.state()
    return {
        "model": model.get_config(),
        "weights": model.get_weights(),
        "optimizer": describe(optimizer),
        "batches": batches,
        "slots": dict(slots),
        "loss": describe(model.loss),
        "loss_weight": model.loss_weights,
        "weighted_metrics": [one if isinstance(one, str) else describe(one) for one in model.weighted_metrics],
    }


def load(data: dict[str, Any]) -> Any:
    """The model that `dump` was given."""
    model = Model.from_config(data["model"])
    model.set_weights(data["weights"])
    optimizer = optimizers.get(data["optimizer"])
    optimizer.restore(data["batches"], dict(data["slots"]))
    weighted = [one if isinstance(one, str) else metrics.get(one) for one in data["weighted_metrics"]]
    model.compile(optimizer, losses.get(data["loss"]), data["loss_weight"], weighted_metrics=weighted)
    return model
