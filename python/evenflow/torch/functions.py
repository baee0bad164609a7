"""The fused layer as a function that PyTorch differentiates: eager as an autograd.Function, compiled as custom ops.

Both call the same kernels. y = dropout(f(batch_norm(x W^T + b))), W [out_features, in_features]; or x W + b where W is
not transposed. What the way back needs is what f or batch_norm reads, from which it computes the rest again. Second
derivatives are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import kernels

TWICE = (
    "evenflow.torch: the fused layer has no second derivative: differentiate once (create_graph=False), or use "
    "PyTorch's own layers where a gradient is differentiated again"
)
PARAMETERS = {name: tuple(values) for name, values in kernels.activations().items()}


class Settings(NamedTuple):
    """What a call is told besides its tensors. values: the activation's hyper-parameters in the kernels' order;
    transposed: whether weights are [units, inputs], as PyTorch has them, else [inputs, units], as Keras does."""

    activation: str
    values: Sequence[float]
    epsilon: float
    rate: float
    transposed: bool = True

    def keywords(self, seed: Tensor | None) -> dict[str, Any]:
        """The arguments of the kernels by name."""
        named = dict(zip(PARAMETERS[self.activation], self.values, strict=True))
        if seed is not None:
            named |= {"rate": self.rate, "seed": int(seed)}
        return {"activation": self.activation, "epsilon": self.epsilon, "transposed": self.transposed, **named}


def array(tensor: Tensor | None) -> Any:
    """The tensor's memory as NumPy sees it."""
    return None if tensor is None else tensor.detach().numpy()


def _tensor(result: Any, like: Tensor) -> Tensor:
    return like.new_empty(0) if result is None else torch.from_numpy(result)


def _forward(tensors: Sequence[Tensor | None], seed: Tensor | None, settings: Settings) -> list[Tensor]:
    """y, z and the statistics of the batch (empty without any), of x, weight, bias, gamma, beta, mean, variance."""
    x = tensors[0]
    assert x is not None
    results = kernels.dense_bn_act_forward(*map(array, tensors), **settings.keywords(seed))
    return [_tensor(result, x) for result in results]


def _backward(
    dy: Tensor,
    z: Tensor,
    tensors: Sequence[Tensor | None],
    seed: Tensor | None,
    settings: Settings,
    training: bool,
    input_gradient: bool,
) -> list[Tensor]:
    """dx, dweight, dbias, dgamma, dbeta; empty where there is none."""
    x, weight, _, *normalization = tensors
    results = kernels.dense_bn_act_backward(
        array(dy.contiguous()),
        array(x),
        array(weight),
        array(z),
        *map(array, normalization),
        training=training,
        input_gradient=input_gradient,
        **settings.keywords(seed),
    )
    return [_tensor(result, dy) for result in results]


# Eager ----------------------------------------------------------------------------------------------------------------


class FusedFunction(torch.autograd.Function):
    """y and the batch's statistics; the latter are not differentiated."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None,
        mean: Tensor | None, variance: Tensor | None, seed: Tensor | None, settings: Settings,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        y, z, *now = _forward((x, weight, bias, gamma, beta, mean, variance), seed, settings)
        ctx.training = gamma is not None and mean is None
        ctx.settings = settings
        statistics = now if ctx.training else (mean, variance)
        ctx.save_for_backward(x, weight, bias, gamma, beta, *statistics, seed, z)
        ctx.mark_non_differentiable(*now)
        return y, now[0], now[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, seed, z = ctx.saved_tensors
        once = FusedBackward.apply if torch.is_grad_enabled() else FusedBackward.run
        found = once(gradients[0], z, seed, ctx.settings, ctx.training, ctx.needs_input_grad[0], *tensors)
        return *(g if asked else None for g, asked in zip(found, ctx.needs_input_grad, strict=False)), *[None] * 4


class FusedBackward(torch.autograd.Function):
    """The way back, which cannot be differentiated."""

    @staticmethod
    def run(
        dy: Tensor, z: Tensor, seed: Tensor | None, settings: Settings, training: bool, input_gradient: bool,
        *tensors: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        return tuple(_backward(dy, z, tensors, seed, settings, training, input_gradient))

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, ...]:
        return FusedBackward.run(*args)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError(TWICE)


# Compiled -------------------------------------------------------------------------------------------------------------


@torch.library.custom_op("evenflow::dense_bn_act", mutates_args=())
def compiled_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, seed: Tensor | None, activation: str, values: Sequence[float], epsilon: float, rate: float,
    transposed: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """y, z, and mean and variance of the batch, empty where there are none."""
    settings = Settings(activation, values, epsilon, rate, transposed)
    tensors = [t if t is None else t.contiguous() for t in (x, weight, bias, gamma, beta, mean, variance)]
    y, z, now, spread = _forward(tensors, seed, settings)
    return y, z, now, spread


@compiled_forward.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, seed: Tensor | None, activation: str, values: Sequence[float], epsilon: float, rate: float,
    transposed: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    rows, units = x.shape[0], weight.shape[0 if transposed else 1]
    kept = units if gamma is not None and mean is None else 0
    return x.new_empty(rows, units), x.new_empty(rows, units), x.new_empty(kept), x.new_empty(kept)


@torch.library.custom_op("evenflow::dense_bn_act_backward", mutates_args=())
def compiled_backward(
    dy: Tensor, z: Tensor, x: Tensor, weight: Tensor, gamma: Tensor | None, beta: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, seed: Tensor | None, activation: str, values: Sequence[float], epsilon: float, rate: float,
    transposed: bool, training: bool, input_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """dx, dweight, dbias, dgamma, dbeta; empty where there are none."""
    tensors = [t if t is None else t.contiguous() for t in (x, weight, None, gamma, beta, mean, variance)]
    settings = Settings(activation, values, epsilon, rate, transposed)
    dx, dw, db, dgamma, dbeta = _backward(dy, z.contiguous(), tensors, seed, settings, training, input_gradient)
    return dx, dw, db, dgamma, dbeta


@compiled_backward.register_fake
def _(
    dy: Tensor, z: Tensor, x: Tensor, weight: Tensor, gamma: Tensor | None, beta: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, seed: Tensor | None, activation: str, values: Sequence[float], epsilon: float, rate: float,
    transposed: bool, training: bool, input_gradient: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    units = weight.shape[0 if transposed else 1]
    kept = units if gamma is not None else 0
    dx = x.new_empty(x.shape if input_gradient else (0,))
    return dx, x.new_empty(weight.shape), x.new_empty(units), x.new_empty(kept), x.new_empty(kept)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, weight, _, gamma, beta, mean, variance, seed, *settings = inputs
    ctx.training = gamma is not None and mean is None
    ctx.settings = settings
    statistics = output[2:] if ctx.training else (mean, variance)
    ctx.save_for_backward(x, weight, gamma, beta, *statistics, seed, output[1])
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, z = ctx.saved_tensors
    asked = ctx.needs_input_grad
    found = compiled_backward(dy, z, *tensors, *ctx.settings, ctx.training, asked[0])
    return *(g if wanted else None for g, wanted in zip(found, asked, strict=False)), *[None] * 8


def _refuse(ctx: Any, *gradients: Tensor) -> Any:
    raise RuntimeError(TWICE)


compiled_forward.register_autograd(_differentiate, setup_context=_keep)
compiled_backward.register_autograd(_refuse)


def dense_bn_act(
    x: Tensor, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, seed: Tensor | None, settings: Settings,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """y, and mean and biased variance of the batch (empty without batch normalization or with given statistics)."""
    if torch.compiler.is_compiling():
        y, _, mean_now, variance_now = compiled_forward(x, weight, bias, gamma, beta, mean, variance, seed, *settings)
        return y, mean_now, variance_now
    if torch.is_grad_enabled():
        found: tuple[Tensor, Tensor, Tensor] = FusedFunction.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, gamma, beta, mean, variance, seed, settings
        )
        return found
    if seed is None and (gamma is None or mean is not None):
        tensors = (x, weight, bias, gamma, beta, mean, variance)
        y = torch.from_numpy(kernels.dense_bn_act_inference(*map(array, tensors), **settings.keywords(None)))
        return y, y, y
    y, _, mean_now, variance_now = _forward((x, weight, bias, gamma, beta, mean, variance), seed, settings)
    return y, mean_now, variance_now
