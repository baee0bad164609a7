"""A momentum, or the beta_1 of Adam's family, that changes from step to step."""

import numpy as np
import pytest
from example import bits, blobs, network
from networks import DEEP, data, with_optimizer
from optimizer_specs import LION, OPTIMIZERS, comparable_rate
from programs import made, of_model, same, state as contents

from evenflow.optimizers import REGISTRY, SGD, Adam, Adamax, AdamW, Nadam, RMSprop
from evenflow.reference import Network
from evenflow.schedules import OneCycle

MOMENTUM_RULES = {
    "momentum": SGD(OneCycle(0.1, 21), momentum=0.95),
    "nesterov": SGD(OneCycle(0.1, 21), 0.9, True),
    "adam": Adam(OneCycle(0.01, 21)),
    "amsgrad": Adam(OneCycle(0.01, 21), amsgrad=True),
    "adamw": AdamW(OneCycle(0.01, 21)),
    "nadam": Nadam(OneCycle(0.01, 21)),
    "adamax": Adamax(OneCycle(0.01, 21)),
    "rmsprop": RMSprop(OneCycle(0.01, 21), momentum=0.9),
}
NATIVE = ["momentum", "nesterov", "adam", "global_clipnorm", "amsgrad", "nadam", "adamax"]
NATIVE += ["rmsprop momentum", "rmsprop with both"]


@pytest.mark.parametrize("optimizer", MOMENTUM_RULES.values(), ids=MOMENTUM_RULES)
def test_every_step_has_its_momentum(optimizer):
    x, y = blobs(100)
    schedule = optimizer.pace.source
    model = network(type(optimizer)(**optimizer.get_config()))
    program = of_model(model, batch_size=15)
    model.fit(x, y, epochs=3, batch_size=15, shuffle=False, verbose=0)
    rates, momenta = schedule.rates(np.arange(21.0)), schedule.momenta(np.arange(21.0))
    for epoch in range(3):
        these = slice(7 * epoch, 7 * epoch + 7)
        program.train(x, y, learning_rate=rates[these], momentum=momenta[these], batch_size=15)
    for variable in model.variables:
        assert np.array_equal(program.get(variable.path), variable.numpy()), variable.path
    constant = network(type(optimizer)(**{**optimizer.get_config(), "learning_rate": schedule_alone(schedule)}))
    constant.fit(x, y, epochs=3, batch_size=15, shuffle=False, verbose=0)
    assert bits(constant) != bits(model)


def schedule_alone(schedule):
    return OneCycle(**{**schedule.get_config(), "cycle_momentum": False})


@pytest.mark.parametrize("name", sorted({*REGISTRY.classes} - {"SGD", "Adam", "AdamW", "Nadam", "Adamax", "RMSprop"}))
def test_rules_without_momentum_refuse_a_schedule_that_moves_it(name):
    schedule = OneCycle(0.1, 21)
    with pytest.raises(ValueError, match=f"{name}: learning_rate: OneCycle moves the momentum, .*has none"):
        REGISTRY.classes[name](schedule)
    optimizer = REGISTRY.classes[name](schedule_alone(schedule))
    assert optimizer.learning_rate == schedule.rates(np.zeros(1))[0]


@pytest.mark.parametrize("name", NATIVE)
def test_native_momentum_is_the_references(name, isa, rng):
    spec = with_optimizer(DEEP, OPTIMIZERS[name])
    program, net = made(spec, dtype="float64", batch_size=13), Network(spec)
    for variable, value in net.variables.items():
        value[...] = program.get(variable)
    x, y = data(spec, 50, rng)
    momenta = np.array([0.95, 0.9, 0.0, 0.85])
    rate = comparable_rate(name)
    program.train(x, y, learning_rate=rate, momentum=momenta)
    rule = dict(spec["optimizer"])
    net.spec = {**spec, "optimizer": rule}
    for step, momentum in enumerate(momenta):
        rule["momentum" if rule["kind"] in ("sgd", "rmsprop") else "beta_1"] = momentum
        batch = slice(13 * step, 13 * (step + 1))
        net.train_step(x[batch], y[batch], rate)
    for variable, right in net.variables.items():
        error = np.abs(program.get(variable) - right).max()
        assert error <= 100 * np.finfo(float).eps * np.abs(right).max(), variable  # see test_program.STRAYS


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "nadam", "adamax", "rmsprop momentum"])
def test_native_momentum_by_number_array_and_spec(optimizer, isa):
    spec = with_optimizer(DEEP, OPTIMIZERS[optimizer])
    x, y = data(spec, 50, np.random.default_rng(0))
    own, number, array, slices, threads = (made(spec, batch_size=13) for _ in range(5))
    threads.threads = 2
    own.train(x, y, learning_rate=0.05)
    number.train(x, y, learning_rate=0.05, momentum=0.9)
    same(contents(own), contents(number))
    momenta = np.linspace(0.5, 0.99, 4)
    array.train(x, y, learning_rate=0.05, momentum=momenta)
    threads.train(x, y, learning_rate=0.05, momentum=momenta)
    for step in range(4):
        slices.train(x, y, learning_rate=0.05, momentum=momenta, first_step=step, max_steps=1)
    same(contents(array), contents(slices))
    same(contents(array), contents(threads))
    assert contents(own)["layer_0/gamma"].tobytes() != contents(array)["layer_0/gamma"].tobytes()


@pytest.mark.parametrize(
    ("optimizer", "momentum", "words"),
    [
        ("sgd", 0.9, ["an optimizer has momentum", "'sgd', has none"]),
        ("lion", 0.9, ["an optimizer has momentum", "'lion', has none"]),
        ("adadelta", 0.9, ["an optimizer has momentum", "'adadelta', has none"]),
        ("rmsprop", 0.9, ["an optimizer has momentum", "'rmsprop', has none"]),
        ("rmsprop momentum", 1.01, ["0 to 1", "1.01"]),
        ("nadam", 1.0, ["0 to 0.999", "received 1"]),
        ("momentum", 1.01, ["0 to 1", "1.01"]),
        ("momentum", -0.1, ["0 to 1", "-0.1"]),
        ("momentum", np.array([0.9, 0.9, np.nan, 0.9]), ["finite numbers", "nan"]),
        ("momentum", np.full(3, 0.9), ["(4,)", "(3,)"]),
        ("momentum", np.full(4, 0.9, np.float32), ["float64"]),
        ("momentum", "high", ["a number or a float64 array", "'high'"]),
        ("adam", np.array([0.9, 0.9, 0.9, 1.0]), ["0 to 0.999", "received 1"]),
    ],
)
def test_native_momentum_that_does_not_fit(optimizer, momentum, words):
    spec = with_optimizer(DEEP, {**OPTIMIZERS, "lion": LION}[optimizer])
    program = made(spec, batch_size=13)
    before = contents(program)
    with pytest.raises((TypeError, ValueError)) as caught:
        program.train(*data(spec, 50, np.random.default_rng(0)), learning_rate=0.1, momentum=momentum)
    for word in ["train", "momentum", *words]:
        assert word.removeprefix("an ") in str(caught.value), str(caught.value)
    same(contents(program), before)
    assert program.iterations == 0
