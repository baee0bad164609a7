"""Sequential: building, freezing, sharing layers, reading data; where weights and optimizer state live."""

import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from example import CLASSES, bits, blobs, network, state

import evenflow
from evenflow import layers
from evenflow.layers import BatchNormalization, Dense, Flatten, Input, LeakyReLU, Rescaling
from evenflow.models import Sequential
from evenflow.optimizers import SGD, Adam

# ------------------------------------------------------------------------------------------------------------- building


def test_layers_and_names():
    evenflow.clear_session()
    model = Sequential([Input((4,)), Dense(3), Dense(2)])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.get_layer("dense_1") is model.get_layer(index=1) is model.layers[-1]
    assert model.built
    assert (model.input_shape, model.output_shape) == ((None, 4), (None, 2))
    top = model.pop()
    assert (top.name, model.output_shape) == ("dense_1", (None, 3))
    model.add(Dense(5))
    assert (model.output_shape, model.count_params()) == ((None, 5), 15 + 20)


@pytest.mark.parametrize(
    "first",
    [
        [Input((2, 3)), Flatten()],
        [evenflow.Input(shape=(2, 3)), Flatten()],
        [Flatten(input_shape=[2, 3])],
        [Input(6)],
        [Dense(4, input_dim=6)],
    ],
)
def test_shape_comes_from_the_first_layer(first):
    model = Sequential([*first, Dense(2)])
    assert model.built
    assert model.predict(np.ones((5, *model.input_shape[1:]), np.float32)).shape == (5, 2)


@pytest.mark.parametrize("how", ["build", "fit", "predict", "evaluate", "train_on_batch"])
def test_shape_comes_from_the_first_data(how):
    model = Sequential([Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    assert not model.built
    with pytest.raises(ValueError, match="no weights yet"):
        model.get_weights()
    x, y = np.ones((4, 2, 3), np.float32), np.ones(4)
    if how == "build":
        model.build((None, 2, 3))
    elif how == "predict":
        model.predict(x)
    else:
        getattr(model, how)(x, y, **({} if how == "train_on_batch" else {"verbose": 0}))
    assert model.input_shape == (None, 2, 3)
    assert [w.shape for w in model.get_weights()] == [(6, 1), (1,)]


def test_weights_are_in_keras_order():
    model = network()
    names = [v.path.split("/")[1] for v in model.weights]
    assert names == ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"]
    assert len(model.trainable_weights) == 6
    assert [v.name for v in model.non_trainable_weights] == ["moving_mean", "moving_variance"]


def test_set_weights_round_trip():
    model, other = network(seed=1), network(seed=2)
    x, _ = blobs()
    assert not np.array_equal(model.predict(x), other.predict(x))
    other.set_weights(model.get_weights())
    assert np.array_equal(model.predict(x), other.predict(x))


def test_config_round_trip():
    model = Sequential([Input((2, 3)), Flatten(), Dense(4, LeakyReLU(0.1), kernel_initializer="he_normal"), Dense(2)])
    again = Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.spec() == model.spec()
    assert bits(again) == bits(model), "the seeds of the initializers are part of the configuration"


def test_spec_is_plain_data():
    evenflow.clear_session()
    model = Sequential([Rescaling(1 / 255, input_shape=(2, 2)), Flatten(), Dense(3, "softmax")])
    model.compile(SGD(0.1, momentum=0.9, clipnorm=1.0), "categorical_crossentropy", metrics=["acc", "mae"])
    assert model.spec() == {
        "inputs": 4,
        "layers": [
            {"kind": "rescaling", "name": "rescaling", "scale": 1 / 255, "offset": 0.0},
            {"kind": "dense", "name": "dense", "units": 3, "use_bias": True, "trainable": True},
            {"kind": "activation", "name": "dense/activation", "activation": "softmax", "parameters": {}},
        ],
        "loss": {"kind": "categorical_crossentropy", "from_logits": False},
        "metrics": ["categorical_accuracy", "mean_absolute_error"],
        "optimizer": {
            "kind": "sgd",
            "momentum": 0.9,
            "nesterov": False,
            "weight_decay": None,
            "clipvalue": None,
            "clipnorm": 1.0,
            "global_clipnorm": None,
        },
    }
    assert isinstance(model.plan(), str)


# --------------------------------------------------------------------------------------------- freezing, compiling anew


def test_frozen_layers_keep_their_bits():
    x, y = blobs()
    model = network()
    model.layers[0].trainable = model.layers[1].trainable = False
    before = bits(model)
    model.fit(x, y, epochs=2, verbose=0)
    assert bits(model)[:6] == before[:6], "a frozen batch normalization moves no averages either"
    assert bits(model)[6:] != before[6:]
    model.layers[0].trainable = True
    model.fit(x, y, verbose=0)
    assert bits(model)[:2] != before[:2]
    assert bits(model)[2:6] == before[2:6]
    model.trainable = False
    assert not model.trainable
    before = bits(model)
    model.fit(x, y, verbose=0)
    assert bits(model) == before


def test_compiling_again_keeps_weights_and_starts_the_optimizer_anew():
    x, y = blobs()
    model = network(Adam(0.01))
    model.fit(x, y, verbose=0)
    first, before = model.optimizer, bits(model)
    iterations, slots = first.state()
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert bits(model) == before
    assert model.optimizer.iterations == 0
    model.fit(x, y, verbose=0)
    assert first.state()[0] == iterations
    assert all(np.array_equal(first.state()[1][key], slots[key]) for key in slots)
    fresh = network(Adam(0.01))
    fresh.fit(x, y, verbose=0)
    fresh.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fresh.fit(x, y, verbose=0)
    assert state(fresh) == state(model)


def test_an_optimizer_serves_one_model():
    x, y = blobs()
    optimizer = Adam()
    model, other = network(optimizer), network(optimizer)
    model.fit(x, y, verbose=0)
    before = state(model), bits(other)
    with pytest.raises(ValueError, match=r"fit: optimizer 'adam' holds the state of another model"):
        other.fit(x, y, verbose=0)
    assert (state(model), bits(other)) == before


def test_layers_can_be_shared():
    x, y = blobs()
    model = network()
    model.fit(x, y, verbose=0)
    head = Sequential([*model.layers[:-1], Dense(1)])
    head.compile("sgd", "mse")
    hidden = head.predict(x)
    model.fit(x, y, verbose=0)
    assert not np.array_equal(head.predict(x), hidden), "what one model learned, the other sees"
    head.fit(x, y, verbose=0)
    assert bits(head)[:6] == bits(model)[:6]
    seen = model.predict(x)
    head.layers[0].kernel.assign(np.zeros((6, 16)))
    assert not np.array_equal(model.predict(x), seen)
    assert not model.layers[0].kernel.numpy().any()


def test_changing_the_stack_keeps_what_was_learned():
    x, y = blobs()
    model = network()
    model.fit(x, y, verbose=0)
    before = bits(model)
    model.pop()
    assert bits(model) == before[:6]
    model.add(Dense(CLASSES, "softmax"))
    assert bits(model)[:6] == before[:6]
    model.fit(x, y, verbose=0)
    assert model.predict(x).shape == (len(x), CLASSES)


def test_models_are_freed():
    x, y = blobs()
    model = network()
    model.fit(x, y, verbose=0)
    model.predict(x)
    seen = weakref.ref(model)
    del model
    gc.collect()
    assert seen() is None


# ------------------------------------------------------------------------------------------------ data, threads, dtypes


def test_data_is_read_in_any_form(tmp_path):
    x, y = blobs()
    expected = network()
    expected.fit(x, y, verbose=0)
    stored = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    stored[:] = x
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.repeat(x, 2, axis=1)[:, ::2]

    class Exported:
        def __array__(self, dtype=None, copy=None):
            return x

    class Lent:
        def __dlpack__(self, **options):
            return x.__dlpack__(**options)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    forms = [stored, read_only, np.asfortranarray(x), wide, x[::-1].copy()[::-1], x.tolist(), Exported(), Lent()]
    forms += [x.astype(np.float64), x.astype(">f4")]
    labels = [y, y.astype(np.uint8), y.astype(float), y[:, None], y.tolist(), y.astype(np.int32)[:, None]] + [y] * 4
    for form, label in zip(forms, labels, strict=True):
        model = network()
        model.fit(form, label, verbose=0)
        assert bits(model) == bits(expected)
        assert np.array_equal(model.predict(form), expected.predict(x))


def test_bytes_are_rescaled_natively():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 4, 3), dtype=np.uint8)
    stack = [Rescaling(1 / 255, input_shape=(4, 3)), Flatten(), Dense(2, kernel_initializer="ones")]
    y = Sequential(stack).predict(x)
    np.testing.assert_allclose(y[:, 0], x.reshape(50, -1).sum(1) / 255, rtol=1e-5)


def test_float64_models():
    x, y = blobs()
    model, single = network(dtype="float64"), network()
    assert np.array_equal(model.get_weights()[0].astype(np.float32), single.get_weights()[0])
    model.fit(x, y, epochs=3, verbose=0)
    single.fit(x, y, epochs=3, verbose=0)
    assert model.predict(x).dtype == np.float64
    np.testing.assert_allclose(model.predict(x), single.predict(x), atol=1e-4)


def test_threads_do_not_change_bits():
    x, y = blobs()
    trained = []
    for threads in (None, 1, 2, 3):
        model = network()
        model.fit(x, y, verbose=0, threads=threads)
        trained.append((bits(model), model.predict(x, threads=threads).tobytes()))
    assert len({str(t) for t in trained}) == 1


def test_two_models_in_two_threads():
    x, y = blobs()
    alone = [network(seed=s) for s in (1, 2)]
    for model in alone:
        model.fit(x, y, epochs=5, verbose=0)
    together = [network(seed=s) for s in (1, 2)]
    workers = [threading.Thread(target=m.fit, args=(x, y), kwargs={"epochs": 5, "verbose": 0}) for m in together]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [bits(m) for m in together] == [bits(m) for m in alone]


def test_predict_in_slices(monkeypatch):
    x, _ = blobs(1000)
    model = network()
    whole = model.predict(x)
    monkeypatch.setattr("evenflow.training.predictor.SLICE_PRODUCTS", 50_000)
    assert np.array_equal(model.predict(x), whole)
    assert np.array_equal(model.predict(x[:1]), whole[:1])


# ---------------------------------------------------------------------------------------------------------------- costs


def test_import_loads_nothing():
    code = """
import sys
import evenflow
print([name for name in ("numpy", "tqdm", "safetensors") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_one_row_prediction_makes_few_calls():
    model = Sequential([Flatten(input_shape=(784,)), *[Dense(n, "elu") for n in (300, 100)], Dense(10, "softmax")])
    x = np.ones((1, 784), np.float32)
    model.predict(x)
    calls = []
    sys.setprofile(
        lambda frame, event, argument: calls.append(frame.f_code.co_name) if event.endswith("call") else None
    )
    try:
        model.predict(x)
    finally:
        sys.setprofile(None)
    assert len(calls) < 12, calls


def test_every_layer_trains():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 2, 3)), rng.integers(0, 2, 40)
    stack = [Input((2, 3)), Rescaling(0.5), Flatten(), BatchNormalization()]
    for layer in (layers.ReLU(), layers.LeakyReLU(alpha=0.1), layers.ELU(), layers.Activation("swish")):
        stack += [Dense(5), layer]
    model = Sequential([*stack, Dense(2), layers.Softmax()])
    model.compile(SGD(0.05, momentum=0.9, nesterov=True), "sparse_categorical_crossentropy", metrics=["accuracy"])
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
