"""Hooks of callbacks: which are called, in which order, with what; per-batch hooks, and what they do not cost."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from example import blobs, network, state

from evenflow.callbacks import Callback, EarlyStopping, LambdaCallback, OneCycle, TimeBudget
from evenflow.optimizers import SGD, Adam
from evenflow.schedules import ExponentialDecay, OneCycle as Schedule
from evenflow.utils import PyDataset

X, Y = blobs(70)
EPOCH_HOOKS = [f"on_{kind}_{end}" for kind in ("train", "epoch", "test", "predict") for end in ("begin", "end")]
BATCH_HOOKS = [f"on_{kind}_batch_{end}" for kind in ("train", "test", "predict") for end in ("begin", "end")]


def recorder(base, calls):
    """A callback of this library that notes every hook: its number, if it has one, and the names in its logs."""

    def hook(name):
        def note(self, *number, logs=None):
            if logs is None:  # given by its place
                *number, logs = number
            calls.append((name, *number, sorted(logs)))

        return note

    return type("Recorder", (base,), {name: hook(name) for name in EPOCH_HOOKS + BATCH_HOOKS})()


def run(model, callback, verbose=0):
    """Training with validation, evaluation and prediction; 70 rows are three batches of 32."""
    options = {"verbose": verbose, "callbacks": [callback]}
    model.fit(X, Y, epochs=2, validation_data=(X[:40], Y[:40]), **options)
    model.fit(X, Y, epochs=4, initial_epoch=3, validation_split=0.5, validation_freq=3, batch_size=16, **options)
    model.evaluate(X, Y, batch_size=30, **options)
    model.predict(X, batch_size=50, **options)


def test_every_hook_in_its_order():
    calls = []
    model = network()
    run(model, recorder(Callback, calls))
    scores = ["accuracy", "loss"]
    steps = [(f"on_train_batch_{end}", n, logs) for n in range(3) for end, logs in (("begin", []), ("end", scores))]
    tests = [(f"on_test_batch_{end}", n, logs) for n in range(2) for end, logs in (("begin", []), ("end", scores))]
    validation = [("on_test_begin", []), *tests, ("on_test_end", scores)]
    both = [*scores, "val_accuracy", "val_loss"]
    epochs = [[("on_epoch_begin", n, []), *steps, *validation, ("on_epoch_end", n, both)] for n in range(2)]
    first = [("on_train_begin", []), *epochs[0], *epochs[1], ("on_train_end", both)]
    assert calls[: len(first)] == first
    assert calls[-6:] == [
        ("on_predict_begin", []),
        ("on_predict_batch_begin", 0, []),
        ("on_predict_batch_end", 0, ["outputs"]),
        ("on_predict_batch_begin", 1, []),
        ("on_predict_batch_end", 1, ["outputs"]),
        ("on_predict_end", []),
    ]
    plain = network()
    run(plain, Callback())
    assert state(plain) == state(model), "and changes nothing"


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras' predict
def test_hooks_as_keras_calls_them():
    os.environ["KERAS_BACKEND"] = "torch"
    keras = pytest.importorskip("keras")
    layers = [keras.layers.Dense(3, activation="softmax")]
    theirs = keras.Sequential([keras.Input((6,)), *layers])
    theirs.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    expected, calls = [], []
    run(theirs, recorder(keras.callbacks.Callback, expected))
    run(network(), recorder(Callback, calls))
    assert calls == expected


def test_logs_of_batches_are_means_so_far():
    seen = []
    model, expected = network(), network()
    keep = LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(logs))
    final = model.evaluate(X, Y, verbose=0, callbacks=[keep], return_dict=True)
    assert seen[-1] == final
    for number, logs in enumerate(seen):
        rows = slice(32 * (number + 1))
        others = expected.evaluate(X[rows], Y[rows], verbose=0, return_dict=True)
        np.testing.assert_allclose(list(logs.values()), list(others.values()), rtol=1e-6)
    outputs = []
    whole = model.predict(
        X, callbacks=LambdaCallback(on_predict_batch_end=lambda n, logs: outputs.append(logs["outputs"]))
    )
    assert [len(part) for part in outputs] == [32, 32, 6]
    assert np.array_equal(np.concatenate(outputs), whole)
    assert np.array_equal(whole, model.predict(X))


def test_batches_of_streams():
    class Batches(PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[index * 35 : index * 35 + 35], Y[index * 35 : index * 35 + 35]

    calls = []
    model = network()
    callback = recorder(Callback, calls)
    model.evaluate(Batches(), verbose=0, callbacks=[callback])
    model.predict(Batches(), callbacks=[callback])
    numbers = [(name, rest[0]) for name, *rest in calls if "batch" in name]
    assert numbers == [
        (f"on_{kind}_batch_{end}", n) for kind in ("test", "predict") for n in (0, 1) for end in ("begin", "end")
    ]


def test_absent_hooks_leave_the_epoch_native(monkeypatch):
    model = network()
    model.fit(X, Y, verbose=0)
    program = model._executor.program
    calls = []

    class Counting:
        """The program, each call of which is noted."""

        def __getattr__(self, name):
            if name in ("train", "evaluate", "predict"):
                calls.append(name)
            return getattr(program, name)

        def __setattr__(self, name, value):
            setattr(program, name, value)

    monkeypatch.setattr(model._executor, "program", Counting())
    monkeypatch.setattr("evenflow.training.executor.SLICE_SECONDS", 600.0)  # a busy machine makes no difference

    def count(callback):
        calls.clear()
        model.fit(X, Y, validation_data=(X, Y), batch_size=32, verbose=0, callbacks=[callback])
        model.predict(X, callbacks=[callback])
        return [calls.count(name) for name in ("train", "evaluate", "predict")]

    assert count(LambdaCallback(on_epoch_end=lambda epoch, logs: None)) == [1, 1, 1]
    assert count(LambdaCallback(on_train_batch_end=lambda batch, logs: None)) == [3, 1, 1]
    assert count(LambdaCallback(on_batch_begin=lambda batch, logs: None)) == [3, 1, 1]
    assert count(LambdaCallback(on_test_batch_begin=lambda batch, logs: None)) == [1, 3, 1]
    assert count(LambdaCallback(on_predict_batch_end=lambda batch, logs: None)) == [1, 1, 3]


def test_former_names_of_batch_hooks():
    class Old(Callback):
        def __init__(self):
            self.seen = []

        def on_batch_begin(self, batch, logs=None):
            self.seen.append(batch)

        def on_batch_end(self, batch, logs=None):
            self.seen.append(sorted(logs))

    old = Old()
    network().fit(X, Y, verbose=0, callbacks=[old])
    assert old.seen == [0, ["accuracy", "loss"], 1, ["accuracy", "loss"], 2, ["accuracy", "loss"]]


# ------------------------------------------------------------------------------------------------------------ OneCycle


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_one_cycle_is_the_schedule_for_the_whole_fit(optimizer):
    options = {"momentum": 0.9} if optimizer is SGD else {}
    model, expected = network(optimizer(0.01, **options)), network(optimizer(Schedule(0.5, 12), **options))
    for _ in range(2):  # a second cycle begins where the optimizer is then
        history = model.fit(X, Y, epochs=4, callbacks=[OneCycle(0.5)], verbose=0)
        first = expected.optimizer.iterations
        expected.optimizer.learning_rate = Schedule(0.5, 12, first_step=first)
        expected.fit(X, Y, epochs=4, verbose=0)
        assert state(model) == state(expected)
        rates = Schedule(0.5, 12)
        assert history.history["learning_rate"] == [rates(3 * (epoch + 1)) for epoch in range(4)]
        assert model.optimizer.learning_rate == 0.01
    assert model.optimizer.pace.constant


def test_one_cycle_of_a_part_of_the_epochs():
    model, expected = network(SGD(0.01, momentum=0.9)), network(SGD(Schedule(0.5, 6), momentum=0.9))
    model.fit(X, Y, epochs=5, initial_epoch=3, callbacks=[OneCycle(0.5)], verbose=0)
    expected.fit(X, Y, epochs=2, verbose=0)
    assert state(model) == state(expected)


def test_one_cycle_gives_the_rate_back_after_an_error():
    def fail(epoch, logs):
        raise OSError("no more")

    model = network(SGD(0.01, momentum=0.9))
    with pytest.raises(OSError, match="no more"):
        model.fit(X, Y, epochs=2, callbacks=[OneCycle(0.5), LambdaCallback(on_epoch_end=fail)], verbose=0)
    assert model.optimizer.learning_rate == 0.01


def test_one_cycle_that_cannot_be():
    before = state(model := network(SGD(0.1)))
    with pytest.raises(ValueError, match=r"OneCycle moves the momentum, but this optimizer has momentum=0"):
        model.fit(X, Y, callbacks=OneCycle(0.5), verbose=0)
    with pytest.raises(
        ValueError, match=r"OneCycle: the number of steps in an epoch is not known: give steps_per_epoch"
    ):
        model.fit(iter([(X, Y)]), callbacks=OneCycle(0.5), verbose=0)
    scheduled = network(SGD(ExponentialDecay(0.1, 10, 0.5), momentum=0.9))
    with pytest.raises(ValueError, match=r"OneCycle: learning_rate: expected an optimizer with a number"):
        scheduled.fit(X, Y, callbacks=OneCycle(0.5), verbose=0)
    with pytest.raises(ValueError, match=r"OneCycle: pct_start: .*0.5, received 0.6"):
        OneCycle(0.5, pct_start=0.6)
    assert state(model) == before


# ---------------------------------------------------------------------------------------------------------- TimeBudget


class Clock:
    """Time that passes by a second whenever somebody looks."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr("evenflow.callbacks.stopping.time", SimpleNamespace(monotonic=self.look))
        monkeypatch.setattr("evenflow.training.executor.SLICE_SECONDS", 600.0)  # an epoch is one native call

    def look(self):
        self.now += 1
        return self.now


def test_time_budget_ends_training(monkeypatch, capsys):
    Clock(monkeypatch)
    model, expected = network(), network()
    history = model.fit(X, Y, epochs=100, validation_data=(X, Y), callbacks=TimeBudget(5, verbose=1), verbose=0)
    assert history.epoch == [0, 1, 2], "it looks after each native call and after each epoch"
    assert capsys.readouterr().out == "TimeBudget: 5 seconds are over: training ends\n"
    monkeypatch.undo()
    expected.fit(X, Y, epochs=3, verbose=0)
    assert state(model) == state(expected)
    assert len(history.history["val_loss"]) == 3


def test_time_budget_within_an_epoch(monkeypatch):
    Clock(monkeypatch)
    model = network()
    step = LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    history = model.fit(X, Y, epochs=100, batch_size=10, callbacks=[step, TimeBudget(4)], verbose=0)
    assert (history.epoch, model.optimizer.iterations) == ([0], 4)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1", None])
def test_time_budget_of_no_time(seconds):
    with pytest.raises((TypeError, ValueError), match="TimeBudget: seconds: expected a finite number above 0"):
        TimeBudget(seconds)


@pytest.mark.parametrize("base", [Callback, EarlyStopping])
def test_what_a_callback_does_to_the_model_holds_from_the_next_step_on(base):
    # Also where its base class is one that leaves models as they are, so that what runs the steps would be kept.
    class Freezes(base):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].trainable = False
            seen.append(self.model.layers[0].get_weights())

    seen = []
    model = network()
    model.compile(Adam(), "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[Freezes()], validation_data=(X, Y))
    for first, last in zip(seen[0], seen[-1], strict=True):
        np.testing.assert_array_equal(first, last)


def test_validation_sees_each_epochs_weights_where_steps_are_kept():
    model, other = network(), network()
    other.set_weights(model.get_weights())
    losses = []
    for one in (model, other):
        one.compile(Adam(), "sparse_categorical_crossentropy")
    kept = model.fit(X, Y, epochs=3, verbose=0, shuffle=False, validation_data=(X[:30], Y[:30]))
    for _ in range(3):
        other.fit(X, Y, verbose=0, shuffle=False)
        losses.append(other.evaluate(X[:30], Y[:30], verbose=0))
    assert kept.history["val_loss"] == losses


@pytest.mark.parametrize("place", ["instance", "class"])
def test_a_hook_may_freeze_a_layer(place):
    model = network()
    kept = []

    def freeze(epoch, logs=None):
        kept.append(model.layers[0].kernel.numpy() if model.layers[0].trainable else kept[-1])
        model.layers[0].trainable = False

    if place == "instance":
        callback = EarlyStopping("loss", patience=99)
        callback.on_epoch_end = freeze
    else:
        hooks = {"on_epoch_end": lambda self, epoch, logs=None: freeze(epoch)}
        callback = type("Freezing", (EarlyStopping,), hooks)("loss", patience=99)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert len(kept) == 3
    assert np.array_equal(model.layers[0].kernel.numpy(), kept[0])
