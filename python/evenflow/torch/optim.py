"""torch.optim's optimizers with native steps: subclasses, so that arguments, state dicts and schedulers are PyTorch's.

A step is one pass over each parameter in memory, all parameters of a group in one native call. The arithmetic is
PyTorch's to rounding. What the kernels do not take (another device or type, strides, sparse gradients, `maximize`,
`capturable`, `differentiable`) goes through PyTorch's own step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .. import kernels

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "NAdam", "RMSprop", "clip_grad_norm_"]


def _plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.device.type == "cpu"
        and tensor.layout == torch.strided
        and tensor.is_contiguous()
    )


class Call(NamedTuple):
    """One call of a kernel: parameters of a group that are at the same step."""

    group: dict[str, Any]
    number: int  # of the step
    arrays: list[list[Any]]  # p, g and the states of each parameter
    states: list[dict[str, Any]]  # PyTorch's
    parameters: list[Tensor]


Begun = dict[Tensor, dict[str, Any]]  # parameters whose states a step begins, and what these were before


def _arrays(tensors: Iterable[Tensor]) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


class _Native(torch.optim.Optimizer):
    """step() for the classes below: `slots` names a group's states, `update` calls the kernel."""

    counts: ClassVar[bool] = True  # whether states have a `step`

    def slots(self, group: dict[str, Any]) -> list[str]:
        """The names of a parameter's states that the kernel changes, in its order."""
        raise NotImplementedError

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        """Calls the kernel; arrays are p, g and the states of each parameter."""
        raise NotImplementedError

    def begin(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """What PyTorch puts into an empty state."""
        state["step"] = torch.tensor(0.0, dtype=_scalar_type())
        for name in self.slots(group):
            state[name] = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters that have gradients; the loss of `closure`, where that is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        begun: Begun = {}
        try:
            calls = self._calls(begun)
            for call in calls or []:
                self.update(call.group, call.number, call.arrays, call.states)
                if self.counts:
                    torch._foreach_add_([state["step"] for state in call.states], 1)
                torch.autograd.graph.increment_version(call.parameters)
                for parameter in call.parameters:
                    begun.pop(parameter, None)
        finally:
            for parameter, before in begun.items():  # no step was made: the next begins with what was there
                if before:
                    self.state[parameter] = before
                else:
                    del self.state[parameter]
        if calls is None:
            own: Any = super().step
            function = own.__func__  # without the hooks of steps, which this call has run already
            (function.__wrapped__ if getattr(function, "hooked", False) else function)(self)
        return loss

    def _calls(self, begun: Begun) -> list[Call] | None:
        """The kernels' calls of a step, each for one group, type and step number; None: they cannot take it.

        begun: is told of the parameters whose states begin here, and of what was there before.
        """
        if getattr(self, "grad_scale", None) is not None or getattr(self, "found_inf", None) is not None:
            return None
        calls: list[Call] = []
        for group in self.param_groups:
            if any(group.get(flag) for flag in ("maximize", "capturable", "differentiable")):
                return None
            slots = self.slots(group)
            same: dict[tuple[torch.dtype, int], Call] = {}
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                if gradient.layout != torch.strided or gradient.dtype != parameter.dtype:
                    return None
                state: dict[str, Any] = self.state[parameter] if slots else {}
                if slots and (not state or (not self.counts and any(state.get(name) is None for name in slots))):
                    begun[parameter] = dict(state)
                    self.begin(parameter, group, state)
                own = self._arrays(parameter, state, slots)
                if own is None:
                    return None
                number = int(state["step"]) + 1 if self.counts else 1 if parameter in begun else 2
                call = same.get((parameter.dtype, number))
                if call is None:
                    call = Call(group, number, [[] for _ in range(len(slots) + 2)], [], [])
                    same[parameter.dtype, number] = call
                contiguous = gradient if gradient.is_contiguous() else gradient.contiguous()
                for to, array in zip(call.arrays, (own[0], contiguous.detach().numpy(), *own[1:]), strict=True):
                    to.append(array)
                call.states.append(state)
                call.parameters.append(parameter)
            calls += same.values()
        return calls

    def _arrays(self, parameter: Tensor, state: dict[str, Any], slots: list[str]) -> list[Any] | None:
        """A parameter and its states as NumPy sees them, kept from step to step; None where it cannot see them."""
        tensors = [parameter, *(state[name] for name in slots)]
        places = [tensor.data_ptr() for tensor in tensors]
        views = self.__dict__.setdefault("_views", {})
        known = views.get(parameter)
        if known is not None and known[0] == places:
            arrays: list[Any] = known[1]
            return arrays
        if not all(map(_plain, tensors)):
            return None
        views[parameter] = (places, _arrays(tensors))
        found: list[Any] = views[parameter][1]
        return found


def _scalar_type() -> torch.dtype:
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def _decay(group: dict[str, Any], decoupled: bool = False) -> dict[str, Any]:
    return {"weight_decay" if decoupled else "coupled_decay": group["weight_decay"]}


class SGD(_Native, torch.optim.SGD):
    """`torch.optim.SGD` with a native step."""

    counts = False

    def slots(self, group: dict[str, Any]) -> list[str]:
        return ["momentum_buffer"] if group["momentum"] else []

    def begin(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        if group["momentum"]:
            state["momentum_buffer"] = torch.zeros_like(parameter)

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        p, g, *m = arrays
        kernels.sgd_step(
            p, g, m[0] if m else None, learning_rate=float(group["lr"]), momentum=group["momentum"],
            nesterov=group["nesterov"], dampening=group["dampening"], step=step, torch=True, **_decay(group),
        )  # fmt: skip


class Adam(_Native, torch.optim.Adam):
    """`torch.optim.Adam` with a native step."""

    def slots(self, group: dict[str, Any]) -> list[str]:
        return ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        beta_1, beta_2 = group["betas"]
        kernels.adam_step(
            *arrays, step=step, learning_rate=float(group["lr"]), beta_1=float(beta_1), beta_2=float(beta_2),
            epsilon=group["eps"], torch=True, **_decay(group, group.get("decoupled_weight_decay", False)),
        )  # fmt: skip


class AdamW(Adam, torch.optim.AdamW):
    """`torch.optim.AdamW` with a native step."""

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        super().update(group | {"decoupled_weight_decay": True}, step, arrays, states)


class NAdam(_Native, torch.optim.NAdam):
    """`torch.optim.NAdam` with a native step."""

    def slots(self, group: dict[str, Any]) -> list[str]:
        return ["exp_avg", "exp_avg_sq"]

    def begin(self, parameter: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        super().begin(parameter, group, state)
        state["mu_product"] = torch.tensor(1.0, dtype=_scalar_type())

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        beta_1, beta_2 = group["betas"]
        for product in {float(state["mu_product"]) for state in states}:
            own = [i for i, state in enumerate(states) if float(state["mu_product"]) == product]
            kernels.nadam_step(
                *([array[i] for i in own] for array in arrays), step=step, learning_rate=float(group["lr"]),
                beta_1=beta_1, beta_2=beta_2, epsilon=group["eps"], momentum_decay=group["momentum_decay"],
                momentum_product=product, **_decay(group, group["decoupled_weight_decay"]),
            )  # fmt: skip
        share = beta_1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        torch._foreach_mul_([state["mu_product"] for state in states], share)


class RMSprop(_Native, torch.optim.RMSprop):
    """`torch.optim.RMSprop` with a native step; a variance that is negative by rounding is 0, not NaN."""

    def slots(self, group: dict[str, Any]) -> list[str]:
        optional = {"momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
        return ["square_avg", *(name for name, asked in optional.items() if asked)]

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        named = dict(zip(["p", "g", *self.slots(group)], arrays, strict=True))
        kernels.rmsprop_step(
            named["p"], named["g"], named["square_avg"], named.get("momentum_buffer"), named.get("grad_avg"),
            learning_rate=float(group["lr"]), rho=group["alpha"], momentum=group["momentum"], epsilon=group["eps"],
            torch=True, **_decay(group),
        )  # fmt: skip


class Adagrad(_Native, torch.optim.Adagrad):
    """`torch.optim.Adagrad` with a native step."""

    def slots(self, group: dict[str, Any]) -> list[str]:
        return ["sum"]

    def update(self, group: dict[str, Any], step: int, arrays: list[list[Any]], states: list[dict[str, Any]]) -> None:
        rate = float(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        kernels.adagrad_step(*arrays, learning_rate=rate, epsilon=group["eps"], torch=True, **_decay(group))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """`torch.nn.utils.clip_grad_norm_`: all gradients times min(1, max_norm / (norm + 1e-6)); the norm before.

    Native for l2 norms of float32 or float64 gradients on the CPU, whose squares are added in float64; else PyTorch's.
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    native = norm_type == 2 and max_norm > 0 and gradients and len({g.dtype for g in gradients}) == 1
    if not native or error_if_nonfinite or not all(_plain(g.detach()) for g in gradients):
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
    norm = kernels.clip_by_global_norm(_arrays(gradients), float(max_norm), epsilon=1e-6)
    torch.autograd.graph.increment_version(gradients)
    return torch.tensor(norm, dtype=gradients[0].dtype)
