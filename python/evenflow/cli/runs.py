"""The folder of one training run: what it holds, and how it is written as the run goes on."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import math
import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ..callbacks.base import Callback, Logs
from ..saving.files import write_file

FORMAT = 1
COUNTED = ("epoch", "seconds", "samples_per_second")
HARD_DEPENDENCIES = ("numpy", "safetensors", "tqdm")


def new_folder(out: str | None, name: str) -> Path:
    """Make the folder of a run: `out`, which must be new or empty, else runs/<name>-<time>, which always is new.

    Raises FileExistsError, or the OSError of the file system, before any training has begun.
    """
    if out is not None:
        path = Path(out)
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise FileExistsError(f"{path}: not empty, and a run never overwrites another: choose another folder")
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(f"{path}: no permission to write there")
        return path
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "run"
    stem = f"{slug}-{datetime.now():%Y%m%d-%H%M%S}"
    for attempt in range(1, 1000):
        path = Path("runs") / (stem if attempt == 1 else f"{stem}-{attempt}")
        path.parent.mkdir(exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"runs/{stem}: taken, and so are all its numbered variants")


def remove(folder: Path) -> None:
    """Remove the folder of a run that did not begin."""
    (folder / "run.json").unlink()
    folder.rmdir()


class Recorder(Callback):
    """Writes a line of history.csv at the end of every epoch, so that what is complete survives whatever comes next.

    Ends training when the loss is not a number any more. `rows` holds what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Logs] = []
        self._start = 0.0
        self._trained = 0.0

    @property
    def diverged(self) -> bool:
        """Whether training ended because the loss was infinite or not a number."""
        return bool(self.rows) and not math.isfinite(self.rows[-1]["loss"])

    @property
    def curves(self) -> dict[str, list[float]]:
        """Loss and metrics by name, one value per epoch."""
        names = [name for name in (self.rows or [{}])[0] if name not in COUNTED]
        return {name: [row[name] for row in self.rows] for name in names}

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        """Note when the last step ended, as validation does not count as training time; end a run that diverged."""
        self._trained = time.perf_counter()
        if not math.isfinite(logs["loss"]):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's line."""
        seconds = self._trained - self._start
        rate = self.params["rows"] / seconds
        self.rows.append({"epoch": epoch + 1, **(logs or {}), "seconds": seconds, "samples_per_second": rate})
        self._write(self.rows[-1:], "w" if epoch == 0 else "a")

    def backup_state(self) -> dict[str, Any]:
        """The lines so far."""
        return {"rows": self.rows}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Go on after these lines; the file has no others."""
        self.rows = state["rows"]
        self.finish()

    def finish(self) -> None:
        """Write the whole file once more: Ctrl-C may have come in the middle of a line."""
        if self.rows:
            self._write(self.rows, "w")

    def _write(self, rows: list[Logs], mode: str) -> None:
        with self.path.open(mode, newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write run.json: strict JSON, NaN and infinity as null."""
    text = json.dumps(_finite({"format": FORMAT, **record}), indent=2, allow_nan=False, ensure_ascii=False)
    write_file(path, (text + "\n").encode())


def versions(names: tuple[str, ...] = HARD_DEPENDENCIES) -> dict[str, str | None]:
    """The installed version of each distribution, None where it is not installed. Nothing is imported."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
