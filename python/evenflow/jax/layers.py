"""The fused layer as functions that JAX differentiates."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax, numpy as jnp

from .. import kernels
from ..errors import boolean, number, unknown_argument, unknown_name, wrong_kind, wrong_shape
from .calls import Array, Call, array, call

TWICE = (
    "evenflow.jax: the fused layer has a gradient (jax.grad, jax.vjp), but no forward-mode and no second derivative "
    "(jax.jvp, jax.jacfwd, jax.hessian): use jax.numpy where those are needed"
)
PARAMETERS = {name: tuple(values) for name, values in kernels.activations().items()}


class Settings(NamedTuple):
    """What a layer is told besides its arrays. values: the activation's hyper-parameters in the kernels' order."""

    activation: str
    values: tuple[float, ...]
    epsilon: float
    rate: float
    batch: bool  # statistics are those of the batch

    def call(self, name: str, tensors: Sequence[Any], **more: bool) -> Call:
        """The handler's call on x, w, b, gamma, beta, mean, variance, key, as far as they are there."""
        attributes = {
            "activation": self.activation,
            "epsilon": self.epsilon,
            "rate": self.rate,
            "biased": tensors[2] is not None,
            "normalized": tensors[3] is not None,
            "batch": self.batch,
        }
        attributes |= dict(zip(PARAMETERS[self.activation], self.values, strict=True))
        return Call.of(name, attributes | more, TWICE)


def _there(tensors: Sequence[Any]) -> list[Any]:
    return [tensor for tensor in tensors if tensor is not None]


def _forward(settings: Settings, tensors: Sequence[Any], keeps: bool) -> tuple[Array, Array | None, Any]:
    """y; z where it is kept; mean and variance of the batch, or ()."""
    x, w = tensors[:2]
    y, units = (x.shape[0], w.shape[1]), (w.shape[1],)
    shapes = [y] * (1 + keeps) + [units] * (2 * settings.batch)
    what = settings.call("evenflow_dense_bn_act_forward", tensors, keeps=keeps)
    found = call(what, tuple((shape, x.dtype) for shape in shapes), (), _there(tensors))
    return found[0], found[1] if keeps else None, tuple(found[1 + keeps :])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def layer(settings: Settings, tensors: Sequence[Any]) -> tuple[Array, Any]:
    """y, and mean and variance of the batch where those are used."""
    y, _, statistics = _forward(settings, tensors, False)
    return y, statistics


def _keep(settings: Settings, perturbed: Sequence[Any]) -> tuple[tuple[Array, Any], Any]:
    tensors = tuple(None if own is None else own.value for own in perturbed)
    y, z, statistics = _forward(settings, tensors, True)
    # What is static has to be said by structure: () asks for the gradient of x.
    return (y, statistics), (tensors, z, statistics, () if perturbed[0].perturbed else None)


def _differentiate(settings: Settings, kept: Any, gradients: Any) -> tuple[Any]:
    tensors, z, statistics, asked = kept
    x, w, b, gamma, beta, mean, variance, key = tensors
    if settings.batch:
        mean, variance = statistics
    dy = gradients[0]
    if not isinstance(dy, jax.Array):  # a symbolic zero
        dy = jnp.zeros(z.shape, z.dtype)
    asks, units = asked is not None, (w.shape[1],)
    shapes = [x.shape] * asks + [w.shape] + [units] * (b is not None) + [units] * (2 * (gamma is not None))
    what = settings.call("evenflow_dense_bn_act_backward", tensors, input_gradient=asks)
    arguments = _there([dy, x, w, z, gamma, beta, mean, variance, key])
    found = call(what, tuple((shape, x.dtype) for shape in shapes), (), arguments)
    dx = found.pop(0) if asks else None
    dw = found.pop(0)
    db = None if b is None else found.pop(0)
    dgamma, dbeta = found or (None, None)
    return ((dx, dw, db, dgamma, dbeta, None, None, None),)


layer.defvjp(_keep, _differentiate, symbolic_zeros=True)


@functools.lru_cache(maxsize=256)
def _checked(where: str, activation: Any, parameters: tuple[tuple[str, Any], ...]) -> tuple[float, ...]:
    if activation not in PARAMETERS:
        raise unknown_name(where, "activation", activation, PARAMETERS)
    given, known = dict(parameters), kernels.activations()[activation]
    if unknown := given.keys() - known.keys():
        raise unknown_argument(where, unknown, list(known) or ["(none)"])
    try:
        kernels.activation_forward(activation, np.zeros((0, 1), np.float32), **given)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("activation_forward", where, 1)) from None
    return tuple(float(given.get(name, known[name])) for name in PARAMETERS[activation])


def _values(where: str, activation: Any, parameters: dict[str, Any]) -> tuple[float, ...]:
    """The hyper-parameters of an activation, checked by the core."""
    if not isinstance(activation, str):
        raise unknown_name(where, "activation", activation, PARAMETERS)
    known = PARAMETERS.get(activation, ())
    given = tuple(
        (name, number(where, name, parameters[name]) if name in known else None) for name in sorted(parameters)
    )
    return _checked(where, activation, given)


def _key(where: str, dropout: float, key: Any, training: bool) -> tuple[float, Array | None]:
    """The rate of a call and the two words of its key."""
    rate = number(where, "dropout", dropout, at_least=0, below=1)
    if not training or rate == 0:
        return 0.0, None
    if key is None:
        raise wrong_kind(where, "key", "a key of jax.random, since dropout is not 0", "None")
    if jnp.issubdtype(getattr(key, "dtype", np.float32), jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    words = jnp.asarray(key)
    if words.shape != (2,) or words.dtype != np.uint32:
        raise wrong_kind(where, "key", "one key of jax.random", f"{words.dtype} of shape {tuple(words.shape)}")
    return rate, words


def fused_dense(
    x: Any,
    kernel: Any,
    bias: Any = None,
    *,
    activation: str = "linear",
    dropout: float = 0.0,
    key: Any = None,
    training: bool = True,
    **parameters: float,
) -> Array:
    """y = dropout(f(x kernel + bias)), one native call; its gradient is another.

    x [batch, inputs], kernel [inputs, units], bias [units] or None: float32 or float64, all alike; y [batch, units].
    activation: a name of `evenflow.kernels.activations()`, hyper-parameters by keyword ("leaky_relu",
    negative_slope=0.1). dropout: the share of y that is 0 in training, the rest divided by 1 - dropout; which, is a
    function of `key`, a key of jax.random, that differs from JAX's own.

    Gradients are those of x, kernel and bias. Forward-mode and second derivatives are a TypeError. Under `jax.vmap` one
    call follows the other. Errors, when the function is traced: TypeError for dtypes, ValueError for shapes and names.
    """
    where = "fused_dense"
    values = _values(where, activation, parameters)
    x = array(where, "x", x, (None, None))
    kernel = array(where, "kernel", kernel, (x.shape[1], None), x.dtype)
    bias = None if bias is None else array(where, "bias", bias, (kernel.shape[1],), x.dtype)
    rate, words = _key(where, dropout, key, boolean(where, "training", training))
    settings = Settings(activation, values, 0.0, rate, False)
    y: Array = layer(settings, (x, kernel, bias, None, None, None, None, words))[0]
    return y


def fused_dense_bn(
    x: Any,
    kernel: Any,
    gamma: Any,
    beta: Any,
    moving_mean: Any,
    moving_variance: Any,
    *,
    training: bool,
    bias: Any = None,
    activation: str = "linear",
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    dropout: float = 0.0,
    key: Any = None,
    **parameters: float,
) -> tuple[Array, tuple[Array, Array]]:
    """y = dropout(f(gamma (z - mean) / sqrt(variance + epsilon) + beta)), z = x kernel + bias, one native call.

    Returns y [batch, units] and (moving_mean, moving_variance). training: mean and biased variance are those of the
    batch, and the moving ones are returned as momentum * moving + (1 - momentum) * batch. Else they are the moving
    ones, which are returned as they came. No gradient flows into statistics or out of them.

    x [batch, inputs], at least one row in training; kernel [inputs, units]; the other arrays [units]. momentum and
    epsilon have Keras' sense and defaults (Flax: 0.99, 1e-5). The rest is as in `fused_dense`.
    """
    where = "fused_dense_bn"
    values = _values(where, activation, parameters)
    training = boolean(where, "training", training)
    momentum = number(where, "momentum", momentum, at_least=0, at_most=1)
    epsilon = number(where, "epsilon", epsilon, at_least=0)
    x = array(where, "x", x, (None, None))
    if training and x.shape[0] == 0:
        raise wrong_shape(where, "x", ("1 or more", x.shape[1]), x.shape)
    kernel = array(where, "kernel", kernel, (x.shape[1], None), x.dtype)
    units = (kernel.shape[1],)
    bias = None if bias is None else array(where, "bias", bias, units, x.dtype)
    gamma, beta = array(where, "gamma", gamma, units, x.dtype), array(where, "beta", beta, units, x.dtype)
    mean = lax.stop_gradient(array(where, "moving_mean", moving_mean, units, x.dtype))
    variance = lax.stop_gradient(array(where, "moving_variance", moving_variance, units, x.dtype))
    rate, words = _key(where, dropout, key, training)
    settings = Settings(activation, values, epsilon, rate, training)
    given = (None, None) if training else (mean, variance)
    y, now = layer(settings, (x, kernel, bias, gamma, beta, *given, words))
    if not training:
        return y, (mean, variance)
    moved = [momentum * m + (1 - momentum) * lax.stop_gradient(n) for m, n in zip((mean, variance), now, strict=True)]
    return y, (moved[0], moved[1])
