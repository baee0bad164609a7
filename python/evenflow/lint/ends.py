"""The two ends of a network: its inputs, and its output beside the loss."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..activations import OUTPUTS
from ..layers import Rescaling
from ..layers.normalization import Normalization
from .network import KERNELS, NORMALIZATIONS, Finding, Network, Node
from .selu import SELF

LARGE_INPUT, UNEVEN_INPUTS = 10.0, 1000.0  # root mean square of a feature; of the largest over the smallest


def output_and_loss(network: Network) -> Iterator[Finding]:
    loss = network.loss
    if loss is None or not network.dense or "crossentropy" not in loss.kind:
        return
    last = network.kernels[-1]
    path = last.until_activation()
    kind = path[-1].activation if path else "linear"
    binary = loss.kind.startswith("binary")
    wanted = "sigmoid" if binary else "softmax"
    if loss.from_logits and kind != "linear" and kind not in OUTPUTS:
        yield Finding(
            "logits_activation",
            last.name,
            f"{kind} at the output, and {loss.name} with from_logits=True: leave the activation out",
            "from_logits=True applies the "
            + wanted
            + " itself; logits that an activation bounds bound what it can say",
        )
    fits = ("sigmoid", "hard_sigmoid", "sparse_sigmoid") if binary else ("softmax", "sparsemax", "log_softmax")
    if not loss.from_logits and kind not in fits:
        yield Finding(
            "missing_softmax",
            last.name,
            f"{kind} at the output, and {loss.name} takes probabilities: activation={wanted!r}, or from_logits=True",
            "A cross-entropy of numbers that are no probabilities is cut off at 0 and 1, and has no slope there",
        )


def softmax_of_one(network: Network) -> Iterator[Finding]:
    if not network.dense:
        return
    last = network.kernels[-1]
    assert isinstance(last.layer, KERNELS)
    if last.layer.units == 1 and network.activation_of(last) in OUTPUTS:
        kind = network.activation_of(last)
        yield Finding(
            "softmax_of_one",
            last.name,
            f"{kind} of a single unit: use 'sigmoid', with a binary cross-entropy",
            f"The outputs of {kind} add up to 1, so a single one is the same for every row",
        )


def not_adapted(network: Network) -> Iterator[Finding]:
    for node in network.nodes:
        layer = node.layer
        if isinstance(layer, Normalization) and layer.built:
            mean, variance = (variable.numpy() for variable in layer.variables)
            if (mean == 0).all() and (variance == 1).all():
                yield Finding(
                    "not_adapted",
                    node.name,
                    "Normalization with mean 0 and variance 1 changes nothing: call its adapt(x) before training",
                    "It does not learn: its statistics come from adapt, or from mean= and variance=",
                )


def of_inputs(network: Network, arrays: list[Any]) -> Iterator[Finding]:
    """What the rows [rows, features] of each input, float64, tell."""
    first = network.first
    if first is None:
        return
    for array in arrays:
        if not np.isfinite(array).all():
            row, column = np.argwhere(~np.isfinite(array))[0]
            yield Finding(
                "not_finite",
                first.name,
                f"x has {array[row, column]} in feature {column}: leave such rows out, or fill them in",
                "A single NaN makes every weight NaN in the first step",
            )
            return
    if isinstance(first.layer, (*NORMALIZATIONS, Normalization)):
        return
    factor, offset = 1.0, 0.0
    for node in itertools.takewhile(lambda node: node is not first, network.nodes):
        if isinstance(node.layer, Rescaling):
            scale = float(node.layer.scale)
            factor, offset = factor * scale, offset * scale + float(node.layer.offset)
    for array in arrays:
        yield from _of_scale(network, first, array * factor + offset)


def _of_scale(network: Network, first: Node, x: Any) -> Iterator[Finding]:
    sizes = np.sqrt((x**2).mean(axis=0))
    varying = sizes[x.std(axis=0) > 0]
    if len(varying) == 0:
        return
    largest, smallest = varying.max(), varying.min()
    advice = "standardize them, or begin with Normalization (adapted) or BatchNormalization"
    if largest > LARGE_INPUT or largest > UNEVEN_INPUTS * smallest:
        yield Finding(
            "unscaled_inputs",
            first.name,
            f"features of x have root mean squares from {smallest:.3g} to {largest:.3g}: {advice}",
            "Initial weights are made for inputs of mean 0 and deviation 1: others saturate the first layer, or leave "
            "it to the largest features",
        )
    elif network.selu and not (abs(x.mean()) <= 0.5 and 0.5 <= x.std() <= 2):
        yield Finding(
            "selu_inputs",
            network.selu[0].name,
            f"x has mean {x.mean():.3g} and standard deviation {x.std():.3g}: {advice}",
            f"{SELF} if the inputs have mean 0 and standard deviation 1",
        )
