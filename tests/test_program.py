"""The compiled program against the reference, against eager kernels typed by hand, and what it tells of itself."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import ACTIVATION_CASES
from networks import (
    DEEP,
    NETWORKS,
    SPARSE,
    SQUARED,
    activation,
    batch_norm,
    data,
    dense,
    network,
    rescaling,
    with_optimizer,
)
from optimizer_specs import ADAM, LION, OPTIMIZERS, SGD, comparable_rate
from programs import made, same, state

from evenflow import _core
from evenflow.reference import Network

every_network = pytest.mark.parametrize("name", NETWORKS)


# Against the reference ------------------------------------------------------------------------------------------------


# The reference in the program's own type strays from twice the digits by up to 30 eps of the largest element in five
# steps, and by 65 in twenty of the deep network. Other orders of summation and functions good to 4 ULP may double that.
STRAYS = 100


def compare_with_reference(
    spec: Any, dtype: Any, rng: np.random.Generator, steps: int = 5, strays: int = STRAYS, rate: float = 0.05
) -> None:
    bound = strays * float(np.finfo(dtype).eps)
    program = made(spec, dtype=dtype.name, batch_size=13)
    net = Network(spec)
    for name, value in net.variables.items():
        value[...] = program.get(name)
    assert [name for name, _, _ in program.variables()] == list(net.variables)
    x, y = data(spec, 13 * steps - 2, rng, dtype)  # the last batch is shorter
    progress = program.train(x, y, learning_rate=rate)
    loss, metrics = 0.0, 0.0
    for step in range(steps):
        batch = slice(13 * step, 13 * (step + 1))
        added, counts = net.train_step(x[batch], y[batch], rate)
        loss, metrics = loss + added, metrics + np.concatenate([[], *counts])
    assert (progress.steps, progress.rows, progress.next_step) == (steps, len(x), steps)
    assert program.iterations == steps
    assert progress.loss == pytest.approx(loss, rel=bound)
    assert np.concatenate([[], *progress.metrics]) == pytest.approx(metrics, rel=bound)
    for name, right in net.variables.items():
        error = np.abs(program.get(name) - right).max()
        assert error <= bound * np.abs(right).max(), f"{name}: {error:.3g}"
    for slot, values in net.slots.items():
        for name, right in values.items():
            # A gradient that is zero but for rounding has slots of that size; slots remember larger, earlier gradients.
            error = np.abs(program.get_slot(slot, name) - right).max()
            assert error <= bound * max(np.abs(right).max(), 2e-2), f"{slot} of {name}: {error:.3g}"
    for name, value in net.variables.items():  # how far the weights strayed is known: the outputs are for the same ones
        value[...] = program.get(name)
    right = net.forward(x, training=False)
    assert np.abs(program.predict(x) - right).max() <= bound * max(1, np.abs(right).max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@every_network
def test_training_is_the_references(name, optimizer, isa, dtype, rng):
    rate = comparable_rate(optimizer)
    compare_with_reference(with_optimizer(NETWORKS[name], OPTIMIZERS[optimizer]), dtype, rng, rate=rate)


@pytest.mark.parametrize("name", ["binary", "logits", "activation at the output"])
def test_training_with_signs_is_the_references(name, isa, dtype, rng):
    compare_with_reference(with_optimizer(NETWORKS[name], LION), dtype, rng, rate=0.005)


def test_weight_decay_leaves_alone_what_it_is_told_to(isa, dtype, rng):
    spec = with_optimizer(DEEP, {**OPTIMIZERS["adam"], "weight_decay": 2.0})
    names = [name for name, _, trainable in _core.Program(spec).variables() if trainable]
    spec["optimizer"]["undecayed"] = [name for name in names if not name.endswith("/kernel")]
    compare_with_reference(spec, dtype, rng)
    without = made(with_optimizer(DEEP, OPTIMIZERS["adam"]), dtype=dtype.name)
    some, every = (
        made(spec, dtype=dtype.name),
        made(with_optimizer(DEEP, {**spec["optimizer"], "undecayed": []}), dtype=dtype.name),
    )
    x, y = data(spec, 32, rng, dtype)
    for program in (without, some, every):
        program.train(x, y, learning_rate=0.05)
    for name in names:
        decayed = not np.array_equal(some.get(name), without.get(name))
        assert decayed == name.endswith("/kernel")
        assert not np.array_equal(every.get(name), without.get(name))


def test_reset_slots_start_again(isa, dtype, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS["adagrad"])
    program = made(spec, dtype=dtype.name)
    new = state(program)
    x, y = data(spec, 32, rng, dtype)
    program.train(x, y, learning_rate=0.0)
    slots = [name for name in new if " of " in name and name.endswith("/kernel")]
    assert all(np.all(new[name] == dtype.type(0.2)) for name in slots)
    assert not any(np.array_equal(state(program)[name], new[name]) for name in slots)
    program.reset_slots()
    same({name: state(program)[name] for name in slots}, {name: new[name] for name in slots})


def test_deep_network_is_the_references(isa, dtype, rng):
    compare_with_reference(with_optimizer(DEEP, OPTIMIZERS["adam"]), dtype, rng, steps=20, strays=2 * STRAYS)


@pytest.mark.parametrize("case", ACTIVATION_CASES, ids=lambda c: "-".join([c.name, *map(str, c.parameters.values())]))
def test_every_activation_in_every_place(case, isa, rng):
    act = activation(case.name, **case.parameters)
    # Alone, after a bias, and after a normalization; in float64, where no input comes too near a kink or a jump. Inputs
    # are small, since an exponential of an exponential magnifies roundings.
    layers = [rescaling(0.25), act, dense(17), act, dense(33, use_bias=False), batch_norm(), act, dense(5)]
    compare_with_reference(network(9, layers, SPARSE, from_logits=True), np.dtype(np.float64), rng)


def test_a_gradient_may_be_replaced(isa, dtype, rng):
    """By name and in C order: what the flat view would be written with, and `update` measures it."""
    spec = with_optimizer(network(9, [dense(17), activation("elu"), dense(5)], SQUARED), OPTIMIZERS["global_clipnorm"])
    x, _ = data(spec, 12, rng, dtype)
    programs = [made(spec, dtype=dtype.name) for _ in range(2)]
    for program in programs:
        program.forward(x)
        program.backward(np.ones((12, 5), dtype))
    value = rng.standard_normal((9, 17)).astype(dtype)
    programs[0].set_gradient("layer_0/kernel", value)
    np.testing.assert_array_equal(programs[0].gradient("layer_0/kernel"), value)
    programs[1].gradients[:] = programs[0].gradients
    squares = [(programs[0].gradient(name) ** 2).sum() for name, _, _ in programs[0].variables()]
    for program in programs:
        assert program.update(0.1) == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)
    np.testing.assert_array_equal(programs[0].parameters, programs[1].parameters)
    with pytest.raises(ValueError, match=r"set_gradient 'layer_0/kernel'.*\(9, 17\).*\(17, 9\)"):
        programs[0].set_gradient("layer_0/kernel", np.ascontiguousarray(value.T))
    with pytest.raises(ValueError, match=r"set_gradient: argument 'name': expected one of .*layer_0/kernl"):
        programs[0].set_gradient("layer_0/kernl", value)


@every_network
def test_pieces_of_a_step(name, isa, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS["global_clipnorm"])
    program = made(spec, dtype=dtype.name)
    net = Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    bound = STRAYS * float(np.finfo(dtype).eps)
    x, _ = data(spec, 12, rng, dtype)
    for training in (False, True):
        right = net.forward(x, training)
        np.testing.assert_allclose(
            program.forward(x, training=training), right, rtol=0, atol=bound * max(1, abs(right).max())
        )
    dy = rng.standard_normal(right.shape).astype(dtype)
    right = net.backward(dy)
    np.testing.assert_allclose(program.backward(dy), right, rtol=0, atol=bound * np.abs(right).max())
    # Some sums cancel to zero (a beta below a batch normalization): their terms are as large as other gradients.
    largest = max(np.abs(gradient).max() for gradient in net.gradients.values())
    for variable, gradient in net.gradients.items():
        np.testing.assert_allclose(
            program.gradient(variable),
            gradient,
            rtol=0,
            atol=bound * max(np.abs(gradient).max(), 1e-2 * largest),
            err_msg=variable,
        )
    assert program.update(0.1) == pytest.approx(net.update(0.1), rel=bound)
    for variable, right in net.variables.items():
        error = np.abs(program.get(variable) - right).max()
        assert error <= bound * np.abs(right).max(), variable


@every_network
def test_evaluate_and_predict(name, isa, rng):
    spec = NETWORKS[name]
    program = made(spec, dtype="float64")
    net = Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 77, rng)
    bound = STRAYS * np.finfo(np.float64).eps
    before = state(program)
    progress = program.evaluate(x, y)
    same(state(program), before)
    right = net.forward(x, training=False)
    assert progress.loss == pytest.approx(net.loss(y)[0].sum(), rel=bound)
    for state_of_metric, expected in zip(progress.metrics, net.metrics(y), strict=True):
        assert state_of_metric == pytest.approx(expected, rel=bound)
    assert progress.rows == 77
    output = program.predict(x)
    np.testing.assert_allclose(output, right, rtol=0, atol=bound * max(1, np.abs(right).max()))
    out = np.empty_like(output)
    assert program.predict(x, out) is out
    np.testing.assert_array_equal(out, output)
    # Inference treats each row by itself.
    np.testing.assert_array_equal(np.concatenate([program.predict(x[i : i + 1]) for i in range(40, 77)]), output[40:])


# Against eager kernels typed by hand ----------------------------------------------------------------------------------


def test_program_is_the_eager_kernels_in_order(isa, dtype, rng):
    spec = with_optimizer(
        network(
            65,
            [
                batch_norm(),
                dense(33),
                activation("gelu"),
                dense(100),
                batch_norm(),
                activation("elu", alpha=1.0),
                dense(10),
            ],
            SPARSE,
            from_logits=True,
        ),
        ADAM,
        global_clipnorm=0.5,
    )
    program = made(spec, dtype=dtype.name)
    v = {name: program.get(name) for name, _, _ in program.variables()}
    trained = [name for name, _, trainable in program.variables() if trainable]
    slots = {name: (np.zeros_like(v[name]), np.zeros_like(v[name])) for name in trained}
    x, y = data(spec, 3 * 32, rng, dtype)
    progress = program.train(x, y, learning_rate=1e-2)

    loss = 0.0
    for step in (1, 2, 3):
        rows = slice(32 * (step - 1), 32 * step)
        x0, t = x[rows], y[rows]
        h0, mean0, var0 = _core.batch_norm_forward(x0, v["layer_0/gamma"], v["layer_0/beta"], epsilon=1e-3)
        z1 = _core.dense_forward(h0, v["layer_1/kernel"], v["layer_1/bias"])
        h1 = _core.activation_forward("gelu", z1)
        z2 = _core.dense_forward(h1, v["layer_3/kernel"], v["layer_3/bias"])
        n2, mean2, var2 = _core.batch_norm_forward(z2, v["layer_4/gamma"], v["layer_4/beta"], epsilon=1e-3)
        h2 = _core.activation_forward("elu", n2, alpha=1.0)
        z3 = _core.dense_forward(h2, v["layer_6/kernel"], v["layer_6/bias"])
        losses, dz3 = _core.loss_forward_backward(SPARSE, z3, t, from_logits=True)
        loss += float(losses.astype(np.float64).sum())

        g = {}
        dh2, g["layer_6/kernel"], g["layer_6/bias"] = _core.dense_backward(dz3, h2, v["layer_6/kernel"])
        dn2 = _core.activation_backward("elu", dh2, n2, h2, alpha=1.0)
        dz2, g["layer_4/gamma"], g["layer_4/beta"] = _core.batch_norm_backward(
            dn2, z2, v["layer_4/gamma"], mean2, var2, epsilon=1e-3
        )
        dh1, g["layer_3/kernel"], g["layer_3/bias"] = _core.dense_backward(dz2, h1, v["layer_3/kernel"])
        dz1 = _core.activation_backward("gelu", dh1, z1, h1)
        dh0, g["layer_1/kernel"], g["layer_1/bias"] = _core.dense_backward(dz1, h0, v["layer_1/kernel"])
        _, g["layer_0/gamma"], g["layer_0/beta"] = _core.batch_norm_backward(
            dh0, x0, v["layer_0/gamma"], mean0, var0, epsilon=1e-3
        )
        norm = _core.clip_by_global_norm([g[name] for name in trained], 0.5)
        for name in trained:
            _core.adam_step(
                v[name], g[name], *slots[name], step=step, learning_rate=1e-2, beta_1=0.9, beta_2=0.999, epsilon=1e-7
            )
    assert norm > 0.5  # it clipped
    assert progress.gradient_norm == norm
    assert progress.loss == pytest.approx(loss, rel=1e-14)
    for name in trained:
        np.testing.assert_array_equal(program.get(name), v[name], err_msg=name)
        for slot, value in zip(("m", "v"), slots[name], strict=True):
            np.testing.assert_array_equal(program.get_slot(slot, name), value, err_msg=f"{slot} of {name}")


# Variables ------------------------------------------------------------------------------------------------------------


@every_network
def test_variables_go_in_and_out(name, isa, dtype, rng):
    spec = with_optimizer(NETWORKS[name], ADAM)
    program = _core.Program(spec, dtype=dtype.name)
    for variable, shape, trainable in program.variables():
        value = rng.standard_normal(shape).astype(dtype)
        for setter, getter in [
            (lambda v, n=variable: program.set(n, v), lambda n=variable: program.get(n)),
            *(
                (lambda v, s=s, n=variable: program.set_slot(s, n, v), lambda s=s, n=variable: program.get_slot(s, n))
                for s in (program.slot_names() if trainable else [])
            ),
        ]:
            setter(value)
            found = getter()
            np.testing.assert_array_equal(found, value, strict=True)
            assert found.flags.c_contiguous
            found[...] = 0  # a copy
            np.testing.assert_array_equal(getter(), value)
            value = value + 1


def test_a_new_program_has_neutral_variables(isa):
    program = _core.Program(with_optimizer(NETWORKS["batch norm before"], ADAM))
    for name, value in state(program).items():
        expected = 1 if name.endswith(("/gamma", "/moving_variance")) and " of " not in name else 0
        np.testing.assert_array_equal(value, expected, err_msg=name)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "lion"])
@every_network
def test_padding_stays_zero(name, optimizer, isa, dtype, rng):
    spec = with_optimizer(NETWORKS[name], OPTIMIZERS.get(optimizer, LION))
    program = made(spec, dtype=dtype.name)  # no variable is zero
    trainable = sum(int(np.prod(shape)) for _, shape, trains in program.variables() if trains)
    padding = program.parameters == 0
    assert program.parameters.shape == program.gradients.shape
    assert np.count_nonzero(~padding) == trainable
    x, y = data(spec, 77, rng, dtype)
    program.train(x, y, learning_rate=0.005)
    np.testing.assert_array_equal(program.parameters[padding], 0)
    np.testing.assert_array_equal(program.gradients[padding], 0)
    assert trainable == 0 or np.any(program.gradients)


def test_flat_views_are_the_program(isa, rng):
    program = made(with_optimizer(DEEP, SGD))
    assert program.parameters.flags.writeable
    before = state(program)
    kept = program.parameters.copy()
    program.parameters[...] = 2 * kept
    after = state(program)
    for name, _, trainable in program.variables():
        np.testing.assert_array_equal(after[name], before[name] * (2 if trainable else 1))
    program.parameters[...] = kept
    x, y = data(DEEP, 32, rng, np.float32)
    program.train(x, y, learning_rate=0.0)
    np.testing.assert_array_equal(program.parameters, kept)
    kept -= np.float32(0.5) * program.gradients
    program.update(0.5)
    # The update is one rounding more or less than this.
    np.testing.assert_allclose(program.parameters, kept, rtol=1e-6, atol=1e-7)


def test_views_outlive_the_program(isa):
    program = made(DEEP)
    view, kept = program.parameters, program.parameters.copy()
    del program
    np.testing.assert_array_equal(view, kept)


# Description ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", [True, False])
@every_network
def test_plan_is_printable(name, fusion, isa):
    program = _core.Program(NETWORKS[name], batch_size=12, fusion=fusion)
    text = str(program)
    for layer in NETWORKS[name]["layers"]:
        assert layer["name"] in text
    assert program.plan()
    assert all(isinstance(operation, dict) for operation in program.plan())
    assert (program.batch_size, program.inputs, program.isa) == (12, NETWORKS[name]["inputs"], isa)


def test_spec_comes_back(isa):
    for spec in NETWORKS.values():
        assert _core.Program(spec).spec == spec


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: s["layers"][1].update(kind="dens"), "dens"),
        (lambda s: s["layers"][2].update(activation="eluu"), "elu"),
        (lambda s: s["layers"][1].update(units=0), "units"),
        (lambda s: s["loss"].update(kind="sparse"), "sparse"),
        (lambda s: s["optimizer"].update(kind="adamm"), "adam"),
        (lambda s: s["optimizer"].update(clipvalue=1.0, clipnorm=1.0), "clip"),
        (lambda s: s["optimizer"].update(momentum=-1.0), "'momentum': expected a number from 0 to 1, received -1.0"),
        (lambda s: s["optimizer"].update(kind="adam", beta_1=1.0), "'beta_1': .*0.999999999999999, received 1.0"),
        (lambda s: s["optimizer"].update(kind="rmsprop", epsilon=0.0), "'epsilon': .*from 1e-30 .*received 0.0"),
        (lambda s: s["optimizer"].update(weight_decay=-0.1), "weight_decay"),
        (lambda s: s["optimizer"].update(undecayed=["layer_9/kernel"]), "layer_9/kernel"),
        (lambda s: s["optimizer"].update(kind="adam", amsgrad="yes"), "amsgrad"),
    ],
    ids=[
        "layer kind",
        "activation",
        "units",
        "loss",
        "optimizer",
        "two clips",
        "momentum",
        "beta",
        "epsilon",
        "weight decay",
        "undecayed",
        "amsgrad",
    ],
)
def test_wrong_specs_are_refused(change: Callable[[Any], Any], word):
    spec = copy.deepcopy(NETWORKS["batch norm first and after"])
    change(spec)
    with pytest.raises((ValueError, TypeError, KeyError), match=word):
        _core.Program(spec)


@pytest.mark.parametrize("spec", [None, [], "dense", np.zeros(3)])
def test_what_is_no_spec_is_named(spec):
    with pytest.raises(TypeError, match=rf"Program: argument 'spec': .*dict.*spec\(\).*a {type(spec).__name__}"):
        _core.Program(spec)


@pytest.mark.parametrize(
    ("units", "received"), [(2**30, r"more than 2\^50 numbers"), (2**24, r"\d+(\.\d+)?(e\+\d+)? GB")]
)
def test_networks_beyond_the_machines_memory(units, received):
    with pytest.raises(MemoryError, match=rf"Program: expected .* memory of [\d.e+]+ GB, received one of {received}"):
        _core.Program(network(4, [dense(units), dense(units)], SQUARED))
