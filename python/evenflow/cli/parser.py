"""All commands of `evenflow`, and its help."""

from __future__ import annotations

import argparse
from typing import Any

from . import check, evaluate, info, predict, show, train
from .parsing import Parser

DESCRIPTION = "Train deep dense networks, fast and stably, on the processor you have."
EXAMPLES = """\
examples:
  evenflow train                              the chapter's network on Fashion-MNIST, or on scikit-learn's digits
  evenflow train --layers 100,100,100 --activation selu --kernel-initializer lecun_normal --no-batch-norm
  evenflow train --optimizer sgd --learning-rate 0.01 --momentum 0.9 --epochs 20
  evenflow train --data houses.csv --target price --layers 64,64
  evenflow predict runs/houses new.csv        what that network makes of new rows
  evenflow show runs/houses                   its layers, and how it runs
  evenflow check --layers 100,100 --activation selu --no-batch-norm
                                              what is likely to go wrong with a network, and why
  evenflow info                               what this machine and this installation offer
  evenflow bench                              how fast that is, beside the peers that are installed
"""
COMMANDS = (train, check, predict, evaluate, show, info)  # each adds its parser, and itself as what runs


def parser() -> argparse.ArgumentParser:
    """The parser of all commands but bench, which reads its own arguments."""
    raw = argparse.RawDescriptionHelpFormatter
    top = Parser(prog="evenflow", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=raw, allow_abbrev=False)
    top.add_argument(
        "--version", action=_Version, nargs=0, default=argparse.SUPPRESS, help="print the version and exit"
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    commands.add_parser("bench", help="measure the speed, beside the peers that are installed", add_help=False)
    return top


class _Version(argparse.Action):
    """Asks for the version only when someone wants to know it: that loads the native core."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from .. import __version__

        print(f"evenflow {__version__}")
        parser.exit()
