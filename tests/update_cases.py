"""Update rules as cases: their slots and hyper-parameters, and what their errors may be."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evenflow import reference

Array = np.ndarray
MOMENTS = {"learning_rate": 1e-2, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
AVERAGE = {"learning_rate": 1e-2, "rho": 0.9, "epsilon": 1e-7}


@dataclass(frozen=True)
class Rule:
    """How to call a rule. Slots of squares and norms are positive."""

    slots: tuple[str, ...]
    settings: dict[str, Any]
    optional: dict[str, str] = field(default_factory=dict)  # slots that a setting asks for, None without it
    flags: tuple[str, ...] = ()  # settings that are nothing but the question for a slot

    def arrays(self, settings: dict[str, Any], size: int, rng: np.random.Generator, dtype: Any) -> list[Any]:
        """p, g and the slots."""
        p, g = (rng.standard_normal(size).astype(dtype) for _ in range(2))
        slots: dict[str, Array | None] = {}
        for slot in self.slots:
            value = rng.standard_normal(size).astype(dtype)
            slots[slot] = value if slot in SIGNED else value * value
            if slot in self.optional and not settings.get(self.optional[slot]):
                slots[slot] = None
        if slots.get("average_gradient") is not None:  # no average is larger than that of the squares
            slots["velocity"] += slots["average_gradient"] ** 2
        return [p, g, *slots.values()]

    def keywords(self, settings: dict[str, Any]) -> dict[str, Any]:
        return self.settings | {name: value for name, value in settings.items() if name not in self.flags}


SIGNED = {"m", "average_gradient"}
RULES = {
    "sgd_step": Rule(("m",), {"learning_rate": 1e-2}, {"m": "momentum"}),
    "adam_step": Rule(("m", "v", "v_max"), MOMENTS, {"v_max": "amsgrad"}, ("amsgrad",)),
    "nadam_step": Rule(("m", "v"), MOMENTS),
    "adamax_step": Rule(("m", "u"), MOMENTS),
    "adagrad_step": Rule(("accumulator",), {"learning_rate": 1e-2, "epsilon": 1e-7}),
    "adadelta_step": Rule(("accumulated_grad", "accumulated_delta_var"), AVERAGE),
    "rmsprop_step": Rule(
        ("velocity", "m", "average_gradient"),
        AVERAGE,
        {"m": "momentum", "average_gradient": "centered"},
        ("centered",),
    ),
    "lion_step": Rule(("m",), {"learning_rate": 1e-2, "beta_1": 0.9, "beta_2": 0.99}),
}
# Settings of the rows: every slot, every branch, decay with and without.
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("sgd_step", {"momentum": 0.0, "nesterov": False}),
    ("sgd_step", {"momentum": 0.9, "nesterov": False}),
    ("sgd_step", {"momentum": 0.9, "nesterov": True}),
    ("sgd_step", {"momentum": 0.9, "weight_decay": 0.1}),
    ("sgd_step", {"momentum": 0.9, "torch": True}),
    ("sgd_step", {"momentum": 0.9, "nesterov": True, "torch": True}),
    ("sgd_step", {"momentum": 0.9, "torch": True, "dampening": 0.3, "step": 5}),
    ("adam_step", {"step": 1}),
    ("adam_step", {"step": 1000}),
    ("adam_step", {"step": 10, "weight_decay": 0.1}),
    ("adam_step", {"step": 10, "amsgrad": True}),
    ("adam_step", {"step": 10, "torch": True, "epsilon": 1e-3}),
    ("nadam_step", {"step": 1}),
    ("nadam_step", {"step": 1000, "momentum_decay": 4e-3}),
    ("nadam_step", {"step": 10, "weight_decay": 0.1}),
    ("nadam_step", {"step": 10, "momentum_product": 0.5}),
    ("adamax_step", {"step": 1}),
    ("adamax_step", {"step": 1000, "weight_decay": 0.1}),
    ("adamax_step", {"step": 10, "torch": True, "epsilon": 1e-3}),
    ("adagrad_step", {"weight_decay": 0.0}),
    ("adagrad_step", {"weight_decay": 0.1}),
    ("adagrad_step", {"torch": True, "epsilon": 1e-3}),
    ("adadelta_step", {"weight_decay": 0.0}),
    ("adadelta_step", {"weight_decay": 0.1, "rho": 0.95}),
    ("rmsprop_step", {"momentum": 0.0}),
    ("rmsprop_step", {"momentum": 0.9}),
    ("rmsprop_step", {"momentum": 0.0, "centered": True}),
    ("rmsprop_step", {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("rmsprop_step", {"momentum": 0.0, "torch": True, "epsilon": 1e-3}),
    ("rmsprop_step", {"momentum": 0.9, "torch": True, "epsilon": 1e-3}),
    ("lion_step", {"weight_decay": 0.0}),
    ("lion_step", {"weight_decay": 0.1}),
]


def arguments(case: Any, rng: np.random.Generator, dtype: Any) -> tuple[list[Any], dict[str, Any]]:
    (size,) = case.shape
    rule = RULES[case.kernel]
    return rule.arrays(case.settings, size, rng, dtype), rule.keywords(case.settings)


def scales(kernel: str, args: list[Any], settings: dict[str, Any], eps: float) -> list[Any]:
    """Of p and each slot. The rule on the magnitudes, from p = 0, tells how large the terms of each sum are.

    A slot has two roundings, and m + (1 - beta) (g - m), which is as good as the textbook's form, has terms as large as
    the old m. The step has those of its slots, of a square root, of a division in 1.5 ULP and of three factors.
    """
    p, g, *slots = args
    before = [abs(s) if s is not None else None for s in slots]
    # SGD's slot holds steps, which go against the gradient; PyTorch's holds gradients.
    sign = -1 if kernel == "sgd_step" and not settings.get("torch") else 1
    after = [np.zeros_like(p), sign * abs(g), *(s.copy() if s is not None else None for s in before)]
    getattr(reference, kernel)(*after, **settings)
    names = RULES[kernel].slots
    step = abs(after[0])
    kept = abs(p) * (2 if settings.get("weight_decay") else 1)
    found = [kept + 12 * step]
    if kernel == "lion_step":  # a sign is as uncertain as a sum close to zero
        push = reference.average(slots[0], g, settings["beta_1"])
        unsure = abs(push) <= 4 * eps * (abs(slots[0]) + abs(g))
        found[0] = found[0] + unsure * 2 * settings["learning_rate"] / eps
    stretch = 1.0
    if kernel == "rmsprop_step" and slots[2] is not None:  # a difference stands in the root
        velocity, _, average = after[2:]
        average = reference.average(slots[2], g, settings["rho"])
        spread = np.maximum(velocity - average**2, 0) + settings["epsilon"]
        ratio = settings["learning_rate"] * abs(g) / np.sqrt(spread)
        stretch = 2 + 4 * (velocity + slots[2] ** 2 + g**2) / spread
        step = ratio if slots[1] is None else ratio + settings["momentum"] * abs(slots[1])
        found[0] = kept + 12 * step + stretch * ratio
    for name, old, new in zip(names, before, after[2:], strict=True):
        if old is None:
            continue
        found.append(2 * (new + old))
        if kernel == "rmsprop_step" and name == "m" and slots[2] is not None:
            found[-1] = 12 * step + stretch * ratio
    return found
