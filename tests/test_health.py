"""What the kernels count of a network in training: against the reference, and the same bits whatever the threads."""

from typing import Any

import networks
import numpy as np
import pytest
from networks import NETWORKS, SQUARED, activation, data, dense, network, with_optimizer
from optimizer_specs import OPTIMIZERS
from programs import made, same, state

from evenflow import _core, reference
from evenflow.reference.health import Health, layer_of, saturation

every_network = pytest.mark.parametrize("name", NETWORKS)


def counts(health: Any) -> tuple[Any, ...]:
    """All of it, as plain data."""
    outputs = [{k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in o.items()} for o in health.outputs]
    return outputs, health.weights, health.steps, health.sampled, health.rows


def twin(spec: Any, program: Any) -> reference.Network:
    """The reference with a program's variables."""
    found = reference.Network(spec)
    for name, value in found.variables.items():
        value[...] = program.get(name)
    return found


def entry_of(spec: Any, layer: str) -> Any:
    """The spec's entry whose value is watched under that name."""
    by_name = {entry["name"]: entry for entry in spec["layers"]}
    return by_name.get(f"{layer}/activation", by_name[layer])


@every_network
def test_counts_are_those_of_the_reference(name, isa, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["momentum"])
    x, y = data(spec, 76, rng, dtype)
    program = made(spec, dtype=dtype.name)
    right = Health(twin(spec, program), every=2)
    health = _core.Health(program, every=2)
    program.train(x, y, learning_rate=1e-3, batch_size=13, health=health)
    for first in range(0, 76, 13):
        right.train_step(x[first : first + 13], y[first : first + 13], 1e-3)
    assert (health.steps, health.sampled, health.rows) == (6, 3, 39)
    # Rounding of the layers below; a norm of gradients that cancel has that of its summands.
    close = {"float32": {"rtol": 2e-4, "atol": 2e-5}, "float64": {"rtol": 1e-9, "atol": 1e-12}}[dtype.name]
    for output in health.outputs:
        entry = entry_of(spec, output["layer"])
        values, slopes = (np.concatenate(of[entry["name"]]) for of in (right.values, right.slopes))
        np.testing.assert_allclose(output["mean"], values.mean(axis=0), **close)
        squares = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(output["squares"], squares, **close)
        near = np.abs(np.abs(slopes) - 0.01) < close["atol"]  # either side may be right there
        off = np.abs(output["flat"] - (np.abs(slopes) < 0.01).sum(axis=0))
        assert np.all(off <= near.sum(axis=0)), output["layer"]
        np.testing.assert_array_equal(output["alive"] != 0, right.alive[entry["name"]])
    assert [weights["layer"] for weights in health.weights] == list(right.gradient)
    for weights in health.weights:
        for quantity, of_steps in (("gradient", right.gradient), ("update", right.update), ("weight", right.weight)):
            np.testing.assert_allclose(weights[quantity], sum(of_steps[weights["layer"]]), err_msg=quantity, **close)


def test_what_is_watched():
    """Every activation; Dense layers that none follows; nothing of what a loss absorbs."""

    def watched(name: str) -> list[str]:
        return [output["layer"] for output in _core.Health(_core.Program(NETWORKS[name])).outputs]

    assert watched("batch norm first and after") == ["layer_2", "layer_5", "layer_7"]
    assert watched("binary") == ["layer_2", "layer_4", "layer_5"]
    assert watched("activation at the output") == ["layer_1", "layer_3"]
    assert watched("logits") == ["layer_1", "layer_3", "layer_4"]
    assert watched("batch norm alone") == []
    assert watched("frozen") == ["layer_2", "layer_5", "layer_6", "layer_8"]
    assert watched("learned by unit") == ["layer_1", "layer_4", "layer_6"]


@pytest.mark.parametrize("optimizer", ["adam", "global_clipnorm"])
def test_same_bits_for_any_number_of_threads_and_any_cut(optimizer, isa, dtype, rng):
    spec = with_optimizer(networks.DEEP, OPTIMIZERS[optimizer])
    x, y = data(spec, 150, rng, dtype)

    def trained(threads: int, cut: bool = False, fusion: bool = True) -> tuple[Any, ...]:
        program = made(spec, dtype=dtype.name, threads=threads, fusion=fusion)
        health = _core.Health(program, every=3)
        for _ in range(2):
            for first in range(5) if cut else (0,):
                program.train(x, y, learning_rate=0.01, first_step=first, max_steps=int(cut), health=health)
        return counts(health), state(program)

    one = trained(1)
    for other in (trained(2), trained(3), trained(8), trained(2, cut=True), trained(3, fusion=False)):
        assert other[0] == one[0]
        same(other[1], one[1])


@pytest.mark.parametrize("optimizer", ["nesterov", "amsgrad", "clipnorm"])
@every_network
def test_counting_changes_no_bit_of_training(name, optimizer, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS[optimizer])
    x, y = data(spec, 77, rng, np.float32)
    counted, alone = made(spec), made(spec)
    for _ in range(2):
        health = _core.Health(counted, every=2)
        sums = [
            program.train(x, y, learning_rate=0.01, **more)
            for program, more in ((counted, {"health": health}), (alone, {}))
        ]
        assert sums[0].loss == sums[1].loss
    same(state(counted), state(alone))


def test_a_unit_is_alive_whose_only_row_is_in_a_step_that_is_not_sampled(isa, dtype):
    spec = network(1, [dense(40), activation("relu"), dense(1)], SQUARED)
    program = made(spec, dtype=dtype.name)
    kernel, bias = np.zeros((1, 40)), np.full(40, -1.0)
    kernel[0, 7], kernel[0, 33], bias[5] = 2, -2, 1
    program.set("layer_0/kernel", kernel.astype(dtype))
    program.set("layer_0/bias", bias.astype(dtype))
    x = np.zeros((40, 1), dtype)
    x[25], x[39] = 1, -1
    health = _core.Health(program, every=100)
    program.train(x, x, learning_rate=0.0, batch_size=8, health=health)
    assert np.flatnonzero(health.outputs[0]["alive"]).tolist() == [5, 7, 33]
    assert (health.steps, health.sampled, health.rows) == (5, 1, 8)
    np.testing.assert_array_equal(health.outputs[0]["flat"] != 8, np.arange(40) == 5)


@pytest.mark.parametrize(
    ("kind", "flat"),
    [("tanh", [-2.995, 2.995]), ("sigmoid", [-4.59, 4.59]), ("elu", [-4.61]), ("relu", [-1e-6]), ("relu6", [0, 6])],
)
def test_where_a_unit_counts_as_saturated(kind, flat, isa, dtype):
    """|tanh| > 0.995, sigmoid outside 0.0101 to 0.9899, ELU below -0.99, ReLU at 0, ReLU6 at 0 and 6."""
    spec = network(1, [dense(1, use_bias=False), activation(kind), dense(1)], SQUARED)
    program = made(spec, dtype=dtype.name)
    program.set("layer_0/kernel", np.ones((1, 1), dtype))
    for bound in flat:
        away = np.sign(bound) if bound else -1.0
        for x, expected in ((bound + 1e-2 * away, 3), (bound - 1e-2 * away, 0)):
            health = _core.Health(program)
            rows = np.full((3, 1), x, dtype)
            program.train(rows, rows, learning_rate=0.0, health=health)
            assert health.outputs[0]["flat"].tolist() == [expected], (kind, x)


def test_steps_in_pieces_count_the_same(dtype, rng):
    spec = with_optimizer(NETWORKS["batch norm before"], OPTIMIZERS["adam"])
    x, y = data(spec, 32, rng, dtype)
    whole, pieces = made(spec, dtype=dtype.name), made(spec, dtype=dtype.name)
    counted, piecewise = _core.Health(whole, every=2), _core.Health(pieces, every=2)
    for _ in range(3):
        whole.train(x, y, learning_rate=0.01, health=counted)
        p = pieces.forward(x, health=piecewise)
        # the loss's gradient, from the probabilities; the core computes it from what lies below the softmax
        pieces.backward((-y / p / len(x)).astype(dtype))
        pieces.update(0.01, health=piecewise)
    close = {"float32": {"rtol": 2e-3, "atol": 1e-3}, "float64": {"rtol": 1e-9, "atol": 1e-10}}[dtype.name]
    assert counts(counted)[2:] == counts(piecewise)[2:] == (3, 2, 64)
    for a, b in zip(counted.outputs, piecewise.outputs, strict=True):
        np.testing.assert_allclose(a["mean"], b["mean"], **close)
        np.testing.assert_allclose(a["squares"], b["squares"], **close)
    for a, b in zip(counted.weights, piecewise.weights, strict=True):
        assert a["update"] == pytest.approx(b["update"], rel=close["rtol"] * 10)


def test_accumulated_gradients_are_counted_with_their_step(rng):
    spec = with_optimizer(
        network(5, [dense(9), activation("tanh"), dense(2)], SQUARED),
        {**OPTIMIZERS["adam"], "gradient_accumulation_steps": 2},
    )
    x, y = data(spec, 60, rng, np.float64)
    program = made(spec, dtype="float64")
    right, health = Health(twin(spec, program)), _core.Health(program, every=2)
    norms = np.full((6, 4), -1.0)
    program.train(x, y, learning_rate=0.01, batch_size=10, health=health, gradient_norms=norms)
    assert (health.steps, health.sampled, health.rows) == (3, 2, 40)  # steps 0 and 2, of two batches each
    assert health.weights[0]["gradient"] == pytest.approx(np.hypot(*norms[[1, 5], :2].T).sum(), rel=1e-12)
    assert right.steps == 0


def test_refusals(rng):
    spec = NETWORKS["logits"]
    program, other = made(spec), made(NETWORKS["binary logits"])
    x, y = data(spec, 8, rng, np.float32)
    with pytest.raises(
        ValueError, match=r"train: argument 'health': expected the Health of a program with these layers"
    ):
        program.train(x, y, learning_rate=0.1, health=_core.Health(other))
    with pytest.raises(ValueError, match=r"Health: argument 'every': expected 1 to 2\^28, received 0"):
        _core.Health(program, every=0)
    assert _core.Health(program).fits(made(spec, batch_size=7))
    assert not _core.Health(program).fits(other)


def test_the_reference_counts_by_layer():
    assert [layer_of(path) for path in ("a/kernel", "a/activation/alpha")] == ["a", "a"]
    assert saturation(np.array([[0.0, -0.0099], [0.01, -1]])) == 0.5


def test_counts_go_on_in_another_process(rng):
    spec = with_optimizer(networks.DEEP, OPTIMIZERS["momentum"])
    x, y = data(spec, 40, rng, np.dtype("float32"))
    whole, parts = made(spec), made(spec)
    expected, before, after = _core.Health(whole, every=2), _core.Health(parts, every=2), _core.Health(parts, every=2)
    whole.train(x, y, learning_rate=0.01, batch_size=8, health=expected)
    progress = parts.train(x, y, learning_rate=0.01, batch_size=8, max_steps=3, health=before)
    plain = {name: getattr(before, name) for name in ("steps", "sampled", "rows", "outputs", "weights")}
    after.go_on(plain)
    assert counts(after) == counts(before)
    parts.train(x, y, learning_rate=0.01, batch_size=8, first_step=3, after=progress, health=after)
    assert counts(after) == counts(expected)
    untouched = counts(after)
    output = plain["outputs"][0]
    for wrong in (
        plain | {"outputs": plain["outputs"][1:]},
        plain | {"outputs": [output | {"layer": "other"}, *plain["outputs"][1:]]},
        plain | {"outputs": [output | {"mean": output["mean"][1:]}, *plain["outputs"][1:]]},
        plain | {"weights": []},
    ):
        with pytest.raises(ValueError, match=r"^Health\.go_on: "):
            after.go_on(wrong)
    assert counts(after) == untouched
