"""A network as the rules look at it, and what they find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..initializers import LecunNormal, VarianceScaling
from ..layers import Dense, DenseTranspose, Flatten, InputLayer, Rescaling
from ..layers.activation_base import ActivationLayer
from ..layers.base import Layer
from ..layers.merging import Merge
from ..layers.normalization import BatchNormalization
from ..layers.row_normalization import LayerNormalization, RMSNormalization
from ..losses.base import Loss

if TYPE_CHECKING:
    from ..models.model import Model

NORMALIZATIONS = (BatchNormalization, LayerNormalization, RMSNormalization)


@dataclass(frozen=True)
class Finding:
    """One thing that `check` found: the rule's name, the layer, what is there, and why it is likely to do harm."""

    rule: str
    layer: str
    message: str
    reason: str

    def __str__(self) -> str:
        return f"layer {self.layer}: {self.message}. {self.reason}."


KERNELS = (Dense, DenseTranspose)


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
        if isinstance(self.layer, KERNELS):
            return self.layer.activation.kind
        return self.layer.as_activation().kind if isinstance(self.layer, ActivationLayer) else "linear"

    def after(self) -> Iterator[Node]:
        """What comes next, as long as there is one thing only."""
        node = self
        while len(node.readers) == 1:
            node = node.readers[0]
            yield node

    def leads_to_dense(self) -> bool:
        """Whether another Dense layer reads it, directly or through others."""
        return any(isinstance(node.layer, KERNELS) or node.leads_to_dense() for node in self.readers)

    def until_activation(self) -> list[Node]:
        """What lies between this kernel and the activation that follows, that included; [] where there is none."""
        if self.activation != "linear":
            return [self]
        between = []
        for node in self.after():
            if isinstance(node.layer, (*KERNELS, Merge)):
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
        self.kernels = [node for node in self.nodes if isinstance(node.layer, KERNELS)]
        self.hidden = [node for node in self.dense if node.leads_to_dense()]

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
        """That of a model with one output."""
        loss: object = self.model.loss
        return loss if isinstance(loss, Loss) else None


def initializer_of(node: Node) -> object:
    """Of the kernel of a Dense layer."""
    assert isinstance(node.layer, Dense)
    return node.layer.kernel_initializer


def is_like(given: object, kind: type[VarianceScaling]) -> bool:
    """Whether it has that variance (and is normal, where that one is for SELU)."""
    if not isinstance(given, VarianceScaling):
        return False
    right = kind()
    same = given.scale == right.scale and given.mode == right.mode
    return same and (kind is not LecunNormal or given.distribution != "uniform")


def name_of(given: object) -> str:
    """Of an initializer, as messages show it."""
    return repr(type(given).__name__)
