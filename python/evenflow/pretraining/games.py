"""A generative adversarial network on vectors: hidden layers that learn to tell rows from imitations."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors, optimizers
from ..callbacks import BackupAndRestore, GradientNorms, Health, History
from ..callbacks.base import CallbackList, Logs, closing
from ..callbacks.progress import read_verbose, with_defaults
from ..common import keywords
from ..common.seeds import own_seed
from ..data import arrays
from ..layers import Dense, Input
from ..losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from ..models import Sequential, clone_model
from ..optimizers import Adam, Optimizer
from ..training.executor import SLICE_SECONDS, Executor
from ..training.predictor import read_threads
from .pretrained import Pretrained, Training, free_name, read_hidden

Array = NDArray[Any]


@keywords.checked
def gan(
    hidden: object,
    generator: object,
    x: object,
    y: object = None,
    *,
    optimizer: object = None,
    epochs: int = 50,
    batch_size: int = 32,
    callbacks: object = None,
    verbose: int | str = "auto",
    threads: int | None = None,
    seed: int | None = None,
) -> Pretrained:
    """Train hidden layers as the lower part of a discriminator, against a generator, on rows with few labels or none.

    hidden: a Sequential or a list of layers, without an output layer; a copy is trained. generator: a Sequential from
    codings, which are drawn from N(0, 1), to features of a row, as Flatten, Rescaling and Normalization at the bottom
    of `hidden` give them: end it with an activation that has their range. A copy is trained and given back.

    Without y the discriminator has one output z, and sigmoid(z) is the probability that a row is real. With y, classes
    0, 1, ... of the rows of x, -1 where unknown as scikit-learn has it, it has an output for each class, and z is the
    log of the sum of their exponentials: so rows without labels and imitations shape the same outputs (Salimans et al.
    2016), and `model` is a classifier (of logits). The discriminator's loss is the mean of log(1 + e^-z) over real rows
    and of log(1 + e^z) over imitations, and with y the cross-entropy over as many labelled rows as a batch has at most;
    the generator's is log(1 + e^-z) over other imitations (Goodfellow et al. 2014). In each step first the one learns,
    then the other. Dropout and noise in `hidden` are active for both, batch statistics those of what is shown together.

    optimizer: of both, each with a state of its own; default Adam(2e-4, beta_1=0.5) (Radford et al. 2016). seed: of
    shuffling and codings. Other arguments as `fit` has them; callbacks have the discriminator as their model;
    BackupAndRestore, GradientNorms and Health, which are of calls of `fit`, are refused. History: discriminator_loss,
    generator_loss, and with y label_loss, which is a part of the former. Raises ValueError or
    TypeError before anything is trained.
    """
    where = "gan"
    training = Training.read(where, epochs, batch_size, callbacks, verbose, threads)
    training.refuse(where, BackupAndRestore, "whose backup is of one call of fit")
    for kind in (GradientNorms, Health):
        training.refuse(where, kind, "which counts the steps of fit")
    chosen = Adam(2e-4, beta_1=0.5) if optimizer is None else optimizers.get(optimizer, where)
    rng = np.random.Generator(np.random.PCG64(own_seed(where, seed)))
    own, rows = read_hidden(where, hidden, x)
    labels = _read_labels(where, y, rows)
    imitator = _read_generator(where, generator)
    top = Dense(
        1 if labels is None else int(labels.max()) + 1, name=free_name("real", {layer.name for layer in own.layers})
    )
    model = own.model(top)
    features = np.ascontiguousarray(own.features(rows), own.dtype)
    if imitator.output_shape[1:] != features.shape[1:]:
        raise errors.wrong_shape(
            where, "generator's output", ("rows", *features.shape[1:]), ("rows", *imitator.output_shape[1:])
        )
    if imitator.dtype != own.dtype:
        raise errors.wrong_value(where, "generator's dtype", own.dtype, imitator.dtype)
    judge = Sequential([Input(features.shape[1:]), *own.above, top], dtype=own.dtype)
    loss = BinaryCrossentropy if labels is None else SparseCategoricalCrossentropy
    model.compile(chosen.fresh(), loss(from_logits=True))
    game = _Game(judge, imitator, chosen, features, labels, training, rng)
    return Pretrained(own.layers, model, [game.play(where)], imitator)


class _Player:
    """One of the two networks, with its program and its optimizer."""

    def __init__(self, model: Sequential, optimizer: Optimizer, capacity: int) -> None:
        model.compile(optimizer, "mse")  # an optimizer goes with a loss; the game has its own
        self.model, self.optimizer = model, optimizer
        self.executor = Executor(model.spec(), model.variables, dtype=model.dtype, capacity=capacity)
        self.shown = 0  # batches, which is what random layers draw by

    def forward(self, x: Array) -> Array:
        """What it makes of a batch."""
        program = self.executor.take(self.optimizer)  # each time: a callback may have changed weights
        self.shown += 1
        found: Array = program.forward(x, training=True, draw=self.shown)
        return found

    def backward(self, dy: Array) -> Array:
        """From the gradient of that to the gradient of the batch."""
        dx: Array = self.executor.program.backward(np.ascontiguousarray(dy, self.model.dtype))
        return dx

    def learn(self) -> None:
        """A step by the gradients of the last way back."""
        rate, momentum = self.optimizer.pace.of_epoch(self.optimizer.batches, 0, 1, 1)
        self.executor.program.update(float(rate), None if momentum is None else float(momentum))


class _Game:
    """A discriminator and a generator, which learn in turn."""

    def __init__(
        self,
        judge: Sequential,
        imitator: Sequential,
        optimizer: Optimizer,
        features: Array,
        labels: Array | None,
        training: Training,
        rng: np.random.Generator,
    ) -> None:
        self.features, self.labels, self.training, self.rng = features, labels, training, rng
        self.batch = min(training.batch_size, len(features))
        self.known = np.flatnonzero(labels >= 0) if labels is not None else np.zeros(0, np.int64)
        self.asked = min(self.batch, len(self.known))  # labelled rows of a step
        self.judge = _Player(judge, optimizer.fresh(), 2 * self.batch + self.asked)
        self.imitator = _Player(imitator, optimizer.fresh(), self.batch)

    def play(self, where: str) -> History:
        """All epochs."""
        training, judge = self.training, self.judge.model
        listed = with_defaults(where, training.callbacks, training.verbose)
        rows, steps = len(self.features), -(-len(self.features) // self.batch)
        verbosity = read_verbose(where, training.verbose)
        hooks = CallbackList(
            listed, judge, {"epochs": training.epochs, "steps": steps, "rows": rows, "verbose": verbosity}
        )
        threads = read_threads(where, training.threads)
        judge.stop_training = False
        logs: Logs = {}
        try:
            with closing(hooks), self.judge.executor.threads(threads), self.imitator.executor.threads(threads):
                hooks.call("on_train_begin", {})
                for epoch in range(training.epochs):
                    hooks.call("on_epoch_begin", epoch, {})
                    logs = self._play_epoch(hooks)
                    hooks.call("on_epoch_end", epoch, logs)
                    if judge.stop_training:
                        break
                for player in (self.judge, self.imitator):
                    player.optimizer.finalize_variable_values(player.model.trainable_weights)
                hooks.call("on_train_end", logs)
        finally:
            for player in (self.judge, self.imitator):
                player.executor.release()
        return next(callback for callback in listed if isinstance(callback, History))

    def _play_epoch(self, hooks: CallbackList) -> Logs:
        order = self.rng.permutation(len(self.features))
        sums: dict[str, float] = {}
        logs: Logs = {}
        seen, since = 0, time.monotonic()
        for step, first in enumerate(range(0, len(order), self.batch)):
            if hooks.per_batch:
                hooks.call("on_train_batch_begin", step, {})
            real = self.features[order[first : first + self.batch]]
            seen += len(real)
            for name, value in (self._judge(real) | self._imitate(len(real))).items():
                sums[name] = sums.get(name, 0.0) + value * len(real)
            logs = {name: total / seen for name, total in sums.items()}
            if hooks.per_batch:
                hooks.call("on_train_batch_end", step, logs)
            if time.monotonic() - since > SLICE_SECONDS or seen == len(order):
                since = time.monotonic()
                hooks.call("on_train_progress", seen, logs)
            if self.judge.model.stop_training:
                break
        return logs

    def _codings(self, rows: int) -> Array:
        shape = rows, self.imitator.model.input_shape[1]
        return self.rng.standard_normal(shape).astype(self.features.dtype)  # type: ignore[arg-type]

    def _judge(self, real: Array) -> dict[str, float]:
        """The discriminator's step."""
        rows = len(real)
        fake = self.imitator.forward(self._codings(rows))
        asked = self.rng.choice(self.known, self.asked, replace=False)
        logits = self.judge.forward(np.concatenate([real, fake, self.features[asked]]))
        z, share = log_sum(logits)
        of_real, of_fake, of_known = slice(rows), slice(rows, 2 * rows), slice(2 * rows, None)
        loss = float(np.logaddexp(0, -z[of_real]).mean() + np.logaddexp(0, z[of_fake]).mean())
        dy = np.empty_like(logits)
        dy[of_real] = share[of_real] * (-_sigmoid(-z[of_real]) / rows)
        dy[of_fake] = share[of_fake] * (_sigmoid(z[of_fake]) / rows)
        found = {}
        if self.labels is not None:
            right = np.arange(self.asked), self.labels[asked]
            of_labels = float((z[of_known, 0] - logits[of_known][right]).mean())
            dy[of_known] = share[of_known] / self.asked
            dy[of_known][right] -= 1 / self.asked
            loss += of_labels
            found = {"label_loss": of_labels}
        self.judge.backward(dy)
        self.judge.learn()
        return {"discriminator_loss": loss, **found}

    def _imitate(self, rows: int) -> dict[str, float]:
        """The generator's step: towards what the discriminator takes for real."""
        fake = self.imitator.forward(self._codings(rows))
        z, share = log_sum(self.judge.forward(fake))
        self.imitator.backward(self.judge.backward(share * (-_sigmoid(-z) / rows)))
        self.imitator.learn()
        return {"generator_loss": float(np.logaddexp(0, -z).mean())}


def log_sum(logits: Array) -> tuple[Array, Array]:
    """log(sum(exp(logits))) [rows, 1], and its gradient, which is softmax."""
    most = logits.max(axis=1, keepdims=True)
    parts = np.exp(logits - most)
    total = parts.sum(axis=1, keepdims=True)
    return most + np.log(total), parts / total


def _sigmoid(z: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(0.5 * z))
    return found


def _read_labels(where: str, y: object, rows: Array) -> Array | None:
    if y is None:
        return None
    labels = arrays.as_array(where, "y", y)
    arrays.same_length(where, ("x", "y"), rows, labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(rows),), (len(rows), 1)):
        received = f"{labels.dtype} of shape {errors.shape_text(labels.shape)}"
        raise errors.wrong_kind(where, "y", "whole numbers [rows]: classes 0, 1, ..., or -1 where unknown", received)
    labels = labels.reshape(-1).astype(np.int64)
    if labels.min() < -1 or labels.max() < 1:
        raise errors.wrong_value(
            where, "y", "at least two classes 0, 1, ..., and -1 where unknown", [int(labels.min()), int(labels.max())]
        )
    return labels


def _read_generator(where: str, generator: object) -> Sequential:
    """A copy, with the same weights where there are some."""
    if not isinstance(generator, Sequential):
        raise errors.wrong_type(where, "generator", "a Sequential from codings to features", generator)
    if not generator.built:
        raise ValueError(f"{where}: generator: expected Input(shape=...) first, with the number of codings")
    if len(generator.input_shape) != 2:
        raise errors.wrong_shape(where, "generator's input", ("rows", "codings"), ("rows", *generator.input_shape[1:]))
    copy = clone_model(generator)
    copy.set_weights(generator.get_weights())
    return copy  # type: ignore[no-any-return]
