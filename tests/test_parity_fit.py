"""`fit` beside Keras 3: which batches an epoch takes, what comes in batches, when validation is done."""

import os
import warnings
from typing import Any

import numpy as np
import pytest
from example import bits, blobs

import evenflow

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.usefixtures("keras_float64"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

X, Y = blobs(100)
WEIGHTS = np.random.default_rng(2).random(100)


def made(library: Any) -> Any:
    options = {"dtype": "float64"} if library is evenflow else {}
    hidden = library.layers.Dense(5, "tanh", name="hidden")
    model = library.Sequential(
        [library.layers.Input((6,)), hidden, library.layers.Dense(3, "softmax", name="top")], **options
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    model.compile(library.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def batches(weights: bool = False) -> Any:
    for start in range(0, 100, 16):
        rows = slice(start, start + 16)
        yield (X[rows], Y[rows], WEIGHTS[rows]) if weights else (X[rows], Y[rows])


def dataset(library: Any) -> Any:
    class Batches(library.utils.PyDataset):
        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> Any:
            return X[16 * index : 16 * index + 16], Y[16 * index : 16 * index + 16]

    return Batches()


RUNS = {
    "rows": lambda library: {"x": X, "y": Y, "epochs": 3},
    "steps": lambda library: {"x": X, "y": Y, "epochs": 3, "steps_per_epoch": 2},
    "steps beyond the rows": lambda library: {"x": X, "y": Y, "epochs": 4, "steps_per_epoch": 3},
    "initial epoch": lambda library: {"x": X, "y": Y, "epochs": 5, "initial_epoch": 3},
    "validation split": lambda library: {"x": X, "y": Y, "epochs": 4, "validation_split": 0.3, "validation_freq": 2},
    "validation data": lambda library: {
        **{"x": X, "y": Y, "epochs": 4, "validation_freq": [1, 4], "validation_batch_size": 8},
        "validation_data": (X[:37], Y[:37], WEIGHTS[:37]),
    },
    "validation steps": lambda library: {
        "x": X, "y": Y, "epochs": 2, "validation_data": (X, Y), "validation_steps": 2, "validation_batch_size": 11
    },
    "generator": lambda library: {"x": batches(), "epochs": 1},
    "weighted generator": lambda library: {"x": batches(weights=True), "epochs": 2, "steps_per_epoch": 3},
    "dataset": lambda library: {"x": dataset(library), "epochs": 3, "validation_data": dataset(library)},
    "dataset and class weights": lambda library: {"x": dataset(library), "class_weight": {0: 2.0, 1: 1.0, 2: 0.5}},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_fit(name):
    models, histories = [], []
    for library in (keras, evenflow):
        model = made(library)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # both tell that data ran out
            batch = {"batch_size": 16} if "y" in RUNS[name](library) else {}
            history = model.fit(**RUNS[name](library), **batch, shuffle=False, verbose=0)
        models.append(model)
        histories.append(history)
    assert histories[0].epoch == histories[1].epoch
    assert int(models[0].optimizer.iterations) == models[1].optimizer.iterations
    for theirs, ours in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert histories[1].history.keys() == histories[0].history.keys()
    for key, values in histories[0].history.items():
        np.testing.assert_allclose(histories[1].history[key], values, rtol=1e-6, err_msg=key)


def test_a_dataset_of_keras():
    theirs, ours = made(evenflow), made(evenflow)
    theirs.fit(dataset(keras), shuffle=False, verbose=0)
    ours.fit(dataset(evenflow), shuffle=False, verbose=0)
    assert bits(theirs) == bits(ours)


@pytest.mark.parametrize("steps", [None, 3])
def test_evaluate_and_predict(steps):
    theirs, ours = made(keras), made(evenflow)
    for arguments in ({"x": X, "y": Y, "batch_size": 16}, {"x": dataset}):
        scores, outputs = [], []
        for library, model in ((keras, theirs), (evenflow, ours)):
            given = {key: value(library) if callable(value) else value for key, value in arguments.items()}
            scores.append(model.evaluate(**given, steps=steps, verbose=0, return_dict=True))
            given.pop("y", None)
            outputs.append(model.predict(**given, steps=steps, verbose=0))
        assert scores[1] == pytest.approx(scores[0], rel=1e-6)
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-10)
