"""A door to PyTorch: its optimizers' names, arguments, defaults and arithmetic, on evenflow's native rules.

`model.compile(evenflow.torch.AdamW(lr=3e-4, weight_decay=0.1), ...)` takes the steps that `torch.optim.AdamW` would
take from the same gradients. There is no argument `params`, since `compile` knows the variables; what PyTorch has for
its own machinery (foreach, fused, capturable, differentiable, maximize) is not there either. Nothing here imports
torch.

Where PyTorch differs from Keras, w a parameter, g its gradient, t the step from 1:

- weight_decay is coupled: g <- g + weight_decay * w before the rule sees it, unless `decoupled_weight_decay` (AdamW
  always): w <- w - lr * weight_decay * w.
- Adam's epsilon stands beside the corrected root, sqrt(v / (1 - b2^t)) + eps: Keras' epsilon is eps * sqrt(1 - b2^t).
- Momentum keeps gradients, not steps: b <- momentum * b + (1 - dampening) * g, w <- w - lr * b, so that a new learning
  rate holds for old gradients too. The first b is g itself.
- RMSprop's and Adagrad's epsilon stands outside of the root; Adamax' inside the maximum.

`lr` is what `learning_rate` is elsewhere: a number, a schedule or a function. All take the other arguments of
`evenflow.optimizers` by keyword: clipping (evenflow's, which is Keras'; PyTorch clips by functions of its own), moving
averages, accumulation, learning_rate_factors (PyTorch's parameter groups), name. `exclude_from_weight_decay` leaves
variables out of the decay. Betas, eps and the like have evenflow's ranges: eps is at least 1e-30, momentum at most 1.
Errors are TypeError or ValueError and come before anything is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from .. import errors
from ..common.registry import Registry
from .base import LEAST_EPSILON, CommonButDecay, Optimizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .pace import LearningRate

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RMSprop"]


class _Torch(Optimizer):
    """An optimizer with PyTorch's arguments: `ARGUMENTS` are its own; `CORE` says what the core calls them."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ()
    CORE: ClassVar[dict[str, str]] = {}
    REGISTERED: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.REGISTERED = f"torch.{cls.__name__}"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get("params")
        if "params" in kwargs or (isinstance(given, Iterable) and not hasattr(given, "dtype")):
            native = getattr(import_module("evenflow.torch.optim"), cls.__name__, None)
            if native is None:
                raise errors.wrong_type(cls.__name__, "lr", "a learning rate, since no native step takes params", given)
            return native(*args, **kwargs)
        return super().__new__(cls)

    def __init__(self, lr: LearningRate, weight_decay: float, decoupled: bool, given: Any) -> None:
        where = type(self).__name__
        self.decoupled_weight_decay = errors.boolean(where, "decoupled_weight_decay", decoupled)
        if given.keys() - CommonButDecay.__annotations__.keys():
            raise errors.unknown_argument(
                where, given.keys() - CommonButDecay.__annotations__.keys(), self._arguments()
            )
        super().__init__(lr, {**given, "weight_decay": weight_decay})

    @classmethod
    def _arguments(cls) -> list[str]:
        return ["lr", *cls.ARGUMENTS, "weight_decay", *CommonButDecay.__annotations__]

    def _betas(self, betas: object) -> tuple[float, float]:
        where = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise errors.wrong_type(where, "betas", "a pair of numbers", betas)
        self.beta_1, self.beta_2 = (self._share(f"betas[{i}]", beta) for i, beta in enumerate(betas))
        return self.beta_1, self.beta_2

    def _eps(self, eps: float) -> float:
        return errors.number(type(self).__name__, "eps", eps, at_least=LEAST_EPSILON)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same optimizer again."""
        config = super().get_config()
        own = {name: getattr(self, name) for name in self.ARGUMENTS}
        own = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        return {"name": config.pop("name"), "lr": config.pop("learning_rate"), **own, **config}

    def spec(self, variables: Any = ()) -> dict[str, Any]:
        """The core's description for a model with these variables; the learning rate is given with each call."""
        return super().spec(variables) | {"coupled": not self.decoupled_weight_decay}

    def _rule(self) -> dict[str, Any]:
        return {"torch": True} | {name: getattr(self, attribute) for name, attribute in self.CORE.items()}


class SGD(_Torch):
    """b <- momentum * b + (1 - dampening) * g; w <- w - lr * b (nesterov: w <- w - lr * (g + momentum * b)).

    The first b is g. As `torch.optim.SGD`; `nesterov` needs a momentum and no dampening.
    """

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("momentum", "dampening", "nesterov")
    CORE: ClassVar[dict[str, str]] = {name: name for name in ARGUMENTS}
    MOMENTUM = "momentum"
    kind = "sgd"

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.momentum = self._momentum(momentum)
        self.dampening = errors.number("SGD", "dampening", dampening, at_least=0.0, at_most=1.0)
        self.nesterov = errors.boolean("SGD", "nesterov", nesterov)
        if nesterov and (self.momentum == 0 or self.dampening != 0):
            raise errors.wrong_kind(
                "SGD", "nesterov", "a momentum and no dampening", f"momentum={momentum!r}, dampening={dampening!r}"
            )
        super().__init__(lr, weight_decay, False, common)


class Adam(_Torch):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - lr m^ / (sqrt(v^) + eps).

    m^ = m / (1 - b1^t), v^ = v / (1 - b2^t), or the largest v so far with `amsgrad`. As `torch.optim.Adam`.
    """

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("betas", "eps", "amsgrad", "decoupled_weight_decay")
    CORE: ClassVar[dict[str, str]] = {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "eps", "amsgrad": "amsgrad"}
    MOMENTUM = "beta_1"
    kind = "adam"

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.betas = self._betas(betas)
        self.eps = self._eps(eps)
        self.amsgrad = errors.boolean(type(self).__name__, "amsgrad", amsgrad)
        super().__init__(lr, weight_decay, decoupled_weight_decay, common)


class AdamW(Adam):
    """Adam with decoupled weight decay: w <- w - lr * weight_decay * w, then Adam's step. As `torch.optim.AdamW`."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("betas", "eps", "amsgrad")

    def __init__(
        self,
        lr: LearningRate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **common)


class NAdam(_Torch):
    """Adam with Nesterov's look-ahead, w <- w - lr (u' m / (1 - U u') + (1 - u) g / (1 - U)) / (sqrt(v^) + eps).

    u = b1 (1 - 0.96^(t momentum_decay) / 2) is the momentum of step t, u' that of the next, U the product of all so
    far, which keeps what b1 was where a schedule moves it. As `torch.optim.NAdam`.
    """

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("betas", "eps", "momentum_decay", "decoupled_weight_decay")
    CORE: ClassVar[dict[str, str]] = {
        "beta_1": "beta_1",
        "beta_2": "beta_2",
        "epsilon": "eps",
        "momentum_decay": "momentum_decay",
    }
    MOMENTUM = "beta_1"
    kind = "nadam"

    def __init__(
        self,
        lr: LearningRate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.betas = self._betas(betas)
        self.eps = self._eps(eps)
        self.momentum_decay = errors.number("NAdam", "momentum_decay", momentum_decay, at_least=0.0)
        super().__init__(lr, weight_decay, decoupled_weight_decay, common)

    def _rule(self) -> dict[str, Any]:
        rule = super()._rule()  # Nadam's arithmetic is the same in Keras
        del rule["torch"]
        return rule


class Adamax(_Torch):
    """m as Adam's; u <- max(b2 u, |g| + eps); w <- w - lr / (1 - b1^t) * m / u. As `torch.optim.Adamax`."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("betas", "eps")
    CORE: ClassVar[dict[str, str]] = {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "eps"}
    MOMENTUM = "beta_1"
    kind = "adamax"

    def __init__(
        self,
        lr: LearningRate = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.betas = self._betas(betas)
        self.eps = self._eps(eps)
        super().__init__(lr, weight_decay, False, common)


class Adagrad(_Torch):
    """s <- s + g^2; w <- w - lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps). As `torch.optim.Adagrad`."""

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("lr_decay", "initial_accumulator_value", "eps")
    CORE: ClassVar[dict[str, str]] = {
        "lr_decay": "lr_decay",
        "initial_accumulator_value": "initial_accumulator_value",
        "epsilon": "eps",
    }
    kind = "adagrad"

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.lr_decay = errors.number("Adagrad", "lr_decay", lr_decay, at_least=0.0)
        self.initial_accumulator_value = errors.number(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value, at_least=0.0
        )
        self.eps = self._eps(eps)
        super().__init__(lr, weight_decay, False, common)


class Adadelta(_Torch):
    """s <- rho s + (1 - rho) g^2; d = sqrt(e + eps) / sqrt(s + eps) * g; e <- rho e + (1 - rho) d^2; w <- w - lr * d.

    As `torch.optim.Adadelta`.
    """

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("rho", "eps")
    CORE: ClassVar[dict[str, str]] = {"rho": "rho", "epsilon": "eps"}
    kind = "adadelta"

    def __init__(
        self,
        lr: LearningRate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.rho = self._share("rho", rho)
        self.eps = self._eps(eps)
        super().__init__(lr, weight_decay, False, common)

    def _rule(self) -> dict[str, Any]:
        rule = super()._rule()  # Adadelta's arithmetic is the same in Keras
        del rule["torch"]
        return rule


class RMSprop(_Torch):
    """s <- alpha s + (1 - alpha) g^2; w <- w - lr * g / (sqrt(s) + eps).

    centered: s less the square of the gradient's moving average in place of s.
    momentum: b <- momentum * b + (the ratio); w <- w - lr * b.

    As `torch.optim.RMSprop`, but a variance that is negative by rounding is 0, not NaN.
    """

    ARGUMENTS: ClassVar[tuple[str, ...]] = ("alpha", "eps", "momentum", "centered")
    CORE: ClassVar[dict[str, str]] = {"rho": "alpha", "epsilon": "eps", "momentum": "momentum", "centered": "centered"}
    MOMENTUM = "momentum"
    kind = "rmsprop"

    def __init__(
        self,
        lr: LearningRate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        **common: Unpack[CommonButDecay],
    ) -> None:
        self.alpha = self._share("alpha", alpha)
        self.eps = self._eps(eps)
        self.momentum = self._momentum(momentum)
        self.centered = errors.boolean("RMSprop", "centered", centered)
        super().__init__(lr, weight_decay, False, common)


REGISTRY = Registry(
    _Torch, (SGD, Adam, AdamW, NAdam, Adamax, Adagrad, Adadelta, RMSprop), aliases={}, example="torch.Adam(lr=0.001)"
)
