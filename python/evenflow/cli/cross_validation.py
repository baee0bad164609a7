"""`evenflow train --cv K`: how well a network does on rows that it was not trained on, by K-fold cross-validation."""

from __future__ import annotations

import argparse
import copy
import csv
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks.base import Callback, Logs
from ..many.folds import folds_of
from ..many.together import Together
from . import runs, saved, train_arguments
from .exits import DONE, INTERRUPTED, RunError, UsageError
from .network import network, recipe
from .resume import RUNNING

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..models import Sequential

RESULTS, CURVES = "cv.csv", "learning_curves.png"


@dataclass
class FoldRun:
    """One fold: its rows, its network, and what became of it."""

    number: int  # from 1
    options: argparse.Namespace
    data: Dataset
    model: Sequential
    callbacks: list[Callback]
    stopped: Event = field(default_factory=Event)
    logs: list[Logs] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    ended: bool = False

    def run(self) -> None:
        """Train and test."""
        begin = time.perf_counter()
        try:
            self._run()
        finally:
            self.seconds, self.ended = time.perf_counter() - begin, True

    def _run(self) -> None:
        from ..callbacks import EarlyStopping

        options = self.options
        monitor, patience = "val_loss" if options.validation else "loss", options.early_stopping
        early = [] if patience is None else [EarlyStopping(monitor, patience=patience, restore_best_weights=True)]
        self.model.fit(
            self.data.x_train,
            self.data.y_train,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_split=options.validation,
            verbose=0,
            callbacks=[*self.callbacks, _Epochs(self), *early],
            threads=1,
        )
        if not self.diverged and not self.stopped.is_set():
            self.scores = saved.scores(self.model, self.data.x_test, self.data.y_test, self.data.encoding, 1)

    @property
    def diverged(self) -> bool:
        """Whether the loss was infinite or not a number."""
        return bool(self.logs) and not math.isfinite(self.logs[-1]["loss"])

    @property
    def outcome(self) -> str:
        """What became of it, in a line."""
        if self.scores:
            return f"{saved.text_of(self.scores)}  ({len(self.logs)} epochs, {self.seconds:.1f} s)"
        return f"diverged in epoch {len(self.logs)}: no scores" if self.diverged else "failed: no scores"

    @property
    def row(self) -> dict[str, Any]:
        """The line of cv.csv."""
        sizes = {"train_rows": len(self.data.x_train), "test_rows": len(self.data.x_test)}
        return {"fold": self.number, **sizes, "epochs": len(self.logs), "seconds": self.seconds, **self.scores}


class _Epochs(Callback):
    """Keeps the logs of a fold's epochs, and ends a fold that diverged or that nobody waits for."""

    leaves_model = True

    def __init__(self, fold: FoldRun) -> None:
        self.fold = fold

    def on_train_progress(self, rows: int, logs: Logs) -> None:
        """Look between native calls."""
        if self.fold.stopped.is_set() or not math.isfinite(logs["loss"]):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the epoch's logs."""
        self.fold.logs.append({"fold": self.fold.number, "epoch": epoch + 1, **(logs or {})})


Opening = Callable[[argparse.Namespace, "Dataset", "Sequential", Path], str]


def run(options: argparse.Namespace, arguments: Sequence[str], dataset: Dataset, opening: Opening) -> int:
    """Train and test a network on each fold, and keep the scores; `opening` tells what `evenflow train` begins with."""
    from .. import _core

    begin, started = time.perf_counter(), datetime.now().astimezone()
    say: Callable[[str], object] = print if not options.quiet else lambda _: None
    made = _fold_runs(options, dataset)
    workers = min(options.threads or _core.num_threads(), len(made))
    folder = runs.new_folder(options.out, f"{dataset.name}-cv")
    record: dict[str, Any] = {
        "command": shlex.join(["evenflow", *arguments]),
        "started": started.isoformat(timespec="seconds"),
        "settings": _settings(made[0]),
        "data": train_arguments.describe(dataset),
        "parameters": made[0].model.count_params(),
        "machine": {"isa": _core.isa(), "threads": workers, "platform": platform.platform()},
        "versions": {"python": platform.python_version(), **runs.versions()},
    }
    runs.write_record(folder / "run.json", {"status": RUNNING, **record})
    say(opening(made[0].options, dataset, made[0].model, folder))
    say(f"Folds     {options.cv} of the rows to train on, {workers} at once")
    team = Together([one.run for one in made], workers)
    for one in made:
        one.stopped = team.stopped
    status = "completed"
    printed: list[int] = []

    def show(_: int) -> None:
        while len(printed) < len(made) and (one := made[len(printed)]).ended:
            printed.append(one.number)
            say(f"Fold {one.number:<4} {one.outcome}")

    try:
        for found in team.run(show):
            if isinstance(found, BaseException):
                raise found
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as error:
        runs.remove(folder)  # which has nothing yet
        if isinstance(error, ValueError):
            raise UsageError(error) from error
        raise
    if status == "completed" and any(one.diverged for one in made):
        status = "diverged"
    done = [one for one in made if one.scores]
    summary = summarize([one.scores for one in done])
    files = _save(folder, dataset, made)
    runs.write_record(
        folder / "run.json",
        {
            "status": status,
            "seconds": round(time.perf_counter() - begin, 3),
            "scores": {"folds": [one.scores for one in made], **summary},
            **record,
        },
    )
    if status == "interrupted":
        print(
            f"\nevenflow train: interrupted after {len(done)} of {len(made)} folds; saved in {folder}", file=sys.stderr
        )
        return INTERRUPTED
    if status == "diverged":
        numbers = ", ".join(str(one.number) for one in made if one.diverged)
        raise RunError(
            f"the loss was not finite in fold {numbers}: try a lower --learning-rate, batch normalization, or an "
            f"initializer that fits the activation ({folder} has the history)"
        )
    means = [
        f"{name} {summary['mean'][name]:.4g} ± {summary['std'][name]:.2g}"
        + (f" of {count} folds" if count < len(made) else "")
        for name, count in summary["count"].items()
    ]
    print(f"Mean      {', '.join(means)}  (standard deviation of {len(made)} folds)")
    say(f"Saved     {folder}: {', '.join([*files, 'run.json'])}; no model: train one without --cv")
    return DONE


def summarize(scores: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of a sample: divided by one less than their number) of each score, over the folds
    that have it, and how many these are: a fold with constant targets has no r2."""
    values: dict[str, list[float]] = {}
    for one in scores:
        for name, value in one.items():
            if np.ndim(value) == 0:
                values.setdefault(name, []).append(value)
    return {
        "mean": {name: float(np.mean(found)) for name, found in values.items()},
        "std": {name: float(np.std(found, ddof=1)) if len(found) > 1 else math.nan for name, found in values.items()},
        "count": {name: len(found) for name, found in values.items()},
    }


def _fold_runs(options: argparse.Namespace, dataset: Dataset) -> list[FoldRun]:
    """The folds of the training rows, each with a network that was made for its rows."""
    classes = dataset.y_train if dataset.task == "classification" else None
    try:
        folds = folds_of("--cv", options.cv, len(dataset.x_train), classes=classes, seed=options.seed)
    except ValueError as error:
        raise UsageError(error) from error
    found = []
    for number, (training, test) in enumerate(folds, 1):
        x, y = dataset.x_train, dataset.y_train
        part = replace(dataset, x_train=x[training], y_train=y[training], x_test=x[test], y_test=y[test])
        own = copy.copy(options)  # a recipe writes what it chooses into them
        if own.recipe is None:
            found.append(FoldRun(number, own, part, network(own, part), []))
        else:
            chosen = recipe(own, part)
            found.append(FoldRun(number, own, part, chosen.model, chosen.callbacks))
    return found


def _settings(fold: FoldRun) -> dict[str, Any]:
    left_out = ("command", "quiet", "run", "defaults", "resume", "report")
    settings = {key: value for key, value in vars(fold.options).items() if key not in left_out}
    assert fold.model.optimizer is not None  # every network is compiled
    return {**settings, "learning_rate": fold.model.optimizer.learning_rate}


def _save(folder: Path, dataset: Dataset, made: Sequence[FoldRun]) -> list[str]:
    """Write scores, histories and curves of the folds that were trained; the names of the files."""
    from ..plotting import fold_curves

    trained = [one for one in made if one.logs]
    if not trained:
        return []
    _write_csv(folder / RESULTS, [one.row for one in made if one.scores])
    _write_csv(folder / "history.csv", [line for one in trained for line in one.logs])
    files = [RESULTS, "history.csv"]
    histories = [
        {name: [line[name] for line in one.logs] for name in one.logs[0] if name not in ("fold", "epoch")}
        for one in trained
    ]
    try:
        fold_curves(histories, folder / CURVES, title=f"{dataset.name}: {len(made)} folds")
    except ModuleNotFoundError as error:
        print(f"evenflow train: no {CURVES}: {error}", file=sys.stderr)
        return files
    return [*files, CURVES]


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
