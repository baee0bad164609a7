"""Normalizing layers against Keras 3 and PyTorch in float64; lists of axes, which Keras 3 lacks, against NumPy."""

import os
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import layers as own

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]
MARGIN = {"rtol": 1e-9, "atol": 1e-11}


def images(rng: np.random.Generator, rows: int = 60) -> np.ndarray:
    return rng.standard_normal((rows, 4, 5)) * np.arange(1, 6) + 3 * np.arange(4)[:, None]


def pair(build: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The same model in Keras and in evenflow, with the same weights, none of which is 0 or 1."""
    models = (
        keras.Sequential([keras.Input(shape), *build(keras.layers)]),
        evenflow.Sequential([own.Input(shape), *build(own)], dtype="float64"),
    )
    rng = np.random.default_rng(7)
    values = [rng.uniform(0.5, 1.5, w.shape) for w in models[1].get_weights()]
    for model in models:
        model.set_weights(values)
    return models


def trained(build: Any, x: np.ndarray) -> None:
    """That both learn the same from a few epochs, and predict the same."""
    theirs, ours = pair(build, x.shape[1:])
    y = np.random.default_rng(3).standard_normal((len(x), ours.output_shape[1]))
    history = []
    for library, model in ((keras, theirs), (evenflow, ours)):
        model.compile(library.optimizers.SGD(0.05, momentum=0.9), "mse")
        done = model.fit(x, y, batch_size=13, epochs=3, shuffle=False, verbose=0)
        history.append(done.history["loss"])
    np.testing.assert_allclose(history[1], history[0], **MARGIN)
    for mine, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), **MARGIN)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_batch_normalization_of_an_axis(axis, isa, rng):
    def build(of: Any) -> list[Any]:
        norms = [of.BatchNormalization(axis=axis, momentum=0.8), of.Activation("tanh"), of.BatchNormalization()]
        return [*norms, of.Flatten(), of.Dense(33, "elu"), of.Dense(2)]

    trained(build, images(rng))


@pytest.mark.parametrize("axis", [-1, 1, [1, 2], [1, 3], [2, 3]], ids=str)
def test_batch_normalization_of_axes(axis, isa, rng):
    x = rng.standard_normal((11, 2, 3, 7)) * np.arange(1, 8) + np.arange(3)[:, None]
    dy = rng.standard_normal((11, 42))
    layer = own.BatchNormalization(axis=axis)
    model = evenflow.Sequential([own.Input(x.shape[1:]), layer, own.Flatten()], dtype="float64")
    gamma, beta = rng.uniform(0.5, 1.5, layer.gamma.shape), rng.standard_normal(layer.gamma.shape)
    program = evenflow.Program(model.spec(), dtype="float64", batch_size=11)
    program.set(layer.gamma.path, gamma)
    program.set(layer.beta.path, beta)
    y = program.forward(x.reshape(11, -1))
    dx = program.backward(dy)
    # tf.keras: the statistics of each index of the axes, over all the others
    axes = tuple(a % 4 for a in ([axis] if isinstance(axis, int) else axis))
    others = tuple(a for a in range(4) if a not in axes)
    tensor = torch.tensor(x, requires_grad=True)
    scale, shift = (torch.tensor(v, requires_grad=True) for v in (gamma, beta))
    wide = [x.shape[a] if a in axes else 1 for a in range(4)]
    mean, variance = tensor.mean(others, keepdim=True), tensor.var(others, correction=0, keepdim=True)
    right = (tensor - mean) / torch.sqrt(variance + 1e-3) * scale.reshape(wide) + shift.reshape(wide)
    right.backward(torch.tensor(dy).reshape(x.shape))
    np.testing.assert_allclose(y, right.detach().numpy().reshape(11, -1), **MARGIN)
    np.testing.assert_allclose(dx, tensor.grad.numpy().reshape(11, -1), **MARGIN)
    np.testing.assert_allclose(program.gradient(layer.gamma.path), scale.grad.numpy(), **MARGIN)
    np.testing.assert_allclose(program.gradient(layer.beta.path), shift.grad.numpy(), **MARGIN)
    moving = program.get(layer.moving_variance.path)
    np.testing.assert_allclose(moving, 0.99 + 0.01 * x.var(axis=others), **MARGIN)


def test_unbiased_variance_is_torchs(rng):
    x = images(rng)
    theirs = torch.nn.BatchNorm1d(5, eps=1e-5, momentum=0.1, dtype=torch.float64)
    layer = own.BatchNormalization(momentum=0.9, epsilon=1e-5, unbiased_variance=True)
    ours = evenflow.Sequential([own.Input((4, 5)), layer, own.Flatten()], dtype="float64")
    for part in (x[:7], x[7:]):
        right = theirs(torch.tensor(part).transpose(1, 2)).transpose(1, 2).detach().numpy()
        np.testing.assert_allclose(ours(part, training=True), right.reshape(len(part), -1), **MARGIN)
    np.testing.assert_allclose(layer.moving_mean.numpy(), theirs.running_mean.numpy(), **MARGIN)
    np.testing.assert_allclose(layer.moving_variance.numpy(), theirs.running_var.numpy(), **MARGIN)


def test_recalibration_is_torchs_update_bn(rng):
    x = rng.standard_normal((64, 9))
    layer = own.BatchNormalization(unbiased_variance=True)
    ours = evenflow.Sequential([own.Input((9,)), own.Dense(6, "tanh"), layer, own.Dense(2)], dtype="float64", seed=1)
    linear = torch.nn.Linear(9, 6, dtype=torch.float64)
    linear.weight.data = torch.tensor(ours.layers[0].kernel.numpy().T)
    linear.bias.data = torch.tensor(ours.layers[0].bias.numpy())
    theirs = torch.nn.Sequential(linear, torch.nn.Tanh(), torch.nn.BatchNorm1d(6, dtype=torch.float64))
    torch.optim.swa_utils.update_bn([torch.tensor(x)], theirs)
    ours.recalibrate_batch_norm(x, batch_size=10)
    np.testing.assert_allclose(layer.moving_mean.numpy(), theirs[2].running_mean.numpy(), **MARGIN)
    np.testing.assert_allclose(layer.moving_variance.numpy(), theirs[2].running_var.numpy(), **MARGIN)


def test_layer_normalization(isa, rng):
    def build(of: Any) -> list[Any]:
        hidden = [of.Dense(33), of.LayerNormalization(), of.Activation("elu"), of.Dense(17, "tanh")]
        last = [of.LayerNormalization(epsilon=1e-5, center=False), of.Dense(5), of.LayerNormalization(scale=False)]
        return [of.LayerNormalization(center=False, scale=False), *hidden, *last]

    trained(build, rng.standard_normal((60, 20)))


def test_rms_normalization(isa, rng):
    def build(of: Any) -> list[Any]:
        hidden = [of.Dense(33), of.RMSNormalization(epsilon=0.01), of.Activation("elu")]
        return [of.RMSNormalization(), *hidden, of.Dense(5), of.RMSNormalization()]

    trained(build, rng.standard_normal((60, 20)))


@pytest.mark.parametrize("kind", ["LayerNorm", "RMSNorm"])
def test_kernels_are_torchs(kind, isa, rng):
    x, dy = 3 + rng.standard_normal((13, 33)), rng.standard_normal((13, 33))
    theirs = getattr(torch.nn, kind)(33, eps=1e-4, dtype=torch.float64)
    for parameter in theirs.parameters():
        parameter.data = torch.tensor(rng.standard_normal(33))
    vectors = [parameter.detach().numpy() for parameter in theirs.parameters()]
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    y.backward(torch.tensor(dy))
    name = {"LayerNorm": "layer_norm", "RMSNorm": "rms_norm"}[kind]
    kernels = evenflow.kernels
    np.testing.assert_allclose(
        getattr(kernels, f"{name}_forward")(x, *vectors, epsilon=1e-4), y.detach().numpy(), **MARGIN
    )
    found = getattr(kernels, f"{name}_backward")(dy, x, vectors[0], epsilon=1e-4)
    right = [tensor.grad, *(parameter.grad for parameter in theirs.parameters())]
    for mine, expected in zip(found, right, strict=True):
        np.testing.assert_allclose(mine, expected.numpy(), **MARGIN)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None], ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_normalization(axis, invert, rng):
    x, seen = images(rng), 2 * images(rng) + 1
    seen[:, 0, 0] = 4  # no deviation
    theirs, ours = (of.Normalization(axis=axis, invert=invert) for of in (keras.layers, own))
    theirs.adapt(seen)
    ours.adapt(seen)
    right = keras.ops.convert_to_numpy(theirs(x))
    found = evenflow.Sequential([ours, own.Flatten()], dtype="float64").predict(x)
    np.testing.assert_allclose(found, right.reshape(60, -1), rtol=1e-7, atol=1e-9)  # theirs are float32 inside
    given = {"axis": -1, "mean": [1.0, 2, 3, 4, 5], "variance": [0.0, 1, 2, 3, 4], "invert": invert}
    right = keras.ops.convert_to_numpy(keras.layers.Normalization(**given)(x))
    found = evenflow.Sequential([own.Normalization(**given), own.Flatten()], dtype="float64").predict(x)
    np.testing.assert_allclose(found, right.reshape(60, -1), **MARGIN)


def test_defaults_are_those_of_keras():
    for name in ("BatchNormalization", "Normalization", "LayerNormalization", "RMSNormalization"):
        theirs, ours = getattr(keras.layers, name)().get_config(), getattr(own, name)().get_config()
        for key, value in ours.items():
            if key in ("name", "axis", "unbiased_variance") or isinstance(value, dict):
                continue
            assert theirs[key] == value, (name, key)
