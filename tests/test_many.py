"""fit_many: the bits of training each model alone, in whatever order and by however many threads."""

import importlib.util
import os
import signal
import threading
import time

import numpy as np
import pytest

import evenflow
from evenflow import callbacks, optimizers
from evenflow.layers import BatchNormalization, Dense, Dropout, Input
from evenflow.many import FitManyError, folds_of
from evenflow.many.together import Together

ROWS, FEATURES, CLASSES = 203, 9, 3


def network(name: str, units: int = 17, rate: float = 1e-2, seed: int = 1) -> evenflow.Sequential:
    model = evenflow.Sequential(
        [
            Input((FEATURES,)),
            Dense(units, "elu", kernel_initializer=evenflow.initializers.HeNormal(seed=seed)),
            BatchNormalization(),
            Dropout(0.2, seed=seed),
            Dense(CLASSES, "softmax", kernel_initializer=evenflow.initializers.GlorotUniform(seed=seed)),
        ],
        name=name,
        seed=seed,
    )
    model.compile(optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def rows(rng):
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] ** 2).round().clip(0, CLASSES - 1).astype(np.int64)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


SETTINGS = {"a": (17, 1e-2), "b": (8, 1e-3), "c": (33, 3e-3), "d": (5, 1e-2)}


def models() -> dict[str, evenflow.Sequential]:
    return {name: network(name, *setting) for name, setting in SETTINGS.items()}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("backwards", [False, True])
def test_same_bits_as_alone(rows, threads, backwards):
    x, y = rows
    names = list(SETTINGS)[:: -1 if backwards else 1]
    together = models()
    found = evenflow.fit_many(
        {name: together[name] for name in names}, (x, y), epochs=3, batch_size=20, validation_split=0.1, threads=threads
    )
    assert [fit.name for fit in found] == names
    for name, alone in models().items():
        history = alone.fit(x, y, epochs=3, batch_size=20, validation_split=0.1, verbose=0)
        (fit,) = found.of(name)
        assert fit.model is together[name]
        assert fit.history.history == history.history
        assert fit.fold is None
        same(fit.model.get_weights(), alone.get_weights())
        assert fit.model.optimizer.iterations == alone.optimizer.iterations == 3 * 10


@pytest.mark.parametrize("threads", [1, 2])
def test_folds(rows, rng, threads):
    x, y = rows
    weight = rng.uniform(0.1, 2, ROWS)
    folds = [(np.arange(0, 100), np.arange(100, ROWS)), (np.arange(50, ROWS)[::-1], np.arange(50))]
    given = models()
    before = {name: model.get_weights() for name, model in given.items()}
    found = evenflow.fit_many(given, (x, y, weight), folds, epochs=2, batch_size=16, threads=threads)
    assert [(fit.name, fit.fold) for fit in found] == [(name, fold) for fold in (0, 1) for name in SETTINGS]
    for fit in found:
        same(given[fit.name].get_weights(), before[fit.name])  # untouched
        training, test = folds[fit.fold]
        alone = network(fit.name, *SETTINGS[fit.name])
        history = alone.fit(x[training], y[training], 16, 2, sample_weight=weight[training], verbose=0)
        same(fit.model.get_weights(), alone.get_weights())
        assert fit.history.history == history.history
        scores = alone.evaluate(x[test], y[test], 16, 0, weight[test], return_dict=True)
        assert fit.scores == scores
        assert fit.seconds > 0
    table = found.scores("accuracy")
    assert list(table) == list(SETTINGS)
    assert table["c"].tolist() == [fit.scores["accuracy"] for fit in found.of("c")]


def test_numbered_folds_have_each_class_in_its_share(rows):
    x, y = rows
    found = evenflow.fit_many([network("a")], (x, y), 4, epochs=1, validate=True, seed=5)
    again = evenflow.fit_many([network("a")], (x, y), 4, epochs=1, validate=True, seed=5)
    other = evenflow.fit_many([network("a")], (x, y), 4, epochs=1, validate=True, seed=6)
    assert len(found) == 4
    assert [fit.scores for fit in found] == [fit.scores for fit in again] != [fit.scores for fit in other]
    for fit in found:
        assert fit.history.history["val_loss"][-1] == fit.scores["loss"]

    for classes in (None, y):
        folds = folds_of("here", 4, ROWS, classes=classes, seed=1)
        tested = np.concatenate([test for _, test in folds])
        assert sorted(tested) == list(range(ROWS))
        for training, test in folds:
            assert sorted([*training, *test]) == list(range(ROWS))
            assert abs(len(test) - ROWS / 4) < 1
            if classes is not None:
                expected = np.bincount(y) / 4
                assert (np.abs(np.bincount(y[test], minlength=CLASSES) - expected) < 1).all()


def test_own_arguments_and_callbacks(rows):
    x, y = rows
    stopping = callbacks.EarlyStopping("loss", patience=0, min_delta=10.0)
    found = evenflow.fit_many(
        [network("a"), (network("b"), {"epochs": 5, "batch_size": 50})], (x, y), epochs=3, callbacks=[stopping]
    )
    assert [len(fit.history.epoch) for fit in found] == [2, 2]
    assert not hasattr(stopping, "model")  # each has a copy
    made = []

    def make():
        made.append(callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None))
        return made[-1:]

    found = evenflow.fit_many([network("a"), (network("b"), {"epochs": 5})], (x, y), epochs=3, callbacks=make)
    assert [len(fit.history.epoch) for fit in found] == [3, 5]
    assert len(made) == 2


def test_copies_of_what_writes_files_are_refused(rows, tmp_path):
    x, y = rows
    given = models()
    before = {name: model.get_weights() for name, model in given.items()}
    tensorboard = [callbacks.TensorBoard(tmp_path / "log")] if importlib.util.find_spec("tensorboardX") else []
    for writer in (
        callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False),
        callbacks.CSVLogger(tmp_path / "log.csv"),
        callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "loss"),
        *tensorboard,
    ):
        with pytest.raises(ValueError, match=f"callbacks: .* 4 .*{type(writer).__name__} would write the same files"):
            evenflow.fit_many(given, (x, y), callbacks=[callbacks.TerminateOnNaN(), writer])
        with pytest.raises(ValueError, match="2 trainings"):
            evenflow.fit_many([given["a"]], (x, y), 2, callbacks=[writer])
    assert not list(tmp_path.iterdir())
    for name, model in given.items():
        same(model.get_weights(), before[name])
    evenflow.fit_many([given["a"]], (x, y), epochs=2, callbacks=[callbacks.CSVLogger(tmp_path / "log.csv")])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3

    def make(name, fold):
        return [callbacks.BackupAndRestore(tmp_path / f"{name}{fold}", delete_checkpoint=False)]

    found = evenflow.fit_many(given, (x, y), 2, epochs=1, callbacks=make)
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv"} | {f"{fit.name}{fit.fold}" for fit in found}
    seen = []
    evenflow.fit_many(given, (x, y), epochs=1, callbacks=lambda name: seen.append(name), threads=1)
    assert seen == list(given)


class Fails(callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if self.model.name == "b":
            raise OSError("no room")


def test_a_failure_is_named_and_the_others_go_on(rows):
    x, y = rows
    before = threading.active_count()
    with pytest.raises(FitManyError, match=r"1 of 4.*'b': OSError: no room") as caught:
        evenflow.fit_many(models(), (x, y), epochs=2, callbacks=[Fails()], threads=2)
    assert threading.active_count() == before
    results = caught.value.results
    assert [fit.name for fit in caught.value.failed] == ["b"]
    assert isinstance(results.of("b")[0].error, OSError)
    for name in "acd":
        alone = network(name, *SETTINGS[name])
        alone.fit(x, y, epochs=2, verbose=0)
        same(results.of(name)[0].model.get_weights(), alone.get_weights())
    with pytest.raises(FitManyError, match=r"'b', fold 1: OSError") as caught:
        evenflow.fit_many(models(), (x, y), 2, epochs=1, callbacks=[Fails()])
    table = caught.value.results.scores("loss")
    assert np.isnan(table["b"]).all()
    assert np.isfinite(table["a"]).all()


@pytest.fixture
def interruptible():
    """A process that was started in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt(rows, threads):
    x, y = rows
    given = models()
    before, done = threading.active_count(), []
    epochs = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: done.append(epoch))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        evenflow.fit_many(given, (x, y), epochs=10**7, callbacks=lambda: [epochs], threads=threads)
    assert time.monotonic() - begin < 30
    timer.join()
    assert threading.active_count() == before
    assert done
    for model in given.values():
        assert all(np.isfinite(weight).all() for weight in model.get_weights())
        model.fit(x, y, verbose=0)  # all can go on


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("threads", [1, 2])
def test_more_interrupts_leave_no_thread(threads):
    begun, sent, ended = threading.Barrier(threads + 1), threading.Event(), []

    def job():
        begun.wait(30)
        team.stopped.wait(30)
        sent.wait(30)
        time.sleep(0.2)
        ended.append(True)

    def interrupt():
        begun.wait(30)
        for _ in range(4):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        sent.set()

    before = threading.active_count()
    team = Together([job] * threads, threads)
    user = threading.Thread(target=interrupt)
    user.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            team.run()
        assert ended == [True] * threads
    finally:
        user.join()
    assert threading.active_count() == before


def test_refusals_come_first(rows):
    x, y = rows
    model, other = network("a"), network("b")
    before = model.get_weights()
    cases = [
        (lambda: evenflow.fit_many("a", (x, y)), TypeError, "models"),
        (lambda: evenflow.fit_many([], (x, y)), ValueError, "models"),
        (lambda: evenflow.fit_many([1], (x, y)), TypeError, r"models\[0\]"),
        (lambda: evenflow.fit_many([model, model], (x, y)), ValueError, "'a' twice"),
        (lambda: evenflow.fit_many({"p": model, "q": model}, (x, y)), ValueError, "'p' and 'q' share layer"),
        (lambda: evenflow.fit_many([model], x), TypeError, r"data: expected \(x, y\)"),
        (lambda: evenflow.fit_many([model], (x[:5], y)), ValueError, "same number of rows"),
        (lambda: evenflow.fit_many([model], (x, y), 1), ValueError, "folds"),
        (lambda: evenflow.fit_many([model], (x, y), 500), ValueError, "folds=500"),
        (lambda: evenflow.fit_many([model], (x, y), [(np.arange(5), [ROWS])]), ValueError, r"folds\[0\]\[1\]"),
        (lambda: evenflow.fit_many([model], (x, y), [(np.arange(5), [])]), TypeError, r"folds\[0\]\[1\]"),
        (lambda: evenflow.fit_many([model], (x, y), "5"), TypeError, "folds"),
        (lambda: evenflow.fit_many([model], (x, y), epoch=5), TypeError, "Did you mean 'epochs'"),
        (lambda: evenflow.fit_many([(model, {"x": x})], (x, y)), TypeError, "model 'a': there is no argument 'x'"),
        (lambda: evenflow.fit_many([model], (x, y), validate=True), ValueError, "validate"),
        (lambda: evenflow.fit_many([model], (x, y), threads=0), ValueError, "threads"),
        (lambda: evenflow.fit_many([model], (x, y), callbacks=[3]), TypeError, "callbacks"),
        (lambda: evenflow.fit_many([model], (x, y + 5)), ValueError, "model 'a'"),
        (lambda: evenflow.fit_many([model], (x, y, np.ones(5))), ValueError, "model 'a': sample_weight"),
        (lambda: evenflow.fit_many([model], (x, y, -np.ones(ROWS)), 2), ValueError, "model 'a': sample_weight"),
        (lambda: evenflow.fit_many([model, (other, {"batch_size": -5})], (x, y)), ValueError, "'b': batch_size: .* -5"),
        (lambda: evenflow.fit_many([model, (other, {"epochs": -1})], (x, y), 2), ValueError, "'b': epochs: .* -1"),
        (lambda: evenflow.fit_many([model], (x, y), shuffle="no"), TypeError, "'a': shuffle: .* 'no'"),
        (lambda: evenflow.fit_many([model], (x, y), validation_split=1.5), ValueError, "'a': validation_split: .* 1.5"),
        (lambda: evenflow.fit_many([model], (x, y), validation_freq=0), ValueError, "'a': validation_freq: .* 0"),
        (
            lambda: evenflow.fit_many([model], (x, y), validation_data=(x[:, :3], y)),
            ValueError,
            r"validation_data\[0\]",
        ),
        (lambda: evenflow.fit_many([model], (x, y), class_weight={0: -1.0}), ValueError, "'a': class_weight"),
        (lambda: evenflow.fit_many([model], (x, y), 2, validate="no"), TypeError, "validate: .* 'no'"),
        (
            lambda: evenflow.fit_many([model], (x, y), 2, validate=True, validation_data=(x, y)),
            ValueError,
            "'a': validate=True: expected no validation_data",
        ),
        (
            lambda: evenflow.fit_many([model], (x, y), [([0], [2])], validation_split=0.01),
            ValueError,
            "'a': validation_split=0.01: expected some rows on both sides, received 1 rows",
        ),
        (lambda: evenflow.fit_many([evenflow.Sequential([Dense(1)])], (x, y)), RuntimeError, "compile"),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
    same(model.get_weights(), before)
    assert model.optimizer.iterations == 0
    with pytest.raises(ValueError, match="name='z'"):
        evenflow.fit_many([model], (x, y)).of("z")


def test_tables_and_several_inputs(rows):
    pandas = pytest.importorskip("pandas")
    x, y = rows
    table = pandas.DataFrame(x, columns=[f"f{i}" for i in range(FEATURES)])
    (fit,) = evenflow.fit_many([network("a")], (table, y), [(np.arange(150), np.arange(150, ROWS))], epochs=1)
    alone = network("a")
    alone.fit(x[:150], y[:150], verbose=0)
    same(fit.model.get_weights(), alone.get_weights())
    assert fit.model.feature_names == tuple(table.columns)

    def two() -> evenflow.Model:
        a, b = Input((4,)), Input((5,))
        init = evenflow.initializers.GlorotUniform
        hidden = evenflow.layers.Concatenate()([Dense(6, "relu", kernel_initializer=init(1))(a), b])
        model = evenflow.Model([a, b], Dense(CLASSES, "softmax", kernel_initializer=init(2))(hidden), seed=4)
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    parts = [x[:, :4], x[:, 4:]]
    (fit,) = evenflow.fit_many([two()], (parts, y), [(np.arange(150), np.arange(150, ROWS))], epochs=1)
    alone = two()
    alone.fit([part[:150] for part in parts], y[:150], verbose=0)
    same(fit.model.get_weights(), alone.get_weights())


def test_a_callback_that_changes_the_model_is_heeded(rows):
    x, y = rows

    class Freezes(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.layers[0].trainable = epoch == 0

    model = network("a")
    (fit,) = evenflow.fit_many([model], (x, y), epochs=1)
    first = [weight.copy() for weight in fit.model.layers[0].get_weights()]
    model = network("a")
    evenflow.fit_many([model], (x, y), epochs=3, callbacks=[Freezes()])
    same(model.layers[0].get_weights(), first)  # frozen after the first epoch
