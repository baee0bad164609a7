"""Activation functions: names, functions on arrays, and what a layer's `activation=` may be.

The same entry of the native table computes `activations.elu(x)`, `Dense(activation="elu")` and the layer `ELU()`: same
bits. Every function takes an array of any shape and returns a new one; float32 and float64 keep their dtype, other
numbers become float32. NaN stays NaN, infinities give limits. Hyper-parameters are finite and at least 0 (those of
`threshold` of any sign); give one in `activation=` with `functools.partial(celu, alpha=0.5)`. The parameter of `prelu`
and `learned_swish` is trained: as an activation each is short for its layer, PReLU() or Swish(trainable_beta="unit").

Keras' `glu` is not here: it halves the units, and so is no activation of a Dense layer.

Which one: ReLU for a start and for speed; SiLU (swish), or Mish, for deeper networks; leaky ReLU where time counts and
units die; SELU in a deep stack of plain Dense layers; sigmoid, softmax or none at the output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, errors
from .common.seeds import counter_seed

# fmt: off
__all__ = [
    "FUNCTIONS", "celu", "clipped_relu", "elu", "exponential", "gelu", "gelu_sigmoid", "gelu_tanh", "get",
    "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "isru", "leaky_relu", "learned_swish", "linear",
    "log_sigmoid", "log_softmax", "mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "soft_shrink",
    "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh",
    "tanh_shrink", "threshold",
]
# fmt: on

Array = NDArray[Any]

OUTPUTS = ("softmax", "log_softmax", "sparsemax")  # of whole rows
LEARNED: dict[str, tuple[str, float]] = _core.learned_activations()  # the parameter that is trained, its first value
RRELU = {"lower": 1 / 8, "upper": 1 / 3}
DEFAULTS: dict[str, dict[str, float]] = {
    **_core.activations(),
    **{kind: {} for kind in (*OUTPUTS, *LEARNED)},
    "rrelu": RRELU,
}
SIGNED = ("threshold",)  # their hyper-parameters may be negative
UNLIMITED = 1e300  # the core's word for a max_value that is none


class Activation(NamedTuple):
    """An activation as the native core knows it."""

    kind: str
    parameters: dict[str, float]


def _make(where: str, kind: str, given: Mapping[str, object]) -> Activation:
    """Checked and with the defaults of what is not given; swish with beta = 1 is silu."""
    if kind == "rrelu":
        return Activation(kind, rrelu_parameters(where, given))
    parameters = dict(DEFAULTS[kind])
    unknown = set(given) - set(parameters)
    if unknown:
        raise errors.unknown_argument(f"{where}: {kind}", unknown, parameters)
    for name, value in given.items():
        parameters[name] = errors.number(where, name, value, at_least=None if kind in SIGNED else 0.0)
    return Activation("silu", {}) if (kind, parameters) == ("swish", {"beta": 1.0}) else Activation(kind, parameters)


def rrelu_parameters(where: str, given: Mapping[str, object]) -> dict[str, float]:
    """lower and upper, checked, and the seed of the slopes, given or new."""
    unknown = set(given) - {*RRELU, "seed"}
    if unknown:
        raise errors.unknown_argument(f"{where}: rrelu", unknown, [*RRELU, "seed"])
    upper = errors.number(where, "upper", given.get("upper", RRELU["upper"]), at_least=0.0)
    lower = errors.number(where, "lower", given.get("lower", RRELU["lower"]), at_least=0.0, at_most=upper)
    return {"lower": lower, "upper": upper, "seed": counter_seed(where, given.get("seed"))}


def _float_array(x: ArrayLike, where: str) -> Array:
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise errors.wrong_kind(where, "x", "an array of numbers", f"dtype {array.dtype}")
    return np.ascontiguousarray(array, dtype=array.dtype if array.dtype in (np.float32, np.float64) else np.float32)


def _apply(kind: str, x: ArrayLike, **given: float) -> Array:
    kind, parameters = _make(kind, kind, given)
    array = _float_array(x, kind)
    shape = np.shape(x)
    return _core.activation_forward(kind, array.reshape(1, -1), out=None, **parameters).reshape(shape)


def _apply_learned(kind: str, x: ArrayLike, parameter: ArrayLike) -> Array:
    name, array, shape = LEARNED[kind][0], _float_array(x, kind), np.shape(x)
    features = shape[-1] if shape else 1
    values = np.asarray(parameter)
    if values.dtype.kind not in "fiu":
        raise errors.wrong_type(kind, name, "a number, or one for each feature", parameter)
    if values.shape not in ((), (1,), (features,)):
        raise errors.wrong_shape(kind, name, (features,), values.shape)
    if not array.size:
        return np.array(array)
    values = np.array(np.broadcast_to(values, (features,)), dtype=array.dtype)
    y: Array = _core.learned_forward(kind, array.reshape(-1, features), values)
    return y.reshape(shape)


# ------------------------------------------------------------------------------------------------ rectifiers


def linear(x: ArrayLike) -> Array:
    """x: no activation. For the output of a regression, and of a classifier that returns logits."""
    return _apply("linear", x)


def relu(x: ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """max(x, 0). Fast, and a good start; with a high learning rate units may die: negative on every row, slope 0. Nair
    and Hinton 2010.

    With the arguments, as in Keras: x where x > threshold, else negative_slope * (x - threshold); at most max_value.
    """
    kind, parameters = relu_form("relu", negative_slope, max_value, threshold)
    return _apply(kind, x, **parameters)


def relu_form(
    where: str, negative_slope: object = 0.0, max_value: object = None, threshold: object = 0.0
) -> Activation:
    """What the core calls the ReLU with Keras' arguments: the simplest that computes it."""
    slope = errors.number(where, "negative_slope", negative_slope, at_least=0.0)
    limit = None if max_value is None else errors.number(where, "max_value", max_value, at_least=0.0)
    start = errors.number(where, "threshold", threshold, at_least=0.0)
    if start == 0 and limit is None:
        return Activation("leaky_relu", {"negative_slope": slope}) if slope else Activation("relu", {})
    if (start, slope, limit) == (0, 0, 6):
        return Activation("relu6", {})
    limit = UNLIMITED if limit is None else limit
    return Activation("clipped_relu", {"max_value": limit, "negative_slope": slope, "threshold": start})


def clipped_relu(x: ArrayLike, max_value: float = 6.0, negative_slope: float = 0.0, threshold: float = 0.0) -> Array:
    """x where x > threshold, else negative_slope * (x - threshold); at most max_value, which from 1e300 on is no limit.
    `relu` with arguments, and the layer ReLU, choose it where no simpler one does."""
    return _apply("clipped_relu", x, max_value=max_value, negative_slope=negative_slope, threshold=threshold)


def threshold(x: ArrayLike, threshold: float = 0.0, default_value: float = 0.0) -> Array:
    """x where x > threshold, else default_value: a step up to where signals count."""
    return _apply("threshold", x, threshold=threshold, default_value=default_value)


def prelu(x: ArrayLike, alpha: ArrayLike = 0.0) -> Array:
    """x where x > 0, else alpha * x, alpha a number or one for each feature (the last axis). As an activation alpha is
    trained: see the layer PReLU. He et al. 2015."""
    return _apply_learned("prelu", x, alpha)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> Array:
    """x where x >= 0, else negative_slope * x: units cannot die. 0.2 often does better than 0.01. The layer LeakyReLU
    has Keras' other default, 0.3. Maas et al. 2013, Xu et al. 2015."""
    return _apply("leaky_relu", x, negative_slope=negative_slope)


def rrelu(x: ArrayLike, lower: float = 1 / 8, upper: float = 1 / 3) -> Array:
    """x where x > 0, else (lower + upper) / 2 * x: what RReLU is at inference. As `activation=` of a layer, in training
    the slope is drawn for each element, uniform from lower to upper; `functools.partial(rrelu, seed=1)` says from which
    seed. Regularizes a little. Xu et al. 2015."""
    parameters = rrelu_parameters("rrelu", {"lower": lower, "upper": upper, "seed": 0})
    return _apply("leaky_relu", x, negative_slope=(parameters["lower"] + parameters["upper"]) / 2)


def relu6(x: ArrayLike) -> Array:
    """min(max(x, 0), 6): for networks that are to be quantized. Krizhevsky 2010."""
    return _apply("relu6", x)


def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where x >= 0, else alpha * (exp(x) - 1), down to -alpha. Its mean is nearer 0 than ReLU's, so training needs
    fewer steps, which take longer; smooth at 0 only with alpha = 1. Clevert et al. 2015."""
    return _apply("elu", x, alpha=alpha)


def celu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where x >= 0, else alpha * (exp(x / alpha) - 1): an ELU that is smooth at 0 with every alpha; alpha = 0 means
    its limit, ReLU. Barron 2017."""
    return _apply("celu", x, alpha=alpha)


def selu(x: ArrayLike) -> Array:
    """1.0507 * elu(x, 1.6733): in a stack of plain Dense layers with lecun_normal kernels and standardized inputs every
    layer keeps mean 0 and deviation 1. Not with l1, l2, max-norm, batch normalization or ordinary dropout. Klambauer et
    al. 2017."""
    return _apply("selu", x)


# ------------------------------------------------------------------------------------------------ gates: x * something


GELU_FORMS = {False: "gelu", True: "gelu_tanh", "tanh": "gelu_tanh", "sigmoid": "gelu_sigmoid"}


def _gelu_form(where: str, approximate: object) -> str:
    if not isinstance(approximate, (bool, str)) or approximate not in GELU_FORMS:
        raise errors.wrong_value(where, "approximate", "False, True, 'tanh' or 'sigmoid'", approximate)
    return GELU_FORMS[approximate]


def gelu(x: ArrayLike, approximate: bool | str = False) -> Array:
    """x * Phi(x), Phi the normal distribution. `approximate`: True or "tanh" for the tanh form, "sigmoid" for
    x * sigmoid(1.702 x). Often better than ReLU and ELU, and slower. Hendrycks and Gimpel 2016."""
    return _apply(_gelu_form("gelu", approximate), x)


def gelu_tanh(x: ArrayLike) -> Array:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))): GELU to within 5e-4. Hendrycks and Gimpel 2016."""
    return _apply("gelu_tanh", x)


def gelu_sigmoid(x: ArrayLike) -> Array:
    """x * sigmoid(1.702 x): GELU to within 0.021. Hendrycks and Gimpel 2016."""
    return _apply("gelu_sigmoid", x)


def silu(x: ArrayLike) -> Array:
    """x * sigmoid(x): the default to think of for deep networks. Elfwing et al. 2017, Ramachandran et al. 2017."""
    return _apply("silu", x)


def swish(x: ArrayLike, beta: float = 1.0) -> Array:
    """x * sigmoid(beta * x): SiLU with beta = 1, x / 2 with 0, nearly GELU with 1.702, towards ReLU as beta grows.
    Ramachandran et al. 2017."""
    return _apply("swish", x, beta=beta)


def learned_swish(x: ArrayLike, beta: ArrayLike = 1.0) -> Array:
    """x * sigmoid(beta * x), beta of any sign, a number or one for each feature (the last axis). As an activation beta
    is trained: see the layer Swish. Ramachandran et al. 2017."""
    return _apply_learned("learned_swish", x, beta)


def hard_silu(x: ArrayLike) -> Array:
    """x * min(max(x / 6 + 1/2, 0), 1): SiLU without an exponential, for small machines. Howard et al. 2019."""
    return _apply("hard_silu", x)


hard_swish = hard_silu


def mish(x: ArrayLike) -> Array:
    """x * tanh(softplus(x)): smooth and not monotonic, often slightly better than SiLU, and slower. Misra 2019."""
    return _apply("mish", x)


def soft_shrink(x: ArrayLike, threshold: float = 0.5) -> Array:
    """x - threshold where x > threshold, x + threshold where x < -threshold, else 0: for sparse codes. Donoho 1995."""
    return _apply("soft_shrink", x, threshold=threshold)


def hard_shrink(x: ArrayLike, threshold: float = 0.5) -> Array:
    """x where |x| > threshold, else 0: for sparse codes. Donoho and Johnstone 1994."""
    return _apply("hard_shrink", x, threshold=threshold)


# ------------------------------------------------------------------------------------------------ positive outputs


def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x)): for outputs that must be positive. Dugas et al. 2001."""
    return _apply("softplus", x)


def squareplus(x: ArrayLike, b: float = 4.0) -> Array:
    """(x + sqrt(x^2 + b)) / 2: like softplus without an exponential; b = 0 gives ReLU. Barron 2021."""
    return _apply("squareplus", x, b=b)


def sparse_plus(x: ArrayLike) -> Array:
    """0 where x <= -1, (x + 1)^2 / 4 up to 1, then x: a softplus that reaches 0. Blondel et al. 2019."""
    return _apply("sparse_plus", x)


def exponential(x: ArrayLike) -> Array:
    """exp(x): for outputs that are rates or scales, small ones; hidden units would explode."""
    return _apply("exponential", x)


# ------------------------------------------------------------------------------------------------ bounded outputs


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)): for the output of a binary classifier. In hidden layers it saturates: mean 1/2, slope at most
    1/4."""
    return _apply("sigmoid", x)


def hard_sigmoid(x: ArrayLike) -> Array:
    """min(max(x / 6 + 1/2, 0), 1): a sigmoid without an exponential. Courbariaux et al. 2015, Howard et al. 2019."""
    return _apply("hard_sigmoid", x)


def sparse_sigmoid(x: ArrayLike) -> Array:
    """min(max((x + 1) / 2, 0), 1): a sigmoid that reaches 0 and 1. Martins and Astudillo 2016."""
    return _apply("sparse_sigmoid", x)


def log_sigmoid(x: ArrayLike) -> Array:
    """log(sigmoid(x)) = -softplus(-x): the logarithm of a probability, without loss where that is small."""
    return _apply("log_sigmoid", x)


def tanh(x: ArrayLike) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)): mean 0, which sigmoid lacks; saturates; for outputs in [-1, 1]. LeCun et
    al. 1998."""
    return _apply("tanh", x)


def hard_tanh(x: ArrayLike) -> Array:
    """min(max(x, -1), 1): a tanh without an exponential. Collobert 2004."""
    return _apply("hard_tanh", x)


def tanh_shrink(x: ArrayLike) -> Array:
    """x - tanh(x): what tanh takes away; about x^3 / 3 near 0, for sparse codes."""
    return _apply("tanh_shrink", x)


def softsign(x: ArrayLike) -> Array:
    """x / (1 + |x|): like tanh, but saturates slowly. Turian et al. 2009."""
    return _apply("softsign", x)


def isru(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x / sqrt(1 + alpha x^2), the inverse square root unit: x near 0, and never beyond 1 / sqrt(alpha) on either side.
    With alpha = 1 / c^2 it clips scaled inputs smoothly to [-c, c]. Carlile et al. 2017."""
    return _apply("isru", x, alpha=alpha)


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) over the last axis: for the output of a classifier."""
    return _apply_to_rows("softmax", x)


def log_softmax(x: ArrayLike) -> Array:
    """x - log(sum(exp(x))) over the last axis: the logarithms of softmax, without loss where those are small. For the
    output of a classifier whose loss takes logarithms or logits (`from_logits=True`)."""
    return _apply_to_rows("log_softmax", x)


def sparsemax(x: ArrayLike) -> Array:
    """The nearest probabilities to x, by Euclid's distance, over the last axis: max(x - t, 0) with the t that makes the
    sum 1. Unlike softmax it gives exact zeros. Martins and Astudillo 2016."""
    return _apply_to_rows("sparsemax", x)


def _apply_to_rows(kind: str, x: ArrayLike) -> Array:
    array = _float_array(x, kind)
    shape = np.shape(x)
    if not shape or not array.size:
        raise errors.wrong_shape(kind, "x", ("rows", "classes"), shape)
    rows: Array = getattr(_core, kind)(array.reshape(-1, shape[-1]))
    return rows.reshape(shape)


# ------------------------------------------------------------------------------------------------ names and objects


FUNCTIONS: dict[str, Callable[..., Array]] = {kind: globals()[kind] for kind in DEFAULTS}
_KINDS = {function: kind for kind, function in FUNCTIONS.items()}
_NAMES = {name: name for name in FUNCTIONS} | {"hard_swish": "hard_silu"}
RELU_ARGUMENTS = ("negative_slope", "max_value", "threshold")


def resolve(identifier: object, where: str, argument: str = "activation") -> Activation:
    """The core's view of a name, a function of this module, a `functools.partial` that gives such a function its
    hyper-parameters, an activation layer, None, or `serialize`'s data."""
    if identifier is None:
        return Activation("linear", {})
    if isinstance(identifier, str):
        if identifier not in _NAMES:
            raise errors.unknown_name(where, argument, identifier, _NAMES)
        return _make(where, _NAMES[identifier], {})
    if isinstance(identifier, Mapping) and set(identifier) == {"kind", "parameters"}:
        return _from_data(identifier["kind"], dict(identifier["parameters"]), where, argument)
    described = getattr(identifier, "as_activation", None)
    if described is not None and not isinstance(identifier, type):
        result: Activation = described()
        return result
    function, given = identifier, {}
    if isinstance(identifier, functools.partial) and not identifier.args:
        function, given = identifier.func, dict(identifier.keywords)
    if callable(function) and function in _KINDS:
        kind = _KINDS[function]
        if kind == "gelu":
            kind = _gelu_form(where, given.pop("approximate", False))
        if kind == "relu":
            if unknown := set(given) - set(RELU_ARGUMENTS):
                raise errors.unknown_argument(f"{where}: relu", unknown, RELU_ARGUMENTS)
            return relu_form(where, **given)
        return _make(where, kind, given)
    expected = "a name, a function of evenflow.activations, an activation layer such as LeakyReLU(), or None"
    raise errors.wrong_type(where, argument, expected, identifier)


def _from_data(kind: str, given: dict[str, Any], where: str, argument: str) -> Activation:
    if kind not in FUNCTIONS:
        raise errors.unknown_name(where, argument, kind, FUNCTIONS)
    if set(given) != {*DEFAULTS[kind], *(["seed"] if kind == "rrelu" else [])}:
        raise errors.wrong_value(
            where, f"{argument} {kind!r}", f"the parameters {sorted(DEFAULTS[kind])}", sorted(given)
        )
    return _make(where, kind, given)


def serialize(activation: Activation) -> str | dict[str, Any]:
    """Plain data from which `resolve` makes the same activation: the name alone where nothing but defaults is in it."""
    kind, parameters = activation
    return kind if parameters == DEFAULTS[kind] else {"kind": kind, "parameters": parameters}


def get(identifier: object) -> Callable[..., Array]:
    """The function of a name, as in Keras; a function of this module comes back unchanged."""
    if identifier in ("rrelu", rrelu):  # without a seed, which only layers need
        return rrelu
    kind, parameters = resolve(identifier, "get", "identifier")
    function = next((f for f in FUNCTIONS.values() if f is identifier), FUNCTIONS[kind])
    return function if parameters == DEFAULTS[kind] else functools.partial(function, **parameters)
