"""Every eager kernel against the reference, for each instruction set and type."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import update_cases
from cases import ACTIVATION_CASES, BATCHES, CASES, DENSE_SHAPES, FLAT_SHAPES, SIZES, TIMED, ActivationCase, Case

from evenflow import _core, reference

POINTS = 20_000


def check(case: Case, module: Any, arguments: Any, dtype: Any) -> None:
    """That the module's results are within the case's bounds of the reference."""
    expected = case.judged(arguments, dtype)
    bounds = case.bounds(arguments, expected, dtype)
    results = case.call(module, arguments)
    assert len(results) == len(expected)
    for result, right, bound in zip(results, expected, bounds, strict=True):
        assert np.shape(result) == np.shape(right)
        error = np.abs(np.asarray(result, dtype=np.asarray(right).dtype) - right)
        assert np.all(error <= bound), f"{np.max(error / np.maximum(bound, 1e-300)):.3g} times the bound"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_value(case: Case, isa, dtype, rng):
    check(case, _core, case.arguments(rng, dtype), dtype)


@pytest.mark.parametrize("case", [c for c in CASES if c.shape[0] in (13, 33)], ids=lambda case: case.name)
def test_results_have_the_type_of_the_arguments(case: Case, isa, dtype, rng):
    expected = np.float64 if case.kernel == "metric_sums" else dtype
    for result in case.call(_core, case.arguments(rng, dtype)):
        assert not isinstance(result, np.ndarray) or result.dtype == expected


@pytest.mark.parametrize("shape", DENSE_SHAPES, ids=lambda s: "x".join(map(str, s)))
def test_dense_is_exact_on_small_integers(shape, isa, dtype, rng):
    rows, inputs, units = shape
    # Every partial sum is an integer below 2^24, so any order of summation gives the exact result.
    x, w, b, dy = (rng.integers(-8, 9, s) for s in ((rows, inputs), (inputs, units), units, (rows, units)))
    fx, fw, fb, fdy = (a.astype(dtype) for a in (x, w, b, dy))
    np.testing.assert_array_equal(_core.dense_forward(fx, fw, fb), x @ w + b)
    np.testing.assert_array_equal(_core.dense_forward(fx, fw), x @ w)
    dx, dw, db = _core.dense_backward(fdy, fx, fw)
    np.testing.assert_array_equal(dx, dy @ w.T)
    np.testing.assert_array_equal(dw, x.T @ dy)
    np.testing.assert_array_equal(db, dy.sum(axis=0))


@pytest.mark.parametrize("features", SIZES)
def test_batch_norm_of_one_row(features, isa, dtype, rng):
    x, beta = (rng.standard_normal(s).astype(dtype) for s in ((1, features), features))
    y, mean, variance = _core.batch_norm_forward(x, np.ones(features, dtype), beta, epsilon=1e-3)
    np.testing.assert_array_equal(mean, x[0])
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(y[0], beta)


@pytest.mark.parametrize("rows", BATCHES)
def test_batch_norm_of_a_constant_feature(rows, isa, dtype):
    x = np.full((rows, 17), 4096.5, dtype)
    y, mean, variance = _core.batch_norm_forward(x, np.ones(17, dtype), np.zeros(17, dtype), epsilon=1e-3)
    np.testing.assert_array_equal(mean, x[0])
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(y, 0)


# Activations ----------------------------------------------------------------------------------------------------------


@lru_cache
def points(dtype: Any) -> np.ndarray:
    """To where e^x overflows and underflows, finer around 0, and towards 0 in equal ratios."""
    end = 110 if dtype == np.float32 else 760
    small = np.geomspace(1e-36, 1, POINTS // 4)
    steps = [np.linspace(-a, a, POINTS) for a in (end, 20, 2)]
    return np.concatenate([*steps, small, -small, [0.0, -0.0]]).astype(dtype)


@lru_cache
def judged(case: ActivationCase, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The reference's value and slope, in twice the digits or the 11 bits more of an extended double."""
    if dtype == np.float64 and np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        pytest.skip("np.longdouble is float64 here: nothing to judge float64 by")
    x = points(dtype).astype(np.float64 if dtype == np.float32 else np.longdouble)
    y = reference.activation_forward(case.name, x, **case.parameters)
    return y, reference.activation_backward(case.name, np.ones_like(x), x, y, **case.parameters)


def ulps(result: np.ndarray, right: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Errors in units in the last place of `unit`, in the type of the result; none where both overflow to infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        spacing = np.spacing(np.maximum(np.abs(unit).astype(result.dtype), np.finfo(result.dtype).tiny))
        same = np.isinf(result) & (result == right.astype(result.dtype))
        return np.where(same, 0, np.abs(result.astype(right.dtype) - right) / spacing)


by_name = pytest.mark.parametrize(
    "case", ACTIVATION_CASES, ids=lambda c: "-".join([c.name, *map(str, c.parameters.values())])
)


@by_name
def test_activation_value(case, isa, dtype):
    x = points(dtype)
    right, _ = judged(case, dtype)
    error = ulps(_core.activation_forward(case.name, x[None], **case.parameters)[0], right, right)
    worst = np.argmax(error)
    assert error[worst] <= case.value_ulps, f"{error[worst]:.3g} at {x[worst]!r}"


@by_name
def test_activation_slope(case, isa, dtype):
    x = points(dtype)
    value, right = judged(case, dtype)
    unit = np.broadcast_to(case.terms(x, value, right), right.shape)
    y = _core.activation_forward(case.name, x[None], **case.parameters)
    slope = _core.activation_backward(case.name, np.ones_like(y), x[None], y, **case.parameters)[0]
    error = ulps(slope, right, unit)
    worst = np.argmax(error)
    assert error[worst] <= case.slope_ulps, f"{error[worst]:.3g} at {x[worst]!r}"


@by_name
def test_activation_backward_multiplies_the_slope(case, isa, dtype, rng):
    x, dy = (rng.standard_normal((12, 33)).astype(dtype) for _ in range(2))
    y = _core.activation_forward(case.name, x, **case.parameters)
    slope = _core.activation_backward(case.name, np.ones_like(x), x, y, **case.parameters)
    dx = _core.activation_backward(case.name, dy, x, y, **case.parameters)
    # One rounding of the product, and one more where slope and dy are multiplied in another order.
    np.testing.assert_allclose(dx, dy * slope, rtol=2 * np.finfo(dtype).eps, atol=0)


@by_name
@pytest.mark.parametrize("size", SIZES)
def test_activation_depends_on_no_neighbour(case, size, isa, dtype, rng):
    x = (3 * rng.standard_normal((2, size))).astype(dtype)
    y = _core.activation_forward(case.name, x, **case.parameters)
    one = [_core.activation_forward(case.name, v.reshape(1, 1), **case.parameters)[0, 0] for v in x.flat]
    np.testing.assert_array_equal(y.ravel(), one)


@by_name
def test_activation_at_the_ends_of_the_type(case, isa, dtype):
    info = np.finfo(dtype)
    x = np.array([[np.nan, np.inf, -np.inf, info.max, -info.max, info.tiny, -info.tiny, 0.0, -0.0]], dtype)
    y = _core.activation_forward(case.name, x, **case.parameters)
    slope = _core.activation_backward(case.name, np.ones_like(x), x, y, **case.parameters)
    with np.errstate(over="ignore"):
        right = reference.activation_forward(case.name, x, **case.parameters).astype(dtype)
        right_slope = reference.activation_backward(case.name, np.ones_like(x), x, right, **case.parameters)
    np.testing.assert_allclose(y, right, rtol=4 * info.eps, atol=0)
    np.testing.assert_allclose(slope, right_slope.astype(dtype), rtol=4 * info.eps, atol=info.eps)


def test_every_activation_is_judged():
    assert {case.name for case in ACTIVATION_CASES} == set(_core.activations())


def test_swish_with_beta_1_is_silu(isa, dtype):
    x = points(dtype)
    outcomes = []
    for name in ("swish", "silu"):
        y = _core.activation_forward(name, x[None])
        outcomes.append((y, _core.activation_backward(name, np.ones_like(y), x[None], y)))
    np.testing.assert_array_equal(*outcomes)


@pytest.mark.parametrize(
    ("name", "parameters", "limit"),
    [
        ("celu", {"alpha": 0.0}, lambda x: np.maximum(x, 0)),
        ("squareplus", {"b": 0.0}, lambda x: np.maximum(x, 0)),
        ("swish", {"beta": 0.0}, lambda x: x / 2),
        ("swish", {"beta": 1e6}, lambda x: np.maximum(x, 0)),
        ("soft_shrink", {"threshold": 0.0}, lambda x: x),
    ],
)
def test_limits_of_hyper_parameters(name, parameters, limit, isa, dtype):
    x = np.array([[-1e30, -7.0, -0.25, 0.0, 0.25, 7.0, 1e30]], dtype)
    y = _core.activation_forward(name, x, **parameters)
    np.testing.assert_allclose(y, limit(x), rtol=0, atol=1e-30)
    assert np.isfinite(_core.activation_backward(name, np.ones_like(x), x, y, **parameters)).all()


def test_isru_bends_nothing_with_alpha_0_and_everything_with_a_large_one(isa, dtype):
    x = np.array([[-1e6, -7.0, -0.25, 0.0, 0.25, 7.0, 1e6]], dtype)
    np.testing.assert_array_equal(_core.activation_forward("isru", x, alpha=0.0), x)
    np.testing.assert_array_equal(_core.activation_backward("isru", x, x, x, alpha=0.0), x)
    np.testing.assert_allclose(_core.activation_forward("isru", x, alpha=1e40), np.sign(x) * 1e-15, rtol=1e-6)


def same_masks(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_array_equal(np.isposinf(a), np.isposinf(b))
    np.testing.assert_array_equal(np.isneginf(a), np.isneginf(b))


# NaN and infinity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 33, 17), (32, 100, 65)], ids=str)
def test_dense_propagates(shape, value, isa, dtype, rng):
    rows, inputs, units = shape
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in ((rows, inputs), (inputs, units), (rows, units)))
    x[-1, -1] = dy[0, -1] = value
    with np.errstate(invalid="ignore"):
        same_masks(_core.dense_forward(x, w), reference.dense_forward(x, w))
        for result, right in zip(_core.dense_backward(dy, x, w), reference.dense_backward(dy, x, w), strict=True):
            same_masks(result, right)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("features", [1, 16, 33])
def test_rows_and_columns_propagate(features, value, isa, dtype, rng):
    x = rng.standard_normal((13, features)).astype(dtype)
    x[3, -1] = value
    gamma, beta = np.ones(features, dtype), np.zeros(features, dtype)
    with np.errstate(invalid="ignore"):
        same_masks(_core.softmax(x), reference.softmax(x))
        right = reference.batch_norm_forward(x, gamma, beta, epsilon=1e-3)
        for result, expected in zip(_core.batch_norm_forward(x, gamma, beta, epsilon=1e-3), right, strict=True):
            same_masks(result, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kernel", "settings"), update_cases.SETTINGS, ids=str)
def test_updates_propagate(kernel, settings, value, isa, dtype, rng):
    case = Case(kernel, (33,), settings)
    args, keywords = case.arguments(rng, dtype)
    args[1][5] = value
    with np.errstate(invalid="ignore"):
        for ours, right in zip(case.call(_core, (args, keywords)), case.judged((args, keywords), dtype), strict=True):
            same_masks(ours, right)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_clipping_propagates(value, isa, dtype, rng):
    g = rng.standard_normal(33).astype(dtype)
    g[5] = value
    with np.errstate(invalid="ignore"):
        for clip in ("clip_by_value", "clip_by_norm"):
            a, b = g.copy(), g.copy()
            getattr(_core, clip)(a, 0.5), getattr(reference, clip)(b, 0.5)
            same_masks(a, b)


# Zero is a fixed point of every update: what the padding of flat parameters relies on ---------------------------------


@pytest.mark.parametrize("shape", FLAT_SHAPES, ids=str)
@pytest.mark.parametrize(("kernel", "settings"), update_cases.SETTINGS, ids=str)
def test_zero_stays_zero(kernel, settings, shape, isa, dtype, rng):
    args, keywords = Case(kernel, shape, settings).arguments(rng, dtype)
    for a in args:
        if a is not None:
            a[...] = 0
    getattr(_core, kernel)(*args, **keywords)
    for a in args:
        assert a is None or a.tobytes() == bytes(a.nbytes)
    if kernel == "adagrad_step":
        args[2][...] = 0.1
        _core.adagrad_step(*args, **keywords)
        assert args[0].tobytes() == bytes(args[0].nbytes)


# Extreme logits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_losses_of_extreme_logits_are_finite(size, isa, dtype):
    logits = np.array([[size, -size, 0.0], [-size, size, size]], dtype)
    info = np.finfo(dtype)
    np.testing.assert_allclose(_core.softmax(logits), reference.softmax(logits), rtol=4 * info.eps, atol=info.tiny)
    for name, target in (
        ("sparse_categorical_crossentropy", np.array([1, 2])),
        ("categorical_crossentropy", np.array([[0, 1, 0], [0, 0, 1]], dtype)),
        ("binary_crossentropy", np.array([[0, 1, 0], [0, 0, 1]], dtype)),
    ):
        rows, gradient = _core.loss_forward_backward(name, logits, target, from_logits=True)
        right, right_gradient = reference.loss_forward_backward(name, logits, target, from_logits=True)
        np.testing.assert_allclose(rows, right, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_allclose(gradient, right_gradient, rtol=0, atol=4 * np.finfo(dtype).eps)


def test_losses_of_certain_predictions_are_clipped(isa, dtype):
    p = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 1e-8]], dtype)
    t = np.array([[1, 0, 0], [1, 0, 0]], dtype)
    # In float32 the limit 1 - 1e-7 is rounded to 1 - 1.19e-7, and its neighbours' losses with it.
    for name in ("categorical_crossentropy", "binary_crossentropy"):
        rows, gradient = _core.loss_forward_backward(name, p, t)
        right, right_gradient = reference.loss_forward_backward(name, p, t)
        np.testing.assert_allclose(rows, right, rtol=0.02, atol=np.finfo(dtype).eps)
        np.testing.assert_allclose(gradient, right_gradient, rtol=4 * np.finfo(dtype).eps)


# Time -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "precision"),
    [(_core, np.float32), (_core, np.float64), (reference, np.float64)],
    ids=["evenflow-float32", "evenflow-float64", "numpy-float64"],
)
@pytest.mark.parametrize("case", TIMED, ids=lambda case: case.name)
def test_time(case: Case, module: Any, precision: Any, rng, benchmark):
    arguments = case.arguments(rng, precision)
    check(case, module, arguments, precision)
    args, kwargs = arguments
    benchmark(getattr(module, case.kernel), *args, **kwargs)
