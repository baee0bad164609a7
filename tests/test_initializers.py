"""Initial weights: moments, limits, truncation, seeds, names."""

import math

import numpy as np
import pytest

import evenflow
from evenflow import initializers
from evenflow.initializers import VarianceScaling
from evenflow.layers import Dense

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
    z = initializers.truncated_normal(np.random.default_rng(0), (200_000,))
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


@pytest.mark.parametrize("identifier", ["he_normal", "HeNormal", initializers.HeNormal()])
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
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words)
