"""What people know from Keras works after `import evenflow as keras`: names, defaults, the figures of the chapter."""

import ast
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import evenflow as keras
from evenflow import _core


@pytest.fixture(autouse=True)
def numbered_from_the_start():
    keras.clear_session()


def chapter_model():
    return keras.models.Sequential(
        [
            keras.layers.Flatten(input_shape=[28, 28]),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(300, activation="elu", kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(100, activation="elu", kernel_initializer="he_normal"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def test_summary_of_the_chapter(capsys):
    model = chapter_model()
    model.summary()
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines() if "(None, " in line]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("flatten", "(Flatten)", "0"),
        ("batch_normalization", "(BatchNormalization)", "3,136"),
        ("dense", "(Dense)", "235,500"),
        ("batch_normalization_1", "(BatchNormalization)", "1,200"),
        ("dense_1", "(Dense)", "30,100"),
        ("batch_normalization_2", "(BatchNormalization)", "400"),
        ("dense_2", "(Dense)", "1,010"),
    ]
    assert text.startswith('Model: "sequential"')
    assert " Total params: 271,346 (" in text
    assert " Trainable params: 268,978 (" in text
    assert " Non-trainable params: 2,368 (" in text
    assert model.count_params() == 271_346


def test_variables_of_a_batch_normalization():
    variables = chapter_model().layers[1].variables
    assert [(v.path, v.trainable) for v in variables] == [
        ("batch_normalization/gamma", True),
        ("batch_normalization/beta", True),
        ("batch_normalization/moving_mean", False),
        ("batch_normalization/moving_variance", False),
    ]


def test_batch_normalization_before_the_activation():
    model = keras.models.Sequential(
        [
            keras.layers.Flatten(input_shape=[28, 28]),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(300, kernel_initializer="he_normal", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("elu"),
            keras.layers.Dense(100, kernel_initializer="he_normal", use_bias=False),
            keras.layers.Activation("elu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    assert model.count_params() == 270_946
    assert model.predict(np.zeros((2, 28, 28), np.float32)).shape == (2, 10)


def test_cells_of_the_chapter():
    leaky_relu = keras.layers.LeakyReLU(alpha=0.2)
    layer = keras.layers.Dense(10, activation=leaky_relu, kernel_initializer="he_normal")
    assert layer.activation == ("leaky_relu", {"negative_slope": 0.2})
    keras.layers.Dense(10, activation="selu", kernel_initializer="lecun_normal")
    keras.layers.Dense(10, activation="relu", kernel_initializer="he_normal")
    optimizer = keras.optimizers.SGD(clipvalue=1.0)
    model = keras.models.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer=optimizer)
    x = np.random.default_rng(0).standard_normal((20, 3))
    assert len(model.fit(x, x.sum(1), epochs=2, verbose=0).history["loss"]) == 2


@pytest.mark.parametrize("name", sorted({*keras.activations.FUNCTIONS} - {"rrelu"}))  # whose forms draw a seed each
def test_string_function_and_layer_give_the_same_bits(name):
    function = getattr(keras.activations, name)
    parameters = _core.activations().get(name, {})
    forms = [name, function, partial(function, **parameters), keras.layers.Activation(name)]
    forms.append({"kind": name, "parameters": parameters})
    forms += {"silu": ["swish"], "hard_silu": ["hard_swish", keras.activations.hard_swish]}.get(name, [])
    classes = {"relu": "ReLU", "elu": "ELU", "softmax": "Softmax", "prelu": "PReLU", "silu": "Swish"}
    if name in classes:
        forms.append(getattr(keras.layers, classes[name])())
    if name == "learned_swish":
        forms.append(keras.layers.Swish(trainable_beta="unit"))
    if name == "clipped_relu":
        forms.append(keras.layers.ReLU(6))
    if name == "leaky_relu":
        forms.append(keras.layers.LeakyReLU(negative_slope=0.2))
    x = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float32)
    y = np.random.default_rng(1).random((40, 5)).astype(np.float32)
    trained = []
    for form in forms:
        kernel = keras.initializers.HeNormal(seed=0)
        inside = [keras.layers.Dense(5, form, kernel_initializer=kernel)]
        apart = [keras.layers.Dense(5, kernel_initializer=kernel), keras.layers.Activation(form)]
        for stack in (inside, apart):
            model = keras.Sequential([keras.Input(shape=(7,)), *stack], seed=0)
            model.compile("sgd", "mse")
            model.fit(x, y, verbose=0)
            trained.append([w.tobytes() for w in model.get_weights()] + [model.predict(x).tobytes()])
    assert all(t == trained[0] for t in trained)


@pytest.mark.parametrize(
    "loss", ["mse", "MSE", "mean_squared_error", "MeanSquaredError", keras.losses.mean_squared_error]
)
def test_names_of_a_loss(loss):
    assert isinstance(keras.losses.get(loss), keras.losses.MeanSquaredError)
    assert keras.losses.get(loss).spec() == {"kind": "mean_squared_error", "from_logits": False}


def test_losses_on_arrays():
    p, labels = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]), np.array([0, 2])
    expected = -np.log([0.7, 0.25])
    one_hot = np.eye(3)[labels]
    sparse, dense = keras.losses.SparseCategoricalCrossentropy(), keras.losses.CategoricalCrossentropy()
    np.testing.assert_allclose(keras.losses.sparse_categorical_crossentropy(labels, p), expected, rtol=1e-12)
    np.testing.assert_allclose(keras.losses.categorical_crossentropy(one_hot, p), expected, rtol=1e-12)
    assert sparse(labels, p) == pytest.approx(dense(one_hot, p)) == pytest.approx(expected.mean())
    from_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert from_logits(labels, np.log(p)) == pytest.approx(expected.mean())
    np.testing.assert_allclose(
        keras.losses.binary_crossentropy([[1.0, 0.0]], [[0.8, 0.4]]), [-(np.log(0.8) + np.log(0.6)) / 2], rtol=1e-6
    )
    logit = np.log(0.8 / 0.2)
    assert keras.losses.BinaryCrossentropy(from_logits=True)([[1.0]], [[logit]]) == pytest.approx(-np.log(0.8))
    assert keras.losses.MeanSquaredError()([[1.0, 2.0]], [[3.0, 2.0]]) == 2.0


def test_names_of_metrics_are_keys_of_history():
    x, y = np.ones((8, 2)), np.arange(8) % 2
    model = keras.Sequential([keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert set(model.fit(x, y, verbose=0).history) == {"accuracy", "loss"}
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["acc", "sparse_categorical_accuracy"])
    assert set(model.fit(x, y, verbose=0).history) == {"acc", "sparse_categorical_accuracy", "loss"}
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae", keras.metrics.MeanSquaredError(name="second")])
    history = model.fit(x, y, verbose=0, validation_split=0.5).history
    assert set(history) == {"loss", "mae", "second", "val_loss", "val_mae", "val_second"}
    assert history["second"] == pytest.approx(history["loss"])


def test_default_learning_rates_and_names():
    assert (keras.optimizers.get("sgd").learning_rate, keras.optimizers.get("Adam").learning_rate) == (0.01, 0.001)
    adam = keras.optimizers.Adam()
    assert (adam.beta_1, adam.beta_2, adam.epsilon, adam.name) == (0.9, 0.999, 1e-7, "adam")
    assert keras.optimizers.SGD(1, 0, clipnorm=2).get_config() == {
        "name": "sgd",
        "learning_rate": 1.0,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": None,
        "clipvalue": None,
        "clipnorm": 2.0,
        "global_clipnorm": None,
        "use_ema": False,
        "ema_momentum": 0.99,
        "ema_overwrite_frequency": None,
        "gradient_accumulation_steps": None,
        "learning_rate_factors": None,
    }


@pytest.mark.parametrize("cls", keras.optimizers.REGISTRY.classes.values(), ids=lambda cls: cls.__name__)
def test_every_optimizer_by_its_name(cls):
    optimizer = cls()
    assert optimizer.name == cls.__name__.lower()
    assert optimizer.weight_decay == (0.004 if cls is keras.optimizers.AdamW else None)
    for name in (optimizer.name, cls.__name__):
        assert type(keras.optimizers.get(name)) is cls
    again = cls(**optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.spec() == optimizer.spec()
    x, y = np.random.default_rng(0).random((64, 3)), np.random.default_rng(1).random((64, 1))
    model = keras.Sequential([keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer.name, "mse")
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_compile_has_the_default_of_keras():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    model.fit(np.ones((8, 2)), np.ones(8), verbose=0)


def test_everything_advertised_is_there():
    for name in keras.__all__:
        if name not in ("datasets", "kernels", "plotting", "reference"):
            assert getattr(keras, name) is not None
    doors = {"jax", "keras", "onnx", "sklearn", "torch"}  # which may need what is not installed
    assert set(dir(keras)) == {*keras.__all__, *doors}
    assert not doors & set(keras.__all__)


# -------------------------------------------------------------------------------------------------- beside Keras itself

KERAS = """
import inspect, json, os
os.environ["KERAS_BACKEND"] = "numpy"
import keras
found = {}
for module, names in NAMES.items():
    for name in names:
        cls = getattr(getattr(keras, module), name)
        parameters = inspect.signature(cls.__init__).parameters
        found[f"{module}.{name}"] = {k: repr(p.default) for k, p in parameters.items()}
keras.utils.clear_session()
stack = [keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.LeakyReLU(), keras.layers.ReLU(),
         keras.layers.ELU(), keras.layers.Dense(2), keras.layers.Softmax(), keras.layers.Flatten()]
found["names"] = [layer.name for layer in stack]
model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.BatchNormalization(),
                          keras.layers.Dense(30), keras.layers.BatchNormalization(), keras.layers.Dense(3)])
found["initializer names"] = sorted(keras.src.initializers.ALL_OBJECTS_DICT)
found["initializer module"] = dir(keras.initializers)
found["weights"] = [[w.name, list(w.shape), w.trainable] for w in model.weights]
print(json.dumps(found))
"""
COMPARED = {
    "layers": [
        *("Dense", "BatchNormalization", "Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Rescaling"),
        "ActivityRegularization",
        *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    ],
    "regularizers": ["L1", "L2", "L1L2"],
    "constraints": list(keras.constraints.REGISTRY.classes),
    "initializers": sorted({*keras.initializers.REGISTRY.classes} - {"Auto"}),
    "optimizers": list(keras.optimizers.REGISTRY.classes),
    "losses": sorted({*keras.losses.REGISTRY.classes} - {"Quantile", "GaussianNLL"}),
}


@pytest.mark.peers
def test_defaults_and_names_are_those_of_keras():
    if importlib.util.find_spec("keras") is None:  # importing it here would choose a backend for the whole process
        pytest.skip("keras is not installed")
    code = f"NAMES = {COMPARED!r}\n{KERAS}"
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    compared = 0
    for module, names in COMPARED.items():
        for name in names:
            theirs = found[f"{module}.{name}"]
            for key, parameter in inspect.signature(getattr(getattr(keras, module), name).__init__).parameters.items():
                default = theirs.get(key)
                if default is None or key in ("self", "name") or parameter.default is inspect.Parameter.empty:
                    continue
                compared += 1
                assert ast.literal_eval(default) == parameter.default, f"{name}({key}=)"
    assert compared > 40
    spectral = {"STFT", "stft", "STFTInitializer"}
    for name in {*found["initializer names"]} - spectral - {"Initializer", "initializer"}:
        assert isinstance(keras.initializers.get(name), keras.initializers.Initializer)
    functions = {"get", "serialize", "deserialize"}
    assert {n for n in found["initializer module"] if n[0] != "_"} - spectral - functions <= set(
        dir(keras.initializers)
    )
    layers = keras.layers
    stack = [layers.Dense(2), layers.BatchNormalization(), layers.LeakyReLU(), layers.ReLU()]
    stack += [layers.ELU(), layers.Dense(2), layers.Softmax(), layers.Flatten()]
    assert [layer.name for layer in stack] == found["names"]
    keras.clear_session()
    hidden = [layers.Flatten(), layers.BatchNormalization(), layers.Dense(30), layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((28, 28)), *hidden, layers.Dense(3)])
    assert [[v.name, list(v.shape), v.trainable] for v in model.weights] == found["weights"]
