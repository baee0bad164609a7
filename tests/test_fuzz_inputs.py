"""Whatever the bindings are given, they answer rightly or refuse with a message that names the argument.

Never a crash, never a converted copy in place of the caller's output, never a change to an input.
The examples are the same in each run, so that a change is judged by what it changed. HYPOTHESIS_MAX_EXAMPLES sets their
number; HYPOTHESIS_RANDOM=1 draws others, for a search.
"""

import os
from collections.abc import Callable

import networks
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from optimizer_specs import ADAM

from evenflow import _core

fuzz = settings(
    max_examples=int(os.environ.get("HYPOTHESIS_MAX_EXAMPLES", "60")),
    derandomize="HYPOTHESIS_RANDOM" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

REFUSALS = (TypeError, ValueError, MemoryError)
SIZES = st.integers(0, 35)


def misaligned(x: np.ndarray) -> np.ndarray:
    """The same values one byte past an aligned address."""
    memory = np.zeros(x.nbytes + 1, np.uint8)
    shifted = memory[1:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    return shifted


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


# Layouts of one and the same array.
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C": np.copy,
    "Fortran": lambda x: np.asfortranarray(x.copy()),
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "backwards": lambda x: x[::-1].copy()[::-1] if x.ndim else x,
    "offset": lambda x: np.concatenate([x, x])[len(x) :] if x.ndim else x,
    "read-only": read_only,
    "misaligned": misaligned,
}
ODD_DTYPES = [
    "float16",
    "longdouble",
    "int8",
    "int32",
    "int64",
    "uint8",
    "uint64",
    "bool",
    "complex64",
    ">f4",
    ">f8",
    "U3",
    "O",
    "M8[s]",
]


@st.composite
def arrays(draw: st.DrawFn, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Mostly what the call wants: this shape and dtype; sometimes another shape, dtype or layout."""
    oddity = draw(st.sampled_from(["none", "none", "none", "shape", "dtype", "layout", "layout", "huge"]))
    if oddity == "shape":
        shape = draw(
            st.one_of(
                hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9), st.permutations(shape).map(tuple)
            )
        )
    if oddity == "dtype":
        dtype = draw(st.sampled_from([*ODD_DTYPES, "float32", "float64"]))
    if oddity == "huge":
        huge = draw(st.sampled_from([2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**40]))
        axis = draw(st.integers(0, len(shape) - 1))
        shape = (*shape[:axis], huge, *shape[axis + 1 :])
        return np.broadcast_to(np.ones((), dtype), shape)
    seed = draw(st.integers(0, 2**16))
    x = np.random.default_rng(seed).integers(-4, 5, shape)
    with np.errstate(all="ignore"):
        x = x.astype(dtype) if dtype != "U3" else x.astype(str).astype(dtype)
    if np.issubdtype(x.dtype, np.floating) and x.size and draw(st.integers(0, 7)) == 0:
        x.reshape(-1)[draw(st.integers(0, x.size - 1))] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e-40, -0.0]))
    return LAYOUTS[draw(st.sampled_from(list(LAYOUTS))) if oddity == "layout" else "C"](x)


@st.composite
def scalars(draw: st.DrawFn, good: float) -> object:
    odd = [0.0, -1.0, float("nan"), float("inf"), 1e308, 5e-324, 2**63, "1", None]
    return good if draw(st.integers(0, 4)) else draw(st.sampled_from(odd))


DTYPES = st.sampled_from(["float32", "float64"])
small = lambda x: x.nbytes < 1e6  # noqa: E731


def attempt(function: Callable[..., object], *arguments: object, names: list[str], **options: object) -> object:
    """The answer, or None after a refusal in good form. Inputs keep their bits."""
    copies = [(a, a.copy()) for a in arguments if isinstance(a, np.ndarray) and small(a)]
    name = function.__name__
    try:
        answer = function(*arguments, **options)
    except MemoryError:
        answer = None
    except REFUSALS as error:
        message = str(error)
        assert name in message, message
        assert any(argument in message for argument in [*names, *options]), message
        answer = None
    if names[0] != "in place":
        for now, before in copies:
            assert now.dtype == object or now.tobytes() == before.tobytes(), f"{name} changed an input"
    return answer


def plain(x: np.ndarray) -> bool:
    """What an eager kernel takes."""
    return x.dtype in (np.float32, np.float64) and x.dtype.isnative and x.flags.c_contiguous and x.flags.aligned


@fuzz
@given(st.data(), DTYPES, SIZES, SIZES, SIZES)
def test_dense(data, dtype, rows, inputs, units):
    x, w = data.draw(arrays((rows, inputs), dtype)), data.draw(arrays((inputs, units), dtype))
    b, dy = data.draw(st.one_of(st.none(), arrays((units,), dtype))), data.draw(arrays((rows, units), dtype))
    y = attempt(_core.dense_forward, x, w, b, names=["x", "w", "b"])
    if y is not None:
        assert x.dtype == w.dtype == y.dtype
        assert y.shape == (len(x), w.shape[1])
        with np.errstate(all="ignore"):
            exact = x.astype(np.float64) @ w + (0.0 if b is None else b)
        np.testing.assert_array_equal(y, exact.astype(y.dtype))
    back = attempt(_core.dense_backward, dy, x, w, names=["dy", "x", "w"])
    if back is not None:
        assert [d.shape for d in back] == [x.shape, w.shape, (w.shape[1],)]


@fuzz
@given(st.data(), DTYPES, st.integers(0, 4), SIZES)
def test_activations(data, dtype, rows, columns):
    name = data.draw(st.sampled_from([*_core.activations(), "softmax", "swich", "", "relu\0"]))
    known = _core.activations().get(name, {})
    parameters = {key: data.draw(scalars(value)) for key, value in known.items()}
    if data.draw(st.integers(0, 9)) == 0:
        parameters["sharpness"] = 1.0
    x, dy = data.draw(arrays((rows, columns), dtype)), data.draw(arrays((rows, columns), dtype))
    y = attempt(_core.activation_forward, name, x, names=["x", "name"], **parameters)
    if y is not None:
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        other = data.draw(arrays((rows, columns), dtype))
        attempt(_core.activation_backward, name, dy, x, other, names=["dy", "x", "y", "name"], **parameters)


@fuzz
@given(st.data(), DTYPES, st.integers(0, 12), SIZES)
def test_batch_norm(data, dtype, rows, columns):
    x, dy = data.draw(arrays((rows, columns), dtype)), data.draw(arrays((rows, columns), dtype))
    gamma, beta, mean, variance = (data.draw(arrays((columns,), dtype)) for _ in range(4))
    epsilon = data.draw(scalars(1e-3))
    done = attempt(_core.batch_norm_forward, x, gamma, beta, names=["x", "gamma", "beta"], epsilon=epsilon)
    if done is not None:
        assert [a.shape for a in done] == [x.shape, (x.shape[1],), (x.shape[1],)]
    names = ["x", "dy", "gamma", "beta", "mean", "variance"]
    attempt(_core.batch_norm_inference, x, gamma, beta, mean, variance, names=names, epsilon=epsilon)
    attempt(_core.batch_norm_backward, dy, x, gamma, mean, variance, names=names, epsilon=epsilon)


@fuzz
@given(st.data(), DTYPES, st.integers(0, 12), SIZES)
def test_row_normalization(data, dtype, rows, columns):
    x, dy = data.draw(arrays((rows, columns), dtype)), data.draw(arrays((rows, columns), dtype))
    gamma, beta = (data.draw(arrays((columns,), dtype)) for _ in range(2))
    settings = {"names": ["x", "dy", "gamma", "beta", "scale"], "epsilon": data.draw(scalars(1e-3))}
    for kernel, arguments in (
        (_core.layer_norm_forward, (x, gamma, beta)),
        (_core.layer_norm_backward, (dy, x, gamma)),
        (_core.rms_norm_forward, (x, gamma)),
        (_core.rms_norm_backward, (dy, x, gamma)),
    ):
        attempt(kernel, *arguments, **settings)


@fuzz
@given(st.data(), DTYPES, st.integers(0, 12), SIZES)
def test_embedding(data, dtype, rows, columns):
    ids = data.draw(arrays((rows, 2), "int64"))
    table, dy = data.draw(arrays((5, columns), dtype)), data.draw(arrays((rows, 2 * columns), dtype))
    y = attempt(_core.embedding_forward, ids, table, names=["ids", "table"])
    if y is not None:
        assert (y.shape, y.dtype) == ((len(ids), ids.shape[1] * table.shape[1]), table.dtype)
        if ids.size:
            assert 0 <= ids.min() <= ids.max() < len(table), "an id out of range was accepted"
    attempt(_core.embedding_backward, dy, ids, 5, names=["dy", "ids", "rows"])


@fuzz
@given(st.data(), DTYPES, st.integers(0, 12), SIZES)
def test_rows(data, dtype, rows, columns):
    x = data.draw(arrays((rows, columns), dtype))
    p = attempt(_core.softmax, x, names=["x"])
    if p is not None:
        assert (p.shape, p.dtype) == (x.shape, x.dtype)
    name = data.draw(st.sampled_from([*_core.losses(), "hinges"]))
    sparse = name.startswith("sparse")
    target = data.draw(arrays((rows,), "int64") if sparse else arrays((rows, columns), dtype))
    from_logits = data.draw(st.booleans())
    done = attempt(
        _core.loss_forward_backward, name, x, target, names=["prediction", "target", "name"], from_logits=from_logits
    )
    if done is not None:
        losses, gradient = done
        assert (losses.shape, gradient.shape) == ((len(x),), x.shape)
        if sparse and len(x):
            assert 0 <= target.min() <= target.max() < x.shape[1], "a label out of range was accepted"


def in_place(function: Callable[..., object], changed: list[np.ndarray], call: Callable[..., object]) -> None:
    """A refused call changes nothing; an accepted one writes into the caller's arrays what it writes into copies."""
    before = first = [a.copy() if small(a) else None for a in changed]
    try:
        call(*changed)
    except MemoryError:
        accepted = False
    except REFUSALS as error:
        assert function.__name__ in str(error)
        accepted = False
    else:
        accepted = True
    if accepted:
        assert all(plain(a) for a in changed)
        before = [np.array(a, order="C") for a in first]
        call(*before)
        for now, then in zip(changed, first, strict=True):
            assert now.flags.writeable or now.tobytes() == then.tobytes(), "wrote into a read-only array"
    for now, then in zip(changed, before, strict=True):
        assert then is None or now.dtype == object or now.tobytes() == then.tobytes()


@fuzz
@given(st.data(), DTYPES, st.integers(0, 70))
def test_updates(data, dtype, size):
    p, g, m, v = (data.draw(arrays((size,), dtype)) for _ in range(4))
    if data.draw(st.integers(0, 9)) == 0:
        m = p[: max(1, size // 2)] if p.ndim else p  # overlaps p
    rate, beta, step = (
        data.draw(scalars(0.1)),
        data.draw(scalars(0.9)),
        data.draw(st.sampled_from([1, 1, 1, 0, -1, 2**40, "1"])),
    )
    limit = data.draw(scalars(1.0))
    in_place(
        _core.adam_step,
        [p, g, m, v],
        lambda *a: _core.adam_step(*a, step=step, learning_rate=rate, beta_1=beta, beta_2=0.999, epsilon=1e-7),
    )
    in_place(_core.sgd_step, [p, g, m], lambda *a: _core.sgd_step(*a, learning_rate=rate, momentum=beta, nesterov=True))
    in_place(_core.clip_by_value, [g], lambda a: _core.clip_by_value(a, limit))
    in_place(_core.clip_by_norm, [g], lambda a: _core.clip_by_norm(a, limit))
    in_place(_core.clip_by_global_norm, [g, m], lambda *a: _core.clip_by_global_norm(list(a), limit))


def spec() -> dict:
    """A new one each time: the test below spoils it."""
    layers = [
        networks.rescaling(0.5),
        networks.batch_norm(shape=[3, 3], axis=[2]),
        networks.dense(17),
        networks.batch_norm(),
        networks.layer_norm(),
        networks.activation("leaky_relu", negative_slope=0.2),
        networks.dense(5),
        networks.activation("softmax"),
    ]
    made = networks.network(9, layers, networks.SPARSE, metrics=("sparse_categorical_accuracy",))
    return networks.with_optimizer(made, ADAM, global_clipnorm=1.0)


@fuzz
@given(st.data(), st.integers(0, 12))
def test_programs_take_data(data, rows):
    program = _core.Program(spec(), dtype=data.draw(DTYPES), batch_size=4)
    x = data.draw(arrays((rows, 9), data.draw(st.sampled_from(["float32", "float64", "uint8"]))))
    y = data.draw(arrays((rows,), data.draw(st.sampled_from(["int64", "int32", "uint8"]))))
    order = data.draw(st.one_of(st.none(), st.just(np.arange(rows)), arrays((rows,), "int64")))
    rate = data.draw(st.one_of(scalars(1e-3), arrays((-(-rows // 4),), "float64")))
    assume(y.size < 2**31 - 1 or x.size < 2**31 - 1)  # such targets would be accepted, after hours of reading
    before = program.parameters.copy()
    names = ["x", "y", "order"]
    done = attempt(program.train, x, y, names=names, learning_rate=rate, order=order, max_steps=2)
    if done is None:
        assert program.parameters.tobytes() == before.tobytes(), "a refused call changed the weights"
    else:
        assert done.rows <= 8
        assert 0 <= y.min() <= y.max() < 5, "a label out of range was accepted"
    attempt(
        program.evaluate,
        x,
        y,
        names=["x", "y"],
        batch_size=data.draw(st.sampled_from([0, 1, 4, 5, -1, 2**40])),
        seconds=0.0,
    )
    if small(x):
        out = data.draw(st.one_of(st.none(), arrays((rows, 5), program.dtype)))
        if out is None or small(out):
            answer = (
                attempt(program.predict, x, names=["x", "in place"], out=out) if out is None else into(program, x, out)
            )
            assert answer is None or answer.shape == (len(x), 5)


def into(program: _core.Program, x: np.ndarray, out: np.ndarray) -> np.ndarray | None:
    """predict with `out`: the caller's own array, filled, or refused and untouched."""
    before = out.copy()
    try:
        answer = program.predict(x, out)
    except REFUSALS as error:
        assert "predict" in str(error)
        assert out.dtype == object or out.tobytes() == before.tobytes()
        return None
    assert np.shares_memory(answer, out) or out.size == 0
    np.testing.assert_array_equal(out, program.predict(x))
    return answer


ABSURD = st.sampled_from(
    [0, -1, 1, 2, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, 2**64, True, 3.5, float("nan"), "3", None, [], {}]
)


@fuzz
@given(st.data())
@example(None)
def test_programs_check_their_spec(data):
    made = spec()
    if data is not None:
        target = data.draw(st.sampled_from([made, *made["layers"], made["loss"], made["optimizer"]]))
        key = data.draw(st.sampled_from(sorted(target)))
        change = data.draw(st.sampled_from(["value", "remove", "add", "repeat"]))
        if change == "remove":
            del target[key]
        elif change == "add":
            target["surprise"] = 1
        elif change == "repeat":
            made["layers"].insert(data.draw(st.integers(0, 6)), data.draw(st.sampled_from(made["layers"])))
        else:
            target[key] = data.draw(ABSURD)
    try:
        program = _core.Program(
            made, batch_size=data.draw(st.sampled_from([4, 4, 4, 1, 0, -1, 2**31, 2**62])) if data else 4
        )
    except REFUSALS as error:
        assert data is not None, error
        assert str(error) or isinstance(error, MemoryError)
        return
    x = np.ones((3, program.inputs), np.float32)
    assert program.predict(x).shape == (3, program.outputs)


@fuzz
@given(st.data())
def test_variables_take_their_shape_only(data):
    program = _core.Program(spec(), dtype=data.draw(DTYPES))
    name, shape, _ = data.draw(st.sampled_from(program.variables()))
    value = data.draw(arrays(shape, program.dtype))
    before = program.get(name)
    try:
        program.set(name, value)
    except REFUSALS as error:
        assert name in str(error) or "value" in str(error)
        assert program.get(name).tobytes() == before.tobytes()
    else:
        assert program.get(name).shape == value.shape == shape
        np.testing.assert_array_equal(program.get(name), value.astype(program.dtype))


@pytest.mark.parametrize("call", ["get", "gradient"])
def test_unknown_variable(call):
    with pytest.raises(ValueError, match=r"layer_22/kernel.*layer_2/kernel"):
        getattr(_core.Program(spec()), call)("layer_22/kernel")
