"""Initial weights, with Keras' names, defaults and distributions.

The variance-scaling family (Glorot and Bengio 2010, He et al. 2015, LeCun et al. 1998) draws with variance scale / n,
where n is fan_in, fan_out or their mean. Normal draws are truncated at two standard deviations and widened so that the
variance is right all the same. An initializer returns the same numbers every time it is called; two initializers made
without a seed differ.

Which one, so that the variance of activations and of gradients neither dies out nor explodes from layer to layer:
Glorot before no activation, tanh, sigmoid and softmax; He before ReLU and its kin (ELU, GELU, SiLU, Mish, ...); LeCun
normal before SELU. `kernel_initializer="auto"` chooses by this table.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import errors
from .common.keywords import Checked
from .common.registry import Registry
from .common.seeds import own_seed

__all__ = [
    "REGISTRY",
    "Auto",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "get",
]

TRUNCATED_STDDEV = 0.8796256610342398  # standard deviation of N(0, 1) truncated at two standard deviations


def compute_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a kernel [inputs, units], of a vector or of a scalar."""
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def draw_truncated(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """N(0, 1) conditioned on |z| <= 2, by drawing again what falls outside."""
    z = generator.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(z) > 2)
    while outside.size:
        z[outside] = generator.standard_normal(outside.size)
        outside = outside[np.abs(z[outside]) > 2]
    return z.reshape(shape)


class Initializer(Checked):
    """Base class: `initializer(shape, dtype)` returns an array."""

    for_kernels_only: ClassVar[bool] = False  # rather than for vectors such as biases, too

    def __call__(self, shape: tuple[int, ...], dtype: str = "float32") -> NDArray[Any]:
        return np.array(self._draw(tuple(shape)), dtype=dtype, order="C")

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same initializer again, seed included."""
        return {}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Zeros(Initializer):
    """0 everywhere."""

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.zeros(shape)


class Ones(Initializer):
    """1 everywhere."""

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.ones(shape)


class Constant(Initializer):
    """The same value everywhere."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = errors.number("Constant", "value", value)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.full(shape, self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class _Random(Initializer):
    def __init__(self, seed: int | None) -> None:
        self.seed = own_seed(type(self).__name__, seed)

    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(self.seed))


class RandomNormal(_Random):
    """Normal distribution N(mean, stddev^2)."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = errors.number(type(self).__name__, "mean", mean)
        self.stddev = errors.number(type(self).__name__, "stddev", stddev, at_least=0.0)
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return self._generator().standard_normal(shape) * self.stddev + self.mean

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """N(mean, stddev^2) without the values further than two `stddev` from the mean, so its own deviation is less."""

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return draw_truncated(self._generator(), shape) * self.stddev + self.mean


class RandomUniform(_Random):
    """Uniform distribution on [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = errors.number("RandomUniform", "minval", minval)
        self.maxval = errors.number("RandomUniform", "maxval", maxval, at_least=self.minval)
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return self._generator().uniform(self.minval, self.maxval, shape)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


class VarianceScaling(_Random):
    """Variance scale / n, n = fan_in, fan_out or fan_avg = (fan_in + fan_out) / 2.

    `distribution`: "truncated_normal" (at two standard deviations, corrected by 0.8796...; "normal" means the same),
    "untruncated_normal", or "uniform" on [-r, r] with r = sqrt(3 * variance).
    """

    MODES: ClassVar = ("fan_in", "fan_out", "fan_avg")
    DISTRIBUTIONS: ClassVar = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        where = type(self).__name__
        self.scale = errors.number(where, "scale", scale, above=0.0)
        if mode not in self.MODES:
            raise errors.unknown_name(where, "mode", mode, self.MODES)
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in self.DISTRIBUTIONS:
            raise errors.unknown_name(where, "distribution", distribution, [*self.DISTRIBUTIONS, "normal"])
        self.mode = mode
        self.distribution = distribution
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        fan_in, fan_out = compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        generator = self._generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return generator.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return generator.standard_normal(shape) * math.sqrt(variance)
        return draw_truncated(generator, shape) * (math.sqrt(variance) / TRUNCATED_STDDEV)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


class _Named(VarianceScaling):
    recipe: ClassVar[tuple[float, str, str]]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self.recipe, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotNormal(_Named):
    """Variance 1 / fan_avg, truncated normal; for linear, tanh, sigmoid and softmax units. Glorot and Bengio 2010."""

    recipe = (1.0, "fan_avg", "truncated_normal")


class GlorotUniform(_Named):
    """Uniform on [-r, r], r = sqrt(3 / fan_avg); the default of Dense. Glorot and Bengio 2010."""

    recipe = (1.0, "fan_avg", "uniform")


class HeNormal(_Named):
    """Variance 2 / fan_in, truncated normal; for ReLU and its relatives. He et al. 2015."""

    recipe = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Named):
    """Uniform on [-r, r], r = sqrt(6 / fan_in). He et al. 2015."""

    recipe = (2.0, "fan_in", "uniform")


class LecunNormal(_Named):
    """Variance 1 / fan_in, truncated normal; for SELU. LeCun et al. 1998, Klambauer et al. 2017."""

    recipe = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Named):
    """Uniform on [-r, r], r = sqrt(3 / fan_in). LeCun et al. 1998."""

    recipe = (1.0, "fan_in", "uniform")


class Orthogonal(_Random):
    """gain times a random matrix with orthonormal columns, or rows where it is wider than high: without activations,
    lengths stay what they are through any number of layers. Haar distributed. More than two dimensions are taken as
    [all but the last, last]. Saxe et al. 2014."""

    for_kernels_only = True

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = errors.number("Orthogonal", "gain", gain)
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        if len(shape) < 2:
            raise errors.wrong_shape("Orthogonal", "the variable", ("inputs", "units"), shape)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = self._generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q *= np.copysign(1.0, np.diagonal(r))  # unique, and so uniform over all orthogonal matrices
        return self.gain * (q if rows >= columns else q.T).reshape(shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}


class Identity(Initializer):
    """gain on the diagonal, 0 elsewhere: the layer starts by passing its inputs on. Le et al. 2015."""

    for_kernels_only = True

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = errors.number("Identity", "gain", gain)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        if len(shape) != 2:
            raise errors.wrong_shape("Identity", "the variable", ("inputs", "units"), shape)
        return self.gain * np.eye(*shape)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class Auto(_Random):
    """The initializer that fits the activation after the layer: glorot_uniform, he_normal or lecun_normal.

    That activation is the layer's own, or the next one in the model with nothing but BatchNormalization and the like
    between; without one, glorot_uniform. The model decides when the kernel is first looked at or trained.
    """

    for_kernels_only = True

    CHOICE: ClassVar[dict[str, type[_Named]]] = {
        **dict.fromkeys(("linear", "sigmoid", "tanh", "log_sigmoid", "exponential"), GlorotUniform),
        **dict.fromkeys(("softmax", "log_softmax", "sparsemax"), GlorotUniform),
        **dict.fromkeys(("hard_sigmoid", "sparse_sigmoid", "hard_tanh", "softsign", "isru"), GlorotUniform),
        **dict.fromkeys(("soft_shrink", "hard_shrink", "tanh_shrink"), GlorotUniform),
        **dict.fromkeys(
            ("relu", "leaky_relu", "prelu", "rrelu", "relu6", "clipped_relu", "threshold", "elu", "celu"), HeNormal
        ),
        **dict.fromkeys(
            ("gelu", "gelu_tanh", "gelu_sigmoid", "silu", "swish", "learned_swish", "hard_silu", "mish"), HeNormal
        ),
        **dict.fromkeys(("softplus", "squareplus", "sparse_plus"), HeNormal),
        "selu": LecunNormal,
    }

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)

    def before(self, activation: str) -> Initializer:
        """The initializer for a kernel that this activation follows, with the same seed."""
        return self.CHOICE.get(activation, GlorotUniform)(seed=self.seed)

    def _draw(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        return self.before("linear")._draw(shape)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


REGISTRY = Registry(
    Initializer,
    (
        Zeros,
        Ones,
        Constant,
        RandomNormal,
        RandomUniform,
        TruncatedNormal,
        VarianceScaling,
        GlorotNormal,
        GlorotUniform,
        HeNormal,
        HeUniform,
        LecunNormal,
        LecunUniform,
        Orthogonal,
        Identity,
        Auto,
    ),
    aliases={
        "zero": Zeros,
        "one": Ones,
        "normal": RandomNormal,
        "uniform": RandomUniform,
        "OrthogonalInitializer": Orthogonal,
        "IdentityInitializer": Identity,
    },
    example="HeNormal()",
)


# Keras' other names of the classes: `initializers.he_normal()`.
zeros, ones, constant, identity, orthogonal = Zeros, Ones, Constant, Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling = VarianceScaling
glorot_normal, glorot_uniform = GlorotNormal, GlorotUniform
he_normal, he_uniform, lecun_normal, lecun_uniform = HeNormal, HeUniform, LecunNormal, LecunUniform
OrthogonalInitializer, IdentityInitializer = Orthogonal, Identity


def get(identifier: object, where: str = "get", argument: str = "initializer") -> Initializer:
    """An initializer from a name ("he_normal", "HeNormal"), an initializer or its class, or its serialized form."""
    if isinstance(identifier, type) and issubclass(identifier, Initializer) and identifier.__name__ in REGISTRY.classes:
        return identifier()
    return REGISTRY.make(where, argument, identifier)


def get_for_vector(identifier: object, where: str, argument: str) -> Initializer:
    """As `get`, for a bias and the like: not one of those that make matrices."""
    found = get(identifier, where, argument)
    if found.for_kernels_only:
        raise errors.wrong_value(where, argument, "an initializer of vectors such as 'zeros'", identifier)
    return found
