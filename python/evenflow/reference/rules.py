"""From an optimizer's settings to its update rule: slots, and one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import updates
from .arrays import Array, wide

SLOTS = {
    "sgd": (),
    "adam": ("m", "v"),
    "nadam": ("m", "v"),
    "adamax": ("m", "u"),
    "adagrad": ("accumulator",),
    "adadelta": ("accumulated_grad", "accumulated_delta_var"),
    "rmsprop": ("velocity",),
    "lion": ("momentum",),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "nesterov": False},
    "adam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "nadam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "momentum_decay": 1.0},
    "adamax": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "adagrad": {"epsilon": 1e-7},
    "adadelta": {"rho": 0.95, "epsilon": 1e-7},
    "rmsprop": {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7},
    "lion": {"beta_1": 0.9, "beta_2": 0.99},
}
COUNTING = ("adam", "nadam", "adamax")  # their steps depend on how many there were


def slots_of(settings: Mapping[str, Any]) -> tuple[list[str], float]:
    """The names of a rule's slots, and the value they start from. Those of all rules are in `network`."""
    names = list(SLOTS[settings["kind"]])
    if settings["kind"] in ("sgd", "rmsprop") and settings.get("momentum"):
        names.append("momentum")
    if settings.get("centered"):
        names.append("average_gradient")
    if settings.get("amsgrad"):
        names.append("v_max")
    return names, settings.get("initial_accumulator_value", 0.1) if settings["kind"] == "adagrad" else 0.0


def apply_rule(
    settings: Mapping[str, Any],
    p: Array,
    g: Array,
    slots: Mapping[str, Array],
    step: int,
    learning_rate: float,
    *,
    decays: bool = True,
    momentum_product: float | None = None,
) -> None:
    """One step of the rule on one variable and its slots, in place; `step` counts from 1. Defaults are Keras'.

    momentum_product: Nadam's, of the steps before."""
    kind = settings["kind"]
    rule: dict[str, Any] = {"learning_rate": learning_rate}
    weight_decay = (settings.get("weight_decay") or 0.0) if decays else 0.0
    if settings.get("coupled"):  # PyTorch's decay is a part of the gradient
        g = wide(g) + weight_decay * wide(p)
    else:
        rule["weight_decay"] = weight_decay
    if settings.get("torch"):
        rule["torch"] = True
        rule["learning_rate"] = learning_rate / (1 + (step - 1) * settings.get("lr_decay", 0.0))
    if kind == "nadam":
        rule["momentum_product"] = momentum_product
    if kind in COUNTING:
        rule["step"] = step
    rule |= {name: settings.get(name, default) for name, default in DEFAULTS[kind].items()}
    arguments: dict[str, Array | None] = {"m" if slot == "momentum" else slot: value for slot, value in slots.items()}
    if kind == "sgd":
        arguments.setdefault("m", None)
        if step > 1 and settings.get("dampening"):  # what enters the buffer, and not the look-ahead
            g = (1 - settings["dampening"]) * wide(g)
    getattr(updates, f"{kind}_step")(p, g, **arguments, **rule)
