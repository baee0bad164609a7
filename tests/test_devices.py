"""Where models run: the choice of a device, what is said where there is none, and models that move."""

import subprocess
import sys

import numpy as np
import pytest

import evenflow
from evenflow import callbacks, layers, losses
from evenflow.common import devices
from evenflow.models.cloning import clone_model, twin

GPU = devices.describe_gpu()
needs_gpu = pytest.mark.skipif(isinstance(GPU, str), reason=f"no model runs on a GPU here: {GPU}")


def model(**options):
    """A small network, the same each time."""
    evenflow.set_seed(3)
    made = evenflow.Sequential(
        [
            layers.Input((12,)),
            layers.Dense(40, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("elu"),
            layers.Dropout(0.1),
            layers.Dense(3, activation="softmax"),
        ]
    )
    made.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return made


def data(rows=300):
    generator = np.random.default_rng(5)
    y = generator.integers(0, 3, rows)
    return (generator.standard_normal((rows, 12)) + 2 * np.eye(3, 12)[y]).astype(np.float32), y


@pytest.fixture
def default():
    """The device of the process, as it was before."""
    before = evenflow.get_device()
    yield
    evenflow.set_device(before)


def test_cpu_is_the_default():
    assert evenflow.get_device() == "cpu"
    assert model().device == "cpu"
    assert model(device="cpu").device == "cpu"


def test_clones_run_where_the_model_does(monkeypatch):
    for copied in (clone_model, twin):
        chosen, other = copied(model(device="cpu")), copied(model())
        with monkeypatch.context() as patch:
            patch.setattr(devices, "default_device", "cuda")
            assert (chosen.device, other.device) == ("cpu", "cuda")


@pytest.mark.parametrize("call", [evenflow.set_device, lambda device: model(device=device)])
def test_unknown_devices(call):
    with pytest.raises(ValueError, match="device: expected 'cpu' or 'cuda', received 'tpu'"):
        call("tpu")


@pytest.mark.skipif(not isinstance(GPU, str), reason="there is a GPU")
def test_what_is_missing_is_said():
    for call in (evenflow.set_device, lambda device: model(device=device)):
        with pytest.raises(
            RuntimeError, match=r"device 'cuda': (this build has no extension|no program runs on a GPU)"
        ):
            call("cuda")
    trained = model()
    with pytest.raises(RuntimeError, match="device 'cuda'"):
        trained.device = "cuda"
    trained.fit(*data(), verbose=0)  # where it was
    assert evenflow.get_device() == "cpu"


def test_the_extension_is_loaded_on_demand():
    code = (
        "import sys, numpy as np, evenflow; m = evenflow.Sequential([evenflow.layers.Dense(2)]);"
        "m.compile(loss='mse'); m.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0);"
        "print('evenflow._cuda' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["GradientNorms", "TensorBoard"])
def test_gradient_norms_are_refused_before_anything_is_done(name, monkeypatch, tmp_path):
    if name == "TensorBoard":
        pytest.importorskip("tensorboardX")
    callback = callbacks.GradientNorms() if name == "GradientNorms" else callbacks.TensorBoard(tmp_path / "logs")
    trained, seen = model(), []
    before = trained.get_weights()
    monkeypatch.setattr(devices, "default_device", "cuda")
    with pytest.raises(ValueError, match=rf"^fit: callbacks: {name} .* 'cuda': .*write_gradient_norms=False"):
        trained.fit(*data(), callbacks=[callbacks.LambdaCallback(on_train_begin=seen.append), callback], verbose=0)
    assert not seen
    assert trained.history is None
    assert not (tmp_path / "logs").exists()
    for a, b in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------------------------------------------------------- a GPU


@needs_gpu
def test_training_is_what_it_is_on_the_processor():
    x, y = data()
    histories, found = [], []
    for device in ("cpu", "cuda"):
        trained = model(device=device)
        history = trained.fit(x, y, batch_size=32, epochs=3, validation_split=0.2, verbose=0)
        histories.append(history.history)
        found.append((trained.evaluate(x, y, return_dict=True), trained.predict(x), trained.get_weights()))
    assert histories[0].keys() == histories[1].keys()
    for key in histories[0]:
        np.testing.assert_allclose(histories[1][key], histories[0][key], rtol=2e-4)
    np.testing.assert_allclose(found[1][0]["loss"], found[0][0]["loss"], rtol=2e-4)
    np.testing.assert_allclose(found[1][1], found[0][1], atol=2e-4)
    for gpu, cpu in zip(found[1][2], found[0][2], strict=True):
        np.testing.assert_allclose(gpu, cpu, atol=2e-3)


@needs_gpu
def test_a_model_moves_with_its_weights_and_its_optimizer(tmp_path):
    x, y = data()
    moving, staying = model(), model()
    for epoch, device in enumerate(("cpu", "cuda", "cpu", "cuda")):
        moving.device = device
        for trained in (moving, staying):
            trained.fit(x, y, batch_size=64, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
    assert moving.optimizer.iterations == staying.optimizer.iterations
    np.testing.assert_allclose(moving.predict(x), staying.predict(x), atol=1e-3)
    moving.save(tmp_path / "moving.evenflow")
    loaded = evenflow.models.load_model(tmp_path / "moving.evenflow")
    assert loaded.device == "cpu"
    np.testing.assert_allclose(loaded.predict(x), moving.predict(x), atol=1e-5)
    loaded.device = "cuda"
    np.testing.assert_array_equal(loaded.predict(x), moving.predict(x))


@needs_gpu
def test_the_device_of_the_process(default):
    x, y = data()
    evenflow.set_device("cuda")
    trained = model()
    assert trained.device == "cuda"
    trained.fit(x, y, verbose=0)
    assert str(trained.plan()).startswith("Program: float32, cuda")
    evenflow.set_device("cpu")
    before = trained.get_weights()
    trained.predict(x)
    assert "cuda" not in trained.plan()
    for a, b in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_gpu
def test_callbacks_and_weights_of_rows_and_classes():
    x, y = data()
    trained = model(device="cuda")
    seen = []
    history = trained.fit(
        x,
        y,
        batch_size=50,
        epochs=20,
        validation_data=(x, y),
        class_weight={0: 2.0},
        callbacks=[
            callbacks.EarlyStopping(patience=1, restore_best_weights=True, min_delta=0.5),
            callbacks.ReduceLROnPlateau(patience=1),
            callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch)),
        ],
        verbose=0,
    )
    assert seen[:6] == list(range(6))
    assert len(history.epoch) < 20
    trained.fit(x, y, sample_weight=np.linspace(0, 1, len(x)), verbose=0)
    assert trained.train_on_batch(x[:10], y[:10], return_dict=True)["loss"] > 0
    assert trained.test_on_batch(x[:10], y[:10], return_dict=True)["loss"] > 0


@needs_gpu
def test_arrays_that_changed_are_seen():
    x, y = data()
    trained = model(device="cuda")
    before = trained.evaluate(x, y)[0]
    x *= 3
    assert trained.evaluate(x, y)[0] != before


@needs_gpu
def test_what_the_gpu_does_not_run_leaves_the_model_as_it_was():
    x, y = data()
    trained = model(device="cuda")
    trained.fit(x, y, verbose=0)
    before = trained.get_weights()
    with pytest.raises(ValueError, match="expected a model on the device 'cpu'"):
        trained.fit(x, y, callbacks=[callbacks.Health()], verbose=0)
    with pytest.raises(ValueError, match="GradientNorms needs gradient norms: expected a model on the device 'cpu'"):
        trained.fit(x, y, callbacks=[callbacks.GradientNorms()], verbose=0)
    with pytest.raises(ValueError, match="forward: argument 'self': expected a program on the CPU"):
        trained(x, training=True)
    for a, b in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    branching = evenflow.Sequential(
        [layers.Input((12,)), layers.Dense(12), layers.PReLU(shared_axes=[1]), layers.Dense(3)]
    )
    branching.compile(loss=losses.SparseCategoricalCrossentropy(from_logits=True), device="cuda")
    with pytest.raises(ValueError, match="device 'cuda': expected a chain"):
        branching.fit(x, y, verbose=0)
    branching.device = "cpu"
    branching.fit(x, y, verbose=0)
