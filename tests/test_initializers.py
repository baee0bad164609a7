"""Initial weights: moments, limits, truncation, seeds, names."""

import math

import numpy as np
import pytest

import evenflow
from evenflow import _core, activations, initializers
from evenflow.initializers import GlorotUniform, HeNormal, LecunNormal, VarianceScaling
from evenflow.layers import Activation, BatchNormalization, Dense, Flatten, LeakyReLU

SHAPE = (400, 250)
FAN = {"fan_in": 400, "fan_out": 250, "fan_avg": 325}
FAMILY = {
    "glorot_normal": (1, "fan_avg", "truncated_normal"),
    "glorot_uniform": (1, "fan_avg", "uniform"),
    "he_normal": (2, "fan_in", "truncated_normal"),
    "he_uniform": (2, "fan_in", "uniform"),
    "lecun_normal": (1, "fan_in", "truncated_normal"),
    "lecun_uniform": (1, "fan_in", "uniform"),
}


def close_to_variance(w, variance):
    """Within five standard errors of a sample variance (kurtosis is at most that of the normal distribution)."""
    return abs(w.var() - variance) < 5 * variance * math.sqrt(2 / w.size)


@pytest.mark.parametrize("distribution", VarianceScaling.DISTRIBUTIONS)
@pytest.mark.parametrize("mode", VarianceScaling.MODES)
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_variance_scaling_has_the_variance_it_says(scale, mode, distribution):
    w = VarianceScaling(scale, mode, distribution, seed=1)(SHAPE, dtype="float64")
    variance = scale / FAN[mode]
    assert close_to_variance(w, variance)
    assert abs(w.mean()) < 5 * math.sqrt(variance / w.size)
    if distribution == "uniform":
        limit = math.sqrt(3 * variance)
        assert 0.999 * limit < np.abs(w).max() <= limit
    else:
        deviations = np.abs(w).max() / math.sqrt(variance)
        cut = 2 / initializers.TRUNCATED_STDDEV
        assert 0.99 * cut < deviations <= cut if distribution == "truncated_normal" else deviations > 4


@pytest.mark.parametrize("name", FAMILY)
def test_family_is_variance_scaling(name):
    named = initializers.get(name)
    scale, mode, distribution = FAMILY[name]
    same = VarianceScaling(scale, mode, distribution, seed=named.seed)
    assert np.array_equal(named(SHAPE), same(SHAPE))
    assert np.array_equal(named(SHAPE), named(SHAPE))


def test_correction_is_the_deviation_of_the_truncated_normal():
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    deviation = math.sqrt(1 - 4 * density / math.erf(math.sqrt(2)))
    assert deviation == pytest.approx(initializers.TRUNCATED_STDDEV, abs=1e-15)


def test_truncated_draws_follow_the_conditional_distribution():
    z = initializers.draw_truncated(np.random.default_rng(0), (200_000,))
    inside = math.erf(math.sqrt(2))
    for point in (-1.5, -0.5, 0.0, 0.7, 1.9):
        expected = 0.5 + 0.5 * math.erf(point / math.sqrt(2)) / inside
        assert abs((z <= point).mean() - expected) < 5 * math.sqrt(0.25 / z.size)


def test_plain_distributions():
    normal = initializers.RandomNormal(mean=3.0, stddev=0.5, seed=0)(SHAPE, "float64")
    assert close_to_variance(normal, 0.25)
    assert abs(normal.mean() - 3) < 5 * 0.5 / math.sqrt(normal.size)
    truncated = initializers.TruncatedNormal(mean=3.0, stddev=0.5, seed=0)(SHAPE, "float64")
    assert np.abs(truncated - 3).max() <= 1.0
    assert close_to_variance(truncated, (0.5 * initializers.TRUNCATED_STDDEV) ** 2)
    uniform = initializers.RandomUniform(-2, 5, seed=0)(SHAPE, "float64")
    assert -2 <= uniform.min() < -1.99
    assert 4.99 < uniform.max() < 5
    assert np.all(initializers.Constant(7)((3, 2)) == 7)
    assert np.all(initializers.Zeros()((3,)) == 0)
    assert np.all(initializers.Ones()((3,)) == 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_are_of_the_dtype_asked_for(dtype):
    w = initializers.HeNormal(seed=3)((5, 4), dtype)
    assert (w.dtype, w.shape, w.flags.c_contiguous, w.flags.writeable) == (dtype, (5, 4), True, True)
    assert np.array_equal(w, initializers.HeNormal(seed=3)((5, 4), "float64").astype(dtype))


def test_fans():
    assert initializers.compute_fans(()) == (1, 1)
    assert initializers.compute_fans((7,)) == (7, 7)
    assert initializers.compute_fans((7, 3)) == (7, 3)
    assert initializers.compute_fans((2, 5, 7, 3)) == (70, 30)


def test_seeds():
    assert not np.array_equal(initializers.HeNormal()(SHAPE), initializers.HeNormal()(SHAPE))
    assert np.array_equal(initializers.HeNormal(seed=5)(SHAPE), initializers.HeNormal(seed=5)(SHAPE))
    evenflow.set_seed(11)
    first = [initializers.get("he_normal")(SHAPE), initializers.get("he_normal")(SHAPE)]
    evenflow.set_seed(11)
    again = [initializers.get("he_normal")(SHAPE), initializers.get("he_normal")(SHAPE)]
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    evenflow.set_seed(12)
    assert not np.array_equal(first[0], initializers.get("he_normal")(SHAPE))


def test_layers_of_one_model_draw_different_numbers():
    model = evenflow.Sequential([evenflow.Input((8,)), Dense(8), Dense(8)])
    first, second = model.get_weights()[::2]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("identifier", ["he_normal", "HeNormal", HeNormal(), HeNormal, initializers.he_normal])
def test_names_and_objects(identifier):
    assert isinstance(initializers.get(identifier), initializers.HeNormal)


@pytest.mark.parametrize("name", [*initializers.REGISTRY.names, *initializers.REGISTRY.classes])
def test_every_name_makes_an_initializer_that_config_makes_again(name):
    made = initializers.get(name)
    again = initializers.get({"class_name": type(made).__name__, "config": made.get_config()})
    assert np.array_equal(made((6, 5)), again((6, 5)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: initializers.get("he_norml"), ["he_norml", "he_normal"]),
        (lambda: initializers.get(7), ["initializer", "7"]),
        (lambda: VarianceScaling(scale=0), ["scale", "above 0", "0"]),
        (lambda: VarianceScaling(mode="fan_avrg"), ["mode", "fan_avg"]),
        (lambda: VarianceScaling(distribution="unifrm"), ["distribution", "uniform"]),
        (lambda: initializers.RandomNormal(stddev=-1), ["stddev", "-1"]),
        (lambda: initializers.RandomUniform(1, 0), ["maxval", "at least 1.0"]),
        (lambda: initializers.HeNormal(seed=-1), ["seed", "-1"]),
        (lambda: initializers.HeNormal(seed=0.5), ["seed", "0.5"]),
        (lambda: initializers.Constant(float("nan")), ["value", "nan"]),
        (lambda: evenflow.set_seed("one"), ["seed", "one"]),
        (lambda: initializers.Orthogonal()((3,)), ["Orthogonal", "(3,)", "(inputs, units)"]),
        (lambda: initializers.Identity()((2, 3, 4)), ["Identity", "(2, 3, 4)", "(inputs, units)"]),
        (lambda: initializers.Orthogonal(gain="2"), ["Orthogonal", "gain", "'2'"]),
        (lambda: Dense(2, bias_initializer="orthogonal"), ["Dense", "bias_initializer", "zeros", "orthogonal"]),
        (lambda: BatchNormalization(gamma_initializer="auto"), ["BatchNormalization", "gamma_initializer", "auto"]),
        (lambda: initializers.get(int), ["initializer", "int"]),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words)


# ------------------------------------------------------------------------------------------------- orthogonal, identity


@pytest.mark.parametrize("shape", [(40, 40), (60, 25), (25, 60), (1, 7), (3, 4, 30)], ids=str)
@pytest.mark.parametrize("gain", [1.0, 0.5, -2.0])
def test_orthogonal(shape, gain):
    w = initializers.Orthogonal(gain, seed=4)(shape, "float64").reshape(-1, shape[-1])
    short = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(short, gain**2 * np.eye(len(short)), rtol=0, atol=1e-14 * gain**2 * max(shape))
    assert w.shape == (math.prod(shape[:-1]), shape[-1])
    same = initializers.Orthogonal(gain, seed=4)(shape, "float64").reshape(w.shape)
    assert np.array_equal(w, same)
    assert not np.array_equal(w, initializers.Orthogonal(gain, seed=5)(shape, "float64").reshape(w.shape))


def test_orthogonal_matrices_favour_no_direction():
    # Elements have mean 0 and variance 1 / n, and both signs of the determinant are as likely.
    drawn = np.array([initializers.Orthogonal(seed=s)((4, 4), "float64") for s in range(2000)])
    assert np.all(np.abs(drawn.mean(axis=0)) < 5 * 0.5 / math.sqrt(2000))
    assert np.all(np.abs(drawn.var(axis=0) - 0.25) < 5 * 0.25 * math.sqrt(2 / 2000))
    assert abs((np.linalg.det(drawn) > 0).mean() - 0.5) < 5 * 0.5 / math.sqrt(2000)


def test_identity():
    assert np.array_equal(initializers.Identity()((3, 3)), np.eye(3))
    assert np.array_equal(initializers.Identity(gain=-2)((2, 4)), -2 * np.eye(2, 4))
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    model = evenflow.Sequential([Dense(3, kernel_initializer="identity", input_shape=(3,))])
    assert np.array_equal(model.predict(x), x)


# ------------------------------------------------------------------------------------------------------ "auto"


def test_auto_knows_every_activation():
    assert set(initializers.Auto.CHOICE) == set(activations.FUNCTIONS)


def first_kernel(*following, activation=None, seed=7):
    auto = initializers.Auto(seed=seed)
    layers = [Dense(30, activation, kernel_initializer=auto, input_shape=(50,)), *following]
    return evenflow.Sequential(layers).get_weights()[0]


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        (lambda: first_kernel(), GlorotUniform),
        (lambda: first_kernel(activation="tanh"), GlorotUniform),
        (lambda: first_kernel(activation="relu"), HeNormal),
        (lambda: first_kernel(activation=LeakyReLU(0.1)), HeNormal),
        (lambda: first_kernel(activation="selu"), LecunNormal),
        (lambda: first_kernel(Activation("silu")), HeNormal),
        (lambda: first_kernel(BatchNormalization(), Activation("elu")), HeNormal),
        (lambda: first_kernel(BatchNormalization(), Flatten(), Activation("linear"), Activation("selu")), LecunNormal),
        (lambda: first_kernel(BatchNormalization(), Dense(3, "relu")), GlorotUniform),
        (lambda: first_kernel(BatchNormalization(), Activation("softmax")), GlorotUniform),
        (lambda: first_kernel(Activation("sigmoid"), Activation("relu")), GlorotUniform),
        (lambda: first_kernel(Activation("relu"), activation="selu"), LecunNormal),
    ],
)
def test_auto_chooses_by_the_activation_that_follows(kernel, expected):
    assert np.array_equal(kernel(), expected(seed=7)((50, 30)))


def test_auto_in_a_model_that_grows():
    model = evenflow.Sequential([evenflow.Input((50,))])
    model.add(Dense(30, kernel_initializer=initializers.Auto(seed=7)))
    model.add(Activation("relu"))
    model.pop()
    model.add(Activation("selu"))
    kernel = model.get_weights()[0]
    assert np.array_equal(kernel, LecunNormal(seed=7)((50, 30)))
    model.pop()
    model.add(Activation("relu"))
    assert np.array_equal(model.get_weights()[0], kernel)  # what has been looked at stays


def test_auto_alone_and_in_a_layer_alone():
    assert np.array_equal(initializers.Auto(seed=7)((50, 30)), GlorotUniform(seed=7)((50, 30)))
    dense = Dense(30, "relu", kernel_initializer=initializers.Auto(seed=7))
    dense.build((50,))
    assert np.array_equal(dense.kernel.numpy(), HeNormal(seed=7)((50, 30)))


def test_auto_is_saved_as_auto(tmp_path):
    evenflow.set_seed(3)
    model = evenflow.Sequential([Dense(4, "relu", kernel_initializer="auto", input_shape=(3,)), Dense(2)])
    model.save(tmp_path / "model.safetensors")
    again = evenflow.models.load_model(tmp_path / "model.safetensors")
    assert again.get_config() == model.get_config()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


# ----------------------------------------------------------------------------------- the signal through fifty layers


def deviations(activation, initializer, width, stddev=1.0, depth=50, rows=64):
    """Standard deviations of each layer's output, and of the gradient of each layer's input, top first."""
    rng = np.random.default_rng(0)
    y = (stddev * rng.standard_normal((rows, width))).astype(np.float32)
    passed = []
    for seed in range(depth):
        kernel = initializer(seed=seed)((width, width))
        z = y @ kernel
        y = _core.activation_forward(activation, z)
        passed.append((kernel, z, y))
    gradient = rng.standard_normal(y.shape).astype(np.float32)
    gradients = [gradient.std()]
    for kernel, z, y in reversed(passed):
        gradient = _core.activation_backward(activation, gradient, z, y) @ kernel.T
        gradients.append(gradient.std())
    return np.array([y.std() for _, _, y in passed]), np.array(gradients)


def spread(values):
    return values.max() / values.min()


# tanh is near its line only for small inputs: from deviation 1 its outputs shrink to 0.1 in fifty layers.
@pytest.mark.parametrize(
    ("activation", "initializer", "width", "stddev"),
    [("relu", HeNormal, 768, 1.0), ("tanh", initializers.GlorotNormal, 256, 0.05), ("tanh", GlorotUniform, 256, 0.05)],
)
def test_the_right_initializer_keeps_the_variance_within_a_factor_of_two(activation, initializer, width, stddev):
    for found in deviations(activation, initializer, width, stddev):
        variances = (found / found[0]) ** 2
        assert variances.min() > 1 / 2
        assert variances.max() < 2


def test_selu_normalizes_itself():
    outputs, gradients = deviations("selu", LecunNormal, 256)
    assert np.all(np.abs(outputs - 1) < 0.1)
    # Klambauer et al. hold the outputs at deviation 1; gradients grow by E[selu'(z)^2] = 1.0716 in variance per layer.
    assert gradients[-1] / gradients[0] == pytest.approx(1.0716 ** (50 / 2), rel=0.25)


def test_orthogonal_kernels_keep_lengths():
    outputs, gradients = deviations("linear", initializers.Orthogonal, 64)
    assert spread(outputs) < 1.01
    assert spread(gradients) < 1.01


def test_the_wrong_initializer_loses_it():
    outputs, gradients = deviations("relu", GlorotUniform, 64)
    assert outputs[-1] < 1e-5 * outputs[0]
    assert gradients[-1] < 1e-5 * gradients[0]


def test_sigmoid_with_plain_normal_kernels_saturates():
    y = np.random.default_rng(0).standard_normal((64, 100)).astype(np.float32)
    for seed in range(5):
        y = activations.sigmoid(y @ initializers.RandomNormal(stddev=1.0, seed=seed)((100, 100)))
        assert ((y < 0.01) | (y > 0.99)).mean() > 0.4
    z = np.random.default_rng(0).standard_normal((64, 100)).astype(np.float32)
    assert not (activations.sigmoid(z @ GlorotUniform(seed=0)((100, 100))) > 0.99).any()


def test_auto_keeps_the_signal_of_a_deep_model():
    evenflow.set_seed(0)
    hidden = [Dense(256, "relu", kernel_initializer="auto") for _ in range(20)]
    model = evenflow.Sequential([evenflow.Input((256,)), *hidden])
    x = np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)
    assert 0.5 < np.sqrt(np.mean(model.predict(x) ** 2)) < 2
