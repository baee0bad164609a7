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


def auxiliary(library: Any, own: Any) -> Any:
    x = library.Input((7,))
    hidden = own.Dense(17, "relu", kernel_regularizer="l2")(own.BatchNormalization(momentum=0.8)(x))
    main = own.Dense(1, name="main")(own.Concatenate()([x, own.Dense(9, "elu")(hidden)]))
    return library.Model(x, [main, own.Dense(3, "softmax", name="aux")(hidden)], **precise(library))


def precise(library: Any) -> Any:
    return {"dtype": "float64"} if library is evenflow else {}


def same_start(build: Any, rng: Any) -> Any:
    theirs, ours = build(keras, keras.layers), build(evenflow, evenflow.layers)
    weights = [rng.uniform(0.5, 1.5, w.shape) * rng.choice([-0.3, 0.3], w.shape[-1:]) for w in theirs.get_weights()]
    weights = [np.abs(w) if "variance" in v.path else w for w, v in zip(weights, theirs.weights, strict=True)]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return ours, theirs


@pytest.mark.parametrize("weighted", [False, True])
def test_several_outputs_are_keras(weighted, isa, rng):
    ours, theirs = same_start(auxiliary, rng)
    x, y = rng.standard_normal((50, 7)), [rng.standard_normal((50, 1)), rng.integers(0, 3, 50)]
    weights = [rng.uniform(0, 2, 50), rng.uniform(0, 2, 50)] if weighted else None
    history = []
    for library, model in ((keras, theirs), (evenflow, ours)):
        model.compile(
            library.optimizers.SGD(0.01, momentum=0.9),
            {"main": "mse", "aux": "sparse_categorical_crossentropy"},
            loss_weights={"main": 0.7, "aux": 0.4},
            metrics={"main": ["mae"], "aux": ["accuracy"]},
            weighted_metrics={"main": ["mse"], "aux": ["accuracy"]},
        )
        done = model.fit(x, y, 13, 3, sample_weight=weights, shuffle=False, verbose=0, validation_data=(x, y))
        history.append(done.history)
    assert set(history[1]) == set(history[0])
    for name, right in history[0].items():
        np.testing.assert_allclose(history[1][name], right, rtol=2e-7, atol=1e-7, err_msg=name)  # metrics are float32
    np.testing.assert_allclose(history[1]["loss"], history[0]["loss"], rtol=2e-7)
    for mine, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)
    for mine, right in zip(ours.predict(x), theirs.predict(x, verbose=0), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)


def siamese(library: Any, own: Any) -> Any:
    a, b = library.Input((7,)), library.Input((7,))
    encoder = library.Sequential([own.Dense(17, "elu", kernel_regularizer="l2"), own.Dense(9)], **precise(library))
    encoder.build((None, 7))
    inner = library.Input((7,))
    deeper = library.Model(inner, own.Dense(9, "tanh")(encoder(inner)), **precise(library))
    outermost = library.Input((7,))
    nested = library.Model(outermost, deeper(own.Dense(7)(outermost)), **precise(library))
    merged = own.Concatenate()([encoder(a), encoder(b), nested(a), nested(b)])
    return library.Model([a, b], own.Dense(3)(merged), **precise(library))


def recurrent(library: Any, own: Any) -> Any:
    x = library.Input((7,))
    step, norm = own.Dense(7, "tanh"), own.BatchNormalization(momentum=0.8)
    prelu, rows = own.PReLU(alpha_initializer="zeros"), own.LayerNormalization()
    hidden = x
    for _ in range(3):
        hidden = rows(own.Add()([hidden, prelu(norm(step(hidden)))]))
    return library.Model(x, own.Dense(3)(hidden), **precise(library))


@pytest.mark.parametrize("build", [siamese, recurrent])
@pytest.mark.parametrize("optimizer", ["sgd", "clipped", "accumulated"])
def test_layers_called_more_than_once_are_keras(build, optimizer, isa, rng):
    ours, theirs = same_start(build, rng)
    several = build is siamese
    x = [rng.standard_normal((50, 7)) for _ in range(2)] if several else rng.standard_normal((50, 7))
    y = rng.standard_normal((50, 3))
    more = {
        "sgd": {"momentum": 0.9},
        "clipped": {"global_clipnorm": 0.5},
        "accumulated": {"gradient_accumulation_steps": 2},
    }[optimizer]
    history = []
    for library, model in ((keras, theirs), (evenflow, ours)):
        model.compile(library.optimizers.SGD(0.01, **more), "mse")
        history.append(model.fit(x, y, 13, 3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(history[1], history[0], **MARGIN)
    for mine, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), **MARGIN)
    hidden = [library.Model(model.inputs, model.layers[-2].output) for library, model in ((keras, theirs),)]
    mine = evenflow.Model(ours.inputs, ours.layers[-2].output, dtype="float64")
    np.testing.assert_allclose(mine.predict(x), hidden[0].predict(x, verbose=0), **MARGIN)
