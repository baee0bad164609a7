"""Losses and weights against Keras 3 and PyTorch in float64: values, gradients, and what `fit` reports."""

import os
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow.data import weights as row_weights

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


LOSSES: list[tuple[str, dict[str, Any]]] = [
    ("MeanSquaredError", {}),
    ("MeanAbsoluteError", {}),
    ("MeanAbsolutePercentageError", {}),
    ("MeanSquaredLogarithmicError", {}),
    ("Huber", {}),
    ("Huber", {"delta": 0.3}),
    ("LogCosh", {}),
    ("Poisson", {}),
    ("Hinge", {}),
    ("SquaredHinge", {}),
    ("CategoricalHinge", {}),
    ("KLDivergence", {}),
    ("CosineSimilarity", {}),
    *(
        (name, {"from_logits": from_logits, **settings})
        for from_logits in (False, True)
        for name, settings in (
            ("SparseCategoricalCrossentropy", {}),
            ("SparseCategoricalCrossentropy", {"ignore_class": 2}),
            ("SparseCategoricalCrossentropy", {"ignore_class": -1}),
            ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
            ("BinaryCrossentropy", {"label_smoothing": 0.2}),
            ("BinaryFocalCrossentropy", {}),
            ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5}),
            ("BinaryFocalCrossentropy", {"label_smoothing": 0.1, "gamma": 0.0}),
            ("CategoricalFocalCrossentropy", {}),
            ("CategoricalFocalCrossentropy", {"label_smoothing": 0.1, "alpha": 0.6, "gamma": 3.0}),
        )
    ),
]
ids = [f"{name}-{settings}" for name, settings in LOSSES]


def arrays(name: str, settings: dict[str, Any], rng: np.random.Generator, rows: int = 13, units: int = 7) -> Any:
    """Targets and predictions that suit a loss."""
    target, prediction = rng.standard_normal((2, rows, units))
    if "Crossentropy" in name or name == "KLDivergence":
        target = rng.uniform(0, 1, target.shape)
        if not settings.get("from_logits"):
            prediction = rng.uniform(0.02, 0.98, prediction.shape)
    if "Categorical" in name and name != "CategoricalHinge":
        target /= target.sum(axis=1, keepdims=True)
    if name.startswith("Sparse"):
        target = rng.integers(0, units, rows)
        target[::4] = settings.get("ignore_class", 0)
    if name in ("Poisson", "MeanSquaredLogarithmicError"):
        target, prediction = abs(target), abs(prediction) + 0.1
    if "Hinge" in name:
        target = np.eye(units)[rng.integers(0, units, rows)]
    return target, prediction


@pytest.mark.parametrize(("name", "settings"), LOSSES, ids=ids)
@pytest.mark.parametrize("reduction", [None, "sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_values_are_those_of_keras(name, settings, reduction, weighted, rng):
    target, prediction = arrays(name, settings, rng)
    weight = rng.uniform(0, 2, len(target)) if weighted else None
    own = getattr(evenflow.losses, name)(**settings, reduction=reduction)(target, prediction, weight)
    expected = getattr(keras.losses, name)(**settings, reduction=reduction)(target, prediction, weight)
    # Keras takes log(1 + p) for log1p(p), and the sigmoid of focal losses apart from their cross-entropy.
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(expected), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("name", "settings"), LOSSES, ids=ids)
def test_gradients_are_those_of_keras(name, settings, rng):
    target, prediction = arrays(name, settings, rng)
    tensor = torch.tensor(prediction, requires_grad=True)
    getattr(keras.losses, name)(**settings, reduction="sum")(target, tensor).backward()
    own = getattr(evenflow.losses, name)(**settings).gradient(target, prediction) * len(target)
    np.testing.assert_allclose(own, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_hinge_targets_of_either_kind(rng):
    target, prediction = arrays("Hinge", {}, rng)
    for name in ("hinge", "squared_hinge"):
        for given in (target, 2 * target - 1):
            own = getattr(evenflow.losses, name)(given, prediction)
            expected = keras.ops.convert_to_numpy(getattr(keras.losses, name)(given, prediction))
            np.testing.assert_allclose(own, expected, rtol=1e-12)


def test_smoothed_labels_are_smoothed_rows(rng):
    labels, prediction = rng.integers(0, 7, 13), rng.standard_normal((13, 7))
    own = evenflow.losses.sparse_categorical_crossentropy(labels, prediction, True, label_smoothing=0.1)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(loss(np.eye(7)[labels], prediction)), rtol=1e-12)
    peer = torch.nn.CrossEntropyLoss(label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(own, peer(torch.tensor(prediction), torch.tensor(labels)).numpy(), rtol=1e-12)


@pytest.mark.parametrize("full", [False, True])
def test_gaussian_likelihood_is_that_of_torch(full, rng):
    target, prediction = rng.standard_normal((13, 3)), rng.standard_normal((13, 6))
    tensor = torch.tensor(prediction, requires_grad=True)
    mean, log_variance = tensor[:, :3], tensor[:, 3:]
    peer = torch.nn.GaussianNLLLoss(full=full)(mean, torch.tensor(target), log_variance.exp())
    peer.backward()
    loss = evenflow.losses.GaussianNLL(full=full)
    assert loss(target, prediction) == pytest.approx(peer.item(), rel=1e-12)
    np.testing.assert_allclose(loss.gradient(target, prediction), tensor.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_quantile_loss_is_that_of_sklearn(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    target, prediction, levels = rng.standard_normal((13, 2)), rng.standard_normal((13, 6)), [0.1, 0.5, 0.9]
    own = evenflow.losses.Quantile(levels)(target, prediction)
    blocks = np.split(prediction, 3, axis=1)
    peer = [metrics.mean_pinball_loss(target, p, alpha=q) for q, p in zip(levels, blocks, strict=True)]
    assert own == pytest.approx(np.mean(peer), rel=1e-12)


# What training reports ------------------------------------------------------------------------------------------------


def trained(library: Any, fit: dict[str, Any], task: str, evaluate: dict[str, Any], **settings: Any) -> list[Any]:
    """History, weights and scores of a small network, from the same weights and batches."""
    rng = np.random.default_rng(7)
    options = {} if library is keras else {"dtype": "float64"}
    units, last = {"labels": (4, "softmax"), "one-hot": (4, "softmax"), "binary": (1, "sigmoid"), "values": (2, None)}[
        task
    ]
    layers = library.layers
    model = library.Sequential([layers.Input((5,)), layers.Dense(8, "tanh"), layers.Dense(units, last)], **options)
    model.set_weights([rng.standard_normal(w.shape) / 2 for w in model.get_weights()])
    x, labels = rng.standard_normal((45, 5)), rng.integers(0, 4, 45)
    y = {"labels": labels, "one-hot": np.eye(4)[labels], "binary": labels % 2, "values": rng.standard_normal((45, 2))}[
        task
    ]
    settings = dict(settings)
    kind, arguments = settings.pop("loss")
    metrics = ["mae"] if task == "values" else ["accuracy"]
    model.compile(library.optimizers.SGD(0.1), getattr(library.losses, kind)(**arguments), metrics=metrics, **settings)
    history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, **fit)
    scores = model.evaluate(x, y, batch_size=16, verbose=0, **evaluate)
    step = model.train_on_batch(
        x[:9], y[:9], **{k: v[:9] if k == "sample_weight" else v for k, v in fit.items() if "weight" in k}
    )
    return [history.history, model.get_weights(), scores, step]


WEIGHTS = np.random.default_rng(3).uniform(0, 3, 45)
SAMPLES = {"sample_weight": WEIGHTS}
CLASSES = {"class_weight": {0: 2.0, 1: 0.5, 3: 0.0}}
SPARSE = ("SparseCategoricalCrossentropy", {})


@pytest.mark.parametrize(
    ("task", "loss", "fit", "evaluate", "settings"),
    [
        ("labels", SPARSE, SAMPLES, SAMPLES, {}),
        ("labels", SPARSE, {**SAMPLES, "validation_split": 0.3}, {}, {}),
        ("labels", SPARSE, CLASSES, {}, {}),
        ("labels", SPARSE, {}, {}, {"loss_weights": 0.3}),
        ("labels", ("SparseCategoricalCrossentropy", {"ignore_class": 2}), {}, {}, {}),
        ("labels", ("SparseCategoricalCrossentropy", {"ignore_class": 2}), SAMPLES, SAMPLES, {}),
        ("labels", ("SparseCategoricalCrossentropy", {"reduction": "mean_with_sample_weight"}), SAMPLES, SAMPLES, {}),
        ("labels", ("SparseCategoricalCrossentropy", {"reduction": "sum"}), {}, {}, {"loss_weights": 0.1}),
        ("one-hot", ("CategoricalCrossentropy", {"label_smoothing": 0.1}), CLASSES, {}, {}),
        ("one-hot", ("CategoricalFocalCrossentropy", {}), SAMPLES, {}, {}),
        ("one-hot", ("KLDivergence", {}), {}, {}, {}),
        ("binary", ("BinaryCrossentropy", {}), CLASSES, SAMPLES, {}),
        ("binary", ("BinaryFocalCrossentropy", {"apply_class_balancing": True}), {}, {}, {}),
        ("binary", ("Hinge", {}), {}, {}, {}),
        ("values", ("Huber", {"delta": 0.5}), SAMPLES, SAMPLES, {"loss_weights": 2.0}),
        ("values", ("CosineSimilarity", {}), SAMPLES, {}, {}),
    ],
)
def test_training_with_weights_reports_what_keras_reports(task, loss, fit, evaluate, settings):
    own, theirs = (trained(library, fit, task, evaluate, loss=loss, **settings) for library in (evenflow, keras))
    assert set(own[0]) == set(theirs[0])
    for name, values in theirs[0].items():
        np.testing.assert_allclose(own[0][name], values, rtol=1e-6 if "accuracy" in name else 1e-9, err_msg=name)
    for a, b in zip(own[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(own[2], theirs[2], rtol=1e-6)
    np.testing.assert_allclose(own[3][0], theirs[3][0], rtol=1e-9)


def test_validation_data_with_weights():
    histories = []
    for library in (evenflow, keras):
        rng = np.random.default_rng(1)
        x, y, weight = rng.standard_normal((20, 3)), rng.standard_normal((20, 1)), rng.uniform(0, 2, 20)
        model = library.Sequential([library.layers.Input((3,)), library.layers.Dense(1)])
        model.set_weights([rng.standard_normal((3, 1)), np.zeros(1)])
        model.compile("sgd", "mae", metrics=["mse"])
        data = (x[::-1], y, weight)
        histories.append(model.fit(x, y, epochs=2, shuffle=False, validation_data=data, verbose=0).history)
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=1e-5, err_msg=name)


def test_balanced_classes_are_those_of_sklearn(rng):
    utils = pytest.importorskip("sklearn.utils.class_weight")
    labels = rng.choice([0, 2, 3], 50, p=[0.7, 0.2, 0.1])
    weights = row_weights.read_class_weight("fit", "balanced", labels, 5)
    expected = utils.compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=labels)
    np.testing.assert_allclose(weights[[0, 2, 3]], expected, rtol=1e-15)
