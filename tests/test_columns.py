"""Layers for the columns of a table, as users have them: alone, in models, in files."""

from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import cli, constraints
from evenflow.layers import (
    Add,
    CategoryEncoding,
    Concatenate,
    Dense,
    Discretization,
    Embedding,
    Flatten,
    Input,
    IntegerLookup,
    Multiply,
    Normalization,
    StringLookup,
)
from evenflow.models import Model, Sequential, clone_model, load_model

WORDS = np.array([["a"], ["c"], ["b"], ["zz"], ["a"], ["c"], ["a"]], object)


def words(rows: int, rng: Any, columns: int = 1) -> Any:
    return rng.choice(np.array(["red", "green", "blue", "mauve"], object), (rows, columns), p=[0.4, 0.3, 0.2, 0.1])


# ---- lookups of arrays; the values are those of Keras' documentation and of its rules, worked out by hand


def test_words_and_unknown_words():
    layer = StringLookup(vocabulary=["a", "b", "c", "d"])
    found = layer(np.array([["a", "c", "d"], ["d", "z", "b"]], object))
    assert found.tolist() == [[1, 3, 4], [4, 0, 2]]
    assert found.dtype == np.int64
    assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c", "d"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["a", "b", "c", "d"]
    assert layer.vocabulary_size() == 5
    assert layer(["b", "nothing"]).tolist() == [2, 0]
    assert layer(np.array([b"b", b"d"])).tolist() == [2, 4]
    assert layer(np.array(["b", "d"])).tolist() == [2, 4]


def test_several_ids_for_unknown_words_are_those_of_their_hash():
    # Fingerprint64 of "a" to "d", as TensorFlow's own tests have it: 9, 2, 2 and 5 modulo 10.
    layer = StringLookup(num_oov_indices=10, vocabulary=["x"])
    assert layer(["a", "b", "c", "d", "x"]).tolist() == [9, 2, 2, 5, 10]
    # to_hash_bucket_fast(["Hello", "TensorFlow", "2.x"], 3), from its documentation
    assert StringLookup(num_oov_indices=3, vocabulary=["x"])(["Hello", "TensorFlow", "2.x"]).tolist() == [0, 2, 2]
    # FarmHash's own Fingerprint64 of longer words, for each of the ways that it has
    for word, hashed in [
        ("a word of 20 letters", 5812130282158087916),
        ("some words that have together 40 letters", 18299392649501181245),
        ("x" * 100, 6590480085648050719),
    ]:
        assert StringLookup(num_oov_indices=1000, vocabulary=["x"])([word]).tolist() == [hashed % 1000]
    numbers = IntegerLookup(num_oov_indices=2, vocabulary=[12, 36, 1138, 42])
    assert numbers([[12, 1138, 42], [37, 1000, 36], [-3, 36, 7]]).tolist() == [[2, 4, 5], [1, 0, 3], [1, 3, 1]]


def test_masks_and_encodings():
    layer = StringLookup(mask_token="", vocabulary=["a", "b"])
    assert layer.get_vocabulary() == ["", "[UNK]", "a", "b"]
    assert layer(["", "a", "b", "q"]).tolist() == [0, 2, 3, 1]
    hot = StringLookup(mask_token="", vocabulary=["a", "b"], output_mode="one_hot")
    assert hot.get_vocabulary() == ["[UNK]", "a", "b"]
    assert hot(["", "a", "b", "q"]).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    several = StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="multi_hot")
    assert several(np.array([["a", "c", "d", "d"], ["d", "z", "b", "z"]], object)).tolist() == [
        [0, 1, 0, 1, 1],
        [1, 0, 1, 0, 1],
    ]
    counted = StringLookup(vocabulary=["a", "b", "c", "d"], output_mode="count")
    assert counted(np.array([["a", "c", "d", "d"], ["d", "z", "b", "z"]], object)).tolist() == [
        [0, 1, 0, 1, 2],
        [2, 0, 1, 0, 1],
    ]
    padded = StringLookup(vocabulary=["a"], output_mode="count", max_tokens=4, pad_to_max_tokens=True)
    assert padded(np.array([["a", "a", "q"]], object)).tolist() == [[1, 2, 0, 0]]


def test_ids_become_words_again():
    layer = StringLookup(vocabulary=["a", "b"], invert=True)
    assert layer(np.array([[1, 2], [0, 9]])).tolist() == [["a", "b"], ["[UNK]", "[UNK]"]]
    back = IntegerLookup(vocabulary=[30, 20], invert=True, mask_token=0)
    assert back([0, 1, 2, 3, 4]).tolist() == [0, -1, 30, 20, -1]
    with pytest.raises(ValueError, match="invert"):
        Sequential([Input((1,)), StringLookup(vocabulary=["a"], invert=True)])


def test_adapting_finds_the_most_frequent_first():
    layer = StringLookup()
    layer.adapt(WORDS)
    assert layer.get_vocabulary() == ["[UNK]", "a", "c", "zz", "b"]  # equally frequent ones in descending order
    limited = StringLookup(max_tokens=3)
    limited.adapt([WORDS[:4], WORDS[4:]])
    assert limited.get_vocabulary() == ["[UNK]", "a", "c"]
    numbers = IntegerLookup(mask_token=7)
    numbers.adapt(np.array([[5, 7], [7, 9], [9, 5], [9, -1]]))
    assert numbers.get_vocabulary() == [7, -1, 9, 5]
    again = StringLookup.from_config(layer.get_config())
    again.adapt(["q"])
    assert again.get_vocabulary() == ["[UNK]", "q"]
    with pytest.raises(ValueError, match="the vocabulary was given"):
        StringLookup(vocabulary=["a"]).adapt(["b"])


def test_a_vocabulary_in_a_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("one\ntwo\nthree\n", encoding="utf-8")
    assert StringLookup(vocabulary=str(path))(["two", "one"]).tolist() == [2, 1]
    path.write_text("10\n-20\n", encoding="utf-8")
    assert IntegerLookup(vocabulary=str(path))([-20, 3]).tolist() == [2, 0]


def test_columns_of_tables_of_pandas_and_polars():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    layer = StringLookup(vocabulary=["a", "b"])
    for column in (
        pandas.Series(["b", "a", "q"]),
        pandas.Series(["b", "a", "q"], dtype="category"),
        polars.Series(["b", "a", "q"]),
    ):
        assert layer(column).tolist() == [2, 1, 0]
    table = pandas.DataFrame({"x": ["b", "a"], "y": pandas.Categorical(["a", "q"])})
    assert layer(table).tolist() == [[2, 1], [1, 0]]
    assert layer(polars.DataFrame({"x": ["b", "a"]})).tolist() == [[2], [1]]
    for missing in (pandas.Series(["b", None]), pandas.Series(["b", None], dtype="category")):
        with pytest.raises(ValueError, match="in row 1, column 0, expected strings; missing ones"):
            layer(missing)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StringLookup(vocabulary=["a", "a"]), "every token once"),
        (lambda: StringLookup(vocabulary=[]), "at least one token"),
        (lambda: StringLookup(vocabulary=["a", "b", "c"], max_tokens=3), "at most 3 tokens"),
        (lambda: StringLookup(vocabulary=["a", ""], mask_token=""), "mask_token only at its place"),
        (lambda: StringLookup(output_mode="tf_idf"), "tf_idf"),
        (lambda: StringLookup(output_mode="one_hots"), "one_hot"),
        (lambda: StringLookup(sparse=True), "sparse"),
        (lambda: StringLookup(max_tokens=1), "max_tokens"),
        (lambda: StringLookup(pad_to_max_tokens=True), "max_tokens"),
        (lambda: StringLookup()(["a"]), "call adapt"),
        (lambda: StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "q"]), "'q' in row 1"),
        (lambda: StringLookup(vocabulary=["a"], encoding="latin-1"), "encoding"),
        (lambda: IntegerLookup(vocabulary=[1])([[1.5]]), "1.5 in row 0, column 0"),
        (lambda: Discretization(), "either bin_boundaries or num_bins"),
        (lambda: Discretization([0.0], num_bins=2), "either bin_boundaries or num_bins"),
        (lambda: Discretization([1.0, 0.0]), "ascending"),
        (lambda: Discretization(num_bins=2)([[1.0]]), "call adapt"),
        (lambda: Discretization([0.0]).adapt([1.0]), "the boundaries were given"),
        (lambda: Discretization(num_bins=3).adapt(np.array([np.nan])), "finite"),
        (lambda: CategoryEncoding(3)([[1, 3]]), "3 in row 0, column 1"),
        (lambda: CategoryEncoding(0), "num_tokens"),
        (lambda: Embedding(3, 0), "output_dim"),
        (lambda: Embedding(3, 2, mask_zero=True), "mask_zero"),
        (lambda: Embedding(3, 2, weights=np.zeros((2, 3))), r"\(3, 2\)"),
        (lambda: Input((1,), dtype="text"), "string"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_words_are_no_numbers_and_numbers_no_words():
    with pytest.raises((TypeError, ValueError), match="strings"):
        StringLookup(vocabulary=["a"])([1, 2])
    with pytest.raises((TypeError, ValueError), match="whole numbers"):
        IntegerLookup(vocabulary=["a"])


# ---- embeddings


def test_an_embedding_first():
    evenflow.set_seed(3)
    model = Sequential([Input((3,)), Embedding(10, 4), Flatten(), Dense(1)])
    assert model.layers[0].output_shape == (None, 3, 4)
    assert model.count_params() == 40 + 13
    table = model.get_weights()[0]
    assert table.shape == (10, 4)
    assert np.abs(table).max() <= 0.05
    x = np.array([[1, 2, 9], [0, 0, 0]])
    kernel, bias = model.get_weights()[1:]
    np.testing.assert_allclose(model.predict(x), table[x].reshape(2, 12) @ kernel + bias, rtol=1e-5, atol=1e-7)
    model.compile("adam", "mse")
    assert model.check(x) == [] or all(finding.rule != "unscaled_inputs" for finding in model.check(x))
    for element in (np.int8, np.uint16, np.int64, np.float32, np.float16, np.uint64):
        np.testing.assert_array_equal(model.predict(x.astype(element)), model.predict(x))
    lines = []
    model.summary(print_fn=lines.append)
    assert "(None, 3, 4)" in str(lines)


def test_a_table_to_start_from():
    table = np.arange(6.0).reshape(3, 2)
    for given in (table, [table]):
        model = Sequential([Input((1,)), Embedding(3, 2, weights=given, trainable=False), Flatten(), Dense(1)])
        np.testing.assert_array_equal(model.get_weights()[0], table)
    layer = Embedding(3, 2, weights=table)
    table[:] = 7  # before there are variables
    layer.build((1,))
    np.testing.assert_array_equal(layer.get_weights()[0], np.arange(6.0).reshape(3, 2))
    with pytest.raises(TypeError, match="weights: expected an array of real numbers, received dtype <U3"):
        Embedding(3, 2, weights=table.astype(str))


@pytest.mark.parametrize("wrong", [10, -1, 1.5, np.nan])
@pytest.mark.parametrize("call", ["fit", "evaluate", "predict", "train_on_batch", "validation", "one row"])
def test_ids_out_of_range_change_nothing(call, wrong, rng):
    model = Sequential([Input((3,)), Embedding(10, 4), Flatten(), Dense(1)])
    model.compile("adam", "mse")
    good, y = rng.integers(0, 10, (8, 3)).astype(np.float32), np.zeros(8)
    model.fit(good, y, verbose=0)
    model.predict(good[:1])
    before = [w.copy() for w in model.get_weights()]
    bad = good.copy()
    bad[6, 1] = wrong
    calls = {
        "fit": lambda: model.fit(bad, y, verbose=0),
        "evaluate": lambda: model.evaluate(bad, y, verbose=0),
        "predict": lambda: model.predict(bad),
        "train_on_batch": lambda: model.train_on_batch(bad, y),
        "validation": lambda: model.fit(good, y, validation_data=(bad, y), verbose=0),
        "one row": lambda: model.predict(
            bad[6:7],
        ),
    }
    row = 0 if call == "one row" else 6
    with pytest.raises(ValueError, match=f"in row {row}, column 1, expected whole numbers from 0 to 9: ids of the 10"):
        calls[call]()
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_of_one_id_meet_without_flatten():
    user, item = Input((1,)), Input((1,))
    both = Multiply()([Embedding(5, 3)(user), Embedding(7, 3)(item)])
    beside = Concatenate()([both, Add()([both, both])])
    assert beside.shape == (None, 1, 6)
    model = Model([user, item], Dense(1)(Flatten()(beside)))
    assert model.predict([np.array([[1], [4]]), np.array([[6], [0]])]).shape == (2, 1)
    with pytest.raises(ValueError, match="Flatten"):
        Concatenate()([Embedding(5, 3)(Input((2,))), Embedding(5, 3)(Input((2,)))])
    with pytest.raises(ValueError, match="axis"):
        Concatenate(axis=1)([both, both])


def test_what_an_embedding_cannot_read():
    x = Input((3,))
    with pytest.raises(ValueError, match="whole numbers or a discretization"):
        Model(x, Dense(1)(Flatten()(Embedding(5, 2)(Dense(3)(x))))).predict(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least the 4 different values"):
        Model(x, Dense(1)(Flatten()(Embedding(3, 2)(Discretization([0.0, 1.0, 2.0])(x))))).predict(np.zeros((1, 3)))


def test_learning_rates_and_decay_of_a_table(rng):
    model = Sequential([Input((1,)), Embedding(6, 3, name="table"), Flatten(), Dense(1)])
    model.compile(evenflow.optimizers.SGD(0.1, learning_rate_factors={"table": 0.0}), "mse")
    before = model.get_weights()[0]
    model.fit(rng.integers(0, 6, (20, 1)), np.ones(20), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    model.get_layer("table").embeddings_constraint = None
    limited = Sequential(
        [Input((1,)), Embedding(6, 3, embeddings_constraint=constraints.UnitNorm()), Flatten(), Dense(1)]
    )
    limited.compile("sgd", "mse")
    limited.fit(rng.integers(0, 6, (20, 1)), np.ones(20), verbose=0)
    np.testing.assert_allclose(np.linalg.norm(limited.get_weights()[0], axis=0), 1, rtol=1e-5)


def test_health_sees_a_table(rng):
    model = Sequential([Input((2,)), Embedding(9, 3, name="table"), Flatten(), Dense(4, "relu"), Dense(1)])
    model.compile("adam", "mse")
    health = evenflow.callbacks.Health(every=1, warn=False)
    history = model.fit(rng.integers(0, 9, (64, 2)), np.ones(64), epochs=2, verbose=0, callbacks=[health]).history
    seen = {name: values for name, values in history.items() if "table" in name}
    assert seen
    assert all(np.isfinite(values).all() for values in seen.values())


# ---- models that take words


def town_and_numbers(**options: Any) -> Any:
    """A model of words in two ways, of years and of numbers."""
    word = Input((1,), dtype="string", name="word")
    year, numbers = Input((1,), name="year"), Input((2,), name="numbers")
    vocabulary = ["red", "green", "blue"]
    parts = [
        Flatten()(Embedding(4, 3, name="table")(StringLookup(vocabulary=vocabulary, name="ids")(word))),
        StringLookup(vocabulary=vocabulary, output_mode="one_hot", mask_token="mauve", name="hot")(word),
        IntegerLookup(vocabulary=[1990, 2000], output_mode="one_hot", name="years")(year),
        Discretization([-0.5, 0.5], output_mode="multi_hot", name="bins")(numbers),
        numbers,
        year,
    ]
    return Model([word, year, numbers], Dense(1, name="top")(Concatenate()(parts)), **options)


def rows_of(rows: int, rng: Any) -> list[Any]:
    return [words(rows, rng), rng.choice([1990, 2000, 2010], (rows, 1)), rng.standard_normal((rows, 2))]


def test_a_model_of_words_gives_what_its_parts_give(rng):
    model = town_and_numbers(dtype="float64")
    word, year, numbers = rows_of(50, rng)
    table, kernel, bias = model.get_weights()
    by_hand = [
        table[model.get_layer("ids")(word)[:, 0]],
        model.get_layer("hot")(word),
        model.get_layer("years")(year),
        model.get_layer("bins")(numbers),
        numbers,
        year,
    ]
    expected = np.concatenate(by_hand, axis=1) @ kernel + bias
    np.testing.assert_allclose(model.predict([word, year, numbers]), expected, rtol=1e-12, atol=1e-12)
    named = {"word": word, "year": year, "numbers": numbers}
    np.testing.assert_array_equal(model.predict(named), model.predict([word, year, numbers]))


def test_files_clones_and_batches_of_a_model_of_words(tmp_path, rng):
    evenflow.set_seed(5)
    model = town_and_numbers()
    model.compile("adam", "mse")
    x, y = rows_of(96, rng), rng.standard_normal((96, 1))
    start = [w.copy() for w in model.get_weights()]
    model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / "words.safetensors")
    loaded = load_model(tmp_path / "words.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert loaded.get_layer("ids").get_vocabulary() == ["[UNK]", "red", "green", "blue"]
    clone = clone_model(model)
    clone.set_weights(start)

    def batches() -> Any:
        for first in range(0, 96, 32):
            yield [one[first : first + 32] for one in x], y[first : first + 32]

    class Stream:
        def __iter__(self) -> Any:
            return batches()

    clone.fit(iter([*batches(), *batches()]), steps_per_epoch=3, epochs=2, verbose=0)
    for a, b in zip(clone.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(clone.evaluate(x, y, verbose=0))


@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_a_sequential_of_words(mode, tmp_path, rng):
    evenflow.set_seed(5)
    lookup = StringLookup(output_mode=mode)
    x = words(200, rng)
    lookup.adapt(x)
    between = [Embedding(5, 2), Flatten()] if mode == "int" else []
    model = Sequential([Input((1,), dtype="string"), lookup, *between, Dense(1)])
    model.compile("adam", "mse")
    y = (x == "red").astype(np.float64)
    history = model.fit(x, y, epochs=200, verbose=0, validation_split=0.2)
    assert history.history["loss"][-1] < 0.05
    model.save(tmp_path / "words.safetensors")
    loaded = load_model(tmp_path / "words.safetensors")
    np.testing.assert_array_equal(loaded.predict(x[:7]), model.predict(x[:7]))
    assert loaded.predict(x[:1]).shape == (1, 1)
    with pytest.raises((TypeError, ValueError), match="strings"):
        model.predict(np.zeros((3, 1), np.float32))


def test_lookups_come_first_and_fit_what_reads_them(rng):
    layer = StringLookup(vocabulary=["a", "b"])
    with pytest.raises(ValueError, match="right after Input"):
        Sequential([Input((1,)), Dense(3), StringLookup(vocabulary=["a"])])
    with pytest.raises(TypeError, match="Input"):
        layer(Dense(3)(Input((1,))))
    word = Input((1,), dtype="string")
    with pytest.raises(ValueError, match="StringLookup"):
        Model(word, Dense(1)(word))
    small = Model(word, Dense(1)(Flatten()(Embedding(2, 2, name="table")(layer(word)))))
    with pytest.raises(ValueError, match="at least the 3 ids of StringLookup"):
        small.predict(np.array([["a"]], object))


def test_a_table_of_pandas_with_words(rng):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"one": words(30, rng)[:, 0], "two": pandas.Categorical(words(30, rng)[:, 0])})
    lookup = StringLookup(output_mode="count")
    lookup.adapt(table)
    model = Sequential([lookup, Dense(1)])
    model.compile("adam", "mse")
    model.fit(table, np.ones(30), verbose=0)
    assert model.feature_names == ("one", "two")
    with pytest.raises(ValueError, match="another order"):
        model.predict(table[["two", "one"]])


def test_bins_in_a_model_are_those_of_the_layer(rng):
    layer = Discretization(num_bins=4)
    data = rng.standard_normal((100, 3)).astype(np.float32)
    layer.adapt(data)
    assert len(layer.bin_boundaries) == 3
    again = Discretization.from_config(layer.get_config())
    assert again.bin_boundaries == layer.bin_boundaries
    model = Sequential([Input((3,)), layer, Dense(2)])
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(data), layer(data) @ kernel + bias, rtol=1e-5, atol=1e-5)
    counted = Sequential([Input((3,)), Discretization([0.0], output_mode="count"), Dense(2)])
    kernel, bias = counted.get_weights()
    np.testing.assert_allclose(counted.predict(data), counted.layers[0](data) @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_numbers_may_be_normalized_before_they_are_binned(rng):
    data = 5 + rng.standard_normal((100, 2)).astype(np.float32)
    scaled = Normalization()
    scaled.adapt(data)
    model = Sequential([Input((2,)), scaled, Discretization([0.0], output_mode="one_hot"), Flatten(), Dense(1)])
    above = data > data.mean(axis=0)
    kernel, bias = model.get_weights()[-2:]
    hot = np.stack([~above, above], axis=2).reshape(100, 4)
    assert np.mean(np.abs(model.predict(data) - (hot @ kernel + bias)) < 1e-5) > 0.97


def test_the_command_line_predicts_tables_of_words(tmp_path, capsys, rng):
    word, year = Input((1,), dtype="string", name="town"), Input((1,), name="year")
    parts = [Flatten()(Embedding(3, 2)(StringLookup(vocabulary=["Ulm", "Bonn"])(word))), year]
    model = Model([word, year], Dense(1)(Concatenate()(parts)))
    model.save(tmp_path / "both.safetensors")
    path = tmp_path / "new.csv"
    path.write_text("year,town\n2001,Ulm\n1999,Rome\n", encoding="utf-8")
    assert cli.main(["predict", str(tmp_path / "both.safetensors"), str(path)]) == 0
    printed = [float(line) for line in capsys.readouterr().out.split()[1:]]
    expected = model.predict({"town": np.array([["Ulm"], ["Rome"]], object), "year": np.array([[2001.0], [1999.0]])})
    np.testing.assert_allclose(printed, expected[:, 0], rtol=1e-6)
    lookup = StringLookup(vocabulary=["Ulm", "Bonn"], output_mode="one_hot")
    alone = Sequential([Input((1,), dtype="string"), lookup, Dense(1)])
    alone.save(tmp_path / "alone.safetensors")
    path.write_text("town\nBonn\n", encoding="utf-8")
    assert cli.main(["predict", str(tmp_path / "alone.safetensors"), str(path)]) == 0
    assert float(capsys.readouterr().out.split()[1]) == pytest.approx(
        float(alone.predict(np.array([["Bonn"]], object))[0, 0]), rel=1e-6
    )
