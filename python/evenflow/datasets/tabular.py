"""CSV tables as data sets."""

from __future__ import annotations

import os
from pathlib import Path

from ..tables import encode_table, read_table
from .base import Dataset, split_rows


def load_csv(
    path: str | os.PathLike[str],
    target: str,
    *,
    task: str | None = None,
    ignore: tuple[str, ...] = (),
    test_fraction: float = 0.2,
) -> Dataset:
    """A CSV table (first line: column names) with one target column.

    Numeric columns are standardized with the mean and standard deviation of the training rows; the others are
    categorical and become one column of 0 and 1 per level. A target of text, or of few different whole numbers, makes
    it classification, any other number regression (then the target is standardized too); `task` overrides that. The
    last `test_fraction` of the rows, in a fixed shuffled order, are for testing.

    Raises ValueError, with the file and the column or the line, for missing values, ragged lines, and columns that
    look like identifiers; `ignore` leaves columns out.
    """
    source = Path(path)
    table = read_table(source)
    train, test = split_rows(table.rows, test_fraction, str(source))
    encoding, x, y = encode_table(table, target, task=task, ignore=ignore, training_rows=train)
    return Dataset(
        source.name.split(".")[0],
        str(source.resolve()),
        encoding.task,
        x[train],
        y[train],
        x[test],
        y[test],
        classes=encoding.target.levels,
        encoding=encoding,
    )
