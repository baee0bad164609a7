"""Models that were saved, and what new data are to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .exits import UsageError
from .parsing import Commands, add_command, positive

if TYPE_CHECKING:
    import argparse

    from ..models.model import Model
    from ..tables import TableEncoding
    from ..tables.encoding import Table

TABLES = (".csv", ".tsv", ".txt")
DATA_HELP = """\
MODEL is the folder of a run, a model.safetensors, or an ONNX file. What 'evenflow train' noted beside it in run.json
(categories, means and deviations of a table's columns, names of classes) is used for the new data, as in training: a
table must have the same columns, in any order, without missing values.
"""


def add_model_command(commands: Commands, name: str, data: str, **texts: str) -> argparse.ArgumentParser:
    """A command about a model and data."""
    made = add_command(commands, name, **texts)
    made.add_argument("model", metavar="MODEL", help="the folder of a run, a model.safetensors or an ONNX file")
    made.add_argument("data", metavar="DATA", help=data)
    made.add_argument("--threads", type=positive, metavar="N", help="threads to use (as many as are fastest)")
    return made


@dataclass(frozen=True)
class Saved:
    """A model, and how its run described its data."""

    path: Path
    model: Model
    encoding: TableEncoding | None = None
    classes: tuple[str, ...] = ()

    def inputs(self, data: Path) -> Any:
        """The rows of a table, of an array, or of the test images of an IDX folder."""
        from ..datasets import load_idx, read_idx

        if data.is_dir():
            return load_idx(data).x_test
        if is_table(data):
            return self._columns(data) if self.encoding is None else self.encoding.read_csv(data)
        if data.suffix == ".npy":
            return read_array(data)
        return read_idx(data)

    def pairs(self, data: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        """Inputs and targets of a table, or of the test images of an IDX folder."""
        from ..datasets import load_idx

        if data.is_dir():
            dataset = load_idx(data)
            return dataset.x_test, dataset.y_test
        if not is_table(data):
            raise UsageError(f"DATA {data}: expected a CSV, or a folder of IDX files (test images and labels)")
        if self.encoding is None:
            raise UsageError(
                f"DATA {data}: {self.path.parent} has no run.json that tells what the columns are: "
                "give the folder of a run of 'evenflow train --data FILE.csv'"
            )
        return self.encoding.read_pairs(data)

    def _columns(self, data: Path) -> Any:
        """A table of what the model takes: its columns in the order in which it was trained; or, where there are
        several inputs of one value each, the columns of their names."""
        from ..models.functional import Functional
        from ..tables import read_table

        table, words = read_table(data), self.model.word_inputs()
        if isinstance(self.model, Functional) and len(self.model.inputs) > 1:
            inputs = self.model.inputs
            wide = [value.name for value in inputs if value.row_shape != (1,)]
            if wide:
                raise UsageError(
                    f"DATA {data}: input {wide[0]!r} of the model has more values than a column: give a .npy"
                )
            return {v.name: self._stacked(data, table, [v.name], words=i in words) for i, v in enumerate(inputs)}
        return self._stacked(data, table, self.model.feature_names or tuple(table.columns), words=0 in words)

    def _stacked(self, data: Path, table: Table, names: Sequence[str], *, words: bool) -> NDArray[Any]:
        """Columns of a table side by side, as words or as numbers."""
        absent = [name for name in names if name not in table.columns]
        if absent:
            raise ValueError(f"{data}: the model was trained on a column {absent[0]!r}, which is not there")
        try:
            return np.stack([np.array(table.columns[name], object if words else float) for name in names], axis=1)
        except ValueError as error:
            raise ValueError(
                f"{data}: {error}: {self.path.parent} has no run.json that tells what texts are, so all must be numbers"
            ) from error


def is_table(data: Path) -> bool:
    """Whether the name is one of a table, compressed or not."""
    return (Path(data.stem) if data.suffix == ".gz" else data).suffix.lower() in TABLES


def read_array(data: Path) -> NDArray[Any]:
    """The array of a .npy file."""
    try:
        found: NDArray[Any] = np.load(data, allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise ValueError(f"{data}: not an array of numbers in NumPy's format: {error}") from error
    return found


def open_model(text: str) -> Saved:
    """The model of a run folder or of a file, with what run.json beside it says."""
    from ..models import load_model
    from ..onnx import load as load_onnx
    from ..tables import TableEncoding

    path = Path(text)
    if path.is_dir():
        path /= "model.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{text}: no model.safetensors there: not the folder of a run that ended")
    model = load_onnx(path) if path.suffix == ".onnx" else load_model(path)
    record = path.parent / "run.json"
    if not record.is_file():
        return Saved(path, model)
    try:
        described = json.loads(record.read_text(encoding="utf-8"))["data"]
        encoding = described["encoding"] and TableEncoding.from_json(described["encoding"])
        return Saved(path, model, encoding or None, tuple(described["classes"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{record}: not what 'evenflow train' writes: {type(error).__name__} {error}") from error


def scores(
    model: Model, x: NDArray[Any], y: NDArray[Any], encoding: TableEncoding | None, threads: int | None
) -> dict[str, float]:
    """Loss and metrics; for regression of a table in the units of the target column."""
    if encoding is None or encoding.task == "classification":
        found: dict[str, float] = model.evaluate(x, y, verbose=0, return_dict=True, threads=threads)
        return found
    target = encoding.decode(y[:, None])
    error = encoding.decode(model.predict(x, threads=threads)) - target
    squared, variance = float(np.mean(error**2)), float(np.var(target))
    test = {"rmse": squared**0.5, "mae": float(np.mean(np.abs(error)))}
    return {**test, "r2": 1 - squared / variance} if variance > 0 else test


def text_of(scores: dict[str, Any]) -> str:
    """Scores in a line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if np.ndim(value) == 0)
