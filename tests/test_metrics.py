"""Metrics as objects and in training: states over many batches, what is refused, History, files."""

import inspect
import json
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import metrics
from evenflow.callbacks import CSVLogger, EarlyStopping
from evenflow.layers import Dense, Input
from evenflow.losses import BinaryCrossentropy, SparseCategoricalCrossentropy

ROWS, CLASSES = 100, 4
SPARSE, DENSE = "sparse_categorical_crossentropy", "categorical_crossentropy"
LOGITS = SparseCategoricalCrossentropy(from_logits=True)
OBJECTS: dict[str, metrics.Metric] = {  # one of every class, with other settings than the defaults where there are some
    cls.__name__: cls()
    for cls in metrics.CLASSES
    if all(p.default is not p.empty for p in inspect.signature(cls).parameters.values())
} | {
    "AUC": metrics.AUC(20, "PR", "minoring", "area", multi_label=True, label_weights=[1, 2, 3, 4], num_labels=4),
    "BinaryIoU": metrics.BinaryIoU([1], 0.3),
    "BinaryAccuracy": metrics.BinaryAccuracy(threshold=0.3),
    "CategoricalCrossentropy": metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    "ConfusionMatrix": metrics.ConfusionMatrix(4),
    "IntervalCoverage": metrics.IntervalCoverage((0.1, 0.9), [0.9, 0.1]),
    "IntervalWidth": metrics.IntervalWidth((0.2, 0.9)),
    "IoU": metrics.IoU(4, [1, 3], "iou", 2, sparse_y_pred=False),
    "F1Score": metrics.F1Score("macro", 0.3),
    "FBetaScore": metrics.FBetaScore("weighted", 2.0),
    "MeanIoU": metrics.MeanIoU(3),
    "OneHotIoU": metrics.OneHotIoU(4, [0]),
    "OneHotMeanIoU": metrics.OneHotMeanIoU(4, "m", 3),
    "PinballLoss": metrics.PinballLoss([0.1, 0.9]),
    "Precision": metrics.Precision([0.7, 0.3], 3, 1, "p"),
    "PrecisionAtRecall": metrics.PrecisionAtRecall(0.5, 50, 2),
    "R2Score": metrics.R2Score(None, 2),
    "RecallAtPrecision": metrics.RecallAtPrecision(0.4),
    "SensitivityAtSpecificity": metrics.SensitivityAtSpecificity(0.5, class_id=1),
    "SparseTopKCategoricalAccuracy": metrics.SparseTopKCategoricalAccuracy(2),
    "SpecificityAtSensitivity": metrics.SpecificityAtSensitivity(0.5, 10),
    "TopKCategoricalAccuracy": metrics.TopKCategoricalAccuracy(3, "top"),
    "TruePositives": metrics.TruePositives([0.2, 0.4]),
}
every_metric = pytest.mark.parametrize("name", OBJECTS)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def problem(metric: metrics.Metric, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    p = rng.dirichlet(np.ones(CLASSES), ROWS)
    labels = rng.integers(0, CLASSES, ROWS)
    if isinstance(metric, metrics.IoU) and metric.sparse_y_pred:
        return labels % 2, (p[:, 0] if isinstance(metric, metrics.BinaryIoU) else rng.integers(0, CLASSES, ROWS))
    if metric.outputs_per_target > 1:
        return rng.dirichlet(np.ones(2), ROWS), p
    return labels if metric.targets == "labels" else np.eye(CLASSES)[labels], p


def same(a: Any, b: Any, rel: float = 1e-12) -> None:
    np.testing.assert_allclose(a, b, rtol=rel, atol=rel)


def test_every_class_is_here():
    assert set(OBJECTS) == {cls.__name__ for cls in metrics.CLASSES}
    assert {type(metric) for metric in OBJECTS.values()} == set(metrics.CLASSES)


@every_metric
def test_batches_add_up(name, rng):
    metric = OBJECTS[name]
    metric.reset_state()
    assert metric.result() == 0
    y, p = problem(metric, rng)
    for part in (slice(0, 7), slice(7, 8), slice(8, ROWS)):
        metric.update_state(y[part], p[part])
    several = metric.result()
    metric.reset_state()
    same(several, metric(y, p))
    metric.reset_state()
    twice = np.r_[0:ROWS, 0:50]
    weighted = metric(y, p, np.r_[np.full(50, 2.0), np.full(ROWS - 50, 1.0)])
    metric.reset_state()
    if metric is not OBJECTS["R2Score"]:  # the adjusted score counts rows, whatever their weights
        same(weighted, metric(y[twice], p[twice]))
    metric.reset_state()


@every_metric
def test_config_makes_the_same_metric(name, rng):
    metric = OBJECTS[name]
    config = json.loads(json.dumps(metric.get_config()))
    again = type(metric).from_config(config)
    assert again.get_config() == metric.get_config()
    assert (again.spec(), again.name) == (metric.spec(), metric.name)
    assert metrics.get({"class_name": name, "config": config}).get_config() == config
    y, p = problem(metric, rng)
    same(again(y, p), metric(y, p))
    metric.reset_state()


@pytest.mark.parametrize("name", [name for name, metric in OBJECTS.items() if metric.targets == "either"])
def test_labels_are_one_hot_rows(name, rng):
    metric = OBJECTS[name]
    one_hot, p = problem(metric, rng)
    expected = metric(one_hot, p)
    for labels in (one_hot.argmax(axis=1), one_hot.argmax(axis=1)[:, None].astype(np.uint8)):
        metric.reset_state()
        np.testing.assert_array_equal(metric(labels, p), expected)
    metric.reset_state()


def test_counts_are_those_of_a_loop(rng):
    y, p = rng.integers(0, 2, 200), rng.integers(0, 11, 200) / 10
    for threshold in (0.0, 0.25, 0.5, 1.0):
        tp, fp = np.sum((p > threshold) & (y == 1)), np.sum((p > threshold) & (y == 0))
        fn, tn = np.sum((p <= threshold) & (y == 1)), np.sum((p <= threshold) & (y == 0))
        for cls, count in (
            ("TruePositives", tp),
            ("FalsePositives", fp),
            ("FalseNegatives", fn),
            ("TrueNegatives", tn),
        ):
            assert getattr(metrics, cls)(threshold)(y, p) == count
        assert metrics.Precision(threshold)(y, p) == pytest.approx(tp / (tp + fp) if tp + fp else 0)
        assert metrics.Recall(threshold)(y, p) == pytest.approx(tp / (tp + fn))
    recalls = metrics.Recall([0.5, 0.25, 1.0])(y, p)
    np.testing.assert_array_equal(recalls, [metrics.Recall(t)(y, p) for t in (0.5, 0.25, 1.0)])


def test_top_k_chooses_the_first_among_equals():
    p = np.array([[0.5, 0.5, 0.5, 0.1]])
    assert [metrics.Recall(top_k=2)(np.eye(4)[[j]], p) for j in range(4)] == [1, 1, 0, 0]
    assert metrics.Precision(top_k=3)(np.eye(4)[[0]], p) == pytest.approx(1 / 3)
    assert metrics.Precision(0.5, top_k=3)(np.eye(4)[[0]], p) == 0
    nan = np.array([[0.2, np.nan, 0.9, 0.1]])
    assert [metrics.SparseTopKCategoricalAccuracy(2)([j], nan) for j in range(4)] == [0, 0, 1, 0]


def test_area_is_the_probability_of_the_right_order(rng):
    # Predictions between the thresholds lose nothing: the trapezoids are exact.
    y, p = rng.integers(0, 2, 300), (rng.integers(0, 199, 300) + 0.5) / 199
    above = p[y == 1][:, None] - p[y == 0]
    exact = (above > 0).mean() + (above == 0).mean() / 2
    assert metrics.AUC()(y, p) == pytest.approx(exact, abs=1e-12)
    logits = np.log(p) - np.log1p(-p)
    assert metrics.AUC(from_logits=True)(y, logits) == pytest.approx(exact, abs=1e-12)
    thresholds = list(np.unique(p))
    assert metrics.AUC(thresholds=thresholds)(y, p) == pytest.approx(exact, abs=1e-12)
    lower, upper = (metrics.AUC(summation_method=method)(y, p) for method in ("minoring", "majoring"))
    assert lower < exact < upper
    assert (lower + upper) / 2 == pytest.approx(exact)


def test_areas_of_labels_are_averaged(rng):
    y, p = rng.integers(0, 2, (100, 3)), rng.random((100, 3))
    for curve in ("ROC", "PR"):
        apart = [metrics.AUC(curve=curve)(y[:, j], p[:, j]) for j in range(3)]
        assert metrics.AUC(curve=curve, multi_label=True)(y, p) == pytest.approx(np.mean(apart))
        weights = [1, 0, 3]
        weighted = metrics.AUC(curve=curve, multi_label=True, label_weights=weights)
        assert weighted(y, p) == pytest.approx(np.average(apart, weights=weights))


def test_confusion_matrix_has_targets_in_rows():
    matrix = metrics.ConfusionMatrix(3)
    found = matrix([0, 0, 2, 2], np.eye(3)[[0, 1, 2, 0]])
    np.testing.assert_array_equal(found, [[1, 1, 0], [0, 0, 0], [1, 0, 1]])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(metrics.ConfusionMatrix(2)([0, 1, 1], [0.7, 0.5, 0.6]), [[0, 1], [1, 1]])
    weighted = metrics.ConfusionMatrix(2)([0, 1, 1], [0.7, 0.5, 0.6], [0.5, 1, 1])
    np.testing.assert_array_equal(weighted, [[0, 0.5], [1, 1]])


def test_r2_of_constant_targets_is_that_of_keras():
    assert metrics.R2Score()([2.0, 2.0], [1.0, 2.0]) == 0
    assert np.isnan(metrics.R2Score()([2.0, 2.0], [2.0, 2.0]))


# In training ----------------------------------------------------------------------------------------------------------


def classifier(units: int = CLASSES, activation: str | None = "softmax") -> Any:
    return evenflow.Sequential([Input((8,)), Dense(16, "relu"), Dense(units, activation)], seed=1)


def listed() -> list[Any]:
    return [
        "accuracy",
        "log_loss",
        metrics.AUC(),
        metrics.F1Score(),
        metrics.ConfusionMatrix(CLASSES),
        metrics.Precision([0.2, 0.5], name="p"),
        metrics.SparseTopKCategoricalAccuracy(2, name="top"),
    ]


def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((ROWS, 8)).astype(np.float32), rng.integers(0, CLASSES, ROWS)


def test_evaluate_gives_what_the_objects_give(rng):
    x, y = rows(rng)
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=listed())
    found = model.evaluate(x, y, batch_size=32, verbose=0, return_dict=True)
    assert list(found) == ["loss", "accuracy", "log_loss", "auc", "f1_score", "confusion_matrix", "p", "top"]
    p = model.predict(x)
    for metric in model.metrics:
        if not isinstance(metric, str):
            same(found[metric.name], metric(y, p))
    assert found["accuracy"] == np.trace(found["confusion_matrix"]) / ROWS
    assert found["log_loss"] == pytest.approx(found["loss"], rel=1e-6)
    assert found["confusion_matrix"].sum() == ROWS
    plain = model.evaluate(x, y, verbose=0)
    assert plain[:3] == list(found.values())[:3]
    np.testing.assert_array_equal(plain[5], found["confusion_matrix"])


def test_same_bits_for_any_threads_and_slices(rng):
    x, y = rows(rng)

    class EachBatch(evenflow.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert logs["confusion_matrix"].sum() == min(32 * (batch + 1), ROWS)

    histories = []
    for threads, callbacks in ((1, []), (3, []), (2, [EachBatch()])):
        evenflow.set_seed(1)
        model = classifier()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=listed())
        history = model.fit(
            x, y, epochs=2, verbose=0, threads=threads, callbacks=callbacks, validation_data=(x[:30], y[:30])
        )
        histories.append(history.history)
    for other in histories[1:]:
        assert list(other) == list(histories[0])
        for name, values in histories[0].items():
            np.testing.assert_array_equal(other[name], values)


def test_displays_and_files_cope_with_arrays(rng, tmp_path, capsys):
    x, y = rows(rng)
    model = classifier()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", metrics.ConfusionMatrix(CLASSES)])
    history = model.fit(x, y, verbose=2, callbacks=[CSVLogger(tmp_path / "log.csv")])
    out = capsys.readouterr().out
    assert "accuracy: " in out
    assert "confusion" not in out
    assert np.shape(history.history["confusion_matrix"]) == (1, CLASSES, CLASSES)
    assert "confusion_matrix" in (tmp_path / "log.csv").read_text()
    with pytest.raises(ValueError, match="'confusion_matrix' has several values"):
        model.fit(x, y, verbose=0, callbacks=[EarlyStopping("confusion_matrix")])


def test_direction_of_what_is_watched():
    model = classifier()
    watched = {"log_loss": "min", "accuracy": "max", "auc": "max", "kl": "min"}
    model.compile(
        "sgd", "categorical_crossentropy", metrics=["log_loss", "accuracy", metrics.AUC(), metrics.KLDivergence("kl")]
    )
    for name, mode in watched.items():
        callback = EarlyStopping(f"val_{name}")
        callback.set_model(model)
        assert callback._automatic() == mode


def test_models_keep_their_metrics(rng, tmp_path):
    x, y = rows(rng)
    model = classifier()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=listed())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert again.spec() == model.spec()
    one, other = (m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, again))
    assert list(one) == list(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mape", "mean_absolute_percentage_error"),
        ("MSLE", "mean_squared_logarithmic_error"),
        ("rmse", "mean_squared_error"),
        ("logcosh", "log_cosh"),
        ("r2_score", "r2_sums"),
        ("auc", "threshold_counts"),
        ("hinge", "hinge"),
    ],
)
def test_names(name, kind):
    metric = metrics.get(name)
    assert (metric.name, metric.kind) == (name, kind)


@pytest.mark.parametrize(
    ("units", "loss", "expected"),
    [
        (4, "sparse_categorical_crossentropy", "sparse_categorical_crossentropy"),
        (4, "categorical_crossentropy", "categorical_crossentropy"),
        (1, "binary_crossentropy", "binary_crossentropy"),
        (4, LOGITS, {"kind": SPARSE, "from_logits": True}),
        (1, BinaryCrossentropy(from_logits=True), {"kind": "binary_crossentropy", "from_logits": True}),
    ],
)
def test_log_loss_is_the_cross_entropy_of_the_outputs(units, loss, expected):
    activation = None if not isinstance(loss, str) else "sigmoid" if units == 1 else "softmax"
    model = classifier(units, activation)
    model.compile("sgd", loss, metrics=["log_loss"])
    assert model.spec()["metrics"] == [expected]


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "activation", "loss", "metric", "words"),
    [
        (4, "softmax", SPARSE, metrics.SparseTopKCategoricalAccuracy(), ["k=5", "4 outputs"]),
        (4, "softmax", DENSE, metrics.TopKCategoricalAccuracy(k=7), ["k=7", "4 outputs"]),
        (4, "softmax", DENSE, metrics.Precision(top_k=5), ["top_k=5", "4 outputs"]),
        (4, "softmax", DENSE, metrics.Recall(class_id=4), ["class_id=4", "4 outputs"]),
        (4, "softmax", DENSE, metrics.PrecisionAtRecall(0.5, class_id=4), ["class_id=4"]),
        (4, "softmax", DENSE, metrics.ConfusionMatrix(3), ["classes=3", "4 outputs"]),
        (1, "sigmoid", "binary_crossentropy", metrics.ConfusionMatrix(3), ["classes=3", "classes=2"]),
        (1, "sigmoid", "binary_crossentropy", metrics.F1Score(), ["threshold=0.5"]),
        (4, "softmax", DENSE, metrics.AUC(multi_label=True, num_labels=3), ["3 labels", "4"]),
        (4, "softmax", SPARSE, metrics.TopKCategoricalAccuracy(2), ["class numbers"]),
        (4, "softmax", SPARSE, metrics.R2Score(), ["class numbers"]),
        (4, "softmax", SPARSE, metrics.MeanIoU(4), ["class numbers"]),
        (4, "softmax", SPARSE, metrics.OneHotMeanIoU(3), ["num_classes=3", "4 outputs"]),
        (4, "softmax", DENSE, metrics.Mean(), ["values", "MeanMetricWrapper"]),
        (4, None, LOGITS, metrics.AUC(), ["from_logits=False", "logits"]),
        (4, None, LOGITS, metrics.SparseCategoricalCrossentropy(), ["from_logits=False", "logits"]),
        (4, "softmax", DENSE, metrics.AUC(from_logits=True), ["from_logits=True", "probabilities"]),
    ],
)  # fmt: skip
def test_metrics_that_do_not_fit_the_model(units, activation, loss, metric, words):
    model = classifier(units, activation)
    with pytest.raises(ValueError, match=f"metric {metric.name!r}") as error:
        model.compile("sgd", loss, metrics=[metric])
    for word in words:
        assert word in str(error.value)
    assert model.loss is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: metrics.Precision(1.5), ["Precision", "thresholds", "1.5"]),
        (lambda: metrics.Recall([]), ["Recall", "thresholds"]),
        (lambda: metrics.Recall(top_k=0), ["top_k", "1"]),
        (lambda: metrics.AUC(curve="RO"), ["curve", "'RO'", "'ROC'"]),
        (lambda: metrics.AUC(curve=1), ["curve", "1"]),
        (lambda: metrics.AUC(summation_method="minor"), ["summation_method", "'minoring'"]),
        (lambda: metrics.AUC(num_thresholds=1), ["num_thresholds"]),
        (lambda: metrics.AUC(num_labels=3), ["num_labels", "multi_label"]),
        (lambda: metrics.AUC(label_weights=[1]), ["label_weights", "multi_label"]),
        (lambda: metrics.F1Score("makro"), ["average", "'macro'"]),
        (lambda: metrics.F1Score(threshold=0), ["threshold"]),
        (lambda: metrics.FBetaScore(beta=0), ["beta"]),
        (lambda: metrics.R2Score("uniform"), ["class_aggregation", "uniform_average"]),
        (lambda: metrics.IoU(3, [3]), ["IoU", "target_class_ids", "0 to 2", "[3]"]),
        (lambda: metrics.IoU(3, []), ["target_class_ids", "[]"]),
        (lambda: metrics.MeanIoU(1), ["MeanIoU", "num_classes"]),
        (lambda: metrics.OneHotMeanIoU(3, axis=0), ["OneHotMeanIoU", "axis"]),
        (lambda: metrics.OneHotIoU(3, [0])([0, 1], np.eye(4)[:2]), ["num_classes=3", "4 outputs"]),
        (lambda: metrics.PinballLoss([0.1, 1.0]), ["PinballLoss", "quantiles", "1.0"]),
        (lambda: metrics.PinballLoss([0.1, 0.9])([[0.0]], [[0.0]]), ["pinball_loss", "multiple", "1 output"]),
        (lambda: metrics.IntervalCoverage((0.9, 0.1)), ["IntervalCoverage", "interval", "lower"]),
        (lambda: metrics.IntervalWidth((0.1, 0.9), [0.1, 0.5]), ["IntervalWidth", "quantiles [0.1, 0.5]"]),
        (lambda: metrics.PearsonCorrelation(axis=0), ["PearsonCorrelation", "axis"]),
        (lambda: metrics.Mean()([1.0, 2.0], [1.0]), ["Mean.update_state", "sample_weight", "(1,)"]),
        (lambda: metrics.MeanMetricWrapper(len), ["MeanMetricWrapper", "(y_true, y_pred)", "len"]),
        (lambda: metrics.MeanMetricWrapper(lambda y, p: p, a=1), ["(y_true, y_pred), a"]),
        (lambda: metrics.ConfusionMatrix(1), ["classes", "2"]),
        (lambda: metrics.ConfusionMatrix("4"), ["classes", "'4'"]),
        (lambda: metrics.TopKCategoricalAccuracy(0), ["k", "1"]),
        (lambda: metrics.BinaryCrossentropy(label_smoothing=2), ["label_smoothing"]),
        (lambda: metrics.get("ConfusionMatrix"), ["an object", "ConfusionMatrix"]),
        (lambda: metrics.get("recal"), ["'recal'", "'recall'"]),
        (lambda: metrics.AUC()([0, 1], [[0.2], [0.3], [0.4]]), ["AUC.update_state", "y_true", "(2,)"]),
        (lambda: metrics.AUC()([0, 1], [0.2, 0.3], [1.0]), ["sample_weight", "(1,)", "(2,)"]),
        (lambda: metrics.SparseCategoricalAccuracy()([0, 3], np.eye(2)), ["y_true", "label 3"]),
        (lambda: metrics.AUC()(np.zeros((0, 2)), np.zeros((0, 2))), ["y_pred", "(0, 2)"]),
    ],
)
def test_arguments_that_are_refused(make, words):
    with pytest.raises((TypeError, ValueError)) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_another_number_of_units_needs_a_reset():
    metric = metrics.F1Score()
    metric.update_state([0, 1], np.eye(2))
    with pytest.raises(ValueError, match="reset_state"):
        metric.update_state([0, 1], np.eye(3)[:2])
    metric.reset_state()
    np.testing.assert_allclose(metric([0, 1], np.eye(3)[:2]), [1, 1, 0], atol=1e-6)


def test_sums_go_on_only_in_a_program_of_the_same_metrics(rng):
    x, y = rows(rng)
    done = []
    for metric in (metrics.ConfusionMatrix(CLASSES), metrics.AUC()):
        model = classifier()
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])
        program = evenflow.Program(model.spec())
        done.append((program, program.evaluate(x, y)))
    assert done[0][0].evaluate(x, y, after=done[0][1]).metrics[0].sum() == 2 * ROWS
    with pytest.raises(ValueError, match="after"):
        done[0][0].evaluate(x, y, after=done[1][1])
