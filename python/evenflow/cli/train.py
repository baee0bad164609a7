"""`evenflow train`: train a network, test it, and keep the run in a folder."""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cross_validation, runs, saved, train_arguments
from .exits import DONE, INTERRUPTED, RunError, UsageError
from .network import network, recipe, sketch
from .parsing import Commands
from .resume import RUNNING, unfinished

if TYPE_CHECKING:
    from ..callbacks.base import Callback
    from ..datasets import Dataset
    from ..models import Sequential


def add(commands: Commands) -> None:
    """Add the command."""
    parser = train_arguments.add(commands)
    parser.set_defaults(run=run, defaults=lambda: parser.parse_args([]))


def run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Train, test, and keep the run."""
    begin, started = time.perf_counter(), datetime.now().astimezone()
    say = _nothing if options.quiet else print
    earlier = None if options.resume is None else unfinished(options.resume)
    if earlier is None:
        train_arguments.settle(options)
    else:
        options = earlier.options(options, options.defaults())
        if options.recipe is not None:
            raise RunError(f"{earlier.folder}: a run with --recipe cannot go on: its schedule would begin anew")
        if options.cv is not None:
            raise RunError(f"{earlier.folder}: a run with --cv cannot go on: begin a new one")
    dataset = read_dataset(options)
    if options.cv is not None:
        return cross_validation.run(options, arguments, dataset, _opening)
    callbacks: list[Callback] = []
    if options.recipe is None:
        model = network(options, dataset)
    else:
        chosen = recipe(options, dataset)
        model, callbacks = chosen.model, chosen.callbacks
    if earlier is not None:
        earlier.check_data(train_arguments.describe(dataset))
    folder = runs.new_folder(options.out, dataset.name) if earlier is None else earlier.folder
    say(_opening(options, dataset, model, folder))

    record: dict[str, Any] = {
        "command": shlex.join(["evenflow", *arguments]),
        "started": started.isoformat(timespec="seconds"),
        "settings": _settings(options, model),
        "data": train_arguments.describe(dataset),
        "parameters": model.count_params(),
        "machine": _machine(options),
        "versions": {"python": platform.python_version(), **runs.versions()},
    }
    if earlier is None:
        runs.write_record(folder / "run.json", {"status": RUNNING, **record})
    else:
        record |= {name: earlier.record.get(name) for name in ("command", "started")}
    recorder = runs.Recorder(folder / "history.csv")
    scores: dict[str, float] = {}
    try:
        _fit(options, dataset, model, recorder, callbacks)
        status = "diverged" if recorder.diverged else "completed"
        if status == "completed":
            scores = saved.scores(model, dataset.x_test, dataset.y_test, dataset.encoding, options.threads)
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as error:
        if [path.name for path in folder.iterdir()] == ["run.json"]:  # what fit refuses, it refuses before it trains
            runs.remove(folder)
        if isinstance(error, ValueError):
            raise UsageError(error) from error
        raise
    recorder.finish()
    files = _save(options, dataset, model, recorder, scores)
    runs.write_record(
        folder / "run.json",
        {
            "status": status,
            "seconds": round(time.perf_counter() - begin, 3),
            "epochs_completed": len(recorder.rows),
            "scores": {"test": scores},
            **record,
        },
    )
    if status == "diverged":
        raise RunError(
            f"the loss was not finite in epoch {len(recorder.rows)}, so training ended: try a lower --learning-rate, "
            f"batch normalization, or an initializer that fits the activation ({folder} has the history)"
        )
    if status == "interrupted":
        text = f"interrupted in epoch {len(recorder.rows) + 1}; saved in {folder}"
        print(f"\nevenflow train: {text}; to go on: evenflow train --resume {folder}", file=sys.stderr)
        return INTERRUPTED
    print(f"Test      {', '.join(f'{name} {value:.4g}' for name, value in scores.items())}")
    say(f"Saved     {folder}: {', '.join([*files, 'run.json'])}")
    return DONE


def _fit(
    options: argparse.Namespace, dataset: Dataset, model: Sequential, recorder: runs.Recorder, chosen: list[Callback]
) -> None:
    from ..callbacks import BackupAndRestore, EarlyStopping, Health

    monitor = "val_loss" if options.validation else "loss"
    patience = options.early_stopping
    early = [] if patience is None else [EarlyStopping(monitor, patience=patience, restore_best_weights=True)]
    watching = [Health()] if options.report else []
    model.fit(
        dataset.x_train,
        dataset.y_train,
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_split=options.validation,
        verbose=0 if options.quiet else 1,
        callbacks=[*chosen, *watching, recorder, *early, BackupAndRestore(recorder.path.parent / "backup")],
        threads=options.threads,
    )


def _nothing(_: str) -> None:
    pass


def read_dataset(options: argparse.Namespace) -> Dataset:
    """The data that the options name."""
    from .. import datasets
    from ..tables import read_table

    if options.data is None:
        for name in ("target", "ignore", "task"):
            if getattr(options, name):
                raise UsageError(f"--{name} belongs to a CSV: give its path with --data")
        return datasets.load_default()
    path = Path(options.data)
    if path.is_dir():
        if options.target or options.task or options.ignore:
            raise UsageError(f"--target, --task and --ignore belong to a CSV, but --data {path} is a folder")
        return datasets.load_idx(path)
    if options.target is None:
        columns = ", ".join(read_table(path).columns)
        raise UsageError(f"--data {path} needs --target COLUMN, the column to predict; it has: {columns}")
    return datasets.load_csv(path, options.target, task=options.task, ignore=options.ignore)


def _opening(options: argparse.Namespace, dataset: Dataset, model: Sequential, folder: Path) -> str:
    from ..datasets import HOW_TO_GET_FASHION_MNIST

    what = f"{len(dataset.classes)} classes"
    if dataset.encoding is not None:
        what = f"{dataset.task} of {dataset.encoding.target.name!r}"
        what += f" ({len(dataset.classes)} classes)" if dataset.classes else ""
        what += "" if options.task else "; --task overrides that"
    shape = " x ".join(map(str, dataset.row_shape))
    machine = _machine(options)
    lines = [
        f"Data      {dataset.name} ({dataset.source}): {what}",
        f"          {len(dataset.x_train):,} rows of {shape} to train on, {100 * options.validation:g} % of them for "
        f"validation; {len(dataset.x_test):,} to test",
        f"Network   {sketch(options, dataset)}: {model.count_params():,} parameters",
        f"Training  {options.optimizer}, learning rate {_rate(model):g}, batches of {options.batch_size}, "
        f"seed {options.seed}, {options.dtype}, {machine['isa']}, at most {machine['threads']} threads",
        f"Run       {folder}",
    ]
    if dataset.source == "scikit-learn":
        lines.insert(2, f"          for the larger Fashion-MNIST: {HOW_TO_GET_FASHION_MNIST}")
    return "\n".join(lines)


def _rate(model: Sequential) -> float:
    assert model.optimizer is not None  # network compiles every model
    return model.optimizer.learning_rate


def _save(
    options: argparse.Namespace,
    dataset: Dataset,
    model: Sequential,
    recorder: runs.Recorder,
    scores: dict[str, float],
) -> list[str]:
    """Write the model, unless it diverged, the learning curves and the report; the names of what the folder then
    holds."""
    from ..plotting import learning_curves
    from ..reporting import report

    folder = recorder.path.parent
    files = []
    if not recorder.diverged:
        model.save(folder / "model.safetensors")
        files.append("model.safetensors")
    if not recorder.rows:
        return files
    files.append("history.csv")
    title = dataset.name
    if "accuracy" in scores:
        title += f": test accuracy {scores['accuracy']:.1%}"
    if dataset.task == "regression":
        title += ", curves of the standardized target"
    try:
        learning_curves(recorder.curves, folder / "learning_curves.png", title=title)
    except ModuleNotFoundError as error:
        print(f"evenflow train: no learning_curves.png: {error}", file=sys.stderr)
    else:
        files.append("learning_curves.png")
        if options.report and model.history is not None:
            files += [page.name for page in report(model.history, folder / "report.html", title=title)]
    return files


def _settings(options: argparse.Namespace, model: Sequential) -> dict[str, Any]:
    settings = {
        key: value
        for key, value in vars(options).items()
        if key not in ("command", "quiet", "run", "defaults", "resume")
    }
    return {**settings, "learning_rate": _rate(model)}


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    from .. import _core

    return {"isa": _core.isa(), "threads": options.threads or _core.num_threads(), "platform": platform.platform()}
