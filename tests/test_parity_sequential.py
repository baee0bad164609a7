"""Sequential beside Keras 3: freezing, shared layers, clones, changing the stack, transfer learning."""

import os
from typing import Any

import numpy as np
import pytest
from example import blobs

import evenflow

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

X, Y = blobs(128)
FIT = {"batch_size": 16, "shuffle": False, "verbose": 0}


def sequential(library: Any, layers: Any = None) -> Any:
    return library.Sequential(layers, **({"dtype": "float64"} if library is evenflow else {}))


def made(library: Any) -> Any:
    layers = library.layers
    stack = [
        layers.Dense(8, "elu", name="hidden_1"),
        layers.BatchNormalization(momentum=0.8, name="norm_1"),
        layers.Dense(7, use_bias=False, name="hidden_2"),
        layers.BatchNormalization(momentum=0.8, name="norm_2"),
        layers.Activation("tanh", name="activation"),
    ]
    model = sequential(library, [library.Input((6,)), *stack, layers.Dense(3, "softmax", name="top")])
    rng = np.random.default_rng(1)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    return model


def compiled(library: Any, model: Any, rate: float = 0.1) -> Any:
    optimizer = library.optimizers.SGD(learning_rate=rate, momentum=0.9)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return model


def same(models: list[Any]) -> None:
    """The same weights, and the same of them trainable, in Keras' order."""
    theirs, ours = models
    for kind in ("weights", "trainable_weights", "non_trainable_weights", "trainable_variables"):
        paths = [[variable.path.split("/")[-2:] for variable in getattr(model, kind)] for model in models]
        if kind == "non_trainable_weights":  # Keras lists those of frozen layers in an order of its own
            paths = [sorted(listed) for listed in paths]
        assert paths[0] == paths[1], kind
    for one, other in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X, verbose=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "frozen",
    [[], ["hidden_1"], ["norm_1"], ["hidden_1", "norm_1"], ["norm_2", "top"], ["hidden_1", "norm_1", "hidden_2"]],
)
def test_frozen_layers(frozen):
    models = []
    for library in (keras, evenflow):
        model = made(library)
        for name in frozen:
            model.get_layer(name).trainable = False
        compiled(library, model).fit(X, Y, epochs=2, **FIT)
        for name in frozen:
            model.get_layer(name).trainable = True
        compiled(library, model).fit(X, Y, **FIT)
        models.append(model)
    same(models)


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_a_frozen_model():
    models = []
    for library in (keras, evenflow):
        model = made(library)
        model.trainable = False
        compiled(library, model).fit(X, Y, **FIT)
        assert model.trainable_weights == []
        models.append(model)
    same(models)
    for library, model in zip((keras, evenflow), models, strict=True):
        model.trainable = True
        model.get_layer("hidden_2").trainable = False
        compiled(library, model).fit(X, Y, **FIT)
    same(models)


@pytest.mark.parametrize("cloned", [False, True])
def test_transfer_learning(cloned):
    firsts, seconds = [], []
    for library in (keras, evenflow):
        a = compiled(library, made(library))
        a.fit(X, Y, epochs=2, **FIT)
        source = a
        if cloned:
            source = library.models.clone_model(a)
            source.set_weights(a.get_weights())
        b = sequential(library, [library.Input((6,)), *source.layers[:-1]])
        b.add(library.layers.Dense(2, activation="softmax", name="new_top"))
        b.layers[-1].set_weights([np.eye(7, 2), np.zeros(2)])
        for layer in b.layers[:-1]:
            layer.trainable = False
        compiled(library, b).fit(X, Y > 0, epochs=2, **FIT)
        for layer in b.layers[:-1]:
            layer.trainable = True
        compiled(library, b, 0.01).fit(X, Y > 0, epochs=2, **FIT)
        firsts.append(a)
        seconds.append(b)
    same(seconds)
    same(firsts)


def test_a_changed_stack():
    models = []
    for library in (keras, evenflow):
        model = compiled(library, made(library))
        model.fit(X, Y, **FIT)
        assert model.pop().name == "top"
        assert model.pop().name == "activation"
        model.add(library.layers.Dense(4, "relu", kernel_initializer="ones", name="other"))
        model.add(library.layers.Dense(3, "softmax", kernel_initializer="zeros", name="new_top"))
        compiled(library, model).fit(X, Y, **FIT)
        assert [layer.name for layer in model.layers][-3:] == ["norm_2", "other", "new_top"]
        models.append(model)
    same(models)
    assert models[0].count_params() == models[1].count_params()
    assert models[0].output_shape == models[1].output_shape


def test_compiled_clones():
    models = []
    for library in (keras, evenflow):
        model = compiled(library, made(library))
        model.fit(X, Y, **FIT)
        clone = library.models.clone_model(model)
        clone.set_weights(model.get_weights())
        assert int(clone.optimizer.iterations) == 0
        clone.fit(X, Y, **FIT)
        models.append(clone)
    same(models)


def test_training_mode_of_a_call():
    models = []
    for library in (keras, evenflow):
        model = made(library)
        outputs = model(X, training=True)
        models.append(model)
        if library is keras:
            expected = outputs.detach().cpu().numpy()
    np.testing.assert_allclose(outputs, expected, rtol=1e-9)
    same(models)


def test_freezing_takes_effect_without_compiling_again():
    models = []
    for library in (keras, evenflow):
        model = compiled(library, made(library))
        model.fit(X, Y, **FIT)
        for name in ("hidden_1", "norm_1"):
            model.get_layer(name).trainable = False
        model.fit(X, Y, epochs=2, **FIT)
        models.append(model)
    same(models)


def test_rescaling_anywhere():
    models = []
    for library in (keras, evenflow):
        layers = library.layers
        stack = [
            layers.Rescaling(0.5, offset=-0.25),
            layers.Dense(8, name="below"),
            layers.Rescaling(-1.5, offset=0.1),
            layers.Activation("elu"),
            layers.BatchNormalization(momentum=0.8, name="norm"),
            layers.Rescaling(2.0),
            layers.Rescaling(0.5, offset=1.0),
            layers.Dense(3, "softmax", name="above"),
        ]
        model = sequential(library, [library.Input((6,)), *stack])
        rng = np.random.default_rng(1)
        model.set_weights([rng.random(w.shape) for w in model.get_weights()])
        compiled(library, model).fit(X, Y, epochs=2, **FIT)
        models.append(model)
    same(models)
