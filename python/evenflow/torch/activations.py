"""PyTorch's activations as modules, and what the kernels call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn


class Known(NamedTuple):
    """A module's class, and how its arguments become hyper-parameters; None: these have no kernel."""

    module: type[nn.Module]
    parameters: Callable[[Any], dict[str, float] | None] = lambda module: {}


KNOWN: Mapping[str, Known] = {
    "relu": Known(nn.ReLU),
    "relu6": Known(nn.ReLU6),
    "leaky_relu": Known(nn.LeakyReLU, lambda m: {"negative_slope": m.negative_slope}),
    "elu": Known(nn.ELU, lambda m: {"alpha": m.alpha}),
    "celu": Known(nn.CELU, lambda m: {"alpha": m.alpha}),
    "selu": Known(nn.SELU),
    "gelu": Known(nn.GELU, lambda m: {} if m.approximate == "none" else None),
    "gelu_tanh": Known(nn.GELU, lambda m: {} if m.approximate == "tanh" else None),
    "silu": Known(nn.SiLU),
    "mish": Known(nn.Mish),
    "tanh": Known(nn.Tanh),
    "sigmoid": Known(nn.Sigmoid),
    "log_sigmoid": Known(nn.LogSigmoid),
    "softsign": Known(nn.Softsign),
    "tanh_shrink": Known(nn.Tanhshrink),
}


def kernel_of(module: nn.Module) -> tuple[str, dict[str, float]] | None:
    """The kernel's name and hyper-parameters, or None where there is none."""
    for name, known in KNOWN.items():
        if type(module) is known.module:
            parameters = known.parameters(module)
            if parameters is not None and all(value >= 0 for value in parameters.values()):
                return name, parameters
    return None


def module_of(where: str, activation: object) -> nn.Module | None:
    """A module, the class of one, or a name above."""
    if activation is None or isinstance(activation, nn.Module):
        return activation
    if isinstance(activation, type) and issubclass(activation, nn.Module):
        return activation()
    if isinstance(activation, str) and activation in KNOWN:
        return nn.GELU("tanh") if activation == "gelu_tanh" else KNOWN[activation].module()
    raise ValueError(
        f"{where}: argument 'activation': expected None, a module, its class or one of {', '.join(KNOWN)}, "
        f"received {activation!r}"
    )
