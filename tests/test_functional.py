"""Models made of values: what layers give when they are called on one another."""

import numpy as np
import pytest

import evenflow
from evenflow import Input, Model, Sequential
from evenflow.layers import (
    Activation,
    ActivityRegularization,
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Flatten,
    Multiply,
    Rescaling,
)


def residual(units=12):
    x = Input(shape=(8,), name="x")
    hidden = Dense(units, "relu", name="first")(x)
    block = Dense(units, use_bias=False, name="second")(BatchNormalization(name="norm")(hidden))
    return Model(x, Dense(2, name="top")(Activation("elu", name="after")(Add(name="sum")([hidden, block]))), seed=1)


def rows(count=60):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, 8)).astype(np.float32)
    return x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1)


def test_a_residual_model_learns_and_describes_itself(capsys):
    model = residual()
    assert [layer.name for layer in model.layers] == ["x", "first", "norm", "second", "sum", "after", "top"]
    assert model.input_shape == (None, 8)
    assert model.output_shape == (None, 2)
    assert model.count_params() == 8 * 12 + 12 + 4 * 12 + 12 * 12 + 12 * 2 + 2
    model.compile("adam", "mse", metrics=["mae"])
    x, y = rows()
    history = model.fit(x, y, epochs=30, verbose=0, validation_split=0.2).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    model.summary()
    assert "sum (Add)" in capsys.readouterr().out


def test_by_hand():
    x = Input((3,))
    gate, value = Dense(4, "sigmoid")(x), Dense(4)(x)
    model = Model(x, Concatenate()([Multiply()([gate, value]), x]), dtype="float64")
    (w1, b1, w2, b2), data = model.get_weights(), np.random.default_rng(0).standard_normal((5, 3))
    right = np.concatenate([(data @ w2 + b2) / (1 + np.exp(-(data @ w1 + b1))), data], axis=1)
    np.testing.assert_allclose(model.predict(data), right, rtol=1e-12)


def test_a_chain_is_the_program_of_a_sequential():
    x = Input((2, 4))
    values = Dense(2)(Dropout(0.1, seed=3)(Dense(5, "elu")(BatchNormalization()(Flatten()(Rescaling(0.5)(x))))))
    model = Model(x, values)
    same = Sequential([Input((2, 4)), *model.layers[1:]])
    assert model.layer_spec() == same.layer_spec()


def test_saved_and_loaded(tmp_path):
    model = residual()
    model.compile("adam", "mse")
    x, y = rows()
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert loaded.get_config() == model.get_config()
    for one in (model, loaded):
        one.fit(x, y, epochs=2, verbose=0)
    assert np.array_equal(loaded.predict(x), model.predict(x))


def test_parts_share_their_layers():
    model = residual()
    part = Model(model.input, model.get_layer("norm").output)
    x, y = rows()
    before = part.predict(x)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    first = model.get_layer("first")
    assert part.get_layer("first") is first
    assert not np.array_equal(part.predict(x), before)
    stack = Sequential([Input((8,)), Dense(5, "tanh"), Dense(3)])
    hidden = Model(stack.input, stack.layers[0].output)
    kernel, bias = stack.layers[0].get_weights()
    np.testing.assert_allclose(hidden.predict(x), np.tanh(x @ kernel + bias), rtol=1e-5, atol=1e-6)


def test_models_within_models():
    stack = Sequential([Input((8,)), Dense(5, "tanh"), Dense(3)])
    x = Input((8,))
    whole = Model(x, Add()([stack(x), Dense(3)(x)]))
    data, _ = rows()
    kernel, bias = whole.layers[-2].get_weights()
    np.testing.assert_allclose(whole.predict(data), stack.predict(data) + data @ kernel + bias, rtol=1e-5, atol=1e-5)
    inner = residual()
    outer = Model(x, Dense(1)(inner(x)))
    kernel, bias = outer.layers[-1].get_weights()
    np.testing.assert_allclose(outer.predict(data), inner.predict(data) @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_a_stack_within_a_stack():
    base = Sequential([Input((8,)), Dense(5, "tanh"), BatchNormalization()])
    inner = Sequential([Dense(4, "relu"), Dense(3)])
    whole = Sequential([base, inner, Dense(2)])
    assert whole.layers[:2] == base.layers
    assert whole.layers[2:4] == inner.layers
    data, y = rows()
    kernel, bias = whole.layers[-1].get_weights()
    right = inner.predict(base.predict(data)) @ kernel + bias
    np.testing.assert_allclose(whole.predict(data), right, rtol=1e-5, atol=1e-6)
    before = base.predict(data)
    whole.compile("sgd", "mse")
    whole.fit(data, y, verbose=0)
    assert not np.array_equal(base.predict(data), before)
    assert len(Sequential([Sequential([whole]), Dense(1)]).layers) == 6
    clash = Sequential([Dense(7), Dense(4, name=inner.layers[1].name)])
    for wrong, message in (
        (Sequential(), "has no layers"),
        (clash, "no other layer"),
        (Sequential([Dense(9, input_shape=(7,))]), r"\(rows, 7\)"),
        (residual(), r"Model\(inputs, outputs\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            whole.add(wrong)
        assert len(whole.layers) == 5


def test_freezing_a_branch():
    model = residual()
    model.get_layer("second").trainable = False
    model.compile("sgd", "mse")
    x, y = rows()
    kept, moved = (model.get_layer(name).get_weights()[0] for name in ("second", "first"))
    model.fit(x, y, verbose=0)
    assert np.array_equal(model.get_layer("second").get_weights()[0], kept)
    assert not np.array_equal(model.get_layer("first").get_weights()[0], moved)


def test_a_penalty_of_a_value_that_two_layers_read():
    x = Input((8,))
    hidden = ActivityRegularization(l2=0.5)(Dense(4)(x))
    model = Model(x, Add()([hidden, Dense(4)(hidden)]), dtype="float64")
    model.compile("sgd", "mse")
    data = np.random.default_rng(0).standard_normal((10, 8))
    kernel, bias = model.layers[1].get_weights()
    y = model.predict(data)
    penalty = 0.5 * ((data @ kernel + bias) ** 2).sum() / 10
    assert model.evaluate(data, y, verbose=0) == pytest.approx(penalty, rel=1e-12)


def test_auto_initializers_see_what_follows_on_the_only_way():
    x = Input((100,))
    through = Dense(100, kernel_initializer="auto")
    split = Dense(100, kernel_initializer="auto")
    hidden = Activation("relu")(BatchNormalization()(through(x)))
    halves = split(hidden)
    Model(x, Add()([Activation("relu")(halves), halves]))
    he, glorot = (float(layer.kernel.numpy().std()) for layer in (through, split))
    assert he == pytest.approx(np.sqrt(2 / 100), rel=0.05)
    assert glorot == pytest.approx(np.sqrt(1 / 100), rel=0.05)


def refused():
    x, other = Input((4,), name="x"), Input((4,), name="other")
    dense, hidden = Dense(3, name="dense"), Dense(3, name="hidden")(x)
    yield lambda: Dense(2)(np.ones((2, 3))), TypeError, "what Input"
    yield lambda: Dense(2)([x, x]), TypeError, "one value"
    yield lambda: Add()(x), TypeError, "a list of at least two values"
    yield lambda: Add()([x]), TypeError, "a list of at least two values"
    yield lambda: Add()([x, hidden]), ValueError, r"\(rows, 3\).*\(rows, 4\)"
    yield lambda: Concatenate(axis=0), ValueError, "axis"
    yield lambda: Concatenate()([Input((2, 2)), Input((2, 2))]), ValueError, "Flatten"
    yield lambda: Model(other, hidden), ValueError, "'x' among them"
    yield lambda: Model([x, other], hidden), ValueError, "other"
    yield lambda: Model(hidden, Dense(2)(hidden)), TypeError, "Input"
    yield lambda: Model(x, [hidden, hidden]), ValueError, "each once"
    yield lambda: Model(x, Flatten()(x)), ValueError, "no layer computes"
    yield lambda: Model(x, []), ValueError, "at least one value"
    yield lambda: Model(x, x), ValueError, "an input itself"
    yield lambda: Model(x, dense(dense(x))), ValueError, r"\(rows, 3\), expected \(rows, 4\)"
    yield lambda: Model(x, Add()([hidden, Dense(3, name="hidden")(x)])), ValueError, "no other layer"
    yield lambda: Model(x, Activation("softmax")(x), dtype="float16"), ValueError, "float32"
    yield lambda: Sequential([Add()]), TypeError, "Model"


@pytest.mark.parametrize("case", range(18))
def test_refused(case):
    make, kind, message = list(refused())[case]
    with pytest.raises(kind, match=message):
        make()


def two_inputs():
    wide, deep = Input((5,), name="wide"), Input((2, 4), name="deep")
    hidden = Dense(9, "relu")(Dropout(0.1, seed=2)(Flatten()(Rescaling(0.5)(deep))))
    return Model([wide, deep], Dense(1)(Concatenate()([BatchNormalization()(wide), hidden])), seed=3)


def two_arrays(count=80):
    rng = np.random.default_rng(2)
    x = [rng.standard_normal((count, 5)).astype(np.float32), rng.integers(0, 255, (count, 2, 4)).astype(np.uint8)]
    return x, x[0][:, 0] * x[1][:, 0, 0] / 255


def test_several_inputs(tmp_path):
    model, (x, y) = two_inputs(), two_arrays()
    assert model.input_shape == [(None, 5), (None, 2, 4)]
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=20, verbose=0, validation_split=0.2, batch_size=8).history
    assert history["loss"][-1] < history["loss"][0]
    predicted = model.predict(x)
    assert np.array_equal(model.predict({"deep": x[1], "wide": x[0]}), predicted)
    assert np.array_equal(np.concatenate([model.predict([one[i : i + 1] for one in x]) for i in range(80)]), predicted)
    mean, deviation = model.predict_mc(x, 5, seed=1)
    assert mean.shape == deviation.shape == predicted.shape
    assert deviation.max() > 0
    assert model(x, training=True).shape == predicted.shape
    model.save(tmp_path / "two.safetensors")
    loaded = evenflow.models.load_model(tmp_path / "two.safetensors")
    loss = model.evaluate(x, y, verbose=0)
    assert loaded.evaluate(x, y, verbose=0) == loss
    for one in (model, loaded):
        one.fit(x, y, epochs=1, verbose=0, validation_data=(x, y))
        one.train_on_batch(x, y)
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert not np.array_equal(model.predict(x), predicted)


def test_several_inputs_of_a_custom_loss_and_a_search_for_the_rate():
    model, (x, y) = two_inputs(), two_arrays()

    def squares(y, prediction):
        return ((prediction - y) ** 2).mean(axis=1), 2 * (prediction - y)

    model.compile(evenflow.optimizers.SGD(1e-6), squares)  # inputs of a hundred: a usual rate diverges
    before = model.get_weights()[0]
    model.fit(x, y[:, None], epochs=1, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
    model.compile("sgd", "mse")
    found = evenflow.find_learning_rate(model, x, y, batch_size=8, epochs=2)
    assert found.suggestion > 0


def test_several_inputs_are_checked():
    model, (x, y) = two_inputs(), two_arrays()
    model.compile("adam", "mse")
    with pytest.raises(TypeError, match="a list of 2 arrays"):
        model.predict(x[0])
    with pytest.raises(ValueError, match="received 1"):
        model.predict(x[:1])
    with pytest.raises(ValueError, match=r"x\[1\] must have the same number of rows|x\[0\] and x\[1\]"):
        model.predict([x[0], x[1][:3]])
    with pytest.raises(ValueError, match=r"x\[1\] has shape \(80, 5\), expected \(rows, 2, 4\)"):
        model.predict([x[0], x[0]])
    with pytest.raises(ValueError, match="wide"):
        model.fit({"wide": x[0], "narrow": x[1]}, y)
    x[0][3, 2] = np.nan
    with pytest.raises(ValueError, match=r"x\[0\] has nan in row 3, column 2"):
        model.predict(x)


def test_one_input_by_its_name():
    model, (x, y) = residual(), rows()
    model.compile("adam", "mse")
    model.fit({"x": x}, y, verbose=0, validation_data=({"x": x}, y))
    np.testing.assert_array_equal(model.predict({"x": x}), model.predict(x))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"fit: x.*by the name of the input \['x'\].*'z'"):
        model.fit({"z": x}, y, verbose=0)
    with pytest.raises(ValueError, match=r"predict: x has shape \(60, 7\)"):
        model.predict({"x": x[:, :7]})
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
