"""fit, evaluate, train_on_batch: what they compute, which callbacks they call, what they show."""

import os
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow
from evenflow.callbacks import Callback, History
from evenflow.layers import BatchNormalization, Dense, Flatten, Input
from evenflow.models import Sequential, load_model

# ------------------------------------------------------------------------------------------------------------- training


def test_fit_learns_and_history_tells():
    x, y = blobs()
    model = network()
    history = model.fit(x, y, epochs=5, validation_data=blobs(50, seed=3), verbose=0)
    assert isinstance(history, History)
    assert model.history is history
    assert history.epoch == [0, 1, 2, 3, 4]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 5 for values in history.history.values())
    assert history.history["loss"][-1] < history.history["loss"][0]
    loss, accuracy = model.evaluate(x, y, verbose=0)
    assert accuracy > 0.8
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert (model.predict(x).argmax(1) == y).mean() == pytest.approx(accuracy)
    assert model.optimizer.iterations == 5 * 7


def test_same_seed_same_bits():
    x, y = blobs()
    first, second, other = network(seed=1), network(seed=1), network(seed=2)
    for model in (first, second, other):
        model.fit(x, y, epochs=2, verbose=0)
    assert bits(first) == bits(second) != bits(other)


def test_fit_is_a_loop_of_train_on_batch():
    x, y = blobs(100)
    model, by_hand = network(), network()
    model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        for start in range(0, 100, 32):
            by_hand.train_on_batch(x[start : start + 32], y[start : start + 32])
    assert state(model) == state(by_hand)


def test_epochs_may_be_fitted_one_by_one():
    x, y = blobs()
    at_once, in_parts = network(), network()
    at_once.fit(x, y, epochs=3, verbose=0)
    for epoch in range(3):
        history = in_parts.fit(x, y, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
        assert history.epoch == [epoch]
    assert state(at_once) == state(in_parts)
    assert at_once.history.history["loss"][-1] == in_parts.history.history["loss"][0]


def test_state_survives_another_batch_size():
    x, y = blobs(96)
    model, straight = network(), network()
    model.fit(x, y, batch_size=96, shuffle=False, verbose=0)
    before = state(model)
    model.evaluate(x, y, batch_size=7, verbose=0)
    model.predict(x[:5])
    assert state(model) == before
    model.fit(x, y, batch_size=32, shuffle=False, verbose=0)
    for batch in (96, 32):
        straight.fit(x, y, batch_size=batch, shuffle=False, verbose=0)
    assert state(model) == state(straight)
    assert model.optimizer.iterations == 4


def test_shuffling():
    x, y = blobs()
    straight, again, shuffled = network(), network(), network()
    straight.fit(x, y, shuffle=False, verbose=0)
    again.fit(x, y, shuffle=False, verbose=0)
    shuffled.fit(x, y, shuffle=True, verbose=0)
    assert bits(straight) == bits(again) != bits(shuffled)
    order = np.random.Generator(np.random.PCG64(shuffled.seed)).permutation(len(x))
    by_hand = network()
    by_hand.fit(x[order], y[order], shuffle=False, verbose=0)
    assert bits(by_hand) == bits(shuffled)
    assert bits(Sequential([Input(2), Dense(2)], seed=3)) != bits(shuffled)


def test_validation_split_takes_the_last_rows():
    x, y = blobs(101)
    split, given = network(), network()
    split.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
    given.fit(x[:75], y[:75], validation_data=(x[75:], y[75:]), epochs=2, verbose=0)
    assert split.history.history == given.history.history
    assert state(split) == state(given)
    loss, _ = split.evaluate(x[75:], y[75:], verbose=0)
    assert split.history.history["val_loss"][-1] == pytest.approx(loss, rel=1e-6)


def test_batch_larger_than_the_data():
    x, y = blobs(20)
    model, exact = network(), network()
    model.fit(x, y, batch_size=10**15, epochs=2, verbose=0)
    exact.fit(x, y, batch_size=20, epochs=2, verbose=0)
    assert model.optimizer.iterations == 2
    assert state(model) == state(exact)


def test_last_batch_of_one_row_warns_once():
    x, y = blobs(33)
    model = network()
    with pytest.warns(UserWarning, match=r"fit: a batch has a single row.*33 rows, batch_size=32"):
        model.fit(x, y, batch_size=32, verbose=0)
    model.fit(x, y, batch_size=32, verbose=0)
    assert np.isfinite(model.predict(x)).all()
    plain = Sequential([Input((6,)), Dense(3)])
    plain.compile("sgd", "sparse_categorical_crossentropy")
    plain.fit(x, y, batch_size=1, verbose=0)
    frozen = network()
    frozen.layers[1].trainable = False
    frozen.fit(x, y, batch_size=32, verbose=0)


def test_results_of_batches():
    x, y = blobs(32)
    model, same = network(), network()
    result = model.train_on_batch(x, y, return_dict=True)
    assert list(result) == ["loss", "accuracy"]
    assert same.train_on_batch(x, y) == list(result.values())
    assert model.test_on_batch(x, y) == model.evaluate(x, y, verbose=0)
    assert np.array_equal(model.predict_on_batch(x), model(x))
    alone = Sequential([Input((6,)), Dense(1)])
    alone.compile("sgd", "mse")
    assert isinstance(alone.evaluate(x, y, verbose=0), float)
    assert isinstance(alone.train_on_batch(x, y), float)


def test_call_in_training_mode_uses_the_batch():
    x, _ = blobs(40)
    model = network()
    before = model.get_weights()
    y = model(x, training=True)
    assert not np.allclose(y, model(x))
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 4 + [True, True] + [False] * 2, "moving averages move, nothing else"


def test_accuracy_is_the_one_that_fits():
    cases = [
        ("sparse_categorical_crossentropy", 3, "sparse_categorical_accuracy"),
        ("categorical_crossentropy", 3, "categorical_accuracy"),
        ("binary_crossentropy", 1, "binary_accuracy"),
        ("binary_crossentropy", 2, "categorical_accuracy"),
        ("mse", 1, "binary_accuracy"),
        ("mse", 4, "categorical_accuracy"),
    ]
    for loss, units, expected in cases:
        model = Sequential([Input((2,)), Dense(units)])
        model.compile("sgd", loss, metrics=["accuracy"])
        assert model.spec()["metrics"] == [expected]


def test_learning_rate_can_be_changed():
    x, y = blobs()
    model = network("sgd")
    model.optimizer.learning_rate = 0.0
    before = bits(model)[:4]
    model.fit(x, y, verbose=0)
    assert bits(model)[:4] == before
    model.optimizer.learning_rate = 0.1
    model.fit(x, y, verbose=0)
    assert bits(model)[:4] != before


# ------------------------------------------------------------------------------------------------------------ callbacks


class Recorder(Callback):
    def __init__(self):
        self.calls = []


for _hook in ("train_begin", "train_end", "epoch_begin", "epoch_end", "test_begin", "test_end"):
    setattr(Recorder, f"on_{_hook}", lambda self, *a, _hook=_hook: self.calls.append((_hook, *a)))


def test_order_of_callbacks():
    x, y = blobs(64)
    recorder = Recorder()
    model = network()
    model.fit(x, y, epochs=2, validation_split=0.5, callbacks=[recorder], verbose=0)
    names = [call[0] for call in recorder.calls]
    epoch = ["epoch_begin", "test_begin", "test_end", "epoch_end"]
    assert names == ["train_begin", *epoch, *epoch, "train_end"]
    ends = [call for call in recorder.calls if call[0] == "epoch_end"]
    assert [call[1] for call in ends] == [0, 1]
    assert ends[1][2]["val_loss"] == model.history.history["val_loss"][1]
    assert recorder.model is model
    assert recorder.params == {"epochs": 2, "steps": 1, "rows": 32, "verbose": 0}


def test_batch_hooks_see_every_step_and_change_nothing():
    x, y = blobs(100)

    class Steps(Callback):
        def __init__(self):
            self.begun, self.ended = [], []

        def on_train_batch_begin(self, batch, logs=None):
            self.begun.append(batch)

        def on_train_batch_end(self, batch, logs=None):
            self.ended.append((batch, logs["loss"]))

    steps, model, plain = Steps(), network(), network()
    history = model.fit(x, y, callbacks=steps, verbose=0)
    plain.fit(x, y, verbose=0)
    assert steps.begun == [0, 1, 2, 3]
    assert [batch for batch, _ in steps.ended] == steps.begun
    assert steps.ended[-1][1] == history.history["loss"][0]
    assert state(model) == state(plain)


def test_training_can_be_stopped():
    x, y = blobs()

    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    assert network().fit(x, y, epochs=10, callbacks=[Stop()], verbose=0).epoch == [0, 1, 2]


def test_an_interrupted_epoch_leaves_a_completed_step_and_whole_epochs_in_history():
    x, y = blobs(320)

    class Interrupt(Callback):
        closed = False

        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 13:
                raise KeyboardInterrupt

        def close(self):
            self.closed = True

    interrupt, model, same = Interrupt(), network(), network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=5, callbacks=[interrupt], shuffle=False, verbose=0)
    assert interrupt.closed
    assert model.history.epoch == [0]
    assert {len(v) for v in model.history.history.values()} == {1}
    same.fit(x, y, shuffle=False, verbose=0)
    same.fit(x[:96], y[:96], shuffle=False, verbose=0)
    assert state(model) == state(same)
    model.fit(x, y, verbose=0)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_control_c_is_answered_within_a_tenth_of_a_second():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100_000, 64), dtype=np.float32), rng.integers(0, 10, 100_000)
    model = Sequential([Input((64,)), Dense(256, "relu"), BatchNormalization(), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:64], y[:64], verbose=0)

    def answer() -> float:
        sent = []

        def interrupt():
            time.sleep(0.2)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=10_000, verbose=0)
        return time.perf_counter() - sent[0]

    # Where other processes want the cores too, a thread may have to wait for one as long as that.
    assert any(answer() < 0.1 for _ in range(20))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_callbacks_may_use_the_model(tmp_path):
    x, y = blobs()

    class Busy(Callback):
        def on_train_progress(self, rows, logs):
            self.model.evaluate(x, y, batch_size=len(x), verbose=0)
            self.model.predict(x)

        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model")
            self.model(x[:50])

    busy, plain = network(), network()
    busy.fit(x, y, epochs=3, callbacks=[Busy()], validation_split=0.2, verbose=0)
    plain.fit(x, y, epochs=3, validation_split=0.2, verbose=0)
    assert state(busy) == state(plain)
    assert busy.history.history == plain.history.history
    assert state(load_model(tmp_path / "model")) == state(plain)


def test_callbacks_may_freeze_and_train():
    x, y = blobs()

    class Freeze(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].trainable = False

    class Larger(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.train_on_batch(x, y)

    model, by_hand = network(), network()
    model.fit(x, y, epochs=2, callbacks=[Freeze()], verbose=0)
    by_hand.fit(x, y, verbose=0)
    by_hand.layers[0].trainable = False
    by_hand.fit(x, y, verbose=0)
    assert state(model) == state(by_hand)
    model, by_hand = network(), network()
    model.fit(x, y, epochs=2, callbacks=[Larger()], verbose=0)
    for _ in range(2):
        by_hand.fit(x, y, verbose=0)
        by_hand.train_on_batch(x, y)
    assert state(model) == state(by_hand)
    model.fit(x, y, verbose=0)


# ------------------------------------------------------------------------------------------------------------- progress


def test_lines_in_a_log_file(capsys):
    x, y = blobs(64)
    model = network()
    model.fit(x, y, epochs=2, validation_split=0.5)
    model.evaluate(x, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line, start in zip(lines, ["Epoch 1/2 - ", "Epoch 2/2 - ", "Evaluate - "], strict=True):
        assert line.startswith(start)
        assert all(word in line for word in (" samples/s", "loss: ", "accuracy: "))
    assert "val_accuracy: " in lines[0]
    model.fit(x, y, verbose=0)
    model.predict(x)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    class Slow(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            time.sleep(0.06)  # a bar is drawn again only after a while

    x, y = blobs(64)
    network().fit(x, y, epochs=1, validation_split=0.5, batch_size=16, callbacks=[Slow()])
    bars, _, line = re.split("[\r\n]+", capsys.readouterr().out.strip())[-3:]
    assert re.fullmatch(r"Epoch 1/1 +\d+%\|.*\| +[\d.]+ samples/s, loss: [\d.]+, acc.*", bars)
    assert re.fullmatch(
        r"Epoch 1/1 - .*s - .* samples/s - loss: .* - accuracy: .* - val_loss: .* - val_accuracy: .*", line
    )
    network().fit(x, y, epochs=1, verbose=2)
    assert capsys.readouterr().out.startswith("Epoch 1/1 - ")


def test_what_a_prediction_shows(monkeypatch, capsys):
    x, _ = blobs(64)
    model = network()
    expected = model.predict(x, verbose=0)
    for verbose in (1, 2):
        assert np.array_equal(model.predict(x, verbose=verbose), expected)
        assert re.fullmatch(r"Predict - \d+\.\d\ds - [\d,]+ samples/s\n", capsys.readouterr().out)
    model.predict(iter([x[:30], x[30:]]), verbose=2)
    assert capsys.readouterr().out.startswith("Predict - ")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("evenflow.callbacks.progress.DELAY", 0.0)

    class Slow(Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            time.sleep(0.06)

    assert np.array_equal(model.predict(x, batch_size=16, callbacks=[Slow()]), expected)
    shown = capsys.readouterr().out
    assert "Predict" in shown
    assert "75%" in shown
    assert "\n" not in shown  # the bar is taken away again
    monkeypatch.undo()
    model.predict(x, batch_size=16, callbacks=[Slow()])
    assert capsys.readouterr() == ("", "")


def test_summary(capsys):
    evenflow.clear_session()
    model = Sequential([Flatten(input_shape=(2, 3)), Dense(4), BatchNormalization(trainable=False)])
    assert model.summary() is None
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["flatten", "(Flatten)", "(None,", "6)", "0"] in rows
    assert ["dense", "(Dense)", "(None,", "4)", "28"] in rows
    assert " Total params: 44 (176.00 B)" in text
    assert " Trainable params: 28 (112.00 B)" in text
    lines = []
    model.summary(show_trainable=True, print_fn=lines.append)
    assert [line.split()[-1] for line in lines[0].splitlines()[4:7]] == ["-", "Y", "N"]
    Sequential([Dense(3)]).summary(print_fn=lines.append)
    assert "0 (unbuilt)" in lines[1]
