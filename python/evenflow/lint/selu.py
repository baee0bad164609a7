"""The conditions under which a network of SELU normalizes itself. Klambauer et al. 2017."""

from __future__ import annotations

from collections.abc import Iterator

from ..constraints import MaxNorm
from ..initializers import Auto, LecunNormal
from ..layers import Dense
from ..layers.merging import Merge
from ..layers.noise import Dropout, GaussianDropout
from .network import NORMALIZATIONS, Finding, Network, initializer_of, is_like, name_of

SELF = "A network of SELU keeps mean 0 and standard deviation 1 by itself only"


def selu_initializer(network: Network) -> Iterator[Finding]:
    for node in network.selu:
        initializer = initializer_of(node)
        if not is_like(initializer, LecunNormal) and not isinstance(initializer, Auto):
            yield Finding(
                "selu_initializer",
                node.name,
                f"SELU with kernel_initializer={name_of(initializer)}: use 'lecun_normal'",
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
        inside = isinstance(node.layer, NORMALIZATIONS) and node is not network.first
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
