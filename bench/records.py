"""Measurements as a file: what `--json` writes and `--compare` reads, of this and of earlier versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from evenflow.saving.files import write_file

from . import compare, page

FORMAT = "evenflow bench"
VERSION = 2


class RecordError(ValueError):
    """A file that holds no measurements; the message says which file and why."""


def write(path: Path, data: dict[str, Any]) -> None:
    """The whole file or none of it."""
    text = json.dumps({"format": FORMAT, "version": VERSION} | data, indent=1)
    write_file(path, f"{text}\n".encode())


def require_room(path: Path) -> None:
    """That a file can be written there, before minutes are spent on measuring."""
    if path.is_dir():
        raise RecordError(f"{path}: expected a file, received a folder")
    if not path.parent.is_dir():
        raise RecordError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RecordError(f"{path}: the folder {path.parent} cannot be written to")


def read(path: Path) -> dict[str, Any]:
    """What `write` has written, of any version up to this one, in this version's form."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: expected JSON, received something else: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("machine"), dict):
        raise RecordError(f"{path}: expected what evenflow bench --json writes, received another file")
    version = data.get("version", 1) if data.get("format", FORMAT) == FORMAT else None
    if not isinstance(version, int) or version < 1:
        raise RecordError(f"{path}: expected what evenflow bench --json writes, received {data.get('format')!r}")
    if version > VERSION:
        raise RecordError(f"{path}: was written by a later evenflow (format {version}, this one reads up to {VERSION})")
    try:
        data = _second(data) if version == 1 else data
        _check(data)
        compare.table(compare.changes(data, data), compare.differences(data, data), path.name)
        page.page(data)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RecordError(f"{path}: damaged, or cut off: {type(error).__name__}: {error}") from None
    return data


def _second(data: dict[str, Any]) -> dict[str, Any]:
    """From the first version, which had one number of threads and a dict of workloads."""
    machine = data["machine"]
    runs = [{"workload": name, "threads": machine["threads"], **one} for name, one in data["workloads"].items()]
    rest = {key: value for key, value in data.items() if key != "workloads"}
    return rest | {"version": VERSION, "runs": runs, "machine": machine | {"threads": [machine["threads"]]}}


def _check(data: dict[str, Any]) -> None:
    """That what is compared and drawn is there, and numbers are numbers."""
    for name in ("processor", "cores", "isa", "evenflow"):
        data["machine"][name]
    for run in data["runs"]:
        str(run["workload"]), int(run["threads"])
        for peer in run["peers"].values():
            _numbers(time for times in peer["rounds"] for time in times)
    for piece in data.get("pieces", ()):
        str(piece["what"]), str(piece["peer"])
        _numbers(time for answer in piece["rounds"] for time in answer["times"])
    for row in data.get("kernels", ()):
        str(row["kernel"]), int(row["n"])
        _numbers(row["seconds"].values())
    for row in data.get("calls", ()):
        str(row["group"]), str(row["what"])
        _numbers(time for times in row["rounds"].values() for time in times)
    for part in ("activations", "random_layers"):
        for cost in data.get(part, {}).values():
            _numbers([*cost["times"], *cost["beside"]])


def _numbers(values: Any) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
            raise ValueError(f"expected a time in seconds, received {value!r}")
