"""Recipes: that each is what its table says, and what it reaches on real data."""

import math

import numpy as np
import pytest
from example import blobs

import evenflow
from evenflow import reference, schedules
from evenflow.callbacks import EarlyStopping, OneCycle, ReduceLROnPlateau
from evenflow.layers import (
    Flatten,
    Input,
)
from evenflow.models import Sequential, load_model
from evenflow.recipes import RECIPES, BestEpoch, WholeRun, default_mlp, self_normalizing_mlp, tabular_mlp

every_recipe = pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)


@pytest.fixture(autouse=True)
def _seeded():
    evenflow.set_seed(1)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def line(rows=300, seed=0):
    """y = 1000 + 50 a - 20 b, and a column that does not matter, of widely different scales."""
    x = np.random.default_rng(seed).standard_normal((rows, 3)) * [1, 1e-3, 1e4]
    return x, 1000 + 50 * x[:, 0] - 20e3 * x[:, 1]


# ---------------------------------------------------------------------------------------- what the tables say


def test_default_is_that_of_the_third_edition():
    recipe = default_mlp(*blobs())
    model = recipe.model
    assert kinds(model) == ["Normalization", "Dense", "Dense", "Dense"]
    hidden = model.layers[1:3]
    assert [(layer.units, layer.activation.kind) for layer in hidden] == [(300, "relu"), (100, "relu")]
    assert all(isinstance(layer.kernel_initializer, evenflow.initializers.HeNormal) for layer in hidden)
    assert model.layers[-1].spec()[-1]["activation"] == "softmax"
    optimizer = model.optimizer
    assert (optimizer.kind, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.9, True)
    assert (float(optimizer.learning_rate), optimizer.weight_decay, optimizer.global_clipnorm) == (0.01, None, 1.0)
    plateau, stopping = recipe.callbacks
    assert isinstance(plateau, ReduceLROnPlateau)
    assert (plateau.factor, plateau.patience) == (0.5, 5)
    assert isinstance(stopping, EarlyStopping)
    assert (stopping.patience, stopping.restore_best_weights, stopping.monitor) == (20, True, "val_loss")
    assert (recipe.epochs, recipe.batch_size, recipe.validation_split) == (100, 32, 0.2)


def test_deep_means_swish_and_batch_normalization():
    model = default_mlp(*blobs(), hidden=(20,) * 4, l2=0.01).model
    assert kinds(model) == ["Normalization", *["Dense", "BatchNormalization", "Activation"] * 4, "Dense"]
    assert not model.layers[1].use_bias
    assert model.layers[1].kernel_regularizer.l2 == 0.01
    assert model.layers[3].as_activation().kind == "silu"
    assert kinds(default_mlp(*blobs(), hidden=(20,) * 3).model) == ["Normalization", *["Dense"] * 4]


def test_second_edition():
    recipe = default_mlp(*blobs(), edition=2)
    assert recipe.model.layers[1].activation.kind == "elu"
    assert not recipe.model.optimizer.nesterov
    assert recipe.model.optimizer.momentum == 0.9
    cycle, best = recipe.callbacks
    assert isinstance(cycle, OneCycle)
    assert isinstance(best, BestEpoch)
    rates = recipe.fit(*blobs(), verbose=0).history["learning_rate"]
    assert len(rates) == recipe.epochs == 30
    assert 0.028 < max(rates) <= 0.03
    assert rates[-1] < 1e-5
    deep = default_mlp(*blobs(), edition=2, hidden=(20,) * 4).model
    assert deep.layers[3].as_activation().kind == "elu"


def test_adamw_decays_kernels_alone():
    model = default_mlp(*blobs(), optimizer="adamw", weight_decay=0.1).model
    assert (model.optimizer.kind, float(model.optimizer.learning_rate)) == ("adam", 0.001)
    assert model.optimizer.weight_decay == 0.1
    assert {v.name for v in model.trainable_weights if model.optimizer.excludes(v)} == {"bias"}


def test_self_normalizing_keeps_the_conditions():
    recipe = self_normalizing_mlp(*blobs(), dropout=0.05)
    assert kinds(recipe.model) == ["Normalization", *["Dense", "AlphaDropout"] * 8, "Dense"]
    for layer in recipe.model.layers[1:-1:2]:
        assert layer.activation.kind == "selu"
        assert isinstance(layer.kernel_initializer, evenflow.initializers.LecunNormal)
    assert "AlphaDropout" not in kinds(self_normalizing_mlp(*blobs()).model)
    assert recipe.model.optimizer.nesterov


def test_self_normalizing_normalizes_itself():
    x, y = blobs(rows=2000)
    model = self_normalizing_mlp(7 + 30 * x, y).model
    hidden = Sequential([Input((6,)), *model.layers[:-1]]).predict(7 + 30 * x)
    assert 0.7 < hidden.std() < 1.3
    assert abs(hidden.mean()) < 0.2


def test_tabular_is_realmlp_td_s():
    x, y = blobs()
    recipe = tabular_mlp(x, y)
    model = recipe.model
    assert kinds(model) == ["Normalization", "Activation", "Scaling", "Dense", "Dense", "Dense", "Dense"]
    assert model.layers[1].as_activation() == ("isru", {"alpha": 1 / 9})
    assert [layer.units for layer in model.layers[3:]] == [256, 256, 256, 3]
    assert {layer.activation.kind for layer in model.layers[3:6]} == {"selu"}
    first, second, *_, top = model.layers[3:]
    np.testing.assert_allclose(second.kernel.numpy().std() * math.sqrt(256), 1, rtol=0.02)
    np.testing.assert_allclose(first.kernel.numpy().std() * math.sqrt(6), 1, rtol=0.1)
    np.testing.assert_allclose(np.concatenate([first.bias, second.bias]).std(), 1, rtol=0.1)
    assert not np.any(top.kernel.numpy())
    assert not np.any(top.bias.numpy())
    optimizer = model.optimizer
    assert (optimizer.kind, optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == ("adam", 0.9, 0.95, 1e-8)
    factors = optimizer.rate_factors(model.variables)
    assert [factors[v.path] for v in model.trainable_weights] == pytest.approx(
        [6, 6**-0.5, 0.1, *[1 / 16, 0.1] * 3], rel=1e-15
    )
    assert model.loss.spec()["label_smoothing"] == 0.1
    pace, best = recipe.callbacks
    assert pace.schedule(100)(50) == pytest.approx(0.04 * (1 - math.cos(2 * math.pi * math.log2(8.5))) / 2)
    assert (best.monitor, best.mode) == ("val_accuracy", "max")
    assert (recipe.epochs, recipe.batch_size) == (256, 256)
    values = tabular_mlp(*line())
    assert values.model.layers[3].activation.kind == "mish"
    assert values.callbacks[0].schedule(1).initial_learning_rate == 0.07


def test_tabular_inputs_are_scaled_robustly():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    x[:, 1] = x[:, 1] * 1e6 + 5e6
    x[:, 2] = np.where(np.arange(400) < 40, 1.0, 0.0)  # quartiles equal, half the range is 1/2
    x[:, 3] = 7.5
    x[0, 0] = 1e9  # an outlier
    model = tabular_mlp(x, rng.integers(0, 2, 400), dtype="float64").model
    inputs = Sequential([Input((4,)), *model.layers[:2]], dtype="float64").predict(x)
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
    z = (x[:, :2] - median[:2]) / (high - low)[:2]
    np.testing.assert_allclose(inputs[:, :2], z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-12, atol=1e-12)
    assert inputs[0, 0] == pytest.approx(3, abs=1e-9)
    np.testing.assert_allclose(inputs[:, 2], 2 * x[:, 2] / np.sqrt(1 + 4 / 9 * x[:, 2]), rtol=1e-12)
    np.testing.assert_array_equal(inputs[:, 3], 0)


def test_tabular_trains_as_the_parametrization_says():
    """y = W x / sqrt(inputs) + b with Adam, in NumPy, against the kernel W / sqrt(inputs) and its learning rate."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((256, 5)), rng.integers(0, 3, 256)
    recipe = tabular_mlp(x, y, hidden=(7, 6), dtype="float64")
    model = recipe.model
    model.layers[-1].kernel.assign(rng.standard_normal((6, 3)) / 10)  # else no gradient gets below in the first step
    scale, *weights = (v.numpy() for v in model.trainable_weights)
    roots = [math.sqrt(w.shape[0]) for w in weights[::2]]
    kernels, biases = [w * r for w, r in zip(weights[::2], roots, strict=True)], weights[1::2]
    inputs = Sequential([Input((5,)), *model.layers[:2]], dtype="float64").predict(x)
    smooth = 0.9 * np.eye(3)[y] + 0.1 / 3
    variables = [scale, *kernels, *biases]
    factors = [6.0, *[1.0] * 3, *[0.1] * 3]
    epsilons = [1e-8, *(1e-8 / root for root in roots), *[1e-8] * 3]  # the one difference
    m, v = ([np.zeros_like(p) for p in variables] for _ in range(2))
    rates = schedules.CosineCycles(0.04, 20).rates(np.arange(20.0))
    for step, rate in enumerate(rates, 1):
        h = [inputs * scale]
        for i in range(3):
            z = h[-1] @ kernels[i] / roots[i] + biases[i]
            h.append(reference.selu(z) if i < 2 else reference.softmax(z))
        dz, gradients = (h[-1] - smooth) / 256, {}
        for i in (2, 1, 0):
            gradients[i] = h[i].T @ dz / roots[i], dz.sum(axis=0)
            dh = dz @ kernels[i].T / roots[i]
            if i:
                slope = np.where(h[i] > 0, reference.SELU_SCALE, h[i] + reference.SELU_SCALE * reference.SELU_ALPHA)
                dz = dh * slope
        flat = [(dh * inputs).sum(axis=0), *(gradients[i][0] for i in range(3)), *(gradients[i][1] for i in range(3))]
        for p, g, mean, square, factor, epsilon in zip(variables, flat, m, v, factors, epsilons, strict=True):
            mean[...], square[...] = 0.9 * mean + 0.1 * g, 0.95 * square + 0.05 * g * g
            p -= factor * rate * math.sqrt(1 - 0.95**step) / (1 - 0.9**step) * mean / (np.sqrt(square) + epsilon)
    recipe.fit(x, y, validation_data=(x, y), epochs=20, shuffle=False, verbose=0, callbacks=[keeper := Last()])
    expected = [scale, *(p for pair in zip(kernels, biases, strict=True) for p in pair)]
    for found, right, root in zip(keeper.weights, expected, [1, *(r for r in roots for r in (r, 1))], strict=True):
        np.testing.assert_allclose(found * root, right, rtol=1e-8, atol=1e-10)


class Last(evenflow.callbacks.Callback):
    """The trained variables after the last epoch, before those of the best one come back."""

    def on_epoch_end(self, epoch, logs=None):
        self.weights = [v.numpy() for v in self.model.trainable_weights]


# ---------------------------------------------------------------------------------------- what they have in common


def test_a_regression_is_learned_in_the_units_of_y():
    x, y = line()
    for make in (default_mlp, tabular_mlp):
        model = make(x, y).model
        assert kinds(model)[-2:] == ["Dense", "Normalization"]
        loss, error = model.evaluate(x, y, verbose=0)
        prediction = model.predict(x)[:, 0]
        assert error == pytest.approx(np.abs(prediction - y).mean(), rel=1e-5)
        assert loss == pytest.approx(np.mean((prediction - y) ** 2) / y.var(), rel=1e-4)
    assert loss == pytest.approx(1, rel=1e-6)  # tabular_mlp starts from the mean


def test_several_outputs():
    x, y = line()
    recipe = default_mlp(x, np.stack([y, -2 * y], axis=1), hidden=(50,))
    recipe.fit(x, np.stack([y, -2 * y], axis=1), epochs=60, verbose=0)
    error = recipe.model.predict(x) - np.stack([y, -2 * y], axis=1)
    assert (error.std(axis=0) < 0.1 * y.std() * np.array([1, 2])).all()


def test_images_share_mean_and_deviation():
    x = np.random.default_rng(0).integers(0, 256, (100, 4, 4), np.uint8)
    x[:, 0] = 0  # pixels that are never seen
    model = default_mlp(x, np.arange(100) % 2).model
    assert kinds(model)[:2] == ["Flatten", "Normalization"]
    inputs = Sequential([Input((4, 4)), *model.layers[:2]]).predict(x)
    np.testing.assert_allclose([inputs.mean(), inputs.std()], [0, 1], atol=1e-5)
    assert isinstance(model.layers[0], Flatten)


def test_a_constant_column_stays_zero():
    x, y = blobs()
    x[:, 2] = 0.1
    inputs = Sequential([Input((6,)), *default_mlp(x, y).model.layers[:1]]).predict(x)
    assert np.abs(inputs[:, 2]).max() < 1e-6
    np.testing.assert_allclose(inputs.std(axis=0)[[0, 1, 3, 4, 5]], 1, rtol=1e-5)


@every_recipe
def test_the_order_of_rows_does_not_matter_for_the_split(make):
    x, y = blobs(rows=150)
    order = np.argsort(y)
    recipe = make(x[order], y[order], epochs=30, batch_size=32)
    recipe.fit(x[order], y[order], verbose=0)
    assert recipe.model.evaluate(x, y, verbose=0)[1] > 0.9


@every_recipe
def test_same_seed_same_bits(make):
    x, y = blobs()
    runs = []
    for _ in range(2):
        evenflow.set_seed(5)
        recipe = make(x, y, hidden=(8, 8), epochs=3)
        recipe.fit(x, y, verbose=0)
        runs.append([w.tobytes() for w in recipe.model.get_weights()])
    assert runs[0] == runs[1]


@every_recipe
def test_models_are_saved(make, tmp_path):
    x, y = blobs()
    recipe = make(x, y, hidden=(8,), epochs=2)
    recipe.fit(x, y, verbose=0)
    recipe.model.save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(x), recipe.model.predict(x))


def test_weights_of_rows_are_split_with_them():
    x, y = blobs()
    wrong = np.concatenate([y, (y + 1) % 3])
    recipe = default_mlp(np.concatenate([x, x]), wrong, hidden=(16,), epochs=20)
    recipe.fit(np.concatenate([x, x]), wrong, sample_weight=np.repeat([1.0, 0.0], len(x)), verbose=0)
    assert recipe.model.evaluate(x, y, verbose=0)[1] > 0.9


def test_tables_keep_their_names():
    pandas = pytest.importorskip("pandas")
    x, y = line()
    frame = pandas.DataFrame(x, columns=["a", "b", "c"])
    recipe = default_mlp(frame, pandas.Series(y), hidden=(8,), epochs=2)
    recipe.fit(frame, pandas.Series(y), verbose=0)
    assert recipe.model.feature_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="x has other columns than the training data"):
        recipe.fit(frame[["a", "b"]], y, verbose=0)


def test_best_epoch_keeps_the_last_of_equal_ones():
    best = BestEpoch("val_accuracy", "max")
    recipe = tabular_mlp(*blobs(), hidden=(4,))
    best.set_model(recipe.model)
    best.on_train_begin()
    seen = []
    for epoch, accuracy in enumerate((0.5, 0.9, 0.9, 0.7)):
        recipe.model.layers[-1].bias.assign(np.full(3, epoch, np.float32))
        best.on_epoch_end(epoch, {"val_accuracy": accuracy})
        seen.append(best.epoch)
    best.on_train_end()
    assert seen == [0, 1, 2, 2]
    np.testing.assert_array_equal(recipe.model.layers[-1].bias.numpy(), np.full(3, 2))


def test_a_schedule_is_as_long_as_the_run():
    x, y = blobs(rows=100)
    recipe = tabular_mlp(x, y, hidden=(4,), epochs=4, batch_size=20)
    recipe.fit(x, y, verbose=0)
    assert recipe.model.optimizer.pace.source.decay_steps == 4 * 4  # 80 of the rows
    with pytest.raises(RuntimeError, match="follows one run, which this model has behind it: make a new recipe"):
        recipe.fit(x, y, verbose=0)
    lonely = WholeRun(lambda steps: schedules.OneCycle(0.1, steps))
    lonely.set_model(default_mlp(x, y).model)
    lonely.set_params({"steps": None, "epochs": 2})
    with pytest.raises(ValueError, match="whose steps are not known: give steps_per_epoch"):
        lonely.on_train_begin()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 300}, "hidden: expected a list of units"),
        ({"hidden": (300, 0)}, "hidden: expected an integer of at least 1, received 0"),
        ({"task": "clasification"}, "task='clasification' is not known. Did you mean 'classification'?"),
        ({"edition": 1}, "edition: expected 2 or 3, received 1"),
        ({"optimizer": "adam"}, "optimizer='adam' is not known. Did you mean 'adamw'?"),
        ({"schedule": "onecycle"}, "schedule='onecycle' is not known"),
        ({"epochs": 0}, "epochs: expected an integer of at least 1, received 0"),
        ({"validation_split": 0.0}, "validation_split: expected a finite number above 0"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number above 0"),
        ({"l2": -1.0}, "l2: expected a finite number at least 0"),
        ({"lerning_rate": 1.0}, "there is no argument 'lerning_rate'. Did you mean 'learning_rate'?"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises((ValueError, TypeError), match="default_mlp: ") as caught:
        default_mlp(*blobs(), **options)
    assert message in str(caught.value)


@every_recipe
def test_wrong_data(make):
    x, y = blobs()
    name = make.__name__
    with pytest.raises(ValueError, match=f"{name}: x has nan in row 3, column 1"):
        make(np.where(np.arange(x.size).reshape(x.shape) == 19, np.nan, x), y)
    with pytest.raises(ValueError, match=f"{name}: x and y must have the same number of rows"):
        make(x, y[:-1])
    with pytest.raises(ValueError, match=r"y: expected classes 0, 1, ... \(number the classes"):
        make(x, y - 1)
    with pytest.raises(ValueError, match=r"y: expected classes 0, 1, ... \(number the classes"):
        make(x, y + 0.5, task="classification")
    with pytest.raises(ValueError, match="y: expected at least two classes, received 1"):
        make(x, y * 0)
    with pytest.raises(TypeError, match=f"{name}: y: expected an array of numbers"):
        make(x, np.array(["a"] * len(x)))
    with pytest.raises(ValueError, match=r"y has shape \(200, 3\), expected \(rows,\)"):
        make(x, np.eye(3)[y], task="classification")
    with pytest.raises(ValueError, match=r"expected rows to train on and, with validation_split=0\.2, to validate on"):
        make(x, y).fit(x[:2], y[:2])


# ---------------------------------------------------------------------------------------- real data


def score(make, load, seed, **options):
    """On a quarter of the rows, kept aside: accuracy, or R2."""
    sets = pytest.importorskip("sklearn.datasets")
    data = getattr(sets, f"load_{load}")()
    order = np.random.default_rng(seed).permutation(len(data.data))
    test, training = order[: len(order) // 4], order[len(order) // 4 :]
    evenflow.set_seed(seed)
    task = "regression" if load == "diabetes" else None
    recipe = make(data.data[training], data.target[training], task=task, **options)
    recipe.fit(data.data[training], data.target[training], verbose=0, threads=1)
    x, y = data.data[test], data.target[test]
    if task is None:
        return recipe.model.evaluate(x, y, verbose=0)[1]
    return 1 - np.mean((recipe.model.predict(x)[:, 0] - y) ** 2) / y.var()


@pytest.mark.parametrize(
    ("make", "load", "least", "options"),
    [
        (default_mlp, "wine", 0.95, {}),
        (default_mlp, "wine", 0.95, {"edition": 2}),
        (self_normalizing_mlp, "wine", 0.95, {}),
        (tabular_mlp, "wine", 0.95, {"epochs": 64}),
        (default_mlp, "diabetes", 0.38, {}),
        (self_normalizing_mlp, "diabetes", 0.3, {}),
        (default_mlp, "digits", 0.93, {"schedule": "1cycle", "epochs": 10}),
        (default_mlp, "digits", 0.93, {"hidden": (60,) * 5, "epochs": 8, "optimizer": "adamw"}),
        (tabular_mlp, "digits", 0.97, {"hidden": (128,) * 3, "epochs": 16}),
    ],
)
def test_what_it_reaches(make, load, least, options):
    """Least over two seeds is what is asked; a linear regression of the diabetes has an R2 of 0.4 to 0.5."""
    assert min(score(make, load, seed, **options) for seed in (0, 1)) >= least
