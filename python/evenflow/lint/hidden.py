"""Hidden layers: initial weights, activations, depth, and what stands around batch normalization."""

from __future__ import annotations

from collections.abc import Iterator

from ..activations import OUTPUTS
from ..initializers import Auto, Constant, HeNormal, Ones, VarianceScaling, Zeros
from ..layers import Dense
from ..layers.merging import Merge
from ..layers.normalization import BatchNormalization
from .network import KERNELS, NORMALIZATIONS, Finding, Network, initializer_of, is_like, name_of

SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign", "sparse_sigmoid")
DEEP_SATURATING, DEEP = 3, 10  # hidden layers from which on depth itself is a reason to worry


def initializer(network: Network) -> Iterator[Finding]:
    for node in network.hidden:
        path, own = node.until_activation(), initializer_of(node)
        kind = network.activation_of(node)
        normalized = any(isinstance(n.layer, NORMALIZATIONS) for n in path)
        if kind in ("linear", "selu") or normalized or not isinstance(own, VarianceScaling):
            continue
        right = Auto().before(kind)
        needs_he, is_he = is_like(right, HeNormal), is_like(own, HeNormal)
        if needs_he != is_he:
            name = "he_normal" if needs_he else "glorot_uniform"
            why = (
                f"{kind} passes about half of the variance of what it is given, which He initialization, 2 / fan_in, "
                f"makes up for"
                if needs_he
                else f"Glorot initialization, 1 / fan_avg, keeps the variance of signals through {kind}, and from "
                f"growing until it saturates"
            )
            yield Finding("initializer", node.name, f"{kind} with kernel_initializer={name_of(own)}: use {name!r}", why)


def constant_initializer(network: Network) -> Iterator[Finding]:
    for node in network.dense:
        if isinstance(initializer_of(node), (Zeros, Ones, Constant)) and node in network.hidden:
            yield Finding(
                "constant_initializer",
                node.name,
                f"kernel_initializer={name_of(initializer_of(node))}: all units begin alike: use a random one",
                "Units that begin alike get the same gradients and stay alike: the layer works like a single unit",
            )


def no_activation(network: Network) -> Iterator[Finding]:
    for node in network.hidden:
        following = next((n for n in node.after() if isinstance(n.layer, (*KERNELS, Merge))), None)
        if network.activation_of(node) == "linear" and following and isinstance(following.layer, Dense):
            yield Finding(
                "no_activation",
                node.name,
                f"no activation before {following.name}: give it one, such as activation='relu'",
                "Two linear layers in a row compute no more than one of them could",
            )


def hidden_softmax(network: Network) -> Iterator[Finding]:
    for node in network.nodes:
        following = next((n for n in node.after() if isinstance(n.layer, (*KERNELS, Merge))), None)
        if node.activation in OUTPUTS and following and isinstance(following.layer, KERNELS):
            yield Finding(
                "hidden_softmax",
                node.name,
                f"{node.activation} below {following.name}: if it was the output of another model, leave it out "
                f"(model.pop()), else use an activation such as 'relu'",
                "Its values add up to 1 in each row: of many units each is small, and little of the signal and of the "
                "gradient gets through",
            )


def saturating_stack(network: Network) -> Iterator[Finding]:
    found = [node for node in network.hidden if network.activation_of(node) in SATURATING]
    if len(found) >= DEEP_SATURATING and not network.has(*NORMALIZATIONS):
        kind = network.activation_of(found[0])
        yield Finding(
            "saturating_stack",
            found[0].name,
            f"{len(found)} hidden layers of {kind} without batch normalization: use ReLU's kin, or BatchNormalization",
            f"{kind} is flat where its input is large: gradients get smaller from layer to layer on the way down, and "
            f"the lowest layers hardly learn (Glorot and Bengio 2010)",
        )


def clipping(network: Network) -> Iterator[Finding]:
    optimizer = network.model.optimizer
    normalized = network.has(*NORMALIZATIONS) or len(network.selu) == len(network.hidden)
    if optimizer is None or len(network.hidden) < DEEP or normalized:
        return
    if all(getattr(optimizer, name, None) is None for name in ("clipvalue", "clipnorm", "global_clipnorm")):
        yield Finding(
            "clipping",
            network.hidden[0].name,
            f"{len(network.hidden)} hidden layers without batch normalization, and {optimizer.name} without clipping: "
            f"give it global_clipnorm=1.0",
            "Gradients of a deep network may grow from layer to layer on the way down; clipping by norm keeps their "
            "direction and bounds the step",
        )


def bias_before_batch_norm(network: Network) -> Iterator[Finding]:
    for node in network.dense:
        following = next(node.after(), None)
        layer = node.layer
        assert isinstance(layer, Dense)
        bare = layer.use_bias and node.activation == "linear"
        if bare and following and isinstance(following.layer, BatchNormalization) and following.layer.center:
            yield Finding(
                "bias_before_batch_norm",
                node.name,
                f"a bias before {following.name}: use_bias=False",
                "Batch normalization subtracts the mean, a bias with it, and has an offset of its own, beta",
            )


def lost_bias(network: Network) -> Iterator[Finding]:
    for node in network.dense:
        layer = node.layer
        assert isinstance(layer, Dense)
        path = node.until_activation()
        normalized = any(isinstance(n.layer, NORMALIZATIONS) for n in path)
        if not layer.use_bias and path and not normalized and node in network.hidden:
            yield Finding(
                "lost_bias",
                node.name,
                f"use_bias=False, and no batch normalization between it and {network.activation_of(node)}: leave "
                f"use_bias out, or put BatchNormalization before the activation",
                "The offset of a batch normalization replaces a bias only if it comes before the activation",
            )


def batch_norm_sandwich(network: Network) -> Iterator[Finding]:
    first = network.first
    if first is None or not isinstance(first.layer, BatchNormalization):
        return
    following = next(first.after(), None)
    if following is None or not isinstance(following.layer, Dense):
        return
    if any(isinstance(node.layer, BatchNormalization) for node in following.until_activation()):
        yield Finding(
            "batch_norm_sandwich",
            first.name,
            f"{following.name} stands between this batch normalization and one before its activation: drop the first, "
            f"and standardize the inputs",
            "Where batch normalization comes before activations, the first hidden layer needs none in front of it",
        )
