"""Keywords that a function or a class does not have: refused with the nearest one that it has."""

import inspect

import numpy as np
import pytest

import evenflow
from evenflow import callbacks, constraints, datasets, initializers, layers, metrics, models, regularizers, schedules
from evenflow.common import keywords

X, Y = np.zeros((8, 4), np.float32), np.zeros(8, int)


def model():
    made = evenflow.Sequential([layers.Input((4,)), layers.Dense(2, "softmax")])
    made.compile("sgd", "sparse_categorical_crossentropy")
    return made


CALLS = {
    "fit: 'epoch' 'epochs'": lambda: model().fit(X, Y, epoch=2),
    "evaluate: 'batchsize' 'batch_size'": lambda: model().evaluate(X, Y, batchsize=2),
    "predict: 'batchsize' 'batch_size'": lambda: model().predict(X, batchsize=2),
    "predict_mc: 'sed' 'seed'": lambda: model().predict_mc(X, sed=2),
    "summary: 'show_trainables' 'show_trainable'": lambda: model().summary(show_trainables=True),
    "save: 'over_write' 'overwrite'": lambda: model().save("model.safetensors", over_write=True),
    "save_weights: 'over_write' 'overwrite'": lambda: model().save_weights("model.safetensors", over_write=True),
    "recalibrate_batch_norm: 'batchsize' 'batch_size'": lambda: model().recalibrate_batch_norm(X, batchsize=2),
    "load_model: 'compiled' 'compile'": lambda: models.load_model("model.safetensors", compiled=False),
    "clone_model: 'input_tensor' 'input_tensors'": lambda: models.clone_model(model(), input_tensor=None),
    "find_learning_rate: 'epoch' 'epochs'": lambda: evenflow.find_learning_rate(model(), X, Y, epoch=2),
    "Sequential: 'nam' 'name'": lambda: evenflow.Sequential([], nam="a"),
    "Functional: 'output' 'outputs'": lambda: evenflow.Model(inputs=None, output=None),
    "EarlyStopping: 'patince' 'patience'": lambda: callbacks.EarlyStopping(patince=3),
    "OneCycle: 'pct' 'pct_start'": lambda: schedules.OneCycle(0.1, 10, pct=0.3),
    "L2: 'l' 'l2'": lambda: regularizers.L2(l=0.1),
    "MaxNorm: 'max' 'max_value'": lambda: constraints.MaxNorm(max=1.0),
    "HeNormal: 'sead' 'seed'": lambda: initializers.HeNormal(sead=1),
    "Precision: 'threshold' 'thresholds'": lambda: metrics.Precision(threshold=0.5),
    "ParquetStream: 'colums' 'columns'": lambda: datasets.ParquetStream("table.parquet", colums=["a"]),
    "CsvStream: 'delimeter' 'delimiter'": lambda: datasets.CsvStream("table.csv", delimeter=","),
    "Adam: 'momentum' 'beta_1'": lambda: evenflow.optimizers.Adam(momentum=0.9),
}


@pytest.mark.parametrize("case", CALLS)
def test_the_nearest_one_is_named(case):
    where, received, nearest = case.split(" ")
    with pytest.raises(
        TypeError, match=f"^{where} there is no argument {received}[.] Did you mean {nearest}[?] Known: "
    ):
        CALLS[case]()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("sparse_crossentropy", "sparse_categorical_crossentropy"),
        ("binary_crosentropy", "binary_crossentropy"),
        ("crossentropy_sparse", "sparse_categorical_crossentropy"),
    ],
)
def test_a_name_that_lacks_a_word(name, nearest):
    with pytest.raises(ValueError, match=f"{name}' is not known[.] Did you mean '{nearest}'[?]"):
        model().compile("sgd", name)


def test_every_class_made_by_keywords_is_checked():
    for module in (callbacks, constraints, initializers, metrics, regularizers, schedules):
        for name, cls in vars(module).items():
            if not inspect.isclass(cls) or not issubclass(cls, keywords.Checked) or name.startswith("_"):
                continue
            if cls is not metrics.MeanMetricWrapper:  # which hands what it does not know to the function
                with pytest.raises(TypeError, match=f"{cls.__name__}: there is no argument 'wrong_word'|takes no arg"):
                    cls(wrong_word=1)


def test_classes_of_users():
    class Scaled(schedules.LearningRateSchedule):
        def __init__(self, rate, **more):
            self.rate, self.more = rate, more

        def __call__(self, step):
            return self.rate

    assert Scaled(0.1, unit="s").more == {"unit": "s"}
    assert inspect.signature(evenflow.Sequential.fit).parameters["epochs"].default == 1

    class Loud(callbacks.Callback):
        def __init__(self, level=1):
            super().__init__()
            self.level = level

    assert Loud(level=3).level == 3
    with pytest.raises(TypeError, match="Loud: there is no argument 'levle'"):
        Loud(levle=3)
