"""Every update rule with the memory it streams: what a pass over the parameters must read and write."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from .workloads import Array

RULES: dict[str, dict[str, Any]] = {
    "SGD": {"kind": "sgd"},
    "momentum": {"kind": "sgd", "momentum": 0.9},
    "Nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    "Adam": {"kind": "adam"},
    "AMSGrad": {"kind": "adam", "amsgrad": True},
    "AdamW": {"kind": "adam", "weight_decay": 0.004},
    "Adam with an average": {"kind": "adam", "use_ema": True},
    "Nadam": {"kind": "nadam"},
    "Adamax": {"kind": "adamax"},
    "Adamax, PyTorch's": {"kind": "adamax", "torch": True},
    "Adagrad": {"kind": "adagrad"},
    "Adadelta": {"kind": "adadelta"},
    "RMSprop": {"kind": "rmsprop"},
    "RMSprop, momentum": {"kind": "rmsprop", "momentum": 0.9},
    "RMSprop, centered": {"kind": "rmsprop", "centered": True},
    "RMSprop, both": {"kind": "rmsprop", "momentum": 0.9, "centered": True},
    "Lion": {"kind": "lion"},
}


def expected_after_one_step(rule: str, p: Array, g: Array, learning_rate: float) -> Array:
    """The reference's first step, float64."""
    rules = import_module("evenflow.reference.rules")
    names, start = rules.slots_of(RULES[rule])
    after = p.astype(np.float64)
    slots = {name: np.full(p.shape, start) for name in names}
    rules.apply_rule(RULES[rule], after, g.astype(np.float64), slots, 1, learning_rate)
    return after
