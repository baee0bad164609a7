"""Random layers: what they do in training, they do to every element of a batch by itself, and not at inference.

Which numbers are drawn depends on the layer's `seed`, the optimizer's step, the element's row in the batch and its
feature, and on nothing else: not on threads, and not on what was drawn before. A run that is saved and loaded goes on
with the same numbers. Each layer's seed is of 64 bits and drawn from `set_seed`'s sequence unless it is given; layers
of a model that are given the same seed still draw different numbers. `trainable` means nothing to these layers: also in
a frozen part of a model they are active in training.
"""

from __future__ import annotations

from typing import Any

from .. import errors
from ..activations import Activation as CoreActivation
from ..activations import rrelu_parameters
from ..common.seeds import counter_seed
from .activation_base import ActivationLayer
from .base import Layer


class NoiseLayer(Layer):
    """Base class of the layers that are random in training and the identity else."""

    KIND = ""
    PARAMETER = "rate"

    def __init__(self, value: float, seed: int | None, **options: Any) -> None:
        kind = type(self).__name__
        below = 1.0 if self.PARAMETER == "rate" else None
        self._value = errors.number(kind, self.PARAMETER, value, at_least=0.0, below=below)
        self.seed = counter_seed(kind, seed)
        super().__init__(**options)

    def spec(self) -> list[dict[str, Any]]:
        parameters = {self.PARAMETER: self._value}
        return [{"kind": "noise", "name": self.name, "noise": self.KIND, "parameters": parameters, "seed": self.seed}]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), self.PARAMETER: self._value, "seed": self.seed}


class RateLayer(NoiseLayer):
    """Base class of the layers with a rate."""

    @property
    def rate(self) -> float:
        """The share that is dropped, or what has the same variance."""
        return self._value


class Dropout(RateLayer):
    """0 with probability `rate`, else x / (1 - rate): no unit can rely on one other, and the mean stays the same.

    rate: from 0 to below 1; 0.1 to 0.5 for hidden layers, less for the inputs, none for the output. Raise it when the
    model overfits, lower it when it underfits; training takes about 1 / (1 - rate) times as many steps. Where the model
    has SELU, take AlphaDropout. Decided by 16 random bits: the probability is `rate` to within 2^-17, and at most
    1 - 2^-16. What is dropped is -0.0. seed: 0 to 2^64 - 1. `noise_shape` is Keras': nothing but None, a decision for
    each element. `Sequential.predict_mc` averages over dropouts at inference. Srivastava et al. 2014.
    """

    KIND = "dropout"
    ARGUMENTS = ("rate", "noise_shape", "seed")

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **options: Any) -> None:
        _check_noise_shape("Dropout", noise_shape)
        super().__init__(rate, seed, **options)


class AlphaDropout(RateLayer):
    """Dropout that keeps mean 0 and variance 1, for networks of SELU: x is replaced by SELU's limit
    alpha' = -1.7581 with probability `rate`, and then a * x + b with a = ((1 - rate) (1 + rate alpha'^2))^(-1/2),
    b = -a alpha' rate.

    rate: from 0 to below 1; 0.05 to 0.2 is enough. Other arguments as Dropout has them. Klambauer et al. 2017.
    """

    KIND = "alpha_dropout"
    ARGUMENTS = ("rate", "noise_shape", "seed")

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **options: Any) -> None:
        _check_noise_shape("AlphaDropout", noise_shape)
        super().__init__(rate, seed, **options)


class GaussianDropout(RateLayer):
    """x * (1 + sqrt(rate / (1 - rate)) * z), z normal: Dropout's mean and variance without zeros.

    rate: from 0 to below 1. seed: 0 to 2^64 - 1. z is made of 32 bits, |z| <= 6.34. Srivastava et al. 2014.
    """

    KIND = "gaussian_dropout"
    ARGUMENTS = ("rate", "seed")

    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, seed, **options)


class GaussianNoise(NoiseLayer):
    """x + stddev * z, z normal: for inputs, as if there were more of them. Where those are standardized, 0.05 to 0.2 is
    a start.

    stddev: at least 0. seed: 0 to 2^64 - 1. z is made of 32 bits, |z| <= 6.34. Bishop 1995.
    """

    KIND = "gaussian_noise"
    PARAMETER = "stddev"
    ARGUMENTS = ("stddev", "seed")

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(stddev, seed, **options)

    @property
    def stddev(self) -> float:
        """Of the noise."""
        return self._value


class RReLU(ActivationLayer):
    """x where x > 0, else slope * x: in training with a slope drawn for each element, uniform from `lower` to `upper`,
    at inference with their mean.

    A leaky ReLU that regularizes a little: for small data sets that overfit. 0 <= lower <= upper, PyTorch's 1/8 and 1/3
    unless given; the slope takes 2^16 values. seed: 0 to 2^64 - 1. Keras has no such layer. Xu et al. 2015.
    """

    ARGUMENTS = ("lower", "upper", "seed")

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, seed: int | None = None, **options: Any) -> None:
        self._parameters = rrelu_parameters("RReLU", {"lower": lower, "upper": upper, "seed": seed})
        super().__init__(**options)

    def as_activation(self) -> CoreActivation:
        return CoreActivation("rrelu", self._parameters)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._parameters}


def _check_noise_shape(where: str, noise_shape: object) -> None:
    if noise_shape is not None:
        raise errors.wrong_value(where, "noise_shape", "None, a decision for each element", noise_shape)
