"""From a name, an object or its serialized form to the object: the same rules for initializers, losses, metrics,
optimizers, layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from .. import errors
from .naming import snake_case


class Describable(Protocol):
    """Anything that can tell the arguments that make it again."""

    def get_config(self) -> dict[str, Any]:
        """These arguments, as plain data."""
        ...


T = TypeVar("T", bound=Describable)


class Registry(Generic[T]):
    """The classes of one kind by name, and what else names them.

    Only classes listed here are ever made from a file: a name is looked up, never imported.
    """

    def __init__(self, base: type[T], classes: Iterable[type[T]], aliases: Mapping[str, type[T]], example: str) -> None:
        self.base = base
        self.classes = {registered_name(cls): cls for cls in classes}
        snakes = {snake_case(name): cls for name, cls in self.classes.items()}
        spelt = {name: cls for name, cls in snakes.items() if name.replace("_", "") not in aliases}  # not "adam_w"
        self.names = spelt | dict(aliases)
        self.example = example

    def find(self, where: str, argument: str, name: str) -> type[T]:
        """The class of a name in either spelling ("HeNormal", "he_normal")."""
        cls = self.classes.get(name) or self.names.get(name)
        if cls is None:
            raise errors.unknown_name(where, argument, name, self.names)
        return cls

    def make(self, where: str, argument: str, identifier: object) -> T:
        """An object as it is, or a new one from a name or from `describe`'s data."""
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, str):
            return self.find(where, argument, identifier)()
        if isinstance(identifier, Mapping) and set(identifier) == {"class_name", "config"}:
            name, config = identifier["class_name"], identifier["config"]
            if name not in self.classes or not isinstance(config, Mapping):
                raise errors.unknown_name(where, argument, name, self.classes)
            found = self.classes[name]
            return getattr(found, "from_config", lambda given: found(**given))(dict(config))
        raise errors.wrong_type(where, argument, f"a name or an object such as {self.example}", identifier)


def registered_name(cls: type[Describable]) -> str:
    """What a class is called in `describe`'s data: its name, unless another door has a class of that name."""
    name: str = getattr(cls, "REGISTERED", cls.__name__)
    return name


def describe(thing: Describable) -> dict[str, Any]:
    """Plain data from which `Registry.make` makes an equal object."""
    return {"class_name": registered_name(type(thing)), "config": thing.get_config()}
