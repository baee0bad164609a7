"""Metrics in training beyond the plain ones: weighted, written in Python, of predicted distributions."""

from typing import Any

import networks
import numpy as np
import pytest

import evenflow
from evenflow import losses, metrics, reference
from evenflow.callbacks import Callback, EarlyStopping
from evenflow.layers import BatchNormalization, Dense, Dropout, Input
from evenflow.losses import GaussianNLL, Quantile

ROWS, CLASSES = 72, 3
SPARSE = "sparse_categorical_crossentropy"
QUANTILES = [0.1, 0.5, 0.9]


def problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, 5)), rng.integers(0, CLASSES, ROWS)


def classifier(loss: Any = SPARSE, **compiled: Any) -> Any:
    layers = [Input((5,)), Dense(8, "relu"), BatchNormalization(), Dropout(0.2), Dense(CLASSES, "softmax")]
    evenflow.set_seed(1)
    model = evenflow.Sequential(layers, seed=1)
    model.compile("adam", loss, **compiled)
    return model


def right(y: Any, p: Any) -> Any:
    return p.argmax(axis=1) == y


def furthest(y: Any, p: Any) -> Any:
    return abs(p - np.eye(p.shape[1])[y])  # [rows, classes]: the mean of each row counts


# Weights --------------------------------------------------------------------------------------------------------------


def test_weighted_metrics_are_those_of_repeated_rows():
    x, y = problem()
    counts = np.arange(ROWS) % 3
    listed = ["accuracy", metrics.AUC(), metrics.ConfusionMatrix(CLASSES), metrics.F1Score("macro")]
    weighted = classifier(metrics=["accuracy"], weighted_metrics=listed)
    found = weighted.evaluate(x, y, sample_weight=counts, verbose=0, return_dict=True)
    assert list(found) == ["loss", "accuracy", "weighted_accuracy", "auc", "confusion_matrix", "f1_score"]
    plain = classifier(metrics=listed)
    plain.set_weights(weighted.get_weights())
    repeated = np.repeat(np.arange(ROWS), counts)
    expected = plain.evaluate(x[repeated], y[repeated], verbose=0, return_dict=True)
    for metric in listed[1:]:
        np.testing.assert_allclose(found[metric.name], expected[metric.name], rtol=1e-6)
    assert found["weighted_accuracy"] == pytest.approx(expected["accuracy"])
    assert found["accuracy"] == pytest.approx(plain.evaluate(x, y, verbose=0)[1])


def test_weights_of_classes_count_in_training_and_none_are_one():
    x, y = problem()
    model = classifier(weighted_metrics=["accuracy", SPARSE])
    logs = model.fit(x, y, class_weight={0: 0.0, 1: 0.0}, verbose=0, batch_size=32, validation_data=(x, y)).history
    assert logs["sparse_categorical_crossentropy"][0] * (y == 2).mean() == pytest.approx(logs["loss"][0], rel=1e-6)
    assert logs["val_sparse_categorical_crossentropy"] == pytest.approx(logs["val_loss"], rel=1e-6)


def test_weighted_metrics_do_not_move_a_weight():
    x, y = problem()
    results = []
    for compiled in ({}, {"metrics": ["accuracy"]}, {"weighted_metrics": ["accuracy"]}, {"metrics": [right]}):
        model = classifier(**compiled)
        model.fit(x, y, 16, 2, verbose=0, sample_weight=1 + np.arange(ROWS) % 3, threads=2)
        results.append([w.tobytes() for w in model.get_weights()])
    assert all(result == results[0] for result in results[1:])


@pytest.mark.parametrize("units", [CLASSES, 40])  # rows in tiles, and one by one
def test_weighted_metrics_are_the_references(units, isa, dtype, rng):
    counted = [
        "sparse_categorical_accuracy",
        {"kind": "threshold_counts", "thresholds": [0.1, 0.3]},
        "confusion_matrix",
    ]
    counted = [entry if isinstance(entry, dict) else {"kind": entry} for entry in counted]
    spec = networks.network(
        5,
        [networks.dense(units), networks.activation("softmax")],
        networks.SPARSE,
        metrics=[entry | {"weighted": weighted} for entry in counted for weighted in (False, True)],
    )
    program, net = evenflow.Program(spec, dtype=dtype.name, batch_size=37), reference.Network(spec)
    for name, value in net.variables.items():
        program.set(name, rng.standard_normal(value.shape).astype(dtype))
        value[...] = program.get(name)
    x, y = rng.standard_normal((111, 5)).astype(dtype), rng.integers(0, units, 111)
    weights = rng.integers(0, 5, (111, 1)) / 2
    progress = program.train(x, y, learning_rate=0.1, sample_weight=weights)
    bound = 100 * float(np.finfo(dtype).eps)
    loss, states = 0.0, [0.0] * 6
    for batch in (slice(0, 37), slice(37, 74), slice(74, 111)):
        added, counts = net.train_step(x[batch], y[batch], 0.1, weights[batch])
        loss, states = loss + added, [a + b for a, b in zip(states, counts, strict=True)]
    assert progress.loss == pytest.approx(loss, rel=bound)
    assert progress.weights == [weights.sum()]
    for own, expected in zip(progress.metrics, states, strict=True):
        np.testing.assert_array_equal(own, expected)
    for name, value in net.variables.items():
        np.testing.assert_allclose(program.get(name), value, rtol=0, atol=bound * abs(value).max())


# Functions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_batch", [False, True])
def test_functions_see_what_the_core_sees(per_batch):
    x, y = problem()
    weights = np.arange(ROWS) % 4 / 2
    named = metrics.MeanMetricWrapper(right, "own")
    model = classifier(metrics=[right, "accuracy"], weighted_metrics=["accuracy", named])
    callbacks = []
    if per_batch:

        class EachBatch(Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                assert logs["right"] == pytest.approx(logs["accuracy"])

        callbacks = [EachBatch()]
    history = model.fit(
        x, y, 16, 3, verbose=0, sample_weight=weights, validation_split=0.3, callbacks=callbacks
    ).history
    for prefix in ("", "val_"):
        np.testing.assert_allclose(history[f"{prefix}right"], history[f"{prefix}accuracy"])
        np.testing.assert_allclose(history[f"{prefix}own"], history[f"{prefix}weighted_accuracy"])
    scores = model.evaluate(x, y, 11, verbose=0, return_dict=True)
    assert scores["right"] == pytest.approx((model.predict(x).argmax(axis=1) == y).mean())
    assert list(scores) == ["loss", "right", "accuracy", "weighted_accuracy", "own"]
    with pytest.raises(ValueError, match=r"cannot tell whether 'right' is to be low or high.*none of loss, accuracy"):
        model.fit(x, y, verbose=0, callbacks=[EarlyStopping("right")])


def test_functions_of_several_values_one_number_and_arguments():
    x, y = problem()
    near = metrics.MeanMetricWrapper(lambda y, p, least: p.max(axis=1) > least, "sure", least=0.4)
    model = classifier(metrics=[furthest, near, metrics.MeanMetricWrapper(lambda y, p: len(y), "rows")])
    scores = model.evaluate(x, y, 32, verbose=0, return_dict=True)
    p = model.predict(x)
    assert scores["furthest"] == pytest.approx(furthest(y, p).mean(), rel=1e-6)
    assert scores["sure"] == pytest.approx((p.max(axis=1) > 0.4).mean())
    assert scores["rows"] == pytest.approx((32 + 32 + 8) / 3)
    alone = metrics.MeanMetricWrapper(furthest)
    assert alone(y, p) == pytest.approx(scores["furthest"], rel=1e-6)
    assert alone.get_config() == {"fn": "furthest", "name": "furthest"}


@pytest.mark.parametrize("rows", [2, 16, 72])
def test_functions_on_single_batches(rows):
    x, y = problem()
    model = classifier(metrics=[right, "accuracy"])
    for call in (model.test_on_batch, model.train_on_batch):
        scores = call(x[:rows], y[:rows], return_dict=True)
        assert scores["right"] == pytest.approx(scores["accuracy"])


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda y, p: p[:-1], ValueError, ["metric '<lambda>'", "(72,)", "(71, 3)"]),
        (lambda y, p: None, TypeError, ["metric '<lambda>'", "None"]),
        (lambda y, p: "x", TypeError, ["metric '<lambda>'", "value"]),
    ],
)
def test_what_a_function_may_not_return(function, error, words):
    x, y = problem()
    with pytest.raises(error) as caught:
        classifier(metrics=[function]).evaluate(x, y, 72, verbose=0)
    for word in words:
        assert word in str(caught.value)


def test_models_with_functions_in_files(tmp_path):
    x, y = problem()
    model = classifier(metrics=["accuracy"], weighted_metrics=[metrics.MeanMetricWrapper(right, "own")])
    model.fit(x, y, verbose=0)
    with pytest.warns(UserWarning, match=r"custom_objects=\{'right': function\}"):
        model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"a metric is the Python function 'right'"):
        evenflow.models.load_model(tmp_path / "m.safetensors")
    again = evenflow.models.load_model(tmp_path / "m.safetensors", {"right": right})
    weights = np.arange(ROWS)
    scores = [m.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True) for m in (model, again)]
    assert scores[0] == scores[1]
    assert list(scores[0]) == ["loss", "accuracy", "own"]


# A loss of one's own beside them --------------------------------------------------------------------------------------


def own_loss(y: Any, p: Any) -> Any:
    q = np.clip(p, 1e-7, 1)
    own = np.eye(CLASSES)[y]
    return -np.log(q[np.arange(len(y)), y]), -own / q


def test_beside_a_loss_in_python():
    x, y = problem()
    weights = np.arange(ROWS) % 4 / 2
    results = []
    for loss in (own_loss, SPARSE):
        evenflow.set_seed(1)
        model = evenflow.Sequential([Input((5,)), Dense(CLASSES, "softmax")], seed=1, dtype="float64")
        model.compile("sgd", loss, metrics=["accuracy", right], weighted_metrics=["accuracy", metrics.AUC(), furthest])
        history = model.fit(x, y, 16, 3, verbose=0, sample_weight=weights, validation_split=0.3).history
        history |= model.fit(x, y, 16, verbose=0, class_weight={1: 3.0}).history
        results.append(history | model.evaluate(x, y, 32, verbose=0, return_dict=True))
    assert list(results[0]) == list(results[1])
    for name, values in results[0].items():
        np.testing.assert_allclose(values, results[1][name], rtol=1e-6, err_msg=name)


def test_a_loss_in_python_has_penalties_and_schedules_of_momentum():
    def squared(y: Any, p: Any) -> Any:
        d = p - y
        return (d**2).mean(axis=1), 2 * d / d.shape[1]

    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((60, 5)), rng.standard_normal((60, 2))
    results = []
    for loss in (squared, "mse"):
        evenflow.set_seed(1)
        layers = [
            Input((5,)),
            Dense(40, "tanh", kernel_regularizer="l1_l2", activity_regularizer="l2"),
            Dense(2, bias_regularizer="l1"),
        ]
        model = evenflow.Sequential(layers, seed=1, dtype="float64")
        schedule = evenflow.schedules.OneCycle(0.1, 20)
        model.compile(evenflow.optimizers.SGD(schedule, momentum=0.9), loss)
        history = model.fit(x, y, 16, 4, verbose=0, validation_data=(x[:40], y[:40])).history
        results.append([*history.values(), model.evaluate(x, y, 60, verbose=0), *map(np.ravel, model.get_weights())])
    for own, expected in zip(*results, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-12)
    assert results[0][-1].size


def test_updates_check_their_momentum():
    model = classifier()
    model.compile(evenflow.optimizers.SGD(0.1, momentum=0.9), SPARSE)
    x, y = problem()
    model.fit(x, y, verbose=0)
    program = evenflow.Program(model.spec())
    program.forward(x[:8].astype(np.float32))
    for momentum in (1.5, float("nan"), "x"):
        with pytest.raises((TypeError, ValueError), match=r"update: .*momentum"):
            program.update(0.1, momentum)


# Distributions --------------------------------------------------------------------------------------------------------


def spread(units: int, loss: Any, **compiled: Any) -> Any:
    model = evenflow.Sequential([Input((5,)), Dense(8, "tanh"), Dense(units)], seed=1)
    model.compile("adam", loss, **compiled)
    return model


@pytest.mark.parametrize("columns", [1, 2, 19])
def test_quantiles(columns):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((ROWS, 5)), rng.standard_normal((ROWS, columns))
    weights = rng.integers(0, 3, ROWS)
    listed = [
        "mae",
        "rmse",
        metrics.R2Score(),
        metrics.PinballLoss(QUANTILES),
        metrics.IntervalCoverage((0.1, 0.9), QUANTILES),
        metrics.IntervalWidth((0.1, 0.5), QUANTILES),
    ]
    model = spread(3 * columns, Quantile(QUANTILES), metrics=listed, weighted_metrics=["mae"])
    model.fit(x, y, epochs=2, verbose=0)
    found = model.evaluate(x, y, verbose=0, return_dict=True, sample_weight=weights)
    low, middle, high = np.split(model.predict(x), 3, axis=1)
    assert found["mae"] == pytest.approx(abs(middle - y).mean(), rel=1e-6)
    assert found["weighted_mae"] == pytest.approx(np.average(abs(middle - y).mean(axis=1), weights=weights), rel=1e-6)
    assert found["rmse"] == pytest.approx(np.sqrt(((middle - y) ** 2).mean()), rel=1e-6)
    assert found["r2_score"] == pytest.approx(metrics.R2Score()(y, middle), rel=1e-5)
    assert found["interval_coverage"] == pytest.approx(((low <= y) & (y <= high)).mean())
    assert found["interval_width"] == pytest.approx((middle - low).mean(), rel=1e-5)
    plain = model.evaluate(x, y, verbose=0, return_dict=True)
    assert plain["pinball_loss"] == pytest.approx(plain["loss"], rel=1e-6)
    assert metrics.PinballLoss(QUANTILES)(y, model.predict(x)) == pytest.approx(plain["pinball_loss"], rel=1e-6)


@pytest.mark.parametrize("columns", [1, 3, 18])
def test_normal_distributions(columns):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((ROWS, 5)), rng.standard_normal((ROWS, columns))
    listed = ["mse", metrics.IntervalCoverage(), metrics.IntervalWidth((0.25, 0.75)), lambda y, p: p[:, 0]]
    model = spread(2 * columns, GaussianNLL(), metrics=listed)
    model.fit(x, y, epochs=2, verbose=0)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict(x)
    mean, deviation = p[:, :columns], np.exp(p[:, columns:] / 2)
    assert found["mse"] == pytest.approx(((mean - y) ** 2).mean(), rel=1e-5)
    assert found["interval_coverage"] == pytest.approx((abs(mean - y) <= 1.6448536269514722 * deviation).mean())
    assert found["interval_width"] == pytest.approx(2 * 0.6744897501960817 * deviation.mean(), rel=1e-5)
    assert found["<lambda>"] == pytest.approx(p[:, 0].mean(), rel=1e-4, abs=1e-6)


def test_intervals_cover_what_they_say():
    rng = np.random.default_rng(1)
    y, ones = 3 + 2 * rng.standard_normal((20_000, 1)), np.ones((20_000, 1))
    exact = np.concatenate([3 * ones, np.log(4) * ones], axis=1)
    for interval in ((0.05, 0.95), (0.2, 0.4)):
        expected = interval[1] - interval[0]
        assert metrics.IntervalCoverage(interval)(y, exact) == pytest.approx(expected, abs=0.01)
        bounds = np.quantile(y, interval) * ones
        assert metrics.IntervalCoverage(interval, interval)(y, bounds) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("loss", "metric", "words"),
    [
        (GaussianNLL(), "accuracy", ["gaussian_nll", "'accuracy'", "median or mean"]),
        (GaussianNLL(), metrics.AUC(), ["'auc'", "median or mean"]),
        (GaussianNLL(), metrics.PinballLoss(QUANTILES), ["pinball_loss", "expected 3 of", "gaussian_nll"]),
        (Quantile([0.1, 0.9]), "mae", ["'mae'", "no quantile 0.5"]),
        (Quantile(QUANTILES), metrics.PinballLoss(), ["'pinball_loss': expected 1 of", "takes 3"]),
        (Quantile(QUANTILES), metrics.IntervalCoverage(), ["'interval_coverage': expected 2 of", "takes 3"]),
        ("mse", metrics.IntervalCoverage(), ["expected 2 of", "mean_squared_error", "takes 1"]),
    ],
)
def test_metrics_that_do_not_fit_the_loss(loss, metric, words):
    with pytest.raises(ValueError, match="compile") as caught:
        spread(6, loss, metrics=[metric])
    for word in words:
        assert word in str(caught.value)


def test_the_core_refuses_metrics_of_other_blocks():
    spec = spread(6, Quantile(QUANTILES)).spec()
    for metric in ("mean_squared_error", {"kind": "normal_width", "lower": 0, "upper": 1}):
        with pytest.raises(ValueError, match=r"metrics.*outputs in blocks as the loss has them, 3"):
            evenflow.Program(spec | {"metrics": [metric]})
    with pytest.raises(ValueError, match="a metric of the kind 'predictions'"):
        evenflow.Program(spec).predictions(1)
    program = evenflow.Program(spec | {"metrics": ["predictions"]})
    with pytest.raises(ValueError, match=r"predictions: .*rows"):
        program.predictions(33)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "top_k_categorical_accuracy", "k": 5}, ["k", "at most 4"]),
        ({"kind": "top_k_categorical_accuracy"}, ["k"]),
        ({"kind": "threshold_counts", "class_id": 4}, ["class_id", "at most 3"]),
        ({"kind": "threshold_counts", "thresholds": [0.5, 0.2]}, ["thresholds", "ascending"]),
        ({"kind": "threshold_counts", "thresholds": [float("nan")]}, ["thresholds", "ascending"]),
        ({"kind": "pinball", "quantiles": [0.1, 0.5, 0.9]}, ["blocks", "divisor", "4"]),
        ({"kind": "mean_absolute_error", "blocks": 2, "block": 2}, ["block", "below"]),
        ({"kind": "interval_width", "blocks": 2, "lower": 0, "upper": 2}, ["upper", "below"]),
        ({"kind": "normal_width", "lower": float("nan")}, ["lower"]),
        ({"kind": "confusion_matrix", "target_class": "number"}, ["target_class", "strongest"]),
        ({"kind": "confusion_matrix", "target_class": "numbr"}, ["target_class", "'number'"]),
        ({"kind": "confusion_matrix", "classes": 1 << 20}, ["classes", "at most"]),
        ({"kind": "threshold_count"}, ["kind", "threshold_counts"]),
        ({"kind": "threshold_counts", "treshold": 1}, ["settings", "threshold"]),
        (5, ["kind"]),
    ],
)
def test_the_core_checks_settings(spec, words):
    with pytest.raises((TypeError, ValueError)) as error:
        evenflow.kernels.metric_sums(spec, np.zeros((2, 4)), np.zeros((2, 4)))
    for word in words:
        assert word in str(error.value)


def test_losses_serve_as_metrics():
    x, y = problem()
    model = classifier(metrics=[losses.sparse_categorical_crossentropy])
    scores = model.evaluate(x, y, verbose=0, return_dict=True)
    assert scores["sparse_categorical_crossentropy"] == pytest.approx(scores["loss"], rel=1e-5)
