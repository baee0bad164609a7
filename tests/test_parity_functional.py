"""Models with branches beside Keras 3: the same losses and weights from the same start, in float64."""

import os
from typing import Any

import numpy as np
import pytest

import evenflow

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]
MARGIN = {"rtol": 1e-9, "atol": 1e-11}


def residual(library: Any, own: Any) -> Any:
    x = library.Input((7,))
    hidden = own.Dense(20, "relu")(x)
    for _ in range(3):
        block = own.Dense(20, "elu", use_bias=False)(own.BatchNormalization(momentum=0.8)(hidden))
        hidden = own.Add()([hidden, own.Dense(20)(block)])
    return x, own.Dense(3)(own.LayerNormalization()(hidden))


def wide_and_deep(library: Any, own: Any) -> Any:
    x = library.Input((7,))
    deep = own.Dense(33, "tanh")(own.Dense(17, "selu")(x))
    return x, own.Dense(3)(own.Concatenate()([x, deep]))


def gated(library: Any, own: Any) -> Any:
    x = library.Input((7,))
    value = own.BatchNormalization()(x)
    gate = own.Multiply()([own.Dense(40, "sigmoid")(value), own.Dense(40)(value)])
    return x, own.Dense(3)(own.Concatenate()([gate, value, x]))


@pytest.mark.parametrize("build", [residual, wide_and_deep, gated])
def test_branches_are_keras(build, isa, rng):
    theirs = keras.Model(*build(keras, keras.layers))
    ours = evenflow.Model(*build(evenflow, evenflow.layers), dtype="float64")
    weights = [rng.uniform(0.5, 1.5, w.shape) * rng.choice([-0.3, 0.3], w.shape[-1:]) for w in theirs.get_weights()]
    weights = [np.abs(w) if "variance" in v.path else w for w, v in zip(weights, theirs.weights, strict=True)]
    x, y = rng.standard_normal((50, 7)), rng.standard_normal((50, 3))
    history = []
    for library, model in ((keras, theirs), (evenflow, ours)):
        model.set_weights(weights)
        model.compile(library.optimizers.SGD(0.01, momentum=0.9), "mse")
        done = model.fit(x, y, batch_size=13, epochs=3, shuffle=False, verbose=0)
        history.append(done.history["loss"])
    np.testing.assert_allclose(history[1], history[0], **MARGIN)
    for mine, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), **MARGIN)
