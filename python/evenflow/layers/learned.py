"""Activations with a parameter that is trained, and how a layer reads its `activation=`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import activations, constraints, errors, initializers, regularizers
from ..activations import Activation as CoreActivation
from ..common.registry import describe
from .activation_base import LearnedActivation
from .base import Layer


class PReLU(LearnedActivation):
    """x where x > 0, else alpha * x; alpha [units] is trained, or with `shared_axes=[1]` one alpha [1] for all units.

    Its gradient is the sum of dy * x over the rows where x <= 0. alpha starts at 0, as a ReLU (Keras; PyTorch starts
    its single one at 0.25). It did well on large sets of images; on small data it overfits. `alpha_regularizer` and
    `alpha_constraint` are of `evenflow.regularizers` and `evenflow.constraints`: "l2" pulls alpha towards 0, a ReLU, as
    weight decay does; "non_neg" keeps the function monotonic. He et al. 2015.
    """

    kind = "prelu"

    ARGUMENTS = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")

    def __init__(
        self,
        alpha_initializer: object = "zeros",
        alpha_regularizer: object = None,
        alpha_constraint: object = None,
        shared_axes: int | Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        self.initializer = initializers.get_for_vector(alpha_initializer, "PReLU", "alpha_initializer")
        self.alpha_regularizer = regularizers.get_for_vector(alpha_regularizer, "PReLU", "alpha_regularizer")
        self.alpha_constraint = constraints.get_for_vector(alpha_constraint, "PReLU", "alpha_constraint")
        if isinstance(shared_axes, bool) or shared_axes not in (None, 1, [1], (1,)):
            raise errors.wrong_value("PReLU", "shared_axes", "None or [1], the units of a row", shared_axes)
        self.shared = shared_axes is not None
        super().__init__(**options)

    def spec_within(self, layer: Layer, name: str) -> list[dict[str, Any]]:
        return [entry | regularizers.spec_of(self, ("alpha",)) for entry in super().spec_within(layer, name)]

    def get_config(self) -> dict[str, Any]:
        own = {"alpha_initializer": describe(self.initializer), "shared_axes": [1] if self.shared else None}
        return {**super().get_config(), **own, **regularizers.config_of(self, ("alpha",))}


class Swish(LearnedActivation):
    """x * sigmoid(beta * x): SiLU with beta = 1, x / 2 with 0, towards ReLU as beta grows. Ramachandran et al. 2017.

    `trainable_beta`: False keeps beta; "unit" trains one for each unit, "layer" one for all, from `beta` on. The
    gradient is the sum of dy * x^2 s (1 - s) over rows, s = sigmoid(beta * x).
    """

    kind = "learned_swish"

    ARGUMENTS = ("beta", "trainable_beta")

    def __init__(self, beta: float = 1.0, trainable_beta: bool | str = False, **options: Any) -> None:
        value = errors.number("Swish", "beta", beta, at_least=0.0)
        if trainable_beta is not False and trainable_beta not in ("layer", "unit"):
            raise errors.wrong_value("Swish", "trainable_beta", "False, 'layer' or 'unit'", trainable_beta)
        self.initial_beta, self.trainable_beta = value, trainable_beta
        self.initializer = initializers.Constant(value)
        self.shared = trainable_beta == "layer"
        super().__init__(**options)

    @property
    def learned(self) -> LearnedActivation | None:
        return self if self.trainable_beta else None

    def as_activation(self) -> CoreActivation:
        if self.trainable_beta:
            return super().as_activation()
        return activations.resolve({"kind": "swish", "parameters": {"beta": self.initial_beta}}, "Swish")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.initial_beta, "trainable_beta": self.trainable_beta}


_CLASSES: dict[str, type[LearnedActivation]] = {cls.__name__: cls for cls in (PReLU, Swish)}


def _config(learned: LearnedActivation) -> dict[str, Any]:
    """What makes it again within a layer, which gives it its name and shape."""
    return {key: value for key, value in learned.get_config().items() if key not in ("name", "input_shape")}


def read_activation(identifier: object, where: str) -> tuple[CoreActivation, LearnedActivation | None]:
    """What a layer's `activation=` is for the core, and the layer's own part with the parameter, if it has one."""
    if isinstance(identifier, Mapping) and set(identifier) == {"class_name", "config"}:
        name, config = identifier["class_name"], identifier["config"]
        if name not in _CLASSES or not isinstance(config, Mapping):
            raise errors.unknown_name(where, "activation", name, _CLASSES)
        identifier = _CLASSES[name](**config, name="activation")
    activation = activations.resolve(identifier, where)
    if activation.kind not in activations.LEARNED:
        return activation, None
    found = getattr(identifier, "learned", None)
    if found is None:
        return activation, PReLU(name="activation") if activation.kind == "prelu" else Swish(
            1.0, "unit", name="activation"
        )
    return activation, type(found)(**_config(found), name="activation")


def activation_config(activation: CoreActivation, learned: LearnedActivation | None) -> str | dict[str, Any]:
    """Plain data from which `read_activation` makes the same."""
    if learned is None:
        return activations.serialize(activation)
    return {"class_name": type(learned).__name__, "config": _config(learned)}
