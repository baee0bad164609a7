"""Trainer: compile, fit, evaluate, predict for anything that has layers and a spec.

Every argument and every array is checked before a weight, a seed or a program is touched: a refused call changes
nothing.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import axes, data, errors, losses, optimizers
from .callback import Callback, CallbackList, Logs, read_callbacks
from .callbacks import History, ProgbarLogger
from .gradient_norms import NormLog
from .losses import Loss
from .metric import mean
from .metrics import Metric, read_metrics, resolve_metric
from .optimizers import Optimizer
from .predictor import DEFAULT_BATCH, Predictor, read_threads, read_verbose

if TYPE_CHECKING:
    from ._core import Progress
    from .variables import Variable

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """Rows and targets as the core takes them, and the shape of a row as the user gave it."""

    x: Array
    y: Array
    row_shape: Shape

    def __len__(self) -> int:
        return len(self.x)


class Trainer(Predictor):
    """A Predictor that learns."""

    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.metrics: list[Metric | str] = []
        self.stop_training = False
        self.history: History | None = None
        self.gradient_norms: NormLog | None = None  # of the epoch, while a callback wants them
        self._shuffler = np.random.Generator(np.random.PCG64(self.seed))
        self._warned_about_single_rows = False

    # what a model provides, for callbacks

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that gradients change."""
        raise NotImplementedError

    def get_weights(self) -> list[Array]:
        """Copies of all variables' values."""
        raise NotImplementedError

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Replace the values of all variables, or of none."""
        raise NotImplementedError

    def save(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the model to a file, atomically."""
        raise NotImplementedError

    def save_weights(self, filepath: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the variables to a file, atomically."""
        raise NotImplementedError

    # description

    def compile(self, optimizer: object = "rmsprop", loss: object = None, *, metrics: object = None) -> None:
        """Choose optimizer, loss and metrics: names, or objects of `optimizers`, `losses` and `metrics`.

        "accuracy" means the accuracy that fits the loss and the outputs. A model compiled again keeps its weights.
        """
        new_optimizer = optimizers.get(optimizer, "compile")
        new_loss = None if loss is None else losses.get(loss, "compile")
        new_metrics = read_metrics(metrics)
        if new_loss is not None and self._row_shape is not None:
            (units,) = self.infer_output_shape(self._row_shape)
            check_task(new_loss, new_metrics, units, self.layer_spec())
        self.optimizer, self.loss, self.metrics = new_optimizer, new_loss, new_metrics

    def spec(self) -> dict[str, Any]:
        """The network, loss, metrics and optimizer as plain data: what the native core compiles."""
        spec = super().spec()
        if self.loss is not None:
            (units,) = self.infer_output_shape(self._row_shape or ())
            spec["loss"] = self.loss.spec()
            spec["metrics"] = [m.spec() for m in check_task(self.loss, self.metrics, units, spec["layers"])]
        if self.optimizer is not None:
            spec["optimizer"] = self.optimizer.spec(self.variables)
        return spec

    def _means(self, progress: Progress) -> Logs:
        """Loss and metrics over the rows seen so far, by name."""
        logs: Logs = {"loss": progress.loss / progress.rows}
        for metric, state in zip(self.metrics, progress.metrics, strict=True):
            if isinstance(metric, str):
                logs[metric] = mean(state, progress.rows)
            else:
                logs[metric.name] = metric.compute(state, progress.rows)
        return logs

    # checks

    def _compiled(self, where: str) -> tuple[Optimizer, Loss]:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{where}: compile the model with an optimizer and a loss first")
        return self.optimizer, self.loss

    def _check_optimizer(self, where: str, optimizer: Optimizer) -> None:
        if not optimizer.lives_in(None) and not optimizer.lives_in(self._executor):
            raise ValueError(f"{where}: optimizer {optimizer.name!r} holds the state of another model: make a new one")

    def _read_pair(
        self, where: str, x: object, y: object, *, allow_nonfinite: bool, names: tuple[str, str] = ("x", "y")
    ) -> Pair:
        _, loss = self._compiled(where)
        inputs, targets = data.as_array(where, names[0], x), data.as_array(where, names[1], y)
        data.same_length(where, names, inputs, targets)
        rows, shape, units = self._read_rows(where, names[0], inputs, allow_nonfinite=allow_nonfinite)
        if self._row_shape is None:  # otherwise spec() sees to it
            check_task(loss, self.metrics, units, self.layer_spec())
        y = losses.read_target(
            where, targets, len(rows), units, self.dtype, loss.kind, allow_nonfinite=allow_nonfinite, argument=names[1]
        )
        return Pair(rows, y, shape)

    def check_training(self, where: str, x: object, y: object, *, allow_nonfinite: bool) -> Optimizer:
        """Refuse what `fit` would refuse, make the variables if there are none, and return the optimizer."""
        optimizer, _ = self._compiled(where)
        self._check_optimizer(where, optimizer)
        pair = self._read_pair(where, x, y, allow_nonfinite=allow_nonfinite)
        self._build_for(pair.row_shape)
        return optimizer

    def _warn_about_single_rows(self, where: str, rows: int, batch_size: int) -> None:
        single = batch_size == 1 or rows % batch_size == 1
        if not single or self._warned_about_single_rows:
            return
        norms = [e for e in self.layer_spec() if e["kind"] == "batch_normalization" and e["trainable"]]
        if not all(axes.shares(entry) for entry in norms):
            self._warned_about_single_rows = True
            warnings.warn(
                f"{where}: a batch has a single row: its variance is 0, so BatchNormalization outputs beta for it "
                f"({rows} rows, batch_size={batch_size})",
                UserWarning,
                stacklevel=3,
            )

    @property
    def shuffle_state(self) -> dict[str, Any]:
        """State of the generator that shuffles, as plain data; assign it to continue a run."""
        return dict(self._shuffler.bit_generator.state)

    @shuffle_state.setter
    def shuffle_state(self, state: dict[str, Any]) -> None:
        self._shuffler.bit_generator.state = state

    # training

    def fit(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: object = None,
        validation_split: float = 0.0,
        validation_data: object = None,
        shuffle: bool = True,
        *,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> History:
        """Train for `epochs` epochs (numbered from `initial_epoch`) and return the History.

        x [rows, ...] is read in place where it is float32, float64 or uint8, memory maps included, and never changed. y
        holds class numbers for sparse_categorical_crossentropy, else values [rows, outputs]. `batch_size` defaults to
        32; the last batch may be smaller. `validation_split` keeps the last share of the rows for validation, before
        shuffling; `validation_data=(x, y)` takes others. NaN and infinity are refused unless `allow_nonfinite`.
        `verbose`: 0 silent, 1 a progress bar on terminals, 2 a line per epoch, "auto" 1. Ctrl-C leaves the weights of a
        completed step.
        """
        where = "fit"
        optimizer, _ = self._compiled(where)
        self._check_optimizer(where, optimizer)
        batch = DEFAULT_BATCH if batch_size is None else errors.integer(where, "batch_size", batch_size, at_least=1)
        epochs = errors.integer(where, "epochs", epochs, at_least=0)
        initial_epoch = errors.integer(where, "initial_epoch", initial_epoch, at_least=0)
        shuffle = errors.boolean(where, "shuffle", shuffle)
        limit = read_threads(where, threads)
        validation_batch = batch
        if validation_batch_size is not None:
            validation_batch = errors.integer(where, "validation_batch_size", validation_batch_size, at_least=1)
        validation_split = errors.number(where, "validation_split", validation_split, at_least=0.0, below=1.0)
        listed = _with_defaults(where, callbacks, verbose)
        training = self._read_pair(where, x, y, allow_nonfinite=allow_nonfinite)
        validation: Pair | None = None
        if validation_data is not None:
            validation = self._read_validation(
                where, validation_data, training.row_shape, allow_nonfinite=allow_nonfinite
            )
        elif validation_split:
            training, validation = _split(where, training, validation_split)
        rows = len(training)
        batch = min(batch, rows)
        self._warn_about_single_rows(where, rows, batch)

        self._build_for(training.row_shape)
        self._executor_for(batch, training=True, exact=True)
        steps = -(-rows // batch)
        parameters = {"epochs": epochs, "steps": steps, "rows": rows, "verbose": read_verbose(where, verbose)}
        hooks = CallbackList(listed, self, parameters)
        self.history = next(callback for callback in listed if isinstance(callback, History))
        self.stop_training = False
        logs: Logs = {}
        with _closing(hooks):
            hooks.call("on_train_begin")
            for epoch in range(initial_epoch, epochs):
                hooks.call("on_epoch_begin", epoch)
                order = self._shuffler.permutation(rows) if shuffle else None
                logs = self._train_epoch(training, order, batch, limit, hooks)
                if validation is not None:
                    scores = self._score(validation, validation_batch, limit, hooks)
                    logs |= {f"val_{name}": value for name, value in scores.items()}
                hooks.call("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
            if epochs > 0:  # as Keras
                self._compiled(where)[0].finalize_variable_values(self.trainable_weights)
            hooks.call("on_train_end", logs)
        return self.history

    def _train_epoch(
        self,
        training: Pair,
        order: NDArray[np.int64] | None,
        batch: int,
        threads: int,
        hooks: CallbackList,
    ) -> Logs:
        progress: Progress | None = None
        logs: Logs = {}
        step, steps = 0, -(-len(training) // batch)
        self.gradient_norms = NormLog(steps) if hooks.gradient_norms else None
        while step < steps and not self.stop_training:
            if hooks.per_batch:
                hooks.call("on_train_batch_begin", step)
            # Asked for anew each time: a callback may have frozen a layer, or used the model in its own way.
            optimizer, _ = self._compiled("fit")
            executor = self._executor_for(batch, training=True, exact=True)
            progress = executor.train(
                training.x,
                training.y,
                optimizer,
                threads=threads,
                order=order,
                batch_size=batch,
                first_step=step,
                max_steps=1 if hooks.per_batch else 0,
                after=progress,
                gradient_norms=self.gradient_norms and self.gradient_norms.of(executor.trained_paths()),
            )
            step = progress.next_step
            logs = self._means(progress)
            if hooks.per_batch:
                hooks.call("on_train_batch_end", step - 1, logs)
            hooks.call("on_train_progress", progress.rows, logs)
        return logs

    def _read_validation(self, where: str, given: object, row_shape: Shape, *, allow_nonfinite: bool) -> Pair:
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            received = f"{len(given)} values" if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
            raise errors.wrong_kind(where, "validation_data", "a pair (x, y)", received)
        names = ("validation_data[0]", "validation_data[1]")
        pair = self._read_pair(where, given[0], given[1], allow_nonfinite=allow_nonfinite, names=names)
        if pair.row_shape != row_shape:
            raise errors.wrong_shape(where, names[0], ("rows", *row_shape), ("rows", *pair.row_shape))
        return pair

    def _score(self, pair: Pair, batch: int, threads: int, hooks: CallbackList) -> Logs:
        executor = self._executor_for(min(batch, len(pair)))
        hooks.call("on_test_begin")
        progress = executor.evaluate(pair.x, pair.y, batch_size=batch, threads=threads)
        hooks.call("on_test_progress", progress.rows, self._means(progress))
        while progress.rows < len(pair):
            progress = executor.evaluate(
                pair.x, pair.y, batch_size=batch, threads=threads, first_step=progress.next_step, after=progress
            )
            hooks.call("on_test_progress", progress.rows, self._means(progress))
        logs = self._means(progress)
        hooks.call("on_test_end", logs)
        return logs

    def evaluate(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *,
        callbacks: object = None,
        return_dict: bool = False,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Loss and metrics in inference mode: [loss, *metrics], the loss alone if there are no metrics, or a dict.

        Each is a float, or an array for a metric of several values.

        `batch_size` bears on speed only.
        """
        where = "evaluate"
        batch = DEFAULT_BATCH if batch_size is None else errors.integer(where, "batch_size", batch_size, at_least=1)
        limit = read_threads(where, threads)
        listed = _with_defaults(where, callbacks, verbose)
        pair = self._read_pair(where, x, y, allow_nonfinite=allow_nonfinite)
        self._build_for(pair.row_shape)
        hooks = CallbackList(listed, self, {"rows": len(pair), "verbose": read_verbose(where, verbose)})
        with _closing(hooks):
            logs = self._score(pair, batch, limit, hooks)
        return _as_result(logs, return_dict)

    def train_on_batch(
        self, x: object, y: object = None, *, return_dict: bool = False, allow_nonfinite: bool = False
    ) -> Any:
        """One step on these rows; loss and metrics of that step, as `evaluate` returns them."""
        where = "train_on_batch"
        optimizer, _ = self._compiled(where)
        self._check_optimizer(where, optimizer)
        pair = self._read_pair(where, x, y, allow_nonfinite=allow_nonfinite)
        self._warn_about_single_rows(where, len(pair), len(pair))
        self._build_for(pair.row_shape)
        executor = self._executor_for(len(pair), training=True)
        progress = executor.train(pair.x, pair.y, optimizer, batch_size=len(pair))
        return _as_result(self._means(progress), return_dict)

    def test_on_batch(
        self, x: object, y: object = None, *, return_dict: bool = False, allow_nonfinite: bool = False
    ) -> Any:
        """`evaluate` on one batch, silently."""
        return self.evaluate(x, y, verbose=0, return_dict=return_dict, allow_nonfinite=allow_nonfinite)


def check_task(
    loss: Loss, listed: Sequence[Metric | str], units: int, layers: Sequence[dict[str, Any]]
) -> list[Metric]:
    """The metrics that fit loss and outputs; raises where loss and outputs do not fit each other."""
    if loss.kind == "sparse_categorical_crossentropy" and units == 1:
        raise ValueError(
            f"compile: loss {loss.name!r} needs at least 2 outputs, one for each class, the model has 1: "
            f"use Dense(number of classes) or loss='binary_crossentropy'"
        )
    last = next((e.get("activation") for e in reversed(layers) if e["kind"] != "activity_regularization"), None)
    if loss.from_logits and last in ("softmax", "sparsemax", "sigmoid"):
        raise ValueError(
            f"compile: loss {loss.name!r} has from_logits=True, but the last layer already applies {last}: "
            f"drop the activation or from_logits"
        )
    if last == "log_softmax" and "crossentropy" in loss.kind and (loss.kind.startswith("b") or not loss.from_logits):
        takes = "outputs of a sigmoid" if loss.kind.startswith("b") else "probabilities"
        raise ValueError(
            f"compile: loss {loss.name!r} takes {takes}, but the last layer gives logarithms (log_softmax): "
            f"use softmax, or a categorical cross-entropy with from_logits=True"
        )
    logits = True if loss.from_logits else False if last in ("softmax", "sparsemax", "sigmoid") else None
    return [resolve_metric(metric, loss.kind, units, logits=logits) for metric in listed]


def _split(where: str, pair: Pair, share: float) -> tuple[Pair, Pair]:
    """The rows before and from Keras' split point: the last `share` of the rows is for validation."""
    rows = len(pair)
    at = math.floor(rows * (1.0 - share))
    if at in (0, rows):
        raise ValueError(
            f"{where}: validation_split={share}: expected some rows on both sides, received {rows} rows in all"
        )
    first = Pair(pair.x[:at], pair.y[:at], pair.row_shape)
    return first, Pair(pair.x[at:], pair.y[at:], pair.row_shape)


def _with_defaults(where: str, given: object, verbose: int | str) -> list[Callback]:
    """The user's callbacks, a History, and the progress display unless it is silent."""
    listed = read_callbacks(where, given)
    if not any(isinstance(callback, History) for callback in listed):
        listed.append(History())
    if read_verbose(where, verbose) and not any(isinstance(callback, ProgbarLogger) for callback in listed):
        listed.append(ProgbarLogger())
    return listed


@contextmanager
def _closing(hooks: CallbackList) -> Iterator[None]:
    try:
        yield
    finally:
        hooks.call("close")


def _as_result(logs: Logs, return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
