"""Eager kernels as a trainer calls them: fused or not, into given memory, on lists, on lent memory, in threads."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import update_cases
from eager_calls import EPSILON, NAMES, Lent, calls, layer, several
from networks import SPARSE, activation, batch_norm, dense, network, with_optimizer
from optimizer_specs import ADAM

import evenflow
from evenflow import _core, kernels, reference

SHAPES = [(1, 1, 1), (13, 33, 17), (32, 100, 65), (77, 64, 96), (256, 300, 100)]
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s)))


@pytest.fixture(autouse=True)
def _threads():
    yield
    evenflow.set_num_threads(0)


def same(results: Any, expected: Any) -> None:
    for result, right in zip(results, expected, strict=True):
        if right is None:
            assert result is None
        else:
            np.testing.assert_array_equal(result, right)


@by_shape
def test_fused_is_its_parts_to_the_bit(shape, isa, dtype, rng):
    v = layer(shape, rng, dtype)
    dropout = {"rate": 0.25, "seed": 3, "step": 2, "layer": 1, "row": 9}
    z = kernels.dense_forward(v["x"], v["w"], v["b"])
    h, mean, variance = kernels.batch_norm_forward(z, v["gamma"], v["beta"], epsilon=EPSILON)
    a = kernels.activation_forward("elu", h, alpha=0.7)
    y = kernels.dropout_forward(a, **dropout)
    affine = (v["gamma"], v["beta"])
    settings = {"activation": "elu", "alpha": 0.7, "epsilon": EPSILON, **dropout}
    same(kernels.dense_bn_act_forward(v["x"], v["w"], v["b"], *affine, **settings), (y, z, mean, variance))

    g = kernels.dropout_backward(v["dy"], **dropout)
    g = kernels.activation_backward("elu", g, h, a, alpha=0.7)
    dz, dgamma, dbeta = kernels.batch_norm_backward(g, z, v["gamma"], mean, variance, epsilon=EPSILON)
    expected = (*kernels.dense_backward(dz, v["x"], v["w"]), dgamma, dbeta)
    same(kernels.dense_bn_act_backward(v["dy"], v["x"], v["w"], z, *affine, mean, variance, **settings), expected)


@by_shape
def test_fused_without_normalization_and_with_given_statistics(shape, isa, dtype, rng):
    v = layer(shape, rng, dtype)
    z = kernels.dense_forward(v["x"], v["w"], v["b"])
    a = kernels.activation_forward("gelu", z)
    same(kernels.dense_bn_act_forward(v["x"], v["w"], v["b"], activation="gelu"), (a, z, None, None))
    np.testing.assert_array_equal(kernels.dense_bn_act_inference(v["x"], v["w"], v["b"], activation="gelu"), a)
    dz = kernels.activation_backward("gelu", v["dy"], z, a)
    expected = (*kernels.dense_backward(dz, v["x"], v["w"]), None, None)
    same(kernels.dense_bn_act_backward(v["dy"], v["x"], v["w"], z, activation="gelu"), expected)

    given = (v["gamma"], v["beta"], v["b"], v["b"] ** 2)
    h = kernels.batch_norm_inference(z, *given, epsilon=EPSILON)
    a = kernels.activation_forward("tanh", h)
    call = (v["x"], v["w"], v["b"], *given)
    same(kernels.dense_bn_act_forward(*call, activation="tanh"), (a, z, None, None))
    np.testing.assert_array_equal(kernels.dense_bn_act_inference(*call, activation="tanh"), a)


@by_shape
def test_transposed_and_packed_weights_give_the_same_bits(shape, isa, dtype, rng):
    v = layer(shape, rng, dtype)
    transposed = np.ascontiguousarray(v["w"].T)
    y, (dx, dw, db) = kernels.dense_forward(v["x"], v["w"]), kernels.dense_backward(v["dy"], v["x"], v["w"])
    np.testing.assert_array_equal(kernels.dense_forward(v["x"], transposed, transposed=True), y)
    same(kernels.dense_backward(v["dy"], v["x"], transposed, transposed=True), (dx, dw.T, db))
    for packed in (kernels.PackedWeights(v["w"]), kernels.PackedWeights(transposed, transposed=True)):
        assert (packed.shape, packed.dtype, packed.isa) == (v["w"].shape, dtype, isa)
        np.testing.assert_array_equal(packed.unpack(), v["w"])
        np.testing.assert_array_equal(kernels.dense_forward(v["x"], packed), y)
        same(kernels.dense_backward(v["dy"], v["x"], packed), (dx, dw, db))
        packed.assign(2 * v["w"])
        np.testing.assert_array_equal(kernels.dense_forward(v["x"], packed), 2 * y)


def test_packed_weights_are_checked(rng):
    w, x = rng.standard_normal((5, 7), np.float32), rng.standard_normal((2, 5), np.float32)
    packed = kernels.PackedWeights(w)
    with pytest.raises(
        ValueError, match=r"PackedWeights: argument 'w': expected shape \(5, 7\).*received shape \(7, 5"
    ):
        packed.assign(w.T.copy())
    with pytest.raises(ValueError, match=r"expected shape \(7, 5\) of float32, received shape \(5, 7\)"):
        packed.assign(w, transposed=True)
    with pytest.raises(ValueError, match=r"dense_forward: argument 'w': expected shape \(4, any\).*\(5, 7\)"):
        kernels.dense_forward(x[:, :4].copy(), packed)
    with pytest.raises(TypeError, match="argument 'w': expected float64, received packed float32"):
        kernels.dense_forward(x.astype(np.float64), packed)
    with pytest.raises(ValueError, match="argument 'transposed'"):
        kernels.dense_forward(x, packed, transposed=True)
    before = _core.isa()
    if len(_core.isas()) > 1:
        _core.use_isa(next(name for name in _core.isas() if name != before))
        try:
            with pytest.raises(ValueError, match="weights packed for"):
                kernels.dense_forward(x, packed)
        finally:
            _core.use_isa(before)


@pytest.mark.parametrize("shape", [(64, 640, 640), (700, 320, 48), (2000, 100, 10)], ids=str)
def test_threads_change_no_bit(shape, dtype, rng):
    v = layer(shape, rng, dtype)
    found = []
    for threads in (1, 2, 3):
        evenflow.set_num_threads(threads)
        y, z, mean, variance = kernels.dense_bn_act_forward(
            v["x"], v["w"], v["b"], v["gamma"], v["beta"], activation="silu"
        )
        back = kernels.dense_bn_act_backward(
            v["dy"], v["x"], v["w"], z, v["gamma"], v["beta"], mean, variance, activation="silu"
        )
        p, m = v["w"].copy(), np.zeros_like(v["w"])
        kernels.sgd_step(p, v["w"], m, learning_rate=0.1, momentum=0.9)
        whole = [
            kernels.dense_forward(v["x"], v["w"], v["b"]), kernels.softmax(v["x"]),
            kernels.activation_forward("elu", v["x"]),
            kernels.dropout_forward(v["x"], 0.3, seed=1), *kernels.softmax_crossentropy(v["dy"], np.abs(v["dy"])), p, m,
        ]  # fmt: skip
        found.append([y, z, mean, variance, *back, *whole])
    for other in found[1:]:
        same(other, found[0])


@pytest.mark.parametrize("shape", [(1500, 200, 70), (40, 600, 500)], ids=["many rows", "many weights"])
def test_what_is_packed_has_the_bits_of_what_is_not(shape, dtype, rng):
    """Matrices above 1 MB are packed, smaller ones multiplied as they lie; rows and columns know nothing of others."""
    v = layer(shape, rng, dtype)
    whole = kernels.dense_forward(v["x"], v["w"], v["b"])
    same([kernels.dense_forward(v["x"][:90].copy(), v["w"], v["b"])], [whole[:90]])
    same([kernels.dense_forward(v["x"], v["w"][:, :45].copy(), v["b"][:45].copy())], [whole[:, :45]])
    same([kernels.dense_forward(v["x"], kernels.PackedWeights(v["w"]), v["b"])], [whole])


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_out_is_written_and_returned(index, dtype, rng):
    name, args, keywords = calls(rng, dtype)[index]
    kernel = getattr(kernels, name)
    expected = several(kernel(*args, **keywords))
    out = [None if e is None else np.full_like(e, np.nan) for e in expected]
    found = several(kernel(*args, **keywords, out=out[0] if len(out) == 1 else tuple(out)))
    for result, own, right in zip(found, out, expected, strict=True):
        assert result is own
        if right is not None:
            np.testing.assert_array_equal(own, right)

    first = next(e for e in expected if e is not None)
    many = len(expected) > 1
    for wrong, message in (
        (np.empty((*first.shape, 1), first.dtype), "expected shape"),
        (np.empty(first.shape, np.float16), "expected float"),
        (np.broadcast_to(np.zeros((), first.dtype), first.shape), "C-ordered|writable|read-only"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            kernel(*args, **keywords, out=(wrong, *[None] * (len(expected) - 1)) if many else wrong)
    if many:
        with pytest.raises((ValueError, TypeError), match=f"a tuple of {len(expected)} arrays"):
            kernel(*args, **keywords, out=(first,))


IN_PLACE = [
    *(f"{norm}_{way}" for norm in ("batch_norm", "layer_norm", "rms_norm") for way in ("forward", "backward")),
    *(f"{kind}_{way}" for kind in ("activation", "learned", "noise", "dropout") for way in ("forward", "backward")),
    *("batch_norm_inference", "moving_average", "softmax", "log_softmax", "sparsemax"),
]


@pytest.mark.parametrize("name", IN_PLACE)
def test_out_may_be_the_input_it_stands_for(name, dtype, rng):
    _, args, keywords = calls(rng, dtype)[NAMES.index(name)]
    expected = several(getattr(kernels, name)(*args, **keywords))
    place = next(a for a in args if isinstance(a, np.ndarray))
    out = place if len(expected) == 1 else (place, *[None] * (len(expected) - 1))
    found = several(getattr(kernels, name)(*args, **keywords, out=out))
    assert found[0] is place
    for result, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(result, right)


def test_out_shares_no_other_memory(rng):
    x, w = rng.standard_normal((8, 8), np.float32), rng.standard_normal((8, 8), np.float32)
    before = x.copy()
    with pytest.raises(ValueError, match="dense_forward: argument 'out': expected memory of its own"):
        kernels.dense_forward(x, w, out=x)
    with pytest.raises(ValueError, match="argument 'out'"):
        kernels.activation_forward("relu", x[:-1], out=x[1:])
    one = np.empty((8, 8), np.float32)
    with pytest.raises(ValueError, match="arrays that share no memory"):
        kernels.dense_backward(x, x.copy(), w, out=(one, one, None))
    np.testing.assert_array_equal(x, before)


def test_input_gradient_is_left_out(dtype, rng):
    v = layer((13, 33, 17), rng, dtype)
    dx, *rest = kernels.dense_backward(v["dy"], v["x"], v["w"], input_gradient=False)
    assert dx is None
    same(rest, kernels.dense_backward(v["dy"], v["x"], v["w"])[1:])
    with pytest.raises(ValueError, match=r"dense_backward: argument 'out': expected None in place of result 0, .* str"):
        kernels.dense_backward(v["dy"], v["x"], v["w"], input_gradient=False, out=("junk", None, None))
    with pytest.raises(ValueError, match="dense_bn_act_forward: argument 'out': expected None in place of result 2"):
        kernels.dense_bn_act_forward(v["x"], v["w"], v["b"], out=(None, None, v["b"].copy(), None))


# DLPack ---------------------------------------------------------------------------------------------------------------


def test_memory_that_others_lend(dtype, rng):
    v = layer((13, 33, 17), rng, dtype)
    y = np.empty((13, 17), dtype)
    out = Lent(y)
    assert kernels.dense_forward(Lent(v["x"]), Lent(v["w"]), Lent(v["b"]), out=out) is out
    np.testing.assert_array_equal(y, kernels.dense_forward(v["x"], v["w"], v["b"]))
    p = v["w"].copy()
    kernels.sgd_step([Lent(p)], [Lent(v["w"])], None, learning_rate=0.5)
    np.testing.assert_array_equal(p, v["w"] * dtype.type(0.5))


def test_memory_that_cannot_be_lent(rng):
    x = rng.standard_normal((3, 3), np.float32)
    with pytest.raises(
        ValueError, match="softmax: argument 'x': expected memory of the CPU, received a Lent of DLPack"
    ):
        kernels.softmax(Lent(x, device=2))
    with pytest.raises(ValueError, match="C-ordered"):
        kernels.softmax(Lent(x.T))
    with pytest.raises(TypeError, match="expected a NumPy array, or one with __dlpack__, received list"):
        kernels.softmax([[1.0]])
    with pytest.raises(TypeError, match="expected float32 or float64, received shape \\(3, 3\\) of bool"):
        kernels.softmax(Lent(x > 0))

    class Half(Lent):
        __dlpack_device__ = property()  # type: ignore[assignment]

    with pytest.raises(TypeError, match=r"softmax: argument 'x': expected an array with __dlpack_device__ .* a Half"):
        kernels.softmax(Half(x))


@pytest.mark.peers
def test_tensors_of_pytorch(rng):
    torch = pytest.importorskip("torch")
    x = torch.randn(5, 4)
    y = kernels.softmax(x)
    np.testing.assert_allclose(y, torch.softmax(x, 1).numpy(), rtol=1e-6)
    out = torch.empty(5, 4)
    assert kernels.softmax(x, out=out) is out
    np.testing.assert_array_equal(out.numpy(), y)
    with pytest.raises(ValueError, match="argument 'x': expected an array whose memory may be shared"):
        kernels.softmax(x.requires_grad_())
    with pytest.raises(TypeError, match=r"expected float32 or float64, received shape .* of bool"):
        kernels.softmax(x > 0)
    with pytest.raises(TypeError, match="expected numbers, received elements of DLPack type 4 of 16 bits"):
        kernels.softmax(torch.zeros(5, 4, dtype=torch.bfloat16))


EPSILONS = {
    "dense_bn_act_forward": ["x", "w", "b", "gamma", "beta"],
    "batch_norm_forward": ["dy", "gamma", "beta"],
    "layer_norm_forward": ["dy", "gamma", "beta"],
    "rms_norm_backward": ["dy", "dy", "gamma"],
}


@pytest.mark.parametrize("name", EPSILONS)
def test_a_small_negative_epsilon_is_named(name, rng):
    v = layer((3, 4, 5), rng, np.float32)
    with pytest.raises(
        ValueError, match=f"{name}: argument 'epsilon': expected a finite .* at least 0, received -1e-09"
    ):
        getattr(kernels, name)(*(v[one] for one in EPSILONS[name]), epsilon=-1e-9)


def test_a_table_of_too_many_rows_for_float32():
    ids = np.zeros((1, 1), np.int64)
    with pytest.raises(
        ValueError, match=r"embedding_backward: argument 'rows': expected at most 2\^24 rows in float32"
    ):
        kernels.embedding_backward(np.zeros((1, 1), np.float32), ids, (1 << 24) + 1)


# Updates --------------------------------------------------------------------------------------------------------------


def test_lists_of_arrays_are_updated_one_by_one(isa, dtype, rng):
    shapes = [(3,), (33, 17), (0,), (1, 1), (100,)]
    sets = [[rng.standard_normal(s).astype(dtype) ** 2 for s in shapes] for _ in range(4)]
    alone = [[a.copy() for a in one] for one in sets]
    settings = {"step": 3, "learning_rate": 0.1, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-7, "weight_decay": 0.01}
    kernels.adam_step(*sets, **settings)
    for p, g, m, v in zip(*alone, strict=True):
        kernels.adam_step(p, g, m, v, **settings)
    for together, one_by_one in zip(sets, alone, strict=True):
        same(together, one_by_one)


@pytest.mark.parametrize("kernel", update_cases.RULES)
def test_coupled_decay_is_a_part_of_the_gradient(kernel, isa, dtype, rng):
    rule = update_cases.RULES[kernel]
    arrays = rule.arrays({"amsgrad": True, "momentum": 0.0}, 99, rng, dtype)
    arrays[0], arrays[1] = (rng.integers(-64, 64, 99).astype(dtype) / 8 for _ in range(2))  # no sum is rounded
    settings = rule.settings | ({"step": 3} if "beta_2" in rule.settings and kernel != "lion_step" else {})
    ours, right = ([None if a is None else a.copy() for a in arrays] for _ in range(2))
    getattr(kernels, kernel)(*ours, **settings, coupled_decay=0.5)
    right[1] = right[1] + dtype.type(0.5) * right[0]
    getattr(kernels, kernel)(*right, **settings)
    same([a for a in ours[:1] + ours[2:] if a is not None], [a for a in right[:1] + right[2:] if a is not None])
    wide = [None if a is None else a.astype(np.float64) for a in arrays]
    getattr(reference, kernel)(*wide, **settings, coupled_decay=0.5)
    np.testing.assert_allclose(ours[0], wide[0], rtol=1e-4, atol=1e-5)


def test_lists_are_checked_before_anything_is_written(rng):
    p, g = [rng.standard_normal(4), rng.standard_normal(3)], [np.ones(4), np.ones(3)]
    before = [a.copy() for a in p]
    for wrong, error, message in (
        ((p, g[:1]), ValueError, "argument 'g': expected 2 arrays, as p has, received 1"),
        ((p, g[0]), TypeError, "argument 'g': expected a list, as p is"),
        ((p, [np.ones(4), np.ones(4)]), ValueError, r"argument 'g': expected shape \(3,\)"),
        ((p, [np.ones(4), np.ones(3, np.float32)]), TypeError, "argument 'g': expected float64"),
        ((p, [np.ones(4), p[1]]), ValueError, "memory shared with 'p'"),
    ):
        with pytest.raises(error, match=message):
            kernels.sgd_step(*wrong, None, learning_rate=0.1)
    same(p, before)


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_clipping_with_pytorchs_epsilon(limit, dtype, rng):
    ours, theirs = ([rng.standard_normal(s).astype(dtype) for s in ((4, 5), (7,))] for _ in range(2))
    theirs = [a.copy() for a in ours]
    norm = kernels.clip_by_global_norm(ours, limit, epsilon=1e-6)
    right = reference.clip_by_global_norm(theirs, limit, epsilon=1e-6)
    assert norm == pytest.approx(right, rel=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=4 * np.finfo(dtype).eps)


# The trainer of the examples ------------------------------------------------------------------------------------------


def test_a_trainer_of_eager_kernels_is_the_program_to_the_bit(isa, rng):
    example = runpy.run_path(str(Path(__file__).resolve().parent.parent / "examples" / "eager_mlp.py"))
    x = rng.standard_normal((150, 20)).astype(np.float32)
    labels = rng.integers(0, 3, 150)
    layers = example["initial"](rng, (20, 64, 33, 3))
    layers_of_spec = [dense(64, use_bias=False), batch_norm(momentum=0.99), activation("elu")]
    layers_of_spec += [dense(33, use_bias=False), batch_norm(momentum=0.99), activation("elu"), dense(3)]
    spec = with_optimizer(network(20, layers_of_spec, SPARSE, from_logits=True), ADAM)
    program = _core.Program(spec, dtype="float32", batch_size=32)
    for number, (kernel, *_) in zip((0, 3, 6), layers, strict=True):
        program.set(f"layer_{number}/kernel", kernel)
    moving, _ = example["train"](x, labels, layers, epochs=2)
    for _ in range(2):
        program.train(x, labels, learning_rate=example["ADAM"]["learning_rate"])
    for number, (kernel, gamma, beta), statistics in zip((0, 3), layers, moving, strict=False):
        for name, value in zip(
            ("gamma", "beta", "moving_mean", "moving_variance"), (gamma, beta, *statistics), strict=True
        ):
            np.testing.assert_array_equal(value, program.get(f"layer_{number + 1}/{name}"), err_msg=name)
        np.testing.assert_array_equal(kernel, program.get(f"layer_{number}/kernel"))
    same(layers[-1], [program.get("layer_6/kernel"), program.get("layer_6/bias")])
