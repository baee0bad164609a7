"""Activations with a parameter that is trained: kernels at their ends, gradients, and what layers make of them."""

import numpy as np
import pytest
from cases import LEARNED
from optimizer_specs import OPTIMIZERS, SGD
from test_gradients import check

import evenflow
from evenflow import _core, activations, reference
from evenflow.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Flatten,
    Input,
    LayerNormalization,
    PReLU,
    Swish,
)

LAYERS = {"prelu": PReLU, "learned_swish": lambda **options: Swish(trainable_beta="unit", **options)}
by_name = pytest.mark.parametrize("name", LEARNED)


def test_every_learned_activation_is_judged():
    assert set(LEARNED) == set(_core.learned_activations()) == set(activations.LEARNED)
    assert {name: reference.learned.LEARNED[name] for name in LEARNED} == _core.learned_activations()


# Kernels --------------------------------------------------------------------------------------------------------------


def wide_errors(result, right, terms):
    """In units in the last place of the terms, in the result's type."""
    with np.errstate(over="ignore"):
        spacing = np.spacing(np.maximum(np.abs(terms).astype(result.dtype), np.finfo(result.dtype).tiny))
    return np.abs(result - right) / spacing


@by_name
def test_accuracy_over_the_whole_domain(name, isa, dtype):
    if dtype == np.float64 and np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("np.longdouble is float64 here: nothing to judge float64 by")
    small = np.geomspace(1e-30, 1, 2000)
    x = np.concatenate([np.linspace(-120, 120, 8001), np.linspace(-4, 4, 8001), small, -small]).astype(dtype)[:, None]
    parameter = np.array([1, -1, 0.7, -0.3, 3.3, 1e-3, -2.5], dtype)
    x = np.repeat(x, len(parameter), axis=1)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    wx, wp = x.astype(wide), parameter.astype(wide)
    y = reference.learned_forward(name, wx, wp)
    dx, _ = reference.learned_backward(name, np.ones_like(wx), wx, wp)
    assert wide_errors(_core.learned_forward(name, x, parameter), y, y).max() <= 4
    slope, _ = _core.learned_backward(name, np.ones_like(x), x, parameter)
    gate = np.abs(y / np.where(wx == 0, 1, wx))
    assert wide_errors(slope, dx, np.abs(dx) if name == "prelu" else gate + np.abs(dx - gate)).max() <= 4.4
    for row in range(0, len(x), 97):  # the sum over one row is the derivative itself
        one = slice(row, row + 1)
        right = reference.learned_backward(name, np.ones_like(wx[one]), wx[one], wp)[1]
        found = _core.learned_backward(name, np.ones_like(x[one]), x[one], parameter)[1]
        assert wide_errors(found, right, right).max() <= 4.4


@by_name
def test_gradients(name, isa, rng):
    x, dy = 2 * rng.standard_normal((13, 33)), rng.standard_normal((13, 33))
    parameter = rng.standard_normal(33)
    x[np.abs(x) < 1e-4] = 0.5  # away from the kink
    dx, dparameter = _core.learned_backward(name, dy, x, parameter)
    for values, gradient in ((x, dx), (parameter, dparameter)):
        check(lambda: dy * _core.learned_forward(name, x, parameter), values, gradient, rng)


@by_name
def test_ends_of_the_type(name, isa, dtype):
    info = np.finfo(dtype)
    x = np.array([[np.nan, np.inf, -np.inf, info.max, -info.max, info.tiny, -info.tiny, 0.0, -0.0]], dtype)
    for value in (0.5, -0.5, 2.0):
        parameter = np.full(x.shape[1], value, dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            right = reference.learned_forward(name, x, parameter).astype(dtype)
        np.testing.assert_allclose(_core.learned_forward(name, x, parameter), right, rtol=4 * info.eps)
        slope, _ = _core.learned_backward(name, np.ones_like(x), x, parameter)
        assert np.isnan(slope[0, 0])
        assert np.isfinite(slope[0, 1:]).all()


def test_what_they_are_with_a_fixed_parameter(isa, dtype, rng):
    x = (20 * rng.standard_normal((50, 17))).astype(dtype)
    for value in (0.25, 1.0):
        parameter = np.full(17, value, dtype)
        swish = _core.activation_forward("swish", x, beta=value)
        np.testing.assert_array_equal(_core.learned_forward("learned_swish", x, parameter), swish)
        leaky = _core.activation_forward("leaky_relu", x, negative_slope=value)
        np.testing.assert_array_equal(_core.learned_forward("prelu", x, parameter), leaky)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: _core.learned_forward("prelu", x, x), ["parameter", "1 dimensions"]),
        (lambda x: _core.learned_forward("prelu", x, x[0, :2]), ["parameter", "(3,)", "(2,)"]),
        (lambda x: _core.learned_forward("plelu", x, x[0]), ["plelu", "did you mean 'prelu'"]),
        (lambda x: _core.learned_backward("prelu", x, x[:1], x[0]), ["x", "(2, 3)", "(1, 3)"]),
        (lambda x: _core.activation_forward("prelu", x), ["prelu"]),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(np.ones((2, 3), np.float32))
    assert all(word in str(caught.value) for word in words)


# Layers and models ----------------------------------------------------------------------------------------------------


def fitted(*layers, epochs=2, freeze=()):
    evenflow.set_seed(1)  # a unit that is zero for all rows would learn nothing
    last = Dense(2, kernel_initializer=evenflow.initializers.HeNormal(seed=1))
    model = evenflow.Sequential([Input((6,)), *layers, last], seed=3)
    for index in freeze:
        model.layers[index].trainable = False
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6)).astype(np.float32)
    model.compile("adam", "mse")
    model.fit(x, x[:, :2] ** 2, epochs=epochs, verbose=0)
    return model, x


@by_name
def test_variables_of_the_layer(name):
    parameter, initial = activations.LEARNED[name]
    model, _ = fitted(Dense(5, "linear"), LAYERS[name](name="learned"), epochs=0)
    (variable,) = model.layers[1].weights
    assert (variable.path, variable.shape) == (f"learned/{parameter}", (5,))
    assert (variable.numpy() == initial).all()
    assert model.layers[1].count_params() == 5
    inside, _ = fitted(Dense(5, name, name="d"), BatchNormalization(), epochs=0)
    assert [v.path for v in inside.layers[0].weights] == ["d/kernel", "d/bias", f"d/activation/{parameter}"]
    assert inside.layers[0].weights[-1].shape == (5,)
    apart, _ = fitted(Dense(5), Activation(name, name="a"), epochs=0)
    assert [v.path for v in apart.layers[1].weights] == [f"a/{parameter}"]


@pytest.mark.parametrize(
    ("make", "initial"), [(lambda: PReLU("ones", shared_axes=1), 1.0), (lambda: Swish(0.5, "layer"), 0.5)]
)
def test_one_parameter_for_all_units(make, initial):
    kernel = {"kernel_initializer": evenflow.initializers.HeNormal(seed=0)}
    before, _ = fitted(Dense(5), make(), epochs=0)
    after, x = fitted(Dense(5, **kernel), make(), epochs=2)
    assert before.layers[1].get_weights()[0] == np.float32([initial])
    learned = after.layers[1].get_weights()[0]
    assert learned.shape == (1,)
    assert learned != initial
    inside, _ = fitted(Dense(5, make(), **kernel))
    assert inside.layers[0].weights[-1].shape == (1,)
    np.testing.assert_array_equal(inside.predict(x), after.predict(x))


def test_a_parameter_of_each_layer_that_names_one_object():
    shape = PReLU("ones", trainable=True)
    model, _ = fitted(Dense(5, shape), Dense(4, shape))
    first, second = (layer.weights[-1].numpy() for layer in model.layers[:2])
    assert (first.shape, second.shape) == ((5,), (4,))
    assert shape.weights == []


def test_frozen_parameters_stay():
    model, _ = fitted(Dense(5, "prelu"), Swish(trainable_beta="unit"), Dense(3, PReLU(trainable=False)), freeze=[0, 1])
    assert (model.layers[0].weights[-1].numpy() == 0).all()
    assert (model.layers[1].weights[0].numpy() == 1).all()
    assert (model.layers[2].weights[-1].numpy() == 0).all()
    assert [v.path.rpartition("/")[2] for v in model.layers[2].trainable_weights] == ["kernel", "bias"]
    model.layers[1].trainable = True
    model.compile("adam", "mse")
    model.fit(np.ones((4, 6), np.float32), np.zeros((4, 2), np.float32), verbose=0)
    assert (model.layers[1].weights[0].numpy() != 1).any()


def test_folding_a_batch_normalization_keeps_them():
    model, x = fitted(Dense(5, PReLU("ones")), BatchNormalization(), Dense(4, "learned_swish", use_bias=False))
    folded = model.fold_batch_norm()
    assert len(folded.layers) == len(model.layers) - 1
    np.testing.assert_allclose(folded.predict(x), model.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [SGD, OPTIMIZERS["clipnorm"], OPTIMIZERS["global_clipnorm"], {**SGD, "gradient_accumulation_steps": 2}],
    ids=["sgd", "clipnorm", "global_clipnorm", "accumulating"],
)
def test_beside_statistics_of_groups_and_of_rows(optimizer, isa, rng):
    # What else takes room beside a stage's statistics, or meets between its phases.
    layers = [BatchNormalization(axis=1), Flatten(), PReLU("ones", shared_axes=[1]), Dense(33), LayerNormalization()]
    model = evenflow.Sequential([Input((3, 4)), *layers, Swish(trainable_beta="layer"), Dense(2)], dtype="float64")
    spec = {**model.spec(), "loss": {"kind": "mean_squared_error", "from_logits": False}, "metrics": []}
    network = reference.Network({**spec, "optimizer": optimizer})
    start = {name: rng.uniform(0.5, 1.5, value.shape) for name, value in network.variables.items()}
    for name, value in start.items():
        network.variables[name][...] = value
    x, y = rng.standard_normal((16, 12)), rng.standard_normal((16, 2))
    found = []
    for threads, fusion in ((1, True), (2, True), (3, False)):
        program = _core.Program(network.spec, dtype="float64", batch_size=16, threads=threads, fusion=fusion)
        for name, value in start.items():
            program.set(name, value)
        program.train(x, y, learning_rate=0.1, batch_size=8)
        found.append(program.parameters.copy())
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
    for rows in (slice(8), slice(8, 16)):
        network.train_step(x[rows], y[rows], 0.1)
    for name, value in network.variables.items():
        np.testing.assert_allclose(program.get(name), value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_saving(tmp_path):
    model, x = fitted(Dense(5, PReLU("ones", shared_axes=[1])), Swish(0.5, "layer"), Dense(3, "learned_swish"), PReLU())
    model.save(tmp_path / "model.safetensors")
    again = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    for one, other in zip(again.weights, model.weights, strict=True):
        assert one.path == other.path
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_weight_decay_may_leave_it_alone():
    spec = {
        "inputs": 3,
        "layers": [{"kind": "activation", "name": "p", "activation": "prelu", "parameters": {}, "shared": True}],
        "loss": {"kind": "mean_squared_error"},
        "optimizer": {"kind": "sgd", "weight_decay": 0.5},
    }
    x, moved = np.ones((4, 3), np.float32), []
    for undecayed in ([], ["p/alpha"]):
        program = _core.Program({**spec, "optimizer": spec["optimizer"] | {"undecayed": undecayed}}, batch_size=4)
        program.set("p/alpha", np.ones(1, np.float32))
        program.train(x, x, learning_rate=0.5)
        moved.append(float(program.get("p/alpha")[0]))
    assert moved == [0.75, 1.0]


def test_a_user_s_gradient_of_a_shared_parameter_is_the_one_that_counts():
    layer = {"kind": "activation", "name": "p", "activation": "prelu", "parameters": {}, "shared": True}
    program = _core.Program({"inputs": 3, "layers": [layer], "optimizer": {"kind": "sgd"}}, batch_size=4)
    program.forward(-np.ones((4, 3), np.float32))
    program.backward(np.ones((4, 3), np.float32))
    assert program.gradient("p/alpha") == [-12]
    program.gradients[0] = 2
    assert program.update(0.5) == 2
    assert program.get("p/alpha") == [-1]


def test_a_function_takes_a_number_or_one_for_each_feature():
    x = np.array([[-1.0, 2.0, -3.0]])
    np.testing.assert_array_equal(activations.prelu(x, 0.5), [[-0.5, 2.0, -1.5]])
    np.testing.assert_array_equal(activations.prelu(x, [0.5, 0.5, 0.25]), [[-0.5, 2.0, -0.75]])
    assert activations.prelu(-2).shape == ()
    assert activations.learned_swish(np.zeros((0, 3), np.float32)).shape == (0, 3)
    np.testing.assert_allclose(activations.learned_swish(x, -1.0), x / (1 + np.exp(x)), rtol=1e-14)
