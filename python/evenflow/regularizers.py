"""Regularizers: what is added to the loss so that weights, or activations, stay small. Keras 3's names and defaults.

They keep a network from fitting the noise of its training rows: l2 constrains the connection weights, l1 makes for a
sparse model. The penalty counts in the loss that `fit` and `evaluate` report, for trainable layers only; its gradient
is added before clipping, to each block of a kernel's gradient while that is in cache. A penalty of activities is
divided by the number of rows of the batch.

`weight_decay=` of an optimizer is something else: it shrinks weights apart from the gradient (Loshchilov and Hutter
2019), whereas l2 goes through momentum and the scaling of Adam and its kin. With plain SGD, l2 = weight_decay / 2.
Neither penalties nor max-norm go with SELU: they break its self-normalization.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from . import errors
from .common.keywords import Checked
from .common.registry import Registry, describe

if TYPE_CHECKING:
    from .layers.base import Layer


__all__ = [
    "L1",
    "L1L2",
    "L2",
    "REGISTRY",
    "OrthogonalRegularizer",
    "ProximalL1",
    "Regularizer",
    "get",
    "l1_l2",
]


class Regularizer(Checked):
    """Base class: `regularizer(x)` returns the penalty of an array."""

    def spec(self) -> dict[str, Any]:
        """What the core is told."""
        raise NotImplementedError

    def __call__(self, x: ArrayLike) -> float:
        from .kernels import penalize

        array = np.asarray(x, order="C")
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
        spec = self.spec()
        return penalize(array, l1=spec["l1"], l2=spec["l2"])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make the same regularizer again."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_config().items())})"


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x^2). Zou and Hastie 2005, the elastic net.

    The defaults are 0, Keras' own; the name "l1_l2" means 0.01 for both, as Keras documents it.
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = errors.number("L1L2", "l1", 0.0 if l1 is None else l1, at_least=0.0)
        self.l2 = errors.number("L1L2", "l2", 0.0 if l2 is None else l2, at_least=0.0)

    def spec(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """l1 * sum(|x|), with the gradient l1 * sign(x), which is 0 at 0. Tibshirani 1996, the lasso.

    For models with many small weights. A gradient step jumps over 0 again and again, so weights become small but hardly
    ever exactly 0: `ProximalL1` makes them that.
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = errors.number(type(self).__name__, "l1", 0.01 if l1 is None else l1, at_least=0.0)

    def spec(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": 0.0}

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class ProximalL1(L1):
    """l1 * sum(|w|) for weights that are to be exactly 0: after each update,
    w = sign(w) * max(|w| - learning_rate * l1, 0), in place of a term in the gradient.

    This is what the chapter promises of l1, "a sparse model (with many weights equal to 0)". The step is the proximal
    operator of learning_rate * l1 * sum(|w|); with plain SGD, training is proximal gradient descent (ISTA) on the loss
    plus the penalty, which is reported with the loss as L1's is. Clipping does not touch the step. Rules that scale
    each weight's step, such as Adam, still use the one threshold learning_rate * l1. For weights, not for activations.
    Parikh and Boyd 2014, section 4.2; Beck and Teboulle 2009.
    """

    def spec(self) -> dict[str, Any]:
        return {**super().spec(), "proximal": True}


class L2(Regularizer):
    """l2 * sum(x^2), with the gradient 2 * l2 * x: constrains connection weights. Krogh and Hertz 1991."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = errors.number("L2", "l2", 0.01 if l2 is None else l2, at_least=0.0)

    def spec(self) -> dict[str, Any]:
        return {"l1": 0.0, "l2": self.l2}

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """factor times the mean of |cosine| over all pairs of a kernel's rows, or of its columns (mode="columns"): of what
    inputs send out, or of units' incoming weights. Vectors that point in different directions do different work.

    Of a single vector it is 0 (Keras' is NaN). Only for kernels. In each step it costs two products of all pairs by all
    vectors, more than the layer itself unless batches are large. As in Keras; compare Brock et al. 2017.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = errors.number("OrthogonalRegularizer", "factor", factor, at_least=0.0)
        if mode not in ("rows", "columns"):
            raise errors.unknown_name("OrthogonalRegularizer", "mode", mode, ("rows", "columns"))
        self.mode = mode

    def spec(self) -> dict[str, Any]:
        return {"l1": 0.0, "l2": 0.0, "orthogonal": self.factor, "mode": self.mode}

    def __call__(self, x: ArrayLike) -> float:
        from .kernels import penalize_pairs

        array = np.asarray(x, order="C")
        if array.ndim != 2:
            raise errors.wrong_shape("OrthogonalRegularizer", "x", ("inputs", "units"), array.shape)
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
        return penalize_pairs(array, factor=self.factor, mode=self.mode)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """`L1L2` with the defaults that Keras documents for the name "l1_l2"."""
    return L1L2(l1, l2)


# Keras' other names of the classes: `regularizers.l2(0.01)`.
l1, l2, orthogonal_regularizer = L1, L2, OrthogonalRegularizer

REGISTRY = Registry(
    Regularizer,
    (L1L2, L1, L2, ProximalL1, OrthogonalRegularizer),
    aliases={"l1": L1, "l2": L2, "l1_l2": L1L2, "l1l2": L1L2},
    example="L2(0.01)",
)


def get(identifier: object, where: str = "get", argument: str = "regularizer") -> Regularizer | None:
    """A regularizer from a name ("l2", "L2"), a regularizer or its class, its serialized form, or None."""
    if identifier is None:
        return None
    if isinstance(identifier, str) and REGISTRY.find(where, argument, identifier) is L1L2:
        return l1_l2()
    if isinstance(identifier, type) and issubclass(identifier, Regularizer):
        identifier = identifier()
    found = REGISTRY.make(where, argument, identifier)
    if type(found) not in REGISTRY.classes.values():
        raise errors.wrong_type(where, argument, f"one of {', '.join(REGISTRY.classes)}", identifier)
    return found


def get_for_vector(identifier: object, where: str, argument: str) -> Regularizer | None:
    """As `get`, for a bias and the like."""
    found = get(identifier, where, argument)
    if isinstance(found, OrthogonalRegularizer):
        raise errors.wrong_value(where, argument, "a penalty of numbers such as L2(0.01), or None", found)
    return found


def get_for_activity(identifier: object, where: str) -> Regularizer | None:
    """As `get`, for the outputs of a layer."""
    found = get(identifier, where, "activity_regularizer")
    if isinstance(found, (ProximalL1, OrthogonalRegularizer)):
        raise errors.wrong_value(where, "activity_regularizer", "a penalty such as L1(0.01), or None", identifier)
    return found


def spec_of(layer: Layer, variables: Sequence[str]) -> dict[str, Any]:
    """What the core is told of a layer's regularizers and constraints: `<variable>_regularizer` and
    `<variable>_constraint` of these variables, nothing for those that have none."""
    found: dict[str, Any] = {}
    for kind in ("regularizer", "constraint"):
        given = {name: getattr(layer, f"{name}_{kind}") for name in variables}
        specs = {name: thing.spec() for name, thing in given.items() if thing is not None}
        if specs:
            found[f"{kind}s"] = specs
    return found


def config_of(layer: Layer, variables: Sequence[str]) -> dict[str, Any]:
    """A layer's regularizers and constraints of these variables as plain data."""
    names = [f"{name}_{kind}" for kind in ("regularizer", "constraint") for name in variables]
    things = {name: getattr(layer, name) for name in names}
    return {name: None if thing is None else describe(thing) for name, thing in things.items()}
