"""One result, bit by bit: for any number of threads, any layout of the data, any way to cut an epoch."""

from typing import Any

import numpy as np
import pytest
from networks import DEEP, NETWORKS, SPARSE, SQUARED, activation, data, dense, network, rescaling, with_optimizer
from optimizer_specs import LION, OPTIMIZERS
from programs import made, same, state

from evenflow import _core

every_network = pytest.mark.parametrize("name", NETWORKS)


def summary(progress: Any) -> tuple[Any, ...]:
    return progress.loss, [state.tolist() for state in progress.metrics], progress.rows, progress.steps


def trained(spec: Any, x: Any, y: Any, *, epochs: int = 2, **options: Any) -> tuple[Any, ...]:
    """What two epochs in a shuffled order leave: loss sums, counts, variables and slots."""
    program = made(spec, **options)
    order = np.random.default_rng(3).permutation(len(x))
    found = [summary(program.train(x, y, learning_rate=0.01, order=order)) for _ in range(epochs)]
    return found, state(program), program.predict(x)


def assert_same(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    assert a[0] == b[0]
    same(a[1], b[1])
    np.testing.assert_array_equal(a[2], b[2])


@pytest.mark.parametrize("optimizer", ["nesterov", "adam", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("batch", [1, 12, 77, 256])
def test_same_bits_for_any_number_of_threads(batch, optimizer, isa, dtype, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS[optimizer])
    x, y = data(spec, max(3 * batch - 1, 4), rng, dtype)
    one, *others = (
        trained(spec, x, y, dtype=dtype.name, batch_size=batch, threads=threads) for threads in (1, 2, 3, 8)
    )
    for other in others:
        assert_same(one, other)


@every_network
def test_same_bits_for_any_number_of_threads_in_every_network(name, isa, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["adam"])
    x, y = data(spec, 77, rng, np.float32)
    one, *others = (trained(spec, x, y, threads=threads) for threads in (1, 2, 3, 8))
    for other in others:
        assert_same(one, other)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "lion"])
def test_same_bits_with_every_rule(optimizer, isa, dtype, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS.get(optimizer, LION))
    x, y = data(spec, 77, rng, dtype)
    one, *others = (
        trained(spec, x, y, dtype=dtype.name, threads=threads, fusion=fusion)
        for threads, fusion in ((1, True), (3, True), (1, False), (3, False))
    )
    for other in others:
        assert_same(one, other)


@pytest.mark.parametrize("steps", [1, 3, 2000])
def test_momenta_of_nadam_depend_on_the_step_alone(steps, isa, rng):
    # A program that counts there, one that is told to be there, and one that was further.
    spec = with_optimizer(network(3, [dense(2)], SQUARED), {"kind": "nadam", "beta_1": 0.99})
    x, y = data(spec, 8, rng, np.float64)
    programs = [made(spec, dtype="float64") for _ in range(3)]
    for program, before in zip(programs, (range(steps), [], range(steps + 9)), strict=True):
        for _ in before:
            program.train(x, y, learning_rate=0.0)
    start = made(spec, dtype="float64")
    for program in programs:
        for name, _, _ in program.variables():
            program.set(name, start.get(name))
        program.reset_slots()
        program.iterations = steps
        program.train(x, y, learning_rate=0.1)
    for program in programs[1:]:
        same(state(programs[0]), state(program))


@every_network
def test_same_bits_with_and_without_fusion(name, isa, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["global_clipnorm"])
    x, y = data(spec, 77, rng, dtype)
    assert_same(*(trained(spec, x, y, dtype=dtype.name, fusion=fusion) for fusion in (True, False)))


def test_same_bits_again(isa, rng):
    x, y = data(DEEP, 100, rng, np.float32)
    assert_same(trained(DEEP, x, y), trained(DEEP, x, y))


def test_instruction_set_is_chosen_when_made(isa):
    program = made(DEEP)
    assert program.isa == isa
    for other in _core.isas():
        _core.use_isa(other)
        assert program.isa == isa


def views(x: np.ndarray, folder: Any) -> dict[str, np.ndarray]:
    """The same numbers, laid out in other ways."""
    np.save(folder / "x.npy", x)
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((2 * len(x), 3 * x.shape[1]), x.dtype)
    wide[::2, ::3] = x
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return {
        "memory map": np.load(folder / "x.npy", mmap_mode="r"),
        "float64": x.astype(np.float64),
        "Fortran": np.asfortranarray(x),
        "strided": wide[::2, ::3],
        "backwards": x[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": read_only,
        "unaligned": unaligned,
    }


def test_same_bits_for_any_layout_of_the_data(isa, rng, tmp_path):
    x, y = data(DEEP, 77, rng, np.float32)
    right = trained(DEEP, x, y)
    for name, view in views(x, tmp_path).items():
        try:
            assert_same(trained(DEEP, view, y), right)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    for labels in (y.astype(np.int32), y.astype(np.uint8), y.reshape(-1, 1), np.repeat(y, 2)[::2]):
        assert_same(trained(DEEP, x, labels), right)


def test_same_bits_for_any_layout_of_the_targets(isa, rng, tmp_path):
    spec = NETWORKS["two batch norms in a chain"]
    spec = {**spec, "layers": [*spec["layers"][:-1], {**dense(5), "name": "last"}]}
    x, y = data(spec, 77, rng, np.float32)
    right = trained(spec, x, y)
    for view in views(y, tmp_path).values():
        assert_same(trained(spec, x, view), right)


def test_bytes_are_their_float32_values(isa, dtype, rng):
    spec = network(33, [rescaling(1 / 255), dense(17), activation("relu"), dense(3)], SPARSE, from_logits=True)
    x, y = rng.integers(0, 256, (77, 33), np.uint8), rng.integers(0, 3, 77)
    right = trained(spec, x.astype(dtype), y, dtype=dtype.name)
    for view in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        assert_same(trained(spec, view, y, dtype=dtype.name), right)


def test_order_gathers(isa, rng):
    x, y = data(DEEP, 100, rng, np.float32)
    order = rng.permutation(100)[:90]
    a, b = made(DEEP), made(DEEP)
    one = a.train(x, y, learning_rate=0.01, order=order)
    assert summary(one) == summary(b.train(x[order], y[order], learning_rate=0.01))
    assert one.rows == 90
    same(state(a), state(b))


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "nadam"])
def test_slices_of_an_epoch_add_up(optimizer, isa, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS[optimizer])
    x, y = data(spec, 205, rng, np.float32)
    settings = {"learning_rate": np.linspace(0.001, 0.01, 7), "order": rng.permutation(205)}
    whole = made(spec)
    right = whole.train(x, y, **settings)
    assert (right.steps, right.rows) == (7, 205)
    sliced = made(spec)
    part, steps = None, 0
    for count in (1, 3, 2, 5):
        part = sliced.train(x, y, **settings, first_step=steps, max_steps=count, after=part)
        steps = min(7, steps + count)
        assert part.next_step == part.steps == steps
    assert summary(part) == summary(right)
    same(state(sliced), state(whole))


def test_an_epoch_out_of_time_stops_after_a_step(isa, rng):
    x, y = data(DEEP, 320, rng, np.float32)
    program = made(DEEP)
    part = program.train(x, y, learning_rate=0.01, seconds=0.0)
    assert (part.steps, part.next_step, part.rows) == (1, 1, 32)
    assert program.iterations == 1


def test_rates_are_one_per_step(isa, rng):
    x, y = data(DEEP, 96, rng, np.float32)
    a, b = made(DEEP), made(DEEP)
    a.train(x, y, learning_rate=np.array([0.1, 0.02, 0.003]))
    for step, rate in enumerate((0.1, 0.02, 0.003)):
        b.train(x, y, learning_rate=rate, first_step=step, max_steps=1)
    same(state(a), state(b))


def test_smaller_batches_than_the_capacity(isa, rng):
    x, y = data(DEEP, 100, rng, np.float32)
    large, small = made(DEEP, batch_size=256), made(DEEP, batch_size=12)
    for program in (large, small):
        assert program.train(x, y, learning_rate=0.01, batch_size=12).steps == 9
    same(state(large), state(small))


@pytest.mark.parametrize("limits", [{}, {"max_steps": 2}, {"seconds": 0.0}], ids=["epoch", "two steps", "one step"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_last_step_of_a_call_leaves_its_gradients(threads, limits, isa, dtype, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS["adam"])
    x, y = data(spec, 50, rng, dtype)
    fused, plain = (
        made(spec, np.random.default_rng(5), dtype=dtype.name, batch_size=12, threads=threads, fusion=fusion)
        for fusion in (True, False)
    )
    for program in (fused, plain):
        program.train(x, y, learning_rate=0.01, **limits)
    np.testing.assert_array_equal(fused.gradients, plain.gradients)
    assert np.any(fused.gradients)
    same(state(fused), state(plain))
