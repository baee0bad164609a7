"""`evenflow.jax`'s fused layer under JAX's transformations, against the same in jax.numpy and the eager kernels."""

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow import kernels

jax = pytest.importorskip("jax")
pytest.importorskip("jax.ffi")
pytestmark = pytest.mark.peers

from jax import numpy as jnp  # noqa: E402

EPSILON = 1e-3
FORMULAS = {
    "linear": lambda z: z,
    "relu": jax.nn.relu,
    "leaky_relu": lambda z, negative_slope: jax.nn.leaky_relu(z, negative_slope),
    "elu": lambda z, alpha: jax.nn.elu(z, alpha),
    "celu": lambda z, alpha: jax.nn.celu(z, alpha),
    "selu": jax.nn.selu,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "gelu_tanh": lambda z: jax.nn.gelu(z, approximate=True),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "log_sigmoid": jax.nn.log_sigmoid,
}
PARAMETERS = {"leaky_relu": {"negative_slope": 0.03}, "elu": {"alpha": 0.7}, "celu": {"alpha": 0.5}}
MODES = ["plain", "training", "inference"]


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    evenflow.set_num_threads(0)


def arrays(rng: np.random.Generator, rows: int, inputs: int, units: int, dtype: Any = np.float64) -> dict[str, Any]:
    sizes = {"x": (rows, inputs), "kernel": (inputs, units)}
    sizes |= dict.fromkeys(("bias", "gamma", "beta", "moving_mean", "moving_variance"), (units,))
    found = {name: rng.standard_normal(size) for name, size in sizes.items()}
    found["moving_variance"] = found["moving_variance"] ** 2 + 0.1
    return {name: value.astype(dtype) for name, value in found.items()}


def ours(mode: str, a: dict[str, Any], name: str, **more: Any) -> tuple[Any, Any]:
    given = PARAMETERS.get(name, {}) | more
    if mode == "plain":
        return evenflow.jax.fused_dense(a["x"], a["kernel"], a["bias"], activation=name, **given), ()
    return evenflow.jax.fused_dense_bn(
        **a, training=mode == "training", activation=name, momentum=0.9, epsilon=EPSILON, **given
    )


def theirs(mode: str, a: dict[str, Any], name: str) -> tuple[Any, Any]:
    z = a["x"] @ a["kernel"] + a["bias"]
    moving = a["moving_mean"], a["moving_variance"]
    now = (z.mean(axis=0), z.var(axis=0)) if mode == "training" else jax.lax.stop_gradient(moving)
    if mode == "training":
        moving = tuple(0.9 * m + 0.1 * n for m, n in zip(moving, now, strict=True))
    if mode != "plain":
        z = a["gamma"] * (z - now[0]) / jnp.sqrt(now[1] + EPSILON) + a["beta"]
    return FORMULAS[name](z, **PARAMETERS.get(name, {})), () if mode == "plain" else moving


def gradients(layer: Any, a: dict[str, Any]) -> dict[str, Any]:
    def loss(a: dict[str, Any]) -> Any:
        y = layer(a)[0]
        return (y * jnp.cos(jnp.arange(y.size)).astype(y.dtype).reshape(y.shape)).sum()

    return jax.grad(loss)(a)


def close(own: Any, right: Any, bound: float) -> None:
    own, right = np.asarray(own, np.float64), np.asarray(right, np.float64)
    assert own.shape == right.shape
    assert abs(own - right).max(initial=0) <= bound


def compare(mode: str, name: str, a: dict[str, Any]) -> None:
    """Within roundings of the terms of z, as normalization stretches them."""
    right = {key: jnp.asarray(value, jnp.float64) for key, value in a.items()}
    (y, moving), (y_right, moving_right) = ours(mode, a, name), theirs(mode, right, name)
    assert y.dtype == a["x"].dtype
    terms = float((abs(right["x"]) @ abs(right["kernel"]) + abs(right["bias"])).max())
    z = right["x"] @ right["kernel"] + right["bias"]
    variance = z.var(axis=0) if mode == "training" else right["moving_variance"]
    stretch = 1.0 if mode == "plain" else float((abs(right["gamma"]) / jnp.sqrt(variance + EPSILON)).max())
    eps = float(np.finfo(a["x"].dtype).eps)
    close(y, y_right, 2 * eps * terms * max(stretch, 1))
    for one, other in zip(moving, moving_right, strict=True):
        close(one, other, 2 * eps * terms**2)
    found = gradients(lambda a: ours(mode, a, name), a)
    expected = gradients(lambda a: theirs(mode, a, name), right)
    size = max(float(abs(g).max()) for g in expected.values())
    for key, gradient in found.items():
        assert gradient.dtype == a["x"].dtype
        close(gradient, expected[key], 2 * eps * terms * max(stretch, 1) * size)


@pytest.mark.parametrize("name", FORMULAS)
def test_is_jax_numpys(name, dtype, isa, rng):
    compare("training", name, arrays(rng, 17, 13, 37, dtype))


@pytest.mark.parametrize("mode", ["plain", "inference"])
@pytest.mark.parametrize("name", ["linear", "elu", "silu"])
def test_is_jax_numpys_without_statistics_of_the_batch(name, mode, dtype, isa, rng):
    compare(mode, name, arrays(rng, 17, 13, 37, dtype))


@pytest.mark.parametrize("name", kernels.activations())
def test_bits_are_the_eager_kernels(name, dtype, rng):
    for mode in MODES:
        is_the_eager_kernels(name, mode, dtype, rng)


def is_the_eager_kernels(name: str, mode: str, dtype: Any, rng: np.random.Generator) -> None:
    a = arrays(rng, 9, 5, 21, dtype)
    own = {"activation": name, "epsilon": EPSILON, **PARAMETERS.get(name, {})}
    normal = [] if mode == "plain" else [a["gamma"], a["beta"]]
    given = [a["moving_mean"], a["moving_variance"]] if mode == "inference" else []
    y, z, mean, variance = kernels.dense_bn_act_forward(a["x"], a["kernel"], a["bias"], *normal, *given, **own)
    statistics = [mean, variance] if mode == "training" else given
    found, pull, moving = jax.vjp(lambda a: ours(mode, a, name), a, has_aux=True)
    np.testing.assert_array_equal(found, y)
    if mode == "training":
        np.testing.assert_allclose(moving[0], 0.9 * a["moving_mean"] + 0.1 * mean, rtol=1e-5)
    dy = np.cos(y)
    right = kernels.dense_bn_act_backward(
        dy, a["x"], a["kernel"], z, *normal, *statistics, training=mode == "training", **own
    )
    (all_found,) = pull(jnp.asarray(dy))
    for key, gradient in zip(("x", "kernel", "bias", "gamma", "beta"), right, strict=True):
        if gradient is not None:
            np.testing.assert_array_equal(all_found[key], gradient, err_msg=key)


def test_batch_norm_without_bias(rng):
    a = arrays(rng, 17, 13, 37)
    del a["bias"]
    right = {**a, "bias": 0.0}
    own = gradients(lambda a: evenflow.jax.fused_dense_bn(**a, training=True, activation="silu"), a)
    expected = gradients(lambda a: theirs("training", {**right, **a}, "silu"), a)
    for key in ("x", "kernel", "gamma", "beta"):
        close(own[key], expected[key], 1e-12 * abs(expected["x"]).max())


def test_single_precision_is_the_default(rng):
    jax.config.update("jax_enable_x64", False)
    y = evenflow.jax.fused_dense(rng.standard_normal((3, 4)), rng.standard_normal((4, 5)))
    assert y.dtype == np.float32


# Transformations ------------------------------------------------------------------------------------------------------


def network(rng: np.random.Generator) -> Any:
    layers = [arrays(rng, 1, *shape, np.float32) for shape in ((6, 20), (20, 20), (20, 3))]
    names = ("kernel", "gamma", "beta")
    params = [{name: layer[name] for name in names} for layer in layers]
    return params, [(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in (20, 20, 3)]


def step(state: Any, batch: Any) -> tuple[Any, Any]:
    def loss(params: Any) -> Any:
        x, moved = batch, []
        for layer, (mean, variance) in zip(params, state[1], strict=True):
            x, moving = evenflow.jax.fused_dense_bn(
                x, **layer, moving_mean=mean, moving_variance=variance, training=True, activation="elu"
            )
            moved.append(moving)
        return (x * x * jnp.arange(3.0, dtype=x.dtype)).mean() + abs(x).mean(), moved

    (value, moved), grads = jax.value_and_grad(loss, has_aux=True)(state[0])
    return (jax.tree.map(lambda p, g: p - 0.01 * g, state[0], grads), moved), value


def test_an_epoch_in_one_jit_is_its_steps(rng):
    state = jax.device_put(network(rng))
    batches = jnp.broadcast_to(jnp.asarray(rng.standard_normal((8, 6)), jnp.float32), (12, 8, 6))
    stepped, losses = state, []
    one = jax.jit(step)
    for batch in batches:
        stepped, value = one(stepped, batch)
        losses.append(value)
    whole, together = jax.jit(functools.partial(jax.lax.scan, step), donate_argnums=0)(state, batches)
    np.testing.assert_allclose(together, losses, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, stepped)
    assert losses[-1] < losses[0]


def test_the_gradient_of_x_is_left_out_where_nobody_asks(rng):
    a = arrays(rng, 4, 3, 5)
    loss = lambda x, kernel: evenflow.jax.fused_dense(x, kernel).sum()  # noqa: E731
    assert "('input_gradient', False)" in str(jax.make_jaxpr(jax.grad(loss, 1))(a["x"], a["kernel"]))
    assert "('input_gradient', True)" in str(jax.make_jaxpr(jax.grad(loss, 0))(a["x"], a["kernel"]))


def test_no_gradient_flows_into_statistics(rng):
    a = arrays(rng, 7, 3, 5)
    for training in (True, False):
        found = jax.grad(lambda a, t=training: evenflow.jax.fused_dense_bn(**a, training=t)[1][0].sum())(a)
        assert all(not np.any(found[key]) for key in ("x", "kernel", "gamma"))


@pytest.mark.parametrize("mode", MODES)
def test_vmap_is_a_loop(mode, rng):
    all_x = rng.standard_normal((4, 9, 5))
    a = arrays(rng, 9, 5, 7)
    rest = {key: value for key, value in a.items() if key != "x"}

    def value_and_gradient(x: Any) -> Any:
        return ours(mode, {"x": x, **rest}, "silu")[0], gradients(lambda a: ours(mode, a, "silu"), {"x": x, **rest})

    together = jax.vmap(value_and_gradient)(all_x)
    apart = [value_and_gradient(x) for x in all_x]
    jax.tree.map(lambda a, *b: np.testing.assert_array_equal(a, np.stack(b)), together, *apart)


def test_checkpoint(rng):
    a = arrays(rng, 9, 5, 7)
    layer = lambda a: ours("training", a, "elu")  # noqa: E731
    right, found = gradients(layer, a), gradients(jax.checkpoint(layer), a)
    jax.tree.map(np.testing.assert_array_equal, found, right)


def test_other_derivatives_are_refused(rng):
    a = arrays(rng, 4, 3, 5)
    loss = lambda x: (evenflow.jax.fused_dense(x, a["kernel"], activation="tanh") ** 2).sum()  # noqa: E731
    x = jnp.asarray(a["x"])
    with pytest.raises(TypeError, match="no forward-mode and no second derivative"):
        jax.hessian(loss)(x)
    with pytest.raises(TypeError, match="no forward-mode and no second derivative"):
        jax.grad(lambda x: (jax.grad(loss)(x) ** 2).sum())(x)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(loss, (x,), (x,))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jacfwd(loss)(x)


# Dropout --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [jax.random.key(7), jax.random.PRNGKey(7)], ids=["typed", "raw"])
@pytest.mark.parametrize("mode", ["plain", "training"])
def test_dropout_is_the_kernels(mode, key, rng):
    a = arrays(rng, 19, 5, 33)
    high, low = np.asarray(jax.random.key_data(jax.random.key(7))).tolist()
    own = {"activation": "relu", "epsilon": EPSILON, "rate": 0.3, "seed": high << 32 | low}
    normal = [] if mode == "plain" else [a["gamma"], a["beta"]]
    y, z, mean, variance = kernels.dense_bn_act_forward(a["x"], a["kernel"], a["bias"], *normal, **own)
    found, pull, _ = jax.vjp(lambda a: ours(mode, a, "relu", dropout=0.3, key=key), a, has_aux=True)
    np.testing.assert_array_equal(found, y)
    statistics = [] if mode == "plain" else [mean, variance]
    right = kernels.dense_bn_act_backward(np.cos(y), a["x"], a["kernel"], z, *normal, *statistics, **own)
    np.testing.assert_array_equal(pull(jnp.cos(y))[0]["kernel"], right[1])
    assert not np.array_equal(found, ours(mode, a, "relu", dropout=0.3, key=jax.random.key(8))[0])


def test_dropout_in_training_only(rng):
    a = arrays(rng, 4, 3, 5)
    layer = functools.partial(evenflow.jax.fused_dense, a["x"], a["kernel"], dropout=0.5)
    np.testing.assert_array_equal(layer(training=False), evenflow.jax.fused_dense(a["x"], a["kernel"]))
    with pytest.raises(TypeError, match=r"fused_dense: key: expected a key of jax\.random"):
        layer()
    with pytest.raises(TypeError, match=r"expected one key of jax.random, received uint32 of shape \(3, 2\)"):
        layer(key=jax.random.split(jax.random.key(0), 3))


# Threads --------------------------------------------------------------------------------------------------------------


def test_bits_do_not_depend_on_threads(threads, rng):
    a = arrays(rng, 256, 300, 200, np.float32)
    found = []
    for count in (1, 2, 3):
        evenflow.set_num_threads(count)
        found.append((ours("training", a, "elu"), gradients(lambda a: ours("training", a, "elu"), a)))
    for one in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, one, found[0])


def test_calls_beside_each_other(threads, rng):
    evenflow.set_num_threads(2)
    a = arrays(rng, 128, 200, 200, np.float32)
    run = jax.jit(lambda a: gradients(lambda a: ours("training", a, "elu"), a))
    right = jax.block_until_ready(run(a))
    found: list[Any] = []
    own = [threading.Thread(target=lambda: found.extend([run(a) for _ in range(10)])) for _ in range(4)]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    assert len(found) == 40
    for one in found:
        jax.tree.map(np.testing.assert_array_equal, one, right)


def test_denormal_numbers_are_kept_and_xlas_arithmetic_is_restored():
    x, one = jnp.full((2, 3), 1e-20, jnp.float32), jnp.eye(3, dtype=jnp.float32)
    np.testing.assert_array_equal(evenflow.jax.fused_dense(x, one * 1e-20), np.full((2, 3), np.float32(1e-20) ** 2))
    after = jax.jit(lambda x: evenflow.jax.fused_dense(x, one) * jnp.float32(1e-20))(x)
    np.testing.assert_array_equal(after, jax.jit(lambda x: x * jnp.float32(1e-20))(x))


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.zeros(3)}, ValueError, r"x has shape \(3,\), expected \(any, any\)"),
        ({"kernel": np.zeros((4, 5))}, ValueError, r"kernel has shape \(4, 5\), expected \(3, any\)"),
        ({"bias": np.zeros(4)}, ValueError, r"bias has shape \(4,\), expected \(5,\)"),
        ({"gamma": np.zeros((5, 1))}, ValueError, r"gamma has shape \(5, 1\), expected \(5,\)"),
        ({"x": np.zeros((0, 3))}, ValueError, r"x has shape \(0, 3\), expected \(1 or more, 3\)"),
        ({"x": np.zeros((2, 3), int)}, TypeError, r"x: expected float32 or float64, received int64 of shape \(2, 3\)"),
        ({"beta": np.zeros(5, np.float32)}, TypeError, "beta: expected float64 as the first array, received float32"),
        ({"x": "rows"}, TypeError, "x: expected an array, received a str"),
        ({"activation": "rellu"}, ValueError, "activation='rellu' is not known. Did you mean 'relu'"),
        ({"activation": jnp.tanh}, ValueError, "activation: expected one of"),
        ({"slope": 1.0}, TypeError, "there is no argument 'slope'"),
        ({"activation": "elu", "alfa": 1.0}, TypeError, "there is no argument 'alfa'. Did you mean 'alpha'"),
        ({"activation": "elu", "alpha": -1.0}, ValueError, "argument 'alpha': expected a finite number of at least 0"),
        ({"momentum": 2}, ValueError, "momentum: expected a finite number at least 0 and at most 1"),
        ({"epsilon": -1}, ValueError, "epsilon: expected"),
        ({"dropout": 1.0}, ValueError, "dropout: expected a finite number at least 0 and below 1"),
        ({"training": 1}, TypeError, "training: expected True or False"),
    ],
)
def test_mistakes_are_found_when_traced(change, error, message, rng):
    given = {**arrays(rng, 2, 3, 5), "training": True, **change}
    traced = {key: value for key, value in given.items() if isinstance(value, np.ndarray)}
    rest = {key: value for key, value in given.items() if key not in traced}
    with pytest.raises(error, match=f"^fused_dense_bn: {message}"):
        jax.eval_shape(lambda a: evenflow.jax.fused_dense_bn(**a, **rest), traced)


def test_handlers_refuse_what_they_do_not_know(rng):
    a = arrays(rng, 2, 3, 5)
    evenflow.jax.fused_dense(a["x"], a["kernel"])  # registers
    name = "evenflow_dense_bn_act_forward"
    attributes = dict.fromkeys(("biased", "normalized", "batch", "keeps"), False)
    attributes |= {"activation": "linear", "epsilon": np.float64(0), "rate": np.float64(0)}

    def run(x: Any, units: int, **changed: Any) -> Any:
        target = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct((2, units), x.dtype))
        given = {key: value for key, value in (attributes | changed).items() if value is not None}
        return jax.block_until_ready(target(x, a["kernel"].astype(x.dtype), **given))

    assert run(a["x"], 5).shape == (2, 5)
    for wrong in (
        lambda: run(a["x"], 6),
        lambda: run(a["x"].astype(np.int32), 5),
        lambda: run(a["x"], 5, keeps=True),
        lambda: run(a["x"], 5, biased=True),
        lambda: run(a["x"], 5, rate=None),
        lambda: run(a["x"], 5, rate="high"),
        lambda: run(a["x"], 5, activation="rellu"),
    ):
        with pytest.raises(jax.errors.JaxRuntimeError, match=f"INVALID_ARGUMENT: {name}: argument"):
            wrong()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"activation": ["relu"]}, ValueError, "activation"),
        ({"activation": "leaky_relu", "negative_slope": np.ones(2)}, TypeError, "negative_slope: expected a finite"),
        ({"activation": "relu", "slope": np.ones(2)}, TypeError, "there is no argument 'slope'"),
        ({"x": None}, TypeError, "x: expected an array, received a NoneType"),
        ({"x": [[1.0], [1.0, 2.0]]}, TypeError, "x: expected an array, received a list"),
    ],
)
def test_what_is_no_array_or_no_number_is_named(changed, error, message):
    with pytest.raises(error, match=f"fused_dense: {message}"):
        evenflow.jax.fused_dense(**{"x": np.zeros((2, 3)), "kernel": np.zeros((3, 5))} | changed)


def test_jax_that_is_missing_is_named(tmp_path):
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError('No module named jax', name='jax')\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import evenflow; print('here'); evenflow.jax"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "here"
    assert "evenflow.jax: JAX 0.5 or newer is not installed" in done.stderr
