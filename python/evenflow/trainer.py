"""Trainer: compile, fit, evaluate, predict for anything that has layers and a spec.

Every argument and every array is checked before a weight, a seed or a program is touched: a refused call changes
nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import axes, data, errors, losses, optimizers, weights
from .callback import CallbackList, Logs, closing
from .callbacks import History, with_defaults
from .custom_loss import CustomLoss, CustomProgress, CustomSteps, takes_labels
from .executor import Executor
from .gradient_norms import NormLog
from .loss import Loss
from .metrics import Metric, read_metrics
from .observed_steps import ObservedProgress, ObservedSteps
from .optimizers import Optimizer
from .predictor import DEFAULT_BATCH, Predictor, read_threads, read_verbose
from .reduction_metrics import MeanMetricWrapper
from .task import Pair, Score, check_task, means, metric_specs, scores, split

if TYPE_CHECKING:
    from ._core import Progress
    from .variables import Variable

Array = NDArray[Any]
Shape = tuple[int, ...]


class Trainer(Predictor):
    """A Predictor that learns."""

    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.optimizer: Optimizer | None = None
        self.loss: Loss | None = None
        self.loss_weights = 1.0
        self.metrics: list[Metric | str] = []
        self.weighted_metrics: list[Metric | str] = []
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

    def compile(
        self,
        optimizer: object = "rmsprop",
        loss: object = None,
        loss_weights: object = None,
        metrics: object = None,
        weighted_metrics: object = None,
    ) -> None:
        """Choose optimizer, loss and metrics: names, or objects of `optimizers`, `losses` and `metrics`.

        `loss` may also be a function of (y, prediction) that returns value and gradient: see `losses.CustomLoss`.
        `loss_weights`, a number of at least 0, multiplies the loss. "accuracy" means the accuracy that fits the loss
        and the outputs. In `weighted_metrics` rows count by their `sample_weight` and `class_weight`, in `metrics` all
        alike; a name in both is `weighted_...` in History for the former. A metric may be a function of (y_true,
        y_pred): see `metrics.MeanMetricWrapper`. A model compiled again keeps its weights.
        """
        new_optimizer = optimizers.get(optimizer, "compile")
        new_loss = None if loss is None else losses.get(loss, "compile")
        new_metrics = read_metrics(metrics)
        new_weighted = read_metrics(weighted_metrics, argument="weighted_metrics")
        listed = scores(new_metrics, new_weighted)
        new_weight = weights.read_loss_weight("compile", loss_weights)
        if new_loss is not None and new_loss.reduction is None:
            raise errors.wrong_value("compile", f"loss {new_loss.name!r}: reduction", "one that gives a number", None)
        if new_loss is not None and self._row_shape is not None and not isinstance(new_loss, CustomLoss):
            (units,) = self.infer_output_shape(self._row_shape)
            check_task(new_loss, listed, units, self.layer_spec())
        self.optimizer, self.loss = new_optimizer, new_loss
        self.metrics, self.weighted_metrics = new_metrics, new_weighted
        self.loss_weights = new_weight

    def spec(self) -> dict[str, Any]:
        """The network, loss, metrics and optimizer as plain data: what the native core compiles."""
        spec = super().spec()
        if self.loss is not None and not isinstance(self.loss, CustomLoss):
            (units,) = self.infer_output_shape(self._row_shape or ())
            spec["loss"] = self.loss.spec() | ({} if self.loss_weights == 1 else {"weight": self.loss_weights})
            spec["metrics"] = check_task(self.loss, self.scores, units, spec["layers"])
        if self.optimizer is not None:
            spec["optimizer"] = self.optimizer.spec(self.variables)
        return spec

    def _steps_for(
        self, y: Array, batch: int, *, training: bool = False, exact: bool = False
    ) -> Executor | CustomSteps | ObservedSteps:
        """What trains and evaluates on targets such as y: the executor, or what goes through it step by step."""
        executor = self._executor_for(batch, training=training, exact=exact)
        if not isinstance(self.loss, CustomLoss):
            functions = any(isinstance(score.metric, MeanMetricWrapper) for score in self.scores)
            return ObservedSteps(executor, self.scores) if functions else executor
        (units,) = self.infer_output_shape(self._row_shape or ())
        kind = "sparse_categorical_crossentropy" if takes_labels(y, units) else self.loss.kind
        specs = metric_specs(self.loss, self.scores, units, kind=kind)
        return CustomSteps(executor, self.loss, self.scores, specs, self.loss_weights)

    @property
    def scores(self) -> list[Score]:
        """Metrics and weighted metrics, with their keys in History."""
        return scores(self.metrics, self.weighted_metrics)

    def _means(self, progress: Progress | CustomProgress | ObservedProgress) -> Logs:
        """Loss and metrics over the rows seen so far, by name."""
        return {"loss": progress.loss / progress.rows} | means(
            self.scores, progress.metrics, progress.weight, progress.rows
        )

    # checks

    def _compiled(self, where: str) -> tuple[Optimizer, Loss]:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(f"{where}: compile the model with an optimizer and a loss first")
        return self.optimizer, self.loss

    def _check_optimizer(self, where: str, optimizer: Optimizer) -> None:
        if not optimizer.lives_in(None) and not optimizer.lives_in(self._executor):
            raise ValueError(f"{where}: optimizer {optimizer.name!r} holds the state of another model: make a new one")

    def _read_pair(
        self,
        where: str,
        x: object,
        y: object,
        sample_weight: object = None,
        *,
        allow_nonfinite: bool,
        names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    ) -> Pair:
        _, loss = self._compiled(where)
        inputs, targets = data.as_array(where, names[0], x), data.as_array(where, names[1], y)
        data.same_length(where, names[:2], inputs, targets)
        rows, shape, units = self._read_rows(where, names[0], inputs, allow_nonfinite=allow_nonfinite)
        if self._row_shape is None and not isinstance(loss, CustomLoss):  # otherwise spec() sees to it
            check_task(loss, self.scores, units, self.layer_spec())
        y = loss.read_target(where, names[1], targets, (len(rows), units), self.dtype, allow_nonfinite)
        weight = None
        if sample_weight is not None:
            weight = weights.read_sample_weight(where, names[2], sample_weight, len(rows))
        return Pair(rows, y, shape, weight, units)

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
        class_weight: object = None,
        sample_weight: object = None,
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
        shuffling; `validation_data=(x, y)` takes others, (x, y, sample_weight) weighted ones.

        `sample_weight` [rows] multiplies the loss of each row, and is read in place like x; `class_weight` does the
        same by class: a dict, in which missing classes count 1, or "balanced", rows / (classes * rows of the class). As
        in Keras the weighted sum over a batch is divided by its number of rows, and only `weighted_metrics` have
        weights. Weights are finite and at least 0. NaN and infinity in x and y are refused unless `allow_nonfinite`.

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
        listed = with_defaults(where, callbacks, verbose)
        training = self._read_pair(where, x, y, sample_weight, allow_nonfinite=allow_nonfinite)
        validation: Pair | None = None
        if validation_data is not None:
            validation = self._read_validation(
                where, validation_data, training.row_shape, allow_nonfinite=allow_nonfinite
            )
        elif validation_split:
            training, validation = split(where, training, validation_split)
        classes = training.class_weight(where, class_weight)
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
        with closing(hooks):
            hooks.call("on_train_begin")
            for epoch in range(initial_epoch, epochs):
                hooks.call("on_epoch_begin", epoch)
                order = self._shuffler.permutation(rows) if shuffle else None
                logs = self._train_epoch(training, classes, order, batch, limit, hooks)
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
        class_weight: Array | None,
        order: NDArray[np.int64] | None,
        batch: int,
        threads: int,
        hooks: CallbackList,
    ) -> Logs:
        progress: Progress | CustomProgress | ObservedProgress | None = None
        logs: Logs = {}
        step, steps = 0, -(-len(training) // batch)
        self.gradient_norms = NormLog(steps) if hooks.gradient_norms else None
        while step < steps and not self.stop_training:
            if hooks.per_batch:
                hooks.call("on_train_batch_begin", step)
            # Asked for anew each time: a callback may have frozen a layer, or used the model in its own way.
            optimizer, _ = self._compiled("fit")
            runner = self._steps_for(training.y, batch, training=True, exact=True)
            progress = runner.train(
                training.x,
                training.y,
                optimizer,
                threads=threads,
                order=order,
                batch_size=batch,
                first_step=step,
                max_steps=1 if hooks.per_batch else 0,
                after=progress,
                sample_weight=training.weights,
                class_weight=class_weight,
                gradient_norms=None if self.gradient_norms is None else self.gradient_norms.of(runner.trained_paths()),
            )
            step = progress.next_step
            logs = self._means(progress)
            if hooks.per_batch:
                hooks.call("on_train_batch_end", step - 1, logs)
            hooks.call("on_train_progress", progress.rows, logs)
        return logs

    def _read_validation(self, where: str, given: object, row_shape: Shape, *, allow_nonfinite: bool) -> Pair:
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            received = f"{len(given)} values" if isinstance(given, (tuple, list)) else f"a {type(given).__name__}"
            raise errors.wrong_kind(where, "validation_data", "a pair (x, y), or (x, y, sample_weight)", received)
        names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
        pair = self._read_pair(where, *given, allow_nonfinite=allow_nonfinite, names=names)
        if pair.row_shape != row_shape:
            raise errors.wrong_shape(where, names[0], ("rows", *row_shape), ("rows", *pair.row_shape))
        return pair

    def _score(self, pair: Pair, batch: int, threads: int, hooks: CallbackList) -> Logs:
        batch = min(batch, len(pair))
        steps = self._steps_for(pair.y, batch)
        hooks.call("on_test_begin")
        progress: Progress | CustomProgress | ObservedProgress | None = None
        while progress is None or progress.rows < len(pair):
            progress = steps.evaluate(
                pair.x,
                pair.y,
                batch_size=batch,
                threads=threads,
                first_step=0 if progress is None else progress.next_step,
                after=progress,
                sample_weight=pair.weights,
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
        sample_weight: object = None,
        *,
        callbacks: object = None,
        return_dict: bool = False,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Loss and metrics in inference mode: [loss, *metrics], the loss alone if there are no metrics, or a dict.

        `sample_weight` as `fit` has it. `batch_size` bears on speed only, unless what divides a batch's loss is not its
        number of rows (`ignore_class`, `reduction`).
        Each is a float, or an array for a metric of several values.
        """
        where = "evaluate"
        batch = DEFAULT_BATCH if batch_size is None else errors.integer(where, "batch_size", batch_size, at_least=1)
        limit = read_threads(where, threads)
        listed = with_defaults(where, callbacks, verbose)
        pair = self._read_pair(where, x, y, sample_weight, allow_nonfinite=allow_nonfinite)
        self._build_for(pair.row_shape)
        hooks = CallbackList(listed, self, {"rows": len(pair), "verbose": read_verbose(where, verbose)})
        with closing(hooks):
            logs = self._score(pair, batch, limit, hooks)
        return _as_result(logs, return_dict)

    def train_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        class_weight: object = None,
        *,
        return_dict: bool = False,
        allow_nonfinite: bool = False,
    ) -> Any:
        """One step on these rows; loss and metrics of that step, as `evaluate` returns them. Weights as `fit` has."""
        where = "train_on_batch"
        optimizer, _ = self._compiled(where)
        self._check_optimizer(where, optimizer)
        pair = self._read_pair(where, x, y, sample_weight, allow_nonfinite=allow_nonfinite)
        classes = pair.class_weight(where, class_weight)
        self._warn_about_single_rows(where, len(pair), len(pair))
        self._build_for(pair.row_shape)
        steps = self._steps_for(pair.y, len(pair), training=True)
        progress = steps.train(
            pair.x, pair.y, optimizer, batch_size=len(pair), sample_weight=pair.weights, class_weight=classes
        )
        return _as_result(self._means(progress), return_dict)

    def test_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        *,
        return_dict: bool = False,
        allow_nonfinite: bool = False,
    ) -> Any:
        """`evaluate` on one batch, silently."""
        return self.evaluate(
            x,
            y,
            verbose=0,
            sample_weight=sample_weight,
            return_dict=return_dict,
            allow_nonfinite=allow_nonfinite,
        )


def _as_result(logs: Logs, return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
