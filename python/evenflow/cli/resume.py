"""`evenflow train --resume`: a run that was killed or interrupted goes on from its folder."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .exits import RunError, UsageError

RUNNING, INTERRUPTED = "running", "interrupted"
OWN = (
    "command",
    "resume",
    "quiet",
    "threads",
    "run",
    "defaults",
)  # options that a run does not keep, or that may be others


@dataclass(frozen=True)
class Unfinished:
    """The folder of a run that did not end, and what it noted."""

    folder: Path
    record: dict[str, Any]

    def options(self, given: argparse.Namespace, defaults: argparse.Namespace) -> argparse.Namespace:
        """The run's options; no others can be given beside --resume, but --quiet and --threads."""
        for name, default in vars(defaults).items():
            if name not in OWN and getattr(given, name) != default:
                option = name.replace("_", "-")
                raise UsageError(f"--{option}: a run goes on with its own settings: leave --{option} out")
        kept = {key: tuple(value) if isinstance(value, list) else value for key, value in self.settings.items()}
        own = {name: value for name, value in vars(given).items() if name in OWN}
        return argparse.Namespace(**vars(defaults) | kept | own)

    @property
    def settings(self) -> dict[str, Any]:
        """The run's options by name."""
        settings: dict[str, Any] = self.record["settings"]
        return {name: value for name, value in settings.items() if name not in OWN}

    def check_data(self, described: dict[str, Any]) -> None:
        """Raise where the data are not those of the run any more."""
        now = json.loads(json.dumps(described))
        changed = [name for name, value in now.items() if self.record["data"].get(name) != value]
        if changed:
            raise RunError(
                f"{self.folder}: the data have changed since the run began ({', '.join(changed)}): begin a new run"
            )


def unfinished(folder: str) -> Unfinished:
    """The run in this folder, if it can go on."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run.json there: not the folder of a run")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found = Unfinished(Path(folder), record)
        status, _, _ = record["status"], dict(found.settings), dict(record["data"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not what 'evenflow train' writes: {type(error).__name__} {error}") from error
    if status not in (RUNNING, INTERRUPTED):
        raise RunError(f"{folder}: the run is {status}: there is nothing to resume")
    return found
