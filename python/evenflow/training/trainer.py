"""Trainer: compile, fit, evaluate, predict for anything that has layers and a spec.

Every argument and every array is checked before a weight, a seed or a program is touched: a refused call changes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..callbacks import History
from ..callbacks.base import Callback, CallbackList, Logs, closing
from ..callbacks.gradient_norms import NormLog
from ..callbacks.health import HealthLog
from ..callbacks.progress import read_verbose, with_defaults
from ..common import keywords
from ..data.streams import is_stream, refuse
from ..optimizers import Optimizer
from .blocks import Feed, feed_of, stream_of
from .compiled import Compiled
from .feeds import Rows
from .fit_arguments import FIT_NUMBERS, FitNumbers
from .frozen import FrozenCache
from .position import Position
from .predictor import DEFAULT_BATCH, read_threads
from .runners import as_result, executor_of, logs_of
from .task import Pair, split, warn_about_single_rows
from .validation import read_stream

if TYPE_CHECKING:
    from ..data.arrays import Inputs
    from .runners import AnyProgress, Runner

Array = NDArray[Any]
Shape = tuple[int, ...]


class Trainer(Compiled):
    """A compiled model that learns."""

    seed: int

    def __init__(self) -> None:
        super().__init__()
        self.stop_training = False
        self.history: History | None = None
        self.position = Position()  # of the last `fit`
        self.gradient_norms: NormLog | None = None  # of the epoch, while a callback wants them
        self.health: HealthLog | None = None  # the same
        self._shuffler = np.random.Generator(np.random.PCG64(self.seed))
        self._warned_about_single_rows = False

    # checks

    def check_training(self, where: str, x: object, y: object, *, allow_nonfinite: bool) -> Optimizer:
        """Refuse what `fit` would refuse, make the variables if there are none, and return the optimizer."""
        optimizer = self._compiled(where)
        self._check_optimizer(where, optimizer)
        pair = self._read_pair(where, x, y, allow_nonfinite=allow_nonfinite)
        self._build_for(pair.row_shape)
        return optimizer

    def check_fit(self, where: str, x: object, y: object, sample_weight: object, given: Mapping[str, Any]) -> None:
        """Refuse what `fit` would refuse of these rows with all its other arguments `given`, and make the variables if
        there are none."""
        self._check_optimizer(where, self._compiled(where))
        numbers = FitNumbers(where, **{name: given[name] for name in FIT_NUMBERS})
        nonfinite = errors.boolean(where, "allow_nonfinite", given["allow_nonfinite"])
        read = partial(self._read_pair, allow_nonfinite=nonfinite)
        held = None if is_stream(given["validation_data"]) else given["validation_data"]  # a stream is not touched
        pair = self._read_training(where, (x, y, sample_weight), held, numbers, read)
        pair.class_weight(where, given["class_weight"])
        self._build_for(pair.row_shape)

    def _read_training(
        self, where: str, given: tuple[Any, ...], held: object, numbers: FitNumbers, read: Callable[..., Pair]
    ) -> Pair:
        """The rows to train on; those to validate on, `held` or a share, go where `numbers` has them."""
        pair = read(where, *given)
        numbers.validation.take(held, pair.row_shape, read)
        if numbers.validation_split and held is None:
            pair, part = split(where, pair, numbers.validation_split)
            numbers.validation.take_pair(part)
        return pair

    def _check_callbacks(self, where: str, callbacks: Iterable[Callback]) -> None:
        name = next((type(callback).__name__ for callback in callbacks if callback.wants_gradient_norms), None)
        if name is not None and self.device != "cpu":
            raise ValueError(
                f"{where}: callbacks: {name} needs gradient norms: expected a model on the device 'cpu', received one "
                f"on {self.device!r}: leave it out, or use TensorBoard with write_gradient_norms=False"
            )

    def _warn_about_single_rows(self, where: str, rows: int, batch_size: int) -> None:
        if not self._warned_about_single_rows:
            self._warned_about_single_rows = warn_about_single_rows(where, self.layer_spec(), rows, batch_size)

    @property
    def shuffle_state(self) -> dict[str, Any]:
        """State of the generator that shuffles, as plain data; assign it to continue a run."""
        return dict(self._shuffler.bit_generator.state)

    @shuffle_state.setter
    def shuffle_state(self, state: dict[str, Any]) -> None:
        self._shuffler.bit_generator.state = state

    # training

    @keywords.checked
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
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: object = 1,
        *,
        allow_nonfinite: bool = False,
        threads: int | None = None,
        cache_frozen: bool = False,
    ) -> History:
        """Train for `epochs` epochs (numbered from `initial_epoch`) and return the History.

        x [rows, ...] is read in place where it is float32, float64 or uint8, memory maps included, and never changed. y
        holds class numbers for sparse_categorical_crossentropy, else values [rows, outputs]; several outputs have lists
        of y and of sample weights, or dicts by their names. `batch_size` defaults to
        32; the last batch may be smaller. `validation_split` keeps the last share of the rows for validation, before
        shuffling; `validation_data=(x, y)` takes others, (x, y, sample_weight) weighted ones.

        `sample_weight` [rows] multiplies the loss of each row, and is read in place like x; `class_weight` does the
        same by class: a dict, in which missing classes count 1, or "balanced", rows / (classes * rows of the class). As
        in Keras the weighted sum over a batch is divided by its number of rows, and only `weighted_metrics` have
        weights. Weights are finite and at least 0. NaN and infinity in x and y are refused unless `allow_nonfinite`.

        x may also give batches (x, y) or (x, y, sample_weight), each one step: a `utils.PyDataset`, a generator, a
        loader; y, batch_size, sample_weight and validation_split then stay out. `steps_per_epoch` ends an epoch after
        so many steps; the next one goes on there. Validation comes after each `validation_freq`-th epoch, or after
        those that a list names from 1, on the first `validation_steps` batches if that is given.

        `verbose`: 0 silent, 1 a progress bar on terminals and in notebooks, 2 a line per epoch, "auto" 1. Ctrl-C leaves
        the weights of a completed step.

        `cache_frozen`: compute what the frozen layers at the bottom make of each row once and keep it in memory; the
        bits of weights and History are the same. `History.cached` tells what that took and saved. ValueError where
        frozen layers give a row another value each time; MemoryError where there is no room.
        """
        where = "fit"
        optimizer = self._compiled(where)
        self._check_optimizer(where, optimizer)
        numbers = FitNumbers(
            where,
            batch_size=batch_size,
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=shuffle,
            cache_frozen=cache_frozen,
            threads=threads,
            steps_per_epoch=steps_per_epoch,
            validation_split=validation_split,
            validation_batch_size=validation_batch_size,
            validation_steps=validation_steps,
            validation_freq=validation_freq,
        )
        epochs, limit, validation = numbers.epochs, numbers.threads, numbers.validation
        shuffler = self._shuffler if numbers.shuffle else None
        listed = with_defaults(where, callbacks, verbose)
        self._check_callbacks(where, listed)
        read = partial(self._read_pair, allow_nonfinite=allow_nonfinite)
        feed: Feed
        frozen: FrozenCache | None = None
        if is_stream(x):
            refuse(where, y=y, batch_size=batch_size, sample_weight=sample_weight)
            refuse(where, validation_split=numbers.validation_split or None, cache_frozen=numbers.cache_frozen or None)
            feed = feed_of(where, x, numbers.steps, shuffler, read, class_weight)
            validation.take(validation_data, None, read)
        else:
            training = self._read_training(where, (x, y, sample_weight), validation_data, numbers, read)
            batch = min(numbers.batch, len(training))
            feed = Rows(where, training, batch, numbers.steps, shuffler, class_weight)
            self._warn_about_single_rows(where, len(training), feed.batch)
            self._build_for(training.row_shape)
            self._executor_for(feed.batch, training=True, exact=True)
            if numbers.cache_frozen:
                frozen = FrozenCache(where, self, [feed.pair, *validation.kept], limit)
        verbosity = read_verbose(where, verbose)
        parameters = {"epochs": epochs, "steps": feed.steps, "rows": feed.rows, "verbose": verbosity}
        hooks = CallbackList(listed, self, parameters)
        self.history = next(callback for callback in listed if isinstance(callback, History))
        self.stop_training, self.position = False, Position(numbers.initial_epoch, feed=ref(feed))
        logs: Logs = {}
        with closing(hooks), frozen or nullcontext():
            hooks.call("on_train_begin", {})
            for epoch in self.position.epochs(epochs):
                hooks.call("on_epoch_begin", epoch, {})
                logs = self._train_epoch(feed, limit, hooks)
                if (pairs := validation.due(epoch)) is not None:
                    scores = self._score(where, pairs, validation.batch, limit, hooks)
                    logs |= {f"val_{name}": value for name, value in scores.items()}
                self.position.end_epoch()
                hooks.call("on_epoch_end", epoch, logs)
                if self.stop_training or feed.ends_before(epochs - 1 - epoch):
                    break
            if epochs > 0:  # as Keras
                self._compiled(where).finalize_variable_values(self.trainable_weights)
            hooks.call("on_train_end", logs)
        if frozen is not None:
            frozen.report(self.history, feed.rows or 0, verbosity)
        return self.history

    def _train_epoch(self, feed: Feed, threads: int, hooks: CallbackList) -> Logs:
        progress = self.position.progress  # of an epoch that goes on
        logs: Logs = {} if progress is None else logs_of(progress, self.objectives, self.scores)
        norms, health = self._epoch_logs(feed, hooks)
        for piece in feed.pieces():
            pair, step = piece.pair, piece.first
            self._build_for(pair.row_shape, pair.names)
            while step < piece.end and not self.stop_training:
                if hooks.per_batch:
                    hooks.call("on_train_batch_begin", piece.base + step, {})
                optimizer = self._compiled("fit")
                runner, x = self._steps_between(hooks, pair, piece.batch, training=True, exact=piece.exact)
                progress = runner.train(
                    x,
                    pair.y,
                    optimizer,
                    threads=threads,
                    order=piece.order,
                    batch_size=piece.batch,
                    first_step=step,
                    max_steps=1 if hooks.per_batch else piece.most(step),
                    after=progress,
                    sample_weight=pair.weights,
                    class_weight=piece.classes,
                    gradient_norms=None if norms is None else norms.of(runner.trained_paths(), piece),
                    health=None if health is None else health.of(executor_of(runner)),
                )
                step = progress.next_step
                self.position.advance(piece.base + step, progress)
                logs = logs_of(progress, self.objectives, self.scores)
                if hooks.per_batch:
                    hooks.call("on_train_batch_end", piece.base + step - 1, logs)
                hooks.call("on_train_progress", progress.rows, logs)
            if self.stop_training:
                break
        return logs

    def _epoch_logs(self, feed: Feed, hooks: CallbackList) -> tuple[NormLog | None, HealthLog | None]:
        """Norms and counts of an epoch that begins, or, after a backup, goes on."""
        norms, health = (None, None) if self.position.progress is None else (self.gradient_norms, self.health)
        if hooks.gradient_norms and norms is None:
            norms = NormLog(feed.steps or 0)
        if hooks.health and (health is None or health.every != hooks.health):
            health = HealthLog(hooks.health)
        self.gradient_norms, self.health = norms if hooks.gradient_norms else None, health if hooks.health else None
        return self.gradient_norms, self.health

    def _steps_between(
        self, hooks: CallbackList, pair: Pair, batch: int, *, training: bool = False, exact: bool = False
    ) -> tuple[Runner, Inputs]:
        """`_steps_for`, asked anew each time: a callback may have frozen a layer, or used the model in its own way.

        Where none does so, what trains and scores the rows in memory is kept from epoch to epoch.
        """
        kept = hooks.steps_kept.get(training)
        if kept is not None and kept[0] is pair and kept[1] == batch:
            return kept[2], kept[3]
        runner, x = self._steps_for(pair, batch, training=training, exact=exact)
        if hooks.leave_model and (exact or hooks.steps_kept) and self.frozen_cache is None:
            hooks.steps_kept[training] = pair, batch, runner, x
        return runner, x

    def _score(self, where: str, pairs: Iterable[Pair], batch: int, threads: int, hooks: CallbackList) -> Logs:
        hooks.call("on_test_begin", {})
        progress: AnyProgress | None = None
        rows = number = 0
        for pair in pairs:
            self._build_for(pair.row_shape)
            size = min(batch or len(pair), len(pair))
            steps, x = self._steps_between(hooks, pair, size)
            for part in pair.slices(size) if hooks.per_test_batch else (slice(len(pair)),):
                if hooks.per_test_batch:
                    hooks.call("on_test_batch_begin", number, {})
                step, rows, y = 0, rows + len(pair.y[part]), pair.y[part]
                while progress is None or progress.rows < rows:
                    progress = steps.evaluate(
                        x[part],
                        y,
                        batch_size=size,
                        threads=threads,
                        first_step=step,
                        after=progress,
                        sample_weight=None if pair.weights is None else pair.weights[part],
                    )
                    step = progress.next_step
                    hooks.call("on_test_progress", progress.rows, logs_of(progress, self.objectives, self.scores))
                if hooks.per_test_batch and progress is not None:
                    hooks.call("on_test_batch_end", number, logs_of(progress, self.objectives, self.scores))
                number += 1
        if progress is None:
            raise ValueError(f"{where}: there is nothing to evaluate: not one batch was given")
        logs = logs_of(progress, self.objectives, self.scores)
        hooks.call("on_test_end", logs)
        return logs

    @keywords.checked
    def evaluate(
        self,
        x: object = None,
        y: object = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: object = None,
        steps: int | None = None,
        callbacks: object = None,
        return_dict: bool = False,
        *,
        allow_nonfinite: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Loss and metrics in inference mode: [loss, *metrics], the loss alone if there are no metrics, or a dict.

        x, y and `sample_weight` as `fit` has them, batches included; of the first `steps` batches, if that is given.
        `batch_size` bears on speed only, unless what divides a batch's loss is not its number of rows (`ignore_class`,
        `reduction`).
        Each is a float, or an array for a metric of several values.
        """
        where = "evaluate"
        batch = DEFAULT_BATCH if batch_size is None else errors.integer(where, "batch_size", batch_size, at_least=1)
        limit = read_threads(where, threads)
        listed = with_defaults(where, callbacks, verbose)
        steps = errors.count(where, "steps", steps)
        read = partial(self._read_pair, allow_nonfinite=allow_nonfinite)
        rows: int | None
        pairs: Iterable[Pair]
        if is_stream(x):
            refuse(where, y=y, batch_size=batch_size, sample_weight=sample_weight)
            stream = stream_of(where, x, steps)
            batch, rows, pairs = stream.batch, stream.rows, read_stream(stream, read)
        else:
            pair = read(where, x, y, sample_weight)
            pair = pair if steps is None else pair.part(slice(steps * batch))
            rows, pairs = len(pair), [pair]
            self._build_for(pair.row_shape)
        hooks = CallbackList(listed, self, {"rows": rows, "verbose": read_verbose(where, verbose)})
        with closing(hooks):
            logs = self._score(where, pairs, batch, limit, hooks)
        return as_result(logs, return_dict)

    def train_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        class_weight: object = None,
        return_dict: bool = False,
        *,
        allow_nonfinite: bool = False,
    ) -> Any:
        """One step on these rows; loss and metrics of that step, as `evaluate` returns them. Weights as `fit` has."""
        where = "train_on_batch"
        optimizer = self._compiled(where)
        self._check_optimizer(where, optimizer)
        pair = self._read_pair(where, x, y, sample_weight, allow_nonfinite=allow_nonfinite)
        classes = pair.class_weight(where, class_weight)
        self._warn_about_single_rows(where, len(pair), len(pair))
        self._build_for(pair.row_shape, pair.names)
        steps, rows = self._steps_for(pair, len(pair), training=True)
        progress = steps.train(
            rows, pair.y, optimizer, batch_size=len(pair), sample_weight=pair.weights, class_weight=classes
        )
        return as_result(logs_of(progress, self.objectives, self.scores), return_dict)

    def test_on_batch(
        self,
        x: object,
        y: object = None,
        sample_weight: object = None,
        return_dict: bool = False,
        *,
        allow_nonfinite: bool = False,
    ) -> Any:
        """`evaluate` on one batch, silently."""
        if is_stream(x):
            raise errors.wrong_type("test_on_batch", "x", "rows", x)
        return self.evaluate(
            x,
            y,
            verbose=0,
            sample_weight=sample_weight,
            return_dict=return_dict,
            allow_nonfinite=allow_nonfinite,
        )
