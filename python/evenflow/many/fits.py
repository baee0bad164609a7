"""fit_many: many small networks trained at once, one on each core, on the same rows."""

from __future__ import annotations

import copy
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core, errors
from ..callbacks import History
from ..callbacks.base import Callback, read_callbacks
from ..callbacks.display import shows_bars
from ..callbacks.progress import read_verbose
from ..data.arrays import as_array
from ..data.frames import is_frame
from ..models import Model
from ..models.cloning import twin
from ..training.task import split_point
from ..training.trainer import Trainer
from .folds import Fold, Rows, folds_of, read_folds
from .together import Together

WHERE = "fit_many"
OWN = ("self", "x", "y", "sample_weight", "verbose", "threads", "callbacks")
DEFAULTS = {name: one.default for name, one in inspect.signature(Trainer.fit).parameters.items()}
ARGUMENTS = tuple(name for name in DEFAULTS if name not in OWN)


@dataclass
class Fit:
    """What became of one model (on one fold): `name`, `fold` (from 0; None without folds), the trained `model`, its
    `history`, `scores` of the fold's test rows by name, `seconds`, and the `error` that ended it, if one did."""

    name: str
    fold: int | None
    model: Model
    history: History | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: Exception | None = None

    @property
    def label(self) -> str:
        """Name and fold, as messages show them."""
        return repr(self.name) if self.fold is None else f"{self.name!r}, fold {self.fold}"


class Fits(list[Fit]):
    """The results of `fit_many`: one `Fit` after another, all models of the first fold first."""

    def of(self, name: str) -> list[Fit]:
        """Those of one model, fold by fold."""
        found = [fit for fit in self if fit.name == name]
        if not found:
            raise errors.unknown_name("Fits.of", "name", name, {fit.name for fit in self})
        return found

    def scores(self, metric: str) -> dict[str, NDArray[np.float64]]:
        """A metric of the test rows (or "loss"), an array of all folds for each model; NaN where a fit failed."""
        known = {name for fit in self for name in fit.scores}
        if metric not in known:
            raise errors.unknown_name("Fits.scores", "metric", metric, known)
        found: dict[str, list[float]] = {}
        for fit in self:
            found.setdefault(fit.name, []).append(fit.scores.get(metric, np.nan))
        return {name: np.array(values) for name, values in found.items()}


class FitManyError(RuntimeError):
    """Some models could not be trained; the others were: `results` has them all, `failed` those with an `error`."""

    def __init__(self, results: Fits) -> None:
        self.results = results
        self.failed = [fit for fit in results if fit.error is not None]
        listed = [f"{fit.label}: {type(fit.error).__name__}: {fit.error}" for fit in self.failed]
        more = f" (and {len(listed) - 5} more)" if len(listed) > 5 else ""
        count = f"{len(listed)} of {len(results)} could not be trained"
        super().__init__(f"{WHERE}: {count}: {'; '.join(listed[:5])}{more}")


def fit_many(
    models: object,
    data: object,
    folds: object = None,
    *,
    callbacks: object = None,
    validate: bool = False,
    seed: int = 0,
    threads: int | None = None,
    verbose: int | str = 0,
    **arguments: Any,
) -> Fits:
    """Train many small networks at once, one on each core, and return a `Fit` for each: `Fits`, in order.

    `models`: compiled models, in a list or in a dict by name; one may be a pair (model, arguments of its `fit`).
    `data`: (x, y) or (x, y, sample_weight), as `fit` takes arrays and tables; all models read the same rows.

    Without `folds` the models themselves are trained, each as `model.fit(x, y, **arguments)` would. With folds, a copy
    of each model is trained on each fold's rows from the model's present weights, and scored on the fold's test rows;
    the models stay as they are. `folds`: pairs (rows to train on, rows to test on), such as a splitter of scikit-learn
    gives, or a number: shuffled by `seed`, with the classes in equal shares where the loss is a cross-entropy of
    classes. A fold's rows are copied once for all models. `validate` scores the test rows after each epoch too, as
    val_... in History; it is for looking at curves: a callback that watches them chooses by what it is then judged by
    (use `validation_split` for that).

    `arguments` are those of `fit` (epochs, batch_size, validation_split, ...) for all models. `callbacks`: a list, of
    which each model gets copies, or a function that makes one, and is told `name` and `fold` where it has arguments of
    these names; callbacks that write files need such a function, or all would write the same. `threads`: how many
    models at once, `num_threads()` unless given; each is trained by one thread. The bits are those of training each
    model alone with the same arguments, whatever the number of threads.

    Everything is checked before the first step. A model that fails later does not stop the others: when all are done
    FitManyError names it, and its `results` are what would have been returned. Ctrl-C ends all within a tenth of a
    second or so. `verbose=1` draws a bar.
    """
    named = _read_models(models)
    given = _read_data(data)
    _check_arguments("", arguments)
    weight = given[2] if len(given) == 3 else None
    for name, (model, own) in named.items():
        model.check_fit(f"{WHERE}: model {name!r}", given[0], given[1], weight, DEFAULTS | arguments | own)
    rows = _count_rows(given[0])
    parts = [Part(given, None)] if folds is None else _parts(given, folds, [m for m, _ in named.values()], rows, seed)
    if folds is None:
        _check_apart(named)
    validate = errors.boolean(WHERE, "validate", validate)
    if validate and folds is None:
        raise ValueError(f"{WHERE}: validate=True: there are no test rows without folds: give validation_data")
    _check_validation(named, parts, arguments, validate)
    make_callbacks = _read_callbacks(callbacks, len(parts) * len(named))
    workers = _core.num_threads() if threads is None else errors.integer(WHERE, "threads", threads, at_least=1)
    bars = read_verbose(WHERE, verbose) == 1 and shows_bars(sys.stdout)
    for model, _ in named.values():
        model.get_weights()  # draws the initial ones, in the order of the models
    tasks = []
    for fold, part in enumerate(parts):
        part.users = len(named)
        for name, (model, own) in named.items():
            fit = Fit(name, None if folds is None else fold, model)
            tasks.append(Task(fit, part, {"validate": validate, **arguments, **own}, make_callbacks))
    team = Together([task.run for task in tasks], workers)
    for task in tasks:
        task.stopped = team.stopped
    results = Fits(task.fit for task in tasks)
    with _bar(len(tasks), bars) as step:
        found = team.run(step)
    for fit, error in zip(results, found, strict=True):
        fit.error = error if isinstance(error, Exception) else None
    if any(fit.error is not None for fit in results):
        raise FitManyError(results)
    return results


class Part:
    """The rows of one fold, which exist while somebody uses them; or all rows, where they lie."""

    def __init__(self, given: tuple[Any, ...], fold: Fold | None) -> None:
        self.given, self.fold = given, fold
        self.users = 0
        self._lock = threading.Lock()
        self._taken: tuple[tuple[Any, ...], tuple[Any, ...] | None] | None = None

    def take(self) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
        """(x, y, ...) to train on and to test on."""
        if self.fold is None:
            return self.given, None
        with self._lock:
            if self._taken is None:
                training, test = (tuple(rows_of(one, rows) for one in self.given) for rows in self.fold)
                self._taken = training, test
            return self._taken

    def leave(self) -> None:
        """Say that one user less is left."""
        with self._lock:
            self.users -= 1
            if self.users == 0:
                self._taken = None


@dataclass
class Task:
    """A model's training on a part of the data."""

    fit: Fit
    part: Part
    arguments: dict[str, Any]
    make_callbacks: Callable[[Fit], list[Callback]]
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Train, and score."""
        begin = time.perf_counter()
        try:
            self._run()
        finally:
            self.part.leave()
            self.fit.seconds = time.perf_counter() - begin

    def _run(self) -> None:
        training, test = self.part.take()
        model = self.fit.model
        if test is not None:
            model = self.fit.model = twin(model)
        arguments = dict(self.arguments)
        if arguments.pop("validate"):
            arguments["validation_data"] = test
        x, y, weight = training if len(training) == 3 else (*training, None)
        try:
            self.fit.history = model.fit(
                x,
                y,
                sample_weight=weight,
                callbacks=[*self.make_callbacks(self.fit), Attention(self.stopped)],
                verbose=0,
                threads=1,
                **arguments,
            )
            if test is not None and not self.stopped.is_set():
                self.fit.scores = model.evaluate(
                    test[0],
                    test[1],
                    sample_weight=test[2] if len(test) == 3 else None,
                    batch_size=arguments.get("batch_size"),
                    verbose=0,
                    return_dict=True,
                    threads=1,
                    allow_nonfinite=arguments.get("allow_nonfinite", False),
                )
        finally:
            model._release()  # weights and optimizer state stay, the program goes


class Attention(Callback):
    """Ends training when nobody waits for it any more."""

    leaves_model = True

    def __init__(self, stopped: threading.Event) -> None:
        self.stopped = stopped

    def on_train_progress(self, rows: int, logs: Any) -> None:
        """Look between native calls."""
        if self.stopped.is_set():
            self.model.stop_training = True


def _read_models(models: object) -> dict[str, tuple[Model, dict[str, Any]]]:
    """Models by name, each with arguments of its own; compiled, and of different names."""
    if isinstance(models, Mapping):
        listed = [(name, given) for name, given in models.items()]
    elif isinstance(models, Iterable) and not isinstance(models, (str, bytes)):
        listed = [(None, given) for given in models]
    else:
        raise errors.wrong_type(WHERE, "models", "a list of compiled models, or a dict by name", models)
    if not listed:
        raise errors.wrong_value(WHERE, "models", "at least one", models)
    found: dict[str, tuple[Model, dict[str, Any]]] = {}
    for number, (key, given) in enumerate(listed):
        model, own = given if isinstance(given, (tuple, list)) and len(given) == 2 else (given, {})
        label = f"models[{number if key is None else key!r}]"
        if not isinstance(model, Model):
            raise errors.wrong_type(WHERE, label, "a model, or a pair (model, arguments of fit)", given)
        if not isinstance(own, Mapping):
            raise errors.wrong_type(WHERE, f"{label}[1]", "a dict of arguments of fit", own)
        name = model.name if key is None else key
        if not isinstance(name, str):
            raise errors.wrong_type(WHERE, "models", "names that are strings", name)
        if name in found:
            raise ValueError(f"{WHERE}: models: expected different names, received {name!r} twice: give a dict")
        _check_arguments(f"model {name!r}: ", own)
        found[name] = model, dict(own)
    return found


def _check_arguments(of: str, given: Mapping[str, Any]) -> None:
    unknown = given.keys() - set(ARGUMENTS)
    if unknown:
        raise errors.unknown_argument(f"{WHERE}: {of}".rstrip(": "), unknown, ARGUMENTS)


def _check_validation(
    named: Mapping[str, tuple[Model, dict[str, Any]]], parts: Sequence[Part], given: Mapping[str, Any], validate: bool
) -> None:
    """Raise where a model is to validate on two sets of rows, or on a share of a fold's rows that leaves none."""
    for name, (_, own) in named.items():
        where, arguments = f"{WHERE}: model {name!r}", {**DEFAULTS, **given, **own}
        if validate and arguments["validation_data"] is not None:
            raise ValueError(f"{where}: validate=True: expected no validation_data, received some")
        share = arguments["validation_split"]
        if share and not validate and arguments["validation_data"] is None:
            for part in parts:
                if part.fold is not None:
                    split_point(where, len(part.fold[0]), share)


def _check_apart(named: Mapping[str, tuple[Model, dict[str, Any]]]) -> None:
    """Raise where two models share a layer or an optimizer: they would be trained at the same time."""
    owner: dict[int, str] = {}
    for name, (model, _) in named.items():
        for thing in (*model.layers, model.optimizer):
            other = owner.setdefault(id(thing), name)
            if other != name:
                what = "an optimizer" if thing is model.optimizer else f"layer {getattr(thing, 'name', '')!r}"
                raise ValueError(f"{WHERE}: models {other!r} and {name!r} share {what}: train them one after the other")


def _read_data(data: object) -> tuple[Any, ...]:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        received = f"{len(data)} values" if isinstance(data, (tuple, list)) else f"a {type(data).__name__}"
        raise errors.wrong_kind(WHERE, "data", "(x, y), or (x, y, sample_weight)", received)
    return tuple(data)


def _parts(given: tuple[Any, ...], folds: object, models: Sequence[Model], rows: int, seed: int) -> list[Part]:
    if isinstance(folds, (int, np.integer)):
        seed = errors.integer(WHERE, "seed", seed, at_least=0)
        classes = _classes(given[1]) if all(_is_of_classes(model) for model in models) else None
        return [Part(given, fold) for fold in folds_of(WHERE, int(folds), rows, classes=classes, seed=seed)]
    return [Part(given, fold) for fold in read_folds(WHERE, folds, rows)]


def _is_of_classes(model: Model) -> bool:
    loss = None if isinstance(model.loss, list) else model.loss
    return loss is not None and "crossentropy" in loss.kind


def _classes(y: Any) -> NDArray[Any] | None:
    """The class of each row, of labels, one-hot rows or one column of 0 and 1; None for other targets."""
    targets = as_array(WHERE, "y", y)
    if targets.ndim == 2 and targets.shape[1] > 1:
        one_hot = bool(((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all())
        return targets.argmax(axis=1) if one_hot else None
    return targets.reshape(len(targets))


def _read_callbacks(callbacks: object, tasks: int) -> Callable[[Fit], list[Callback]]:
    """What gives each of so many tasks callbacks of its own."""
    if callable(callbacks) and not isinstance(callbacks, Callback):
        make: Callable[..., object] = callbacks
        wanted = {"name", "fold"} & inspect.signature(make).parameters.keys()
        return lambda fit: read_callbacks(WHERE, make(**{name: getattr(fit, name) for name in wanted}))
    listed = read_callbacks(WHERE, callbacks)
    writer = next((type(callback).__name__ for callback in listed if callback.writes_files), None)
    if writer is not None and tasks > 1:
        raise ValueError(
            f"{WHERE}: callbacks: each of the {tasks} trainings has copies, and all copies of {writer} would write the "
            f"same files: give a function of (name, fold) that makes it, with files of its own"
        )
    return lambda fit: copy.deepcopy(listed)


def _count_rows(x: Any) -> int:
    """Rows of arrays, tables, or lists and dicts of them."""
    if isinstance(x, Mapping):
        return _count_rows(next(iter(x.values())))
    if isinstance(x, (list, tuple)) and x and hasattr(x[0], "shape"):
        return _count_rows(x[0])
    return len(x)


def rows_of(given: Any, rows: Rows) -> Any:
    """These rows of an array or a table, or of each in a list or a dict; copies."""
    if isinstance(given, Mapping):
        return {name: rows_of(one, rows) for name, one in given.items()}
    if isinstance(given, (list, tuple)) and given and (given[0] is None or hasattr(given[0], "shape")):
        return [rows_of(one, rows) for one in given]
    if given is None:
        return None
    if is_frame(given):
        return given.iloc[rows] if hasattr(given, "iloc") else given[rows]
    return as_array(WHERE, "data", given)[rows]


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[int], object]]:
    """What counts the fits that have ended, on a progress bar where it is wanted."""
    if not shown:
        yield lambda number: None
        return
    from tqdm import tqdm  # type: ignore[import-untyped]

    with tqdm(total=total, desc=WHERE, unit=" fits", file=sys.stdout, dynamic_ncols=True, leave=False) as bar:
        yield lambda number: bar.update(1)
