"""Optimizer: what every update rule has: learning rate, weight decay, clipping, averages, accumulation, and state that
outlives a call of `fit`."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict

from numpy.typing import NDArray

from .. import errors
from .pace import LearningRate, Pace, Rate

if TYPE_CHECKING:
    from ..layers.variables import Variable

# Smaller ones would vanish in float32, and leave 0 / 0 where no gradient ever was.
LEAST_EPSILON = 1e-30

Slots = dict[tuple[str, str], NDArray[Any]]  # by (slot, path of the variable)

AVERAGE = "average"  # the slot with a variable's moving average
# A state that is one number, which Nadam has: the product of the momenta of its steps.
MOMENTUM_PRODUCT = ("momentum_product", "")

CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")


class StateHome(Protocol):
    """A native program that steps the optimizer and so holds its state."""

    @property
    def batches(self) -> int:
        """Batches that the optimizer was given."""
        ...

    def read_state(self) -> tuple[int, Slots]:
        """Batches that the optimizer was given, and copies of the slots."""
        ...


class CommonButDecay(TypedDict, total=False):
    """The arguments of every optimizer, for those that name the weight decay themselves."""

    clipvalue: float | None
    clipnorm: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    gradient_accumulation_steps: int | None
    learning_rate_factors: Mapping[str, float] | None
    name: str | None


class Common(CommonButDecay, total=False):
    """The arguments of every optimizer."""

    weight_decay: float | None


class Optimizer:
    """Base class: learning rate, weight decay, clipping, state."""

    HYPERPARAMETERS: ClassVar[tuple[str, ...]] = ()
    MOMENTUM: ClassVar[str | None] = None  # the hyper-parameter that a schedule with momentum moves
    kind: ClassVar[str]

    def __init__(self, learning_rate: LearningRate, given: Mapping[str, Any]) -> None:
        where = type(self).__name__
        if "decay" in given:
            raise TypeError(
                f"{where}: there is no argument 'decay' (Keras ignores it). For a rate that falls as "
                f"1 / (1 + decay * step) use learning_rate=schedules.InverseTimeDecay(...)."
            )
        unknown = given.keys() - Common.__annotations__.keys()
        if unknown:
            raise errors.unknown_argument(where, unknown, self._arguments())
        self.pace = self._read_pace(learning_rate)
        clips = {argument: given.get(argument) for argument in CLIPS}
        present = [argument for argument, value in clips.items() if value is not None]
        if len(present) > 1:
            raise ValueError(f"{where}: expected at most one of {', '.join(CLIPS)}, received {' and '.join(present)}")
        self._clips = {
            argument: None if value is None else errors.number(where, argument, value, above=0.0)
            for argument, value in clips.items()
        }
        decay = given.get("weight_decay")
        self.weight_decay = None if decay is None else errors.number(where, "weight_decay", decay, at_least=0.0)
        self._undecayed: frozenset[str] = frozenset()  # paths
        self._undecayed_names: tuple[str, ...] = ()  # regular expressions
        self.use_ema = errors.boolean(where, "use_ema", given.get("use_ema", False))
        momentum = given.get("ema_momentum", 0.99)
        self.ema_momentum = errors.number(where, "ema_momentum", momentum, at_least=0.0, at_most=1.0)
        self.ema_overwrite_frequency = _count(where, "ema_overwrite_frequency", given, at_least=1)
        self.gradient_accumulation_steps = _count(where, "gradient_accumulation_steps", given, at_least=2)
        self.learning_rate_factors = _factors(where, given.get("learning_rate_factors"))
        self.name = given.get("name") or where.lower()
        self._batches = 0
        self._slots: Slots = {}
        self._home: StateHome | None = None
        self.averages_swapped = False  # whether variables and averages have changed places for an evaluation

    @classmethod
    def _arguments(cls) -> list[str]:
        return ["learning_rate", *cls.HYPERPARAMETERS, *Common.__annotations__]

    def _share(self, argument: str, value: float) -> float:
        return errors.number(type(self).__name__, argument, value, at_least=0.0, below=1.0)

    def _momentum(self, value: float) -> float:
        return errors.number(type(self).__name__, "momentum", value, at_least=0.0, at_most=1.0)

    def _epsilon(self, value: float) -> float:
        return errors.number(type(self).__name__, "epsilon", value, at_least=LEAST_EPSILON)

    def _read_pace(self, learning_rate: LearningRate) -> Pace:
        momentum = self.MOMENTUM and (self.MOMENTUM, getattr(self, self.MOMENTUM))
        return Pace(type(self).__name__, learning_rate, momentum or None)

    @property
    def learning_rate(self) -> Rate:
        """The rate of the next step. Assign a number, a schedule or a function to change it.

        As in Keras, a number cannot replace a schedule: it would be gone unnoticed.
        """
        return Rate(self.pace.rate(self.batches), self)

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
    def batches(self) -> int:
        """Batches that were given: what schedules count, as in Keras."""
        return self._batches if self._home is None else self._home.batches

    @property
    def iterations(self) -> int:
        """Steps done: one for each batch, or for so many as gradient_accumulation_steps says."""
        return self.batches // (self.gradient_accumulation_steps or 1)

    def state(self) -> tuple[int, Slots]:
        """Batches that were given, and a copy of every slot by (slot, path of the variable)."""
        if self._home is None:
            return self._batches, self._slots
        batches, slots = self._home.read_state()
        return batches, self._slots | slots  # a variable frozen since keeps the slots it had

    def restore(self, batches: int, slots: Slots) -> None:
        """Replace the state."""
        self._batches, self._slots, self._home = batches, slots, None

    def move_to(self, home: StateHome) -> None:
        """Declare a program that holds a copy of the state its home, because it is about to step."""
        self._home = home

    def leave(self, home: StateHome) -> None:
        """Bring the state back to the host if that program is its home."""
        if self._home is home:
            self.restore(*self.state())

    def fresh(self) -> Optimizer:
        """An optimizer with the same hyper-parameters, before its first step."""
        other = copy.copy(self)
        other.restore(0, {})
        other.averages_swapped = False
        other.pace = other._read_pace(self.pace.source)
        return other

    def lives_in(self, home: StateHome | None) -> bool:
        """Whether that program holds the state; None asks whether it is on the host."""
        return self._home is home

    # averages

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """With use_ema, overwrite these variables by their moving averages, as `fit` does at its end."""
        batches, slots, averaged = self._averaged(var_list)
        if self.averages_swapped:  # the variables have them already
            now = {(AVERAGE, variable.path): variable.numpy() for variable in averaged}
            self.restore(batches, slots | now)
            self.averages_swapped = False
            return
        for variable in averaged:
            variable.assign(slots[AVERAGE, variable.path])

    def swap_averages(self, var_list: Sequence[Variable]) -> None:
        """With use_ema, let these variables and their moving averages change places, and back in the next call."""
        batches, slots, averaged = self._averaged(var_list)
        now = {(AVERAGE, variable.path): variable.numpy() for variable in averaged}
        self.restore(batches, slots | now)
        self.averages_swapped = not self.averages_swapped
        for variable in averaged:
            variable.assign(slots[AVERAGE, variable.path])

    def _averaged(self, var_list: Sequence[Variable]) -> tuple[int, Slots, list[Variable]]:
        """The state, and which of these variables have an average in it."""
        if not self.use_ema:
            return 0, {}, []
        batches, slots = self.state()
        return batches, slots, [variable for variable in var_list if (AVERAGE, variable.path) in slots]

    # weight decay

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Name the variables that weight decay leaves alone; replaces what an earlier call named.

        var_list: variables of the model.
        var_names: strings; a variable is left alone if one of them (a regular expression, as in Keras) is found in its
        name, which is "kernel", "bias", "gamma" or "beta". ["bias", "gamma", "beta"] leaves decay to the kernels.
        """
        where = f"{type(self).__name__}.exclude_from_weight_decay"
        if isinstance(var_names, str):
            raise errors.wrong_type(where, "var_names", "a list of strings", var_names)
        names, paths = tuple(var_names or ()), []
        for name in names:
            try:
                re.compile(name)
            except (re.error, TypeError) as error:
                raise errors.wrong_value(where, "var_names", "regular expressions", name) from error
        for variable in var_list or ():
            if not isinstance(getattr(variable, "path", None), str):
                raise errors.wrong_type(where, "var_list", "variables of a model", variable)
            paths.append(variable.path)
        self._undecayed, self._undecayed_names = frozenset(paths), names

    def excludes(self, variable: Variable) -> bool:
        """Whether `exclude_from_weight_decay` named this variable."""
        named = any(re.search(name, variable.name) for name in self._undecayed_names)
        return named or variable.path in self._undecayed

    def restore_exclusions(self, paths: Iterable[str]) -> None:
        """Leave the variables with these paths alone, as a saved model says."""
        self._undecayed, self._undecayed_names = frozenset(paths), ()

    # description

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same optimizer again."""
        rule = {name: getattr(self, name) for name in self.HYPERPARAMETERS}
        decay = {"weight_decay": self.weight_decay}
        config = {"name": self.name, "learning_rate": self.pace.describe(), **decay, **rule, **self._clips}
        return config | self._extras()

    def _extras(self) -> dict[str, Any]:
        names = ("use_ema", "ema_momentum", "ema_overwrite_frequency", "gradient_accumulation_steps")
        return {name: getattr(self, name) for name in (*names, "learning_rate_factors")}

    def spec(self, variables: Iterable[Variable] = ()) -> dict[str, Any]:
        """The core's description for a model with these variables; the learning rate is given with each call."""
        variables = list(variables)
        spec = {"kind": self.kind, **self._rule(), "weight_decay": self.weight_decay, **self._clips}
        if self.weight_decay is not None:
            spec["undecayed"] = [v.path for v in variables if v.trainable and self.excludes(v)]
        if self.use_ema:
            spec |= {"use_ema": True, "ema_momentum": self.ema_momentum}
            spec["ema_overwrite_frequency"] = self.ema_overwrite_frequency
        if self.gradient_accumulation_steps is not None:
            spec["gradient_accumulation_steps"] = self.gradient_accumulation_steps
        if self.learning_rate_factors is not None:
            spec["learning_rate_factors"] = self.rate_factors(variables)
        return spec

    def _rule(self) -> dict[str, Any]:
        """The rule's hyper-parameters, as the core calls them."""
        return {name: getattr(self, name) for name in self.HYPERPARAMETERS}

    def rate_factors(self, variables: Sequence[Variable]) -> dict[str, float]:
        """The factor of each trainable variable that learning_rate_factors names, by path."""
        found: dict[str, float] = {}
        for key, factor in (self.learning_rate_factors or {}).items():
            named = [v.path for v in variables if v.path.rpartition("/")[0] == key or re.fullmatch(key, v.path)]
            if variables and not named:
                layers = list(dict.fromkeys(v.path.rpartition("/")[0] for v in variables))
                known = [*layers, *(v.path for v in variables)]
                raise errors.unknown_name(type(self).__name__, "learning_rate_factors", key, known)
            found |= dict.fromkeys(named, factor)
        trained = {v.path for v in variables if v.trainable}
        return {path: factor for path, factor in found.items() if path in trained}


def _count(where: str, argument: str, given: Mapping[str, Any], *, at_least: int) -> int | None:
    value = given.get(argument)
    return None if value is None else errors.integer(where, argument, value, at_least=at_least)


def _factors(where: str, given: object) -> dict[str, float] | None:
    if given is None:
        return None
    argument = "learning_rate_factors"
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise errors.wrong_type(where, argument, "a dict from names of layers or variables to numbers", given)
    for key in given:
        try:
            re.compile(key)
        except re.error as error:
            raise errors.wrong_value(where, argument, "names or regular expressions", key) from error
    return {key: errors.number(where, f"{argument}[{key!r}]", value, at_least=0.0) for key, value in given.items()}
