"""The TensorBoard callback, read back from the event files it writes."""

import struct
import sys

import numpy as np
import pytest
from example import blobs, network, state

import evenflow
from evenflow.callbacks import BackupAndRestore, GradientNorms, LambdaCallback, TensorBoard

pytest.importorskip("tensorboardX")
X, Y = blobs(100)


def events(folder, *, once=False):
    """The summaries of all event files of a folder: (tag, step) -> value, each written once if that is asked."""
    from tensorboardX.proto import event_pb2

    found = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                assert not (once and (value.tag, event.step) in found)
                found[value.tag, event.step] = getattr(value, kind)
    return found


def scalars(found, tag):
    return [value for (name, _), value in sorted(found.items(), key=lambda item: item[0][1]) if name == tag]


def test_scalars_norms_and_histograms(tmp_path):
    model, plain = network(), network()
    board = TensorBoard(tmp_path / "logs", histogram_freq=2, write_steps_per_second=True)
    history = model.fit(X, Y, epochs=3, validation_split=0.2, callbacks=[board], verbose=0).history
    norms = plain.fit(X, Y, epochs=3, validation_split=0.2, callbacks=[GradientNorms()], verbose=0).history
    assert state(model) == state(plain)
    train, validation = events(tmp_path / "logs" / "train"), events(tmp_path / "logs" / "validation")
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(scalars(train, f"epoch_{name}"), history[name], rtol=1e-6)
        np.testing.assert_allclose(scalars(validation, f"epoch_{name}"), history[f"val_{name}"], rtol=1e-6)
        np.testing.assert_allclose(
            scalars(validation, f"evaluation_{name}_vs_iterations"), history[f"val_{name}"], rtol=1e-6
        )
    assert ("evaluation_loss_vs_iterations", 9) in validation
    for name in ("gradient_norm", "gradient_norm/hidden/kernel", "gradient_norm/top/bias"):
        np.testing.assert_allclose(scalars(train, f"epoch_{name}"), norms[name], rtol=1e-6)
    np.testing.assert_allclose(scalars(train, "epoch_learning_rate"), [1e-3] * 3, rtol=1e-6)
    assert min(scalars(train, "epoch_steps_per_second")) > 0
    steps = {step for tag, step in train if tag == "hidden/kernel/histogram"}
    assert steps == {0, 2}
    for variable in model.variables:
        histogram = train[f"{variable.path}/histogram", 2]
        values = variable.numpy().astype(np.float64)
        assert histogram.num == values.size
        np.testing.assert_allclose([histogram.min, histogram.max], [values.min(), values.max()], rtol=1e-6)
        np.testing.assert_allclose(histogram.sum, values.sum(), rtol=1e-6, atol=1e-6)
    assert any(tag.startswith("network") for tag, _ in train)


def test_batches(tmp_path):
    seen = []
    model = network()

    class Keep(TensorBoard):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["loss"])
            super().on_train_batch_end(batch, logs)

    board = Keep(tmp_path, update_freq=2, write_graph=False, write_gradient_norms=False)
    model.fit(X, Y, epochs=2, callbacks=[board], verbose=0)
    train = events(tmp_path / "train")
    assert [step for tag, step in sorted(train) if tag == "batch_loss"] == [2, 4, 6, 8]
    np.testing.assert_allclose(scalars(train, "batch_loss"), seen[1::2], rtol=1e-6)
    assert not any("gradient_norm" in tag or tag.startswith("network") for tag, _ in train)
    assert not (tmp_path / "validation").exists()
    assert TensorBoard(update_freq="batch").per_batch
    assert not TensorBoard().per_batch


def test_evaluate_and_files_that_are_closed(tmp_path):
    model = network()
    board = TensorBoard(tmp_path)
    loss, _ = model.evaluate(X, Y, callbacks=[board], verbose=0)
    found = events(tmp_path / "validation")
    np.testing.assert_allclose(found["evaluation_loss_vs_iterations", 0], loss, rtol=1e-6)
    assert board._writers == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"log_dir": 3}, ["log_dir", "a path", "3"]),
        ({"histogram_freq": -1}, ["histogram_freq", "at least 0"]),
        ({"update_freq": "step"}, ["update_freq", "'epoch'", "'step'"]),
        ({"update_freq": 0}, ["update_freq", "at least 1"]),
        ({"write_images": True}, ["write_images", "False", "True"]),
        ({"profile_batch": 2}, ["profile_batch", "0", "2"]),
        ({"embeddings_freq": 1}, ["embeddings_freq"]),
    ],
)
def test_what_is_refused(options, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        TensorBoard(**options)
    assert all(word in str(caught.value) for word in ["TensorBoard", *words]), str(caught.value)


def test_without_tensorboardx(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evenflow\[tensorboard\]'"):
        TensorBoard()


@pytest.mark.parametrize("after", [0, 1, 4, 8])  # steps: before the first, and within the epochs
def test_a_training_that_goes_on_writes_nothing_twice(tmp_path, after):
    def fit(folder, *extra):
        board = TensorBoard(tmp_path / folder, histogram_freq=1, update_freq=2)
        backup = BackupAndRestore(tmp_path / "backup", save_freq=3)
        evenflow.clear_session()
        model = network()
        model.fit(X, Y, epochs=3, validation_split=0.2, callbacks=[board, backup, *extra], verbose=0)

    def counts(folder):
        return {key: getattr(value, "sum", value) for key, value in events(tmp_path / folder, once=True).items()}

    def crash(batch, logs):
        nonlocal after
        after -= 1
        1 / (after + 1)

    fit("calm")
    foreign = tmp_path / "killed" / "train" / "events.out.tfevents.1.other"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    with pytest.raises(ZeroDivisionError):
        fit("killed", LambdaCallback(on_train_batch_end=crash))
    fit("killed")
    for folder in ("train", "validation"):
        assert counts(f"killed/{folder}") == counts(f"calm/{folder}")
    assert foreign.exists()
