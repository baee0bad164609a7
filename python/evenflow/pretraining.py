"""Pretraining: layers that learned something from plentiful data, to be put under a new top where labels are few.

    pretrained = evenflow.pretraining.stacked_autoencoder([Dense(100, "elu"), Dense(30, "elu")], x)
    model = pretrained.under(Dense(10, "softmax"))

`auxiliary` trains the layers on another task with labels of its own; `stacked_autoencoder` and `greedy_autoencoder` on
the rows alone, which they learn to give back; `gan` as the lower layers of a discriminator. The layers are yours: they
may have weights already, and what a function trains are these weights, not copies (`models.clone_model` makes copies).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import data, errors, losses, optimizers
from .activation_layer import ActivationLayer
from .callbacks import History
from .cloning import clone_layer
from .gan import GAN as GAN
from .gan import gan as gan
from .layer import Layer, Shape
from .layers import Dense, Flatten, Input, Rescaling
from .model import check_dtype
from .models import Sequential
from .noise import Dropout, GaussianNoise
from .normalization import Normalization
from .pretrained import Pretrained as Pretrained
from .pretrained import read_layers
from .recipe import read_problem
from .tied import TiedSequential

Array = NDArray[Any]

__all__ = ["GAN", "Pretrained", "auxiliary", "gan", "greedy_autoencoder", "stacked_autoencoder"]

PREPARING = (Flatten, Rescaling, Normalization)  # layers without anything to learn, which rows go through beforehand


def auxiliary(
    layers: Iterable[Layer],
    x: Any,
    y: Any,
    *,
    task: str | None = None,
    optimizer: object = "adam",
    epochs: int = 20,
    batch_size: int = 32,
    verbose: int | str = 0,
    dtype: str = "float32",
    **fit: Any,
) -> Pretrained:
    """Train layers on an auxiliary task, of which there are many labels: what they learn to see serves the task of
    which there are few.

    x [rows, ...], y: classes 0, 1, ... [rows] or values [rows] or [rows, outputs], as `evenflow.recipes` reads them
    (`task` overrides that). The layers get a top of their own for this task, a softmax or a linear layer for
    standardized values, which is not among those returned. `fit`: other arguments of `Sequential.fit`, such as
    `validation_data` and `callbacks`.
    """
    where = "auxiliary"
    problem, stack = read_problem(where, x, y, task), read_layers(where, layers)
    model = Sequential([Input(problem.row_shape), *stack, *problem.top()], dtype=check_dtype(where, dtype))
    problem.compile(model, optimizers.get(optimizer, where))
    history = model.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=verbose, **fit)
    return Pretrained(stack, model, [history])


def stacked_autoencoder(
    layers: Iterable[Layer],
    x: Any,
    *,
    tied: bool = False,
    noise: float = 0.0,
    dropout: float = 0.0,
    output_activation: object = None,
    loss: object = "mse",
    optimizer: object = "adam",
    epochs: int = 20,
    batch_size: int = 32,
    verbose: int | str = 0,
    dtype: str = "float32",
    **fit: Any,
) -> Pretrained:
    """Train layers as the encoder of an autoencoder, all at once: a decoder, the Dense layers mirrored, learns to give
    back the rows from the last layer's outputs, so that these must hold what tells rows apart.

    layers: Dense layers, with activations, batch normalization or dropout between them as you like. Flatten, Rescaling
    and Normalization in front learn nothing: rows go through them beforehand, and what comes out is to be given back.
    x [rows, ...]: the more rows the better; no labels.
    tied: the decoder has the transposed kernels of the encoder, with biases of its own: half the weights, and less to
    overfit. Its gradient is the sum of both uses; steps pass through Python (docs/adr/0010-tied-weights.md).
    noise, dropout: deviation of Gaussian noise added to the inputs, rate of inputs set to 0 (in training): a denoising
    autoencoder (Vincent et al. 2008), which cannot pass its inputs through.
    output_activation: of the decoder's last layer: None for standardized inputs, "sigmoid" for inputs in [0, 1].
    loss, optimizer, epochs, batch_size, verbose, `fit`: as `compile` and `fit` of a model have them; `validation_data`
    is one array of rows, or left out.

    Returns the layers, the autoencoder (`model`, from prepared rows to themselves) and the History.
    """
    coder = _Coder("stacked_autoencoder", layers, x, noise, dropout, tied, dtype)
    settings = {"epochs": epochs, "batch_size": batch_size, "verbose": verbose, **fit}
    model, history = coder.train(coder.learning, coder.rows, output_activation, loss, optimizer, settings)
    return Pretrained(coder.layers, model, [history])


def greedy_autoencoder(
    layers: Iterable[Layer],
    x: Any,
    *,
    tied: bool = False,
    noise: float = 0.0,
    dropout: float = 0.0,
    output_activation: object = None,
    loss: object = "mse",
    optimizer: object = "adam",
    epochs: int = 20,
    batch_size: int = 32,
    verbose: int | str = 0,
    dtype: str = "float32",
    **fit: Any,
) -> Pretrained:
    """As `stacked_autoencoder`, but greedily, a Dense layer at a time: the first learns to code the rows, the second to
    code what the first gives, computed once, and so on, each in an autoencoder with a single hidden layer. Each of
    these trainings is shallow and short; what the deep one at once finds is usually as good. Hinton et al. 2006, Bengio
    et al. 2007.

    `loss` and `output_activation` are those of the first; the decoders above end in the activation of the layer below
    and learn by "mse". `model` is that of the last training; `histories` has one History for each Dense layer.
    """
    coder = _Coder("greedy_autoencoder", layers, x, noise, dropout, tied, dtype)
    if "validation_data" in fit:
        raise errors.unknown_argument("greedy_autoencoder", ["validation_data"], ["validation_split"])
    settings = {"epochs": epochs, "batch_size": batch_size, "verbose": verbose, **fit}
    rows, histories = coder.rows, []
    for number, group in enumerate(coder.groups()):
        own = optimizers.get(optimizer, "greedy_autoencoder").fresh()
        model, history = coder.train(group, rows, output_activation, loss if number == 0 else "mse", own, settings)
        histories.append(history)
        output_activation = _activation_of(group)
        rows = Sequential([Input(rows.shape[1:]), *group], dtype=coder.dtype).predict(rows)
    return Pretrained(coder.layers, model, histories)


class _Coder:
    """Layers that are to code rows, and the rows as they enter the first one that learns."""

    def __init__(
        self, where: str, layers: Iterable[Layer], x: Any, noise: float, dropout: float, tied: bool, dtype: str
    ) -> None:
        self.where = where
        self.layers = read_layers(where, layers)
        first = next((i for i, layer in enumerate(self.layers) if not isinstance(layer, PREPARING)), len(self.layers))
        self.preparing, self.learning = self.layers[:first], self.layers[first:]
        if not any(isinstance(layer, Dense) for layer in self.learning):
            raise errors.wrong_kind(where, "layers", "at least one Dense layer", f"{len(self.layers)} others")
        self.noise = errors.number(where, "noise", noise, at_least=0.0)
        self.dropout = errors.number(where, "dropout", dropout, at_least=0.0, below=1.0)
        self.tied = errors.boolean(where, "tied", tied)
        self.dtype = check_dtype(where, dtype)
        array = data.as_array(where, "x", x)
        self.row_shape: Shape = data.row_shape(where, "x", array)
        data.read_inputs(where, "x", array, self.dtype, allow_nonfinite=False)
        self.rows = self.prepare(array)

    def prepare(self, x: Array) -> Array:
        """The rows as they enter the first layer that learns, flat."""
        if any(not isinstance(layer, Flatten) for layer in self.preparing):
            layers = self.preparing if len(x.shape) == 2 else [*self.preparing, Flatten()]
            return Sequential([Input(x.shape[1:]), *layers], dtype=self.dtype).predict(x)
        return np.ascontiguousarray(x.reshape(len(x), -1), self.dtype)

    def groups(self) -> list[list[Layer]]:
        """The layers that learn, divided before each Dense layer but the first."""
        found: list[list[Layer]] = [[]]
        for layer in self.learning:
            if isinstance(layer, Dense) and any(isinstance(other, Dense) for other in found[-1]):
                found.append([])
            found[-1].append(layer)
        return found

    def train(
        self,
        encoder: Sequence[Layer],
        rows: Array,
        output_activation: object,
        loss: object,
        optimizer: object,
        settings: dict[str, Any],
    ) -> tuple[Sequential, History]:
        """Train an encoder and its mirror image to give back rows; the autoencoder, without what corrupts its inputs."""
        corrupting: list[Layer] = [GaussianNoise(self.noise)] if self.noise else []
        corrupting += [Dropout(self.dropout)] if self.dropout else []
        entry = Input(rows.shape[1:])
        Sequential([entry, *encoder], dtype=self.dtype)  # makes the variables, whose shapes the mirror needs
        decoder, ties = self._mirror(encoder, output_activation)
        stack = [entry, *corrupting, *encoder, *decoder]
        made, found = optimizers.get(optimizer, self.where), losses.get(loss, self.where)
        model: Sequential
        if self.tied:
            model = TiedSequential(stack, ties, self.dtype)
            model.compile_tied(made, found)
        else:
            model = Sequential(stack, dtype=self.dtype)
            model.compile(made, found)
        if settings.get("validation_data") is not None:
            validation = self.prepare(data.as_array(self.where, "validation_data", settings["validation_data"]))
            settings = {**settings, "validation_data": (validation, validation)}
        history = model.fit(rows, rows, **settings)
        return Sequential([Input(rows.shape[1:]), *encoder, *decoder], dtype=self.dtype), history

    def _mirror(self, encoder: Sequence[Layer], output_activation: object) -> tuple[list[Dense], list[Any]]:
        """A decoder for the encoder, and which of its layers belong together."""
        denses = [i for i, layer in enumerate(encoder) if isinstance(layer, Dense)]
        decoder, ties = [], []
        for number in reversed(range(len(denses))):
            dense = encoder[denses[number]]
            assert isinstance(dense, Dense)
            (inputs,) = dense.input_shape[1:]
            between = encoder[denses[number - 1] : denses[number]] if number else ()
            fresh = clone_layer(dense)
            assert isinstance(fresh, Dense)
            activation = _activation_of(between) if number else output_activation
            decoder.append(Dense(inputs or 0, activation, kernel_initializer=fresh.kernel_initializer))
            ties.append((dense, decoder[-1]))
        return decoder, ties


def _activation_of(layers: Sequence[Layer]) -> object:
    """Of a Dense layer and what follows it: its own activation, or that of the activation layer after it."""
    found: object = None
    for layer in layers:
        if isinstance(layer, Dense) and layer.activation.kind != "linear":
            found = layer.get_config()["activation"]
        elif isinstance(layer, ActivationLayer) and layer.as_activation().kind != "linear":
            found = clone_layer(layer)
    return found
