"""Parquet and CSV files as data: the same answers as from memory, whatever the blocks, and in bounded memory."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from example import blobs, network, state

from evenflow.callbacks import Callback, GradientNorms
from evenflow.datasets import CsvStream, ParquetStream
from evenflow.layers import Dense, Input, Normalization
from evenflow.models import Sequential, load_model

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
csv = pytest.importorskip("pyarrow.csv")

NAMES = ("age", "height", "mass", "rooms", "rent", "floor")
X, Y = blobs(200)
CITIES = np.array(["Rome", "Oslo", "Lima"])


def table(x=X, **others):
    return pyarrow.table({name: x[:, i] for i, name in enumerate(NAMES)} | others)


def write(folder, kind, content, name="data", **options):
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        parquet.write_table(content, path, **({"row_group_size": 30} | options))
    else:
        csv.write_csv(content, path)
    return path


STREAMS = {"parquet": ParquetStream, "csv": CsvStream}


@pytest.fixture(params=STREAMS)
def kind(request):
    return request.param


@pytest.fixture
def small_parts(monkeypatch):
    """CSV files of these tests have several parts too."""
    monkeypatch.setattr("evenflow.tables.files.PART_BYTES", 1500)
    monkeypatch.setattr("evenflow.tables.files.PIECE_ROWS", 17)


@pytest.fixture
def stream(kind, tmp_path, small_parts):
    """A maker of streams of the blobs, and its file."""
    path = write(tmp_path, kind, table(label=Y))
    return lambda **options: STREAMS[kind](path, **({"target": "label", "block_rows": 64} | options))


# ------------------------------------------------------------------------------------------------- as rows in memory


@pytest.mark.parametrize("block_rows", [32, 64, 100, 10_000])
def test_a_file_trains_as_its_rows_do(stream, block_rows):
    model, expected = network(), network()
    file = stream(block_rows=block_rows)
    assert (len(file), file.rows, file.block_rows % 32) == (7, 200, 0)
    history = model.fit(file, epochs=3, shuffle=False, validation_data=file, verbose=0).history
    other = expected.fit(X, Y, epochs=3, shuffle=False, validation_data=(X, Y), verbose=0).history
    assert state(model) == state(expected)
    for name, values in other.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-12 if name == "loss" else 1e-6)
    assert np.array_equal(model.predict(file), expected.predict(X))
    assert model.feature_names == NAMES
    np.testing.assert_allclose(model.evaluate(file, verbose=0), expected.evaluate(X, Y, verbose=0), rtol=1e-6)
    assert model.evaluate(file, steps=2, verbose=0) == expected.evaluate(X[:64], Y[:64], verbose=0)
    assert np.array_equal(model.predict(file, steps=3), expected.predict(X[:96]))


class Rows(Callback):
    """The rows that each step trains on, by number, from the order in which blocks were shuffled."""

    def __init__(self):
        self.batches = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)


def orders(file, seed):
    """Rows by their first feature, in the order in which two passes take them."""
    generator = np.random.default_rng(seed)
    return [[b.x[b.order, 0] for b in file.blocks(generator)] for _ in range(2)]


def test_shuffled_passes(stream):
    file = stream()
    first, second = orders(file, 3)
    assert [len(block) for block in first] == [64, 64, 64, 8]
    for epoch in (first, second):
        assert sorted(np.concatenate(epoch)) == sorted(X[:, 0])
    assert not np.array_equal(first[0], second[0])
    assert not set(first[0]) <= set(X[:64, 0]), "parts are shuffled too"
    again = orders(file, 3)
    assert all(np.array_equal(a, b) for a, b in zip(first + second, again[0] + again[1], strict=True))
    assert not np.array_equal(first[0], orders(file, 4)[0][0])


def test_shuffled_training_is_reproducible_and_goes_on(stream, tmp_path):
    model, same, other = network(seed=1), network(seed=1), network(seed=2)
    for each in (model, same, other):
        each.fit(stream(), epochs=2, verbose=0)
    assert state(model) == state(same) != state(other)
    half = network(seed=1)
    half.fit(stream(), epochs=1, verbose=0)
    half.save(tmp_path / "half")
    loaded = load_model(tmp_path / "half")
    loaded.shuffle_state = half.shuffle_state
    loaded.fit(stream(), initial_epoch=1, epochs=2, verbose=0)
    assert state(loaded) == state(model)
    one, four = network(seed=1), network(seed=1)
    one.fit(stream(), threads=1, verbose=0)
    four.fit(stream(), threads=2, verbose=0)
    assert state(one) == state(four)


def test_steps_hooks_and_norms(stream):
    runs = []
    for x, y in ((X, Y), (stream(), None)):
        steps, norms, model = Rows(), GradientNorms(per_step=True), network()
        with pytest.warns(UserWarning, match=r"steps_per_epoch=3: the rows ended after 1 steps"):
            history = model.fit(
                x, y, epochs=4, steps_per_epoch=3, shuffle=False, callbacks=[steps, norms], verbose=0, threads=1
            )
        assert steps.batches == [0, 1, 2, 0, 1, 2, 0, 0, 1, 2]
        assert (history.params["steps"], history.params["rows"]) == (3, 96)
        assert len(norms.steps["gradient_norm"]) == 10
        runs.append((norms.steps, state(model)))
    assert runs[0] == runs[1]


def test_training_can_be_stopped_within_a_block(stream):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    model = network()
    assert model.fit(stream(), epochs=4, callbacks=[Stop()], verbose=0).epoch == [0]
    assert model.optimizer.iterations == 3
    assert next(iter(stream()))[0].shape == (32, 6)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evenflow")], "no reader is left"


def test_weights(kind, tmp_path):
    weights = np.random.default_rng(0).random(200).astype(np.float32)
    path = write(tmp_path, kind, table(label=Y, w=weights))
    file = STREAMS[kind](path, "label", sample_weight="w", block_rows=64)
    assert file.feature_names == NAMES
    by_class = STREAMS[kind](path, "label", ignore=["w"], block_rows=64)
    for source, options in ((file, {"sample_weight": weights}), (by_class, {"class_weight": {0: 3.0}})):
        model, expected = network(), network()
        model.fit(source, shuffle=False, verbose=0, **{k: v for k, v in options.items() if k == "class_weight"})
        expected.fit(X, Y, shuffle=False, verbose=0, **options)
        assert state(model) == state(expected)


def test_its_batches_are_anybodys(stream):
    file = stream()
    batches = list(file)
    assert [len(x) for x, _ in batches] == [32] * 6 + [8]
    assert np.array_equal(np.concatenate([x for x, _ in batches]), X)
    assert np.array_equal(np.concatenate([y for _, y in batches]), Y)
    scaled, expected = (Normalization(input_shape=(6,)) for _ in range(2))
    scaled.adapt(file)
    expected.adapt(X)
    model = Sequential([Input((6,)), scaled, Dense(1)])
    other = Sequential([Input((6,)), expected, Dense(1)])
    for mine, others in zip(model.get_weights()[:2], other.get_weights()[:2], strict=True):
        np.testing.assert_allclose(mine, others, rtol=1e-6)


def test_several_files_and_folders(kind, tmp_path, small_parts):
    paths = [write(tmp_path, kind, table(X[i::2], label=Y[i::2]), name=f"part{i}") for i in range(2)]
    whole = np.concatenate([X[0::2], X[1::2]])
    for given in (paths, tmp_path, str(tmp_path)):
        file = STREAMS[kind](given, "label", block_rows=64)
        assert np.array_equal(np.concatenate([x for x, _ in file]), whole)


# ------------------------------------------------------------------------------------------------------------- columns


def test_texts_and_numbers_of_any_type(kind, tmp_path):
    city = CITIES[np.arange(200) % 3]
    content = pyarrow.table(
        {
            "whole": pyarrow.array(range(200), pyarrow.int16()),
            "city": pyarrow.array(city).dictionary_encode() if kind == "parquet" else city,
            "part": np.arange(200) / 8,
            "zip": np.arange(200) % 2 + 10,
            "label": np.array(["no", "yes"])[np.arange(200) % 2],
        }
    )
    file = STREAMS[kind](write(tmp_path, kind, content), "label", categorical=["zip"], batch_size=200)
    assert file.feature_names == ("whole", "city=Lima", "city=Oslo", "city=Rome", "part", "zip=10", "zip=11")
    assert (file.encoding.task, file.encoding.target.levels) == ("classification", ("no", "yes"))
    ((x, y),) = file
    assert x.dtype == np.float32
    assert x[4].tolist() == [4, 0, 1, 0, 0.5, 1, 0]
    assert np.array_equal(y, np.arange(200) % 2)
    assert file.encoding.decode(np.eye(2)[:1]).tolist() == ["no"]
    # Another file has fewer of the levels, and no target: as the first one would have it.
    other = STREAMS[kind](write(tmp_path, kind, content.slice(1, 2).drop_columns("label"), "b"), encoding=file.encoding)
    (rows,) = other
    assert np.array_equal(rows, x[1:3])
    model = Sequential([Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(file, verbose=0)
    assert np.array_equal(model.predict(other), model.predict(x[1:3]))
    with pytest.raises(ValueError, match=r"fit: x: expected a \w+Stream with target="):
        model.fit(other, verbose=0)
    strange = content.slice(0, 3).set_column(1, "city", [["Rome", "Bonn", "Oslo"]])
    texts = content.set_column(2, "part", [["much"] * 200])
    with pytest.raises((TypeError, ValueError), match=r"number|much"):
        model.predict(STREAMS[kind](write(tmp_path, kind, texts, "d"), encoding=file.encoding))
    with pytest.raises(ValueError, match=r"column 'city' has 'Bonn', .*3 levels \(Lima, Oslo, Rome\)"):
        model.predict(STREAMS[kind](write(tmp_path, kind, strange, "c"), encoding=file.encoding))


def test_targets(kind, tmp_path):
    content = pyarrow.table({"x": np.arange(99.0), "few": np.arange(99) % 3 + 1, "many": np.arange(99.0) / 2})
    path = write(tmp_path, kind, content)
    few = STREAMS[kind](path, "few", columns=["x"], batch_size=99)
    ((x, y),) = few
    assert x.shape == (99, 1)
    assert (y.dtype, y[:4].tolist(), few.encoding.target.levels) == (np.int64, [0, 1, 2, 0], ("1", "2", "3"))
    for options in ({"target": "many"}, {"target": "few", "task": "regression"}):
        ((_, y),) = STREAMS[kind](path, columns=["x"], batch_size=99, dtype="float64", **options)
        assert y.dtype == np.float64
        assert np.array_equal(y, content[options["target"]].to_numpy())


def test_columns_of_numbers_that_turn_out_not_to_be(tmp_path, small_parts):
    code = np.array([*map(str, range(600)), "12a"])[np.repeat(600 - np.arange(3), 300)]
    path = write(tmp_path, "csv", pyarrow.table({"code": code[::-1], "y": np.arange(900.0)}))
    file = CsvStream(path, "y")
    assert file.feature_names == ("code=12a", "code=598", "code=599")


def test_csv_dialects(tmp_path, small_parts):
    rows = [f"""{i};{'"a ""quoted""' + chr(10) + 'name"' if i % 3 else " b "};{i % 2}""" for i in range(500)]
    path = tmp_path / "odd.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(["n;text;label", *rows]).encode())
    file = CsvStream(path, "label", batch_size=500)
    assert file.feature_names == ("n", 'text=a "quoted"\nname', "text=b")
    ((x, y),) = file
    assert np.array_equal(x[:, 0], np.arange(500))
    assert np.array_equal(x[:, 2], np.arange(500) % 3 == 0)
    assert np.array_equal(y, np.arange(500) % 2)
    assert len(file._files.parts) > 3


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize("statistics", [True, False])
def test_missing_values_are_counted(kind, tmp_path, statistics):
    content = pyarrow.table(
        {
            "a": pyarrow.array([1.0, None, 3.0] * 5),
            "b": ["x", "y", "x"] * 5,
            "c": pyarrow.array([None, "u", "u"] * 5),
            "y": range(15),
        }
    )
    options = {"write_statistics": statistics} if kind == "parquet" else {}
    path = write(tmp_path, kind, content, **options)
    with pytest.raises(ValueError, match=r"Stream: missing values in 2 of 4 columns, 15 rows: a 5, c 5\. .*ignore="):
        STREAMS[kind](path, "y")
    assert STREAMS[kind](path, "y", ignore=["a", "c"]).feature_names == ("b=x", "b=y")
    first = STREAMS[kind](
        write(tmp_path, kind, content.slice(1, 1).set_column(0, "a", [[1.0]]), "whole"), columns=["a", "c"]
    )
    with pytest.raises(ValueError, match=r"column '(a|c)' lacks"):
        list(STREAMS[kind](path, encoding=first.encoding))


def test_nan_that_statistics_do_not_count(tmp_path):
    path = write(tmp_path, "parquet", pyarrow.table({"a": np.array([1, np.nan, 2]), "y": [0.5, 1.5, 2.5]}))
    with pytest.raises(ValueError, match=r"column 'a' lacks 1 of 3 values"):
        list(ParquetStream(path, "y"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "lable"}, ["target='lable'", "'label'"]),
        ({"columns": ["agee"]}, ["columns='agee'", "'age'"]),
        ({"columns": "age"}, ["columns", "a list", "'age'"]),
        ({"ignore": ["label", *NAMES]}, ["no input column"]),
        ({"categorical": ["zip"]}, ["categorical='zip'"]),
        ({"sample_weight": "w"}, ["sample_weight='w'"]),
        ({"batch_size": 0}, ["batch_size", "at least 1", "0"]),
        ({"block_rows": 1.5}, ["block_rows", "1.5"]),
        ({"dtype": "float16"}, ["dtype='float16'", "float32"]),
        ({"task": "classify"}, ["task='classify'", "classification"]),
        ({"target": "age", "task": "classification"}, ["target 'age'", "different whole numbers"]),
        ({"encoding": {}}, ["encoding", "another stream's"]),
    ],
)
def test_mistakes_are_named(stream, options, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        stream(**options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [({"y": Y}, "y"), ({"batch_size": 8}, "batch_size"), ({"sample_weight": Y}, "sample_weight")],
)
def test_what_a_file_has_itself(stream, options, word):
    with pytest.raises(ValueError, match=rf"fit: {word}: expected None"):
        network().fit(stream(), **options)
    with pytest.raises(ValueError, match=r"fit: class_weight: expected a dict"):
        network().fit(stream(), class_weight="balanced")


def test_other_columns_than_the_model_knows(stream):
    model = network()
    model.fit(stream(), verbose=0)
    with pytest.raises(ValueError, match=r"block 0 of x: x has the columns .* in another order"):
        model.predict(stream(target=None, columns=NAMES[::-1]))
    before = state(model)
    with pytest.raises(ValueError, match=r"fit: block 0 of x: x has other columns .*missing 'age'"):
        model.fit(stream(ignore=["age"]), verbose=0)
    assert state(model) == before


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    for stream, kind in ((ParquetStream, "parquet"), (CsvStream, "csv")):
        with pytest.raises(FileNotFoundError, match=rf"{stream.__name__}: .*none"):
            stream(tmp_path / "none")
        with pytest.raises(TypeError, match=rf"{stream.__name__}: path: expected a path"):
            stream(3)
        one = write(tmp_path, kind, table(label=Y))
        other = write(tmp_path, kind, table(label=Y).drop_columns("age"), "other")
        with pytest.raises(ValueError, match="'age'"):
            stream([one, other], "label")
        file = stream(one, "label")
        write(tmp_path, kind, table(X[:99], label=Y[:99]))
        with pytest.raises(ValueError, match=r"data\.\w+: (row group|the files have other rows|in the lines)"):
            list(file)
    odd = tmp_path / "odd.parquet"
    odd.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"odd.parquet: not a readable Parquet file"):
        ParquetStream(odd)
    odd = write(tmp_path, "parquet", pyarrow.table({"list": [[1], [2]], "a": [1, 2]}), "list")
    with pytest.raises(TypeError, match=r"ParquetStream: column 'list': expected numbers or texts, received list"):
        ParquetStream(odd, "a")
    lines = {
        "ragged": ("a,b\n1,2\n3\n", r"ragged.csv: in the lines from 2 on: .*Expected 2 columns, got 1"),
        "empty": ("a,b\n", "no rows"),
        "numbers": ("1,2\n3,4\n", "must name the columns"),
        "open": ('a,b\n1,"2' + "\n3,4" * 5000, "quotation mark"),
    }
    monkeypatch.setattr("evenflow.tables.files.PART_BYTES", 1500)
    monkeypatch.setattr("evenflow.tables.files.LONGEST_LINE", 10_000)
    for name, (text, words) in lines.items():
        (tmp_path / f"{name}.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            CsvStream(tmp_path / f"{name}.csv", "a")
    (tmp_path / "data.csv.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"data.csv.gz: a compressed file"):
        CsvStream(tmp_path / "data.csv.gz")


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'evenflow\[data\]'"):
        ParquetStream(write(tmp_path, "csv", table()))


# -------------------------------------------------------------------------------------------------------------- memory

MEMORY = r"""
import re, sys
from evenflow.datasets import CsvStream, ParquetStream
from evenflow.layers import Dense
from evenflow.models import Sequential

kind, small, large, rows = sys.argv[1:]
stream = {"parquet": ParquetStream, "csv": CsvStream}[kind]
model = Sequential([Dense(8, "relu"), Dense(1)])
model.compile("sgd", "mse")
peak = lambda: int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) << 10

def use(path):
    file = stream(path, "y", batch_size=256, block_rows=int(rows))
    model.fit(file, validation_data=file, verbose=0)
    model.predict(file)

use(small)
before = peak()
use(large)
print(before, peak())
"""


@pytest.mark.parametrize("kind", STREAMS)
def test_memory_is_bounded_by_blocks(kind, tmp_path):
    features, block_rows = 50, 2048
    paths = []
    for name, blocks in (("small", 10), ("large", 50)):
        x = np.random.default_rng(0).integers(0, 100, (blocks * block_rows, features)).astype(np.float32)
        content = pyarrow.table({f"x{i}": x[:, i] for i in range(features)} | {"y": x[:, 0]})
        paths.append(write(tmp_path, kind, content, name, **({"row_group_size": 5000} if kind == "parquet" else {})))
    command = [sys.executable, "-c", MEMORY, kind, *map(str, paths), str(block_rows)]
    # What is freed is given back: how much of it the C library keeps instead depends on what threads were doing.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    before, after = map(int, done.stdout.split())
    block = block_rows * features * 4
    assert after - before < 20 * block, "the second file has 40 blocks more"
