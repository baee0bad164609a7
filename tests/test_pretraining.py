"""Pretraining: what each function trains, what it leaves alone, and what it refuses."""

import numpy as np
import pytest
from pretraining_case import bits, built, generator, hidden, rows

import evenflow
from evenflow import pretraining
from evenflow.callbacks import BackupAndRestore, Callback, EarlyStopping, History, LambdaCallback
from evenflow.initializers import Zeros
from evenflow.layers import (
    BatchNormalization,
    Dense,
    DenseTranspose,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Input,
    LeakyReLU,
    PReLU,
    Rescaling,
)
from evenflow.models import Sequential, clone_model, load_model
from evenflow.optimizers import SGD, Adam


def call(kind, of_hidden, x=None, **options):
    """Any of the functions, for what they have in common."""
    x = rows().astype(np.float32) if x is None else x
    options = {"verbose": 0, "epochs": 2} | options
    if kind == "gan":
        return pretraining.gan(of_hidden, generator(), x, **options)
    if kind == "auxiliary":
        return pretraining.auxiliary(of_hidden, x, np.arange(len(x)) % 2, **options)
    return pretraining.autoencoder(of_hidden, x, greedy=kind == "greedy", **options)


KINDS = ("stacked", "greedy", "auxiliary", "gan")
every_kind = pytest.mark.parametrize("kind", KINDS)


# ------------------------------------------------------------------------------------------------------- all functions


@every_kind
def test_a_copy_is_trained(kind):
    model = built("float32")
    before = bits(model)
    found = call(kind, model)
    assert bits(model) == before
    assert model.optimizer is None
    assert [layer.name for layer in found.layers] == ["one", "two"]
    assert all(layer is not own for layer, own in zip(found.layers, model.layers, strict=True))
    assert not np.array_equal(found.layers[0].kernel.numpy(), model.layers[0].kernel.numpy())
    assert len(found.histories) == (2 if kind == "greedy" else 1)
    for history in found.histories:
        assert history.epoch == [0, 1]
        assert all(np.isfinite(values).all() for values in history.history.values())
    network = Sequential([Input((8,)), *found.layers, Dense(2, "softmax")])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(rows(), np.arange(60) % 2, epochs=1, verbose=0)


@every_kind
def test_it_starts_from_the_weights_that_are_there(kind):
    model = built("float32")
    found = call(kind, model, optimizer=SGD(0.0))
    assert [w.tobytes() for layer in found.layers for w in layer.get_weights()] == bits(model)


def test_it_starts_from_the_table_that_an_embedding_was_given():
    table = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    x = np.arange(30).reshape(10, 3) % 6
    for fresh in (True, False):
        layers = [Embedding(6, 2, weights=table, trainable=False), Flatten(), Dense(4, "elu")]
        given = layers if fresh else Sequential([Input((3,)), *layers])
        found = pretraining.auxiliary(given, x, np.arange(10) % 2, epochs=1, verbose=0)
        assert np.array_equal(found.layers[0].get_weights()[0], table)
    clone = clone_model(Sequential([Embedding(6, 2, weights=table), Flatten(), Dense(4)]))
    clone.build((None, 3))
    assert np.array_equal(clone.get_weights()[0], table)


@every_kind
def test_layers_that_have_no_weights_yet_stay_without(kind):
    layers = hidden()
    call(kind, layers)
    assert not any(layer.built for layer in layers)


@every_kind
def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads(kind):
    found = []
    for threads in (1, 2, 3, None):
        evenflow.set_seed(5)
        result = call(kind, [Dense(70, "elu"), Dropout(0.2), Dense(40, "elu")], threads=threads)
        found.append((bits(result.model), [history.history for history in result.histories]))
    assert all(one == found[0] for one in found[1:])
    evenflow.set_seed(6)
    assert bits(call(kind, [Dense(70, "elu"), Dropout(0.2), Dense(40, "elu")]).model) != found[0][0]


@every_kind
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_exception_leaves_everything_as_it_was(kind, interruption):
    model, x = built("float32"), rows().astype(np.float32)
    before, given = bits(model), x.tobytes()

    class Stop(Callback):
        def on_train_progress(self, rows, logs):
            raise interruption

    with pytest.raises(interruption):
        call(kind, model, x, callbacks=[Stop()])
    assert bits(model) == before
    assert x.tobytes() == given
    evenflow.set_seed(0)
    again = call(kind, model, x)
    evenflow.set_seed(0)
    assert bits(again.model) == bits(call(kind, model, x).model)


@every_kind
def test_early_stopping_and_per_batch_hooks(kind):
    batches = []
    callbacks = [
        EarlyStopping("discriminator_loss" if kind == "gan" else "loss", mode="min", patience=0, min_delta=1e9),
        LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch)),
    ]
    found = call(kind, built("float32"), epochs=9, callbacks=callbacks)
    assert [history.epoch for history in found.histories][-1] == [0, 1]
    assert batches[:2] == [0, 1]


@every_kind
def test_images_are_flattened_and_scaled(kind):
    x = np.random.default_rng(0).integers(0, 256, (30, 2, 4), dtype=np.uint8)
    found = call(kind, [Input((2, 4)), Rescaling(1 / 255), Flatten(), Dense(5, "elu")], x)
    assert [type(layer) for layer in found.layers] == [Rescaling, Flatten, Dense]
    assert found.model.input_shape == (None, 2, 4)
    assert len(found.model.predict(x, verbose=0)) == 30


@every_kind
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs: expected an integer of at least 1, received 0"),
        ({"batch_size": 0.5}, TypeError, "batch_size"),
        ({"callbacks": [3]}, TypeError, "callbacks"),
        ({"verbose": "loud"}, ValueError, "verbose"),
        ({"threads": 0.5}, TypeError, "threads"),
        ({"optimizer": "adm"}, ValueError, "optimizer='adm' .*'adam'"),
        ({"epoch": 3}, TypeError, "there is no argument 'epoch'.*'epochs'"),
        ({"x": np.full((4, 8), np.nan)}, ValueError, "x.*nan"),
        ({"x": rows(features=9)}, ValueError, r"x has shape \(60, 9\), expected \(rows, 8\)"),
        ({"x": rows()[0]}, ValueError, "x"),
        ({"x": "rows"}, TypeError, "x"),
        ({"of_hidden": 3}, TypeError, "hidden: expected a Sequential, or a list of layers"),
        ({"of_hidden": []}, ValueError, "hidden: expected at least one layer"),
        ({"of_hidden": [3]}, TypeError, "hidden"),
        ({"of_hidden": [Dense(3, "softmax")]}, ValueError, r"hidden.*without the output.*layers\[:-1\].*softmax"),
    ],
)
def test_what_all_of_them_refuse(kind, options, error, message):
    given = {"of_hidden": built("float32")} | options
    name = "autoencoder" if kind in ("stacked", "greedy") else kind
    with pytest.raises(error, match=f"{name}: {message}"):
        call(kind, **given)


# -------------------------------------------------------------------------------------------------------- autoencoders


def test_the_other_half_of_an_autoencoder():
    layers = [
        *(Dense(7, "elu", name="a"), Dropout(0.1)),
        *(Dense(5, name="b"), BatchNormalization(), LeakyReLU(0.3)),
        *(Dense(4, PReLU(), name="c"), Dense(3, "tanh", name="d")),
    ]
    for tied, kind in ((True, DenseTranspose), (False, Dense)):
        found = pretraining.autoencoder(layers, rows(), tied=tied, output_activation="sigmoid", epochs=1, verbose=0)
        backs = found.model.layers[-4:]
        assert [type(back) for back in backs] == [kind] * 4
        assert [back.name for back in backs] == ["d_back", "c_back", "b_back", "a_back"]
        assert [back.activation.kind for back in backs] == ["prelu", "leaky_relu", "elu", "sigmoid"]
        assert backs[1].activation.parameters == {"negative_slope": 0.3}
        assert [back.output_shape[1] for back in backs] == [4, 5, 7, 8]
    assert [layer.name for layer in found.layers] == [layer.name for layer in found.model.layers[:-4]]


def test_an_untied_half_starts_like_the_layer_it_mirrors():
    layers = [Dense(4, "elu", kernel_initializer="he_normal", name="a"), Dense(3, kernel_initializer=Zeros())]
    found = pretraining.autoencoder(layers, rows(), tied=False, optimizer=SGD(0.0), epochs=1, verbose=0)
    *_, upper, lower = found.model.layers
    assert np.all(upper.kernel.numpy() == 0)
    assert type(lower.kernel_initializer).__name__ == "HeNormal"
    assert lower.kernel_initializer.seed != found.layers[0].kernel_initializer.seed


def test_a_linear_autoencoder_finds_the_principal_components():
    x = rows(200)
    x -= x.mean(axis=0)
    values = np.linalg.svd(x, compute_uv=False)
    best = (values[2:] ** 2).sum() / x.size  # of any linear map through two units
    for tied, share in ((True, 1 + 1e-9), (False, 1.1)):  # untied, two scales settle for each other slowly
        evenflow.set_seed(1)
        model = Sequential([Input((8,)), Dense(2)], dtype="float64")
        optimizer = SGD(0.05, momentum=0.9)
        found = pretraining.autoencoder(
            model, x, tied=tied, optimizer=optimizer, batch_size=200, epochs=1000, verbose=0
        )
        assert best * (1 - 1e-9) <= found.model.evaluate(x, x, verbose=0) < share * best


def test_the_features_are_disturbed_and_given_back_undisturbed():
    x = rows()
    for noise, kind in ((0.5, GaussianNoise), (Dropout(0.3, seed=9), Dropout), (GaussianNoise(0.2), GaussianNoise)):
        found = pretraining.autoencoder(built(), x, noise=noise, epochs=3, verbose=0)
        first = found.model.layers[0]
        assert type(first) is kind
        assert first is not noise
        assert [type(layer) for layer in found.layers] == [Dense, Dense]
    by_hand = Sequential([Input((8,)), GaussianNoise(0.5, seed=4), *clone_model(built()).layers], dtype="float64")
    by_hand.set_weights(built().get_weights())
    one, two = by_hand.layers[1:]
    by_hand.add(DenseTranspose(two, "tanh"))
    by_hand.add(DenseTranspose(one))
    by_hand.compile("adam", "mse")
    by_hand.fit(x, x, epochs=3, shuffle=True, verbose=0)
    evenflow.set_seed(0)
    found = pretraining.autoencoder(built(), x, noise=GaussianNoise(0.5, seed=4), epochs=3, verbose=0)
    assert found.model.layers[0].seed == 4
    assert found.history.history["loss"][-1] == pytest.approx(by_hand.history.history["loss"][-1], rel=0.2)


def test_greedy_trains_one_layer_after_another():
    x = rows()
    evenflow.set_seed(2)
    found = pretraining.autoencoder(built(), x, greedy=True, epochs=20, optimizer=Adam(0.01), verbose=0)
    one, two = found.layers
    codes = np.tanh(x @ one.kernel.numpy() + one.bias.numpy())
    deeper = np.tanh(codes @ two.kernel.numpy() + two.bias.numpy())
    upper, lower = found.model.layers[-2:]
    of_codes = np.tanh(deeper @ two.kernel.numpy().T + upper.bias.numpy())
    of_features = codes @ one.kernel.numpy().T + lower.bias.numpy()
    for history, given, target in zip(found.histories, (of_features, of_codes), (x, codes), strict=True):
        last = history.history["loss"][-1]
        assert np.mean((given - target) ** 2) == pytest.approx(last, rel=0.15)
        assert last < 0.6 * history.history["loss"][0]
    assert np.allclose(
        found.model.predict(x, verbose=0),
        np.tanh(deeper @ two.kernel.numpy().T + upper.bias.numpy()) @ one.kernel.numpy().T + lower.bias.numpy(),
    )


@pytest.mark.parametrize("kind", ["greedy", "gan"])
def test_a_backup_is_of_one_call_of_fit(kind, tmp_path):
    name = "gan" if kind == "gan" else "autoencoder"
    backup = BackupAndRestore(tmp_path / "backup")
    with pytest.raises(ValueError, match=f"{name}: callbacks: expected no BackupAndRestore, whose backup is of one"):
        call(kind, hidden(), callbacks=[backup])
    assert not backup.backup_dir.exists()
    call("stacked", hidden(), callbacks=[backup])


def test_a_history_for_each_training_also_with_one_of_the_caller():
    evenflow.set_seed(3)
    expected = call("greedy", hidden(), epochs=3).histories
    evenflow.set_seed(3)
    given = History()
    found = call("greedy", hidden(), epochs=3, callbacks=[given]).histories
    assert [one.history for one in found] == [one.history for one in expected]
    assert found[0].history != found[1].history
    assert given.history == found[1].history


def test_loss_and_validation():
    x = np.random.default_rng(0).random((40, 8))
    options = {"loss": "binary_crossentropy", "output_activation": "sigmoid", "validation_split": 0.25}
    for greedy in (False, True):
        found = pretraining.autoencoder(hidden(), x, greedy=greedy, epochs=1, verbose=0, **options)
        assert set(found.history.history) == {"loss", "val_loss"}
        assert found.model.loss.kind == "binary_crossentropy"


def test_an_autoencoder_is_saved_like_any_model(tmp_path):
    found = call("stacked", hidden(), noise=0.1)
    found.model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(rows(), verbose=0), found.model.predict(rows(), verbose=0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tied": 1}, TypeError, "tied"),
        ({"greedy": "yes"}, TypeError, "greedy"),
        ({"noise": -0.1}, ValueError, "noise: .* at least 0.0, received -0.1"),
        ({"noise": "dropout"}, TypeError, r"noise: expected a number, or a layer such as Dropout\(0.3\)"),
        ({"noise": Dense(3)}, TypeError, "noise"),
        ({"noise": True}, TypeError, "noise"),
        ({"validation_split": 1.0}, ValueError, "validation_split"),
        ({"output_activation": "sigmiod"}, ValueError, "output_activation='sigmiod' .*'sigmoid'"),
        ({"hidden": [BatchNormalization(), Dense(3)]}, ValueError, "hidden: expected a Dense layer first"),
        ({"hidden": [Flatten()]}, ValueError, "hidden: expected .* such as Dense"),
        ({"hidden": [Rescaling(2.0), Flatten()]}, ValueError, "hidden: expected at least one Dense layer"),
        ({"hidden": [Dense(3, name="d"), DenseTranspose("d")]}, ValueError, "hidden: expected .* kernels of their own"),
    ],
)
def test_what_an_autoencoder_refuses(options, error, message):
    given = {"hidden": hidden(), "x": rows(), "verbose": 0} | options
    with pytest.raises(error, match=f"autoencoder: {message}"):
        pretraining.autoencoder(**given)
    with pytest.raises(ValueError, match="loss"):
        pretraining.autoencoder(hidden(), rows(), loss="msee", verbose=0)


# ------------------------------------------------------------------------------------------------------ auxiliary task


def test_an_auxiliary_task_of_classes_and_of_values():
    x = rows()
    found = pretraining.auxiliary(hidden(), x, np.arange(60) % 3, epochs=1, verbose=0)
    assert found.model.output_shape == (None, 3)
    assert set(found.history.history) == {"loss", "accuracy"}
    found = pretraining.auxiliary(hidden(), x, x[:, :2] * 100 + 7, epochs=60, optimizer=Adam(0.01), verbose=0)
    assert found.model.output_shape == (None, 2)
    assert found.history.history["loss"][-1] < 0.2  # in units of the variance
    found = pretraining.auxiliary(hidden(), x, np.arange(60), task="regression", epochs=1, verbose=0)
    assert found.model.output_shape == (None, 1)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (np.zeros(60, int), {}, "y: expected at least two classes"),
        (np.arange(59), {}, "y"),
        (np.arange(60), {"task": "clustering"}, "task='clustering' .*classification"),
        (np.full(60, np.nan), {}, "y.*nan"),
    ],
)
def test_what_an_auxiliary_task_refuses(y, options, message):
    with pytest.raises(ValueError, match=f"auxiliary: .*{message}"):
        pretraining.auxiliary(hidden(), rows(), y, verbose=0, **options)
