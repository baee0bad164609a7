"""Metrics against Keras, over several batches, and against scikit-learn, over all rows."""

import inspect
import os
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import metrics

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
sklearn = pytest.importorskip("sklearn.metrics")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    # Keras asks PyTorch's tensors for arrays in a way that NumPy 2 wants to be rid of.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

BATCHES, ROWS, CLASSES = 3, 40, 6
ONE = "one output"
LABELS, ONE_HOT, LOGITS, VALUES, COUNTS, SIGNS = "labels", "one-hot", "logits", "values", "counts", "signs"
TINY = "lengths around Keras' epsilon"
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("Accuracy", {}, COUNTS),
    ("BinaryAccuracy", {}, ONE),
    ("BinaryAccuracy", {"threshold": 0.3}, ONE_HOT),
    ("CategoricalAccuracy", {}, ONE_HOT),
    ("SparseCategoricalAccuracy", {}, LABELS),
    ("TopKCategoricalAccuracy", {}, ONE_HOT),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT),
    ("SparseTopKCategoricalAccuracy", {}, LABELS),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, LABELS),
    ("BinaryCrossentropy", {}, ONE),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, ONE_HOT),
    ("BinaryCrossentropy", {"from_logits": True}, LOGITS),
    ("CategoricalCrossentropy", {}, ONE_HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, ONE_HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, LOGITS),
    ("SparseCategoricalCrossentropy", {}, LABELS),
    ("KLDivergence", {}, ONE_HOT),
    ("CategoricalHinge", {}, ONE_HOT),
    ("Poisson", {}, COUNTS),
    ("MeanSquaredLogarithmicError", {}, COUNTS),
    *(
        (name, {}, VALUES)
        for name in (
            "MeanAbsoluteError",
            "MeanSquaredError",
            "RootMeanSquaredError",
            "MeanAbsolutePercentageError",
            "LogCoshError",
            "CosineSimilarity",
            "R2Score",
            "PearsonCorrelation",
            "ConcordanceCorrelation",
        )
    ),
    ("CosineSimilarity", {}, TINY),
    ("R2Score", {"class_aggregation": None}, VALUES),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 3}, VALUES),
    ("Hinge", {}, SIGNS),
    ("SquaredHinge", {}, SIGNS),
    ("Hinge", {}, ONE),
    *((name, {}, kind) for name in ("Precision", "Recall") for kind in (ONE, ONE_HOT)),
    *(
        (name, settings, ONE_HOT)
        for name in ("Precision", "Recall")
        for settings in (
            {"thresholds": [0.25, 0.1, 0.5]},
            {"thresholds": [0.0, 0.5, 1.0]},
            {"top_k": 2},
            {"top_k": 3, "class_id": 1},
            {"class_id": 2, "thresholds": 0.2},
            {"top_k": 2, "thresholds": 0.3},
        )
    ),
    *(
        (name, {"thresholds": [0.3, 0.6]}, ONE_HOT)
        for name in ("TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives")
    ),
    ("PrecisionAtRecall", {"recall": 0.5}, ONE),
    ("RecallAtPrecision", {"precision": 0.6}, ONE),
    ("SensitivityAtSpecificity", {"specificity": 0.5, "num_thresholds": 50}, ONE),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "class_id": 2}, ONE_HOT),
    *(
        ("AUC", {"curve": curve, "summation_method": method}, kind)
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
        for kind in (ONE, ONE_HOT)
    ),
    ("AUC", {"num_thresholds": 7}, ONE),
    ("AUC", {"thresholds": [0.9, 0.2, 0.25]}, ONE),
    ("AUC", {"multi_label": True}, ONE_HOT),
    ("AUC", {"multi_label": True, "curve": "PR", "label_weights": [1.0, 2.0, 0.0, 1.0, 1.0, 3.0]}, ONE_HOT),
    ("AUC", {"from_logits": True}, LOGITS),
    *(("F1Score", {"average": average}, ONE_HOT) for average in (None, "micro", "macro", "weighted")),
    ("F1Score", {"threshold": 0.2, "average": "macro"}, ONE_HOT),
    ("F1Score", {"threshold": 0.5}, ONE),
    ("FBetaScore", {"beta": 2.0, "average": "weighted"}, ONE_HOT),
    ("IoU", {"num_classes": CLASSES, "target_class_ids": [0, 3], "sparse_y_pred": False}, LABELS),
    ("IoU", {"num_classes": CLASSES, "target_class_ids": [1]}, COUNTS),
    ("IoU", {"num_classes": 3, "target_class_ids": [1, 2], "ignore_class": 0}, COUNTS),
    ("BinaryIoU", {}, ONE),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.25}, ONE_HOT),
    ("MeanIoU", {"num_classes": CLASSES}, COUNTS),
    ("MeanIoU", {"num_classes": CLASSES, "sparse_y_true": False, "sparse_y_pred": False, "ignore_class": 2}, ONE_HOT),
    ("OneHotIoU", {"num_classes": CLASSES, "target_class_ids": [2, 4]}, ONE_HOT),
    ("OneHotMeanIoU", {"num_classes": CLASSES}, ONE_HOT),
]


def batch(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions; these are not on a threshold, where float32 decides."""
    labels = rng.integers(0, CLASSES, ROWS)
    one_hot = np.eye(CLASSES)[labels]
    p = rng.dirichlet(np.ones(CLASSES), ROWS) * 0.6 + 0.4 * rng.dirichlet(np.ones(CLASSES), ROWS) * one_hot
    if kind == ONE:
        y = rng.integers(0, 2, (ROWS, 1))
        return 1.0 * y, np.clip(0.7 * rng.random((ROWS, 1)) + 0.3 * y, 0, 1)
    if kind == SIGNS:
        return rng.choice([-1.0, 1.0], (ROWS, CLASSES)), rng.standard_normal((ROWS, CLASSES))
    if kind == COUNTS:
        return 1.0 * rng.poisson(2, (ROWS, CLASSES)), rng.integers(1, 5, (ROWS, CLASSES)) * 1.0
    if kind == TINY:
        y = rng.standard_normal((ROWS, CLASSES))
        return y, y * 10.0 ** rng.integers(-9, -4, (ROWS, 1))
    if kind == VALUES:
        y = rng.standard_normal((ROWS, CLASSES))
        return y, y + rng.standard_normal((ROWS, CLASSES))
    return (labels if kind == LABELS else one_hot), (np.log(p) if kind == LOGITS else p)


@pytest.mark.parametrize(("name", "settings", "kind"), CASES, ids=lambda v: str(v).replace(" ", ""))
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_keras(name, settings, kind, weighted):
    rng = np.random.default_rng(1)
    iou = "IoU" in name
    dtype = (
        {"dtype": "float64"} if iou else {}
    )  # without it Keras counts in whole numbers, cutting weights down to them
    ours, theirs = getattr(metrics, name)(**settings), getattr(keras.metrics, name)(**settings, **dtype)
    for _ in range(BATCHES):
        y, p = batch(kind, rng)
        weights = rng.integers(1, 4, ROWS) / 2 if weighted else None
        ours.update_state(y, p, weights)
        each = iou and y.ndim > 1 and ours.settings().get("target_class") is not None  # Keras wants a weight for each
        spread = np.repeat(weights[:, None], y.shape[1], axis=1) if each and weighted else weights
        theirs.update_state(y, p, sample_weight=spread)
        expected = np.asarray(keras.ops.convert_to_numpy(theirs.result()))
        bound = 1e-6 if iou else 1e-10  # Keras divides in float32
        np.testing.assert_allclose(ours.result(), expected, rtol=bound, atol=bound)


VALUES_OF_ROWS = [np.array([1.0, 3.0, 5.0, 7.0]), np.arange(12.0).reshape(4, 3), np.arange(8.0).reshape(4, 1, 2)]


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize("values", VALUES_OF_ROWS, ids=lambda v: f"{v.ndim}d")
@pytest.mark.parametrize("weighing", ["plain", "rows", "elements"])
def test_reductions(name, values, weighing):
    weights = {"plain": None, "rows": np.array([1.0, 0.5, 0.0, 2.0]), "elements": np.sqrt(1 + values)}[weighing]
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    for factor in (1, 2):
        ours.update_state(factor * values, weights)
        theirs.update_state(factor * values, sample_weight=weights)
    assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-12)
    ours.reset_state()
    theirs.reset_state()
    assert ours(2.5) == pytest.approx(float(theirs(2.5)))


def furthest(y: Any, p: Any) -> Any:
    return abs(y - p).max(-1)


@pytest.mark.parametrize("weighted", [False, True])
def test_functions(weighted):
    rng = np.random.default_rng(4)
    ours, theirs = (
        metrics.MeanMetricWrapper(furthest),
        keras.metrics.MeanMetricWrapper(lambda y, p: furthest(*map(keras.ops.convert_to_numpy, (y, p)))),
    )
    for _ in range(BATCHES):
        y, p = batch(VALUES, rng)
        weights = rng.random(ROWS) if weighted else None
        ours.update_state(y, p, weights)
        theirs.update_state(y, p, sample_weight=weights)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-12)


@pytest.mark.parametrize("class_weight", [None, {0: 2.0, 2: 0.5}])
def test_weighted_metrics_in_history(class_weight):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((96, 5)), rng.integers(0, 3, 96)
    one_hot = np.eye(3)[y]
    weights: list[np.ndarray] = [rng.standard_normal((5, 3)), np.zeros(3)]
    rows = None if class_weight else rng.integers(0, 4, 96) / 2
    found = []
    for library, options in ((evenflow, {"dtype": "float64"}), (keras, {})):
        model = library.Sequential([library.layers.Input((5,)), library.layers.Dense(3, "softmax")], **options)
        model.set_weights(weights)
        chosen = library.metrics
        model.compile(
            library.optimizers.SGD(0.1),
            "categorical_crossentropy",
            metrics=["accuracy", "mse"],
            weighted_metrics=["accuracy", chosen.AUC(name="auc"), chosen.F1Score("macro"), chosen.KLDivergence()],
        )
        history = model.fit(
            x, one_hot, 40, 2, verbose=0, shuffle=False, class_weight=class_weight, sample_weight=rows
        ).history
        scores = model.evaluate(x, one_hot, sample_weight=np.arange(96.0), return_dict=True, verbose=0)
        found.append(history | scores)
    assert list(found[0]) == [*(name for name in found[0] if name in found[1])]
    assert set(found[0]) == set(found[1])
    assert "weighted_accuracy" in found[0]
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(
    "name", sorted({name for name, *_ in CASES} - {"PrecisionAtRecall", "RecallAtPrecision"} | {"AUC"})
)
def test_arguments_and_defaults_are_those_of_keras(name):
    theirs = inspect.signature(getattr(keras.metrics, name)).parameters
    for argument, parameter in inspect.signature(getattr(metrics, name)).parameters.items():
        default = theirs[argument].default
        if argument != "name":
            assert parameter.default == default, argument
    left = set(theirs) - set(inspect.signature(getattr(metrics, name)).parameters)
    assert left <= {"dtype", "axis", "ignore_class", "from_sorted_ids"}


@pytest.mark.parametrize("name", [name for name, settings, _ in CASES if not settings])
def test_names_are_those_of_keras(name):
    keras.utils.clear_session()
    assert getattr(metrics, name)().name == getattr(keras.metrics, name)().name


def test_history_is_that_of_keras():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((96, 5)), rng.integers(0, 3, 96)
    one_hot = np.eye(3)[y]
    weights: list[np.ndarray] = [rng.standard_normal((5, 3)), np.zeros(3)]
    found = []
    for library, options in ((evenflow, {"dtype": "float64"}), (keras, {})):
        model = library.Sequential([library.layers.Input((5,)), library.layers.Dense(3, "softmax")], **options)
        model.set_weights(weights)
        chosen = library.metrics
        listed = ["accuracy", "mse", chosen.AUC(name="auc"), chosen.F1Score("macro"), chosen.Recall(name="r")]
        model.compile(library.optimizers.SGD(0.1), "categorical_crossentropy", metrics=listed)
        found.append(model.fit(x, one_hot, epochs=2, shuffle=False, verbose=0, validation_split=0.25).history)
    assert set(found[0]) == set(found[1])
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[1][name], rtol=1e-10, atol=1e-10)


# scikit-learn ---------------------------------------------------------------------------------------------------------


def rows_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets, predictions = zip(*(batch(kind, rng) for _ in range(BATCHES)), strict=True)
    return np.concatenate(targets), np.concatenate(predictions)


def test_confusion_matrix_and_scores():
    y, p = rows_of(LABELS)
    predicted = p.argmax(axis=1)
    np.testing.assert_array_equal(metrics.ConfusionMatrix(CLASSES)(y, p), sklearn.confusion_matrix(y, predicted))
    for average in (None, "micro", "macro", "weighted"):
        expected = sklearn.f1_score(y, predicted, average=average)
        np.testing.assert_allclose(metrics.F1Score(average)(y, p), expected, rtol=1e-5)
    expected = sklearn.fbeta_score(y, predicted, beta=0.5, average="macro")
    assert metrics.FBetaScore("macro", 0.5)(y, p) == pytest.approx(expected, rel=1e-5)
    for k in (1, 2, 5):
        expected = sklearn.top_k_accuracy_score(y, p, k=k)
        assert metrics.SparseTopKCategoricalAccuracy(k)(y, p) == pytest.approx(expected)
    whole = p / p.sum(axis=1, keepdims=True)
    assert metrics.SparseCategoricalCrossentropy()(y, p) == pytest.approx(sklearn.log_loss(y, whole))


def test_binary_scores():
    y, p = rows_of(ONE)
    predicted = p[:, 0] > 0.5
    assert metrics.Precision()(y, p) == pytest.approx(sklearn.precision_score(y, predicted))
    assert metrics.Recall()(y, p) == pytest.approx(sklearn.recall_score(y, predicted))
    assert metrics.BinaryAccuracy()(y, p) == pytest.approx(sklearn.accuracy_score(y, predicted))
    assert metrics.BinaryCrossentropy()(y, p) == pytest.approx(sklearn.log_loss(y[:, 0], p[:, 0]))
    np.testing.assert_array_equal(metrics.ConfusionMatrix(2)(y, p), sklearn.confusion_matrix(y, predicted))


def test_areas():
    y, p = rows_of(ONE)
    # Pairs within a bin count half: at most the share of pairs that one of 199 bins holds.
    assert metrics.AUC()(y, p) == pytest.approx(sklearn.roc_auc_score(y, p), abs=1 / 199)
    fine = metrics.AUC(num_thresholds=100_000)(y, p)
    assert fine == pytest.approx(sklearn.roc_auc_score(y, p), abs=1 / 99_999)
    exact = metrics.AUC(curve="PR", thresholds=list(p[:, 0]), summation_method="minoring")(y, p)
    assert (
        exact
        <= sklearn.average_precision_score(y, p)
        <= metrics.AUC(curve="PR", thresholds=list(p[:, 0]), summation_method="majoring")(y, p)
    )


def test_errors():
    y, p = rows_of(VALUES)
    y += 1000  # far from zero
    p += 1000
    for aggregation, word in (
        (None, "raw_values"),
        ("uniform_average", "uniform_average"),
        ("variance_weighted_average", "variance_weighted"),
    ):
        expected = sklearn.r2_score(y, p, multioutput=word)
        # Keras' sums of squares lose the digits that the squared mean has more than the variance.
        np.testing.assert_allclose(metrics.R2Score(aggregation)(y, p), expected, rtol=0, atol=1e6 * len(y) * 2.0**-52)
    assert metrics.RootMeanSquaredError()(y, p) == pytest.approx(np.sqrt(sklearn.mean_squared_error(y, p)))
    assert metrics.MeanAbsoluteError()(y, p) == pytest.approx(sklearn.mean_absolute_error(y, p))
    expected = 100 * sklearn.mean_absolute_percentage_error(y, p)
    assert metrics.MeanAbsolutePercentageError()(y, p) == pytest.approx(expected)
    y, p = rows_of(COUNTS)
    expected = sklearn.mean_squared_log_error(y, p)
    assert metrics.MeanSquaredLogarithmicError()(y, p) == pytest.approx(
        expected, rel=1e-5
    )  # Keras' 1e-7 for a count of 0
