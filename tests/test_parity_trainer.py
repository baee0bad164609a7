"""The trainer beside Keras': arguments and defaults, single batches, epochs, validation, what is printed."""

import inspect
import os

import numpy as np
import pytest
from example import blobs, network

import evenflow
from evenflow import callbacks
from evenflow.callbacks import LambdaCallback
from evenflow.optimizers import SGD

os.environ["KERAS_BACKEND"] = "torch"

keras = pytest.importorskip("keras")

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]
X, Y = blobs(100)
TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}  # some roundings of float32 in each of a few steps


def both():
    """A network here and in Keras, with the same weights."""
    model = network(SGD(0.05, momentum=0.9))
    layers = [keras.layers.Dense(16, "elu"), keras.layers.BatchNormalization(), keras.layers.Dense(3, "softmax")]
    theirs = keras.Sequential([keras.Input((6,)), *layers])
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    theirs.set_weights(model.get_weights())
    return model, theirs


def arguments(function):
    """Names and defaults of what may be given by its place."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.default) for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]


METHODS = ["fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch", "__call__"]


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_methods(name):
    expected = arguments(getattr(keras.Model, name))
    assert arguments(getattr(evenflow.Sequential, name))[: len(expected)] == expected


@pytest.mark.parametrize("name", sorted(set(callbacks.__all__) & set(dir(keras.callbacks)) - {"Callback"}))
def test_arguments_of_callbacks(name):
    expected = arguments(getattr(keras.callbacks, name))
    assert arguments(getattr(callbacks, name))[: len(expected)] == expected


def test_hooks_of_callbacks_are_all_there():
    theirs = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}
    assert theirs <= set(dir(callbacks.Callback))


def test_single_batches():
    model, theirs = both()
    weights = np.linspace(0.5, 1.5, 40)
    # Each call tells of its own batch: Keras begins its sums anew, too.
    for kwargs in ({}, {"sample_weight": weights}, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}):
        expected = theirs.train_on_batch(X[:40], Y[:40], return_dict=True, **kwargs)
        found = model.train_on_batch(X[:40], Y[:40], return_dict=True, **kwargs)
        assert set(found) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, **TOLERANCE)
    expected = theirs.test_on_batch(X[40:90], Y[40:90], weights.repeat(2)[:50], True)
    found = model.test_on_batch(X[40:90], Y[40:90], weights.repeat(2)[:50], True)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **TOLERANCE)
    loss, accuracy = model.test_on_batch(X[40:90], Y[40:90], weights.repeat(2)[:50])
    assert (loss, accuracy) == (found["loss"], found["accuracy"])
    np.testing.assert_allclose(model.predict_on_batch(X[:5]), theirs.predict_on_batch(X[:5]), **TOLERANCE)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 3, "batch_size": 30},
        {"epochs": 5, "initial_epoch": 3},
        {"epochs": 2, "initial_epoch": 2},
        {"epochs": 5, "validation_split": 0.25, "validation_freq": 2},
        {"epochs": 4, "validation_data": (X[:33], Y[:33]), "validation_freq": [1, 4], "validation_batch_size": 10},
        {"epochs": 3, "validation_data": (X, Y), "validation_steps": 2, "steps_per_epoch": 2, "batch_size": 25},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.filterwarnings("ignore:.*ran out of data", "ignore:.*the rows ended after")
def test_epochs(options):
    model, theirs = both()
    found = model.fit(X, Y, shuffle=False, verbose=0, **options)
    expected = theirs.fit(X, Y, shuffle=False, verbose=0, **options)
    assert found.epoch == expected.epoch
    assert set(found.history) == set(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(found.history[name], values, rtol=2e-4, atol=2e-5)
    for mine, others in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, others, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_what_is_printed(verbose, capsys):
    model, theirs = both()
    model.fit(X, Y, epochs=2, validation_split=0.5, verbose=verbose)
    model.evaluate(X, Y, verbose=verbose)
    mine = capsys.readouterr().out
    theirs.fit(X, Y, epochs=2, validation_split=0.5, verbose=verbose)
    assert bool(mine) == bool(capsys.readouterr().out)
    lines = mine.splitlines()
    assert [line.split(" - ")[0] for line in lines] == (["Epoch 1/2", "Epoch 2/2", "Evaluate"] if verbose else [])
    assert all("val_accuracy" in line for line in lines[:2])


def test_numbers_of_hooks_begin_where_the_epochs_do():
    seen = []
    keep = LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    network().fit(X, Y, epochs=5, initial_epoch=3, verbose=0, callbacks=[keep])
    assert seen == [3, 4]
