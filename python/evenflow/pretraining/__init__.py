"""Pretraining: hidden layers that know something of the data before there are labels, or enough of them.

    pretrained = evenflow.pretraining.autoencoder([Dense(100, "elu"), Dense(50, "elu")], x, noise=0.3)
    model = evenflow.Sequential([Input((64,)), *pretrained.layers, Dense(10, "softmax")])

Each function takes hidden layers, a Sequential or a list, which stay as they are, trains a copy of them (with their
weights, where they have some) on rows x, and returns it in a `Pretrained`: `layers` to build on, the whole `model` that
was trained, and a History for each training. `evenflow.set_seed` makes all of it reproducible, to the same bits for any
number of threads.
"""

from __future__ import annotations

from .autoencoders import autoencoder
from .auxiliary_task import auxiliary
from .games import gan
from .pretrained import Pretrained

__all__ = ["Pretrained", "autoencoder", "auxiliary", "gan"]
