"""`callbacks.Health`: each warning on a network that truly shows what it says, and none on a healthy one."""

import warnings

import numpy as np
import pytest

import evenflow
from evenflow.callbacks import Callback, CSVLogger, GradientNorms, Health
from evenflow.initializers import RandomNormal, VarianceScaling
from evenflow.layers import Activation, BatchNormalization, Dense, Dropout, Input
from evenflow.losses import CustomLoss, SparseCategoricalCrossentropy
from evenflow.optimizers import SGD, Adam

QUANTITIES = ("mean", "std", "dead", "saturated", "gradient", "update")


def blobs(rows=320, seed=0):
    """Three clouds in 20 dimensions."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return (rng.standard_normal((rows, 20)) + 2 * np.eye(3, 20)[y]).astype(np.float32), y


def network(hidden, activation, optimizer, initializer="he_normal", units=40, **options):
    evenflow.set_seed(3)
    model = evenflow.Sequential([Input((20,))])
    for i in range(hidden):
        model.add(Dense(units, activation, kernel_initializer=initializer, name=f"hidden_{i}", **options))
    model.add(Dense(3, "softmax", name="output"))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def watched(model, epochs=3, callbacks=(), **options):
    """The callback after a training that is not to warn, and the history."""
    x, y = blobs()
    health = Health(**{"every": 2, "warn": False, **options})
    history = model.fit(x, y, epochs=epochs, verbose=0, callbacks=[health, *callbacks])
    return health, history.history


def only_message(health):
    (text,) = health.messages
    return text


def test_a_healthy_network_has_nothing_to_say():
    for activation, initializer in (("relu", "he_normal"), ("selu", "lecun_normal"), ("tanh", "glorot_uniform")):
        health, history = watched(network(3, activation, Adam(), initializer), epochs=5)
        assert health.messages == [], activation
        assert history["loss"][-1] < history["loss"][0]


def test_dying_relu():
    model = network(2, "relu", SGD(0.001))
    weights = model.get_weights()
    weights[3][:25] = -1e3  # biases of the second layer: 25 of 40 units can never wake
    model.set_weights(weights)
    health, history = watched(model)
    assert only_message(health) == (
        "epoch 1: layer hidden_1: 62.5 % of its units were zero for every row of this epoch: dying ReLU; try "
        "LeakyReLU, He initialization, a lower learning rate"
    )
    assert history["health/hidden_1/dead"] == [0.625] * 3
    assert history["health/hidden_0/dead"] == [0] * 3


def test_relus_that_a_large_rate_kills():
    health, history = watched(network(4, "relu", Adam(0.3)), epochs=6, update=10.0)
    assert any("dying ReLU" in text for text in health.messages)
    assert max(history["health/hidden_3/dead"]) > 0.5


def test_saturated_tanh():
    health, history = watched(network(2, "tanh", SGD(1e-3), RandomNormal(stddev=2.0)))
    assert [text.split(" units")[0] for text in health.messages] == [
        f"epoch 1: layer hidden_{i}: {100 * history[f'health/hidden_{i}/saturated'][0]:.3g} % of its" for i in (0, 1)
    ]
    assert all("tanh is flat there" in text for text in health.messages)
    assert history["health/hidden_1/saturated"][0] > 0.6


def test_vanishing_gradients():
    health, history = watched(network(10, "sigmoid", SGD(1e-3), "glorot_uniform"))
    ratio = history["health/hidden_0/gradient"][0] / history["health/output/gradient"][0]
    assert ratio < 1e-5
    assert only_message(health).startswith(f"epoch 1: gradient of hidden_0 is {ratio:.0e} of output's: vanishing; try")


def test_exploding_gradients():
    health, history = watched(network(8, "relu", SGD(1e-12), VarianceScaling(60.0)))
    largest = max(history[f"health/hidden_{i}/gradient"][0] for i in range(8))
    assert largest > 1e3
    assert "exploding; try global_clipnorm=1.0" in only_message(health)


def test_a_rate_that_is_too_high():
    health, history = watched(network(1, "tanh", SGD(20.0), "glorot_uniform"), epochs=1, saturated=1.0)
    assert any("of its weights: the learning rate is too high" in text for text in health.messages)
    assert max(history["health/hidden_0/update"][0], history["health/output/update"][0]) > 0.1


def test_outputs_that_are_not_finite():
    health, _ = watched(network(2, "relu", SGD(1e30)))
    assert any("what it puts out is not finite: training diverged" in text for text in health.messages)
    assert "layer hidden_0" in health.messages[-1]


def test_units_that_put_out_nothing_without_being_relus():
    model = network(1, "elu", SGD(0.0), "zeros")
    health, _ = watched(model)
    for text, layer in zip(health.messages, ("hidden_0", "output"), strict=True):
        assert text.startswith(f"epoch 1: layer {layer}: 100 % of its units were zero")
        assert "they pass nothing on" in text


def test_warnings_are_given_once_and_in_plain_words():
    x, y = blobs()
    model = network(10, "sigmoid", SGD(1e-3), "glorot_uniform")
    health = Health()
    with pytest.warns(
        UserWarning, match=r"^Health: epoch 1: gradient of hidden_0 is .* of output's: vanishing"
    ) as seen:
        history = model.fit(x, y, epochs=3, verbose=0, callbacks=[health])
    assert len(seen) == len(health.messages) == 1
    assert seen[0].filename == __file__
    assert history.messages == health.messages
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        model.fit(x, y, epochs=1, verbose=0, callbacks=[health])
    assert len(again) == len(health.messages) == 1  # a new training


def test_history_has_each_quantity_of_each_layer(tmp_path):
    evenflow.set_seed(0)
    layers = [Dense(16, use_bias=False, name="a"), BatchNormalization(name="norm"), Activation("relu", name="act")]
    layers += [Dropout(0.2), Dense(9, name="b"), Dense(3, "softmax", name="out")]
    model = evenflow.Sequential([Input((20,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    log = tmp_path / "log.csv"
    _, history = watched(model, callbacks=[CSVLogger(log)])
    found = {}
    for name in history:
        if name.startswith("health/"):
            _, layer, quantity = name.split("/")
            found.setdefault(layer, []).append(quantity)
    linear = ["mean", "std", "dead", "gradient", "update"]
    assert found == {
        "a": ["gradient", "update"],
        "norm": ["gradient", "update"],
        "act": ["mean", "std", "dead", "saturated"],
        "b": linear,
        "out": linear,
    }
    assert list(found) == ["a", "norm", "act", "b", "out"]  # as in the network
    assert all(len(series) == 3 for series in history.values())
    assert "health/act/saturated" in log.read_text(encoding="utf-8").splitlines()[0]


def test_the_numbers_are_those_of_the_network():
    """Without a change of weights every step sees the same network: it can be looked at afterwards."""
    x, _ = blobs()
    model = network(2, "relu", SGD(0.0))
    _, history = watched(model, epochs=1, every=1, callbacks=[GradientNorms()])
    hidden = evenflow.Sequential(model.layers[:2]).predict(x)
    assert history["health/hidden_1/mean"][0] == pytest.approx(hidden.mean(), rel=1e-5)
    assert history["health/hidden_1/std"][0] == pytest.approx(hidden.std(), rel=1e-5)
    assert history["health/hidden_1/dead"][0] == pytest.approx((hidden == 0).all(axis=0).mean(), abs=1e-12)
    assert history["health/hidden_1/saturated"][0] == pytest.approx((hidden == 0).mean(), abs=1e-12)
    assert history["health/hidden_1/update"][0] == 0
    parts = [history[f"gradient_norm/hidden_1/{name}"][0] for name in ("kernel", "bias")]
    assert np.hypot(*parts) == pytest.approx(history["health/hidden_1/gradient"][0], rel=0.05)  # means of norms
    assert history["health/hidden_1/gradient"][0] >= max(parts)


@pytest.mark.parametrize("way", ["steps", "generator", "custom loss", "function as metric"])
def test_every_way_through_an_epoch_counts_the_same(way):
    def trained(way):
        x, y = blobs()
        model = network(2, "elu", "adam")
        health, more = Health(every=3, warn=False), {}
        if way == "steps":
            more = {"callbacks": [evenflow.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]}
        if way == "function as metric":
            model.compile("adam", "sparse_categorical_crossentropy", metrics=[lambda y, p: p.max(axis=1)])
        if way == "custom loss":
            native = SparseCategoricalCrossentropy()

            def loss(y, p):
                rows = np.arange(len(y))
                gradient = np.zeros_like(p)
                gradient[rows, y] = -1 / p[rows, y] / len(y)
                return float(-np.log(p[rows, y]).mean()), gradient

            assert native.name
            model.compile("adam", CustomLoss(loss))
        given = {"x": x, "y": y, "shuffle": False, "batch_size": 32}
        if way == "generator":
            given = {"x": ((x[i : i + 32], y[i : i + 32]) for _ in range(2) for i in range(0, 320, 32))}
            given |= {"steps_per_epoch": 10}
        callbacks = [health, *more.get("callbacks", [])]
        history = model.fit(**given, epochs=2, verbose=0, callbacks=callbacks).history
        return {name: series for name, series in history.items() if name.startswith("health/")}

    right, found = trained(""), trained(way)
    assert list(right) == list(found)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-3, atol=1e-5, err_msg=name)
        if way != "custom loss":  # whose gradient is computed in another way
            assert found[name] == right[name]


def test_weights_are_those_without_it():
    x, y = blobs()
    plain, counted = network(3, "relu", "adam"), network(3, "relu", "adam")
    plain.fit(x, y, epochs=2, verbose=0)
    counted.fit(x, y, epochs=2, verbose=0, callbacks=[Health(every=2, warn=False)])
    for a, b in zip(plain.get_weights(), counted.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.health is None


def test_a_layer_that_is_frozen_on_the_way():
    class Freeze(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.get_layer("hidden_0").trainable = False

        def on_train_batch_begin(self, batch, logs=None):
            self.model.get_layer("hidden_1").trainable = batch < 5

    _, history = watched(network(3, "relu", "adam"), callbacks=[Freeze()])
    assert np.isnan(history["health/hidden_0/gradient"]).tolist() == [False, True, True]
    for name in ("hidden_0/dead", "hidden_2/gradient"):
        assert np.isfinite(history[f"health/{name}"]).tolist() == [True] * 3


def test_progress_lines_leave_it_out(capsys):
    x, y = blobs()
    network(1, "relu", "adam").fit(x, y, verbose=2, callbacks=[Health()])
    assert "health" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"every": 0}, "Health: every: expected an integer of at least 1, received 0"),
        ({"dead": 0.0}, "Health: dead: expected a finite number above 0"),
        ({"saturated": 1.5}, "Health: saturated"),
        ({"vanishing": 1.0}, "Health: vanishing"),
        ({"exploding": -1.0}, "Health: exploding"),
        ({"update": 0.0}, "Health: update"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words):
        Health(**arguments)
