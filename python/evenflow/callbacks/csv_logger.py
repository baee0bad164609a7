"""CSVLogger: the logs of training as a table."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .. import errors
from .base import Callback, Logs


def _cell(values: Any) -> str:
    """Several values as Keras writes them."""
    return f'"[{", ".join(map(str, values))}]"'


class CSVLogger(Callback):
    """A line for each epoch in a CSV file: the epoch from 0, then the logs by name; "NA" for missing ones.

    Keras' format: the columns of a run without validation are followed by empty ones for it. The file is written anew
    unless `append`. A run that BackupAndRestore lets go on drops the lines written after the backup.
    """

    leaves_model = True
    writes_files = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(filename, (str, os.PathLike)):
            raise errors.wrong_type("CSVLogger", "filename", "a path", filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise errors.wrong_value("CSVLogger", "separator", "one character", separator)
        self.filename = Path(filename)
        self.separator = separator
        self.append = errors.boolean("CSVLogger", "append", append)
        self._file: TextIO | None = None
        self._writer: csv.DictWriter[str] | None = None
        self._names: list[str] = []
        self._size = 0  # in bytes, of what was there before the next line

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.close()
        self._file = self.filename.open("a", newline="", encoding="utf-8")
        self._names, self._size = [], self._file.tell() if self.append else 0

    def _drop_the_rest(self) -> None:
        if self._file is not None and self._writer is None:
            self._file.truncate(self._size)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._drop_the_rest()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._file is None:
            return
        logs = logs or {}
        if self._writer is None:
            self._drop_the_rest()
            names = sorted(logs)
            if not any(name.startswith("val_") for name in names):
                names += [f"val_{name}" for name in names]
            self._names = self._names or ["epoch", *names]
            self._writer = csv.DictWriter(
                self._file, self._names, restval="NA", extrasaction="ignore", delimiter=self.separator
            )
            if self._size == 0:
                self._writer.writeheader()
        cells = {name: value if np.ndim(value) == 0 else _cell(value) for name, value in logs.items()}
        self._writer.writerow({"epoch": epoch, **cells})
        self._file.flush()
        self._size = self._file.tell()

    def backup_state(self) -> dict[str, Any]:
        if self._file is not None:
            os.fsync(self._file.fileno())  # a backup must not know of lines that a crash takes away
        return {"size": self._size, "names": self._names}

    def restore_state(self, state: dict[str, Any]) -> None:
        self._names, self._size = state["names"], min(state["size"], self.filename.stat().st_size)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._drop_the_rest()
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None
