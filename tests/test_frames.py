"""Tables of pandas and Polars, and arrays of PyTorch and JAX, as data."""

import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow
from evenflow.data import arrays
from evenflow.models import load_model

X, Y = blobs(100)
NAMES = ("age", "height", "mass", "rooms", "rent", "floor")


@pytest.fixture(params=["pandas", "polars"])
def library(request):
    return pytest.importorskip(request.param)


def table(library, x=X, names=NAMES):
    return library.DataFrame({name: x[:, column] for column, name in enumerate(names)})


# -------------------------------------------------------------------------------------------------------------- tables


def test_a_table_trains_as_its_array_does(library):
    model, expected = network(), network()
    frame, target = table(library), library.Series(Y)
    model.fit(frame, target, validation_data=(frame, target), epochs=2, verbose=0)
    expected.fit(X, Y, epochs=2, verbose=0)
    assert state(model) == state(expected)
    assert model.feature_names == NAMES
    assert expected.feature_names is None
    assert np.array_equal(model.predict(frame), expected.predict(X))
    assert model.evaluate(frame, target, verbose=0) == expected.evaluate(X, Y, verbose=0)
    assert np.array_equal(model.predict(X), expected.predict(X)), "arrays have no names to check"


@pytest.mark.parametrize("call", ["predict", "evaluate", "fit", "train_on_batch", "test_on_batch", "__call__"])
def test_names_are_checked(library, call):
    model = network()
    model.fit(table(library), Y, verbose=0)
    before = state(model)
    arguments = (Y,) if call in ("evaluate", "fit", "train_on_batch", "test_on_batch") else ()
    names = ("age", "height", "mass", "rooms", "rent", "colour")
    with pytest.raises(ValueError, match=r"x has other columns .*missing 'floor', unknown 'colour'; expected 'age'"):
        getattr(model, call)(table(library, names=names), *arguments)
    with pytest.raises(ValueError, match=r"x has other columns .*: missing 'floor'; expected"):
        getattr(model, call)(table(library, X[:, :5], NAMES[:5]), *arguments)
    with pytest.raises(ValueError, match=r"in another order: expected 'age', .*x\[list\(model.feature_names\)\]"):
        getattr(model, call)(table(library)[list(NAMES[::-1])], *arguments)
    assert state(model) == before
    model.predict(table(library)[list(NAMES[::-1])][list(model.feature_names)])


def test_names_are_kept(library, tmp_path):
    model = network()
    model.train_on_batch(table(library), Y)
    model.save(tmp_path / "model")
    folded = model.fold_batch_norm()
    for other in (load_model(tmp_path / "model"), evenflow.Sequential.from_config(model.get_config()), folded):
        assert other.feature_names == NAMES
        with pytest.raises(ValueError, match="another order"):
            other.predict(table(library)[list(NAMES[::-1])])
    alone = evenflow.Sequential([evenflow.layers.Dense(1)])
    alone.compile("sgd", "mse")
    alone.fit(table(library), Y, verbose=0)
    alone.pop()
    assert alone.feature_names is None, "of the input, which is unknown again"


def test_columns_of_different_types(library):
    frame = library.DataFrame({"whole": np.arange(4), "part": np.arange(4) / 8, "yes": np.arange(4) > 1})
    array = arrays.as_array("predict", "x", frame)
    assert array.dtype == np.float64
    assert array.tolist() == [[n, n / 8, float(n > 1)] for n in range(4)]
    text = library.DataFrame({"whole": np.arange(2), "city": ["Oslo", "Rome"]})
    with pytest.raises(TypeError, match=r"predict: x\['city'\]: expected a column of numbers .*encoded.*, received "):
        arrays.as_array("predict", "x", text)


def test_missing_values_of_tables():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": pandas.array([1, None], dtype="Int64"), "b": pandas.array([True, None], "boolean")})
    np.testing.assert_array_equal(arrays.as_array("predict", "x", frame), [[1, 1], [np.nan, np.nan]])
    frame = pandas.DataFrame(X, columns=NAMES)
    frame.iloc[3, 2] = None
    with pytest.raises(ValueError, match=r"fit: x has nan in row 3, column 2"):
        network().fit(frame, Y)


def test_numbered_columns_have_no_names():
    pandas = pytest.importorskip("pandas")
    model = network()
    model.fit(pandas.DataFrame(X), Y, verbose=0)
    assert model.feature_names is None


def test_frames_in_batches():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=NAMES)
    model = network()
    model.fit(((frame[start : start + 20], Y[start : start + 20]) for start in range(0, 100, 20)), verbose=0)
    assert model.feature_names == NAMES
    with pytest.raises(ValueError, match=r"predict: batch 0 of x: x has other columns"):
        model.predict(iter([frame.rename(columns={"age": "years"})]))


# -------------------------------------------------------------------------------------------------- tensors, in place


def test_memory_of_pandas_is_read_in_place():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=NAMES, copy=False)
    assert np.shares_memory(arrays.as_array("fit", "x", frame), X)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_tensors_are_read_in_place(name):
    library = pytest.importorskip(name)
    tensor = library.from_numpy(X) if name == "torch" else library.numpy.asarray(X)
    target = library.from_numpy(Y) if name == "torch" else library.numpy.asarray(Y)
    address = tensor.data_ptr() if name == "torch" else tensor.unsafe_buffer_pointer()
    array = arrays.as_array("fit", "x", tensor)
    assert array.ctypes.data == address
    rows = arrays.read_inputs("fit", "x", array, "float32", allow_nonfinite=False)
    assert rows.ctypes.data == address
    model, expected = network(), network()
    model.fit(tensor, target, verbose=0)
    expected.fit(X, Y, verbose=0)
    assert bits(model) == bits(expected)
    assert np.array_equal(model.predict(tensor), expected.predict(X))


@pytest.mark.peers
def test_tensors_that_need_gradients_are_explained():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"predict: x: .*detach"):
        network().predict(torch.from_numpy(X).requires_grad_())


@pytest.mark.peers
def test_a_loader_of_pytorch():
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    model, expected = network(), network()
    loader = torch.utils.data.DataLoader(rows, batch_size=32)
    model.fit(loader, epochs=2, validation_data=loader, verbose=0)
    expected.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    assert state(model) == state(expected)
    assert np.array_equal(model.predict(loader), expected.predict(X))


class Exported:
    """Anything that offers its memory by DLPack, and nothing else."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def test_whatever_speaks_dlpack_is_read_in_place():
    model, expected = network(), network()
    assert np.shares_memory(arrays.as_array("fit", "x", Exported(X)), X)
    assert np.shares_memory(arrays.as_array("fit", "y", Exported(Y)), Y)
    weights = np.random.default_rng(0).random(len(X)).astype(np.float32)
    pair = (Exported(X), Exported(Y))
    model.fit(*pair, sample_weight=Exported(weights), validation_data=pair, verbose=0)
    expected.fit(X, Y, sample_weight=weights, verbose=0)
    assert state(model) == state(expected)
    assert np.array_equal(model.predict(pair[0]), expected.predict(X))
    assert model.evaluate(*pair, verbose=0) == expected.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("device", "name"), [((2, 0), "CUDA"), ((10, 1), "ROCm"), ((8, 0), "Metal"), ((99, 0), "kind 99")]
)
def test_memory_of_another_device_is_refused(device, name):
    far = Exported(X, device)
    before = state(model := network())
    for call in (lambda: model.fit(far, Y), lambda: model.predict(far)):
        with pytest.raises(TypeError, match=rf"x: expected one in the processor's memory: call x.cpu\(\).*on .*{name}"):
            call()
    with pytest.raises(TypeError, match=r"fit: y: expected one in the processor's memory"):
        model.fit(X, Exported(Y, device))
    assert state(model) == before


def test_pinned_memory_is_the_processors():
    assert np.shares_memory(arrays.as_array("fit", "x", Exported(X, (3, 0))), X)


def test_memory_maps_train_as_their_arrays_do(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    x, y = (np.load(tmp_path / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
    assert np.shares_memory(arrays.as_array("fit", "x", x), x)
    model, expected = network(), network()
    model.fit(x, y, validation_data=(x, y), verbose=0)
    expected.fit(X, Y, verbose=0)
    assert state(model) == state(expected)
    assert np.array_equal(model.predict(x), expected.predict(X))
