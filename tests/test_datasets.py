"""Data sets: IDX files to the byte, CSV tables to the value, and what is refused."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from evenflow import datasets
from evenflow.tables import TableEncoding

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """An array in the IDX format, written from its definition."""
    code = IDX_CODES[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx_folder(folder: Path, *, rows: int = 60, tests: int = 20, gz: bool = False) -> dict[str, np.ndarray]:
    """A small folder in the shape of MNIST."""
    rng = np.random.default_rng(5)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (rows, 4, 3), np.uint8),
        "train-labels-idx1-ubyte": np.arange(rows, dtype=np.uint8) % 3,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (tests, 4, 3), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(tests, dtype=np.uint8) % 3,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        data = idx_bytes(array)
        (folder / (name + ".gz" if gz else name)).write_bytes(gzip.compress(data) if gz else data)
    return arrays


def write_csv(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------------------ IDX files


@pytest.mark.parametrize("dtype", IDX_CODES)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_round_trip(tmp_path, dtype, suffix):
    array = (np.arange(24).reshape(2, 3, 4) - 5).astype(dtype)
    data = idx_bytes(array)
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    read = datasets.read_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


GOOD = idx_bytes(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an IDX file .*nothing"),
        (b"\x00\x00\x08", "not an IDX file"),
        (b"PK\x03\x04 a zip file", "not an IDX file .*50 4b 03 04"),
        (b"\x00\x00\x07\x01" + GOOD[4:], "not an IDX file"),
        (b"\x00\x00\x08\x00", "not an IDX file"),
        (GOOD[:7], "truncated IDX file: it ends within its 2 dimensions"),
        (GOOD[:-1], r"truncated IDX file: shape \(3, 4\) of uint8 needs 12 bytes, the file has 11"),
        (GOOD + b"\x00", "trailing bytes after the 12"),
        (b"\x00\x00\x0e\x03" + b"\xff" * 12, "truncated IDX file: .*the file has fewer"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_refuses_damaged_files(tmp_path, data, message, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(data) if suffix else data)
    with pytest.raises(ValueError, match=message) as caught:
        datasets.read_idx(path)
    assert str(caught.value).startswith(str(path))


def test_idx_refuses_damaged_gzip(tmp_path):
    path = tmp_path / "images.gz"
    packed = gzip.compress(GOOD)
    for damaged in (GOOD, packed[:-9], packed[:-8] + bytes(8), packed[:12] + b"\xff\xff" + packed[14:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged gzip file"):
            datasets.read_idx(path)


@pytest.mark.parametrize("gz", [False, True])
def test_idx_folder(tmp_path, gz):
    arrays = write_idx_folder(tmp_path / "letters", gz=gz)
    data = datasets.load_idx(tmp_path / "letters")
    assert (data.name, data.task, data.classes, data.row_shape) == (
        "letters",
        "classification",
        ("0", "1", "2"),
        (4, 3),
    )
    assert data.scale == 1 / 255
    assert data.x_train.dtype == np.uint8  # bytes stay bytes: the network rescales
    for key, name in datasets.idx.IDX_FILES.items():
        np.testing.assert_array_equal(getattr(data, key), arrays[name])


def test_idx_folder_with_the_other_spelling(tmp_path):
    write_idx_folder(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(datasets.load_idx(tmp_path).x_train) == 60


def test_idx_folder_names_what_is_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        datasets.load_idx(tmp_path / "nowhere")
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-labels-idx1-ubyte \(plain or \.gz\)"):
        datasets.load_idx(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(59, np.uint8), r"train images have shape \(60, 4, 3\) and labels \(59,\)"),
        ("train-labels-idx1-ubyte", np.zeros((60, 1), np.uint8), "labels"),
        (
            "t10k-labels-idx1-ubyte",
            np.full(20, -1, np.int8),
            "test labels must be whole numbers from 0, got int8 from -1",
        ),
        ("t10k-images-idx3-ubyte", np.zeros((20, 4, 4), np.uint8), "train images have shape .* test images"),
        ("t10k-images-idx3-ubyte", np.zeros(20, np.uint8), "test images have shape"),
    ],
)
def test_idx_folder_refuses_what_does_not_fit(tmp_path, name, array, message):
    write_idx_folder(tmp_path)
    (tmp_path / name).write_bytes(idx_bytes(array))
    with pytest.raises(ValueError, match=message):
        datasets.load_idx(tmp_path)


def test_idx_folder_refuses_no_rows(tmp_path):
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((0, 4, 3), np.uint8)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    with pytest.raises(ValueError, match="test images have no rows"):
        datasets.load_idx(tmp_path)


# -------------------------------------------------------------------------------------------------- what is found where


def test_fashion_mnist_where_keras_keeps_it(tmp_path, monkeypatch):
    write_idx_folder(tmp_path / "datasets" / "fashion-mnist", gz=True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(datasets.idx, "DEBIAN_FOLDER", tmp_path / "not-installed")
    data = datasets.load_default()
    assert (data.name, data.source) == ("Fashion-MNIST", str(tmp_path / "datasets" / "fashion-mnist"))
    assert data.classes[9] == "Ankle boot"


def test_debian_comes_before_keras(tmp_path, monkeypatch):
    write_idx_folder(tmp_path / "datasets" / "fashion-mnist")
    write_idx_folder(tmp_path / "debian")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(datasets.idx, "DEBIAN_FOLDER", tmp_path / "debian")
    assert datasets.fashion_mnist_folder() == tmp_path / "debian"


@pytest.fixture
def no_fashion_mnist(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(datasets.idx, "DEBIAN_FOLDER", tmp_path / "not-installed")


@pytest.mark.usefixtures("no_fashion_mnist")
def test_fashion_mnist_absent():
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        datasets.load_fashion_mnist()


@pytest.mark.usefixtures("no_fashion_mnist")
def test_digits_are_the_last_resort():
    pytest.importorskip("sklearn")
    data = datasets.load_default()
    assert (data.name, data.source, data.row_shape) == ("digits", "scikit-learn", (8, 8))
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert data.x_train.max() * data.scale == 1
    assert set(data.y_train.tolist()) == set(data.y_test.tolist()) == set(range(10))


@pytest.mark.usefixtures("no_fashion_mnist")
def test_nothing_installed_says_what_to_install(monkeypatch):
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(datasets.digits.importlib, "import_module", refuse)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evenflow\[demo\]'"):
        datasets.load_default()


def test_real_fashion_mnist_where_it_is_installed():
    if datasets.fashion_mnist_folder() is None:
        pytest.skip("Fashion-MNIST is not on this machine")
    data = datasets.load_fashion_mnist()
    assert data.x_train.shape == (60000, 28, 28)
    assert np.bincount(data.y_test).tolist() == [1000] * 10


# ----------------------------------------------------------------------------------------------------------- CSV tables


@pytest.fixture
def people(tmp_path):
    lines = [f"{20 + i},{'Rome' if i % 3 else 'Oslo'},{'yes' if i % 2 else 'no'},{1000.0 + 100 * i}" for i in range(40)]
    return write_csv(tmp_path / "people.csv", "age,city,member,income", *lines)


def test_csv_classification(people):
    data = datasets.load_csv(people, "member")
    assert (data.name, data.task, data.classes) == ("people", "classification", ("no", "yes"))
    assert data.encoding.features == ["age", "city=Oslo", "city=Rome", "income"]
    assert data.x_train.shape == (32, 4)
    assert data.x_test.shape == (8, 4)
    assert data.x_train.dtype == np.float32
    # standardized on the training rows, one level per row, and rows still belong to their labels
    np.testing.assert_allclose(data.x_train[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train[:, 0].std(), 1, rtol=1e-6)
    assert (data.x_train[:, 1] + data.x_train[:, 2] == 1).all()
    age = data.encoding.columns[0]
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        i = np.rint(x[:, 0] * age.scale + age.mean).astype(int) - 20
        np.testing.assert_array_equal(y, i % 2)
        np.testing.assert_array_equal(x[:, 2], i % 3 != 0)


def test_csv_regression_decodes_to_the_columns_units(people):
    data = datasets.load_csv(people, "income")
    assert (data.task, data.classes) == ("regression", ())
    np.testing.assert_allclose(data.y_train.mean(), 0, atol=1e-6)
    age = data.encoding.columns[0]
    i = np.rint(data.x_test[:, 0] * age.scale + age.mean) - 20
    np.testing.assert_allclose(data.encoding.decode(data.y_test[:, None]), 1000 + 100 * i, rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["a", "b", "a", "b"] * 5, "classification"),
        ([0, 1] * 10, "classification"),
        ([3, 1, 2, 2] * 5, "classification"),
        (["1.0", "2.0"] * 10, "classification"),
        ([0.5, 1.5] * 10, "regression"),
        (list(range(20)), "regression"),
        ([k % 21 for k in range(100)], "regression"),
        ([k % 20 for k in range(100)], "classification"),
    ],
)
def test_csv_task_follows_the_target(tmp_path, values, task):
    path = write_csv(tmp_path / "t.csv", "x,y", *(f"{i},{v}" for i, v in enumerate(values)))
    assert datasets.load_csv(path, "y").task == task
    other = {"classification": "regression", "regression": "classification"}[task]
    if values[0] != "a":
        assert datasets.load_csv(path, "y", task=other).task == other


def test_csv_classes_of_numbers_are_in_order(tmp_path):
    path = write_csv(tmp_path / "t.csv", "x,y", *(f"{i},{(2, 10, 1)[i % 3]}" for i in range(30)))
    assert datasets.load_csv(path, "y").classes == ("1", "2", "10")


def test_csv_encoding_survives_json_and_reads_new_rows(people, tmp_path):
    data = datasets.load_csv(people, "member")
    encoding = TableEncoding.from_json(json.loads(json.dumps(data.encoding.to_json())))
    assert encoding == data.encoding
    everything = encoding.read_csv(people)
    np.testing.assert_array_equal(np.sort(everything, axis=0), np.sort(np.vstack([data.x_train, data.x_test]), axis=0))
    new = write_csv(tmp_path / "new.csv", "income,city,age", "1500,Oslo,33")  # another order, no target
    age, income = encoding.columns[0], encoding.columns[2]
    expected = [(33 - age.mean) / age.scale, 1, 0, (1500 - income.mean) / income.scale]
    np.testing.assert_allclose(encoding.read_csv(new), [expected], rtol=1e-6)
    assert encoding.decode(np.array([[0.2, 0.8], [0.6, 0.4]])).tolist() == ["yes", "no"]
    unknown = write_csv(tmp_path / "unknown.csv", "income,city,age", "1500,Oslo,33", "1500,Bonn,33")
    with pytest.raises(ValueError, match="column 'city' has 'Bonn' on line 3, which is not one of its 2 levels"):
        encoding.read_csv(unknown)
    with pytest.raises(ValueError, match="'income' is not known"):
        encoding.read_csv(write_csv(tmp_path / "short.csv", "city,age", "Oslo,33"))


def test_csv_dialects(tmp_path):
    rows = [f"{i};'a, b';{i % 2}" for i in range(12)]
    plain = datasets.load_csv(write_csv(tmp_path / "a.csv", "x;text;y", *rows), "y", ignore=("text",))
    tabs = write_csv(tmp_path / "b.csv", "x\ty", *(f"{i}\t{i % 2}" for i in range(12)))
    packed = tmp_path / "c.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbfx,y\r\n" + b"".join(b'"%d",%d\r\n' % (i, i % 2) for i in range(12))))
    for data in (datasets.load_csv(tabs, "y"), datasets.load_csv(packed, "y")):
        np.testing.assert_array_equal(data.x_train, plain.x_train)
        np.testing.assert_array_equal(data.y_test, plain.y_test)
    assert datasets.load_csv(packed, "y").name == "c"


def test_csv_constant_column_is_zero(tmp_path):
    path = write_csv(tmp_path / "t.csv", "x,same,y", *(f"{i},7,{i % 2}" for i in range(12)))
    assert (datasets.load_csv(path, "y").x_train[:, 1] == 0).all()


def test_csv_missing_values_are_counted_by_column(tmp_path):
    lines = [f"{'' if i < 3 else i},{'NA' if i == 5 else 'red'},{i},{i % 2}" for i in range(20)]
    path = write_csv(tmp_path / "t.csv", "size,color,weight,y", *lines)
    with pytest.raises(
        ValueError, match=r"in 2 of 4 columns, 20 rows: size 3, color 1\. .*--ignore size,color"
    ) as caught:
        datasets.load_csv(path, "y")
    assert str(path) in str(caught.value)
    assert datasets.load_csv(path, "y", ignore=("size", "color")).encoding.features == ["weight"]
    blank = write_csv(tmp_path / "b.csv", "x,y", *(f"{i},{'nan' if i == 4 else i * 1.5}" for i in range(20)))
    with pytest.raises(ValueError, match="y 1"):
        datasets.load_csv(blank, "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("x,y\n", "no rows below the header"),
        ("1,2\n3,4\n", "must name the columns, but it holds numbers"),
        ("x,y,x\n1,2,3\n", "names 'x' more than once"),
        ("x,y\n1,2\n3\n", "line 3 has 1 fields, the header names 2 columns"),
        ('x,y\n1,"2\n', "not a readable CSV"),
        ("x,y\n" + "1,2\n" * 3, "one class only"),
        ("x,y\n" + "".join(f"{v},{i % 2}\n" for i, v in enumerate([1, 2, 3, "inf", 5])), "'inf' on line 5"),
        ("x,y\n" + "".join(f"{i},{(1, '1.0')[i % 2]}\n" for i in range(8)), "writes one class in two ways"),
        ("y\n" + "1\n2\n" * 5, "no input column is left"),
        ("x,y\n1,2\n", "too few"),
    ],
)
def test_csv_refuses(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load_csv(path, "y")
    assert str(path) in str(caught.value)


def test_csv_refuses_identifiers_and_almost_numbers(tmp_path):
    path = write_csv(tmp_path / "t.csv", "x,y", *(f"{'1O' if i == 6 else i},{i % 2}" for i in range(100)))
    with pytest.raises(ValueError, match=r"'x' has 100 different texts in 100 rows.*'1O' on line 8.*--ignore x"):
        datasets.load_csv(path, "y")


def test_csv_refuses_names_that_do_not_exist(people):
    with pytest.raises(ValueError, match=r"target='incme' is not known\. Did you mean 'income'"):
        datasets.load_csv(people, "incme")
    with pytest.raises(ValueError, match="ignore='town' is not known"):
        datasets.load_csv(people, "income", ignore=("town",))
    with pytest.raises(ValueError, match=r"task='regresion' is not known\. Did you mean 'regression'"):
        datasets.load_csv(people, "income", task="regresion")
    with pytest.raises(ValueError, match=r"test_fraction must be in \[0, 1\), got 1"):
        datasets.load_csv(people, "income", test_fraction=1)
    with pytest.raises(ValueError, match="'city' must hold finite numbers, got 'Oslo' on line 2"):
        datasets.load_csv(people, "city", task="regression")


def test_csv_refuses_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,y\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="not a text file in UTF-8"):
        datasets.load_csv(path, "y")
    path = tmp_path / "t.csv.gz"
    packed = gzip.compress(b"x,y\n" + b"1,2\n" * 99)
    for damaged in (b"x,y\n1,2\n", packed[:-9], packed[:12] + b"\xff\xff" + packed[14:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not a readable CSV"):
            datasets.load_csv(path, "y")
