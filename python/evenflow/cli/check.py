"""`evenflow check`: what is likely to go wrong with a network, before it is trained."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import train, train_arguments
from .exits import DONE, FAILED
from .network import network, recipe
from .parsing import Commands, add_command

if TYPE_CHECKING:
    from ..models.model import Model

DESCRIPTION = """\
Look through a network for what is likely to go wrong in training, and say why: initializers that do not fit the
activation, SELU without its conditions, biases before batch normalization, outputs that do not fit the loss, inputs of
a wrong scale, and more. It looks at the network that 'evenflow train' would train on its data with the same options, or
at a saved model.
"""
EXAMPLES = """\
examples:
  evenflow check --layers 100,100,100 --activation selu --no-batch-norm
  evenflow check --data houses.csv --target price --layers 64,64
  evenflow check runs/digits-20260101-120000/model.safetensors

exit status: 0 nothing found, 1 something found (or a file that cannot be read), 2 wrong command line
"""


def add(commands: Commands) -> None:
    """Add the command."""
    check = add_command(
        commands,
        "check",
        help="look for what is likely to go wrong with a network",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    check.add_argument("model", nargs="?", metavar="MODEL", help="a file that train, or model.save, wrote")
    train_arguments.add_options(check)
    check.set_defaults(run=run)


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Print the findings."""
    model, x = _subject(options)
    findings = model.check(x)
    for finding in findings:
        print(finding)
    if not findings:
        print("Nothing found.")
    return FAILED if findings else DONE


def _subject(options: argparse.Namespace) -> tuple[Model, Any]:
    """A network, and what it is given."""
    if options.model is not None:
        from ..models import load_model

        return load_model(options.model), None
    train_arguments.settle(options)
    dataset = train.read_dataset(options)
    if options.recipe is not None:
        return recipe(options, dataset).model, dataset.x_train
    return network(options, dataset), dataset.x_train
