"""Data that comes in batches: PyDataset, generators, loaders; epochs of so many steps; when validation is done."""

import itertools
import threading

import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow
from evenflow.callbacks import Callback, EarlyStopping, GradientNorms
from evenflow.layers import Dense
from evenflow.models import Sequential
from evenflow.utils import PyDataset

X, Y = blobs(200)
STARTS = range(0, 200, 32)


class Blobs(PyDataset):
    def __init__(self, weights=None, **options):
        super().__init__(**options)
        self.weights = weights
        self.taken, self.hooks = [], []

    def __len__(self):
        return len(STARTS)

    def __getitem__(self, index):
        self.taken.append(index)
        rows = slice(STARTS[index], STARTS[index] + 32)
        return (X[rows], Y[rows]) if self.weights is None else (X[rows], Y[rows], self.weights[rows])

    def on_epoch_begin(self):
        self.hooks.append("begin")

    def on_epoch_end(self):
        self.hooks.append("end")


class Loader:
    """What a loader of PyTorch looks like: it can be gone through again, and gives lists."""

    def __iter__(self):
        return ([X[start : start + 32], Y[start : start + 32]] for start in STARTS)

    def __len__(self):
        return len(STARTS)


def batches(repeat=1):
    for start in itertools.chain.from_iterable(itertools.repeat(STARTS, repeat)):
        yield X[start : start + 32], Y[start : start + 32]


SOURCES = {"dataset": Blobs, "loader": Loader, "generator": lambda: batches(3)}

# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("source", SOURCES)
def test_batches_train_as_rows_do(source):
    expected, model = network(), network()
    expected.fit(X, Y, epochs=3, shuffle=False, verbose=0)
    steps = len(STARTS) if source == "generator" else None
    history = model.fit(SOURCES[source](), epochs=3, shuffle=False, steps_per_epoch=steps, verbose=0)
    assert state(model) == state(expected)
    assert history.history == expected.history.history
    assert model.evaluate(SOURCES[source](), steps=steps, verbose=0) == expected.evaluate(X, Y, verbose=0)
    assert np.array_equal(model.predict(SOURCES[source](), steps=steps), expected.predict(X))


def test_batches_of_any_kind_make_the_model():
    model = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    sizes = (5, 64, 7)
    model.fit(((X[:size].tolist(), Y[:size].tolist()) for size in sizes), verbose=0)
    assert model.input_shape == (None, 6)
    assert model.optimizer.iterations == 3
    assert model.predict(X[:size] for size in sizes).shape == (76, 3)


def test_weights_come_with_the_batches():
    weights = np.random.default_rng(0).random(200)
    expected, model, by_class, same = (network() for _ in range(4))
    expected.fit(X, Y, shuffle=False, sample_weight=weights, verbose=0)
    model.fit(Blobs(weights), shuffle=False, verbose=0)
    assert state(model) == state(expected)
    assert model.evaluate(Blobs(weights), verbose=0) == expected.evaluate(X, Y, sample_weight=weights, verbose=0)
    by_class.fit(X, Y, shuffle=False, class_weight={0: 3.0}, verbose=0)
    same.fit(Blobs(), shuffle=False, class_weight={0: 3.0}, verbose=0)
    assert state(same) == state(by_class)


def test_order_hooks_and_workers_of_a_dataset():
    dataset, model = Blobs(), network()
    model.fit(dataset, epochs=2, verbose=0)
    assert dataset.hooks == ["begin", "end"] * 2
    first, second = dataset.taken[:7], dataset.taken[7:]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second, "shuffled anew"
    ahead, same = Blobs(workers=3, max_queue_size=2), network()
    same.fit(ahead, epochs=2, verbose=0)
    assert state(same) == state(model), "in the same order, whoever makes the batches"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evenflow")], "and goes home"


def test_an_endless_dataset_needs_steps():
    class Endless(Blobs):
        num_batches = None

        def __getitem__(self, index):
            return super().__getitem__(index % 7)

    model, expected = network(), network()
    model.fit(Endless(), epochs=2, steps_per_epoch=7, verbose=0)
    expected.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    assert state(model) == state(expected)


def test_a_loader_that_does_not_know_its_length():
    class Unsized(Loader):
        def __len__(self):
            raise TypeError("unknown")

    model, expected = network(), network()
    history = model.fit(Unsized(), epochs=2, verbose=0)
    assert history.params["steps"] is None
    expected.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    assert state(model) == state(expected)


def test_norms_and_hooks_of_batches():
    class Steps(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(batch)

    runs = []
    for x, y in ((X, Y), (Blobs(), None), (batches(), None)):
        steps, norms, model = Steps(), GradientNorms(per_step=True), network()
        model.fit(x, y, shuffle=False, callbacks=[steps, norms], verbose=0)
        assert steps.seen == list(range(7))
        runs.append(norms.steps)
    assert len(runs[0]["gradient_norm"]) == 7
    assert runs[0] == runs[1] == runs[2]


def test_training_on_batches_can_be_stopped():
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    dataset, model = Blobs(), network()
    assert model.fit(dataset, epochs=4, callbacks=[Stop()], verbose=0).epoch == [0]
    assert model.optimizer.iterations == 3
    assert len(dataset.taken) == 3, "no batch is made in vain"


def test_data_that_run_out():
    model = network()
    with pytest.warns(UserWarning, match=r"fit: x ran out of data: expected 5 batches in each epoch, received 2"):
        assert model.fit(batches(), epochs=9, steps_per_epoch=5, verbose=0).epoch == [0, 1]
    with pytest.warns(UserWarning, match=r"x ran out of data"):
        assert model.fit(batches(), epochs=2, verbose=0).epoch == [0]
    for call in (model.evaluate, model.predict):
        with pytest.raises(ValueError, match="not one batch"), pytest.warns(UserWarning, match="ran out"):
            call(iter([]))


# ---------------------------------------------------------------------------------------------------- steps of an epoch


def test_steps_per_epoch_of_rows():
    model, expected = network(), network()
    history = model.fit(X, Y, epochs=1, steps_per_epoch=3, verbose=0)
    assert (model.optimizer.iterations, history.params["rows"], history.params["steps"]) == (3, 96, 3)
    model, expected = network(), network()
    with pytest.warns(UserWarning, match=r"steps_per_epoch=5: the rows ended after 2 steps"):
        model.fit(X, Y, epochs=4, steps_per_epoch=5, verbose=0)
    expected.fit(X, Y, epochs=2, verbose=0)
    assert state(model) == state(expected), "5 + 2 steps are a pass, as in Keras"


def test_steps_of_evaluate_and_predict():
    model = network()
    assert model.evaluate(X, Y, batch_size=20, steps=3, verbose=0) == model.evaluate(X[:60], Y[:60], verbose=0)
    assert np.array_equal(model.predict(X, batch_size=20, steps=3), model.predict(X[:60]))
    assert model.predict(X, steps=2).shape == (64, 3)
    assert model.predict(X, steps=1000).shape == (200, 3)


# ---------------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(("frequency", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), ([1, 4], [0, 3]), (9, [])])
def test_validation_freq(frequency, epochs):
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if "val_loss" in logs:
                seen.append(epoch)

    history = network().fit(
        X, Y, epochs=5, validation_split=0.2, validation_freq=frequency, callbacks=[Watch()], verbose=0
    )
    assert seen == epochs
    assert len(history.history.get("val_loss", [])) == len(epochs)


def test_validation_on_batches_and_in_steps():
    scores = []
    for options in (
        {"validation_data": (X[:64], Y[:64])},
        {"validation_data": (X, Y), "validation_steps": 2},
        {"validation_data": (X, Y), "validation_steps": 1, "validation_batch_size": 64},
        {"validation_data": Blobs(), "validation_steps": 2},
        {"validation_data": Loader(), "validation_steps": 2},
    ):
        history = network().fit(X, Y, epochs=2, shuffle=False, verbose=0, **options).history
        scores.append((history["val_loss"], history["val_accuracy"]))
    for loss, accuracy in scores:
        assert accuracy == scores[0][1]
        np.testing.assert_allclose(loss, scores[0][0], rtol=1e-6)
    stopped = network().fit(
        Blobs(), validation_data=Blobs(), epochs=50, callbacks=[EarlyStopping(min_delta=1.0)], verbose=0
    )
    assert stopped.epoch == [0, 1]


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.fit(Blobs(), Y), ["fit: y", "gives batches"]),
        (lambda m: m.fit(Blobs(), batch_size=8), ["fit: batch_size", "None"]),
        (lambda m: m.fit(Blobs(), sample_weight=Y), ["fit: sample_weight"]),
        (lambda m: m.fit(Blobs(), validation_split=0.1), ["fit: validation_split"]),
        (lambda m: m.fit(Blobs(), class_weight="balanced"), ["fit: class_weight", "gives batches"]),
        (lambda m: m.fit(Blobs(Y), class_weight={0: 2.0}), ["either class_weight or sample_weight"]),
        (lambda m: m.fit(Blobs(), steps_per_epoch=0), ["fit: steps_per_epoch", "at least 1"]),
        (lambda m: m.fit(X, Y, steps_per_epoch=2.5), ["fit: steps_per_epoch", "2.5"]),
        (lambda m: m.fit(X, Y, validation_freq=0), ["fit: validation_freq", "0"]),
        (lambda m: m.fit(X, Y, validation_freq=[2, 0]), ["fit: validation_freq", "0"]),
        (lambda m: m.fit(X, Y, validation_freq="2"), ["fit: validation_freq", "'2'"]),
        (lambda m: m.fit(X, Y, validation_steps=-1), ["fit: validation_steps", "-1"]),
        (lambda m: m.evaluate(Blobs(), Y), ["evaluate: y"]),
        (lambda m: m.evaluate(X, Y, steps=0), ["evaluate: steps", "0"]),
        (lambda m: m.predict(Blobs(), batch_size=3), ["predict: batch_size"]),
        (lambda m: m.predict(X, steps=True), ["predict: steps", "True"]),
        (lambda m: m.fit(iter([X[:9]])), ["fit: batch 0 of x", "y", "None"]),
        (lambda m: m.fit(iter([(X[:9], Y[:9]), (X[:9, :5], Y[:9])])), ["fit: batch 1 of x", "(9, 5)", "(rows, 6)"]),
        (lambda m: m.fit(iter([(X[:9], Y[:9] + 5)])), ["fit: batch 0 of x", "label"]),
        (lambda m: m.fit(iter([(X[:9], Y[:9], None, 1)])), ["fit: batch 0 of x", "4 values"]),
        (lambda m: m.fit(iter([{"x": X}])), ["fit: batch 0 of x", "a dict"]),
        (lambda m: m.predict(row for row in X), ["predict: batch 0 of x", "(6,)"]),
        (lambda m: m.train_on_batch(batches()), ["train_on_batch: x", "dtype object"]),
        (lambda m: m.test_on_batch(batches()), ["test_on_batch: x", "generator"]),
        (lambda m: m.fit(X, Y, validation_data=iter([])), ["fit: ", "not one batch"]),
        (lambda m: Blobs(workers=-1), ["Blobs: workers", "-1"]),
        (lambda m: Blobs(use_multiprocessing=True), ["use_multiprocessing", "threads"]),
        (lambda m: Blobs(max_queue_size=0), ["max_queue_size", "0"]),
        (lambda m: m.fit(PyDataset()), ["__len__"]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_mistakes_are_named(call, words):
    with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
        call(network())
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_mistake_of_the_users_own_comes_through():
    def broken():
        yield X[:32], Y[:32]
        raise RuntimeError("no more")

    model = network()
    with pytest.raises(RuntimeError, match="no more"):
        model.fit(broken(), verbose=0)
    assert model.optimizer.iterations == 1
    failing = Blobs(workers=2)
    failing.__class__ = type("Failing", (Blobs,), {"__getitem__": lambda self, index: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        model.fit(failing, verbose=0)
    assert bits(model)


def test_progress_of_batches(capsys):
    evenflow.set_seed(0)
    network().fit(batches(), epochs=1)
    line = capsys.readouterr().out
    assert line.startswith("Epoch 1/1 - ")
    assert " samples/s - loss: " in line
