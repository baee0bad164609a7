"""Files of Keras 3 as models and back: the same predictions and training, and what is refused."""

import io
import json
import os
import zipfile
from typing import Any

import numpy as np
import pytest
from example import bits, blobs

import evenflow
from evenflow import convert

os.environ["KERAS_BACKEND"] = "torch"
keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
pytest.importorskip("torch")
pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]

X, Y = blobs(90)
ROUNDING = 2e-6  # of float32, through a few layers


def stack(layers: Any) -> list[Any]:
    """Layers of Keras, or the same ones of evenflow."""
    return [
        layers.Dense(9, "elu", kernel_initializer="he_normal", kernel_regularizer="l2", name="one"),
        layers.BatchNormalization(momentum=0.8, epsilon=1e-4, name="norm"),
        layers.Dropout(0.2),
        layers.Dense(8, use_bias=False, kernel_constraint="non_neg"),
        layers.BatchNormalization(scale=False),
        layers.PReLU(),
        layers.GaussianNoise(0.1),
        layers.Dense(7, "gelu"),
        layers.LayerNormalization(),
        layers.LeakyReLU(0.1),
        layers.Activation("swish"),
        layers.Dense(3, "softmax", trainable=False),
    ]


def trained(model: Any) -> Any:
    """A model of Keras whose weights and statistics are not those of a new one."""
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=30, verbose=0)
    rng = np.random.default_rng(1)
    model.set_weights([w + 0.1 * rng.random(w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(2)
    evenflow.set_seed(2)


@pytest.fixture
def theirs() -> Any:
    return trained(keras.Sequential([keras.Input((6,)), *stack(keras.layers)], name="net"))


def same(model: Any, theirs: Any, x: Any = X, atol: float = ROUNDING) -> None:
    expected = theirs.predict(x, verbose=0)
    np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=atol * max(1, np.abs(expected).max()))


def test_whole_models(theirs, tmp_path):
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    assert isinstance(model, evenflow.Sequential)
    assert model.name == "net"
    assert [layer.name for layer in model.layers] == [layer.name for layer in theirs.layers]
    assert [layer.trainable for layer in model.layers if layer.variables][-1] is False
    for ours, given in zip(model.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(ours, given)
    same(model, theirs)
    norm = model.get_layer("norm")
    assert (norm.momentum, norm.epsilon, norm.unbiased_variance) == (0.8, 1e-4, False)
    assert model.get_layer("one").kernel_regularizer.l2 == 0.01
    assert model.optimizer is None


@pytest.mark.usefixtures("keras_float64")
def test_training_goes_on_as_theirs_does(tmp_path):
    kept = [layer for layer in stack(keras.layers) if "Dropout" not in str(layer) and "Noise" not in str(layer)]
    theirs = trained(keras.Sequential([keras.Input((6,)), *kept]))
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    assert model.dtype == "float64"
    same(model, theirs, atol=1e-12)
    for library, one in ((keras, theirs), (evenflow, model)):
        one.compile(library.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        one.fit(X.astype(np.float64), Y, batch_size=30, epochs=2, shuffle=False, verbose=0)
    for ours, given in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(ours, given, rtol=1e-8, atol=1e-10)


def test_images_and_a_model_without_input(tmp_path):
    layers = keras.layers
    theirs = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4, "relu"), layers.Dense(2)])
    x = np.random.default_rng(0).integers(0, 255, (20, 3, 4)).astype(np.float32)
    theirs.predict(x, verbose=0)
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    assert model.input_shape == (None, 3, 4)
    same(model, theirs, x)


@pytest.mark.parametrize("given", [False, True])
def test_normalized_inputs(given, tmp_path):
    layers = keras.layers
    x = (X * 3 + 5).astype(np.float32)
    first = layers.Normalization(mean=[1, 2, 3, 4, 5, 6], variance=[2] * 6) if given else layers.Normalization()
    if not given:
        first.adapt(x)
    theirs = keras.Sequential([keras.Input((6,)), first, layers.Dense(4, "relu"), layers.RMSNormalization()])
    theirs.save(tmp_path / "net.keras")
    same(convert.from_keras(tmp_path / "net.keras"), theirs, x)


def test_graphs(tmp_path):
    layers = keras.layers
    a, b = keras.Input((6,), name="a"), keras.Input((2,), name="b")
    hidden = layers.Dense(5, "relu")(layers.Concatenate()([a, b]))
    both = layers.Add()([hidden, layers.Dense(5, "tanh")(b), layers.Multiply()([hidden, hidden])])
    theirs = keras.Model([a, b], layers.Dense(2)(layers.BatchNormalization()(both)))
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    same(model, theirs, [X, X[:, :2]])
    theirs.save_weights(tmp_path / "net.weights.h5")
    again = convert.from_keras(tmp_path / "net.weights.h5", model)
    assert bits(again) == bits(model)
    with pytest.raises(ValueError, match=r"to_keras: model .* has branches"):
        convert.to_keras(model, tmp_path / "ours.weights.h5")
    x = evenflow.Input((6,))
    dense = evenflow.layers.Dense
    other = evenflow.Model(x, dense(2)(evenflow.layers.Add()([dense(5)(x), dense(5)(x)])))
    with pytest.raises(ValueError, match="a model with branches needs those of"):
        convert.from_keras(tmp_path / "net.weights.h5", other)


def test_weights_alone(theirs, tmp_path):
    theirs.save_weights(tmp_path / "net.weights.h5")
    model = convert.from_keras(tmp_path / "net.weights.h5", stack(evenflow.layers))
    assert model.input_shape == (None, 6)
    same(model, theirs)
    given = evenflow.Sequential([evenflow.Input((6,)), *stack(evenflow.layers)])
    before = bits(given)
    assert bits(convert.from_keras(tmp_path / "net.weights.h5", given)) == bits(model)
    assert bits(given) == before


def test_there_and_back(theirs, tmp_path):
    theirs.save(tmp_path / "net.keras")
    model = convert.from_keras(tmp_path / "net.keras")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.trainable = True
    model.fit(X, Y, verbose=0)
    convert.to_keras(model, tmp_path / "ours.weights.h5")
    theirs = keras.Sequential([keras.Input((6,)), *stack(keras.layers)])
    theirs.load_weights(tmp_path / "ours.weights.h5")
    for ours, given in zip(model.get_weights(), theirs.get_weights(), strict=True):
        assert np.array_equal(ours, given)
    same(model, theirs)
    assert bits(convert.from_keras(tmp_path / "ours.weights.h5", model)) == bits(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.keras", "ours.weights.h5"]


def test_what_to_keras_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"to_keras: path: expected a name that ends in .weights.h5"):
        convert.to_keras(evenflow.Sequential([evenflow.Input((2,)), evenflow.layers.Dense(1)]), tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"to_keras: model .* has no weights yet"):
        convert.to_keras(evenflow.Sequential([evenflow.layers.Dense(1)]), tmp_path / "a.weights.h5")
    with pytest.raises(TypeError, match="to_keras: model"):
        convert.to_keras(3, tmp_path / "a.weights.h5")


# ------------------------------------------------------------------------------------------- files that cannot be used


def small() -> Any:
    layers = keras.layers
    return keras.Sequential([keras.Input((6,)), layers.Dense(4, name="low"), layers.Dense(2, name="top")], name="small")


def rewritten(path: Any, description: Any = None, weights: Any = None) -> Any:
    """The archive with another description, or with other weights."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if description is not None:
        config = json.loads(parts["config.json"])
        parts["config.json"] = description(config) or json.dumps(config).encode()
    if weights is not None:
        content = io.BytesIO(parts["model.weights.h5"])
        with h5py.File(content, "r+") as file:
            weights(file)
        parts["model.weights.h5"] = content.getvalue()
    other = path.with_name("other.keras")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return other


def set_layer(place: int, key: str, value: Any) -> Any:
    return lambda config: config["config"]["layers"][place]["config"].update({key: value})


def set_class(place: int, value: str) -> Any:
    return lambda config: config["config"]["layers"][place].update(class_name=value)


def replace(name: str, value: Any, **options: Any) -> Any:
    def change(file: Any) -> None:
        del file[name]
        if value is not None:
            file.create_dataset(name, data=value, **options)

    return change


def link(file: Any) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/elsewhere.h5", "kernel")


DESCRIPTIONS = {
    "no JSON": (lambda config: b"{", "its config.json is not JSON"),
    "a list": (lambda config: b"[]", "describes no model"),
    "no layers": (lambda config: config["config"].pop("layers") and None, "does not hold here: 'layers'"),
    "a class of its own": (lambda config: config.update(class_name="Mine"), "it is a Mine, expected a Sequential"),
    "an unknown layer": (set_class(1, "Conv2D"), "layer: low='Conv2D' is not known"),
    "a nested model": (set_class(1, "Sequential"), "'Sequential' is not known"),
    "an unknown argument": (set_layer(1, "lora_rank", 4), "Dense has no argument lora_rank, which is 4"),
    "an unknown activation": (set_layer(1, "activation", "mine"), "'mine' is not known"),
    "an unknown initializer": (
        set_layer(1, "kernel_initializer", {"module": "os", "class_name": "system", "config": {}}),
        "'system' is not known",
    ),
    "half precision": (set_layer(1, "dtype", "float16"), r"\['float16', 'float32'\], expected all float32"),
    "a huge layer": (set_layer(1, "units", 10**9), r"has shape \(6, 4\), expected \(6, 1000000000\)"),
}
WEIGHTS = {
    "another shape": (
        replace("layers/dense/vars/0", np.zeros((5, 4))),
        r"'/layers/dense/vars/0' for low/kernel has shape \(5, 4\), expected \(6, 4\)",
    ),
    "a missing array": (replace("layers/dense/vars/1", None), r"layers/dense holds 1 arrays, layer 'low' has 2"),
    "a missing layer": (replace("layers/dense_1", None), r"layers/dense_1 holds 0 arrays, layer 'top' has 2"),
    "no layers": (replace("layers", None), "no weights of layers in Keras 3's layout"),
    "one layer more": (
        lambda file: file.create_dataset("layers/dense_7/vars/0", data=[1.0]),
        "takes the weights in dense_7",
    ),
    "other names": (
        lambda file: file.move("layers/dense/vars/1", "layers/dense/vars/x"),
        "expected arrays named 0 to 1",
    ),
    "a link": (link, "expected arrays named 0 to 1"),
    "words": (replace("layers/dense/vars/1", np.array([b"a", b"b", b"c", b"d"])), "expected an array of real numbers"),
    "compressed": (
        replace("layers/dense/vars/0", np.zeros((6, 4), np.float32), compression="gzip"),
        "expected 96 bytes in the file itself, uncompressed",
    ),
    "never written": (
        lambda file: (
            replace("layers/dense/vars/0", None)(file),
            file.create_dataset("layers/dense/vars/0", (6, 4), "f4"),
        ),
        "expected 96 bytes in the file itself",
    ),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions_that_do_not_hold(name, tmp_path):
    change, message = DESCRIPTIONS[name]
    small().save(tmp_path / "small.keras")
    with pytest.raises(ValueError, match=f"^from_keras: (cannot use )?'.*other.keras': .*{message}"):
        convert.from_keras(rewritten(tmp_path / "small.keras", description=change))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_fit(name, tmp_path):
    change, message = WEIGHTS[name]
    small().save(tmp_path / "small.keras")
    with pytest.raises((ValueError, TypeError), match=f"^from_keras: .*{message}"):
        convert.from_keras(rewritten(tmp_path / "small.keras", weights=change))


def test_damaged_files(theirs, tmp_path):
    theirs.save(tmp_path / "net.keras")
    theirs.save_weights(tmp_path / "net.weights.h5")
    layers = stack(evenflow.layers)
    for name, given in (("net.keras", None), ("net.weights.h5", layers)):
        content = (tmp_path / name).read_bytes()
        for end in (0, 10, len(content) // 2, len(content) - 10):
            cut = tmp_path / f"cut.{name.split('.', 1)[1]}"
            cut.write_bytes(content[:end])
            with pytest.raises(ValueError, match="from_keras: cannot use"):
                convert.from_keras(cut, given)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 1_000_000)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match="would take 1,000,000 bytes unpacked"):
        convert.from_keras(tmp_path / "bomb.keras")
    assert not any(layer.built for layer in layers)


def test_what_does_not_go_together(theirs, tmp_path):
    theirs.save(tmp_path / "net.keras")
    theirs.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ValueError, match=r"layers: expected None beside a .keras file"):
        convert.from_keras(tmp_path / "net.keras", [])
    with pytest.raises(ValueError, match="holds weights only: give the layers too"):
        convert.from_keras(tmp_path / "net.weights.h5")
    with pytest.raises(FileNotFoundError, match="from_keras: there is no file"):
        convert.from_keras(tmp_path / "other.keras")
    with pytest.raises(TypeError, match="from_keras: path"):
        convert.from_keras(3)
    shared = keras.layers.Dense(6)
    x = keras.Input((6,))
    keras.Model(x, shared(shared(x))).save(tmp_path / "shared.keras")
    with pytest.raises(ValueError, match="is called 2 times: a layer stands for one operation here"):
        convert.from_keras(tmp_path / "shared.keras")
    keras.Model(x, {"one": keras.layers.Dense(2)(x)}).save(tmp_path / "named.keras")
    with pytest.raises(ValueError, match="its inputs or outputs are a dict, expected one or a list"):
        convert.from_keras(tmp_path / "named.keras")


def test_nothing_of_keras_is_imported(tmp_path):
    import subprocess
    import sys

    theirs = small()
    theirs.save(tmp_path / "small.keras")
    code = (
        "import sys, evenflow; model = evenflow.convert.from_keras(sys.argv[1]); "
        "print(model.name, [m for m in ('keras', 'torch', 'sklearn', 'tensorflow') if m in sys.modules])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "small.keras")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["small", "[]"]
