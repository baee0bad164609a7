"""Activation functions: names, functions on arrays, and what a layer's `activation=` may be.

The same entry of the native table computes `activations.elu(x)`, `Dense(activation="elu")` and the layer `ELU()`: same
bits. Every function takes an array of any shape and returns a new one; float32 and float64 keep their dtype, other
numbers become float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, errors

Array = NDArray[Any]


class Activation(NamedTuple):
    """An activation as the native core knows it."""

    kind: str
    parameters: dict[str, float]


def _float_array(x: ArrayLike) -> Array:
    array = np.asarray(x)
    return np.ascontiguousarray(array, dtype=array.dtype if array.dtype in (np.float32, np.float64) else np.float32)


def _apply(kind: str, x: ArrayLike, **parameters: float) -> Array:
    array = _float_array(x)
    shape = np.shape(x)
    return _core.activation_forward(kind, array.reshape(1, -1), **parameters).reshape(shape)


def linear(x: ArrayLike) -> Array:
    """x."""
    return _apply("linear", x)


def relu(x: ArrayLike) -> Array:
    """max(x, 0)."""
    return _apply("relu", x)


def leaky_relu(x: ArrayLike, negative_slope: float = 0.2) -> Array:
    """x where x >= 0, else negative_slope * x. The layer LeakyReLU has Keras' other default, 0.3."""
    return _apply("leaky_relu", x, negative_slope=errors.number("leaky_relu", "negative_slope", negative_slope))


def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where x >= 0, else alpha * (exp(x) - 1). Clevert et al. 2015."""
    return _apply("elu", x, alpha=errors.number("elu", "alpha", alpha))


def selu(x: ArrayLike) -> Array:
    """1.0507 * elu(x, 1.6733): keeps mean 0 and deviation 1 with lecun_normal kernels. Klambauer et al. 2017."""
    return _apply("selu", x)


GELU_FORMS = {False: "gelu", True: "gelu_tanh", "tanh": "gelu_tanh", "sigmoid": "gelu_sigmoid"}


def gelu(x: ArrayLike, approximate: bool | str = False) -> Array:
    """x * Phi(x). `approximate`: True or "tanh" for the tanh form, "sigmoid" for x * sigmoid(1.702 x). Hendrycks
    2016."""
    if approximate not in GELU_FORMS:
        raise errors.wrong_value("gelu", "approximate", "False, True, 'tanh' or 'sigmoid'", approximate)
    return _apply(GELU_FORMS[approximate], x)


def gelu_tanh(x: ArrayLike) -> Array:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    return _apply("gelu_tanh", x)


def gelu_sigmoid(x: ArrayLike) -> Array:
    """x * sigmoid(1.702 x)."""
    return _apply("gelu_sigmoid", x)


def silu(x: ArrayLike) -> Array:
    """x * sigmoid(x), also called swish. Ramachandran et al. 2017."""
    return _apply("silu", x)


swish = silu


def mish(x: ArrayLike) -> Array:
    """x * tanh(softplus(x)). Misra 2019."""
    return _apply("mish", x)


def softplus(x: ArrayLike) -> Array:
    """log(1 + exp(x))."""
    return _apply("softplus", x)


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x))."""
    return _apply("sigmoid", x)


def tanh(x: ArrayLike) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return _apply("tanh", x)


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum(exp(x)) over the last axis."""
    array = _float_array(x)
    shape = np.shape(x)
    if not shape or not array.size:
        raise errors.wrong_shape("softmax", "x", ("rows", "classes"), shape)
    return _core.softmax(array.reshape(-1, shape[-1])).reshape(shape)


FUNCTIONS: dict[str, Callable[..., Array]] = {
    function.__name__: function
    for function in (
        linear,
        relu,
        leaky_relu,
        elu,
        selu,
        gelu,
        gelu_tanh,
        gelu_sigmoid,
        silu,
        mish,
        softplus,
        sigmoid,
        tanh,
        softmax,
    )
}
_DEFAULTS: dict[str, dict[str, float]] = {"leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 1.0}}
_KINDS = {function: kind for kind, function in FUNCTIONS.items()}
_NAMES = {name: name for name in FUNCTIONS} | {"swish": "silu"}


def resolve(identifier: object, where: str, argument: str = "activation") -> Activation:
    """The core's view of a name, a function of this module, an activation layer, None, or `serialize`'s data."""
    if identifier is None:
        return Activation("linear", {})
    if isinstance(identifier, str):
        if identifier not in _NAMES:
            raise errors.unknown_name(where, argument, identifier, _NAMES)
        kind = _NAMES[identifier]
        return Activation(kind, dict(_DEFAULTS.get(kind, {})))
    if isinstance(identifier, Mapping) and set(identifier) == {"kind", "parameters"}:
        kind, given = identifier["kind"], dict(identifier["parameters"])
        known = _DEFAULTS.get(kind, {})
        if kind not in FUNCTIONS:
            raise errors.unknown_name(where, argument, kind, FUNCTIONS)
        if set(given) != set(known):
            raise errors.wrong_value(where, f"{argument} {kind!r}", f"the parameters {sorted(known)}", sorted(given))
        return Activation(kind, {name: errors.number(where, name, value) for name, value in given.items()})
    described = getattr(identifier, "as_activation", None)
    if described is not None and not isinstance(identifier, type):
        result: Activation = described()
        return result
    if callable(identifier) and identifier in _KINDS:
        kind = _KINDS[identifier]
        return Activation(kind, dict(_DEFAULTS.get(kind, {})))
    expected = "a name, a function of evenflow.activations, an activation layer such as LeakyReLU(), or None"
    raise errors.wrong_type(where, argument, expected, identifier)


def serialize(activation: Activation) -> str | dict[str, Any]:
    """Plain data from which `resolve` makes the same activation: the name alone where nothing but defaults is in it."""
    kind, parameters = activation
    return kind if parameters == _DEFAULTS.get(kind, {}) else {"kind": kind, "parameters": parameters}


def get(identifier: object) -> Callable[..., Array]:
    """The function of a name, as in Keras; a function of this module comes back unchanged."""
    kind, parameters = resolve(identifier, "get", "identifier")
    function = FUNCTIONS[kind]
    if parameters == _DEFAULTS.get(kind, {}):
        return function
    return lambda x: function(x, **parameters)
