"""The cells of the notes on the chapter, each as it stands there: `from tensorflow import keras` becomes
`import evenflow as keras`, and where a note has a misprint, the cell says which."""

import numpy as np
import pytest

import evenflow

# ------------------------------------------------------------------------------------------------------------ the cells

HE = """
keras.layers.Dense(10, activation="relu", kernel_initializer="he_normal")
"""

# "[...]" stands for other layers; the comma after LeakyReLU is missing.
LEAKY_RELU = """
# LeakyReLU
model = keras.models.Sequential([
    keras.layers.Dense(30, kernel_initializer="he_normal"),
    keras.layers.LeakyReLU(alpha=0.2),
])
"""

SELU = """
# SELU
model = keras.models.Sequential([
    keras.layers.Dense(30, activation="selu", kernel_initializer="lecun_normal"),
])
"""

# The comma after Flatten is missing, and the last activation is called activation_function.
FIRST_AND_EVERY = """
# BN as first layer and after every hidden layer
# usually necessary for way deeper networks
model = keras.models.Sequential([
    keras.layers.Flatten(input_shape=[28,28]),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(300, activation="elu", kernel_initializer="he_normal"),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(100, activation="elu", kernel_initializer="he_normal"),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(10, activation="softmax")
])
"""

CLIPPING = """
optimizer = keras.optimizers.SGD(clipvalue=1.0) # orientation of the gradient might change; instead clipnorm=1.0
model.compile(loss="mse", optimizer=optimizer)
"""

LEAKY_RELU_INSIDE = """
from tensorflow import keras

leaky_relu = keras.layers.LeakyReLU(alpha=0.2)
layer = keras.layers.Dense(10, activation=leaky_relu, kernel_initializer="he_normal")
"""

SELU_LAYER = """
layer = keras.layers.Dense(10, activation="selu", kernel_initializer="lecun_normal")
"""

NETWORK = """
from tensorflow import keras

model = keras.models.Sequential([
 keras.layers.Flatten(input_shape=[28, 28]),
 keras.layers.BatchNormalization(),
 keras.layers.Dense(300, activation="elu", kernel_initializer="he_normal"),
 keras.layers.BatchNormalization(),
 keras.layers.Dense(100, activation="elu", kernel_initializer="he_normal"),
 keras.layers.BatchNormalization(),
 keras.layers.Dense(10, activation="softmax")
 ])
"""

SUMMARY = """
model.summary()
"""

VARIABLES = """
[(var.name, var.trainable) for var in model.layers[1].variables]
"""

# The second block has activation and normalization the other way round, which runs all the same.
BEFORE_THE_ACTIVATION = """
# For adding the BN layers before the activation functions, rather than after. 
    
model = keras.models.Sequential([
 keras.layers.Flatten(input_shape=[28, 28]),
 keras.layers.BatchNormalization(),
 keras.layers.Dense(300, kernel_initializer="he_normal", use_bias=False),
 keras.layers.BatchNormalization(),
 keras.layers.Activation("elu"),
 keras.layers.Dense(100, kernel_initializer="he_normal", use_bias=False),
 keras.layers.Activation("elu"),
 keras.layers.BatchNormalization(),
 keras.layers.Dense(10, activation="softmax")
 ])
"""  # noqa: W291, W293

MOMENTUM = """
from tensorflow import keras

optimizer = keras.optimizers.SGD(learning_rate=0.001, momentum=0.9)
"""

NESTEROV = """
from tensorflow import keras

optimizer = keras.optimizers.SGD(learning_rate=0.001, momentum=0.9, nesterov=True)
"""


@pytest.fixture
def run():
    """Runs cells as a notebook does; the value of a last line that is an expression is returned."""
    evenflow.clear_session()
    names = {"keras": evenflow}

    def cell(code):
        code = code.strip().replace("from tensorflow import keras", "import evenflow as keras")
        try:
            return eval(code, names)
        except SyntaxError:
            exec(code, names)
        return names

    return cell


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 256)
    x = rng.integers(0, 100, (256, 28, 28), dtype=np.uint8)
    x[np.arange(256), y] += 100  # the class is the bright row
    return x, y


def learns(model, x, y):
    """Whether some epochs of training lower the loss, whatever the activation."""
    model.compile(evenflow.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=8, verbose=0).history
    return history["loss"][-1] < 0.7 * history["loss"][0]


# ---------------------------------------------------------------------------------------------- what the chapter says


def test_he_initialization(run):
    layer = run(HE)
    layer.build((784,))
    assert layer.kernel.numpy().std() == pytest.approx(np.sqrt(2 / 784), rel=0.03)
    assert not layer.bias.numpy().any()


@pytest.mark.parametrize(("cell", "layers"), [(LEAKY_RELU, 2), (SELU, 1)])
def test_activations_in_a_model(run, cell, layers):
    model = run(cell)["model"]
    assert len(model.layers) == layers
    x = np.random.default_rng(0).standard_normal((50, 7))
    y = model.predict(x)
    kernel, bias = model.get_weights()
    z = x @ kernel + bias
    expected = np.where(z > 0, z, 0.2 * z) if layers == 2 else 1.05070098 * np.where(z > 0, z, 1.67326324 * np.expm1(z))
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_leaky_relu_inside_a_dense_layer(run):
    layer = run(LEAKY_RELU_INSIDE)["layer"]
    assert layer.activation == ("leaky_relu", {"negative_slope": 0.2})
    assert isinstance(layer.kernel_initializer, evenflow.initializers.HeNormal)


def test_selu_layer(run):
    layer = run(SELU_LAYER)["layer"]
    layer.build((300,))
    assert layer.activation.kind == "selu"
    assert layer.kernel.numpy().std() == pytest.approx(np.sqrt(1 / 300), rel=0.05)


@pytest.mark.parametrize("cell", [NETWORK, FIRST_AND_EVERY])
def test_the_network(run, capsys, digits, cell):
    model = run(cell)["model"]
    run(SUMMARY)
    text = capsys.readouterr().out
    lines = [line.split() for line in text.splitlines() if "(None, " in line]
    names = ["flatten", "batch_normalization", "dense", "batch_normalization_1", "dense_1", "batch_normalization_2"]
    assert [line[0] for line in lines] == [*names, "dense_2"]
    assert [int(line[-1].replace(",", "")) for line in lines] == [0, 3136, 235500, 1200, 30100, 400, 1010]
    assert text.startswith('Model: "sequential"')
    assert " Total params: 271,346 (" in text
    assert " Trainable params: 268,978 (" in text
    assert " Non-trainable params: 2,368 (" in text
    assert learns(model, *digits)


def test_variables_of_the_first_batch_normalization(run):
    run(NETWORK)
    assert run(VARIABLES) == [("gamma", True), ("beta", True), ("moving_mean", False), ("moving_variance", False)]
    paths = run("[var.path for var in model.layers[1].variables]")
    assert paths[0] == "batch_normalization/gamma"


def test_batch_normalization_before_the_activation(run, digits):
    model = run(BEFORE_THE_ACTIVATION)["model"]
    assert [layer.count_params() for layer in model.layers] == [0, 3136, 235200, 1200, 0, 30000, 0, 400, 1010]
    assert model.count_params() == 270_946
    assert learns(model, *digits)


def test_gradient_clipping(run):
    run("model = keras.models.Sequential([keras.layers.Dense(1)])")
    names = run(CLIPPING)
    assert names["optimizer"].clipvalue == 1.0
    assert names["model"].optimizer is names["optimizer"]
    # A kernel of [0, 0] and one row [0.9, 100] with target -0.5 has the gradient [0.9, 100] of the squared error.
    x, y = np.array([[0.9, 100.0]]), np.array([-0.5])
    expected = {"clipvalue": [0.9, 1.0], "clipnorm": [0.00899964, 0.9999595]}
    for argument, clipped in expected.items():
        zeros = evenflow.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        model = evenflow.Sequential([zeros], dtype="float64")
        model.compile(loss="mse", optimizer=evenflow.optimizers.SGD(learning_rate=1.0, **{argument: 1.0}))
        model.fit(x, y, verbose=0)
        # So close that PyTorch's form, which divides by the norm + 1e-6, is not it.
        np.testing.assert_allclose(-zeros.kernel.numpy()[:, 0], clipped, rtol=0, atol=5e-9)


@pytest.mark.parametrize(("cell", "nesterov"), [(MOMENTUM, False), (NESTEROV, True)])
def test_momentum(run, cell, nesterov):
    optimizer = run(cell)["optimizer"]
    assert (optimizer.learning_rate, optimizer.momentum, optimizer.nesterov) == (0.001, 0.9, nesterov)
    layer = evenflow.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = evenflow.Sequential([layer], dtype="float64")
    model.compile(optimizer, "mse")
    theta, m = 0.0, 0.0
    for _ in range(20):
        model.fit(np.ones((1, 1)), np.ones(1), verbose=0)
        ahead = theta + 0.9 * m if nesterov else theta  # what the notes say: "slightly ahead"
        m = 0.9 * m - 0.001 * 2 * (ahead - 1)
        theta += m
    # What is stored is the point ahead, where the next gradient is measured.
    assert layer.kernel.numpy()[0, 0] == pytest.approx(theta + 0.9 * m if nesterov else theta, rel=1e-12)


# ---------------------------------------------------------------------------------------------- misprints are explained


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ('keras.layers.Dense(10, activation_function="softmax")', TypeError, "Did you mean 'activation'"),
        ('keras.layers.Dense(10, kernal_initialization="he_normal")', TypeError, "Did you mean 'kernel_initializer'"),
        ("keras.optimizers.SGD(decay=1e-4)", TypeError, "InverseTimeDecay"),
        ("keras.models.Sequential([[...], keras.layers.Dense(30)])", TypeError, "expected a layer"),
    ],
)
def test_misprints_are_explained(run, code, error, message):
    with pytest.raises(error, match=message):
        run(code)
