"""Losses as users meet them: names, what is refused, programs with each, weights, and functions of one's own."""

import functools
import warnings
from typing import Any

import loss_cases
import networks
import numpy as np
import pytest
from programs import initialize

import evenflow
from evenflow import _core, losses, reference
from evenflow.layers import Dense, Input
from evenflow.models import load_model

CLASSES = list(losses.REGISTRY.classes.values())
FUSED = {"categorical": "softmax", "sparse": "softmax", "binary": "sigmoid"}


def test_names_agree():
    kinds = {cls.kind for cls in CLASSES}
    assert kinds == set(_core.losses()) == set(reference.LOSSES) == {name for name, _ in loss_cases.KINDS}
    for cls in CLASSES:
        assert cls.hyper_parameters == tuple(_core.losses()[cls.kind])
        assert {name: getattr(cls(), name) for name in cls.hyper_parameters} == {
            name: value if name != "quantiles" else [0.5] for name, value in _core.losses()[cls.kind].items()
        }
        assert cls().spec() == {"kind": cls.kind, "from_logits": False}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_loss_by_its_names(cls, rng):
    function = getattr(losses, cls.kind)
    for identifier in (cls.__name__, cls.kind, function, cls(), {"class_name": cls.__name__, "config": {}}):
        assert type(losses.get(identifier)) is cls
    again = cls(**cls().get_config())
    assert again.get_config() == cls().get_config()
    assert again.spec() == cls().spec()
    with pytest.raises(TypeError, match=rf"{cls.__name__}: there is no argument 'nmae'. Did you mean 'name'"):
        cls(nmae="x")


def test_short_names():
    short = {"mse": "MeanSquaredError", "MAE": "MeanAbsoluteError", "mape": "MeanAbsolutePercentageError"}
    short |= {"msle": "MeanSquaredLogarithmicError", "KLD": "KLDivergence", "pinball": "Quantile"}
    assert {name: type(losses.get(name)).__name__ for name in short} == short
    assert losses.get(functools.partial(losses.huber, delta=0.5)).delta == 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.Huber(0), ["Huber", "delta", "1e-30", "0"]),
        (lambda: losses.Huber(np.nan), ["delta", "nan"]),
        (lambda: losses.Quantile([0.1, 1.0]), ["Quantile", "quantiles", "below 1.0"]),
        (lambda: losses.Quantile([]), ["1 to 64 numbers", "[]"]),
        (lambda: losses.GaussianNLL(epsilon=0), ["GaussianNLL", "epsilon"]),
        (lambda: losses.GaussianNLL(full=1), ["full", "True or False"]),
        (lambda: losses.BinaryCrossentropy(label_smoothing=1.1), ["label_smoothing", "at most 1.0", "1.1"]),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=1.5), ["ignore_class", "integer", "1.5"]),
        (lambda: losses.BinaryFocalCrossentropy(gamma=-1), ["gamma", "at least 0.0", "-1"]),
        (lambda: losses.BinaryFocalCrossentropy(alpha=2), ["alpha", "at most 1.0"]),
        (lambda: losses.CosineSimilarity(axis=0), ["CosineSimilarity", "axis", "-1"]),
        (lambda: losses.MeanSquaredError("avg"), ["reduction='avg'", "sum_over_batch_size"]),
        (lambda: losses.CustomLoss(len), ["(y, prediction)", "len"]),
    ],
)
def test_wrong_hyper_parameters(make, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("huber", {"delt": 1.0}, ["delt", "'delta'"]),
        ("huber", {"delta": -1.0}, ["delta", "1e-30"]),
        ("quantile", {"quantiles": [0.5, 2.0]}, ["quantiles", "between 0 and 1", "2"]),
        ("quantile", {"quantiles": [0.1] * 65}, ["1 to 64 numbers", "65"]),
        ("quantile", {"quantiles": [0.1, 0.5]}, ["2 columns for each target", "(4, 3)"]),
        ("binary_focal_crossentropy", {"gamma": "two"}, ["gamma", "a number"]),
    ],
)
def test_wrong_parameters_of_the_kernel(name, parameters, words):
    p = np.full((4, 3), 0.5)
    with pytest.raises((TypeError, ValueError), match="loss_forward_backward") as caught:
        _core.loss_forward_backward(name, p, p, **parameters)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def model(units: int, last: str | None = None, **settings: Any) -> Any:
    made = evenflow.Sequential([Input((3,)), Dense(units, last)])
    made.compile(**settings)
    return made


X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("poisson", -1.0, ["-1.0 in row 2, column 0", "at least 0"]),
        ("msle", -0.5, ["-0.5 in row 2", "at least 0"]),
        ("hinge", 0.5, ["0.5 in row 2", "-1 and 1, or 0 and 1"]),
        ("hinge", -1.0, ["0.0 in row 0", "-1 and 1, or 0 and 1"]),
        ("hinge", np.nan, ["nan in row 2", "finite numbers"]),
        ("squared_hinge", 2.0, ["2.0 in row 2"]),
        ("kl_divergence", 1.5, ["1.5 in row 2", "0 to 1"]),
    ],
)
def test_targets_out_of_range(loss, y, words):
    target = np.zeros((8, 1))
    target[2] = y
    with pytest.raises(ValueError, match=r"^fit: y has") as caught:
        model(1, loss=loss).fit(X, target)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_outputs_for_each_target():
    y = np.zeros((8, 2))
    with pytest.raises(ValueError, match=r"takes 3 outputs for each target.*received 4 outputs"):
        model(4, loss=losses.Quantile([0.1, 0.5, 0.9]))
    with pytest.raises(ValueError, match=r"y has shape \(8, 2\), expected \(8, 1\)"):
        model(2, loss="gaussian_nll").fit(X, y)
    assert np.isfinite(model(6, loss=losses.Quantile([0.1, 0.5, 0.9])).train_on_batch(X, y))


def test_quantiles_find_their_share():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4000, 1))
    network = evenflow.Sequential([Input((1,)), Dense(3)])
    network.compile(evenflow.optimizers.SGD(0.5), losses.Quantile([0.1, 0.5, 0.9]))
    network.fit(np.zeros((4000, 1)), y, batch_size=400, epochs=60, verbose=0)
    prediction = network.predict(np.zeros((1, 1)))
    assert [round(float((y < q).mean()), 1) for q in prediction[0]] == [0.1, 0.5, 0.9]


def test_gaussian_finds_mean_and_variance():
    rng = np.random.default_rng(0)
    y = 3 + 0.5 * rng.standard_normal((4000, 1))
    network = evenflow.Sequential([Input((1,)), Dense(2)])
    network.compile(evenflow.optimizers.Adam(0.05), losses.GaussianNLL())
    network.fit(np.zeros((4000, 1)), y, batch_size=400, epochs=60, verbose=0)
    mean, log_variance = network.predict(np.zeros((1, 1)))[0]
    assert mean == pytest.approx(y.mean(), abs=0.05)
    assert np.exp(log_variance) == pytest.approx(y.var(), rel=0.1)


# Programs -------------------------------------------------------------------------------------------------------------


def program_case(name: str, settings: dict[str, Any], rows: int, rng: np.random.Generator) -> Any:
    """A network that ends in what the loss absorbs or in nothing, with data for it."""
    targets = 6
    units = targets * loss_cases.outputs_per_target(name, settings)
    last = FUSED.get(name.split("_")[0]) if name.endswith("crossentropy") else None
    layers = [networks.dense(9), networks.activation("tanh"), networks.dense(units)]
    if not settings.get("from_logits") and (last or name == "kl_divergence"):
        layers.append(networks.activation(last or "softmax"))
    if name in ("poisson", "mean_squared_logarithmic_error"):
        layers.append(networks.activation("exponential"))
    spec = networks.network(5, layers, name)
    spec["loss"] = {"kind": name, "from_logits": False, **settings}

    class Shape:
        def __init__(self) -> None:
            self.shape, self.settings = (rows, targets), {"loss": name, **settings}

    (_, _, y), _ = loss_cases.arguments(Shape(), rng, np.dtype(np.float64))
    return spec, rng.standard_normal((rows, 5)), y


@pytest.mark.parametrize(("name", "settings"), loss_cases.KINDS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "mean_with_sample_weight"])
def test_programs_are_those_of_the_reference(name, settings, reduction, isa, rng):
    rows = 11
    spec, x, y = program_case(name, settings, rows, rng)
    spec["loss"] |= {"reduction": reduction, "weight": 0.75}
    weight = rng.uniform(0, 2, (rows, 1))
    program, net = _core.Program(spec, dtype="float64", batch_size=16), reference.Network(spec)
    shapes = {variable: shape for variable, shape, _ in program.variables()}
    for variable, value in initialize(shapes, rng).items():
        program.set(variable, value)
        net.variables[variable][...] = value
    done = program.train(x, y, learning_rate=0.01, sample_weight=weight)
    loss, _ = net.train_step(x, y, 0.01, weight)
    assert done.loss == pytest.approx(loss, rel=1e-11)
    for variable, value in net.gradients.items():
        np.testing.assert_allclose(program.gradient(variable), value, rtol=1e-9, atol=1e-12, err_msg=variable)


@pytest.mark.parametrize(("name", "settings"), loss_cases.KINDS[::3], ids=str)
def test_same_bits_for_any_number_of_threads(name, settings, rng):
    spec, x, y = program_case(name, settings, 64, rng)
    weight, table = rng.uniform(0, 2, (64, 1)).astype(np.float32), np.array([0.5, 2.0])
    found = []
    for threads in (1, 2, 3):
        program = _core.Program(spec, dtype="float32", batch_size=24, threads=threads)
        shapes = {variable: shape for variable, shape, _ in program.variables()}
        for variable, value in initialize(shapes, np.random.default_rng(1), np.float32).items():
            program.set(variable, value)
        done = program.train(x, y, learning_rate=0.01, sample_weight=weight, class_weight=table)
        found.append((done.loss, program.parameters.tobytes()))
    assert found[0] == found[1] == found[2]


# Weights --------------------------------------------------------------------------------------------------------------

LABELS = np.arange(8) % 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sample_weight": np.ones(7)}, ["sample_weight has shape (7,)", "(8,)"]),
        ({"sample_weight": np.ones((8, 2))}, ["sample_weight has shape (8, 2)"]),
        ({"sample_weight": [1, 2, 3, -1, 5, 6, 7, 8]}, ["-1.0 in row 3", "at least 0"]),
        ({"sample_weight": [1, 2, np.nan, 4, 5, 6, 7, 8]}, ["nan in row 2"]),
        ({"sample_weight": [1, 2, 3, 4, 5, 6, 7, np.inf]}, ["inf in row 7"]),
        ({"sample_weight": "balanced"}, ["sample_weight", "'balanced'"]),
        ({"class_weight": {3: 1.0}}, ["class_weight", "0 to 2", "3"]),
        ({"class_weight": {0: -1.0}}, ["class_weight[0]", "at least 0.0"]),
        ({"class_weight": {0: np.nan}}, ["class_weight[0]", "nan"]),
        ({"class_weight": {"a": 1.0}}, ["class_weight: class", "'a'"]),
        ({"class_weight": [1.0, 2.0]}, ["class_weight", "a dict"]),
        ({"class_weight": {}}, ["class_weight", "a dict"]),
        ({"class_weight": "balance"}, ["'balance'", "'balanced'"]),
        ({"class_weight": {0: 1.0}, "sample_weight": np.ones(8)}, ["either class_weight or sample_weight"]),
    ],
)
@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_wrong_weights(arguments, words, method):
    network = model(3, "softmax", loss="sparse_categorical_crossentropy")
    before = [w.tobytes() for w in network.get_weights()]
    with pytest.raises((TypeError, ValueError), match=f"^{method}: ") as caught:
        getattr(network, method)(X, LABELS, **arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert [w.tobytes() for w in network.get_weights()] == before


def test_wrong_weights_elsewhere():
    network = model(3, "softmax", loss="sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"^evaluate: sample_weight has -1.0 in row 0"):
        network.evaluate(X, LABELS, sample_weight=-np.ones(8))
    with pytest.raises(ValueError, match=r"^fit: validation_data\[2\] has shape \(7,\)"):
        network.fit(X, LABELS, validation_data=(X, LABELS, np.ones(7)))
    with pytest.raises(ValueError, match=r"loss_weights: expected a finite number at least 0.0, received -1"):
        network.compile(loss="mse", loss_weights=-1)
    with pytest.raises(ValueError, match="loss_weights: expected one number"):
        network.compile(loss="mse", loss_weights=[1, 2])
    with pytest.raises(ValueError, match="reduction: expected one that gives a number"):
        network.compile(loss=losses.MeanSquaredError(reduction=None))


def test_weights_are_read_where_they_lie_and_shuffled_with_the_rows():
    many = np.random.default_rng(0).uniform(0, 2, (8, 3)).astype(np.float32)
    weight = many[:, 1]  # a column: strided
    kept = many.copy()
    networks_ = [model(1, loss="mse", optimizer=evenflow.optimizers.SGD(0.1)) for _ in range(2)]
    networks_[1].set_weights(networks_[0].get_weights())
    y = X[:, :1] ** 2
    order = np.random.Generator(np.random.PCG64(networks_[0].seed)).permutation(8)
    networks_[0].fit(X, y, batch_size=3, sample_weight=weight, verbose=0)
    networks_[1].fit(X[order], y[order], batch_size=3, sample_weight=weight[order], shuffle=False, verbose=0)
    for a, b in zip(*(n.get_weights() for n in networks_), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(many, kept)


def test_whole_weights_repeat_rows():
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, 8)
    y = rng.standard_normal((8, 1))
    plain, weighted = (model(1, loss="huber") for _ in range(2))
    weighted.set_weights(plain.get_weights())
    repeated = plain.evaluate(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0), verbose=0)
    assert weighted.evaluate(X, y, sample_weight=weight, verbose=0) * 8 == pytest.approx(repeated * weight.sum())


def test_ignored_rows_teach_nothing():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    labels = np.where(np.arange(8) % 2 == 0, LABELS, -1)
    one, other = (model(3, "softmax", loss=loss, optimizer="sgd") for _ in range(2))
    other.set_weights(one.get_weights())
    one.train_on_batch(X, labels)
    other.train_on_batch(X[::2], labels[::2])
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert one.train_on_batch(X, np.full(8, -1)) == 0
    with pytest.raises(ValueError, match="label -2 in row 1"):
        one.fit(X, np.where(labels == -1, -2, labels))


def test_metrics_beside_ignored_rows():
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    labels = np.where(np.arange(8) % 2 == 0, LABELS, -1)
    network = model(3, "softmax", loss=loss, metrics=["accuracy"])
    assert network.evaluate(X, labels, verbose=0)[1] <= 0.5
    # A label that is no output cannot be counted by those that look its output up.
    for metric in ("sparse_categorical_crossentropy", evenflow.metrics.ConfusionMatrix(3)):
        network = model(3, "softmax", loss=loss)
        network.compile(loss=loss, metrics=[metric])
        with pytest.raises(ValueError, match=r"metrics.*only accuracy beside an ignore_class"):
            network.fit(X, labels, verbose=0)


@pytest.mark.parametrize("units", [2, 4, 10, 16, 17])
def test_a_row_is_the_same_wherever_it_is(units, isa, dtype, rng):
    z, labels = 5 * rng.standard_normal((32, units)).astype(dtype), rng.integers(0, units, 32)

    def found(rows: Any) -> tuple[np.ndarray, np.ndarray]:
        kind = "sparse_categorical_crossentropy"
        values, gradient = _core.loss_forward_backward(kind, z[rows], labels[rows], from_logits=True)
        return values, gradient * len(rows)

    values, gradient = found(np.arange(32))
    for rows in (np.arange(32)[::-1], np.array([31]), np.array([3, 8]), rng.permutation(32)[:16]):
        for own, whole in zip(found(rows), (values, gradient), strict=True):
            np.testing.assert_array_equal(own, whole[rows])


# A loss of one's own --------------------------------------------------------------------------------------------------


def squared(y: Any, prediction: Any) -> Any:
    difference = prediction - y.reshape(prediction.shape)
    return (difference**2).mean(axis=1), 2 * difference / difference.shape[1]


def squared_mean(y: Any, prediction: Any) -> Any:
    values, gradient = squared(y, prediction)
    return values.mean(), gradient / len(values)


@pytest.mark.parametrize("function", [squared, squared_mean])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_function_trains_like_the_loss_it_computes(function, optimizer):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    results = []
    for loss in (function, "mse"):
        network = evenflow.Sequential([Input((4,)), Dense(5, "elu"), Dense(2)], seed=3, dtype="float64")
        network.set_weights([np.random.default_rng(1).standard_normal(w.shape) for w in network.get_weights()])
        network.compile(optimizer, loss, 0.5, metrics=["mae"])
        history = network.fit(x, y, batch_size=8, epochs=3, validation_split=0.2, verbose=0).history
        results.append((history, network.get_weights(), network.evaluate(x, y, batch_size=7, verbose=0)))
    for name, values in results[1][0].items():
        np.testing.assert_allclose(results[0][0][name], values, rtol=1e-9, err_msg=name)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-9)


def test_a_function_with_weights_and_labels():
    def logits(y: Any, z: Any) -> Any:
        return _core.loss_forward_backward("sparse_categorical_crossentropy", z, y, from_logits=True)[0], (
            reference.softmax(z) - np.eye(z.shape[1])[y]
        )

    known = losses.SparseCategoricalCrossentropy(from_logits=True)
    histories = []
    for loss in (logits, known):
        network = evenflow.Sequential([Input((3,)), Dense(3)], seed=3, dtype="float64")
        network.set_weights([np.arange(9.0).reshape(3, 3) / 9, np.zeros(3)])
        network.compile("sgd", loss, metrics=["accuracy"])
        first = network.fit(X, LABELS, batch_size=3, sample_weight=np.arange(8.0), verbose=0).history
        second = network.fit(X, LABELS, batch_size=3, class_weight={0: 2.0, 2: 0.5}, verbose=0).history
        histories.append([first, second])
    for own, expected in zip(*histories, strict=True):
        assert own.keys() == expected.keys()
        for name in own:
            np.testing.assert_allclose(own[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y, p: squared(y, p)[0], ["(value, gradient)", "ndarray"]),
        (lambda y, p: (*squared(y, p), 1), ["(value, gradient)", "3 values"]),
        (lambda y, p: (squared(y, p)[0][:-1], p), ["value has shape (7,)", "(8,)"]),
        (lambda y, p: (0.0, p[:, 0]), ["gradient has shape (8,)", "(8, 1)"]),
        (lambda y, p: (0.0, p * np.nan), ["gradient has nan at [0, 0]", "finite"]),
        (lambda y, p: (np.nan, 0 * p), ["value has nan, expected finite"]),
        (lambda y, p: (np.inf, p), ["value has inf", "finite"]),
        (lambda y, p: (0.0, p * 1j), ["gradient", "complex"]),
        (lambda y, p: (0.0, None), ["gradient", "None"]),
    ],
)
def test_what_a_function_may_not_return(function, words):
    network = model(1, loss=function)
    before = [w.tobytes() for w in network.get_weights()]
    with pytest.raises((TypeError, ValueError), match="loss '<lambda>'") as caught:
        network.fit(X, X[:, :1], verbose=0)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert [w.tobytes() for w in network.get_weights()] == before


def test_a_function_is_evaluated_in_batches_larger_than_those_of_training():
    network = model(1, loss=squared, metrics=["mse"])
    x = np.random.default_rng(0).standard_normal((150, 3))
    network.fit(x, x[:, :1], batch_size=4, verbose=0)
    loss, metric = network.evaluate(x, x[:, :1], batch_size=100, verbose=0)
    assert loss == pytest.approx(metric)


def test_a_mean_has_no_weights():
    with pytest.raises(ValueError, match="one for each row beside weights"):
        model(1, loss=squared_mean).fit(X, X[:, :1], sample_weight=np.ones(8), verbose=0)


def test_saving_a_model_with_a_function(tmp_path):
    network = model(1, loss=squared, optimizer="adam", loss_weights=0.5)
    network.fit(X, X[:, :1], verbose=0)
    with pytest.warns(UserWarning, match=r"custom_objects=\{'squared': function\}"):
        network.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"Python function 'squared': expected custom_objects=\{'squared': function\}"):
        load_model(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors", custom_objects={"squared": squared})
    assert (again.loss.function, again.loss_weights, again.optimizer.iterations) == (squared, 0.5, 1)
    assert again.evaluate(X, X[:, :1], verbose=0) == network.evaluate(X, X[:, :1], verbose=0)
    bare = load_model(tmp_path / "m.safetensors", compile=False)
    assert bare.optimizer is None
    np.testing.assert_array_equal(bare.predict(X), network.predict(X))


def test_saving_hyper_parameters(tmp_path):
    for loss in (losses.Quantile([0.1, 0.9]), losses.Huber(0.5), losses.GaussianNLL(full=True)):
        network = model(2, loss=loss)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            network.save(tmp_path / "m.safetensors")
        assert load_model(tmp_path / "m.safetensors").loss.get_config() == loss.get_config()
