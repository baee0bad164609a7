"""The fused layer within Keras' models beside Keras' own layers from the same weights, and whole models both ways."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from example import blobs

import evenflow
from evenflow import layers

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytest.importorskip("h5py")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

from evenflow.keras import (  # noqa: E402
    FusedDense,
    dense as door,
    from_keras,
    models as whole,
    to_keras,
)

X, Y = blobs(90)


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(3)
    evenflow.set_seed(3)


def pair(*settings: dict[str, Any], last: int = 3) -> tuple[Any, Any]:
    """Keras' own layers, and fused ones with the same weights."""
    own, fused = [], []
    for given in settings:
        fused.append(FusedDense(**given))
        own += fused[-1].layers_of_keras()
    models = []
    for listed in (own, fused):
        models.append(keras.Sequential([keras.Input((6,)), *listed, keras.layers.Dense(last, name="last")]))
    rng = np.random.default_rng(5)
    models[0].set_weights([w + 0.2 * rng.random(w.shape) for w in models[0].get_weights()])
    models[1].set_weights(models[0].get_weights())
    return models[0], models[1]


def trained(model: Any, x: Any, epochs: int = 2) -> list[np.ndarray]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
    model.fit(x, Y, batch_size=32, epochs=epochs, shuffle=False, verbose=0)
    return model.get_weights()


SETTINGS = [
    {"units": 9, "activation": "elu", "batch_norm": True, "kernel_regularizer": "l2"},
    {"units": 8, "activation": "relu", "use_bias": False, "batch_norm": True, "scale": False, "momentum": 0.9},
    {"units": 7, "activation": "gelu"},
    {"units": 6, "batch_norm": True, "center": False, "epsilon": 0.01, "gamma_constraint": "non_neg"},
    {"units": 5, "activation": "softmax", "batch_norm": True},
]


@pytest.mark.usefixtures("keras_float64")
def test_training_is_keras_own():
    own, fused = pair(*SETTINGS)
    x = X.astype(np.float64)
    np.testing.assert_allclose(fused.predict(x, verbose=0), own.predict(x, verbose=0), rtol=0, atol=1e-12)
    for a, b in zip(trained(fused, x), trained(own, x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(fused.predict(x, verbose=0), own.predict(x, verbose=0), rtol=0, atol=1e-10)


@pytest.mark.usefixtures("keras_float64")
@pytest.mark.parametrize("name", door.KERNELS)
def test_every_activation_is_keras_own(name):
    own, fused = pair({"units": 4, "activation": name})
    assert fused.layers[0]._kernel == name
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((20, 6)))
    results = []
    for model in (own, fused):
        given = x.clone().requires_grad_()
        y = model(given, training=True)
        (dx,) = torch.autograd.grad((y * y).sum(), given)
        results.append((y.detach().numpy(), dx.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_float32_and_the_kernels_are_used(monkeypatch):
    own, fused = pair(*SETTINGS[:3])
    calls = []
    before = door.FusedDense._fused
    monkeypatch.setattr(door.FusedDense, "_fused", lambda self, *a: calls.append(self.name) or before(self, *a))
    for a, b in zip(trained(fused, X), trained(own, X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert len(calls) == 3 * 2 * 3


def test_names_and_order_of_variables():
    layer = FusedDense(4, "relu", batch_norm=True)
    layer.build((None, 6))
    names = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]
    assert [variable.name for variable in layer.weights] == names
    assert [variable.name for variable in layer.trainable_weights] == names[:4]
    assert [tuple(variable.shape) for variable in layer.weights] == [(6, 4)] + [(4,)] * 5


def test_saved_and_loaded(tmp_path):
    _, fused = pair({**SETTINGS[0], "dropout": 0.3}, SETTINGS[4])
    trained(fused, X)
    fused.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    assert isinstance(again.layers[0], FusedDense)
    assert again.layers[0].get_config() == fused.layers[0].get_config()
    assert np.array_equal(again.predict(X, verbose=0), fused.predict(X, verbose=0))
    states = [model.layers[0].seed_generator.state for model in (again, fused)]
    states[0].assign(states[1].numpy())  # which Keras' files do not hold
    for a, b in zip(trained(again, X), trained(fused, X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_frozen_layers_use_their_statistics():
    own, fused = pair(SETTINGS[0])
    fused.layers[0].trainable = False
    for layer in own.layers[:-1]:
        layer.trainable = False
    x = torch.from_numpy(X)
    y, expected = (model(x, training=True).detach().numpy() for model in (fused, own))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    before = fused.get_weights()
    trained(fused, X, epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(before[:6], fused.get_weights()[:6], strict=True))


@pytest.mark.parametrize("activation", ["relu", "softmax"])
def test_dropout(activation):
    layer = FusedDense(400, activation, dropout=0.25, seed=7, bias_initializer="ones", kernel_initializer="zeros")
    x = torch.ones((50, 6))
    assert (layer(x, training=False) != 0).all()
    one, other = layer(x, training=True).detach().numpy(), layer(x, training=True).detach().numpy()
    assert (one == 0).mean() == pytest.approx(0.25, abs=0.02)
    kept = one[one != 0]
    np.testing.assert_allclose(kept, (1.0 if activation == "relu" else 1 / 400) / 0.75, rtol=1e-5)
    assert (one != other).any()
    same = FusedDense(400, activation, dropout=0.25, seed=7, bias_initializer="ones", kernel_initializer="zeros")
    assert np.array_equal(same(x, training=True).detach().numpy(), one)


def test_more_axes_and_masks():
    own, fused = pair({"units": 5, "activation": "tanh"})
    x = np.random.default_rng(2).standard_normal((4, 3, 6)).astype(np.float32)
    expected = own.layers[1](own.layers[0](x)).detach().numpy()
    np.testing.assert_allclose(fused.layers[0](x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    masked = keras.layers.Masking()(torch.zeros((4, 3, 6)))
    assert fused.layers[0](masked)._keras_mask.shape == (4, 3)
    norm = FusedDense(5, batch_norm=True)
    assert norm(masked, training=False).shape == (4, 3, 5)
    with pytest.raises(
        ValueError, match=r"mask: expected none beside batch_norm in training, received one of shape \(4, 3\)"
    ):
        norm(masked, training=True)


def test_mixed_precision_runs_as_keras_does():
    fused = FusedDense(5, "relu", batch_norm=True, dtype="mixed_float16")
    own = keras.Sequential([keras.Input((6,)), *fused.layers_of_keras()])
    fused.build((None, 6))
    fused.set_weights(own.get_weights())
    x = torch.from_numpy(X[:20])
    found, expected = (model(x, training=True) for model in (fused, own))
    assert found.dtype == expected.dtype == torch.float16
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=2e-2)
    for a, b in zip(fused.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3)


def test_functional_models_and_a_layer_called_twice():
    x = keras.Input((6,))
    layer = FusedDense(6, "silu")
    model = keras.Model(x, keras.layers.Dense(3)(layer(layer(x))))
    weights = trained(model, X)
    assert len(weights) == 4
    assert model.predict(X, verbose=0).shape == (90, 3)


@pytest.mark.slow
def test_another_backend_is_a_clear_error():
    code = (
        "import evenflow.keras as k\n"
        "try:\n    k.FusedDense(3)\n"
        "except RuntimeError as error:\n    print(error)\n"
        "import evenflow, numpy as np\n"
        "m = evenflow.Sequential([evenflow.Input((4,)), evenflow.layers.Dense(3, 'elu')])\n"
        "x = np.ones((2, 4), np.float32)\n"
        "print(np.abs(k.to_keras(m).predict(x, verbose=0) - m.predict(x)).max() < 1e-6)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert "FusedDense: expected Keras on PyTorch (set KERAS_BACKEND=torch" in done.stdout
    assert "received the backend 'jax'" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"units": 0}, ValueError, "FusedDense: units: expected an integer of at least 1"),
        ({"units": 3, "dropout": 1.0}, ValueError, "dropout"),
        ({"units": 3, "momentum": 2}, ValueError, "momentum"),
        ({"units": 3, "activation": "nothing"}, ValueError, "nothing"),
        ({"units": 3, "batchnorm": True}, (TypeError, ValueError), "batchnorm"),
    ],
)
def test_wrong_arguments(given, kind, message):
    with pytest.raises(kind, match=message):
        FusedDense(**given)


# Whole models


def settled(model: Any) -> Any:
    rng = np.random.default_rng(4)
    for variable in model.variables:
        variable.assign(rng.uniform(0.2, 1.0, variable.shape))
    return model


def everything(dtype: str) -> Any:
    x = layers.Input((3, 4), name="image")
    y = layers.Normalization(axis=None, mean=0.5, variance=2.0)(layers.Rescaling(0.5, 0.1)(x))
    y = layers.Flatten()(layers.BatchNormalization(axis=-1, name="columns")(y))
    y = layers.Dense(8, layers.PReLU(), kernel_regularizer="l2", kernel_constraint=evenflow.constraints.MaxNorm(9))(y)
    y = layers.BatchNormalization(scale=False, momentum=0.8)(y)
    y = layers.LayerNormalization()(layers.Dropout(0.2)(layers.Dense(8, "gelu", use_bias=False)(y)))
    y = layers.LeakyReLU(0.1)(layers.ReLU(4.0, 0.1, 0.2)(layers.GaussianNoise(0.1)(y)))
    y = layers.ELU(0.7)(layers.Activation("mish")(layers.PReLU(shared_axes=[1])(y)))
    y = layers.ActivityRegularization(0.1)(layers.AlphaDropout(0.1)(layers.GaussianDropout(0.1)(y)))
    twice = layers.Dense(8, "tanh", name="twice", trainable=False)
    both = layers.Concatenate()([layers.Add()([twice(y), y]), layers.Multiply()([twice(twice(y)), y])])
    ids = layers.Input((2,), name="ids")
    table = layers.Flatten()(layers.Embedding(5, 3)(ids))
    bins = layers.Discretization(bin_boundaries=[0.5, 1.5], output_mode="multi_hot")(ids)
    top = layers.Concatenate()([both, table, bins, layers.CategoryEncoding(5, "count")(ids)])
    outputs = {"class": layers.Softmax()(layers.Dense(3)(top)), "value": layers.Dense(1)(top)}
    return evenflow.Model([x, ids], outputs, "everything", dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_keras_and_back(dtype):
    model = settled(everything(dtype))
    theirs = to_keras(model)
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((9, 3, 4)).astype(dtype), rng.integers(0, 5, (9, 2)).astype(dtype)]
    found, expected = theirs.predict(x, verbose=0), model.predict(x)
    assert found.keys() == expected.keys() == {"class", "value"}
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=2e-5, atol=2e-5)
    assert [layer.name for layer in theirs.layers if layer.name == "twice"] == ["twice"]
    assert theirs.get_layer("twice").trainable is False
    assert theirs.name == "everything"
    assert theirs.losses  # of the regularizer


def test_sequential_to_keras_and_back():
    model = settled(
        evenflow.Sequential(
            [
                *(layers.Input((6,), name="x"), layers.Dense(8, "elu", name="one"), layers.BatchNormalization()),
                *(layers.Dropout(0.1), layers.Dense(4, layers.LeakyReLU(0.2)), layers.Dense(3, "softmax")),
            ],
            name="net",
        )
    )
    theirs = to_keras(model)
    assert isinstance(theirs, keras.Sequential)
    np.testing.assert_allclose(theirs.predict(X, verbose=0), model.predict(X), rtol=1e-5, atol=1e-6)
    again = from_keras(theirs)
    assert isinstance(again, evenflow.Sequential)
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-6, atol=1e-7)
    assert again.layers[0].name == "one"
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), model.get_weights(), strict=True))


@pytest.mark.parametrize("functional", [False, True])
def test_from_keras_of_fused_layers(functional):
    _, fused = pair({**SETTINGS[0], "dropout": 0.2}, *SETTINGS[1:4])
    if functional:
        x = keras.Input((6,))
        layer = fused.layers[0]
        fused = keras.Model(x, keras.layers.Add()([layer(x), FusedDense(9, "relu")(x)]))
    trained_weights = fused.get_weights()
    model = from_keras(fused)
    np.testing.assert_allclose(model.predict(X), fused.predict(X, verbose=0), rtol=1e-5, atol=1e-5)
    assert sum(array.size for array in model.get_weights()) == sum(array.size for array in trained_weights)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Dropout") == 1
    assert "BatchNormalization" in kinds


def test_from_keras_of_fused_layers_beside_each_other():
    x = keras.Input((6,))
    plain = keras.layers.Dense(6, name="plain")(x)
    fused = [FusedDense(6, "elu", batch_norm=True, dropout=0.1, name=name)(x) for name in ("first", "second")]
    theirs = keras.Model(x, keras.layers.Concatenate()([plain, *fused]))
    rng = np.random.default_rng(2)
    theirs.set_weights([w + 0.1 + rng.random(w.shape) for w in theirs.get_weights()])
    assert np.abs(from_keras(theirs).predict(X) - theirs.predict(X, verbose=0)).max() < 1e-5


@pytest.mark.usefixtures("keras_float64")
def test_parts_of_a_fused_layer_have_its_dtype():
    layer = FusedDense(5, keras.layers.LeakyReLU(0.3), batch_norm=True, dropout=0.1, dtype="float64")
    keras.config.set_dtype_policy("float32")
    parts = layer.layers_of_keras()
    assert [part.dtype_policy.name for part in parts] == ["float64"] * 4


@pytest.mark.parametrize("kind", ["LeakyReLU", "PReLU"])
def test_from_keras_of_an_activation_that_is_a_layer(kind):
    theirs = keras.Sequential([keras.Input((6,)), FusedDense(5, getattr(keras.layers, kind)(), batch_norm=True)])
    theirs(X)
    theirs.set_weights([w + 0.2 for w in theirs.get_weights()])
    ours = from_keras(theirs)
    assert [type(layer).__name__ for layer in ours.layers] == ["Dense", "BatchNormalization", kind]
    assert np.abs(ours.predict(X) - theirs.predict(X, verbose=0)).max() < 1e-5


@pytest.mark.parametrize("kind", ["Add", "Multiply", "LayerNormalization", "RMSNormalization", "LeakyReLU"])
def test_whole_numbers_as_inputs(kind):
    x = np.random.default_rng(1).integers(0, 256, (9, 6), np.uint8)
    given = [layers.Input((6,), "uint8", name=name) for name in "ab"]
    layer = getattr(layers, kind)()
    values = [layer(given)] if layer.MERGES else [getattr(layers, kind)()(one) for one in given]
    outputs = [layers.Dense(3)(value) for value in values]
    ours = evenflow.Model(given, layers.Concatenate()(outputs) if len(outputs) > 1 else outputs[0])
    expected = ours.predict([x, x[::-1]])
    received = to_keras(ours).predict([x, x[::-1].copy()], verbose=0)
    assert np.abs(received - expected).max() < 1e-6 * max(1.0, np.abs(expected).max())


def test_every_layer_has_a_counterpart_or_a_reason():
    known = {*whole.REFUSED, *whole.MAKERS, *whole.ALIKE, layers.InputLayer}
    for kind in layers.REGISTRY.classes.values():
        assert known & set(kind.__mro__), kind.__name__


def stack(*parts: Any) -> Any:
    return evenflow.Sequential([layers.Input((6,)), *parts])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stack(layers.Dense(4, name="a"), layers.DenseTranspose("a", name="b")), r"'b' \(DenseTranspose\)"),
        (lambda: stack(layers.Scaling(name="s")), r"layer 's' \(Scaling\) cannot be a layer of Keras: Keras has no"),
        (lambda: stack(layers.Dense(3, "rrelu", name="r")), r"layer 'r' \(Dense\).*no activation rrelu"),
        (lambda: stack(layers.Swish(2.0, name="w")), r"layer 'w' \(Swish\).*no activation swish\(beta=2.0\)"),
        (lambda: stack(layers.Dense(3, "gelu_tanh", name="g")), r"no activation gelu_tanh"),
        (lambda: stack(layers.Dense(3, kernel_regularizer=evenflow.regularizers.ProximalL1(0.1))), "no ProximalL1"),
        (
            lambda: evenflow.Sequential(
                [layers.Input((2, 3)), layers.BatchNormalization(axis=[1, 2]), layers.Flatten(), layers.Dense(2)]
            ),
            r"Keras' has one axis, expected that, received \[1, 2\]",
        ),
        (lambda: evenflow.Sequential([layers.Dense(3)]), "has no weights yet"),
    ],
)  # fmt: skip
def test_what_keras_does_not_have_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        to_keras(make())


def test_refusals_of_from_keras():
    with pytest.raises(TypeError, match="from_keras: model: expected a model of Keras"):
        from_keras("net.keras")
    with pytest.raises(ValueError, match="has no weights yet"):
        from_keras(keras.Sequential([keras.layers.Dense(3)]))
    net = keras.Sequential([keras.Input((8, 2)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="GlobalAveragePooling1D"):
        from_keras(net)
    with pytest.raises(TypeError, match="to_keras: model: expected a model"):
        to_keras(net)
