"""From an optimizer's settings to its update rule: slots, and one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import updates
from .arrays import Array

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
    """The names of a rule's slots, and the value they start from."""
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
) -> None:
    """One step of the rule on one variable and its slots, in place; `step` counts from 1. Defaults are Keras'."""
    kind = settings["kind"]
    rule: dict[str, Any] = {"learning_rate": learning_rate}
    if decays:
        rule["weight_decay"] = settings.get("weight_decay") or 0.0
    if kind in COUNTING:
        rule["step"] = step
    rule |= {name: settings.get(name, default) for name, default in DEFAULTS[kind].items()}
    arguments: dict[str, Array | None] = {"m" if slot == "momentum" else slot: value for slot, value in slots.items()}
    if kind == "sgd":
        arguments.setdefault("m", None)
    getattr(updates, f"{kind}_step")(p, g, **arguments, **rule)
