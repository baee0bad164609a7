"""Optimizers: the rule's hyper-parameters, and the state (steps done, slots) that survives between calls of `fit`.

The native core does the arithmetic, in Keras' form. `learning_rate` is a number, one of `schedules`, a function of the
step, or, as in Keras, a function without arguments that is asked before every step. At most one of `clipvalue` (every
component to [-v, v]), `clipnorm` (every variable's gradient to that l2 norm) and `global_clipnorm` (the whole gradient
to that l2 norm) may be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from . import errors
from . import schedules as schedules  # where Keras has them
from .pace import LearningRate, Pace
from .registry import Registry

Slots = dict[tuple[str, str], NDArray[Any]]  # by (slot, path of the variable)


class StateHome(Protocol):
    """A native program that steps the optimizer and so holds its state."""

    @property
    def iterations(self) -> int:
        """Steps done."""
        ...

    def read_state(self) -> tuple[int, Slots]:
        """Steps done, and copies of the slots."""
        ...


class Optimizer:
    """Base class: learning rate, clipping, state."""

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = ()
    MOMENTUM: ClassVar[str | None] = None  # the hyper-parameter that a schedule with momentum moves
    kind: ClassVar[str]

    def __init__(
        self,
        learning_rate: LearningRate,
        clipvalue: float | None,
        clipnorm: float | None,
        global_clipnorm: float | None,
        name: str | None,
        unknown: Mapping[str, Any],
    ) -> None:
        where = type(self).__name__
        if "decay" in unknown:
            raise TypeError(
                f"{where}: there is no argument 'decay' (Keras ignores it). For a rate that falls as "
                f"1 / (1 + decay * step) use learning_rate=schedules.InverseTimeDecay(...)."
            )
        if unknown:
            raise errors.unknown_argument(where, unknown, self._arguments())
        self.pace = self._read_pace(learning_rate)
        clips = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        given = [argument for argument, value in clips.items() if value is not None]
        if len(given) > 1:
            raise ValueError(
                f"{where}: expected at most one of clipvalue, clipnorm, global_clipnorm, received {' and '.join(given)}"
            )
        self._clips = {
            argument: None if value is None else errors.number(where, argument, value, above=0.0)
            for argument, value in clips.items()
        }
        self.name = name or self.kind
        self._iterations = 0
        self._slots: Slots = {}
        self._home: StateHome | None = None

    @classmethod
    def _arguments(cls) -> list[str]:
        return ["learning_rate", *cls.HYPERPARAMETERS, "clipvalue", "clipnorm", "global_clipnorm", "name"]

    def _read_pace(self, learning_rate: LearningRate) -> Pace:
        momentum = self.MOMENTUM and (self.MOMENTUM, getattr(self, self.MOMENTUM))
        return Pace(type(self).__name__, learning_rate, momentum or None)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step. Assign a number, a schedule or a function to change it.

        As in Keras, a number cannot replace a schedule: it would be gone unnoticed.
        """
        return self.pace.rate(self.iterations)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        pace = self._read_pace(value)
        if pace.constant and not self.pace.constant:
            raise TypeError(
                f"{type(self).__name__}: learning_rate: expected a schedule or a function, as this optimizer was made "
                f"with {self.pace.source!r}, received {value!r}: make a new optimizer for a rate that you set yourself"
            )
        self.pace = pace

    @property
    def clipvalue(self) -> float | None:
        return self._clips["clipvalue"]

    @property
    def clipnorm(self) -> float | None:
        return self._clips["clipnorm"]

    @property
    def global_clipnorm(self) -> float | None:
        return self._clips["global_clipnorm"]

    @property
    def iterations(self) -> int:
        """Steps done."""
        return self._iterations if self._home is None else self._home.iterations

    def state(self) -> tuple[int, Slots]:
        """Steps done, and a copy of every slot by (slot, path of the variable)."""
        if self._home is None:
            return self._iterations, self._slots
        iterations, slots = self._home.read_state()
        return iterations, self._slots | slots  # a variable frozen since keeps the slots it had

    def restore(self, iterations: int, slots: Slots) -> None:
        """Replace the state."""
        self._iterations, self._slots, self._home = iterations, slots, None

    def move_to(self, home: StateHome) -> None:
        """Declare a program that holds a copy of the state its home, because it is about to step."""
        self._home = home

    def leave(self, home: StateHome) -> None:
        """Bring the state back to the host if that program is its home."""
        if self._home is home:
            self.restore(*self.state())

    def lives_in(self, home: StateHome | None) -> bool:
        """Whether that program holds the state; None asks whether it is on the host."""
        return self._home is home

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same optimizer again."""
        rule = {name: getattr(self, name) for name in self.HYPERPARAMETERS}
        return {"name": self.name, "learning_rate": self.pace.describe(), **rule, **self._clips}

    def spec(self) -> dict[str, Any]:
        """The core's description; the learning rate is given with each call instead."""
        rule = {name: getattr(self, name) for name in self.HYPERPARAMETERS}
        return {"kind": self.kind, **rule, **self._clips}


class SGD(Optimizer):
    """m <- momentum * m - learning_rate * g; w <- w + m (nesterov: w <- w + momentum * m - learning_rate * g).

    Keras' form: the learning rate is inside the momentum buffer. Sutskever et al. 2013.
    """

    HYPERPARAMETERS = ("momentum", "nesterov")
    MOMENTUM = "momentum"
    kind = "sgd"

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self.momentum = errors.number("SGD", "momentum", momentum, at_least=0.0, at_most=1.0)
        self.nesterov = errors.boolean("SGD", "nesterov", nesterov)
        super().__init__(learning_rate, clipvalue, clipnorm, global_clipnorm, name, unknown)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; w <- w - a m / (sqrt(v) + epsilon).

    a = learning_rate * sqrt(1 - b2^t) / (1 - b1^t): Keras' "epsilon hat" form. Kingma and Ba 2014.
    """

    HYPERPARAMETERS = ("beta_1", "beta_2", "epsilon")
    MOMENTUM = "beta_1"
    kind = "adam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **unknown: Any,
    ) -> None:
        self.beta_1 = errors.number("Adam", "beta_1", beta_1, at_least=0.0, below=1.0)
        self.beta_2 = errors.number("Adam", "beta_2", beta_2, at_least=0.0, below=1.0)
        self.epsilon = errors.number("Adam", "epsilon", epsilon, at_least=0.0)
        super().__init__(learning_rate, clipvalue, clipnorm, global_clipnorm, name, unknown)


REGISTRY = Registry(Optimizer, (SGD, Adam), aliases={}, example="Adam(learning_rate=0.001)")


def get(identifier: object, where: str = "get", argument: str = "optimizer") -> Optimizer:
    """An optimizer from a name, an optimizer, or its serialized form (which is without state)."""
    return REGISTRY.make(where, argument, identifier)
