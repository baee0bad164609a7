"""Tables of pandas and Polars: their columns as numbers, and the names that a model remembers. Neither is imported."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors

Array = NDArray[Any]

NUMBERS = "fiub"  # kinds of dtypes


def is_frame(x: object) -> bool:
    """Whether x is a table with named columns."""
    return hasattr(x, "columns") and (hasattr(x, "items") or hasattr(x, "iter_columns"))


def column_names(x: Any) -> tuple[str, ...] | None:
    """The names of a table's columns; None where they are no strings, and for anything else."""
    names = tuple(x.columns) if is_frame(x) else ()
    return names if names and all(isinstance(name, str) for name in names) else None


def check_names(where: str, argument: str, names: tuple[str, ...] | None, known: tuple[str, ...] | None) -> None:
    """Raise where a table has other columns than the one a model learned from, or has them in another order."""
    if names is None or known is None or names == known:
        return
    missing = [name for name in known if name not in names]
    unknown = [name for name in names if name not in known]
    if not missing and not unknown:
        raise ValueError(
            f"{where}: {argument} has the columns of the training data in another order: expected {_listed(known)}, "
            f"received {_listed(names)}. {argument}[list(model.feature_names)] has them in order"
        )
    differences = [f"missing {_listed(missing)}"] * bool(missing) + [f"unknown {_listed(unknown)}"] * bool(unknown)
    raise ValueError(
        f"{where}: {argument} has other columns than the training data: {', '.join(differences)}; expected "
        f"{_listed(known)}"
    )


def read_frame(where: str, argument: str, frame: Any) -> Array:
    """A table as an array of numbers: at once if it can, else column by column, as float64.

    Missing values become NaN.
    """
    whole = np.asarray(frame)
    if whole.dtype.kind in NUMBERS:
        return whole
    columns = frame.items() if hasattr(frame, "items") else zip(frame.columns, frame.iter_columns(), strict=True)
    return np.column_stack([_read_column(where, f"{argument}[{name!r}]", column) for name, column in columns])


def _read_column(where: str, argument: str, column: Any) -> NDArray[np.float64]:
    values = np.asarray(column)
    dtype = str(getattr(column, "dtype", values.dtype))
    numeric = getattr(
        getattr(column, "dtype", None), "_is_numeric", False
    )  # of pandas' dtypes that know missing values
    if values.dtype.kind not in NUMBERS and numeric:
        values = column.to_numpy(dtype="float64", na_value=np.nan)
    if values.dtype.kind not in NUMBERS:
        raise errors.wrong_kind(where, argument, "a column of numbers (text and categories must be encoded)", dtype)
    return values.astype(np.float64)


def _listed(names: Any, most: int = 10) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
