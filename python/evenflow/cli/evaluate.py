"""`evenflow evaluate`: the scores of a saved model on other data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from .exits import DONE
from .parsing import Commands
from .saved import DATA_HELP, add_model_command, open_model, scores, text_of

EXAMPLES = """\
examples:
  evenflow evaluate runs/houses houses-2026.csv
  evenflow evaluate runs/mnist mnist/ --json
"""


def add(commands: Commands) -> None:
    """Add the command."""
    evaluate = add_model_command(
        commands,
        "evaluate",
        "a CSV with the target column, or a folder of IDX files (their test images and labels)",
        help="score a saved model on other data",
        description="Score a saved model on other data: loss and metrics; for a table's regression RMSE, MAE and R2\n"
        "in the units of the target column.\n\n" + DATA_HELP,
        epilog=EXAMPLES,
    )
    evaluate.add_argument("--json", action="store_true", help="as JSON")
    evaluate.set_defaults(run=run)


def run(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Score, and print."""
    saved = open_model(options.model)
    if saved.model.loss is None:
        raise ValueError(f"{saved.path}: the model was saved without a loss, so there is nothing to score by")
    x, y = saved.pairs(Path(options.data))
    found = scores(saved.model, x, y, saved.encoding, options.threads)
    print(json.dumps({**found, "rows": len(x)}) if options.json else f"{len(x):,} rows: {text_of(found)}")
    return DONE
