"""Layers: names, shapes, variables, specs, and what they refuse."""

import inspect
from functools import partial

import numpy as np
import pytest

import evenflow
from evenflow import _core, activations, initializers, layers
from evenflow.layers import (
    ELU,
    Activation,
    ActivityRegularization,
    BatchNormalization,
    Dense,
    Flatten,
    Input,
    InputLayer,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    PReLU,
    ReLU,
    Rescaling,
    RMSNormalization,
    Softmax,
    Swish,
)


def built(layer, *shape, dtype="float32"):
    layer.build(shape, dtype)
    return layer


def test_automatic_names():
    evenflow.clear_session()
    names = [layer.name for layer in (Dense(1), Dense(1), BatchNormalization(), LeakyReLU(), ReLU(), ELU(), Dense(1))]
    assert names == ["dense", "dense_1", "batch_normalization", "leaky_re_lu", "re_lu", "elu", "dense_2"]
    assert Dense(1, name="top").name == "top"
    assert [evenflow.Sequential().name, evenflow.Sequential().name] == ["sequential", "sequential_1"]


def test_dense_variables():
    dense = built(Dense(3, name="d"), 5)
    assert [(v.name, v.path, v.shape, v.trainable) for v in dense.weights] == [
        ("kernel", "d/kernel", (5, 3), True),
        ("bias", "d/bias", (3,), True),
    ]
    assert (dense.input_shape, dense.output_shape, dense.count_params()) == ((None, 5), (None, 3), 18)
    assert np.all(dense.bias.numpy() == 0)
    assert np.abs(dense.kernel.numpy()).max() <= np.sqrt(6 / 8)
    assert [v.name for v in built(Dense(3, use_bias=False), 5).weights] == ["kernel"]


def test_batch_normalization_variables():
    layer = built(BatchNormalization(name="bn"), 4)
    assert [(v.name, v.trainable) for v in layer.variables] == [
        ("gamma", True),
        ("beta", True),
        ("moving_mean", False),
        ("moving_variance", False),
    ]
    assert [float(v.numpy()[0]) for v in layer.variables] == [1, 0, 0, 1]
    bare = built(BatchNormalization(center=False, scale=False), 4)
    assert [v.name for v in bare.variables] == ["moving_mean", "moving_variance"]


def test_initializers_of_layers():
    dense = built(Dense(2, kernel_initializer=initializers.Constant(3), bias_initializer="ones"), 2)
    assert np.all(dense.kernel.numpy() == 3)
    assert np.all(dense.bias.numpy() == 1)
    norm = built(BatchNormalization(gamma_initializer="zeros", moving_variance_initializer=initializers.Constant(4)), 2)
    assert [float(v.numpy()[0]) for v in norm.variables] == [0, 0, 0, 4]


def test_variable_assignment():
    kernel = built(Dense(2), 3).kernel
    value = np.arange(6).reshape(3, 2)
    kernel.assign(value)
    assert np.array_equal(kernel, value)
    assert kernel.numpy().dtype == np.float32
    kernel.numpy()[:] = 9
    assert np.array_equal(kernel.value, value), "numpy() is a copy"
    for wrong in (np.zeros((2, 3)), np.zeros((3, 2), complex), [["a", "b"]] * 3):
        with pytest.raises((TypeError, ValueError), match="kernel"):
            kernel.assign(wrong)
    assert np.array_equal(kernel, value)


def test_layer_weights():
    dense = built(Dense(2, kernel_initializer="ones"), 3)
    dense.set_weights([np.full((3, 2), 2.0), [3.0, 4.0]])
    assert [w.sum() for w in dense.get_weights()] == [12, 7]
    with pytest.raises(ValueError, match=r"bias has shape \(3,\), expected \(2,\)"):
        dense.set_weights([np.zeros((3, 2)), np.zeros(3)])
    with pytest.raises(ValueError, match=r"expected 2 arrays .*received 1"):
        dense.set_weights([np.zeros((3, 2))])
    assert [w.sum() for w in dense.get_weights()] == [12, 7], "a refused call changes nothing"


def test_freezing():
    layer = built(BatchNormalization(), 4)
    layer.trainable = False
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 4)
    assert layer.spec()[0]["trainable"] is False
    layer.trainable = True
    assert [v.name for v in layer.trainable_weights] == ["gamma", "beta"]
    assert not built(Dense(2, trainable=False), 3).trainable_weights


def test_specs():
    assert Dense(3, "elu", name="d").spec() == [
        {"kind": "dense", "name": "d", "units": 3, "use_bias": True, "trainable": True},
        {"kind": "activation", "name": "d/activation", "activation": "elu", "parameters": {"alpha": 1.0}},
    ]
    assert BatchNormalization(name="b").spec() == [
        {
            "kind": "batch_normalization",
            "name": "b",
            "momentum": 0.99,
            "epsilon": 1e-3,
            "center": True,
            "scale": True,
            "trainable": True,
        }
    ]
    assert Rescaling(0.5, 1, name="r").spec() == [{"kind": "rescaling", "name": "r", "scale": 0.5, "offset": 1.0}]
    assert Flatten().spec() == InputLayer((2,)).spec() == Activation("linear").spec() == Activation(None).spec() == []
    assert len(Dense(3).spec()) == 1


SLOPE = {"negative_slope": 0.1}


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["elu", activations.elu, ELU(), Activation("elu")], ("elu", {"alpha": 1.0})),
        ([ELU(0.5), ELU(alpha=0.5), Activation(ELU(0.5))], ("elu", {"alpha": 0.5})),
        (["leaky_relu", activations.leaky_relu], ("leaky_relu", {"negative_slope": 0.2})),
        ([LeakyReLU()], ("leaky_relu", {"negative_slope": 0.3})),
        (
            [LeakyReLU(0.1), LeakyReLU(alpha=0.1), LeakyReLU(negative_slope=0.1), ReLU(negative_slope=0.1)],
            ("leaky_relu", SLOPE),
        ),
        (["relu", activations.relu, ReLU()], ("relu", {})),
        (["relu6", activations.relu6, ReLU(6), ReLU(max_value=6.0)], ("relu6", {})),
        ([partial(activations.relu, max_value=6)], ("relu6", {})),
        ([partial(activations.relu, negative_slope=0.1)], ("leaky_relu", SLOPE)),
        (
            [ReLU(3, 0.1, 0.5), partial(activations.relu, max_value=3, negative_slope=0.1, threshold=0.5)],
            ("clipped_relu", {"max_value": 3.0, "negative_slope": 0.1, "threshold": 0.5}),
        ),
        (
            [ReLU(threshold=0.5), partial(activations.relu, threshold=0.5)],
            ("clipped_relu", {"max_value": 1e300, "negative_slope": 0.0, "threshold": 0.5}),
        ),
        (["prelu", activations.prelu, PReLU(), Activation("prelu"), PReLU(shared_axes=[1])], ("prelu", {})),
        ([Swish(), Swish(1.0)], ("silu", {})),
        ([Swish(2.0), partial(activations.swish, beta=2.0)], ("swish", {"beta": 2.0})),
        (["learned_swish", Swish(trainable_beta="unit"), Swish(3.0, "layer")], ("learned_swish", {})),
        (["silu", "swish", activations.silu, activations.swish], ("silu", {})),
        ([partial(activations.swish, beta=1.0), {"kind": "swish", "parameters": {"beta": 1.0}}], ("silu", {})),
        (
            [partial(activations.swish, beta=2), Activation(partial(activations.swish, beta=2))],
            ("swish", {"beta": 2.0}),
        ),
        (["hard_silu", "hard_swish", activations.hard_silu, activations.hard_swish], ("hard_silu", {})),
        (["celu", activations.celu, partial(activations.celu, alpha=1)], ("celu", {"alpha": 1.0})),
        ([partial(activations.celu, alpha=0.5)], ("celu", {"alpha": 0.5})),
        ([partial(activations.gelu, approximate=True), "gelu_tanh"], ("gelu_tanh", {})),
        (["softmax", activations.softmax, Softmax()], ("softmax", {})),
        ([None, "linear", activations.linear], ("linear", {})),
    ],
)
def test_all_forms_of_an_activation_are_one(forms, expected):
    for form in forms:
        assert Dense(2, activation=form).activation == expected


@pytest.mark.parametrize("name", list(_core.activations()))
def test_activation_names_are_functions_and_arguments(name):
    x = np.linspace(-3, 3, 24, dtype=np.float32)
    y = getattr(activations, name)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.tobytes() == _core.activation_forward(name, x.reshape(1, -1)).tobytes()
    assert activations.get(name) is activations.get(activations.get(name))
    canonical = "silu" if name == "swish" else name
    assert Dense(1, name).activation == (canonical, _core.activations()[canonical])


def test_defaults_of_activation_functions_are_the_cores():
    for name, parameters in _core.activations().items():
        arguments = list(inspect.signature(getattr(activations, name)).parameters.values())[1:]
        forms = ("approximate", *activations.RELU_ARGUMENTS) if name in ("gelu", "relu") else ()  # of other names
        assert {a.name: a.default for a in arguments if a.name not in forms} == parameters


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Dense(1, partial(activations.celu, alpha=-1)), ["Dense: alpha", "at least 0", "-1"]),
        (lambda: Dense(1, partial(activations.celu, beta=1)), ["Dense: celu", "'beta'", "alpha"]),
        (lambda: Dense(1, partial(activations.relu, 1.0)), ["Dense: activation"]),
        (lambda: Dense(1, partial(activations.gelu, approximate="tnah")), ["Dense: approximate", "tnah"]),
        (lambda: Dense(1, partial(np.tanh)), ["Dense: activation"]),
        (lambda: ReLU(-1), ["ReLU: max_value", "at least 0", "-1"]),
        (lambda: ReLU(6, True), ["ReLU: negative_slope", "True"]),
        (lambda: ReLU(threshold=-1), ["ReLU: threshold", "at least 0", "-1"]),
        (lambda: Dense(1, partial(activations.relu, max_valeu=1)), ["Dense: relu", "'max_valeu'", "'max_value'"]),
        (lambda: Dense(1, partial(activations.prelu, alpha=0.25)), ["Dense: prelu", "'alpha'"]),
        (lambda: Dense(1, "hard_swich"), ["hard_swich", "hard_swish"]),
        (lambda: activations.swish([1.0], beta=float("nan")), ["swish: beta", "nan"]),
    ],
)
def test_wrong_activations_are_named(make, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert all(word in str(caught.value) for word in words)


def test_activation_functions_take_what_numpy_takes():
    x = np.linspace(-2, 2, 24).reshape(2, 3, 4)
    assert activations.tanh(x).shape == x.shape
    assert activations.tanh(x).dtype == np.float64
    np.testing.assert_allclose(activations.tanh(x.T), np.tanh(x.T), rtol=1e-14)
    assert activations.relu(5).shape == ()
    assert activations.relu([-1, 2]).tolist() == [0, 2]
    assert activations.relu(np.zeros((0, 3), np.float32)).shape == (0, 3)
    np.testing.assert_allclose(activations.softmax(x).sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(activations.elu([-1.0], alpha=2.0), 2 * np.expm1(-1), rtol=1e-6)
    for approximate, name in ((True, "gelu_tanh"), ("tanh", "gelu_tanh"), ("sigmoid", "gelu_sigmoid")):
        assert np.array_equal(activations.gelu(x, approximate=approximate), getattr(activations, name)(x))
    assert np.array_equal(activations.get(LeakyReLU(0.5))([-2.0]), [-1.0])


MADE = [
    lambda: Dense(3, LeakyReLU(0.1), False, "he_normal", input_shape=(4,)),
    lambda: Dense(3, "softmax", trainable=False),
    lambda: layers.DenseTranspose("other", PReLU(), bias_regularizer="l2", input_shape=(3,)),
    lambda: BatchNormalization(momentum=0.9, epsilon=1e-5, center=False),
    lambda: BatchNormalization(axis=[1, 2], unbiased_variance=True, input_shape=(4, 5)),
    lambda: Normalization(axis=None, mean=1.5, variance=4),
    lambda: Normalization(axis=[-1], mean=[1, 2], variance=[3.0, 4], invert=True),
    lambda: LayerNormalization(epsilon=1e-5, center=False, gamma_initializer="zeros", gamma_regularizer="l2"),
    lambda: RMSNormalization(epsilon=1e-5, trainable=False),
    lambda: Flatten(input_shape=[2, 3]),
    lambda: Activation(ELU(0.3)),
    lambda: Activation(partial(activations.squareplus, b=1.5)),
    lambda: Dense(3, "selu", kernel_initializer="auto"),
    lambda: ReLU(negative_slope=0.25),
    lambda: ReLU(6),
    lambda: ReLU(3, 0.1, 0.5),
    lambda: Activation(ReLU(threshold=0.5)),
    lambda: PReLU("ones", "l2", "non_neg", shared_axes=[1]),
    lambda: Dense(3, PReLU(shared_axes=[1], trainable=False), input_shape=(4,)),
    lambda: Activation("learned_swish"),
    lambda: Swish(2.0),
    lambda: Swish(0.5, "layer"),
    lambda: LeakyReLU(alpha=0.05),
    lambda: ELU(1.5),
    lambda: Softmax(),
    lambda: Rescaling(1 / 255, offset=-0.5),
    lambda: layers.Scaling("zeros", scale_regularizer="l2", trainable=False),
    lambda: InputLayer((3, 2)),
    lambda: layers.Add(name="sum"),
    lambda: layers.Multiply(),
    lambda: layers.Concatenate(axis=1),
    lambda: ActivityRegularization(0.1, l2=0.2),
    lambda: Dense(3, kernel_regularizer="l2", bias_constraint="max_norm", activity_regularizer="l1"),
    lambda: BatchNormalization(gamma_regularizer="l1", beta_constraint="non_neg"),
    lambda: layers.Dropout(0.2),
    lambda: layers.AlphaDropout(0.1, seed=3, trainable=False),
    lambda: layers.GaussianDropout(0.3, input_shape=(4,)),
    lambda: layers.GaussianNoise(0.5),
    lambda: layers.RReLU(0.1, 0.2),
    lambda: Dense(3, "rrelu"),
    lambda: layers.Embedding(7, 3, "he_normal", embeddings_regularizer="l2", embeddings_constraint="max_norm"),
    lambda: layers.CategoryEncoding(5, "one_hot"),
    lambda: layers.Discretization([-1.0, 0.5], output_mode="count"),
    lambda: layers.StringLookup(vocabulary=["a", "b"], mask_token="", output_mode="multi_hot", input_shape=(2,)),
    lambda: layers.IntegerLookup(num_oov_indices=3, vocabulary=[5, -2], max_tokens=9, pad_to_max_tokens=True),
]


@pytest.mark.parametrize("make", MADE)
def test_config_makes_the_same_layer(make):
    layer = make()
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.spec() == layer.spec()
    assert again.expected_shape == layer.expected_shape


def test_every_layer_is_in_the_config_test():
    assert {type(make()) for make in MADE} == set(layers.REGISTRY.classes.values())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Dense(0), ["Dense", "units", "at least 1", "0"]),
        (lambda: Dense(2.5), ["Dense", "units", "integer", "2.5"]),
        (lambda: Dense(True), ["units", "True"]),
        (lambda: Dense("10"), ["units", "'10'"]),
        (lambda: Dense(3, "rellu"), ["Dense", "activation", "'rellu'", "Did you mean 'relu'"]),
        (lambda: Dense(3, LeakyReLU), ["activation", "LeakyReLU()"]),
        (lambda: Dense(3, np.tanh), ["activation", "evenflow.activations"]),
        (lambda: Dense(3, kernel_initializer="henormal"), ["kernel_initializer", "he_normal"]),
        (lambda: Dense(3, use_bias="no"), ["use_bias", "'no'"]),
        (lambda: Dense(3, activation_function="relu"), ["Dense", "activation_function", "'activation'"]),
        (lambda: Dense(3, kernal_initializer="he_normal"), ["kernal_initializer", "'kernel_initializer'"]),
        (lambda: Dense(3, nmae="x"), ["nmae", "'name'"]),
        (lambda: Dense(3, name=""), ["name"]),
        (lambda: Dense(3, name="a/b"), ["name", "a/b"]),
        (lambda: Dense(3, input_shape=(0,)), ["input_shape", "at least 1"]),
        (lambda: Dense(3, input_shape="784"), ["input_shape", "784"]),
        (lambda: BatchNormalization(axis=0), ["BatchNormalization: axis", "0 is the batch", "0"]),
        (lambda: BatchNormalization(axis=[1, 1]), ["axis", "list of axes", "[1, 1]"]),
        (lambda: BatchNormalization(axis=[]), ["axis", "at least one axis"]),
        (lambda: BatchNormalization(axis=1.0), ["axis", "1.0 of type float"]),
        (lambda: BatchNormalization(axis="12"), ["axis", "'12'"]),
        (lambda: BatchNormalization(axis=True), ["axis", "True of type bool"]),
        (lambda: BatchNormalization(unbiased_variance=1), ["unbiased_variance", "1"]),
        (lambda: built(BatchNormalization(axis=2), 4), ["axis", "(rows, 4)", "[2]"]),
        (lambda: built(BatchNormalization(axis=[1, -2]), 4, 5), ["different axes", "(rows, 4, 5)", "[1, -2]"]),
        (lambda: Normalization(mean=1.0), ["both mean and variance", "mean alone"]),
        (lambda: Normalization(mean=[1.0], variance=1.0), ["variance has shape ()", "(1,)"]),
        (lambda: Normalization(mean=1.0, variance=-1.0), ["variance", "at least 0", "-1.0"]),
        (lambda: Normalization(mean="a", variance="b"), ["mean", "'a'"]),
        (lambda: Normalization(mean=np.nan, variance=1.0), ["mean", "finite", "nan"]),
        (lambda: built(Normalization(mean=[1, 2], variance=[1, 2]), 3), ["mean has shape (2,)", "(3,)"]),
        (lambda: LayerNormalization(axis=2), ["LayerNormalization: axis", "Flatten()", "2"]),
        (lambda: LayerNormalization(center=None), ["center", "None"]),
        (lambda: RMSNormalization(epsilon=-1), ["RMSNormalization", "epsilon", "-1"]),
        (lambda: RMSNormalization(center=True), ["RMSNormalization", "'center'"]),
        (lambda: BatchNormalization(momentum=1.5), ["momentum", "at most 1.0", "1.5"]),
        (lambda: BatchNormalization(epsilon=-1e-3), ["epsilon", "-0.001"]),
        (lambda: LeakyReLU(-1), ["negative_slope", "-1"]),
        (lambda: LeakyReLU(alpha="x"), ["alpha", "'x'"]),
        (lambda: ReLU(max_value="3"), ["ReLU", "max_value", "'3'"]),
        (lambda: PReLU(shared_axes=[2]), ["PReLU", "shared_axes", "[2]"]),
        (lambda: PReLU(alpha_initializer="zerros"), ["PReLU", "alpha_initializer", "zeros"]),
        (lambda: built(PReLU(), 28, 28), ["PReLU", "(rows, 28, 28)", "Flatten()"]),
        (lambda: Swish(trainable_beta="units"), ["Swish", "trainable_beta", "'units'"]),
        (lambda: Swish(beta=-1), ["Swish", "beta", "at least 0"]),
        (lambda: ELU(float("inf")), ["alpha", "inf"]),
        (lambda: Softmax(axis=0), ["Softmax", "axis", "0"]),
        (lambda: Rescaling(None), ["scale", "None"]),
        (lambda: Input(()), ["shape"]),
        (lambda: Input((None, 3)), ["shape", "None"]),
        (lambda: built(Dense(3), 28, 28), ["Dense", "(rows, 28, 28)", "(rows, features)", "Flatten()"]),
        (lambda: built(RMSNormalization(), 28, 28), ["RMSNormalization", "(rows, 28, 28)", "Flatten()"]),
        (lambda: built(built(Dense(3), 4), 5), ["(rows, 5)", "(rows, 4)", "already has weights"]),
        (lambda: built(built(Dense(3), 4), 4, dtype="float64"), ["dtype", "float32", "float64"]),
        (lambda: activations.get("tnah"), ["'tnah'", "'tanh'"]),
        (lambda: activations.gelu([1.0], approximate="erf"), ["approximate", "'erf'"]),
        (lambda: activations.elu([1.0], alpha="big"), ["alpha", "'big'"]),
        (lambda: activations.softmax(3.0), ["softmax", "()"]),
        (lambda: activations.log_softmax([]), ["log_softmax", "(0,)"]),
        (lambda: activations.prelu(np.zeros((2, 3)), [0.1, 0.2]), ["prelu", "alpha", "(3,)", "(2,)"]),
        (lambda: activations.prelu([1.0], "x"), ["prelu", "alpha", "'x'"]),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, str(caught.value)


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="kernl"):
        _ = built(Dense(1), 1).kernl
    with pytest.raises(AttributeError, match="output_shape is known once"):
        _ = Dense(1).output_shape
    with pytest.raises(AttributeError, match=r"no attribute 'Sequentail'\. Did you mean 'Sequential'"):
        _ = evenflow.Sequentail
