"""Columns that are adapted again, and what their layers know then: in the layers, and in models that have them."""

import numpy as np
import pytest

from evenflow.layers import Dense, Discretization, Embedding, Flatten, Input, IntegerLookup, StringLookup
from evenflow.models import Model, Sequential


def of_values(shape, layers, **options):
    """A Sequential's layers in a Model."""
    given = value = Input(shape, **options)
    for layer in layers:
        value = layer(value)
    return Model(given, value)


def in_a_row(shape, layers, **options):
    return Sequential([Input(shape, **options), *layers])


both = pytest.mark.parametrize("make", [in_a_row, of_values])


# ---- models follow


@both
@pytest.mark.parametrize("mode", ["int", "one_hot"])
def test_a_model_bins_as_its_layer_does_now(make, mode, rng):
    data = rng.standard_normal((200, 2)).astype(np.float32)
    layer = Discretization(num_bins=4, output_mode=mode)
    layer.adapt(data)
    table = Embedding(4, 3)
    model = make((2,), [layer, *([table] if mode == "int" else []), Flatten(), Dense(1)])
    kernel, bias = model.get_weights()[-2:]

    def expected():
        found = layer(data)
        found = table.embeddings.numpy()[found] if mode == "int" else found
        return found.reshape(len(data), -1) @ kernel + bias

    before = model.predict(data)
    np.testing.assert_allclose(before, expected(), rtol=1e-5, atol=1e-6)
    layer.adapt(3 * data + 1)
    after = model.predict(data)
    assert np.mean(before != after) > 0.3
    np.testing.assert_allclose(after, expected(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(model.predict(data[:5]), after[:5])  # what fits one program's batch


@both
def test_a_model_keeps_its_columns(make):
    word = np.array([["a"], ["b"], ["c"]], object)
    layer = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    model = make((1,), [layer, Dense(1, name="top")], dtype="string")
    model.compile("sgd", "mse")
    other, a, b = model.predict(word)[[2, 0, 1]]
    layer.set_vocabulary(["b", "c"])
    assert np.array_equal(model.predict(word), [other, a, b])
    weights = model.get_weights()
    for vocabulary, columns in (["a", "b", "c"], 4), (["a"], 2):
        layer.set_vocabulary(vocabulary)
        shapes = rf"shape \(rows, {columns}\), expected \(rows, 3\)"
        for call in (lambda: model.predict(word), lambda: model.fit(word, np.ones((3, 1)), verbose=0)):
            with pytest.raises(ValueError, match=shapes):
                call()
    for one, kept in zip(model.get_weights(), weights, strict=True):
        assert np.array_equal(one, kept)
    layer.set_vocabulary(["a", "b"])
    assert np.array_equal(model.predict(word), [a, b, other])


def test_a_model_that_ends_with_columns():
    layer = StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
    model = Sequential([Input((1,), dtype="string"), layer])
    word = np.array([["a"], ["c"]], object)
    assert model.predict(word).tolist() == [[0, 1, 0], [1, 0, 0]]
    layer.set_vocabulary(["a", "b", "c"])
    assert model.predict(word).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


# ---- as many bins as were asked for


@pytest.mark.parametrize("bins", [1, 2, 10, 48, 49, 98, 103, 197])
def test_as_many_bins_as_were_asked_for(bins):
    layer = Discretization(num_bins=bins, epsilon=0.001)
    data = np.arange(1000, dtype=np.float32)
    layer.adapt(data)
    assert layer.bins == bins
    assert len(layer.bin_boundaries) == bins - 1
    found = np.bincount(layer(data), minlength=bins)
    assert len(found) == bins
    assert np.ptp(found) <= 2  # of about as many numbers each


# ---- categories and large numbers


def test_a_category_that_no_row_has_is_not_missed():
    pandas = pytest.importorskip("pandas")
    layer = StringLookup(vocabulary=["a", "b"], num_oov_indices=0, mask_token="-")
    kinds = ["q", "a", "b", "-"]
    assert layer(pandas.Series(pandas.Categorical(["b", "a", "-"], kinds))).tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="has 'q' in row 2, column 0"):
        layer(pandas.Series(pandas.Categorical(["b", "a", "q", "q"], kinds)))
    with pytest.raises(ValueError, match="has 'q' in row 1, column 1"):
        layer(np.array([["a", "b"], ["-", "q"]], object))
    assert layer(np.array("b", object)).tolist() == 2
    with pytest.raises(ValueError, match="has 'q' in row 0, column 0"):
        layer(np.array("q", object))


def test_numbers_that_no_signed_integer_holds():
    large = 2**64 - 1  # -1 where it is taken for a signed one
    numbers = np.array([large, 2**63, 5], np.uint64)
    layer = IntegerLookup(mask_token=-1)
    layer.adapt(numbers)
    assert layer.get_vocabulary(include_special_tokens=False) == [large, 2**63, 5]
    assert layer(numbers).tolist() == [2, 3, 4]
    assert layer(np.array([-1, 5, 6])).tolist() == [0, 4, 1]
    assert IntegerLookup(num_oov_indices=7, vocabulary=[1])(numbers).tolist() == [large % 7, 2**63 % 7, 5]
