"""Saved models come back bit for bit; a file that is not one is refused without harm."""

import fcntl
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from example import bits, blobs, network, state
from safetensors import safe_open
from safetensors.numpy import load, save

import evenflow
from evenflow.layers import BatchNormalization, Dense, Flatten, Input, LeakyReLU, Rescaling
from evenflow.models import Sequential, load_model
from evenflow.optimizers import SGD, Adagrad, Adam, AdamW, Nadam, RMSprop


@pytest.fixture
def saved(tmp_path):
    """A trained model and its file."""
    model = network(Adam(0.01, clipnorm=1.0))
    model.fit(*blobs(), epochs=2, verbose=0)
    path = tmp_path / "model.safetensors"
    model.save(path)
    return model, path


def contents(path):
    with safe_open(path, framework="numpy") as file:
        return load(path.read_bytes()), file.metadata()


def test_a_model_comes_back_whole(saved):
    model, path = saved
    again = load_model(path)
    assert state(again) == state(model)
    assert again.get_config() == model.get_config()
    assert again.spec() == model.spec()
    assert again.name == model.name
    assert again.optimizer.get_config() == model.optimizer.get_config()
    x, y = blobs()
    assert np.array_equal(again.predict(x), model.predict(x))
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", SGD(0.1, momentum=0.9), Adam(0.01), Nadam(0.01), Adagrad(0.1), RMSprop(0.01, momentum=0.9, centered=True)],
)
def test_training_goes_on_where_it_stopped(tmp_path, optimizer):
    x, y = blobs()
    model = network(optimizer)
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    for m in (model, again):
        m.fit(x, y, epochs=2, verbose=0)
    assert state(again) == state(model)


def test_exclusions_from_weight_decay_come_back(tmp_path):
    x, y = blobs()
    optimizer = AdamW(0.01, weight_decay=0.5)
    model = network(optimizer)
    optimizer.exclude_from_weight_decay(var_list=[model.weights[0]], var_names=["bias"])
    model.fit(x, y, epochs=1, verbose=0)
    excluded = model.spec()["optimizer"]["undecayed"]
    assert model.weights[0].path in excluded
    assert 1 < len(excluded) < len(model.trainable_weights)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.spec() == model.spec()
    for m in (model, again):
        m.fit(x, y, epochs=1, verbose=0)
    assert state(again) == state(model)


def test_names_of_tensors(saved):
    model, path = saved
    tensors, metadata = contents(path)
    learned = [v.path for v in model.trainable_weights]
    expected = {v.path for v in model.weights} | {f"optimizer/{slot}/{p}" for slot in "mv" for p in learned}
    assert set(tensors) == expected
    assert tensors["hidden/kernel"].shape == (6, 16)
    assert (metadata["format"], metadata["format_version"]) == ("evenflow", "1")
    assert json.loads(metadata["model"]) == model.get_config()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_and_option_comes_back(tmp_path, dtype):
    stack = [
        Rescaling(1 / 255, input_shape=(2, 3)),
        Flatten(),
        Dense(4, LeakyReLU(alpha=0.05), use_bias=False, kernel_initializer="he_normal"),
        BatchNormalization(momentum=0.9, center=False, trainable=False),
        Dense(2, "gelu", trainable=False),
    ]
    model = Sequential(stack, dtype=dtype, seed=5)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.get_config() == model.get_config()
    assert bits(again) == bits(model)
    assert again.optimizer is None
    assert again.predict(np.ones((2, 2, 3))).dtype == dtype


def test_weights_alone(saved, tmp_path):
    model, path = saved
    other = network(seed=99)
    other.load_weights(path)
    assert bits(other) == bits(model)
    assert other.optimizer.iterations == 0, "load_weights leaves the optimizer alone"
    model.save_weights(tmp_path / "w")
    third = network(seed=98)
    third.load_weights(tmp_path / "w")
    assert bits(third) == bits(model)
    with pytest.raises(ValueError, match=r"load_model: .*weights only"):
        load_model(tmp_path / "w")


def test_saving_where_no_file_can_be(saved):
    model, path = saved
    with pytest.raises(FileNotFoundError, match=r"save: .*there is no folder '.*/none'$"):
        model.save(path.parent / "none" / "model.safetensors")
    with pytest.raises(IsADirectoryError, match=r"save: .* is a folder, expected the name of a file"):
        model.save_weights(path.parent)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_saving_again_replaces_the_file(saved):
    model, path = saved
    before = path.read_bytes()
    model.fit(*blobs(), verbose=0)
    with pytest.raises(FileExistsError, match="overwrite=False"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == before
    model.save(path)
    assert state(load_model(path)) == state(model)
    assert [p.name for p in path.parent.iterdir()] == [path.name], "no temporary file stays"


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    model.fit(*blobs(), verbose=0)

    def full(_):
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, lambda *_: full(_))
            with pytest.raises(OSError, match="No space left"):
                model.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_what_a_killed_write_left_goes_with_the_next(saved):
    model, path = saved
    folder, ancient = path.parent, (0, 0)
    stale = folder / f".{path.name}.123.0123abcd.tmp"
    fresh, running = (folder / f".{path.name}.124.0123abc{digit}.tmp" for digit in "ef")
    foreign = [folder / name for name in (f".{path.name}.tmp", f".other.{path.name}.1.0123abcd.tmp", "notes.tmp")]
    for leftover in (stale, fresh, running, *foreign):
        leftover.touch()
    for leftover in (stale, running, *foreign):
        os.utime(leftover, ancient)
    with running.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        model.save(path)
        assert {p.name for p in folder.iterdir()} == {p.name for p in (path, fresh, running, *foreign)}
    os.utime(fresh, ancient)
    model.save(path)
    assert {p.name for p in folder.iterdir()} == {p.name for p in (path, *foreign)}


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_write_holds_its_file(saved, monkeypatch, moment):
    model, path = saved
    function = getattr(os, moment)

    def slow(*arguments):
        for temporary in path.parent.glob("*.tmp"):
            os.utime(temporary, (0, 0))
        monkeypatch.undo()
        model.save_weights(path)  # as another process would, in the middle of this one
        function(*arguments)

    monkeypatch.setattr(os, moment, slow)
    model.save(path)
    assert state(load_model(path)) == state(model)


def test_a_link_stays_a_link(saved, tmp_path):
    model, path = saved
    link = tmp_path / "latest"
    link.symlink_to(path.name)
    model.fit(*blobs(), verbose=0)
    model.save(link)
    assert link.is_symlink()
    assert state(load_model(path)) == state(model)


def test_wrong_targets(tmp_path):
    model = network()
    for name in ("m.keras", "m.h5", "m.pt"):
        with pytest.raises(ValueError, match=r"safetensors"):
            model.save(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "m")
    for method in ("save", "save_weights"):
        with pytest.raises(ValueError, match="no weights yet"):
            getattr(Sequential([Dense(1)]), method)(tmp_path / "m")
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------------- damaged files


def refused(path, *words):
    """Both readers refuse the file in a ValueError that names it, and the model keeps its bits."""
    model = network(seed=5)
    model.train_on_batch(*blobs(32))
    before = state(model)
    with pytest.raises(ValueError, match=r"^load_weights: ") as caught:
        model.load_weights(path)
    assert path.name in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert state(model) == before
    with pytest.raises(ValueError, match=r"^load_model: ") as caught:
        load_model(path)
    assert path.name in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_model: there is no file"):
        load_model(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="load_model: there is no file"):
        load_model(tmp_path)


def test_truncated_files(saved):
    _, path = saved
    whole = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(path, "not a whole safetensors file")
    path.write_bytes(whole + b"\0")
    refused(path, "not a whole safetensors file")


def test_foreign_files(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(save({"weight": np.zeros((2, 2), np.float32)}))
    refused(path, "another program")
    path.write_bytes(save({"weight": np.zeros(2)}, {"format": "pt"}))
    refused(path, "another program")
    path.write_text("epoch,loss\n0,1.0\n")
    refused(path, "not a whole safetensors file")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
    refused(path, "not a whole safetensors file")
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    refused(path, "not a whole safetensors file")


def rewritten(path, change):
    """The file with its tensors and metadata changed."""
    tensors, metadata = contents(path)
    metadata.pop("sha256")
    change(tensors, metadata)
    path.write_bytes(save(tensors, metadata))
    return path


@pytest.mark.parametrize("version", ["2", "0", "-1", "", "one", "1.5", "9" * 40])
def test_unknown_versions(saved, version):
    refused(rewritten(saved[1], lambda t, m: m.update(format_version=version)), "format version", version)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("top/kernel"), ["no tensor 'top/kernel'"]),
        (lambda t, m: t.update({"extra/kernel": np.zeros(3)}), ["'extra/kernel'", "belongs to no variable"]),
        (lambda t, m: t.update({"optimizer/m/extra/kernel": np.zeros(3)}), ["belongs to no variable"]),
        (lambda t, m: t.update({"top/bias": np.zeros(4, np.float32)}), ["'top/bias'", "(4,)", "(3,)"]),
        (lambda t, m: t.update({"top/bias": np.zeros(3)}), ["'top/bias'", "float64", "float32"]),
        (lambda t, m: t.update({"optimizer/m/top/bias": np.zeros(9, np.float32)}), ["optimizer/m/top/bias", "(9,)"]),
    ],
)
def test_tensors_that_do_not_fit(saved, change, words):
    refused(rewritten(saved[1], change), *words)


def edited(key, change):
    def rewrite(tensors, metadata):
        value = json.loads(metadata[key])
        change(value)
        metadata[key] = json.dumps(value)

    return rewrite


@pytest.mark.parametrize(
    "change",
    [
        lambda t, m: m.update(model="{"),
        lambda t, m: m.update(model="[]"),
        lambda t, m: m.update(model="[" * 100_000),
        lambda t, m: m.update(model='{"layers": 5}'),
        lambda t, m: m.update(compile="7"),
        lambda t, m: m.pop("state"),
        lambda t, m: m.update(state='{"shuffle": {"bit_generator": "PCG64"}, "iterations": 1}'),
        edited("state", lambda s: s.update(iterations=-1)),
        edited("state", lambda s: s["shuffle"].update(bit_generator="MT19937")),
        edited("state", lambda s: s["shuffle"]["state"].update(state=-1)),
        edited("model", lambda c: c.pop("name")),
        edited("model", lambda c: c.update(dtype="int8")),
        edited("model", lambda c: c.update(build_input_shape=[None, 10**30])),
        edited("model", lambda c: c.update(build_input_shape="784")),
        edited("model", lambda c: c["layers"][1].update(class_name="os.system")),
        edited("model", lambda c: c["layers"][1].update(class_name=["Dense"])),
        edited("model", lambda c: c["layers"][1].update(config=3)),
        edited("model", lambda c: c["layers"][1]["config"].update(units=10**18)),
        edited("model", lambda c: c["layers"][1]["config"].update(units=-3)),
        edited("model", lambda c: c["layers"][1]["config"].update(activation="exec")),
        edited("model", lambda c: c["layers"][1]["config"].update(activation={"kind": "elu", "parameters": {}})),
        edited(
            "model", lambda c: c["layers"][1]["config"].update(kernel_initializer={"class_name": "X", "config": {}})
        ),
        edited("model", lambda c: c["layers"].append("relu")),
        edited("model", lambda c: c["layers"].append("dense")),
        edited("compile", lambda c: c["optimizer"].update(class_name="Adma")),
        edited("compile", lambda c: c["optimizer"]["config"].update(learning_rate="fast")),
        edited("compile", lambda c: c.update(loss={"class_name": "eval", "config": {}})),
        edited("compile", lambda c: c.update(metrics=["accurac"])),
        edited("compile", lambda c: c.update(metrics=5)),
    ],
)
def test_descriptions_that_do_not_hold(saved, change):
    path = rewritten(saved[1], change)
    with pytest.raises(ValueError, match=r"^load_model: cannot use .*model\.safetensors") as caught:
        load_model(path)
    assert "does not hold" in str(caught.value) or "tensor" in str(caught.value)


def test_any_changed_byte_gives_a_model_or_a_value_error(saved):
    _, path = saved
    whole = bytearray(path.read_bytes())
    (header,) = struct.unpack("<Q", whole[:8])
    rng = np.random.default_rng(0)
    survivors = 0
    for position in rng.integers(0, 8 + header, 300):
        broken = bytearray(whole)
        broken[position] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            model = load_model(path)
        except ValueError as error:
            assert str(error).startswith("load_model: cannot use")
        else:
            survivors += 1
            assert len(model.get_weights()) == 8
    assert survivors < 300


def test_names_in_a_file_do_not_reach_other_files(saved):
    _, path = saved
    before = set(Path(path.parent).rglob("*"))
    edit = edited("model", lambda c: c["layers"][1]["config"].update(name="../../etc/passwd"))
    with pytest.raises(ValueError, match="'/'"):
        load_model(rewritten(path, edit))
    assert set(Path(path.parent).rglob("*")) == before


def test_an_old_file_still_loads(tmp_path):
    evenflow.set_seed(0)
    model = Sequential([Input((2,), name="in"), Dense(1, name="d", kernel_initializer="ones")], name="m")
    model.save(tmp_path / "m")
    tensors, metadata = contents(tmp_path / "m")
    assert {k: v.tolist() for k, v in tensors.items()} == {"d/kernel": [[1], [1]], "d/bias": [0]}
    assert set(metadata) == {"format", "format_version", "model", "sha256", "state"}
