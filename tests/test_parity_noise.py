"""Random layers beside Keras': the moments of what they do, and their arguments. Their random numbers differ."""

import inspect
import os
from typing import Any

import numpy as np
import pytest

import evenflow

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

LAYERS = [
    *((name, {"rate": rate}) for name in ("Dropout", "AlphaDropout", "GaussianDropout") for rate in (0.1, 0.5)),
    ("GaussianNoise", {"stddev": 0.3}),
]
ROWS, FEATURES = 1000, 400
each_layer = pytest.mark.parametrize(("name", "settings"), LAYERS)


def ours(name: str, settings: dict[str, Any], x: np.ndarray) -> np.ndarray:
    layers = [evenflow.Input((FEATURES,)), getattr(evenflow.layers, name)(**settings, seed=3)]
    return np.array(evenflow.Sequential(layers)(x, training=True))


def theirs(name: str, settings: dict[str, Any], x: np.ndarray) -> np.ndarray:
    layer = getattr(keras.layers, name)(**settings, seed=3)
    return keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x), training=True))


@each_layer
def test_distribution_is_keras(name, settings, rng):
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    a, b = ours(name, settings, x), theirs(name, settings, x)
    for power in (1, 2, 3):
        one, other = a.astype(np.float64) ** power, b.astype(np.float64) ** power
        spread = np.sqrt((one.var() + other.var()) / x.size)
        assert abs(one.mean() - other.mean()) < 5 * spread
    shared = a.astype(np.float64) * x, b.astype(np.float64) * x
    assert abs(shared[0].mean() - shared[1].mean()) < 5 * np.sqrt((shared[0].var() + shared[1].var()) / x.size)


@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_values_are_keras_where_both_drop_or_both_keep(name, rate, rng):
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    a, b = ours(name, {"rate": rate}, x), theirs(name, {"rate": rate}, x)
    limits = [np.unique(v, return_counts=True) for v in (a, b)]
    commonest = [values[counts.argmax()] for values, counts in limits]
    assert commonest[0] == pytest.approx(commonest[1], rel=1e-6)
    kept = (a != commonest[0]) & (b != commonest[1])
    assert kept.mean() == pytest.approx((1 - rate) ** 2, abs=0.01)
    np.testing.assert_allclose(a[kept], b[kept], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Dropout", "AlphaDropout"])
@pytest.mark.parametrize("noise_shape", [(None, 1), (1, None), (1, 1)])
def test_decisions_are_shared_as_in_keras(name, noise_shape, rng):
    x = rng.uniform(1, 2, (ROWS, FEATURES)).astype(np.float32)  # never what is dropped
    settings = {"rate": 0.3, "noise_shape": noise_shape}
    a, b = evenflow.reference.noise.alpha_dropout_affine(0.3)
    limit = 0.0 if name == "Dropout" else -1.7580993 * a + b
    for y in (ours(name, settings, x), theirs(name, settings, x)):
        dropped = np.abs(y - limit) < 1e-5
        for axis, one in enumerate(noise_shape):
            assert (dropped == dropped.take([0], axis)).all() == (one == 1)
        if noise_shape != (1, 1):
            assert dropped.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / min(ROWS, FEATURES)))


@each_layer
def test_inference_is_the_identity_of_both(name, settings, rng):
    x = rng.standard_normal((10, FEATURES)).astype(np.float32)
    model = evenflow.Sequential([evenflow.Input((FEATURES,)), getattr(evenflow.layers, name)(**settings)])
    np.testing.assert_array_equal(model.predict(x), x)
    layer = getattr(keras.layers, name)(**settings)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x))), x)


@each_layer
def test_arguments_are_keras(name, settings):
    mine, other = (getattr(library.layers, name) for library in (evenflow, keras))
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    wanted, found = (
        [(p.name, p.default) for p in inspect.signature(cls.__init__).parameters.values() if p.kind in kinds][1:]
        for cls in (other, mine)
    )
    assert found == wanted
    config = other(**settings, seed=3).get_config()
    own = mine(**settings, seed=3).get_config()
    assert {key: value for key, value in own.items() if key in config and key != "name"} == {
        key: config[key] for key in own if key in config and key != "name"
    }
    assert {"seed", *settings} <= set(own)


def test_rrelu_is_torchs(rng):
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    model = evenflow.Sequential([evenflow.Input((FEATURES,)), evenflow.layers.RReLU(seed=1)])
    tensor = torch.tensor(x)
    np.testing.assert_allclose(model.predict(x), torch.nn.RReLU().eval()(tensor).numpy(), rtol=1e-6)
    negative = x < -1e-3
    slopes = [
        (y / x)[negative].astype(np.float64)
        for y in (np.array(model(x, training=True)), torch.nn.functional.rrelu(tensor, training=True).numpy())
    ]
    for power in (1, 2):
        one, other = (s**power for s in slopes)
        assert abs(one.mean() - other.mean()) < 5 * np.sqrt((one.var() + other.var()) / one.size)
    assert min(s.min() for s in slopes) >= 1 / 8 - 1e-6
    assert max(s.max() for s in slopes) <= 1 / 3 + 1e-6
