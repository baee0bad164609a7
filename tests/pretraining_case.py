"""Rows and layers for the tests of pretraining."""

import numpy as np

import evenflow
from evenflow.layers import Dense, Input
from evenflow.models import Sequential


def rows(count=60, features=8, seed=0):
    """Rows of a plane in space, with a little noise."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 2)) @ rng.standard_normal((2, features)) + 0.05 * rng.standard_normal(
        (count, features)
    )


def hidden(**options):
    return [Dense(6, "tanh", name="one", **options), Dense(3, "tanh", name="two", **options)]


def built(dtype="float64", seed=0):
    evenflow.set_seed(seed)
    return Sequential([Input((8,)), *hidden()], dtype=dtype)


def generator(features=8, dtype="float32"):
    return Sequential([Input((4,)), Dense(16, "elu"), Dense(features)], dtype=dtype)


def bits(model):
    return [w.tobytes() for w in model.get_weights()]
