"""Random numbers: published answers, the same integers everywhere, statistics; and the programs that draw them."""

import itertools
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from networks import NETWORKS, SPARSE, SQUARED, activation, batch_norm, data, dense, network, noise, with_optimizer
from optimizer_specs import MOMENTUM
from programs import made, same, state

from evenflow import _core, reference

# Random123's tests/kat_vectors, "philox4x32 10": counter, key, words.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
PLACE = {"seed": 2**63 + 11, "step": 2**47 + 2**33 + 5, "layer": 65535, "row": 2**32 - 7}


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "right"), KNOWN)
def test_published_answers(counter, key, right, isa):
    low, high = words(key)
    for module in (_core, reference):
        assert module.random_words(words(counter), low | high << 32)[0].tolist() == words(right)


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 8, 9, 100])
def test_words_are_the_references(rows, isa, rng):
    counter, key = rng.integers(0, 2**32, 4).tolist(), int(rng.integers(0, 2**63))
    counter[1] = 2**32 - 3  # the rows run over
    found = _core.random_words(counter, key, rows)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, reference.random_words(counter, key, rows))


@pytest.mark.parametrize("shape", [(1, 1), (65, 300), (130, 37), (77, 8), (13, 3), (200, 130)], ids=str)
def test_integers_are_the_same_on_every_instruction_set(shape, isa, dtype):
    # Slopes from 0 to 1 tell all 16 bits, in float32 too.
    slopes = -_core.noise_forward("rrelu", -np.ones(shape, dtype), lower=0.0, upper=1.0, **PLACE)
    bits = reference.random_bits(shape, 16, **PLACE) + 32768
    np.testing.assert_array_equal(np.floor(slopes.astype(np.float64) * 65536), bits)
    for rate in (0.5, 0.1, 2**-16, 1 - 2**-16, 1 - 2**-30):
        kept = _core.noise_forward("dropout", np.ones(shape, dtype), rate=rate, **PLACE) != 0
        np.testing.assert_array_equal(kept, bits >= min(round(rate * 65536), 65535))
    deviations = _core.noise_forward("gaussian_noise", np.zeros(shape, dtype), stddev=1.0, **PLACE)
    cdf = reference.normal_distribution(deviations.astype(np.float64))
    unit = (reference.random_bits(shape, 32, **PLACE) + 2**31 + 0.5) / 2**32
    np.testing.assert_allclose(cdf, unit, rtol=2e-5 if dtype == np.float32 else 1e-13)


# Statistics: a sum of n numbers strays by 5 deviations once in two million -------------------------------------------


def streams() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pairs of uniform numbers that must have nothing to do with each other."""

    def drawn(**place: int) -> np.ndarray:
        return (reference.random_bits((500, 400), 16, **{"seed": 1, **place}) + 0.5) / 65536

    base = drawn()
    pairs = {name: (base, drawn(**{name: 1})) for name in ("step", "layer", "row")}
    pairs["seed"] = base, drawn(seed=2)
    pairs["seed above 32 bits"] = base, drawn(seed=1 + 2**32)
    pairs["step above 32 bits"] = base, drawn(step=2**32)
    pairs["row"] = base[1:], base[:-1]
    pairs |= {f"feature {by} on": (base[:, by:], base[:, :-by]) for by in (1, 2, 7, 8, 16)}
    return pairs


@pytest.mark.parametrize("name", streams())
def test_streams_do_not_correlate(name):
    a, b = streams()[name]
    n = a.size
    assert abs(a.mean()) < 5 / np.sqrt(12 * n)
    assert abs((a**2).mean() - 1 / 12) < 5 * np.sqrt((1 / 80 - 1 / 144) / n)
    assert abs((a * b).mean()) < 5 / (12 * np.sqrt(n))
    assert abs(((a < -0.4) & (b < -0.4)).mean() - 0.01) < 5 * np.sqrt(0.0099 / n)


def test_numbers_are_even_over_their_range():
    bits = reference.random_bits((1000, 512), 16, seed=3) + 32768
    for shift in (0, 8):  # chi-squared with 255 degrees of freedom
        counts = np.bincount((bits.ravel() >> shift) & 255, minlength=256)
        expected = bits.size / 256
        assert abs(((counts - expected) ** 2 / expected).sum() - 255) < 5 * np.sqrt(2 * 255)


def test_normals_are_quantiles():
    edges = [*range(-50, 50), *range(-(2**31), -(2**31) + 50), *range(2**31 - 50, 2**31)]
    s = np.array([*edges, *np.random.default_rng(0).integers(-(2**31), 2**31, 2000)])
    z = reference.normals(s)
    np.testing.assert_array_equal(z, -reference.normals(-1 - s))
    tail = (2.0**31 - 0.5 - np.where(s < 0, -1 - s, s)) / 2**32
    right = [-NormalDist().inv_cdf(p) for p in tail]
    np.testing.assert_allclose(np.abs(z), right, rtol=1e-14, atol=1e-15)  # their p loses digits near 1/2
    assert np.abs(z).max() == pytest.approx(6.338, abs=1e-3)
    deviation = np.abs(reference.normal_distribution(z) - (s + 2.0**31 + 0.5) / 2**32)
    assert deviation.max() < 1e-15


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_dropout"])
def test_moments_of_normals(name, isa, dtype):
    x = np.full((1000, 500), 0.0 if name == "gaussian_noise" else 1.0, dtype)
    settings = {"stddev": 1.0} if name == "gaussian_noise" else {"rate": 0.5}
    z = _core.noise_forward(name, x, seed=5, **settings).astype(np.float64) - x
    n = z.size
    assert abs(z.mean()) < 5 / np.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * np.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert abs((z[:, 1:] * z[:, :-1]).mean()) < 5 / np.sqrt(n)


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "gaussian_dropout"])
def test_mean_and_variance_that_a_layer_promises(name, rate, isa, dtype, rng):
    x = rng.standard_normal((2000, 300)).astype(dtype)
    y = _core.noise_forward(name, x, seed=9, rate=rate).astype(np.float64)
    # Fourth moments of dropped-out normals are at most 3 / (1 - rate)^3.
    tolerance = 5 * np.sqrt(3 / (1 - rate) ** 3 / x.size)
    assert abs(y.mean()) < tolerance
    variance = 1.0 if name == "alpha_dropout" else 1 / (1 - rate)
    fourth = 15 * variance**2 / (1 - rate)
    assert abs((y**2).mean() - variance) < 5 * np.sqrt(fourth / x.size)


# Programs -------------------------------------------------------------------------------------------------------------

NOISY = [
    *("dropout", "noise of every kind beside batch norm", "noise beside other layers"),
    "numbers that elements share",
]


def trained(spec: Any, x: Any, y: Any, **options: Any) -> Any:
    program = made(spec, **options)
    losses = [program.train(x, y, learning_rate=0.01).loss for _ in range(2)]
    return losses, state(program)


@pytest.mark.parametrize("name", NOISY)
def test_inference_draws_nothing(name, isa, dtype, rng):
    spec = NETWORKS[name]
    quiet = [layer for layer in spec["layers"] if layer["kind"] != "noise" or layer["noise"] == "rrelu"]
    for i, layer in enumerate(quiet):
        if layer["kind"] == "noise":
            bounds = {"lower": 1 / 8, "upper": 1 / 3, **layer["parameters"]}
            slope = (bounds["lower"] + bounds["upper"]) / 2
            quiet[i] = {**activation("leaky_relu", negative_slope=slope), "name": layer["name"]}
    a, b = made(spec, dtype=dtype.name), made({**spec, "layers": quiet}, dtype=dtype.name)
    x, y = data(spec, 77, rng, dtype)
    same(state(a), state(b))
    np.testing.assert_array_equal(a.predict(x), b.predict(x))
    one, other = a.evaluate(x, y), b.evaluate(x, y)
    assert (one.loss, one.metrics) == (other.loss, other.metrics)
    x, dy = x[:32], rng.standard_normal(a.predict(x[:32]).shape).astype(dtype)
    results = []
    for program in (a, b):
        program.forward(x, training=False)
        results.append((program.backward(dy), program.gradients.copy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_a_rate_of_zero_is_no_layer(isa, dtype, rng):
    idle = [noise("dropout", rate=0.0), dense(9), noise("gaussian_noise", stddev=0.0), activation("elu")]
    plain = with_optimizer(network(5, [dense(9), activation("elu"), dense(3)], SQUARED), MOMENTUM)
    spec = {**plain, "layers": [{**n, "name": f"n{i}"} for i, n in enumerate(idle)]}
    spec["layers"][1]["name"], spec["layers"][3]["name"] = "layer_0", "layer_1"
    spec["layers"].append(plain["layers"][2])
    assert _core.Program(spec).plan() == _core.Program(plain).plan()
    x, y = data(plain, 40, rng, dtype)
    one, other = (trained(s, x, y, dtype=dtype.name) for s in (spec, plain))
    assert one[0] == other[0]
    same(one[1], other[1])


def test_seeds_layers_and_steps_draw_other_numbers(isa, rng):
    x = np.ones((32, 40), np.float32)
    masks = []
    for seed, below in itertools.product((1, 2), (0, 1)):
        extra = [noise("gaussian_dropout", 5, rate=1e-12)] * below
        program = _core.Program(network(40, [*extra, noise("dropout", seed, rate=0.5), dense(1)], SQUARED))
        program.set(f"layer_{1 + below}/kernel", np.ones((40, 1), np.float32))
        for step in (0, 1, 2**32):
            program.iterations = step
            first = program.forward(x)
            np.testing.assert_array_equal(first, program.forward(x))
            np.testing.assert_array_equal(first, program.forward(x, draw=step))
            masks.append(first.tobytes())
    assert len(set(masks)) == len(masks) == 12


def test_steps_in_pieces_draw_what_training_draws(isa, dtype, rng):
    spec = with_optimizer(NETWORKS["noise of every kind beside batch norm"], MOMENTUM)
    x, y = data(spec, 13, rng, dtype)
    whole, pieces = made(spec, dtype=dtype.name), made(spec, dtype=dtype.name)
    bound = 200 * np.finfo(dtype).eps
    for _ in range(3):
        whole.train(x, y, learning_rate=0.01)
        prediction = pieces.forward(x)
        pieces.backward(_core.loss_forward_backward("mean_squared_error", prediction, y)[1])
        pieces.update(0.01)
    assert pieces.iterations == whole.iterations == 3
    for name, right in state(whole).items():
        np.testing.assert_allclose(state(pieces)[name], right, rtol=bound, atol=bound, err_msg=name)


@pytest.mark.parametrize("name", NOISY)
def test_same_bits_for_slices_layouts_and_maps(name, isa, rng, tmp_path):
    spec = with_optimizer(NETWORKS[name], MOMENTUM)
    x, y = data(spec, 150, rng, np.float32)
    right = trained(spec, x, y)
    np.save(tmp_path / "x.npy", x)
    for view in (np.load(tmp_path / "x.npy", mmap_mode="r"), np.asfortranarray(x), x.astype(np.float64)):
        found = trained(spec, view, y)
        assert found[0] == right[0]
        same(found[1], right[1])
    sliced = made(spec)
    for _ in range(2):
        part = None
        for first in range(5):
            part = sliced.train(x, y, learning_rate=0.01, first_step=first, max_steps=1, after=part)
    assert part.loss == right[0][-1]
    same(state(sliced), right[1])


def test_zeros_that_are_kept_and_zeros_that_are_dropped(isa, dtype, rng):
    """The way back tells them apart by their sign, or with the switch off by drawing again."""
    x = rng.standard_normal((40, 33)).astype(dtype)
    x[rng.random(x.shape) < 0.3] = 0
    x[rng.random(x.shape) < 0.3] = -0.0
    y = _core.noise_forward("dropout", x, seed=3, rate=0.5)
    kept = _core.noise_forward("dropout", np.ones_like(x), seed=3, rate=0.5) != 0
    np.testing.assert_array_equal(np.signbit(y) & (y == 0), ~kept)
    dy = np.ones_like(x)
    for below in ([], [dense(33, use_bias=False), activation("relu")]):
        layers = [*below, noise("dropout", rate=0.5), noise("dropout", 7, rate=0.25), batch_norm(), dense(33)]
        found = []
        for fusion in (True, False):
            program = made(network(33, layers, SQUARED), dtype=dtype.name, batch_size=40, fusion=fusion)
            program.forward(x, training=True)
            found.append((program.backward(dy), program.gradients.copy()))
        assert found[0][0].any()
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "below", [[], [dense(33)], [dense(33), activation("tanh")], [dense(33), batch_norm()]], ids=len
)
@pytest.mark.parametrize("second", ["dropout", "alpha_dropout", "gaussian_dropout", "gaussian_noise", "rrelu"])
def test_random_layers_one_after_the_other_are_off_at_inference(below, second, isa, dtype, rng):
    penalty = {"kind": "activity_regularization", "l1": 0.01, "l2": 0.02}
    x = rng.standard_normal((20, 33)).astype(dtype)
    between = [activation("leaky_relu", negative_slope=(1 / 8 + 1 / 3) / 2)] if second == "rrelu" else []
    top = [activation("tanh"), dense(5)]
    for several in (1, 2):
        noisy = [noise("dropout", rate=0.3), penalty, *[noise(second)] * several, noise("dropout", rate=0.2)]
        networks = [[*below, *noisy, *top], [*below, penalty, *between * several, *top]]
        programs = [made(network(33, layers, SQUARED), dtype=dtype.name, batch_size=20) for layers in networks]
        for own, other in zip(*(program.variables() for program in programs), strict=True):
            programs[0].set(own[0], programs[1].get(other[0]))
        one, other = (program.forward(x, training=False).copy() for program in programs)
        assert np.abs(other).max() > 1e-3
        np.testing.assert_array_equal(one, other)


def test_noise_beside_penalties_of_activities(isa, dtype, rng):
    penalty = {"kind": "activity_regularization", "l1": 0.01, "l2": 0.02}
    layers = [noise("gaussian_dropout", rate=0.1), penalty, dense(20), activation("elu"), penalty]
    layers += [noise("dropout", rate=0.3), penalty, activation("tanh"), penalty, noise("rrelu"), penalty, dense(4)]
    spec = with_optimizer(network(12, layers, SQUARED), MOMENTUM)
    program, net = made(spec, dtype=dtype.name), reference.Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 32, rng, dtype)
    bound = 200 * float(np.finfo(dtype).eps)
    net.forward(x, training=False)
    assert program.evaluate(x, y).loss == pytest.approx(net.loss(y)[0].sum() + 32 * net.penalty(), rel=bound)
    for _ in range(3):
        loss = program.train(x, y, learning_rate=0.01).loss
        assert loss == pytest.approx(net.train_step(x, y, 0.01)[0], rel=bound)
    for variable, right in net.variables.items():
        np.testing.assert_allclose(program.get(variable), right, rtol=0, atol=bound * np.abs(right).max())


def test_accumulated_batches_draw_numbers_of_their_own(isa, rng):
    optimizer = {**MOMENTUM, "gradient_accumulation_steps": 3}
    spec = with_optimizer(network(12, [noise("dropout", rate=0.5), dense(4)], SQUARED), optimizer)
    program, net = made(spec, dtype="float64"), reference.Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 32, rng)
    losses = []
    for _ in range(6):
        losses.append(program.train(x, y, learning_rate=0.01).loss)
        assert losses[-1] == pytest.approx(net.train_step(x, y, 0.01)[0], rel=1e-12)
    assert len(set(losses)) == 6


# Monte Carlo ----------------------------------------------------------------------------------------------------------


def passes(program: Any, x: np.ndarray, n: int, threads: int = 0, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    mean, squares = np.zeros((2, len(x), program.outputs))
    program.threads = threads
    program.predict_mc(x, mean, squares, passes=n, **settings)
    return mean, squares


@pytest.mark.parametrize("name", NOISY)
def test_monte_carlo_is_the_references(name, isa, dtype, rng):
    spec = NETWORKS[name]
    program = made(spec, dtype=dtype.name, batch_size=12)
    x, _ = data(spec, 40, rng, dtype)
    before, iterations = state(program), program.iterations
    mean, squares = passes(program, x, 9, seed=2**50)
    same(state(program), before)
    assert program.iterations == iterations
    frozen = [
        {**layer, "trainable": False} if layer["kind"] == "batch_normalization" else layer for layer in spec["layers"]
    ]
    frozen = [{**layer, "seed": 2**50} if layer["kind"] == "noise" else layer for layer in frozen]
    net = reference.Network({**spec, "layers": frozen})
    for variable, value in net.variables.items():
        value[...] = before[variable]
    outputs = []
    for step in range(9):
        net.iterations = step
        outputs.append(net.forward(x.astype(np.float64)))
    bound = 1000 * np.finfo(dtype).eps
    np.testing.assert_allclose(mean, np.mean(outputs, axis=0), rtol=0, atol=bound)
    np.testing.assert_allclose(squares / 9, np.var(outputs, axis=0), rtol=0, atol=bound)
    assert squares.min() > 0


@pytest.mark.parametrize("name", NOISY)
def test_monte_carlo_has_the_same_bits_however_it_is_cut(name, isa, dtype, rng):
    x, _ = data(NETWORKS[name], 150, rng, dtype)
    programs = [made(NETWORKS[name], dtype=dtype.name, batch_size=batch) for batch in (32, 7, 256)]
    right = passes(programs[0], x, 10, seed=4)
    for program, threads in itertools.product(programs, (1, 2, 3, 8)):
        np.testing.assert_array_equal(passes(program, x, 10, threads, seed=4), right)
    mean, squares = np.zeros((2, *right[0].shape))
    for start, end in ((0, 33), (33, 150)):
        for first, count in ((0, 1), (1, 6), (7, 3)):
            programs[0].predict_mc(
                x[start:end],
                mean[start:end],
                squares[start:end],
                seed=4,
                first_row=start,
                first_pass=first,
                passes=count,
            )
    np.testing.assert_array_equal((mean, squares), right)
    assert not np.array_equal(passes(programs[0], x, 10, seed=5)[0], right[0])


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (noise("dropuot", rate=0.5), "noise.*dropuot.*did you mean 'dropout'"),
        (noise("dropout", rate=1.0), "rate.*0 or more, below 1.*1.0"),
        (noise("dropout", rate=-0.1), "rate.*0 or more, below 1.*-0.1"),
        (noise("dropout", rate=float("nan")), "rate.*nan"),
        (noise("dropout", stddev=0.5), "parameters.*rate.*stddev"),
        (noise("gaussian_noise", stddev=float("inf")), "stddev.*finite.*inf"),
        (noise("rrelu", lower=0.5, upper=0.2), "lower.*at most upper, which is 0.2"),
        (noise("dropout", -1), "seed.*0 to 18446744073709551615.*-1"),
        (noise("dropout", 2**64), "seed.*0 to 18446744073709551615"),
    ],
)
def test_specs_that_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        _core.Program(network(3, [layer, dense(1)], SQUARED))


def test_more_that_is_refused():
    spec = network(3, [noise("dropout"), dense(2), activation("softmax")], SPARSE)
    program, x = _core.Program(spec), np.zeros((4, 3), np.float32)
    mean, squares = np.zeros((2, 4, 2))
    with pytest.raises(TypeError, match=r"seed.*whole number.*'1'"):
        _core.Program(network(3, [{**noise("dropout"), "seed": "1"}, dense(1)], SQUARED))
    with pytest.raises(ValueError, match=r"draw.*0 to 281474976710655"):
        program.forward(x, draw=2**48)
    with pytest.raises(ValueError, match=r"passes.*at least 1"):
        program.predict_mc(x, mean, squares, seed=1, passes=0)
    with pytest.raises(ValueError, match=r"first_row.*-1"):
        program.predict_mc(x, mean, squares, seed=1, passes=1, first_row=-1)
    with pytest.raises(ValueError, match=r"mean.*\(4, 2\).*\(3, 2\)"):
        program.predict_mc(x, mean[:3], squares, seed=1, passes=1)
    with pytest.raises(ValueError, match=r"squares.*shared with 'mean'"):
        program.predict_mc(x, mean, mean, seed=1, passes=1)
    with pytest.raises(TypeError, match=r"mean.*float64.*float32"):
        program.predict_mc(x, mean.astype(np.float32), squares, seed=1, passes=1)
    assert not mean.any()
    with pytest.raises(ValueError, match=r"counter.*4 words"):
        _core.random_words([1, 2, 3], 0)
    with pytest.raises(ValueError, match=r"layer.*0 to 65535"):
        _core.noise_forward("dropout", x, seed=1, layer=65536)


def test_noise_goes_on_where_it_is_frozen(isa, rng):
    layers = [noise("dropout", rate=0.5), dense(3, trainable=False), batch_norm(trainable=False), dense(2)]
    spec = network(40, layers, SQUARED)
    program = made(spec)
    x = np.ones((32, 40), np.float32)
    assert not np.array_equal(program.forward(x), program.forward(x, training=False))
