"""evenflow against Keras 3 in float64: runs, `fit`, optimizers with each kind of clipping, activations, losses."""

import os
from typing import Any

import numpy as np
import parity
import pytest
from evenflow.bench import workloads
from evenflow.bench.problem import Problem
from optimizer_specs import ADAM, MOMENTUM, NESTEROV, SGD
from parity import Run

import evenflow
from evenflow import _core

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    # Keras asks PyTorch's tensors for arrays in a way that NumPy 2 wants to be rid of.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

LAST_BATCH = 7  # rows; not a divisor of the others


def network(library: Any, given: Problem, **options: Any) -> Any:
    """The workload as a Sequential of `library`: keras, or evenflow with the same words."""
    layers = [library.layers.Input((given.workload.inputs,))]
    for units in given.workload.hidden:
        layers.append(library.layers.Dense(units, use_bias=False))
        layers.append(library.layers.BatchNormalization())
        layers.append(library.layers.Activation(given.workload.activation))
    model = library.Sequential([*layers, library.layers.Dense(given.workload.outputs)], **options)
    model.set_weights(list(given.variables.values()))
    return model


def compiled(library: Any, given: Problem, optimizer: Any, **options: Any) -> Any:
    model = network(library, given, **options)
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def keras_run(given: Problem, optimizer: Any, steps: int) -> Run:
    model = compiled(keras, given, optimizer)
    losses = []
    for step in range(steps):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*parity.batch(given, step, np.float64))[0]))
    return Run(np.array(losses), dict(zip(given.variables, model.get_weights(), strict=True)))


@pytest.mark.parametrize("name", parity.NETWORKS)
def test_run(name):
    given = parity.problem(name)
    adam = keras.optimizers.Adam(learning_rate=workloads.LEARNING_RATE, epsilon=workloads.EPSILON)
    run = parity.evenflow_run(given, np.float64, parity.STEPS)
    assert parity.largest_difference(run, keras_run(given, adam, parity.STEPS)) <= 1e-9


@pytest.mark.parametrize("clipping", [{}, {"clipvalue": 0.02}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}], ids=str)
@pytest.mark.parametrize("settings", [SGD, MOMENTUM, NESTEROV, ADAM], ids=["sgd", "momentum", "nesterov", "adam"])
def test_optimizer(settings, clipping):
    given = Problem.of(parity.SMALL)
    rest = {key: value for key, value in settings.items() if key != "kind" and value is not None}
    optimizer = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[settings["kind"]]
    run = parity.evenflow_run(given, np.float64, 20, settings | clipping, learning_rate=0.01)
    expected = keras_run(given, optimizer(learning_rate=0.01, **rest, **clipping), 20)
    assert parity.largest_difference(run, expected) <= 1e-10


@pytest.mark.parametrize(
    "excluded", [{"var_names": ["bias", "gamma|beta"]}, {"var_list": [0, 5]}], ids=["names", "list"]
)
def test_exclusions_from_weight_decay(excluded):
    given = Problem.of(parity.SMALL)
    x, y = given.x.astype(np.float64), given.y
    found = []
    for library, options in ((keras, {}), (evenflow, {"dtype": "float64"})):
        optimizer = library.optimizers.AdamW(learning_rate=0.01, weight_decay=0.5)
        model = compiled(library, given, optimizer, **options)
        which = {key: [model.weights[i] for i in v] if key == "var_list" else v for key, v in excluded.items()}
        optimizer.exclude_from_weight_decay(**which)
        model.fit(x, y, batch_size=len(x) // 2, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for own, expected in zip(found[1], found[0], strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
def test_the_same_lines_train_the_same_model(kind):
    given = Problem.of(parity.SMALL)
    cut = len(given.x) - given.workload.batch + LAST_BATCH
    histories, weights, scores = [], [], []
    for library, options in ((keras, {}), (evenflow, {"dtype": "float64"})):
        optimizer = getattr(library.optimizers, kind)()
        model = compiled(library, given, optimizer, **options)
        x, y = given.x[:cut].astype(np.float64), given.y[:cut]
        history = model.fit(
            x, y, batch_size=given.workload.batch, epochs=3, shuffle=False, validation_split=0.2, verbose=0
        )
        histories.append(history.history)
        weights.append(model.get_weights())
        scores.append([*model.evaluate(x, y, verbose=0), *model.predict(x, verbose=0).ravel()])
    assert sorted(histories[1]) == sorted(histories[0])
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-6 if "accuracy" in name else 1e-10, err_msg=name)
    for own, expected in zip(weights[1], weights[0], strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6, atol=1e-9)


ABSENT = {"glu"}  # of Keras' names: it halves the units
OWN = {"gelu_tanh", "gelu_sigmoid", "clipped_relu", "prelu", "learned_swish", "rrelu", "isru"}


def test_names_of_activations_are_those_of_keras():
    theirs = {name for name in dir(keras.activations) if not name.startswith("_")} - {"get", "serialize", "deserialize"}
    assert {*evenflow.activations.FUNCTIONS, "hard_swish"} - OWN == theirs - ABSENT


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in sorted(set(_core.activations()) - OWN - {"threshold"})),
        ("threshold", {"threshold": -0.5, "default_value": 1.5}),
        ("leaky_relu", {"negative_slope": 0.01}),
        ("elu", {"alpha": 0.7}),
        ("celu", {"alpha": 0.5}),  # PyTorch rounds 1 / alpha to float32
        ("squareplus", {"b": 0.7}),
        ("soft_shrink", {"threshold": 0.3}),
        ("hard_shrink", {"threshold": 0.3}),
    ],
)
def test_activation(name, settings, isa):
    # PyTorch's softplus is x itself above 20. Points between kinks: there Keras' backends differ.
    end = {"softplus": 20, "squareplus": 15}.get(name, 40)
    x = np.linspace(-end, end, 16_000).reshape(1, -1)
    tensor = keras.ops.convert_to_tensor(x).requires_grad_()
    expected = getattr(keras.activations, name)(tensor, **settings)
    expected.sum().backward()
    own = _core.activation_forward(name, x, **settings)
    slope = _core.activation_backward(name, np.ones_like(x), x, own, **settings)
    np.testing.assert_allclose(own, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    # PyTorch's 1/6 in this slope is that of float32.
    rtol = 2.0**-24 if name == "hard_sigmoid" else 1e-12
    np.testing.assert_allclose(slope, tensor.grad.numpy(), rtol=rtol, atol=1e-12)
    eager = getattr(evenflow.activations, name)(x, **settings)
    np.testing.assert_array_equal(eager, own)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"),
        ("categorical_crossentropy", "CategoricalCrossentropy"),
        ("binary_crossentropy", "BinaryCrossentropy"),
    ],
)
def test_crossentropy(name, peer, from_logits, isa, rng):
    prediction = 3 * rng.standard_normal((13, 7))
    target = rng.uniform(0, 1, prediction.shape)
    if "categorical" in name:
        target = rng.integers(0, 7, 13) if name.startswith("sparse") else target / target.sum(1, keepdims=True)
    if not from_logits:
        exponentials = np.exp(prediction)
        prediction = exponentials / exponentials.sum(1, keepdims=True) * rng.uniform(0.3, 1, (13, 1))
    rows, _ = _core.loss_forward_backward(name, prediction, target, from_logits=from_logits)
    expected = getattr(keras.losses, peer)(from_logits=from_logits, reduction=None)(target, prediction)
    np.testing.assert_allclose(rows, keras.ops.convert_to_numpy(expected), rtol=1e-12)


def test_mean_squared_error(isa, rng):
    prediction, target = rng.standard_normal((2, 13, 7))
    rows, _ = _core.loss_forward_backward("mean_squared_error", prediction, target)
    expected = keras.losses.MeanSquaredError(reduction=None)(target, prediction)
    np.testing.assert_allclose(rows, keras.ops.convert_to_numpy(expected), rtol=1e-12)
