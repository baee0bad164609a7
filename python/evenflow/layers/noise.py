"""Random layers: what they do in training, they do to every element of a batch by itself, and not at inference.

Which numbers are drawn depends on the layer's `seed`, the optimizer's step, the element's row in the batch and its
feature, and on nothing else: not on threads, and not on what was drawn before. A run that is saved and loaded goes on
with the same numbers. Each layer's seed is of 64 bits and drawn from `set_seed`'s sequence unless it is given; layers
of a model that are given the same seed still draw different numbers. `trainable` means nothing to these layers: also in
a frozen part of a model they are active in training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import errors
from ..activations import Activation as CoreActivation, rrelu_parameters
from ..common.seeds import counter_seed
from . import axes
from .activation_base import ActivationLayer
from .base import Layer, Shape


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


class ShapedLayer(RateLayer):
    """Base class of the layers whose decisions may be for several elements at once."""

    ARGUMENTS = ("rate", "noise_shape", "seed")

    def __init__(self, rate: float, noise_shape: Sequence[int | None] | None, seed: int | None, **options: Any) -> None:
        self.noise_shape = _read_noise_shape(type(self).__name__, noise_shape)
        super().__init__(rate, seed, **options)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.noise_shape is not None:
            self._own_axes(input_shape)
        return input_shape

    def check_built(self, input_shape: Shape, dtype: str) -> None:
        super().check_built(input_shape, dtype)
        if self.noise_shape is not None and self._shapes is not None and self._shapes[0] != input_shape:
            raise errors.wrong_shape(self.label, "input", ("rows", *self._shapes[0]), ("rows", *input_shape))

    def _own_axes(self, input_shape: Shape) -> axes.Axes:
        """The axes along which decisions differ, counted from the batch, for rows of this shape."""
        assert self.noise_shape is not None
        batch, *sizes = self.noise_shape
        fits = len(sizes) == len(input_shape) and batch in (None, 1)
        if not fits or any(one not in (None, 1, size) for one, size in zip(sizes, input_shape, strict=True)):
            shape = errors.shape_text(("rows", *input_shape))
            expected = f"None or 1 for the rows, then None, 1 or the size for each axis of inputs of shape {shape}"
            raise errors.wrong_value(self.label, "noise_shape", expected, self.noise_shape)
        return tuple(axis for axis, one in enumerate(sizes, start=1) if one is None or one > 1)

    def spec(self) -> list[dict[str, Any]]:
        (entry,) = super().spec()
        if self.noise_shape is None or self._shapes is None:
            return [entry]
        if self.noise_shape[0] == 1:
            entry["one_row"] = True
        own, shape = self._own_axes(self._shapes[0]), self._shapes[0]
        if math.prod(shape[axis - 1] for axis in own) < math.prod(shape):
            entry |= {"shape": list(shape), "axis": list(own)}
        return [entry]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if self.noise_shape is None else {**config, "noise_shape": list(self.noise_shape)}


class Dropout(ShapedLayer):
    """0 with probability `rate`, else x / (1 - rate): no unit can rely on one other, and the mean stays the same.

    rate: from 0 to below 1; 0.1 to 0.5 for hidden layers, less for the inputs, none for the output. Raise it when the
    model overfits, lower it when it underfits; training takes about 1 / (1 - rate) times as many steps. Where the model
    has SELU, take AlphaDropout. Decided by 16 random bits: the probability is `rate` to within 2^-17, and at most
    1 - 2^-16. What is dropped is -0.0. seed: 0 to 2^64 - 1. `Sequential.predict_mc` averages over dropouts at
    inference. Srivastava et al. 2014.
    noise_shape: None, a decision for each element, or as in Keras one entry for the rows and each axis of theirs: None
    where decisions differ, 1 where one is for all. (None, 1) drops whole rows, (1, None) the same features in every row
    of a batch, (None, 28, 1) lines of images.
    """

    KIND = "dropout"

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(rate, noise_shape, seed, **options)


class AlphaDropout(ShapedLayer):
    """Dropout that keeps mean 0 and variance 1, for networks of SELU: x is replaced by SELU's limit
    alpha' = -1.7581 with probability `rate`, and then a * x + b with a = ((1 - rate) (1 + rate alpha'^2))^(-1/2),
    b = -a alpha' rate.

    rate: from 0 to below 1; 0.05 to 0.2 is enough. Other arguments as Dropout has them. Klambauer et al. 2017.
    """

    KIND = "alpha_dropout"

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(rate, noise_shape, seed, **options)


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


def _read_noise_shape(where: str, noise_shape: object) -> tuple[int | None, ...] | None:
    if noise_shape is None:
        return None
    expected = "None, or a list such as (None, 1): None, 1 or a size for the rows and each axis"
    if isinstance(noise_shape, str) or not isinstance(noise_shape, Sequence):
        raise errors.wrong_type(where, "noise_shape", expected, noise_shape)
    for one in noise_shape:
        if one is not None and (isinstance(one, bool) or not isinstance(one, int)):
            raise errors.wrong_type(where, "noise_shape", expected, noise_shape)
        if one is not None and one < 1:
            raise errors.wrong_value(where, "noise_shape", expected, noise_shape)
    if len(noise_shape) < 2:
        raise errors.wrong_value(where, "noise_shape", expected, noise_shape)
    return tuple(noise_shape)
