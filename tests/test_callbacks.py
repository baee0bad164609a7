"""The callbacks inside `fit`; tests/test_parity_schedules.py has their counting beside Keras'."""

import csv

import numpy as np
import pytest
from example import bits, blobs, network, state

from evenflow.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from evenflow.models import load_model
from evenflow.optimizers import SGD
from evenflow.schedules import ExponentialDecay


class Pretend(Callback):
    """Replaces a value of the logs, before other callbacks see it."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def fitted(*callbacks, epochs=6, optimizer="sgd", **options):
    model = network(optimizer)
    return model, model.fit(*blobs(64), epochs=epochs, callbacks=list(callbacks), verbose=0, **options)


def test_early_stopping_stops_and_restores(capsys):
    kept = {}
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.update({epoch: bits(keep.model)}))
    stop = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    pretend = Pretend("val_loss", [3.0, 1.0, 2.0, 1.0, 0.5, 0.4])
    model, history = fitted(keep, pretend, stop)
    assert history.epoch == [0, 1, 2, 3]
    assert (stop.stopped_epoch, stop.best_epoch, stop.best) == (3, 1, 1.0)
    assert bits(model) == kept[1] != kept[3]
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 4: early stopping",
        "Restoring model weights from the end of the best epoch: 2.",
    ]
    model, history = fitted(pretend, EarlyStopping(patience=2))
    assert bits(model) == kept[3]


def test_early_stopping_by_accuracy():
    pretend = Pretend("val_accuracy", [0.5, 0.6, 0.6, 0.55, 0.9])
    _, history = fitted(pretend, EarlyStopping("val_accuracy", patience=2))
    assert history.epoch == [0, 1, 2, 3]


def test_a_value_that_is_missing_warns():
    for callback in (EarlyStopping(), ReduceLROnPlateau("val_accuracy")):
        with pytest.warns(UserWarning, match=rf"{type(callback).__name__}: monitor='val_\w+' is not in the logs.*loss"):
            _, history = fitted(callback, epochs=1)
        assert history.epoch == [0]


def test_a_direction_that_cannot_be_told_is_refused_before_training():
    model = network()
    before = state(model)
    for callback in (EarlyStopping("val_f1"), ReduceLROnPlateau("f1"), ModelCheckpoint("m", "f1", save_best_only=True)):
        with pytest.raises(
            ValueError, match=rf"{type(callback).__name__}: mode='auto' .*f1.*loss, accuracy.*mode='min'"
        ):
            model.fit(*blobs(), callbacks=callback, verbose=0)
    assert state(model) == before


def test_reduce_on_plateau(capsys):
    pretend = Pretend("val_loss", [1.0] * 6)
    reduce = ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.03, verbose=1)
    model, history = fitted(pretend, reduce, optimizer=SGD(0.1))
    assert history.history["learning_rate"] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.03]
    assert model.optimizer.learning_rate == 0.03
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.05.",
        "Epoch 5: ReduceLROnPlateau reducing learning rate to 0.03.",
    ]


def test_learning_rate_scheduler(capsys):
    model, history = fitted(
        LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1), optimizer=SGD(0.4), epochs=3
    )
    assert history.history["learning_rate"] == [0.2, 0.1, 0.05]
    assert capsys.readouterr().out.splitlines()[0] == "Epoch 1: LearningRateScheduler setting learning rate to 0.2."
    other = network(SGD(1.0))
    for epoch, rate in enumerate((0.2, 0.1, 0.05)):
        other.optimizer.learning_rate = rate
        other.fit(*blobs(64), initial_epoch=epoch, epochs=epoch + 1, verbose=0)
    assert state(model) == state(other)
    schedule = ExponentialDecay(0.1, 1, 0.5)
    _, history = fitted(LearningRateScheduler(schedule), optimizer=SGD(1.0), epochs=3)
    assert history.history["learning_rate"] == [0.1, 0.05, 0.025]


@pytest.mark.parametrize("callback", [LearningRateScheduler(lambda epoch: 0.1), ReduceLROnPlateau("loss")])
def test_a_schedule_leaves_nothing_to_set(callback):
    model = network(SGD(ExponentialDecay(0.1, 10, 0.5)))
    before = state(model)
    with pytest.raises(
        ValueError, match=rf"{type(callback).__name__}: learning_rate: .*a number, received Exponential"
    ):
        model.fit(*blobs(), callbacks=callback, verbose=0)
    assert state(model) == before


@pytest.mark.parametrize("value", [None, "0.1", float("nan"), -0.1, float("inf"), [0.1]])
def test_a_scheduler_that_returns_no_rate_is_refused(value):
    model = network()
    before = state(model)
    with pytest.raises(
        (TypeError, ValueError), match=r"LearningRateScheduler: schedule\(0\): expected a finite number"
    ):
        model.fit(*blobs(), callbacks=LearningRateScheduler(lambda epoch: value), verbose=0)
    assert state(model) == before


def test_checkpoints(tmp_path, capsys):
    path = tmp_path / "new" / "{epoch:02d}-{loss:.1f}.safetensors"
    pretend = Pretend("loss", [3.0, 1.0, 2.0, 0.5])
    best = ModelCheckpoint(path, "loss", save_best_only=True, verbose=1)
    model, _ = fitted(pretend, best, epochs=4)
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{n}.safetensors" for n in ("01-3.0", "02-1.0", "04-0.5")]
    assert state(load_model(path.parent / "04-0.5.safetensors")) == state(model)
    assert "Epoch 3: loss did not improve from 1.00000" in capsys.readouterr().out
    weights = tmp_path / "w"
    model, _ = fitted(ModelCheckpoint(weights, save_weights_only=True), epochs=1)
    other = network(seed=99)
    other.load_weights(weights)
    assert bits(other) == bits(model)


def test_checkpoints_every_few_steps(tmp_path):
    steps = ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3)
    model, _ = fitted(steps, epochs=2, batch_size=16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-3", "2-2"]
    assert load_model(tmp_path / "2-2").optimizer.iterations == 6
    plain, _ = fitted(epochs=2, batch_size=16)
    assert state(model) == state(plain)


def test_a_name_that_the_logs_do_not_have(tmp_path):
    with pytest.raises(ValueError, match=r"ModelCheckpoint: filepath='val_los' is not known.*'val_loss'"):
        fitted(Pretend("val_loss", [1.0]), ModelCheckpoint(tmp_path / "{val_los:.2f}"), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    _, history = fitted(CSVLogger(path), epochs=2, validation_split=0.25)
    _, more = fitted(CSVLogger(path, append=True), epochs=1, validation_split=0.25)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "0"]
    for name, values in history.history.items():
        assert [float(row[name]) for row in rows] == values + more.history[name]


def test_csv_logger_closes_its_file_after_an_error(tmp_path):
    def fail(epoch, logs):
        raise OSError("no more")

    logger = CSVLogger(tmp_path / "log.csv")
    with pytest.raises(OSError, match="no more"):
        fitted(logger, LambdaCallback(on_epoch_end=fail))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2
    assert logger._file is None
    with pytest.raises(FileNotFoundError):
        fitted(CSVLogger(tmp_path / "none" / "log.csv"))


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_terminate_on_nan(capsys):
    x, y = blobs(64)
    x[40] = np.nan
    model = network()
    history = model.fit(x, y, epochs=5, callbacks=TerminateOnNaN(), verbose=0, allow_nonfinite=True)
    assert history.epoch == [0]
    assert capsys.readouterr().out == "TerminateOnNaN: the loss is nan after 64 rows of the epoch: training ends\n"
    with pytest.raises(RuntimeError, match="TerminateOnNaN: the loss is nan after"):
        model.fit(x, y, callbacks=TerminateOnNaN(raise_error=True), verbose=0, allow_nonfinite=True)


def test_lambda_callback():
    calls = []
    names = ("train_begin", "train_end", "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end")
    hooks = {f"on_{n}": lambda *a, n=n: calls.append(n) for n in (*names, "test_end")}
    fitted(LambdaCallback(**hooks, close=lambda: calls.append("close")), epochs=1, validation_split=0.5)
    batch = ["train_batch_begin", "train_batch_end"]
    assert calls == ["train_begin", "epoch_begin", *batch, "test_end", "epoch_end", "train_end", "close"]
    assert not LambdaCallback(on_epoch_end=print).per_batch
    assert LambdaCallback(on_train_batch_end=print).per_batch
    assert not ModelCheckpoint("m").per_batch
    assert ModelCheckpoint("m", save_freq=1).per_batch


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: EarlyStopping(monitor=3), ["EarlyStopping", "monitor", "3"]),
        (lambda: EarlyStopping(mode="mini"), ["EarlyStopping", "mode='mini'", "'min'"]),
        (lambda: EarlyStopping(patience=-1), ["EarlyStopping", "patience", "at least 0", "-1"]),
        (lambda: EarlyStopping(patience=1.5), ["EarlyStopping", "patience", "1.5"]),
        (lambda: EarlyStopping(min_delta="no"), ["EarlyStopping", "min_delta", "'no'"]),
        (lambda: EarlyStopping(baseline=float("nan")), ["EarlyStopping", "baseline", "nan"]),
        (lambda: EarlyStopping(restore_best_weights=1), ["EarlyStopping", "restore_best_weights", "1"]),
        (lambda: EarlyStopping(start_from_epoch=-2), ["EarlyStopping", "start_from_epoch", "-2"]),
        (lambda: ReduceLROnPlateau(factor=1.0), ["ReduceLROnPlateau", "factor", "below 1.0"]),
        (lambda: ReduceLROnPlateau(factor=0), ["ReduceLROnPlateau", "factor", "above 0.0"]),
        (lambda: ReduceLROnPlateau(min_lr=-1), ["ReduceLROnPlateau", "min_lr", "-1"]),
        (lambda: ReduceLROnPlateau(cooldown=None), ["ReduceLROnPlateau", "cooldown", "None"]),
        (lambda: ModelCheckpoint(3), ["ModelCheckpoint", "filepath", "3"]),
        (lambda: ModelCheckpoint("m.keras"), ["ModelCheckpoint", "filepath", "best.safetensors", "m.keras"]),
        (lambda: ModelCheckpoint("/"), ["ModelCheckpoint", "filepath", "'/'"]),
        (lambda: ModelCheckpoint("{epoch"), ["ModelCheckpoint", "filepath", "a format", "{epoch"]),
        (lambda: ModelCheckpoint("m", save_freq="batch"), ["ModelCheckpoint", "save_freq", "'epoch'", "'batch'"]),
        (lambda: ModelCheckpoint("m", save_freq=0), ["ModelCheckpoint", "save_freq", "at least 1"]),
        (lambda: LearningRateScheduler(0.1), ["LearningRateScheduler", "schedule", "0.1"]),
        (lambda: CSVLogger(3), ["CSVLogger", "filename", "3"]),
        (lambda: CSVLogger("log.csv", separator="::"), ["CSVLogger", "separator", "one character", "'::'"]),
        (lambda: TerminateOnNaN("yes"), ["TerminateOnNaN", "raise_error", "'yes'"]),
        (lambda: LambdaCallback(on_epoch_end=3), ["LambdaCallback", "on_epoch_end", "3"]),
        (lambda: LambdaCallback(on_epoch_ends=print), ["LambdaCallback", "'on_epoch_ends'", "'on_epoch_end'"]),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
