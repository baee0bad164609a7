"""Columns of record batches as numbers, and what must be known of whole files for that: levels, classes, rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from .encoding import FEW_LEVELS, MOST_LEVELS, MOST_NUMBERED_CLASSES, TASKS, Column, TableEncoding, missing_text
from .files import CsvFiles, NotNumbersError, ParquetFiles, Part, pyarrow

Array = NDArray[Any]
Files = ParquetFiles | CsvFiles


def numbers(column: Any) -> Array:
    """An Arrow column of numbers or truth values; what is missing becomes NaN."""
    arrow, types = pyarrow(), pyarrow("types")
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (types.is_integer(column.type) or types.is_floating(column.type)):
        column = column.cast(arrow.float64())
    values: Array = column.to_numpy(zero_copy_only=False)
    return values


def texts(column: Any) -> Any:
    """An Arrow column as one of texts, without spaces around them."""
    arrow = pyarrow()
    if pyarrow("types").is_dictionary(column.type):
        column = column.dictionary_decode()
    return pyarrow("compute").utf8_trim_whitespace(column.cast(arrow.string()))


class Levels:
    """The texts of a column, seen piece by piece."""

    def __init__(self, where: str, name: str) -> None:
        self.where, self.name = where, name
        self.found: set[str] = set()

    def add(self, column: Any) -> None:
        """See some more."""
        self.found.update(text for text in texts(column).unique().to_pylist() if text is not None)
        if len(self.found) > MOST_LEVELS:
            raise ValueError(
                f"{self.where}: column {self.name!r} has more than {MOST_LEVELS:,} different texts, too many for a "
                f"categorical column: leave it out (ignore=[{self.name!r}])"
            )

    def check(self, rows: int) -> None:
        """Raise for what cannot be categories, in so many rows."""
        if len(self.found) > max(FEW_LEVELS, rows / 2):
            raise ValueError(
                f"{self.where}: column {self.name!r} has {len(self.found):,} different texts in {rows:,} rows, too "
                f"many for a categorical column: leave it out (ignore=[{self.name!r}])"
            )


class Classes:
    """The different whole numbers of a column, seen piece by piece; None once there are too many, or others."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.found: set[int] | None = set()

    def add(self, column: Any) -> None:
        """See some more."""
        if self.found is None:
            return
        values = np.unique(numbers(column))
        values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        whole = bool((values == np.floor(values)).all())
        self.found = self.found | {int(value) for value in values} if whole else None
        if self.found is not None and len(self.found) > self.most:
            self.found = None


def scan(
    where: str, files: Files, inputs: Sequence[str], target: str | None, task: str | None
) -> tuple[TableEncoding, int]:
    """The encoding of these columns, and how many rows there are.

    Raises ValueError where values are missing: how many, in which columns.
    """
    if task not in (None, *TASKS):
        raise errors.unknown_name(where, "task", task, TASKS)
    while True:
        try:
            return _scan(where, files, inputs, target, task)
        except NotNumbersError as error:
            files.kinds |= dict.fromkeys(error.names, "text")


def _scan(
    where: str, files: Files, inputs: Sequence[str], target: str | None, task: str | None
) -> tuple[TableEncoding, int]:
    names = [*inputs, *([] if target is None else [target])]
    counted = {name: files.nulls(name) for name in names}
    levels = {name: Levels(where, name) for name in names if files.kinds[name] == "text"}
    labels = target is not None and target not in levels and task != "regression"
    classes = Classes(MOST_LEVELS if task else MOST_NUMBERED_CLASSES)
    missing = {name: count or 0 for name, count in counted.items()}
    read = [name for name in names if counted[name] is None or name in levels or (labels and name == target)]
    rows = files.rows()
    if read:
        rows = 0
        for part in files.parts:
            for piece in files.pieces(part, read):
                rows += piece.num_rows
                for name in read:
                    column = piece.column(name)
                    if counted[name] is None:
                        absent = column.is_null() if name in levels else np.isnan(numbers(column))
                        missing[name] += int(np.count_nonzero(absent))
                    if name in levels:
                        levels[name].add(column)
                    elif name == target and labels:
                        classes.add(column)
    if not rows:
        raise ValueError(f"{where}: {files.parts[0].path if files.parts else 'the file'}: no rows")
    if any(missing.values()):
        found = {name: count for name, count in missing.items() if count}
        raise ValueError(f"{where}: {missing_text(found, len(names), rows)} (ignore={list(found)})")
    for each in levels.values():
        each.check(rows)
    columns = tuple(Column(name, tuple(sorted(levels[name].found)) if name in levels else ()) for name in inputs)
    if target is None:
        return TableEncoding(columns, Column(""), "regression"), rows
    if target in levels:
        if task == "regression":
            raise ValueError(f"{where}: target {target!r} holds texts, regression needs numbers")
        found_classes = tuple(sorted(levels[target].found))
    else:
        few = classes.found is not None and (task or len(classes.found) <= rows / 2)
        found_classes = tuple(map(str, sorted(classes.found or ()))) if labels and few else ()
        if task == "classification" and not found_classes:
            raise ValueError(
                f"{where}: target {target!r}: expected at most {MOST_LEVELS:,} different whole numbers or texts for "
                f"classification, received others"
            )
    if len(found_classes) == 1:
        raise ValueError(
            f"{where}: target {target!r} has one class only ({found_classes[0]!r}); at least two are needed"
        )
    return TableEncoding(
        columns, Column(target, found_classes), "classification" if found_classes else "regression"
    ), rows


def count_rows(files: Files) -> int:
    """How many rows there are."""
    rows = files.rows()
    if rows is not None:
        return rows
    first = next(iter(files.kinds))
    files.kinds[first] = "text"
    return sum(piece.num_rows for part in files.parts for piece in files.pieces(part, [first]))


class Coder:
    """Values of a column of texts or whole numbers as numbers of its levels."""

    def __init__(self, where: str, column: Column, kind: str) -> None:
        self.where, self.column, self.kind = where, column, kind
        self._levels = pyarrow().array(list(column.levels), pyarrow().string())
        if kind == "number":
            self._values = np.array([float(level) for level in column.levels])

    def codes(self, part: Part, column: Any) -> NDArray[np.int64]:
        """The number of each value's level."""
        if self.kind == "number":
            values = numbers(column)
            found = np.minimum(np.searchsorted(self._values, values), len(self._values) - 1)
            unknown = np.flatnonzero(self._values[found] != values)
            given = values[unknown[0]] if len(unknown) else None
        else:
            listed = texts(column)
            found = pyarrow("compute").index_in(listed, value_set=self._levels).fill_null(-1).to_numpy()
            unknown = np.flatnonzero(found < 0)
            given = listed[int(unknown[0])].as_py() if len(unknown) else None
        if len(unknown):
            levels = self.column.levels
            shown = ", ".join(levels[:5]) + (", ..." if len(levels) > 5 else "")
            what = "lacks a value" if given is None else f"has {given!r}"
            raise ValueError(
                f"{self.where}: {part.path}: column {self.column.name!r} {what}, which is not one of its "
                f"{len(levels)} levels ({shown})"
            )
        return found.astype(np.int64)
