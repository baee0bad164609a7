"""GAN: a generator and a discriminator of vectors that learn from each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import data, errors, optimizers
from .executor import Executor
from .layer import Layer
from .layers import BatchNormalization, Dense, Input
from .losses import BinaryCrossentropy
from .models import Sequential
from .optimizers import Adam, Optimizer
from .pretrained import Pretrained, read_layers
from .seeds import own_seed

Array = NDArray[Any]


class GAN:
    """A generative adversarial network (Goodfellow et al. 2014): the generator makes rows from random codings, the
    discriminator learns to tell them from real ones, and the generator to deceive it.

    generator: a built model from codings [rows, codings] to rows [rows, features].
    discriminator: a built model from such rows to one logit, the last layer being Dense(1) without an activation:
    above 0 it takes a row for real. Dropout and batch normalization may be in both.

    One step, of n real rows: the discriminator learns, with binary cross-entropy, from them and n made ones; then the
    generator learns from n others, with the loss -log(sigmoid(logit)) of rows it wants to be taken for real, whose
    gradient comes back through the discriminator, left as it is, to the rows and on through the generator.
    """

    def __init__(self, generator: Sequential, discriminator: Sequential, *, seed: int | None = None) -> None:
        where = "GAN"
        for argument, model in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(model, Sequential):
                raise errors.wrong_type(where, argument, "a Sequential", model)
            if not model.built:
                raise ValueError(f"{where}: {argument}: expected a built model, begin it with Input(shape=...)")
        made, judged = generator.output_shape[1:], discriminator.input_shape[1:]
        if made != judged:
            raise errors.wrong_shape(where, "discriminator's input", ("rows", *made), ("rows", *judged))
        top = discriminator.layers[-1]
        if not isinstance(top, Dense) or top.units != 1 or top.activation.kind != "linear":
            raise errors.wrong_kind(where, "discriminator", "Dense(1), a logit, as its last layer", top.label)
        if generator.dtype != discriminator.dtype:
            raise errors.wrong_value(where, "dtype of the discriminator", generator.dtype, discriminator.dtype)
        self.generator, self.discriminator = generator, discriminator
        self.codings = int(generator.input_shape[-1] or 0)
        self._random = np.random.default_rng(own_seed(where, seed))
        self.compile()

    def compile(self, generator_optimizer: object = None, discriminator_optimizer: object = None) -> None:
        """Choose the optimizers; without this, each has Adam(2e-4, beta_1=0.5), as Radford et al. 2015 found best."""
        made = [
            Adam(2e-4, beta_1=0.5) if given is None else optimizers.get(given, "GAN.compile")
            for given in (generator_optimizer, discriminator_optimizer)
        ]
        for optimizer in made:
            if optimizer.gradient_accumulation_steps is not None:
                steps = optimizer.gradient_accumulation_steps
                raise errors.wrong_value("GAN.compile", "gradient_accumulation_steps", "None", steps)
        self.generator.compile(made[0])
        self.discriminator.compile(made[1], BinaryCrossentropy(from_logits=True))

    def train_on_batch(self, x: Array) -> tuple[float, float]:
        """One step with these real rows [n, features]; the losses of discriminator and generator."""
        rows = data.as_array("GAN.train_on_batch", "x", x)
        n = len(rows)
        fake = self._program(self.generator, n).forward(self._draw(n), training=True)
        both = np.concatenate([rows.reshape(n, -1).astype(fake.dtype, copy=False), fake])
        real = np.repeat(np.array([1, 0], fake.dtype), n)[:, None]
        judged = float(self.discriminator.train_on_batch(both.reshape(2 * n, *self._row_shape), real))

        generator, discriminator = self._program(self.generator, n), self._program(self.discriminator, 2 * n)
        logit = discriminator.forward(generator.forward(self._draw(n), training=True), training=True)
        generator.backward(discriminator.backward(-_sigmoid(-logit) / n))
        optimizer = self.generator.optimizer
        assert isinstance(optimizer, Optimizer)
        generator.update(float(optimizer.learning_rate))
        return judged, float(np.logaddexp(0, -logit).mean())

    def fit(self, x: Any, epochs: int = 10, batch_size: int = 32) -> dict[str, list[float]]:
        """Train for so many epochs of shuffled batches of real rows x [rows, ...]; the mean losses of each epoch, by
        "discriminator" and "generator". A rest of rows that fills no batch waits for the next epoch's shuffle."""
        where = "GAN.fit"
        rows = data.as_array(where, "x", x)
        data.row_shape(where, "x", rows, self._row_shape)
        data.read_inputs(where, "x", rows, self.generator.dtype, allow_nonfinite=False)
        epochs = errors.integer(where, "epochs", epochs, at_least=0)
        batch = min(errors.integer(where, "batch_size", batch_size, at_least=1), len(rows))
        history: dict[str, list[float]] = {"discriminator": [], "generator": []}
        for _ in range(epochs):
            order = self._random.permutation(len(rows))
            steps = [
                self.train_on_batch(rows[order[first : first + batch]])
                for first in range(0, len(rows) - batch + 1, batch)
            ]
            for name, values in zip(history, zip(*steps, strict=True), strict=True):
                history[name].append(float(np.mean(values)))
        return history

    def sample(self, n: int, seed: int | None = None) -> Array:
        """n made rows [n, features]; the same for the same seed."""
        n = errors.integer("GAN.sample", "n", n, at_least=1)
        random = self._random if seed is None else np.random.default_rng(own_seed("GAN.sample", seed))
        made: Array = self.generator.predict(self._draw(n, random))
        return made

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return tuple(size for size in self.discriminator.input_shape[1:] if size is not None)

    def _draw(self, n: int, random: np.random.Generator | None = None) -> Array:
        return (random or self._random).standard_normal((n, self.codings)).astype(self.generator.dtype)

    @staticmethod
    def _program(model: Sequential, rows: int) -> Any:
        """A model's native program with room for so many rows, about to be trained in pieces."""
        executor: Executor = model._executor_for(rows, training=True)
        assert model.optimizer is not None
        return executor.take(model.optimizer)


def gan(
    layers: Iterable[Layer],
    x: Any,
    *,
    generator: Sequence[Layer] | None = None,
    codings: int = 30,
    output_activation: object = None,
    generator_optimizer: object = None,
    discriminator_optimizer: object = None,
    epochs: int = 50,
    batch_size: int = 32,
    dtype: str = "float32",
    seed: int | None = None,
) -> Pretrained:
    """Train layers as the lower ones of a GAN's discriminator, on rows without labels: to tell real rows from made ones
    they must see what real rows look like.

    layers: what stands below the discriminator's Dense(1); leaky ReLU is usual. x [rows, ...]: the real rows, scaled.
    generator: its hidden layers; left out, Dense layers with ReLU and batch normalization, as wide as those of the
    discriminator, in reversed order. codings: random numbers that a row is made from. output_activation: of the
    generator: "sigmoid" for rows in [0, 1], "tanh" for [-1, 1], None for standardized ones. The optimizers are those of
    `GAN.compile`, `seed` that of shuffles and codings.

    Returns the layers, the GAN (`model`, whose `sample` makes new rows) and its losses by epoch.
    """
    where = "gan"
    lower = read_layers(where, layers)
    rows = data.as_array(where, "x", x)
    shape = data.row_shape(where, "x", rows)
    discriminator = Sequential([Input(shape), *lower, Dense(1)], dtype=dtype)
    if generator is None:
        hidden: list[Layer] = []
        for layer in reversed(lower):
            if isinstance(layer, Dense):
                hidden += [Dense(layer.units, "relu", kernel_initializer="he_normal"), BatchNormalization()]
    else:
        hidden = read_layers(where, generator) if generator else []
    codings = errors.integer(where, "codings", codings, at_least=1)
    top = Dense(int(np.prod(shape)), output_activation)
    if len(shape) > 1:
        raise errors.wrong_shape(where, "x", ("rows", "features"), rows.shape, "Use x.reshape(len(x), -1).")
    model = GAN(Sequential([Input((codings,)), *hidden, top], dtype=dtype), discriminator, seed=seed)
    model.compile(generator_optimizer, discriminator_optimizer)
    history = model.fit(rows, epochs=epochs, batch_size=batch_size)
    return Pretrained(lower, model, [history])


def _sigmoid(x: Array) -> Array:
    return (np.tanh(x / 2) + 1) / 2
