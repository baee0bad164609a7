"""Normalizing layers as users meet them: shapes of statistics, adapt, final statistics, in place of a scaler."""

import tracemalloc
import warnings

import numpy as np
import pytest

import evenflow
from evenflow import Sequential, reference
from evenflow.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    Normalization,
    RMSNormalization,
)


def images(rng, rows=100):
    """Rows of 4 x 5 whose columns and rows differ in mean and deviation."""
    return rng.standard_normal((rows, 4, 5)) * np.arange(1, 6) + 3 * np.arange(4)[:, None]


def norm(rng, *layers, x):
    """A float64 model of these layers, trained a little so that every variable is its own."""
    model = Sequential([Input(x.shape[1:]), *layers], dtype="float64", seed=0)
    model.compile("sgd", "mse")
    target = rng.standard_normal((len(x), *model.output_shape[1:]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, target, epochs=2, batch_size=25, verbose=0)
    return model


# Statistics along axes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axis", "shape", "others"),
    [
        (-1, (5,), (0, 1)),
        (2, (5,), (0, 1)),
        (1, (4,), (0, 2)),
        ([-2], (4,), (0, 2)),
        ([1, 2], (4, 5), (0,)),
        ([-1, 1], (4, 5), (0,)),
    ],
)
def test_statistics_along_axes(axis, shape, others, rng):
    x = images(rng)
    layer = BatchNormalization(axis=axis, momentum=0.0)
    model = Sequential([Input((4, 5)), layer, Flatten()], dtype="float64")
    assert [(v.name, v.shape, v.trainable) for v in layer.variables or model.build((None, 4, 5))] == [
        ("gamma", shape, True),
        ("beta", shape, True),
        ("moving_mean", shape, False),
        ("moving_variance", shape, False),
    ]
    assert layer.count_params() == 4 * int(np.prod(shape))
    y = model(x, training=True)
    mean, variance = x.mean(axis=others), x.var(axis=others)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-12)
    wide = [np.expand_dims(statistic, others) for statistic in (mean, variance)]
    expected = (x - wide[0]) / np.sqrt(wide[1] + 1e-3)
    np.testing.assert_allclose(y, expected.reshape(100, -1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-10, atol=1e-12)  # momentum 0: the batch's are the moving


def test_the_chapters_counts():
    for axis, parameters in ((-1, 4 * 28), (1, 4 * 28), ([1, 2], 3136)):
        layer = BatchNormalization(axis=axis)
        Sequential([Input((28, 28)), layer, Flatten(), Dense(10)])
        assert layer.count_params() == parameters


def test_all_axes_are_the_bits_of_flat_rows(rng, isa):
    x, y = images(rng).astype(np.float32), rng.standard_normal((100, 3)).astype(np.float32)
    found = []
    for layers in ([BatchNormalization(axis=[1, 2]), Flatten()], [Flatten(), BatchNormalization()]):
        evenflow.set_seed(1)
        model = Sequential([Input((4, 5)), *layers, Dense(3)], seed=1)
        model.compile("adam", "mse")
        model.fit(x, y, epochs=2, verbose=0)
        found.append([weight.ravel() for weight in model.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("flat", [False, True])
def test_unbiased_variance(flat, rng):
    x = images(rng, 7)
    layer = BatchNormalization(momentum=0.75, unbiased_variance=True)
    layers = [Flatten(), layer] if flat else [layer, Flatten()]
    model = Sequential([Input((4, 5)), *layers], dtype="float64")
    y = model(x, training=True)
    values = x.reshape(7, -1) if flat else x.reshape(-1, 5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.75 + 0.25 * values.var(axis=0, ddof=1), rtol=1e-12)
    layer.set_weights([*layer.get_weights()[:2], values.mean(axis=0), values.var(axis=0)])
    np.testing.assert_allclose(model.predict(x), y, rtol=1e-10, atol=1e-12)  # what is normalized is not changed


def test_a_single_row_keeps_an_unbiased_variance_finite(rng):
    layer = BatchNormalization(unbiased_variance=True)
    Sequential([Input((3,)), layer], dtype="float64")(rng.standard_normal((1, 3)), training=True)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.99)


def test_single_rows_of_shared_statistics_need_no_warning(rng):
    x = images(rng, 5)
    model = Sequential([Input((4, 5)), BatchNormalization(), Flatten(), Dense(1)])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, np.zeros(5), batch_size=1, verbose=0)


def test_frozen_statistics_along_axes_do_not_move(rng):
    x = images(rng)
    layer = BatchNormalization(trainable=False)
    model = norm(rng, layer, Flatten(), Dense(2), x=x)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(5))
    assert not layer.trainable_weights
    assert len(model.trainable_weights) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_models_with_all_of_them_are_saved(dtype, rng, tmp_path):
    x, y = images(rng).astype(dtype), rng.standard_normal((100, 2)).astype(dtype)
    scaled = Normalization(axis=[1, 2])
    scaled.adapt(x)
    hidden = [scaled, BatchNormalization(axis=1), Flatten(), Dense(6), LayerNormalization(), RMSNormalization()]
    model = Sequential([*hidden, Normalization(axis=None), Dense(2)], dtype=dtype)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    again = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert again.get_config() == model.get_config()
    for model_ in (model, again):
        model_.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))


# Normalization --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "others"), [(-1, (0, 1)), (1, (0, 2)), ([1, 2], (0,)), (None, (0, 1, 2))])
@pytest.mark.parametrize("batch_size", [None, 1, 7, 1000])
def test_adapt(axis, others, batch_size, rng):
    x = images(rng)
    layer = Normalization(axis=axis)
    layer.adapt(x, batch_size=batch_size)
    model = Sequential([layer, Flatten()], dtype="float64")
    mean, variance = x.mean(axis=others), x.var(axis=others)
    assert [(v.name, v.shape, v.trainable) for v in layer.variables] == [
        ("mean", mean.shape, False),
        ("variance", mean.shape, False),
    ]
    np.testing.assert_allclose(layer.mean.numpy(), mean, rtol=1e-13)
    np.testing.assert_allclose(layer.variance.numpy(), variance, rtol=1e-13)
    expected = (x - np.expand_dims(mean, others)) / np.sqrt(np.expand_dims(variance, others))
    np.testing.assert_allclose(model.predict(x), expected.reshape(100, -1), rtol=1e-12, atol=1e-13)
    back = Normalization(axis=axis, mean=mean, variance=variance, invert=True)
    both = Sequential([layer, back, Flatten()], dtype="float64")
    np.testing.assert_allclose(both.predict(x), x.reshape(100, -1), rtol=1e-12, atol=1e-13)


def test_adapt_takes_batches_and_adapts_again(rng):
    x = images(rng)
    layer = Normalization()
    model = Sequential([Input((4, 5)), layer, Flatten()], dtype="float64")
    np.testing.assert_array_equal(model.predict(x), x.reshape(100, -1))  # 0 and 1 until there is something better
    layer.adapt(np.ones((3, 4, 5)))
    np.testing.assert_array_equal(model.predict(np.ones((1, 4, 5))), np.zeros((1, 20)))
    above = np.nextafter(1, 2)
    found = model.predict(np.full((1, 4, 5), above))
    np.testing.assert_allclose(found, (above - 1) / 1e-7, rtol=1e-15)  # no division by a deviation of 0
    for batches in ([x[:30], x[30:]], ((part, None) for part in (x[:1], x[1:]))):
        layer.adapt(batches)
        np.testing.assert_allclose(layer.mean.numpy(), x.mean(axis=(0, 1)), rtol=1e-13)
        np.testing.assert_allclose(layer.variance.numpy(), x.var(axis=(0, 1)), rtol=1e-13)


def test_adapt_reads_memory_maps_in_pieces(tmp_path):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.uint8, shape=(200_000, 100))
    x[::2] = 255
    layer = Normalization()
    tracemalloc.start()
    layer.adapt(x, batch_size=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 4
    layer.build((100,))
    np.testing.assert_allclose(layer.mean.numpy(), 127.5)
    np.testing.assert_allclose(layer.variance.numpy(), 127.5**2)


def test_a_large_mean_costs_the_variance_no_digits(rng):
    x = 1e6 + rng.standard_normal((1000, 3))
    layer = Normalization()
    layer.adapt(x, batch_size=10)
    layer.build((3,), "float64")
    np.testing.assert_allclose(layer.variance.numpy(), (x - 1e6).var(axis=0), rtol=1e-9)


def test_normalization_does_not_learn(rng):
    layer = Normalization(mean=2.0, variance=9.0)
    model = norm(rng, layer, Flatten(), Dense(3), x=images(rng))
    assert [float(value[0]) for value in layer.get_weights()] == [2.0, 9.0]
    assert model.spec()["layers"][0] == {
        "kind": "normalization",
        "name": layer.name,
        "invert": False,
        "shape": [4, 5],
        "axis": [2],
    }


def test_wrong_data_is_named(rng):
    x = images(rng)
    layer = Normalization(name="scale")
    layer.adapt(x)
    for data, words in (
        (np.ones((3, 4)), ["'scale' adapt: data", "(rows, 4, 5)", "(3, 4)"]),
        ([], ["at least one batch"]),
        (np.ones((0, 4, 5)), ["at least one batch"]),
        (np.full((2, 4, 5), np.nan), ["finite"]),
        (np.ones(3), ["data has shape (3,)"]),
        ("abc", ["data", "'abc'"]),
        ([[1.0, 2.0]], ["iterable of arrays"]),
        (np.array([["a"]]), ["data", "dtype"]),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            layer.adapt(data)
        assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(ValueError, match="batch_size"):
        layer.adapt(x, batch_size=0)
    layer.build((4, 5), "float64")
    np.testing.assert_allclose(layer.mean.numpy(), x.mean(axis=(0, 1)), rtol=1e-13)  # nothing of it was taken in


def test_in_place_of_a_standard_scaler(rng):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = rng.standard_normal((500, 8)) * np.geomspace(0.1, 100, 8) + np.arange(8)
    expected = preprocessing.StandardScaler().fit_transform(x)
    scaler = Normalization()
    scaler.adapt(x)
    np.testing.assert_allclose(Sequential([scaler], dtype="float64").predict(x), expected, rtol=1e-10, atol=1e-12)
    # The chapter: batch normalization as the first layer does it, but for epsilon, once its statistics are final.
    model = norm(rng, BatchNormalization(epsilon=0.0, center=False, scale=False), Dense(2), x=x)
    model.recalibrate_batch_norm(x)
    first = Sequential([model.layers[0]], dtype="float64")
    np.testing.assert_allclose(first.predict(x), expected, rtol=1e-10, atol=1e-12)


# Rows -----------------------------------------------------------------------------------------------------------------


def test_rows_do_not_see_each_other(rng, isa):
    x = rng.standard_normal((20, 7)).astype(np.float32)
    hidden = [LayerNormalization(), Activation("elu"), Dense(33), RMSNormalization(), Dense(3)]
    model = Sequential([Input((7,)), Dense(65), *hidden])
    y = model.predict(x)
    for row in range(20):
        np.testing.assert_array_equal(model.predict(x[row : row + 1])[0], y[row])
    np.testing.assert_array_equal(model(x, training=True), y)


def test_variables_of_row_normalizations():
    layers = [LayerNormalization(), LayerNormalization(scale=False), LayerNormalization(center=False)]
    layers.append(RMSNormalization())
    Sequential([Input((6,)), *layers])
    names = [[(v.name, v.shape, v.trainable) for v in layer.variables] for layer in layers]
    gamma, beta, scale = (("gamma", (6,), True), ("beta", (6,), True), ("scale", (6,), True))
    assert names == [[gamma, beta], [beta], [gamma], [scale]]
    layers[0].trainable = False
    assert not layers[0].trainable_weights


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_row_normalization_in_a_model(threads, rng):
    x = rng.standard_normal((40, 33))
    model = norm(rng, LayerNormalization(epsilon=0.1), RMSNormalization(epsilon=0.2), x=x)
    gamma, beta, scale = model.get_weights()
    assert not np.array_equal(gamma, np.ones(33))
    expected = reference.layer_norm_forward(x, gamma, beta, epsilon=0.1)
    expected = reference.rms_norm_forward(expected, scale, epsilon=0.2)
    np.testing.assert_allclose(model.predict(x, threads=threads), expected, rtol=1e-12, atol=1e-13)
    lines = model.plan()
    for operation in ("layer_normalization layer_normalization", "scale", "bias", "rms_normalization"):
        assert operation in lines


# Final statistics -----------------------------------------------------------------------------------------------------


def by_hand(model, x):
    """The inputs' mean and variance of each batch normalization, in layer order, as the definition says."""
    h, found = x.astype(np.float64), []
    for layer in model.layers:
        below = Sequential([layer], dtype="float64")
        if isinstance(layer, BatchNormalization):
            axes = layer.kept_axes(h.shape[1:])
            others = tuple(a for a in range(h.ndim) if a not in axes)
            found.append((h.mean(axis=others), h.var(axis=others)))
            wide = [np.expand_dims(statistic, others) for statistic in found[-1]]
            gamma, beta = (np.expand_dims(v.numpy(), others) for v in (layer.gamma, layer.beta))
            h = gamma * (h - wide[0]) / np.sqrt(wide[1] + layer.epsilon) + beta
        elif isinstance(layer, Flatten):
            h = h.reshape(len(h), -1)
        else:
            h = below.predict(h)
    return found


@pytest.mark.parametrize("batch_size", [None, 1, 33, 1000])
def test_recalibration(batch_size, rng):
    x = images(rng)
    model = norm(
        rng,
        BatchNormalization(axis=1),
        Flatten(),
        Dense(6, "tanh"),
        BatchNormalization(),
        Dense(4, "elu"),
        BatchNormalization(),
        Dense(2),
        x=x,
    )
    before = {v.path: v.numpy() for v in model.variables}
    evenflow.recalibrate_batch_norm(model, x, batch_size=batch_size)
    norms = [layer for layer in model.layers if isinstance(layer, BatchNormalization)]
    for layer, (mean, variance) in zip(norms, by_hand(model, x), strict=True):
        np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-11)
    for path, value in before.items():
        now = next(v for v in model.variables if v.path == path).numpy()
        assert np.array_equal(now, value) != ("moving" in path), path


def test_recalibration_leaves_frozen_layers_and_takes_the_unbiased_variance(rng):
    x = rng.standard_normal((30, 5)) * 3
    first, second = BatchNormalization(trainable=False), BatchNormalization(unbiased_variance=True)
    model = norm(rng, first, second, Dense(1), x=x)
    model.recalibrate_batch_norm(x.astype(np.float32))
    np.testing.assert_array_equal(first.moving_variance.numpy(), np.ones(5))
    inputs = x.astype(np.float32) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(second.moving_variance.numpy(), inputs.var(axis=0, ddof=1), rtol=1e-6)


def test_training_goes_on_after_recalibration(rng):
    x, y = rng.standard_normal((60, 5)).astype(np.float32), rng.standard_normal((60, 1)).astype(np.float32)
    model = Sequential([Input((5,)), Dense(8, "relu"), BatchNormalization(), Dense(1)], seed=0)
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    steps = model.optimizer.iterations
    model.recalibrate_batch_norm(x)
    assert model.optimizer.iterations == steps
    statistics = model.layers[1].moving_mean.numpy()
    model.fit(x, y, epochs=1, verbose=0)
    assert model.optimizer.iterations == steps + 2
    moved = model.layers[1].moving_mean.numpy()
    assert 0 < abs(moved - statistics).max() < 0.1


def test_recalibration_refuses_what_does_not_fit(rng):
    x = rng.standard_normal((10, 3))
    model = Sequential([Input((3,)), BatchNormalization(), Dense(1)])
    before = model.get_weights()
    for call, word in (
        (lambda: model.recalibrate_batch_norm(x[:, :2]), r"\(rows, 3\)"),
        (lambda: model.recalibrate_batch_norm(x * np.nan), "nan"),
        (lambda: model.recalibrate_batch_norm(x, batch_size=0), "batch_size"),
        (lambda: model.recalibrate_batch_norm(x[:0]), "nothing in it"),
        (lambda: evenflow.recalibrate_batch_norm(5, x), "a Sequential"),
    ):
        with pytest.raises((TypeError, ValueError), match=word):
            call()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
