"""`evenflow.jax`'s update rules, against the formulas of optax's documentation in NumPy and the eager kernels."""

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

Array = np.ndarray
STEPS = 200


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
    evenflow.set_num_threads(0)


def schedule(count: Any) -> Any:
    """Up and down again."""
    return 0.02 * (1 + 0.9 * jnp.sin(0.1 * jnp.asarray(count, jnp.float64)))


# The step of one array, as optax's documentation has it; s the slots, t = 1, 2, ... ----------------------------------


def sgd(g: Array, s: list[Array], t: int, rate: float, momentum: float = 0.0, nesterov: bool = False) -> Array:
    s[0][...] = momentum * s[0] + g
    return -rate * (momentum * s[0] + g if nesterov else s[0])


def adam(g: Array, s: list[Array], t: int, rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Array:
    s[0][...] = b1 * s[0] + (1 - b1) * g
    s[1][...] = b2 * s[1] + (1 - b2) * g**2
    return -rate * s[0] / (1 - b1**t) / (np.sqrt(s[1] / (1 - b2**t)) + eps)


def nadam(g: Array, s: list[Array], t: int, rate: float) -> Array:
    s[0][...] = 0.9 * s[0] + 0.1 * g
    s[1][...] = 0.999 * s[1] + 0.001 * g**2
    ahead = 0.9 * s[0] / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
    return -rate * ahead / (np.sqrt(s[1] / (1 - 0.999**t)) + 1e-8)


def adamax(g: Array, s: list[Array], t: int, rate: float) -> Array:
    s[0][...] = 0.9 * s[0] + 0.1 * g
    s[1][...] = np.maximum(0.999 * s[1], abs(g) + 1e-8)
    return -rate * s[0] / (1 - 0.9**t) / s[1]


def adagrad(g: Array, s: list[Array], t: int, rate: float) -> Array:
    if t == 1:
        s[0][...] = 0.1
    s[0][...] = s[0] + g**2
    return -rate * g / np.sqrt(s[0] + 1e-7)


def adadelta(g: Array, s: list[Array], t: int, rate: float) -> Array:
    s[0][...] = 0.9 * s[0] + 0.1 * g**2
    delta = np.sqrt(s[1] + 1e-6) / np.sqrt(s[0] + 1e-6) * g
    s[1][...] = 0.9 * s[1] + 0.1 * delta**2
    return -rate * delta


def rmsprop(g: Array, s: list[Array], t: int, rate: float, centered: bool = False, momentum: float = 0.0) -> Array:
    s[0][...] = 0.9 * s[0] + 0.1 * g**2
    s[1][...] = 0.9 * s[1] + 0.1 * g
    push = rate * g / np.sqrt(s[0] - (s[1] ** 2 if centered else 0) + 1e-8)
    s[2][...] = momentum * s[2] + push
    return -s[2]


def lion(g: Array, s: list[Array], t: int, rate: float) -> Array:
    push = np.sign(0.9 * s[0] + 0.1 * g)
    s[0][...] = 0.99 * s[0] + 0.01 * g
    return -rate * push


RULES: dict[str, tuple[Any, dict[str, Any], float]] = {
    "sgd": (sgd, {}, 0.0),
    "sgd momentum": (sgd, {"momentum": 0.9}, 0.0),
    "sgd nesterov": (sgd, {"momentum": 0.9, "nesterov": True}, 0.0),
    "adam": (adam, {}, 0.0),
    "adam other": (adam, {"b1": 0.8, "b2": 0.99, "eps": 1e-4}, 0.0),
    "adamw": (adam, {}, 1e-4),
    "nadam": (nadam, {}, 0.0),
    "adamax": (adamax, {}, 0.0),
    "adagrad": (adagrad, {}, 0.0),
    "adadelta": (adadelta, {}, 0.0),
    "rmsprop": (rmsprop, {}, 0.0),
    "rmsprop centered momentum": (rmsprop, {"centered": True, "momentum": 0.9}, 0.0),
    "lion": (lion, {}, 1e-3),
}


def optimizer(name: str, rate: Any = schedule, **more: Any) -> Any:
    return getattr(evenflow.jax, name.split()[0])(rate, **RULES[name][1], **more)


def trees(rng: np.random.Generator, count: int, dtype: Any = np.float64) -> list[Any]:
    def tree() -> Any:
        values = {"kernel": rng.standard_normal((7, 33)), "bias": rng.standard_normal(33)}
        return {"dense": values, "rest": (rng.standard_normal(()), rng.standard_normal((2, 0)))}

    return [jax.tree.map(lambda a: np.asarray(a, dtype), tree()) for _ in range(count)]


def expected(name: str, params: Any, grads: list[Any], limit: float | None = None, decay: float | None = None) -> Any:
    rule, settings, own = RULES[name]
    decay = own if decay is None else decay
    leaves = [np.array(leaf) for leaf in jax.tree.leaves(params)]
    slots = [[np.zeros_like(leaf) for _ in range(3)] for leaf in leaves]
    for t, tree in enumerate(grads, 1):
        rate = float(schedule(t - 1))
        flat = jax.tree.leaves(tree)
        norm = np.sqrt(sum((g**2).sum() for g in flat))
        scale = min(1.0, limit / norm) if limit else 1.0
        for i, (p, g) in enumerate(zip(leaves, flat, strict=True)):
            step = rule(g * scale, slots[i], t, rate, **settings)
            leaves[i] = p + step - rate * decay * p
    return jax.tree.unflatten(jax.tree.structure(params), leaves)


def close(own: Any, right: Any, bound: float) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=bound, atol=bound), own, right)


@pytest.mark.parametrize("name", RULES)
def test_200_steps_are_optaxs(name, isa, rng):
    params, *grads = trees(rng, STEPS + 1)
    rule = optimizer(name)

    def step(carry: Any, grads: Any) -> tuple[Any, None]:
        return rule.apply(carry[0], grads, carry[1]), None

    stacked = jax.tree.map(lambda *g: np.stack(g), *grads)
    (own, state), _ = jax.jit(lambda p, g: jax.lax.scan(step, (p, rule.init(p)), g))(params, stacked)
    close(own, expected(name, params, grads), 1e-12)
    assert int(state.step) == STEPS


@pytest.mark.parametrize("name", ["adam", "sgd momentum", "lion"])
def test_decay_and_clipping_in_the_same_step(name, rng):
    params, *grads = trees(rng, 31)
    rule = optimizer(name, weight_decay=0.1, global_clipnorm=3.0)
    own, state = params, rule.init(params)
    step = jax.jit(rule.apply)
    for tree in grads:
        own, state = step(own, tree, state)
    close(own, expected(name, params, grads, limit=3.0, decay=0.1), 1e-12)


def test_float32_is_the_eager_kernels(rng):
    params, *grads = trees(rng, 6, np.float32)
    rule = evenflow.jax.adam(1e-3)
    own, state = params, rule.init(params)
    leaves = [leaf.copy() for leaf in jax.tree.leaves(params)]
    m, v = ([np.zeros_like(leaf) for leaf in leaves] for _ in range(2))
    for t, tree in enumerate(grads, 1):
        own, state = rule.apply(own, tree, state)
        kernels.adam_step(
            leaves, jax.tree.leaves(tree), m, v, step=t, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
            torch=True,
        )  # fmt: skip
    for a, b in zip(jax.tree.leaves(own), leaves, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(state.slots["v"]), v, strict=True):
        np.testing.assert_array_equal(a, b)


def test_rates_in_single_precision(rng):
    jax.config.update("jax_enable_x64", False)
    params, grads = jax.device_put(trees(rng, 2, np.float32))
    rate = evenflow.jax.sgd(lambda count: 0.1 / (1.0 + count))
    after, state = rate.apply(params, grads, rate.init(params))
    after, state = rate.apply(after, grads, state)
    assert state.step.dtype == np.int32
    close(after, jax.tree.map(lambda p, g: p - 0.15 * g, params, grads), 1e-6)


def test_update_is_optaxs_protocol(rng):
    params, grads = trees(rng, 2)
    rule = evenflow.jax.adamw(1e-2)
    after, state = rule.apply(params, grads, rule.init(params))
    updates, other = rule.update(grads, rule.init(params), params)
    close(jax.tree.map(lambda p, u: p + u, params, updates), after, 1e-15)
    jax.tree.map(np.testing.assert_array_equal, state, other)


def test_donated_memory_is_changed_in_place(rng):
    params = {"w": jnp.asarray(rng.standard_normal((64, 64)))}
    grads = {"w": jnp.asarray(rng.standard_normal((64, 64)))}
    rule = evenflow.jax.adam(1e-2)
    state = rule.init(params)
    right, _ = rule.apply(params, grads, state)  # without donation a copy is changed
    before = [leaf.unsafe_buffer_pointer() for leaf in (params["w"], state.slots["m"]["w"], state.slots["v"]["w"])]
    after, state = jax.jit(rule.apply, donate_argnums=(0, 2))(params, grads, state)
    np.testing.assert_array_equal(after["w"], right["w"])
    assert [a.unsafe_buffer_pointer() for a in (after["w"], state.slots["m"]["w"], state.slots["v"]["w"])] == before
    assert params["w"].is_deleted()


@pytest.mark.parametrize("name", ["sgd momentum", "nadam", "rmsprop"])
def test_vmap_is_a_loop(name, rng):
    pairs = [trees(rng, 2) for _ in range(3)]
    rule = optimizer(name)

    def two(params: Any, grads: Any) -> Any:
        return rule.apply(*rule.apply(params, grads, rule.init(params))[:1], grads, rule.init(params))[0]

    params, grads = (jax.tree.map(lambda *a: np.stack(a), *one) for one in zip(*pairs, strict=True))
    apart = [two(*pair) for pair in pairs]
    jax.tree.map(lambda a, *b: np.testing.assert_array_equal(a, np.stack(b)), jax.vmap(two)(params, grads), *apart)


def test_nadams_steps_in_any_order(rng):
    params, grads = trees(rng, 2)
    rule = optimizer("nadam")
    state = rule.init(params)
    right = [rule.apply(params, grads, state._replace(step=jnp.int32(t)))[0] for t in range(8)]
    for t in (5, 0, 7, 6, 6, 1):
        again = rule.apply(params, grads, state._replace(step=jnp.int32(t)))[0]
        jax.tree.map(np.testing.assert_array_equal, again, right[t])


def test_bits_do_not_depend_on_threads(rng):
    params, grads = ({"a": rng.standard_normal((700, 301)), "b": rng.standard_normal(77)} for _ in range(2))
    rule = evenflow.jax.adam(1e-2, global_clipnorm=1.0)
    found = []
    for count in (1, 2, 3):
        evenflow.set_num_threads(count)
        found.append((rule.apply(params, grads, rule.init(params)), evenflow.jax.clip_by_global_norm(grads, 2.0)))
    for one in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, one, found[0])


@pytest.mark.parametrize("limit", [0.5, 1e6])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clip_by_global_norm(dtype, limit, rng):
    (grads,) = trees(rng, 1, dtype)
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in jax.tree.leaves(grads)))
    clipped, found = jax.jit(lambda g: evenflow.jax.clip_by_global_norm(g, limit))(grads)
    bound = 4 * float(np.finfo(dtype).eps)
    assert found.dtype == dtype
    assert float(found) == pytest.approx(norm, rel=bound)
    close(clipped, jax.tree.map(lambda g: g * min(1.0, limit / norm), grads), bound)


def test_norms_that_are_no_numbers(rng):
    grads = {"a": np.array([1.0, np.nan]), "b": np.ones(3)}
    clipped, norm = evenflow.jax.clip_by_global_norm(grads, 1.0)
    assert np.isnan(norm)
    assert np.isnan(clipped["b"]).all()


def test_empty_trees():
    rule = evenflow.jax.adam(0.1)
    params, state = rule.apply({}, {}, rule.init({}))
    assert params == {}
    assert int(state.step) == 1
    assert float(evenflow.jax.clip_by_global_norm({}, 1.0)[1]) == 0


def test_steps_have_no_derivative(rng):
    params, grads = trees(rng, 2)
    rule = evenflow.jax.sgd(0.1)
    with pytest.raises(TypeError, match="the step of an optimizer has no derivative"):
        jax.grad(lambda p: rule.apply(p, grads, rule.init(params))[0]["rest"][0])(params)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: evenflow.jax.adam("fast"), TypeError, "adam: learning_rate: expected a finite number"),
        (lambda: evenflow.jax.adam(0.1, b1=1.0), ValueError, "adam: b1: expected .* below 1"),
        (lambda: evenflow.jax.adamw(0.1, eps=0), ValueError, "adamw: eps: expected .* at least 1e-30"),
        (lambda: evenflow.jax.sgd(0.1, momentum=2), ValueError, "sgd: momentum: expected .* at most 1"),
        (lambda: evenflow.jax.lion(0.1, weight_decay=-1), ValueError, "lion: weight_decay: expected .* at least 0"),
        (lambda: evenflow.jax.sgd(0.1, global_clipnorm=0), ValueError, "sgd: global_clipnorm: expected .* above 0"),
        (
            lambda: evenflow.jax.sgd(0.1).init({"w": np.arange(3)}),
            TypeError,
            r"sgd.init: params\['w'\]: expected float32",
        ),
        (
            lambda: evenflow.jax.sgd(0.1).init([np.zeros(2), np.zeros(2, np.float32)]),
            TypeError,
            r"sgd.init: params\[1\]: expected float64 as the first parameter, received float32 of shape \(2,\)",
        ),
        (lambda: step_with([np.zeros(2)], [np.zeros(3)]), ValueError, r"grads\[0\] has shape \(3,\), expected \(2,\)"),
        (lambda: step_with([np.zeros(2)], np.zeros(2)), ValueError, "grads: expected a tree like params"),
        (lambda: step_with([np.zeros(2)], [np.zeros(2, int)]), TypeError, r"grads\[0\]: expected float32 or float64"),
        (
            lambda: evenflow.jax.clip_by_global_norm([np.zeros(2)], 0),
            ValueError,
            "clip_by_global_norm: limit: expected",
        ),
        (
            lambda: step_with([np.zeros(2)], [np.zeros(2)], lambda t: t),
            TypeError,
            "expected a schedule that returns one",
        ),
        (lambda: from_state(None), TypeError, "adam.apply: state: expected what init returned, received a NoneType"),
        (
            lambda: from_state(evenflow.jax.sgd(0.1).init([np.zeros(2)])),
            ValueError,
            r"adam.apply: state.slots: expected those of this optimizer, \['m', 'v'\], received \[\]",
        ),
        (
            lambda: from_state(evenflow.jax.adam(0.1).init([np.zeros(2)])._replace(step=np.zeros(3, np.int32))),
            ValueError,
            r"adam.apply: state.step has shape \(3,\), expected \(\)",
        ),
    ],
)
def test_mistakes(call, error, message):
    with pytest.raises(error, match=message):
        call()


def step_with(params: Any, grads: Any, rate: Any = 0.1) -> Any:
    rule = evenflow.jax.sgd(rate, momentum=0.9)
    return rule.apply(params, grads, rule.init(params))


def from_state(state: Any) -> Any:
    return evenflow.jax.adam(0.1).apply([np.zeros(2)], [np.zeros(2)], state)
