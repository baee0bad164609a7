"""A parser that complains in one line, and the types of arguments."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ..errors import nearest

Commands = Any  # argparse names the type of `add_subparsers` privately


def add_command(commands: Commands, name: str, **texts: Any) -> argparse.ArgumentParser:
    """A parser for a command; its texts are printed as they are written."""
    raw = argparse.RawDescriptionHelpFormatter
    made: argparse.ArgumentParser = commands.add_parser(name, formatter_class=raw, allow_abbrev=False, **texts)
    return made


class Parser(argparse.ArgumentParser):
    """Complains in one line, as all commands do, and leaves the usage to --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A command answers for what it does not know itself, instead of leaving it to `evenflow`."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = {
                option.lstrip("-").replace("-", "_"): option for a in self._actions for option in a.option_strings
            }
            close = nearest(unknown[0].split("=")[0].lstrip("-").replace("-", "_"), options)
            hint = f". Did you mean {options[close]}?" if close and unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return namespace, unknown


def whole(text: str, at_least: int) -> int:
    """A whole number of at least so much."""
    try:
        value = int(text)
    except ValueError:
        value = at_least - 1
    if value < at_least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {at_least}, received {text!r}")
    return value


def positive(text: str) -> int:
    """A whole number from 1."""
    return whole(text, 1)


def natural(text: str) -> int:
    """A whole number from 0."""
    return whole(text, 0)


def several(text: str) -> int:
    """A whole number from 2."""
    return whole(text, 2)


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to below 1, received {text!r}")
    return value


def units(text: str) -> tuple[int, ...]:
    """Whole numbers by comma, or "none"."""
    return () if text == "none" else tuple(positive(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Names by comma."""
    return tuple(name.strip() for name in text.split(","))
