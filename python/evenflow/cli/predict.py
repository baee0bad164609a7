"""`evenflow predict`: what a saved model makes of new rows."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from .exits import DONE, UsageError
from .parsing import Commands
from .saved import DATA_HELP, Saved, add_model_command, open_model

EXAMPLES = """\
examples:
  evenflow predict runs/houses new.csv                    a column of predictions on standard output
  evenflow predict runs/weather new.csv --probabilities --out predictions.csv
  evenflow predict runs/mnist t10k-images-idx3-ubyte.gz --out outputs.npy

A CSV gets the predicted class, by name, or the value in the units of the target column, and with --probabilities the
model's output for each class; .npy gets the model's outputs as they are, [rows, outputs].
"""


def add(commands: Commands) -> None:
    """Add the command."""
    predict = add_model_command(
        commands,
        "predict",
        "a CSV, an IDX file (.gz too), a folder of IDX files (their test images), or a .npy [rows, ...]",
        help="predict new rows with a saved model",
        description="Predict new rows with a saved model.\n\n" + DATA_HELP,
        epilog=EXAMPLES,
    )
    predict.add_argument("--out", metavar="FILE", help="a .csv or .npy (CSV on standard output); not overwritten")
    predict.add_argument("--probabilities", action="store_true", help="a column for each class too")
    predict.set_defaults(run=run)


def run(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Predict, and write."""
    out = None if options.out is None else Path(options.out)
    if out is not None and out.suffix not in (".csv", ".npy"):
        raise UsageError(f"--out {out}: expected a name that ends in .csv or .npy")
    if out is not None and out.exists():
        raise UsageError(f"--out {out}: exists, and is not overwritten: choose another name")
    saved = open_model(options.model)
    outputs = saved.model.predict(saved.inputs(Path(options.data)), threads=options.threads)
    if out is not None and out.suffix == ".npy":
        with out.open("xb") as file:
            np.save(file, outputs, allow_pickle=False)
        return DONE
    columns = _columns(saved, outputs, probabilities=options.probabilities)
    if out is None:
        _write(sys.stdout, columns)
    else:
        with out.open("x", newline="", encoding="utf-8") as stream:
            _write(stream, columns)
    return DONE


def _columns(saved: Saved, outputs: NDArray[Any], *, probabilities: bool) -> dict[str, NDArray[Any]]:
    classes = saved.classes if len(saved.classes) == outputs.shape[1] else ()
    if probabilities and not classes:
        raise UsageError("--probabilities: the model has no classes that run.json beside it names")
    target = "prediction" if saved.encoding is None else saved.encoding.target.name
    if saved.encoding is not None:
        found = {target: saved.encoding.decode(outputs)}
    elif classes:
        found = {target: np.array(classes)[outputs.argmax(axis=1)]}
    elif outputs.shape[1] == 1:
        found = {target: outputs[:, 0]}
    else:
        found = {f"output_{i}": outputs[:, i] for i in range(outputs.shape[1])}
    named = {f"{target}={name}": outputs[:, i] for i, name in enumerate(classes)} if probabilities else {}
    return found | named


def _write(stream: TextIO, columns: dict[str, NDArray[Any]]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
