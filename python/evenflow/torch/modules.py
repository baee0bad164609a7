"""Layers as PyTorch has them, run fused: nn.Sequential whose Linear, BatchNorm1d, activation, Dropout are one call."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from . import activations
from .functions import PARAMETERS, Settings, dense_bn_act


class Fused(NamedTuple):
    """Neighbouring modules that one call runs, and their names."""

    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]
    linear: nn.Linear
    norm: nn.BatchNorm1d | None
    dropout: nn.Dropout | None
    function: nn.Module | None

    def activation(self) -> tuple[str, dict[str, float]] | None:
        """The kernel's name and hyper-parameters as they are now; None: it takes no such values."""
        return ("linear", {}) if self.function is None else activations.kernel_of(self.function)

    def fits(self, x: Tensor) -> bool:
        """Whether the kernels can take this call: everything else goes through PyTorch's own modules."""
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or x.layout != torch.strided:
            return False
        if not all(_readable(tensor, x.dtype) for tensor in self._tensors()):
            return False
        if self.dropout is not None and not 0 <= self.dropout.p < 1:
            return False
        if x.dim() < 1 or x.shape[-1] != self.linear.in_features or torch.is_autocast_enabled("cpu"):
            return False
        if self.norm is not None and (x.dim() != 2 or (uses_batch(self.norm) and x.shape[0] < 2)):
            return False
        return not (_hooked_everywhere() or any(_hooked(module) for module in self.modules))

    def _tensors(self) -> list[Tensor]:
        norm = self.norm
        found: list[Tensor | None] = [self.linear.weight, self.linear.bias]
        if norm is not None:
            found += [norm.weight, norm.bias, norm.running_mean, norm.running_var]
        return [tensor for tensor in found if tensor is not None]

    def __call__(self, x: Tensor) -> Tensor:
        activation = self.activation()
        if activation is None or not self.fits(x):
            for module in self.modules:
                x = module(x)
            return x
        norm, linear = self.norm, self.linear
        gamma = beta = mean = variance = None
        epsilon = 0.0
        if norm is not None:
            epsilon = norm.eps
            gamma = torch.ones_like(linear.weight[:, 0]) if norm.weight is None else norm.weight
            beta = torch.zeros_like(linear.weight[:, 0]) if norm.bias is None else norm.bias
            if not uses_batch(norm):
                mean, variance = norm.running_mean, norm.running_var
        dropout, seed, rate = self.dropout, None, 0.0
        if dropout is not None and dropout.training and dropout.p > 0:
            seed, rate = torch.randint(0, 2**62, ()), dropout.p
        rows = x if x.dim() == 2 else x.flatten(0, -2) if x.dim() > 2 else x[None]
        values = [float(activation[1][key]) for key in PARAMETERS[activation[0]]]
        settings = Settings(activation[0], values, epsilon, rate)
        y, mean_now, variance_now = dense_bn_act(
            rows.contiguous(), linear.weight, linear.bias, gamma, beta, mean, variance, seed, settings
        )
        if norm is not None and mean is None:
            follow(norm, mean_now, variance_now, rows.shape[0])
        return y if x.dim() == 2 else y.reshape(*x.shape[:-1], y.shape[-1])


def uses_batch(norm: nn.BatchNorm1d) -> bool:
    """Whether the statistics are those of the batch, as in PyTorch."""
    return norm.training or norm.running_mean is None


def follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> None:
    """PyTorch's running statistics: the variance unbiased, momentum the share of the new batch or, None, of all."""
    if not norm.training or norm.running_mean is None or norm.running_var is None:
        return
    with torch.no_grad():
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        share = norm.momentum
        if share is None:
            share = 1.0 / float(norm.num_batches_tracked) if norm.num_batches_tracked is not None else 0.0
        norm.running_mean.mul_(1 - share).add_(mean, alpha=share)
        norm.running_var.mul_(1 - share).add_(variance, alpha=share * rows / (rows - 1))


def _readable(tensor: Tensor, dtype: torch.dtype) -> bool:
    placed = tensor.device.type == "cpu" and tensor.layout == torch.strided
    return placed and tensor.dtype == dtype and tensor.is_contiguous()


def _hooked(module: nn.Module) -> bool:
    """Whether something looks on, or a function of its own stands in for the class's forward."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )


def _hooked_everywhere() -> bool:
    """Whether there are hooks of all modules (`torch.nn.modules.module.register_module_forward_hook`, ...)."""
    return bool(
        hooks._global_forward_hooks
        or hooks._global_forward_pre_hooks
        or hooks._global_backward_hooks
        or hooks._global_backward_pre_hooks
    )


def plan_of(modules: Sequence[tuple[str, nn.Module]]) -> list[Fused | tuple[str, nn.Module]]:
    """The modules in order, those that one call runs together."""
    plan: list[Fused | tuple[str, nn.Module]] = []
    rest = [*modules][::-1]
    while rest:
        name, linear = rest.pop()
        if type(linear) is not nn.Linear:
            plan.append((name, linear))
            continue
        taken: list[tuple[str, nn.Module]] = [(name, linear)]
        norm = dropout = function = None
        following = rest[-1][1] if rest else None
        if type(following) is nn.BatchNorm1d and following.num_features == linear.out_features:
            norm = following
            taken.append(rest.pop())
        following = rest[-1][1] if rest else None
        if following is not None and activations.kernel_of(following) is not None:
            function = following
            taken.append(rest.pop())
        following = rest[-1][1] if rest else None
        if type(following) is nn.Dropout and following.p < 1:
            dropout = following
            taken.append(rest.pop())
        names, own = zip(*taken, strict=True)
        plan.append(Fused(names, own, linear, norm, dropout, function))
    return plan


class FusedSequential(nn.Sequential):
    """nn.Sequential that runs Linear, BatchNorm1d, activation and Dropout, as far as they follow each other, in one
    native call each way; other modules run as they are.

    The modules inside are PyTorch's own: `state_dict` has their names and layout, so that checkpoints load both ways;
    `train`, `eval`, `to`, parameters and optimizers work as ever, and so does batch normalization to the letter
    (momentum, eps, unbiased running variance, momentum=None, frozen by eval of the module alone). Where the kernels
    cannot take a call (another device, another type of x or of a parameter, parameters with strides, autocast, hooks on
    a module inside or on all modules, one row in training) PyTorch's own modules run, with PyTorch's own errors.

    Gradients: exact, once; a second derivative raises RuntimeError. Under torch.compile the calls are custom ops.
    Dropout draws its seed from PyTorch's generator (`torch.manual_seed`) and its mask from evenflow's counters: another
    mask than PyTorch's with the same distribution.

    replaced: the names of the modules of each fused call. kept: names and modules that run as they are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of a tensor [..., features]; [batch, features] with batch normalization."""
        for step in self._plan():
            x = step(x) if isinstance(step, Fused) else step[1](x)
        return x

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return FusedSequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)

    @property
    def replaced(self) -> list[tuple[str, ...]]:
        """The names of the modules of each fused call, those of Sequentials inside with their prefix."""
        return [names for names, _ in self._calls() if names]

    @property
    def kept(self) -> list[tuple[str, nn.Module]]:
        """Names and modules that run as they are."""
        return [module for _, module in self._calls() if module is not None]

    def extra_repr(self) -> str:
        """What is fused, and what is not."""
        fused = "; ".join("+".join(names) for names in self.replaced)
        kept = ", ".join(f"{name} ({type(module).__name__})" for name, module in self.kept)
        return f"fused: {fused or 'nothing'}" + (f"; as they are: {kept}" if kept else "")

    def _plan(self) -> list[Fused | tuple[str, nn.Module]]:
        modules = list(self._modules.items())
        cached = self.__dict__.get("_cached")
        if cached is None or cached[0] != modules or torch.compiler.is_compiling():
            cached = (modules, plan_of(modules))
            if not torch.compiler.is_compiling():
                self.__dict__["_cached"] = cached
        plan: list[Fused | tuple[str, nn.Module]] = cached[1]
        return plan

    def _calls(self) -> list[tuple[tuple[str, ...], tuple[str, nn.Module] | None]]:
        found: list[tuple[tuple[str, ...], tuple[str, nn.Module] | None]] = []
        for step in plan_of(list(self._modules.items())):
            if isinstance(step, Fused):
                found.append((step.names, None))
            elif isinstance(step[1], FusedSequential):
                for names, module in step[1]._calls():
                    prefixed = None if module is None else (f"{step[0]}.{module[0]}", module[1])
                    found.append((tuple(f"{step[0]}.{name}" for name in names), prefixed))
            else:
                found.append(((), step))
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_cached"}


def _layer(
    where: str, in_features: int, out_features: int, batch_norm: bool, activation: object, dropout: float,
    bias: bool, eps: float, momentum: float | None, factory: dict[str, Any],
) -> list[nn.Module]:  # fmt: skip
    layer: list[nn.Module] = [nn.Linear(in_features, out_features, bias=bias, **factory)]
    if batch_norm:
        layer.append(nn.BatchNorm1d(out_features, eps=eps, momentum=momentum, **factory))
    if (module := activations.module_of(where, activation)) is not None:
        layer.append(module)
    if not 0 <= dropout < 1:
        raise ValueError(f"{where}: argument 'dropout': expected 0 or more, below 1, received {dropout!r}")
    if dropout:
        layer.append(nn.Dropout(dropout))
    return layer


class FusedDense(FusedSequential):
    """dropout(f(batch_norm(x W^T + b))) in one call: nn.Sequential(Linear, BatchNorm1d, activation, Dropout), fused.

    activation: None, an nn.Module, its class, or a name such as "relu", "elu", "gelu", "silu", "tanh".
    bias, eps, momentum, device, dtype: as in Linear and BatchNorm1d.

    Initial weights are PyTorch's. `state_dict` has the names "0.weight", "0.bias", "1.weight", ... of that
    nn.Sequential.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        batch_norm: bool = False,
        activation: object = None,
        dropout: float = 0.0,
        *,
        bias: bool = True,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        factory = {"device": device, "dtype": dtype}
        super().__init__(
            *_layer(
                "FusedDense", in_features, out_features, batch_norm, activation, dropout, bias, eps, momentum, factory
            )
        )


class FusedMLP(FusedSequential):
    """Hidden layers as FusedDense has them, then a Linear: one flat nn.Sequential, whose `state_dict` it shares.

    hidden: units of each hidden layer. Other arguments hold for all hidden layers, and are those of FusedDense.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        out_features: int,
        batch_norm: bool = True,
        activation: object = "relu",
        dropout: float = 0.0,
        *,
        bias: bool = True,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        factory = {"device": device, "dtype": dtype}
        if isinstance(activation, nn.Module) and any(True for _ in activation.parameters()):
            raise ValueError(
                "FusedMLP: argument 'activation': expected a name or a class, so that every layer has its own, "
                f"received a module with parameters: {activation!r}"
            )
        modules: list[nn.Module] = []
        for units in hidden:
            modules += _layer(
                "FusedMLP", in_features, units, batch_norm, activation, dropout, bias, eps, momentum, factory
            )
            in_features = units
        super().__init__(*modules, nn.Linear(in_features, out_features, bias=bias, **factory))


def from_torch(model: nn.Sequential) -> FusedSequential:
    """The same modules in a FusedSequential: nothing is copied, so that both train the same parameters.

    nn.Sequential inside are replaced likewise, but those with hooks. What could be fused and what could not say
    `replaced`, `kept` and the printed module. Hooks of the outer Sequential itself are not taken over. TypeError for a
    module that is no nn.Sequential, or one whose class has a `forward` of its own.
    """
    if not isinstance(model, nn.Sequential):
        raise TypeError(f"from_torch: argument 'model': expected an nn.Sequential, received a {type(model).__name__}")
    if type(model).forward not in (nn.Sequential.forward, FusedSequential.forward) or "forward" in model.__dict__:
        raise TypeError(
            "from_torch: argument 'model': expected an nn.Sequential that runs its modules in order, "
            f"received a {type(model).__name__} with a forward of its own"
        )
    modules = OrderedDict(
        (name, from_torch(module) if type(module) is nn.Sequential and not _hooked(module) else module)
        for name, module in model._modules.items()
        if module is not None
    )
    fused = FusedSequential(modules)
    fused.training = model.training
    return fused
