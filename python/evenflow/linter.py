"""What is likely to go wrong with a network before it is trained, each finding with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .activation_layer import ActivationLayer
from .activations import OUTPUTS
from .constraints import MaxNorm
from .data import Inputs, Several
from .initializers import Auto, Constant, HeNormal, LecunNormal, Ones, VarianceScaling, Zeros
from .layer import Layer
from .layers import Dense, Flatten, InputLayer, Rescaling
from .loss import Loss
from .merging import Merge
from .noise import Dropout, GaussianDropout
from .normalization import BatchNormalization, Normalization
from .row_normalization import LayerNormalization

if TYPE_CHECKING:
    from .model import Model

SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign", "sparse_sigmoid")
DEEP_SATURATING, DEEP = 3, 10  # hidden layers from which on depth itself is a reason to worry
LARGE_INPUT, UNEVEN_INPUTS = 10.0, 1000.0  # root mean square of a feature; of the largest over the smallest
SEEN_ROWS = 10_000  # of x: enough to know its scale


@dataclass(frozen=True)
class Finding:
    """One thing that `check` found: the rule's name, the layer, what is there, and why it is likely to do harm."""

    rule: str
    layer: str
    message: str
    reason: str

    def __str__(self) -> str:
        return f"layer {self.layer}: {self.message}. {self.reason}."


@dataclass
class Node:
    """A layer among the others."""

    layer: Layer
    sources: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def activation(self) -> str:
        """Its own: "linear" where it has none."""
        if isinstance(self.layer, Dense):
            return self.layer.activation.kind
        return self.layer.as_activation().kind if isinstance(self.layer, ActivationLayer) else "linear"

    def after(self) -> Iterator[Node]:
        """What comes next, as long as there is one thing only."""
        node = self
        while len(node.readers) == 1:
            node = node.readers[0]
            yield node

    def until_activation(self) -> list[Node]:
        """What lies between this kernel and the activation that follows, that included; [] where there is none."""
        if self.activation != "linear":
            return [self]
        between = []
        for node in self.after():
            if isinstance(node.layer, (Dense, Merge)):
                return []
            between.append(node)
            if node.activation != "linear":
                return between
        return []


class Network:
    """The layers of a model as the rules look at them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.nodes: list[Node] = []
        for layer, sources in model.wiring():
            node = Node(layer, [self.nodes[i] for i in sources])
            for source in node.sources:
                source.readers.append(node)
            self.nodes.append(node)
        self.dense = [node for node in self.nodes if isinstance(node.layer, Dense)]
        self.hidden = self.dense[:-1]

    def activation_of(self, node: Node) -> str:
        """The one that a Dense layer's output goes through."""
        path = node.until_activation()
        return path[-1].activation if path else "linear"

    def has(self, *kinds: type[Layer]) -> bool:
        return any(isinstance(node.layer, kinds) for node in self.nodes)

    @property
    def selu(self) -> list[Node]:
        """Hidden Dense layers with SELU."""
        return [node for node in self.hidden if self.activation_of(node) == "selu"]

    @property
    def first(self) -> Node | None:
        """The first layer that does something to the inputs besides their shape and a factor."""
        found = (n for n in self.nodes if not isinstance(n.layer, (InputLayer, Flatten, Rescaling)))
        return next(found, None)

    @property
    def loss(self) -> Loss | None:
        return self.model.loss


Rule = Callable[[Network], Iterator[Finding]]


def check(model: Model, x: Inputs | None = None) -> list[Finding]:
    """`Model.check`, of rows that the model can take."""
    network = Network(model)
    found = [finding for rule in RULES for finding in rule(network)]
    if x is not None:
        step = max(1, len(x) // SEEN_ROWS)
        arrays = x.arrays if isinstance(x, Several) else [x]
        found += _of_inputs(
            network, [np.asarray(a[::step], np.float64).reshape(-(-len(a) // step), -1) for a in arrays]
        )
    return found


# SELU ----------------------------------------------------------------------------------------------------------------

SELF = "A network of SELU keeps mean 0 and standard deviation 1 by itself only"


def selu_initializer(network: Network) -> Iterator[Finding]:
    for node in network.selu:
        initializer = _initializer(node)
        if not _is_like(initializer, LecunNormal) and not isinstance(initializer, Auto):
            yield Finding(
                "selu_initializer",
                node.name,
                f"SELU with kernel_initializer={_name(initializer)}: use 'lecun_normal'",
                f"{SELF} from weights of variance 1 / fan_in, preferably normal ones",
            )


def selu_dropout(network: Network) -> Iterator[Finding]:
    for node in network.nodes:
        if network.selu and isinstance(node.layer, (Dropout, GaussianDropout)):
            yield Finding(
                "selu_dropout",
                node.name,
                f"{type(node.layer).__name__} in a network of SELU: use AlphaDropout",
                f"{SELF} while nothing changes them: regular dropout does, alpha dropout keeps both",
            )


def selu_batch_norm(network: Network) -> Iterator[Finding]:
    for node in network.nodes:
        inside = isinstance(node.layer, (BatchNormalization, LayerNormalization)) and node is not network.first
        if network.selu and inside:
            yield Finding(
                "selu_batch_norm",
                node.name,
                f"{type(node.layer).__name__} in a network of SELU: leave it out, or take ELU or ReLU beside it",
                f"{SELF} without other normalization between its layers, which would only undo it",
            )


def selu_skip(network: Network) -> Iterator[Finding]:
    for node in network.nodes:
        if network.selu and isinstance(node.layer, Merge):
            yield Finding(
                "selu_skip",
                node.name,
                f"{type(node.layer).__name__} in a network of SELU: use another activation, such as ELU or Swish",
                f"{SELF} as a plain stack: what joins branches, as in Wide & Deep, has another mean and deviation",
            )


def selu_regularizer(network: Network) -> Iterator[Finding]:
    for node in network.selu:
        layer = node.layer
        assert isinstance(layer, Dense)
        limits = [
            layer.kernel_regularizer,
            layer.kernel_constraint if isinstance(layer.kernel_constraint, MaxNorm) else None,
        ]
        for limit in limits:
            if limit is not None:
                yield Finding(
                    "selu_regularizer",
                    node.name,
                    f"{type(limit).__name__} on the kernel of a SELU layer: use AlphaDropout or early stopping",
                    f"{SELF} while the weights keep their scale, which l1, l2 and max-norm take from them",
                )


def selu_mixed(network: Network) -> Iterator[Finding]:
    for node in network.hidden if network.selu else ():
        if network.activation_of(node) != "selu":
            yield Finding(
                "selu_mixed",
                node.name,
                f"{network.activation_of(node)} beside layers of SELU: use SELU in all hidden layers, or in none",
                f"{SELF} if all hidden layers are SELU",
            )


# Initial weights and activations -------------------------------------------------------------------------------------


def initializer(network: Network) -> Iterator[Finding]:
    for node in network.hidden:
        path, own = node.until_activation(), _initializer(node)
        kind = network.activation_of(node)
        normalized = any(isinstance(n.layer, (BatchNormalization, LayerNormalization)) for n in path)
        if kind in ("linear", "selu") or normalized or not isinstance(own, VarianceScaling):
            continue
        right = Auto().before(kind)
        needs_he, is_he = _is_like(right, HeNormal), _is_like(own, HeNormal)
        if needs_he != is_he:
            name = "he_normal" if needs_he else "glorot_uniform"
            why = (
                f"{kind} passes about half of the variance of what it is given, which He initialization, 2 / fan_in, "
                f"makes up for"
                if needs_he
                else f"Glorot initialization, 1 / fan_avg, keeps the variance of signals through {kind}, and from "
                f"growing until it saturates"
            )
            yield Finding("initializer", node.name, f"{kind} with kernel_initializer={_name(own)}: use {name!r}", why)


def constant_initializer(network: Network) -> Iterator[Finding]:
    for node in network.dense:
        if isinstance(_initializer(node), (Zeros, Ones, Constant)) and node in network.hidden:
            yield Finding(
                "constant_initializer",
                node.name,
                f"kernel_initializer={_name(_initializer(node))}: all units begin alike: use a random one",
                "Units that begin alike get the same gradients and stay alike: the layer works like a single unit",
            )


def no_activation(network: Network) -> Iterator[Finding]:
    for node in network.hidden:
        following = next((n for n in node.after() if isinstance(n.layer, (Dense, Merge))), None)
        if network.activation_of(node) == "linear" and following and isinstance(following.layer, Dense):
            yield Finding(
                "no_activation",
                node.name,
                f"no activation before {following.name}: give it one, such as activation='relu'",
                "Two linear layers in a row compute no more than one of them could",
            )


def saturating_stack(network: Network) -> Iterator[Finding]:
    found = [node for node in network.hidden if network.activation_of(node) in SATURATING]
    if len(found) >= DEEP_SATURATING and not network.has(BatchNormalization, LayerNormalization):
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
    normalized = network.has(BatchNormalization, LayerNormalization) or len(network.selu) == len(network.hidden)
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


# Batch normalization -------------------------------------------------------------------------------------------------


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
        normalized = any(isinstance(n.layer, (BatchNormalization, LayerNormalization)) for n in path)
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


# Output and loss -----------------------------------------------------------------------------------------------------


def output_and_loss(network: Network) -> Iterator[Finding]:
    loss = network.loss
    if loss is None or not network.dense or "crossentropy" not in loss.kind:
        return
    last = network.dense[-1]
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
            f"{kind} at the output, and {loss.name} takes probabilities: use activation={wanted!r}, or from_logits=True",
            "A cross-entropy of numbers that are no probabilities is cut off at 0 and 1, and has no slope there",
        )


def softmax_of_one(network: Network) -> Iterator[Finding]:
    if not network.dense:
        return
    last = network.dense[-1]
    assert isinstance(last.layer, Dense)
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


RULES: Sequence[Rule] = (
    selu_initializer,
    selu_dropout,
    selu_batch_norm,
    selu_skip,
    selu_regularizer,
    selu_mixed,
    initializer,
    constant_initializer,
    no_activation,
    saturating_stack,
    clipping,
    bias_before_batch_norm,
    lost_bias,
    batch_norm_sandwich,
    output_and_loss,
    softmax_of_one,
    not_adapted,
)


# Inputs --------------------------------------------------------------------------------------------------------------


def _of_inputs(network: Network, arrays: list[Any]) -> Iterator[Finding]:
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
    if isinstance(first.layer, (BatchNormalization, Normalization, LayerNormalization)):
        return
    factor, offset = 1.0, 0.0
    for node in network.nodes:
        if isinstance(node.layer, Rescaling):
            factor, offset = float(node.layer.scale), float(node.layer.offset)
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


def _initializer(node: Node) -> object:
    assert isinstance(node.layer, Dense)
    return node.layer.kernel_initializer


def _is_like(given: object, kind: type[VarianceScaling]) -> bool:
    """Whether it has that variance (and is normal, where that one is for SELU)."""
    if not isinstance(given, VarianceScaling):
        return False
    right = kind()
    same = given.scale == right.scale and given.mode == right.mode
    return same and (kind is not LecunNormal or given.distribution != "uniform")


def _name(given: object) -> str:
    return repr(type(given).__name__)
