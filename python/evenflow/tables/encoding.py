"""CSV tables as arrays: reading, and an encoding of columns as numbers that is plain data and can be applied again."""

from __future__ import annotations

import csv
import gzip
import math
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors

TASKS = ("classification", "regression")
# How the usual programs write "no value" (compared without case).
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
# A target of at most this many different whole numbers is taken for class labels.
MOST_NUMBERED_CLASSES = 20
# A text column with more levels than this, or with more than half as many levels as rows, is an identifier.
MOST_LEVELS = 1000
FEW_LEVELS = 20


@dataclass(frozen=True)
class Table:
    """The texts of a CSV, by column. Line i of the data stands on line `lines[i]` of the file."""

    path: Path
    columns: Mapping[str, list[str]]
    lines: list[int]

    @property
    def rows(self) -> int:
        """The number of data lines."""
        return len(self.lines)


@dataclass(frozen=True)
class Column:
    """One column: numeric, (value - mean) / scale, or categorical, one 0/1 feature per level."""

    name: str
    levels: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class TableEncoding:
    """How a table became numbers: fitted on training rows, kept in run.json, applied to new rows."""

    columns: tuple[Column, ...]
    target: Column
    task: str

    @property
    def features(self) -> list[str]:
        """The name of each input feature: "age", "city=Paris", "city=Rome"."""
        return [f"{c.name}={level}" if level else c.name for c in self.columns for level in c.levels or ("",)]

    def read_csv(self, path: str | os.PathLike[str]) -> NDArray[np.float32]:
        """The rows of another CSV with the same columns, as inputs [rows, features] for the network."""
        return self._inputs(self._read(path, self.columns))

    def read_pairs(self, path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Inputs and targets of another CSV with the same columns: class numbers, or standardized values [rows]."""
        table = self._read(path, (*self.columns, self.target))
        if self.task == "classification":
            return self._inputs(table), _codes(table, self.target)
        values = (_numbers(table, self.target.name) - self.target.mean) / self.target.scale
        return self._inputs(table), values.astype(np.float32)

    @staticmethod
    def _read(path: str | os.PathLike[str], columns: Sequence[Column]) -> Table:
        table = read_table(Path(path))
        names = [column.name for column in columns]
        _require_columns(table, "column", names)
        _refuse_missing(table, names)
        return table

    def decode(self, prediction: NDArray[Any]) -> NDArray[Any]:
        """The network's output [rows, units] in the terms of the target column: class names, or values."""
        if self.task == "classification":
            return np.array([self.target.levels[label] for label in prediction.argmax(axis=1)])
        values: NDArray[np.float64] = prediction.reshape(-1).astype(np.float64)
        return values * self.target.scale + self.target.mean

    def to_json(self) -> dict[str, Any]:
        """Plain data for `from_json`."""
        return {
            "task": self.task,
            "columns": [_column_to_json(column) for column in self.columns],
            "target": _column_to_json(self.target),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TableEncoding:
        """The inverse of `to_json`: `TableEncoding.from_json(json.load(file)["data"]["encoding"])`."""
        return cls(
            tuple(_column_from_json(c) for c in data["columns"]), _column_from_json(data["target"]), data["task"]
        )

    def _inputs(self, table: Table) -> NDArray[np.float32]:
        x = np.empty((table.rows, len(self.features)), np.float32)
        at = 0
        for column in self.columns:
            width = len(column.levels) or 1
            if column.levels:
                x[:, at : at + width] = np.eye(width, dtype=np.float32)[_codes(table, column)]
            else:
                x[:, at] = (_numbers(table, column.name) - column.mean) / column.scale
            at += width
        return x


def read_table(path: Path) -> Table:
    """Read a CSV (.gz too), separated by comma, semicolon or tab; UTF-8; the first line names the columns."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="") as stream
        ):
            first = stream.readline()
            delimiter = max(",;\t", key=first.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(reader, [])]
            check_header(path, names)
            rows, lines = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(names):
                    raise ValueError(
                        f"{path}: line {reader.line_num} has {len(row)} fields, the header names {len(names)} columns"
                    )
                rows.append(row)
                lines.append(reader.line_num)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason} at byte {error.start})") from error
    except (csv.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a readable CSV: {error}") from error
    if not rows:
        raise ValueError(f"{path}: no rows below the header")
    return Table(path, {name: [row[i].strip() for row in rows] for i, name in enumerate(names)}, lines)


def encode_table(
    table: Table, target: str, *, task: str | None, ignore: Sequence[str], training_rows: NDArray[np.intp]
) -> tuple[TableEncoding, NDArray[np.float32], NDArray[Any]]:
    """Fit an encoding (statistics from the training rows, levels from all) and apply it: inputs and targets."""
    if task not in (None, *TASKS):
        raise errors.unknown_name(str(table.path), "task", task, TASKS)
    _require_columns(table, "target", [target])
    _require_columns(table, "ignore", ignore)
    inputs = [name for name in table.columns if name != target and name not in ignore]
    if not inputs:
        raise ValueError(f"{table.path}: no input column is left beside the target {target!r}")
    _refuse_missing(table, [*inputs, target])
    columns = tuple(_fit_column(table, name, training_rows) for name in inputs)
    task = task or _guess_task(table, target)
    if task == "classification":
        encoding = TableEncoding(columns, Column(target, _class_levels(table, target)), task)
        y: NDArray[Any] = _codes(table, encoding.target)
    else:
        values = _numbers(table, target)
        encoding = TableEncoding(columns, _standardization(target, values[training_rows]), task)
        y = ((values - encoding.target.mean) / encoding.target.scale).astype(np.float32)
    return encoding, encoding._inputs(table), y


def check_header(path: Path, names: list[str]) -> None:
    """Raise where the first line does not name the columns."""
    if not any(names):
        raise ValueError(f"{path}: empty file; the first line must name the columns")
    if all(is_number(name) for name in names):
        raise ValueError(f"{path}: the first line must name the columns, but it holds numbers ({', '.join(names[:4])})")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{path}: the header names {repeated[0]!r} more than once")


def _require_columns(table: Table, argument: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise errors.unknown_name(str(table.path), argument, name, table.columns)


def _refuse_missing(table: Table, names: Sequence[str]) -> None:
    counts = {name: sum(text.lower() in MISSING for text in table.columns[name]) for name in names}
    absent = {name: count for name, count in counts.items() if count}
    if absent:
        raise ValueError(f"{table.path}: {missing_text(absent, len(names), table.rows)} (--ignore {','.join(absent)})")


def missing_text(absent: Mapping[str, int], columns: int, rows: int) -> str:
    """Which columns lack how many values, and what to do about it."""
    return (
        f"missing values in {len(absent)} of {columns} columns, {rows:,} rows: "
        + ", ".join(f"{name} {count:,}" for name, count in absent.items())
        + ". evenflow does not guess them: fill them in (with the column's median, say), remove those rows, "
        "or leave the columns out"
    )


def _guess_task(table: Table, name: str) -> str:
    texts = set(table.columns[name])
    if not all(is_number(text) for text in texts):
        return "classification"
    values = {float(text) for text in texts}
    labels = all(value.is_integer() for value in values) and len(values) <= min(MOST_NUMBERED_CLASSES, table.rows / 2)
    return "classification" if labels else "regression"


def _class_levels(table: Table, name: str) -> tuple[str, ...]:
    texts = set(table.columns[name])
    levels = sorted(texts)
    if all(is_number(text) for text in texts):
        levels.sort(key=float)
        for first, second in pairwise(levels):
            if float(first) == float(second):
                raise ValueError(
                    f"{table.path}: target {name!r} writes one class in two ways ({first!r} and {second!r}); use one"
                )
    if len(levels) < 2:
        raise ValueError(f"{table.path}: target {name!r} has one class only ({levels[0]!r}); at least two are needed")
    if len(levels) > MOST_LEVELS:
        raise ValueError(
            f"{table.path}: target {name!r} has {len(levels):,} classes, at most {MOST_LEVELS:,} are accepted; "
            "for regression every value must be a number"
        )
    return tuple(levels)


def _fit_column(table: Table, name: str, training_rows: NDArray[np.intp]) -> Column:
    texts = table.columns[name]
    odd = next((i for i, text in enumerate(texts) if not is_number(text)), None)
    if odd is None:
        return _standardization(name, _numbers(table, name)[training_rows])
    levels = sorted(set(texts))
    if len(levels) > min(MOST_LEVELS, max(FEW_LEVELS, table.rows / 2)):
        raise ValueError(
            f"{table.path}: column {name!r} has {len(levels):,} different texts in {table.rows:,} rows, too many for "
            f"a categorical column, and is not numeric ({texts[odd]!r} on line {table.lines[odd]}); "
            f"mend it, or leave it out (--ignore {name})"
        )
    return Column(name, tuple(levels))


def _standardization(name: str, values: NDArray[np.float64]) -> Column:
    deviation = float(values.std())
    return Column(name, mean=float(values.mean()), scale=deviation if deviation > 0 else 1.0)


def _codes(table: Table, column: Column) -> NDArray[np.int64]:
    number = {level: i for i, level in enumerate(column.levels)}
    texts = table.columns[column.name]
    try:
        return np.array([number[text] for text in texts], np.int64)
    except KeyError as error:
        at = texts.index(error.args[0])
        raise ValueError(
            f"{table.path}: column {column.name!r} has {texts[at]!r} on line {table.lines[at]}, "
            f"which is not one of its {len(column.levels)} levels ({', '.join(column.levels[:5])}, ...)"
        ) from error


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    texts = table.columns[name]
    values = np.empty(table.rows)
    for i, text in enumerate(texts):
        try:
            values[i] = float(text)
        except ValueError:
            values[i] = math.nan
        if not math.isfinite(values[i]):
            raise ValueError(
                f"{table.path}: column {name!r} must hold finite numbers, got {text!r} on line {table.lines[i]}"
            )
    return values


def is_number(text: str) -> bool:
    """Whether a text is one for Python."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _column_to_json(column: Column) -> dict[str, Any]:
    if column.levels:
        return {"name": column.name, "levels": list(column.levels)}
    return {"name": column.name, "mean": column.mean, "scale": column.scale}


def _column_from_json(data: Mapping[str, Any]) -> Column:
    return Column(data["name"], tuple(data.get("levels", ())), data.get("mean", 0.0), data.get("scale", 1.0))
