"""Activations as layers of their own."""

from __future__ import annotations

from typing import Any

from .. import activations, errors
from ..activations import Activation as CoreActivation
from .activation_base import ActivationLayer
from .base import Shape
from .learned import activation_config, read_activation


class Activation(ActivationLayer):
    """An activation as a layer of its own: `Activation("elu")`."""

    ARGUMENTS = ("activation",)

    def __init__(self, activation: object, **options: Any) -> None:
        self.activation, self.learned = read_activation(activation, "Activation")
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return self.activation

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.learned is not None:
            return self.learned.compute_output_shape(input_shape)
        return super().compute_output_shape(input_shape)

    def _make_variables(self, input_shape: Shape, dtype: str) -> None:
        if self.learned is not None:
            self.learned.become_part_of(self, self.name, input_shape, dtype)

    def spec(self) -> list[dict[str, Any]]:
        return super().spec() if self.learned is None else self.learned.spec_within(self, self.name)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activation_config(self.activation, self.learned)}


class ReLU(ActivationLayer):
    """x where x > threshold, else negative_slope * (x - threshold); at most max_value. By default max(x, 0); none of
    the three is negative. For a start, and for speed, with He initialization; a unit whose weighted sum is negative for
    every row is dead, and learns no more: then LeakyReLU, ELU, or a lower learning rate. Nair and Hinton 2010."""

    ARGUMENTS = activations.RELU_ARGUMENTS

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **options: Any
    ) -> None:
        self.activation = activations.relu_form("ReLU", negative_slope, max_value, threshold)
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return self.activation

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("max_value", "negative_slope", "threshold")}
        return {**super().get_config(), **own}


class LeakyReLU(ActivationLayer):
    """x where x >= 0, else negative_slope * x; `alpha` is an older name of the slope. Units cannot die, and it costs no
    more than ReLU: a large leak such as 0.2 is often better than 0.01. He initialization. The name "leaky_relu" has
    slope 0.2. Maas et al. 2013, Xu et al. 2015."""

    ARGUMENTS = ("negative_slope", "alpha")

    def __init__(self, negative_slope: float = 0.3, *, alpha: float | None = None, **options: Any) -> None:
        slope = negative_slope if alpha is None else alpha
        self.negative_slope = errors.number(
            "LeakyReLU", "negative_slope" if alpha is None else "alpha", slope, at_least=0.0
        )
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("leaky_relu", {"negative_slope": self.negative_slope})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(ActivationLayer):
    """x where x >= 0, else alpha * (exp(x) - 1), which goes to -alpha. Outputs have a mean nearer to 0 than ReLU's, and
    units do not die; alpha = 1 makes it smooth. Slower than ReLU, He initialization. Clevert et al. 2015."""

    ARGUMENTS = ("alpha",)

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        self.alpha = errors.number("ELU", "alpha", alpha, at_least=0.0)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("elu", {"alpha": self.alpha})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class Softmax(ActivationLayer):
    """exp(x) / sum(exp(x)) over a row's units: probabilities of classes at the output, shares that add up to 1 within a
    network."""

    ARGUMENTS = ("axis",)

    def __init__(self, axis: int = -1, **options: Any) -> None:
        if axis not in (-1, 1):
            raise errors.wrong_value("Softmax", "axis", "-1, the units of a row", axis)
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("softmax", {})
