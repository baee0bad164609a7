"""Training that ended by force goes on to the same bits."""

import gc
import os
import random
import subprocess
import sys
import weakref
from pathlib import Path

import killed
import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow
from evenflow.callbacks import BackupAndRestore, Callback, EarlyStopping, LambdaCallback, OneCycle
from evenflow.models import load_model
from evenflow.optimizers import SGD

ENDS_EARLY = "ignore:fit.*(rows ended after|ran out of data)"  # which some of these trainings do on purpose


class CrashError(Exception):
    """Something that ends a training."""


class Crasher(Callback):
    """Crashes after so many steps and ends of epochs."""

    def __init__(self, after):
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise CrashError

    def on_epoch_end(self, epoch, logs=None):
        self.on_train_batch_end(0)


@pytest.mark.filterwarnings(ENDS_EARLY)
@pytest.mark.parametrize("training", killed.TRAININGS)
@pytest.mark.parametrize("optimizer", killed.OPTIMIZERS)
def test_a_crash_after_any_step_changes_nothing(tmp_path, training, optimizer):
    def run(folder, *extra):
        evenflow.clear_session()
        folder.mkdir(exist_ok=True)
        killed.train(folder, training, optimizer, extra, epochs=4)

    run(tmp_path / "calm")
    rng = random.Random(f"{training} {optimizer}")
    crashes = 0
    for number, after in enumerate((0, *rng.sample(range(1, 16), 3))):
        folder = tmp_path / str(number)
        for wait in (after, after // 2):
            try:
                run(folder, Crasher(wait))
            except CrashError:
                crashes += 1
        run(folder)
        assert killed.outcome(folder) == killed.outcome(tmp_path / "calm"), after
    assert crashes >= 4


def run_killed(tmp_path, seed, kills):
    command = [sys.executable, "-W", "ignore", str(Path(killed.__file__)), str(seed), str(kills), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= kills


def test_killed_at_any_moment(tmp_path):
    run_killed(tmp_path, seed=1, kills=6)


@pytest.mark.slow
def test_killed_a_hundred_times(tmp_path):
    run_killed(tmp_path, seed=2, kills=100)


# ------------------------------------------------------------------------------------------------------- the callback


def interrupted(folder, model=None, epochs=2, **options):
    """A backup of a training that crashed after so many epochs."""
    model = model or network()
    crash = LambdaCallback(on_epoch_begin=lambda epoch, *_: 1 / (epochs - epoch))
    backup = BackupAndRestore(folder, **options)
    with pytest.raises(ZeroDivisionError):
        model.fit(*blobs(), epochs=9, verbose=0, callbacks=[backup, crash])
    return backup


def resumed(folder, model, epochs=4, **options):
    model.fit(*blobs(), epochs=epochs, verbose=0, callbacks=[BackupAndRestore(folder, **options)])
    return model


@pytest.fixture
def calm():
    model = network()
    model.fit(*blobs(), epochs=4, verbose=0)
    return model


def test_it_goes_on_and_cleans_up(tmp_path, calm):
    interrupted(tmp_path / "backup")
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["latest.safetensors"]
    model = resumed(tmp_path / "backup", network())
    assert state(model) == state(calm)
    assert model.history.history == calm.history.history
    assert model.history.epoch == [0, 1, 2, 3]
    assert not (tmp_path / "backup").exists()


def test_the_backup_stays_if_asked_to(tmp_path, calm):
    model = resumed(tmp_path / "deep" / "backup", network(), delete_checkpoint=False)
    again = resumed(tmp_path / "deep" / "backup", network(seed=5), delete_checkpoint=False)
    assert state(again) == state(model) == state(calm)
    more = resumed(tmp_path / "deep" / "backup", network(seed=5), epochs=5)
    calm.fit(*blobs(), initial_epoch=4, epochs=5, verbose=0)
    assert state(more) == state(calm)


def test_what_is_not_the_backups_own_stays(tmp_path):
    (tmp_path / "notes.txt").touch()
    resumed(tmp_path, network())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_early_stopping_has_the_last_word(tmp_path):
    def fit(model):
        stopping = EarlyStopping("loss", patience=1, min_delta=100)
        listed = [BackupAndRestore(tmp_path, delete_checkpoint=False), stopping]
        return model.fit(*blobs(), epochs=50, verbose=0, callbacks=listed).epoch

    assert fit(network()) == [0, 1]
    assert fit(network()) == [0, 1], "a training that was over is not taken up"


def test_layers_may_have_numbered_themselves_anew(tmp_path, calm):
    again = network()
    config = again.get_config()
    for entry in config["layers"]:
        entry["config"]["name"] += "_1"
    other = type(again).from_config(config)
    other.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    interrupted(tmp_path)
    assert bits(resumed(tmp_path, other)) == bits(calm)


def test_a_rate_that_is_a_function(tmp_path):
    def rate(step):
        return 0.01 / (1 + step)

    whole = network(SGD(rate, momentum=0.9))
    whole.fit(*blobs(), epochs=4, verbose=0)
    interrupted(tmp_path, network(SGD(rate, momentum=0.9)))
    assert state(resumed(tmp_path, network(SGD(rate, momentum=0.9)))) == state(whole)


def test_one_cycle_goes_on(tmp_path):
    def fit(*extra):
        model = network(SGD(0.1, momentum=0.9))
        model.fit(*blobs(), epochs=4, verbose=0, callbacks=[OneCycle(0.2), BackupAndRestore(tmp_path), *extra])
        return model

    whole = fit()
    with pytest.raises(ZeroDivisionError):
        fit(LambdaCallback(on_epoch_begin=lambda epoch, *_: 1 / (2 - epoch)))
    again = fit()
    assert state(again) == state(whole)
    assert again.history.history == whole.history.history


def test_layers_thawed_on_the_way_stay_so(tmp_path):
    def thaw(epoch, logs=None):
        model.layers[0].trainable = epoch > 0

    model = network()
    thawing = LambdaCallback(on_epoch_begin=lambda epoch, *_: thaw(epoch) if epoch < 2 else None)
    model.fit(*blobs(), epochs=3, verbose=0, callbacks=[thawing])
    whole = state(model)
    model = network()
    crash = LambdaCallback(on_epoch_begin=lambda epoch, *_: 1 / (2 - epoch))
    with pytest.raises(ZeroDivisionError):
        model.fit(*blobs(), epochs=3, verbose=0, callbacks=[thawing, crash, BackupAndRestore(tmp_path)])
    model = network()
    model.layers[0].trainable = False
    model.fit(*blobs(), epochs=3, verbose=0, callbacks=[thawing, BackupAndRestore(tmp_path)])
    assert state(model) == whole


def test_two_backups(tmp_path, calm):
    backup = interrupted(tmp_path, double_checkpoint=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.safetensors", "previous.safetensors"]
    backup.latest.write_bytes(backup.latest.read_bytes()[:-1])
    assert state(resumed(tmp_path, network(), double_checkpoint=True)) == state(calm)
    assert not tmp_path.exists()


def test_a_damaged_backup_is_told(tmp_path):
    backup = interrupted(tmp_path)
    whole = backup.latest.read_bytes()
    broken = bytearray(whole)
    broken[-1] ^= 1  # in a weight
    for content, words in ((whole[:-1], "it is not a whole safetensors file"), (broken, "it is damaged: its checksum")):
        backup.latest.write_bytes(content)
        model = network()
        before = state(model)
        with pytest.raises(ValueError, match=rf"^BackupAndRestore: cannot use .*latest.safetensors': {words}"):
            resumed(tmp_path, model)
        assert state(model) == before


def test_backups_of_other_trainings(tmp_path):
    def refused(words, model, rows=200, **options):
        before = state(model)
        with pytest.raises(ValueError, match=rf"^BackupAndRestore: cannot use .*{words}.*remove the folder"):
            model.fit(*blobs(rows), epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)], **options)
        assert state(model) == before

    interrupted(tmp_path)
    refused("rows=200, this one has rows=100", network(), rows=100)
    refused("batch_size=32, this one has batch_size=16", network(), batch_size=16)
    refused("shuffle=True, this one has shuffle=False", network(), shuffle=False)
    refused("it is of Adam, the model has SGD", network("sgd"))
    other = network()
    other.pop()
    other.add(evenflow.layers.Dense(5, "elu"))
    other.add(evenflow.layers.Dense(3, "softmax"))
    refused("a model with other layers", other)


def test_a_backup_is_a_model_too(tmp_path):
    backup = interrupted(tmp_path)
    model = network()
    model.fit(*blobs(), epochs=2, verbose=0)
    found = load_model(backup.latest)
    assert bits(found) == bits(model)
    assert (found.position.epoch, found.position.step) == (2, 0)
    other = network(seed=9)
    other.load_weights(backup.latest)
    assert bits(other) == bits(model)


def test_what_a_killed_write_left_is_removed(tmp_path):
    backup = interrupted(tmp_path)
    stale, fresh = (tmp_path / f".{backup.latest.name}.12{digit}.0123abcd.tmp" for digit in "34")
    foreign = tmp_path / f".{backup.latest.name}.notes.tmp"
    for leftover in (stale, fresh, foreign):
        leftover.touch()
    for leftover in (stale, foreign):
        os.utime(leftover, (0, 0))
    resumed(tmp_path, network())
    assert [path for path in (stale, fresh, foreign) if path.exists()] == [fresh, foreign]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backup_dir": 3}, "backup_dir: expected the name of a folder"),
        ({"backup_dir": ""}, "backup_dir: expected the name of a folder"),
        ({"backup_dir": "b", "save_freq": "batch"}, "save_freq: expected 'epoch' or a number of steps"),
        ({"backup_dir": "b", "save_freq": 0}, "save_freq"),
        ({"backup_dir": "b", "double_checkpoint": 1}, "double_checkpoint"),
        ({"backup_dir": "b", "delete_checkpoint": "no"}, "delete_checkpoint"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((TypeError, ValueError), match=rf"^BackupAndRestore: {message}"):
        BackupAndRestore(**arguments)


def test_a_file_knows_the_epoch(tmp_path):
    model = network()
    model.fit(*blobs(), epochs=3, verbose=0)
    model.save(tmp_path / "m")
    assert load_model(tmp_path / "m").position.epoch == 3


def test_the_data_are_not_kept():
    class Array(np.ndarray):
        """One that can be referred to weakly."""

    x, y = blobs()
    x = x.view(Array)
    model = network()
    model.fit(x, y, verbose=0)
    seen = weakref.ref(x)
    del x
    gc.collect()
    assert seen() is None
