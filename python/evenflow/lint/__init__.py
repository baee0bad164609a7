"""What is likely to go wrong with a network before it is trained, each finding with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..data.arrays import Inputs, Several
from . import ends, hidden, selu
from .network import Finding as Finding, Network

if TYPE_CHECKING:
    from ..models.model import Model

RULES: Sequence[Callable[[Network], Iterator[Finding]]] = (
    selu.selu_initializer,
    selu.selu_dropout,
    selu.selu_batch_norm,
    selu.selu_skip,
    selu.selu_regularizer,
    selu.selu_mixed,
    hidden.initializer,
    hidden.constant_initializer,
    hidden.no_activation,
    hidden.hidden_softmax,
    hidden.saturating_stack,
    hidden.clipping,
    hidden.bias_before_batch_norm,
    hidden.lost_bias,
    hidden.batch_norm_sandwich,
    ends.output_and_loss,
    ends.softmax_of_one,
    ends.not_adapted,
)
SEEN_ROWS = 10_000  # of x: enough to know its scale


def check(model: Model, x: Inputs | None = None) -> list[Finding]:
    """`Model.check`, of rows that the model can take."""
    network = Network(model)
    found = [finding for rule in RULES for finding in rule(network)]
    if x is not None:
        step = max(1, len(x) // SEEN_ROWS)
        ids = model.id_limits()  # inputs whose numbers have no scale
        given = x.arrays if isinstance(x, Several) else [x]
        arrays = [a for i, a in enumerate(given) if a is not None and i not in ids]
        flat = [np.asarray(a[::step], np.float64).reshape(-(-len(a) // step), -1) for a in arrays]
        found += ends.of_inputs(network, flat)
    return found
