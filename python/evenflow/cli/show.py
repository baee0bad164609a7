"""`evenflow show`: what is in the file of a model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .exits import DONE
from .parsing import Commands, add_command
from .saved import open_model

EXAMPLES = """\
examples:
  evenflow show runs/houses
  evenflow show best.safetensors --no-plan
"""


def add(commands: Commands) -> None:
    """Add the command."""
    show = add_command(
        commands,
        "show",
        help="print what a saved model consists of",
        description="Print the layers of a saved model, how it was trained, and the plan by which the core runs it.",
        epilog=EXAMPLES,
    )
    show.add_argument("model", metavar="MODEL", help="the folder of a run, a model.safetensors or an ONNX file")
    show.add_argument("--no-plan", action="store_true", help="leave the plan out")
    show.set_defaults(run=run)


def run(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print summary, training and plan."""
    saved = open_model(options.model)
    model, optimizer = saved.model, saved.model.optimizer
    model.summary(print_fn=print)
    if optimizer is not None and model.loss is not None:
        rate = float(optimizer.learning_rate)
        print(
            f"Trained by {type(optimizer).__name__}, learning rate {rate:g}, for {optimizer.iterations:,} steps, "
            f"{model.position.epoch} epochs; loss {model.loss.name}"
        )
    if saved.encoding is not None:
        names = ", ".join(column.name for column in saved.encoding.columns)
        print(f"Predicts {saved.encoding.target.name!r} ({saved.encoding.task}) from {names}")
    if saved.classes:
        print(f"Classes: {', '.join(saved.classes)}")
    if not options.no_plan:
        print(f"\n{model.plan()}")
    return DONE
