"""Embeddings, encodings and bins beside Keras 3 and PyTorch: the same losses and weights from the same start, in
float64; and what their files hold."""

import json
import os
import zipfile
from typing import Any

import numpy as np
import pytest
from entries import activation, dense, embedding, reads
from networks import SQUARED, network
from optimizer_specs import ADAM, MOMENTUM, SGD
from programs import made

import evenflow
from evenflow import convert

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]
MARGIN = {"rtol": 1e-9, "atol": 1e-11}
STEPS = 100


def entities(library: Any, own: Any, embedding: Any, **precise: Any) -> Any:
    """Two columns of ids that share a table, one with a table of its own, and numbers."""
    several, one, numbers = (library.Input((n,), name=name) for n, name in ((2, "several"), (1, "one"), (3, "numbers")))
    parts = [
        own.Flatten()(own.Embedding(30, 4, **embedding)(several)),
        own.Flatten()(own.Embedding(7, 5)(one)),
        numbers,
    ]
    hidden = own.Dense(17, "tanh")(own.Concatenate()(parts))
    return library.Model([several, one, numbers], own.Dense(2)(hidden), **precise)


def rows(rng: Any, count: int) -> list[np.ndarray]:
    return [rng.integers(0, 30, (count, 2)), rng.integers(0, 7, (count, 1)), rng.standard_normal((count, 3))]


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda library: library.optimizers.SGD(0.05),
    "momentum": lambda library: library.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adamw": lambda library: library.optimizers.AdamW(0.01, epsilon=1e-3, weight_decay=0.01, global_clipnorm=0.5),
    "adagrad": lambda library: library.optimizers.Adagrad(0.05),
}
SETTINGS: dict[str, Any] = {
    "l2": {"embeddings_regularizer": "l2"},
    "not negative": {"embeddings_constraint": "non_neg"},
    "rows of norm 1": {"embeddings_constraint": {"class_name": "UnitNorm", "config": {"axis": 1}}},
}


@pytest.mark.usefixtures("keras_float64")
@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        *((name, None) for name in OPTIMIZERS),
        *(("sgd", "l2"), ("adamw", "not negative"), ("momentum", "rows of norm 1")),
    ],
)
def test_a_hundred_steps_are_keras(optimizer, settings, rng):
    more = {} if settings is None else SETTINGS[settings]
    theirs = entities(keras, keras.layers, more)
    ours = entities(evenflow, evenflow.layers, more, dtype="float64")
    weights = [rng.standard_normal(w.shape) * 0.7 for w in theirs.get_weights()]
    x, y = rows(rng, 16 * STEPS // 4), rng.standard_normal((16 * STEPS // 4, 2))
    history = []
    for library, model in ((keras, theirs), (evenflow, ours)):
        model.set_weights(weights)
        model.compile(OPTIMIZERS[optimizer](library), "mse")
        done = model.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)
        history.append(done.history["loss"])
    np.testing.assert_allclose(history[1], history[0], **MARGIN)
    for mine, right in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, right, **MARGIN)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x, verbose=0), **MARGIN)


TORCH: dict[str, tuple[Any, Any]] = {
    "sgd": (SGD, lambda p: torch.optim.SGD(p, 0.05)),
    "momentum": ({**MOMENTUM, "torch": True}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "adam": ({**ADAM, "torch": True, "epsilon": 1e-3}, lambda p: torch.optim.Adam(p, 0.05, eps=1e-3)),
}


@pytest.mark.parametrize("optimizer", TORCH)
def test_a_hundred_steps_are_pytorchs(optimizer, rng):
    described, make = TORCH[optimizer]
    layers = [
        {"kind": "input"},
        embedding(500, 6),
        {"kind": "input", "input": 1},
        reads({"kind": "concatenate"}, 1, 2),
        dense(9),
        activation("tanh"),
        dense(2),
    ]
    program = made({**network([3, 4], layers, SQUARED), "optimizer": described}, dtype="float64", batch_size=20)
    tensors = {name: torch.tensor(program.get(name), requires_grad=True) for name, _, _ in program.variables()}
    update = make(list(tensors.values()))
    for _ in range(STEPS):
        ids, numbers, y = rng.integers(0, 500, (20, 3)), rng.standard_normal((20, 4)), rng.standard_normal((20, 2))
        loss = program.train([ids, numbers], y, learning_rate=0.05).loss / 20
        table = tensors["layer_1/embeddings"]
        rows_of = torch.nn.functional.embedding(torch.from_numpy(ids), table).flatten(1)
        h = torch.cat([rows_of, torch.from_numpy(numbers)], 1)
        h = torch.tanh(h @ tensors["layer_4/kernel"] + tensors["layer_4/bias"])
        error = h @ tensors["layer_6/kernel"] + tensors["layer_6/bias"] - torch.from_numpy(y)
        update.zero_grad()
        right = (error**2).mean()
        right.backward()
        update.step()
        assert loss == pytest.approx(right.item(), rel=1e-9)
    for name, tensor in tensors.items():
        np.testing.assert_allclose(program.get(name), tensor.detach().numpy(), **MARGIN)


def test_a_model_of_keras_with_columns_is_read_from_its_file(tmp_path, rng):
    layers = keras.layers
    ids, several, number = (keras.Input((n,), dtype=d) for n, d in ((1, "int32"), (4, "int64"), (2, "float32")))
    parts = [
        layers.Flatten()(layers.Embedding(9, 3, embeddings_regularizer="l2", name="table")(ids)),
        layers.CategoryEncoding(6, output_mode="count")(several),
        layers.Flatten()(layers.Discretization([-0.5, 0.5], output_mode="int", name="bins")(number)),
        number,
    ]
    parts[2] = layers.Flatten()(layers.Embedding(3, 2)(layers.Discretization([-0.5, 0.5])(number)))
    theirs = keras.Model([ids, several, number], layers.Dense(2)(layers.Concatenate()(parts)))
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    x = [rng.integers(0, 9, (20, 1)), rng.integers(0, 6, (20, 4)), rng.standard_normal((20, 2)).astype(np.float32)]
    np.testing.assert_allclose(model.predict(x), theirs.predict(x, verbose=0), rtol=0, atol=1e-5)
    assert model.get_layer("table").embeddings_regularizer.l2 == 0.01


def test_embeddings_go_to_keras_and_pytorch_and_back(tmp_path, rng):
    def stack(layers: Any) -> list[Any]:
        return [layers.Embedding(9, 3), layers.Flatten(), layers.Dense(2)]

    ours = evenflow.Sequential([evenflow.Input((4,)), *stack(evenflow.layers)])
    theirs = keras.Sequential([keras.Input((4,), dtype="int32"), *stack(keras.layers)])
    x = rng.integers(0, 9, (20, 4))
    convert.to_keras(ours, tmp_path / "net.weights.h5")
    theirs.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_allclose(theirs.predict(x, verbose=0), ours.predict(x), rtol=0, atol=1e-6)
    back = convert.from_keras(tmp_path / "net.weights.h5", ours)
    np.testing.assert_array_equal(back.predict(x), ours.predict(x))
    net = torch.nn.Sequential(torch.nn.Embedding(9, 3), torch.nn.Flatten(), torch.nn.Linear(12, 2))
    names = {layer.name: str(i) for i, layer in enumerate(ours.layers) if layer.variables}
    state = convert.to_torch(ours, names=names)
    net.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(x)).numpy(), ours.predict(x), rtol=0, atol=1e-6)
    again = convert.from_torch(net.state_dict(), ours)
    np.testing.assert_array_equal(again.predict(x), ours.predict(x))
    with pytest.raises(ValueError, match="does not tell the number of inputs"):
        convert.from_torch(net.state_dict(), stack(evenflow.layers))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("columns", [1, 4])
def test_encodings_of_arrays_are_keras(mode, columns, rng):
    x = rng.integers(0, 6, (11, columns))
    theirs = np.asarray(keras.layers.CategoryEncoding(6, output_mode=mode)(x))
    ours = evenflow.layers.CategoryEncoding(6, output_mode=mode)(x)
    np.testing.assert_array_equal(ours, theirs)
    assert evenflow.layers.CategoryEncoding(6, mode).compute_output_shape((columns,)) == theirs.shape[1:]


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("columns", [1, 3])
def test_bins_of_arrays_are_keras(mode, columns, rng):
    x = rng.standard_normal((50, columns)).astype(np.float32)
    x[3] = 0.5
    boundaries = [-1.0, 0.0, 0.5]
    theirs = np.asarray(keras.layers.Discretization(boundaries, output_mode=mode)(x))
    ours = evenflow.layers.Discretization(boundaries, output_mode=mode)(x)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("count", [1, 7, 99, 1234])
@pytest.mark.parametrize(("bins", "epsilon"), [(4, 0.01), (10, 0.1), (3, 0.3), (1, 0.01)])
def test_adapted_bins_are_keras(bins, epsilon, count, rng):
    x = rng.standard_normal((count, 2)).round(1)
    theirs, ours = (own.Discretization(num_bins=bins, epsilon=epsilon) for own in (keras.layers, evenflow.layers))

    def adapt_theirs(batches: list[np.ndarray]) -> None:  # what `adapt` does, which asks for TensorFlow first
        theirs.reset_state()
        for batch in batches:
            theirs.update_state(batch)
        theirs.finalize_state()

    adapt_theirs([x])
    ours.adapt(x)
    assert ours.bin_boundaries == theirs.bin_boundaries
    batches = [x[: count // 2 + 1], x[count // 2 + 1 :]]
    batches = [batch for batch in batches if len(batch)]
    adapt_theirs(batches)
    ours.adapt(batches)
    assert ours.bin_boundaries == theirs.bin_boundaries


@pytest.mark.parametrize("where_it_is", ["config", "assets"])
def test_a_lookup_in_a_file_of_keras(where_it_is, tmp_path, rng):
    """Keras makes such layers with TensorFlow only; the file is one of its own, with the words that it then writes."""
    layers = keras.layers
    theirs = keras.Sequential(
        [keras.Input((1,), dtype="int32"), layers.Embedding(4, 3), layers.Flatten(), layers.Dense(2)]
    )
    theirs.save(tmp_path / "ids.keras")
    nothing = ("max_tokens", "mask_token", "idf_weights", "salt")
    described: dict[str, Any] = dict.fromkeys(nothing) | dict.fromkeys(("sparse", "pad_to_max_tokens", "invert"), False)
    described |= {
        "num_oov_indices": 1,
        "oov_token": "[UNK]",
        "output_mode": "int",
        "encoding": "utf-8",
        "name": "words",
    }
    described |= {"vocabulary_dtype": "string", "oov_method": "floormod", "vocabulary_size": 4, "trainable": True}
    described["vocabulary"] = ["red", "green", "blue"] if where_it_is == "config" else None
    with zipfile.ZipFile(tmp_path / "ids.keras") as old, zipfile.ZipFile(tmp_path / "words.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][0]["config"]["dtype"] = "string"
                lookup = {"module": "keras.layers", "class_name": "StringLookup", "config": described}
                config["config"]["layers"].insert(1, lookup)
                content = json.dumps(config).encode()
            new.writestr(name, content)
        if where_it_is == "assets":
            new.writestr("assets/layers/string_lookup/vocabulary.txt", "[UNK]\nred\ngreen\nblue\n")
    model = convert.from_keras(tmp_path / "words.keras")
    words = np.array([["green"], ["mauve"], ["red"]], object)
    expected = theirs.predict(np.array([[2], [0], [1]]), verbose=0)
    np.testing.assert_allclose(model.predict(words), expected, rtol=0, atol=1e-6)
