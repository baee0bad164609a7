"""Random layers of models: what they are called, what they draw, and how a run goes on."""

from functools import partial
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import activations, reference
from evenflow.common.registry import describe
from evenflow.layers import (
    REGISTRY,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    RReLU,
)
from evenflow.models import load_model

MAKERS = [
    partial(Dropout, 0.25),
    partial(AlphaDropout, 0.1),
    partial(GaussianDropout, 0.25),
    partial(GaussianNoise, 0.3),
    RReLU,
]
each_layer = pytest.mark.parametrize("make", MAKERS, ids=lambda make: (getattr(make, "func", make)).__name__)


def stack(make: Any) -> list[Any]:
    return [Input((6,)), make(seed=1), Dense(20, "elu"), BatchNormalization(), make(seed=1), Dense(2)]


def compiled(layers: list[Any], **options: Any) -> evenflow.Sequential:
    model = evenflow.Sequential(layers, **{"seed": 0, **options})
    model.compile("adam", "mse")
    return model


@pytest.fixture
def pair(rng):
    return rng.standard_normal((100, 6)).astype(np.float32), rng.standard_normal((100, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def seeded():
    evenflow.set_seed(7)


def bits(model: Any) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


@each_layer
def test_a_run_goes_on_where_it_was_saved(make, pair, tmp_path):
    model = compiled(stack(make))
    model.fit(*pair, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert bits(again) == bits(model)
    histories = [m.fit(*pair, epochs=2, verbose=0).history for m in (model, again)]
    assert histories[0] == histories[1]
    assert bits(again) == bits(model)


@each_layer
def test_threads_change_no_bit(make, pair):
    found = []
    for threads in (1, 2, 3, 8):
        evenflow.set_seed(3)
        model = compiled(stack(make))
        model.fit(*pair, epochs=2, verbose=0, threads=threads)
        found.append((bits(model), *(a.tobytes() for a in model.predict_mc(pair[0], 5, seed=2, threads=threads))))
    assert all(other == found[0] for other in found)


@each_layer
def test_config_makes_the_same_layer(make):
    layer = make(seed=2**64 - 1, name="own", trainable=False)
    again = REGISTRY.make("here", "layer", describe(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    assert again.spec() == layer.spec()
    assert again.seed == 2**64 - 1 if not isinstance(again, RReLU) else again.spec()[0]["seed"] == 2**64 - 1
    assert not again.weights


@each_layer
def test_seeds_come_from_set_seed(make):
    seeds = []
    for root in (1, 1, 2):
        evenflow.set_seed(root)
        seeds.append([make().spec()[0]["seed"] for _ in range(2)])
    assert seeds[0] == seeds[1] != seeds[2]
    assert seeds[0][0] != seeds[0][1]


@each_layer
def test_inference_is_the_same_each_time(make, pair):
    model = compiled(stack(make))
    x, y = pair
    assert model.predict(x).tobytes() == model.predict(x).tobytes() == model(x).tobytes()
    assert model.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_layer_stands_before_flatten(rng):
    model = compiled([Input((4, 5)), Dropout(0.5, seed=1), Flatten(), Dense(1)])
    x = np.ones((32, 4, 5), np.float32)
    model.fit(x, np.ones(32), verbose=0)
    assert model.layers[0].output_shape == (None, 4, 5)


@pytest.mark.parametrize("layer", [Dropout, AlphaDropout])
@pytest.mark.parametrize(
    "noise_shape", [(None, 1, 1), (1, None, None), (None, 4, 1), (None, 1, 5), (1, 1, 5), [1, 1, 1]]
)
def test_decisions_for_several_elements(layer, noise_shape, tmp_path):
    evenflow.set_seed(3)
    stack = [Input((4, 5)), layer(0.5, noise_shape, seed=1), Flatten(), Dense(1)]
    model = compiled(stack)
    x = np.ones((64, 4, 5), np.float32)
    values = np.array(evenflow.Sequential([*stack[:2], Flatten()])(x, training=True)).reshape(x.shape)
    assert len(np.unique(values)) == (1 if list(noise_shape) == [1, 1, 1] else 2)
    for axis, one in enumerate(noise_shape):
        same = (values == values.take([0], axis)).all()
        assert same == (one == 1), f"axis {axis}"
    model.fit(x, np.ones(64), batch_size=16, verbose=0)
    model.save(tmp_path / "model")
    loaded = evenflow.models.load_model(tmp_path / "model")
    assert loaded.layers[0].noise_shape == tuple(noise_shape)
    for one in (model, loaded):
        one.fit(x, np.ones(64), batch_size=16, verbose=0)
    assert model.predict(x).tobytes() == loaded.predict(x).tobytes()


def test_a_layer_with_decisions_for_several_elements_keeps_to_one_shape():
    layer = Dropout(0.5, (None, 1, None))
    compiled([Input((4, 5)), layer, Flatten(), Dense(1)])
    with pytest.raises(ValueError, match=r"'dropout.*': input has shape \(rows, 2, 10\), expected \(rows, 4, 5\)"):
        compiled([Input((2, 10)), layer, Flatten(), Dense(1)])


def test_properties():
    assert (Dropout(0.2).rate, AlphaDropout(0.1).rate, GaussianDropout(0.3).rate) == (0.2, 0.1, 0.3)
    assert GaussianNoise(0.5).stddev == 0.5
    assert Dropout(0.2, None, 5).seed == 5


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Dropout(1.0), ValueError, r"Dropout: rate: expected a finite number at least 0.0 and below 1.0.*1.0"),
        (lambda: Dropout(-0.1), ValueError, r"Dropout: rate.*-0.1"),
        (lambda: Dropout("0.5"), TypeError, r"Dropout: rate.*'0.5'"),
        (lambda: Dropout(0.5, (None, 0)), ValueError, r"Dropout: noise_shape: expected None.*\(None, 0\)"),
        (lambda: Dropout(0.5, (None,)), ValueError, r"Dropout: noise_shape: expected None.*\(None,\)"),
        (lambda: Dropout(0.5, 3), TypeError, r"Dropout: noise_shape: expected None.*3"),
        (lambda: Dropout(0.5, (None, 1.5)), TypeError, r"Dropout: noise_shape.*1.5"),
        (lambda: AlphaDropout(0.5, "1"), TypeError, r"AlphaDropout: noise_shape"),
        (lambda: compiled([Input((6,)), Dropout(0.5, (1, 2))]), ValueError, r"noise_shape.*\(rows, 6\).*\(1, 2\)"),
        (lambda: compiled([Input((6,)), Dropout(0.5, (32, 1))]), ValueError, r"noise_shape: expected None or 1"),
        (lambda: compiled([Input((6,)), Dropout(0.5, (None, 6, 1))]), ValueError, r"noise_shape: .*each axis"),
        (lambda: GaussianDropout(0.5, noise_shape=(None, 1)), TypeError, r"no argument 'noise_shape'"),
        (lambda: Dropout(0.5, seed=-1), ValueError, r"Dropout: seed.*-1"),
        (lambda: Dropout(0.5, seed=2**64), ValueError, r"Dropout: seed: expected an integer from 0 to 2\^64 - 1"),
        (lambda: Dropout(0.5, rte=1), TypeError, r"Dropout: there is no argument 'rte'. Did you mean 'rate'"),
        (lambda: GaussianDropout(2), ValueError, r"GaussianDropout: rate"),
        (lambda: GaussianNoise(-1), ValueError, r"GaussianNoise: stddev: expected a finite number at least 0.0"),
        (lambda: GaussianNoise(float("inf")), ValueError, r"GaussianNoise: stddev"),
        (lambda: RReLU(0.5, 0.2), ValueError, r"RReLU: lower: .*at most 0.2.*0.5"),
        (lambda: RReLU(seed=1.5), TypeError, r"RReLU: seed"),
        (lambda: Dense(1, partial(activations.rrelu, slope=1)), TypeError, r"Dense: rrelu: .*'slope'"),
    ],
)
def test_arguments_that_are_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_calls_in_training_draw_other_numbers_each_time(pair):
    x, _ = pair
    runs = []
    for _ in range(2):
        evenflow.set_seed(1)
        model = compiled([Input((6,)), Dropout(0.5), Dense(2)])
        runs.append([model(x, training=True).tobytes() for _ in range(3)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


# RReLU ----------------------------------------------------------------------------------------------------------------


def test_forms_of_rrelu_give_the_same_bits(pair):
    forms = [
        RReLU(seed=5),
        partial(activations.rrelu, seed=5),
        {"kind": "rrelu", "parameters": RReLU(seed=5)._parameters},
    ]
    trained = []
    for form in [*forms, RReLU(1 / 8, 1 / 3, 5)]:
        initializer = evenflow.initializers.HeNormal(seed=0)
        for layers in (
            [Dense(9, form, kernel_initializer=initializer)],
            [Dense(9, kernel_initializer=initializer), form],
        ):
            if not isinstance(layers[-1], evenflow.layers.Layer):
                layers[-1] = evenflow.layers.Activation(layers[-1])
            out = Dense(2, kernel_initializer=evenflow.initializers.HeNormal(seed=1))
            model = compiled([Input((6,)), *layers, out])
            model.fit(*pair, epochs=2, verbose=0)
            trained.append((bits(model), model.predict(pair[0]).tobytes()))
    assert all(other == trained[0] for other in trained)


def test_names_of_rrelu():
    dense = Dense(3, "rrelu", kernel_initializer="auto")
    assert dense.activation.kind == "rrelu"
    again = Dense(**dense.get_config())
    assert again.activation == dense.activation
    assert activations.get("rrelu") is activations.get(activations.rrelu) is activations.rrelu
    evenflow.set_seed(0)
    one = evenflow.layers.Activation("rrelu").spec()
    evenflow.set_seed(0)
    assert one[0]["seed"] == RReLU().spec()[0]["seed"]  # and no other was drawn
    model = evenflow.Sequential([Input((4,)), dense, Dense(1)])
    assert isinstance(model.layers[0].kernel.initializer, evenflow.initializers.HeNormal)


def test_rrelu_at_inference_is_a_leaky_relu(rng):
    x = rng.standard_normal((5, 7))
    right = activations.leaky_relu(x, (1 / 8 + 1 / 3) / 2)
    np.testing.assert_array_equal(activations.rrelu(x), right)
    np.testing.assert_array_equal(evenflow.Sequential([Input((7,)), RReLU()], dtype="float64").predict(x), right)
    np.testing.assert_allclose(activations.rrelu(x, 0.5, 0.5), np.where(x > 0, x, x / 2))


# Monte Carlo ----------------------------------------------------------------------------------------------------------


def test_monte_carlo_predictions(pair):
    x, y = pair
    model = compiled(stack(partial(Dropout, 0.3)))
    model.fit(x, y, epochs=3, verbose=0)
    before, iterations = bits(model), model.optimizer.iterations
    plain = model.predict(x)
    mean, deviation = model.predict_mc(x, 400, seed=1)
    assert mean.shape == deviation.shape == plain.shape
    assert mean.dtype == deviation.dtype == np.float32
    assert bits(model) == before
    assert model.optimizer.iterations == iterations
    assert model.predict(x).tobytes() == plain.tobytes()
    assert deviation.min() > 0
    halves = [model.predict_mc(x, 400, seed=s)[0] for s in (2, 3)]
    assert np.abs(halves[0] - halves[1]).max() < 7 * np.sqrt(2 / 400) * deviation.max()
    one, none = model.predict_mc(x, 1, seed=1)
    assert not none.any()
    assert one.tobytes() != plain.tobytes()
    evenflow.set_seed(4)
    first, second = model.predict_mc(x, 3)[0], model.predict_mc(x, 3)[0]
    evenflow.set_seed(4)
    assert model.predict_mc(x, 3)[0].tobytes() == first.tobytes() != second.tobytes()


def test_monte_carlo_leaves_the_batch_normalization_alone(pair):
    # With the noise at zero all passes are `predict`, whatever the rows of a batch.
    x, y = pair
    model = compiled(stack(partial(GaussianNoise, 0.0)))
    model.fit(x, y, verbose=0)
    mean, deviation = model.predict_mc(x[:5], 3)
    np.testing.assert_array_equal(mean, model.predict(x[:5]))
    assert not deviation.any()


def test_monte_carlo_refuses(pair):
    x, _ = pair
    with pytest.raises(ValueError, match=r"predict_mc: .*no random layer, such as Dropout"):
        compiled([Input((6,)), Dense(2)]).predict_mc(x)
    model = compiled([Input((6,)), Dropout(0.1), Dense(2)])
    with pytest.raises(ValueError, match="predict_mc: n: expected an integer of at least 1"):
        model.predict_mc(x, 0)
    with pytest.raises(ValueError, match="predict_mc: seed"):
        model.predict_mc(x, seed=-1)
    with pytest.raises(ValueError, match="predict_mc: x"):
        model.predict_mc(x[:, :3])


# Self-normalization ---------------------------------------------------------------------------------------------------


def deep(make: Any, depth: int = 40) -> tuple[float, float]:
    """Mean and variance of the outputs of many SELU layers with a random layer after each, in training."""
    rng = np.random.default_rng(0)
    h = rng.standard_normal((500, 300))
    for layer in range(depth):
        h = reference.selu(h @ (rng.standard_normal((300, 300)) / np.sqrt(300)))
        (entry,) = make(seed=1).spec()
        h = evenflow.kernels.noise_forward(entry["noise"], h, seed=entry["seed"], layer=layer, **entry["parameters"])
    return float(h.mean()), float(h.var())


def test_alpha_dropout_keeps_a_deep_network_of_selu_normal():
    mean, variance = deep(partial(AlphaDropout, 0.1))
    assert abs(mean) < 0.1
    assert 0.85 < variance < 1.15
    assert deep(partial(Dropout, 0.1))[1] > 1.3
