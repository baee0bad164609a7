"""A small classifier and its data, the same in every test."""

import numpy as np

import evenflow
from evenflow.layers import BatchNormalization, Dense, Input
from evenflow.models import Sequential

CLASSES = 3


def blobs(rows=200, seed=0, features=6):
    """Rows around one centre per class: learnable in a few epochs."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, rows)
    centres = np.random.default_rng(1).standard_normal((CLASSES, features)) * 2
    return (centres[y] + rng.standard_normal((rows, features))).astype(np.float32), y


def network(optimizer="adam", seed=7, **options):
    """A compiled classifier; the same weights and shuffles every time."""
    evenflow.set_seed(seed)
    hidden = [Dense(16, "elu", name="hidden"), BatchNormalization(name="norm")]
    model = Sequential([Input((6,)), *hidden, Dense(CLASSES, "softmax", name="top")], **options)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def bits(model):
    return [w.tobytes() for w in model.get_weights()]


def state(model):
    """Everything training changes, as bytes."""
    iterations, slots = model.optimizer.state()
    return bits(model), iterations, {key: value.tobytes() for key, value in slots.items()}
