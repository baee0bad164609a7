"""Autoencoders: layers that learn to describe rows, by giving them back."""

from __future__ import annotations

import copy
from typing import Any

from .. import activations, errors, optimizers
from ..callbacks import BackupAndRestore, History
from ..common import keywords
from ..common.registry import describe
from ..layers import Dense, DenseTranspose, GaussianNoise, Input
from ..layers.activation_base import ActivationLayer
from ..layers.base import Layer
from ..layers.noise import NoiseLayer
from ..models import Sequential
from ..models.cloning import clone_layer, undrawn
from .pretrained import Hidden, Pretrained, Training, free_name, read_hidden


@keywords.checked
def autoencoder(
    hidden: object,
    x: object,
    *,
    tied: bool = True,
    noise: object = None,
    greedy: bool = False,
    output_activation: object = None,
    loss: object = "mse",
    optimizer: object = "adam",
    epochs: int = 20,
    batch_size: int = 32,
    validation_split: float = 0.0,
    callbacks: object = None,
    verbose: int | str = "auto",
    threads: int | None = None,
) -> Pretrained:
    """Train hidden layers as the lower half of an autoencoder, without labels.

    hidden: a Sequential or a list of layers, without an output layer; a copy is trained. The other half, which leads
    from the last hidden layer back to the features, has a layer for each Dense layer, with the activation of the layer
    below that one, and at the end `output_activation` (linear unless given; "sigmoid" for features from 0 to 1).
    Flatten, Rescaling and Normalization at the bottom prepare x [rows, ...], and what comes out of them is given back.

    tied: the other half uses the same kernels, transposed (`layers.DenseTranspose`): half the weights, and less to fit.
    noise: a denoising autoencoder: the features are disturbed, and given back undisturbed. A number is the deviation of
    Gaussian noise; or a layer such as `Dropout(0.3)`.
    greedy: one hidden layer after another, each as a small autoencoder of what those below it make of x, with `noise`
    there; so also deep stacks of sigmoids learn, through which a gradient does not come. Each takes `epochs`, and has a
    History; a BackupAndRestore is refused. Otherwise all of them at once: a stacked autoencoder.
    loss: of the features; what hidden layers give is measured by "mse". Other arguments as `fit` has them.

    Hinton and Salakhutdinov 2006; Bengio et al. 2007 (greedy); Vincent et al. 2010 (denoising). Raises ValueError or
    TypeError before anything is trained.
    """
    where = "autoencoder"
    tied, greedy = errors.boolean(where, "tied", tied), errors.boolean(where, "greedy", greedy)
    training = Training.read(where, epochs, batch_size, callbacks, verbose, threads, validation_split)
    if greedy:
        training.refuse(where, BackupAndRestore, "whose backup is of one call of fit")
    chosen = optimizers.get(optimizer, where)
    activations.resolve(output_activation, where, "output_activation")
    own, rows = read_hidden(where, hidden, x)
    blocks = _blocks(where, own)
    below = [output_activation, *map(_activation, blocks[:-1])]
    taken = {layer.name for layer in own.layers}
    backs = [_back(block[0], activation, tied, taken) for block, activation in zip(blocks, below, strict=True)]
    noises = [_noise(where, noise, taken) for _ in (blocks if greedy else blocks[:1])]

    whole = Sequential([Input(own.shape), *own.front, *noises[0], *own.above, *reversed(backs)], dtype=own.dtype)
    whole.compile(chosen.fresh(), loss)
    features = own.features(rows)
    if not greedy:
        return Pretrained(own.layers, whole, [training.fit(whole, rows, features)])
    histories: list[History] = []
    codes = rows
    bottom: list[Any] = [Input(own.shape), *own.front]
    for block, back, disturbance in zip(blocks, backs, noises, strict=True):
        small = Sequential([*bottom, *disturbance, *block, back], dtype=own.dtype)
        small.compile(chosen.fresh(), "mse" if histories else loss)
        history = training.fit(small, codes, codes if histories else features)
        histories.append(copy.copy(history))  # which may be the caller's own, and begin anew with the next block
        if back is not backs[-1]:
            codes = Sequential([*bottom, *block], dtype=own.dtype).predict(codes, verbose=0, threads=threads)
            bottom = [Input(codes.shape[1:])]
    return Pretrained(own.layers, whole, histories)


def _blocks(where: str, hidden: Hidden) -> list[list[Any]]:
    """The layers that learn, cut below each Dense layer."""
    blocks: list[list[Layer]] = []
    for layer in hidden.above:
        if isinstance(layer, DenseTranspose):
            raise errors.wrong_value(where, "hidden", "layers with kernels of their own", layer.label)
        if isinstance(layer, Dense):
            blocks.append([layer])
        elif blocks:
            blocks[-1].append(layer)
        else:
            expected = (
                "a Dense layer first, or below it Flatten, Rescaling and Normalization (noise= disturbs features)"
            )
            raise errors.wrong_value(where, "hidden", expected, layer.label)
    if not blocks:
        raise errors.wrong_value(where, "hidden", "at least one Dense layer", [one.label for one in hidden.front])
    return blocks


def _activation(block: list[Any]) -> object:
    """The activation of a block's outputs, for a layer that is to give such outputs."""
    dense = block[0]
    if dense.activation.kind != "linear":
        return dense.get_config()["activation"]
    found = next((layer for layer in reversed(block) if isinstance(layer, ActivationLayer)), None)
    return None if found is None else clone_layer(found)


def _back(dense: Dense, activation: object, tied: bool, taken: set[str]) -> Layer:
    """The layer that leads back through a Dense layer."""
    name = free_name(f"{dense.name}_back", taken)
    if tied:
        return DenseTranspose(dense, activation, name=name)
    features = dense.input_shape[1]
    assert features is not None  # of flat rows
    start = undrawn(describe(dense.kernel_initializer))
    return Dense(features, activation, kernel_initializer=start, name=name)


def _noise(where: str, noise: object, taken: set[str]) -> list[Layer]:
    """The layer that disturbs, if there is one."""
    if noise is None:
        return []
    if isinstance(noise, NoiseLayer):
        config = undrawn(noise.get_config()) | {"name": free_name(f"{noise.name}_below", taken)}
        return [type(noise)(**config)]
    if isinstance(noise, (Layer, str)):
        raise errors.wrong_type(where, "noise", "a number, or a layer such as Dropout(0.3)", noise)
    deviation = errors.number(where, "noise", noise, at_least=0.0)
    return [GaussianNoise(deviation, name=free_name("noise", taken))]
