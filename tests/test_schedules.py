"""Rates that change from step to step: what training uses, how they are kept, what is refused.

tests/test_parity_schedules.py has their values beside Keras and PyTorch.
"""

import importlib

import numpy as np
import pytest
from example import blobs, network, state
from programs import of_model

import evenflow
from evenflow import schedules
from evenflow.callbacks import Callback, LambdaCallback
from evenflow.models import load_model
from evenflow.optimizers import SGD, Adam
from evenflow.schedules import (
    CosineCycles,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LearningRateSchedule,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    PowerDecay,
)
from evenflow.training import executor

EVERY = [
    ExponentialDecay(0.1, 10, 0.5, staircase=True),
    PiecewiseConstantDecay([5, 15], [0.1, 0.05, 0.01]),
    InverseTimeDecay(0.1, 10, 0.5),
    PolynomialDecay(0.1, 10, cycle=True),
    CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=5),
    CosineDecayRestarts(0.1, 5),
    PowerDecay(0.1, 10, 0.5),
    CosineCycles(0.1, 30),
    OneCycle(0.1, 28, cycle_momentum=False),
]
every_schedule = pytest.mark.parametrize("schedule", EVERY, ids=lambda schedule: type(schedule).__name__)


class Halving(LearningRateSchedule):
    """As users write them: for one step at a time."""

    def __init__(self, first):
        self.first = first

    def __call__(self, step):
        return self.first if step < 4 else self.first / 2

    def get_config(self):
        return {"first": self.first}


# -------------------------------------------------------------------------------------------------------------- values


@every_schedule
def test_a_step_or_an_array_of_steps(schedule):
    steps = np.arange(40)
    rates = schedule(steps.reshape(4, 10))
    assert rates.shape == (4, 10)
    assert rates.dtype == np.float64
    assert [schedule(step) for step in range(40)] == list(rates.ravel())
    assert type(schedule(3)) is float
    again = type(schedule).from_config(schedule.get_config())
    assert repr(again) == repr(schedule)
    assert np.array_equal(again(steps), schedule(steps))
    assert np.array_equal(schedules.deserialize(schedules.serialize(schedule))(steps), schedule(steps))


def test_power_scheduling():
    schedule = PowerDecay(0.6, 10)
    assert [schedule(step) for step in (0, 10, 20, 50)] == pytest.approx([0.6, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(schedule(np.arange(99)), InverseTimeDecay(0.6, 10, 1.0)(np.arange(99)), rtol=1e-15)
    assert PowerDecay(0.6, 10, 0.5)(30) == pytest.approx(0.3)
    assert PowerDecay(0.6, 10, 0)(30) == 0.6


def test_cosine_cycles():
    """0 where log2(1 + 15 t / d) is a whole number, and in the middle between two of them the highest rate."""
    schedule = CosineCycles(0.2, 150)
    np.testing.assert_allclose(schedule(np.array([0, 10, 30, 70, 150, 151, 9999])), 0, atol=1e-14)
    turns = (2 ** np.array([0.5, 1.5, 2.5, 3.5]) - 1) * 10
    np.testing.assert_allclose(schedule(turns), 0.2, rtol=1e-14)
    assert CosineCycles(0.2, 10, cycles=1)(10 * (2**0.5 - 1)) == pytest.approx(0.2, rel=1e-14)
    with pytest.raises(ValueError, match="CosineCycles: cycles: expected an integer of at least 1, received 0"):
        CosineCycles(0.2, 10, cycles=0)


def test_one_cycle():
    schedule = OneCycle(1.0, total_steps=100)
    steps = np.array([0.0, 44, 88, 99, 100, 5000])
    np.testing.assert_allclose(schedule(steps), [0.1, 1.0, 0.1, 1e-4, 1e-4, 1e-4], rtol=1e-12)
    np.testing.assert_allclose(schedule.momenta(steps), [0.95, 0.85, 0.95, 0.95, 0.95, 0.95], rtol=1e-12)
    assert np.allclose(np.diff(schedule(np.arange(45)), 2), 0)  # a line
    assert OneCycle(1.0, 100, cycle_momentum=False).momenta(steps) is None


# ------------------------------------------------------------------------------------------------------ what is applied


@every_schedule
@pytest.mark.parametrize("rule", [lambda rate: SGD(rate, momentum=0.9, nesterov=True), Adam], ids=["sgd", "adam"])
def test_every_step_has_its_rate(schedule, rule):
    x, y = blobs(100)
    model, by_hand = network(rule(schedule)), network(rule(1.0))
    program = of_model(by_hand, batch_size=15)
    model.fit(x, y, epochs=3, batch_size=15, shuffle=False, verbose=0)
    for step in range(21):
        arguments = {"batch_size": 15, "first_step": step % 7, "max_steps": 1}
        program.train(x, y, learning_rate=schedule(step), **arguments)
    for variable in model.variables:
        assert np.array_equal(program.get(variable.path), variable.numpy()), variable.path
    assert model.optimizer.learning_rate == schedule(21)
    assert model.optimizer.iterations == 21


def per_batch():
    return LambdaCallback(on_train_batch_end=lambda batch, logs: None)


SOURCES = [ExponentialDecay(0.1, 5, 0.5), OneCycle(0.1, 28), Halving(0.1), lambda step: 0.1 / (step + 1)]


@pytest.mark.parametrize("source", SOURCES, ids=["formula", "momentum", "class", "function"])
def test_the_same_whatever_the_slices(source, monkeypatch):
    x, y = blobs(100)

    def trained(callbacks=(), parts=(4,)):
        model = network(SGD(source, momentum=0.9))
        for done, epochs in zip((0, *parts), parts, strict=False):
            model.fit(x, y, batch_size=15, epochs=epochs, initial_epoch=done, callbacks=list(callbacks), verbose=0)
        return state(model)

    plain = trained()
    assert trained(callbacks=[per_batch()]) == plain
    assert trained(parts=(1, 3, 4)) == plain
    monkeypatch.setattr(executor, "SLICE_SECONDS", 0.0)
    assert trained() == plain
    monkeypatch.setattr(executor, "SLICE_SECONDS", 1e-4)
    assert trained() == plain


def test_a_schedule_is_asked_once_for_an_epoch(monkeypatch):
    monkeypatch.setattr(executor, "SLICE_SECONDS", 0.0)
    asked = []
    model = network(SGD(lambda step: asked.append(step) or 0.1))
    model.fit(*blobs(100), batch_size=10, epochs=2, verbose=0)
    assert asked == list(range(20))
    model.train_on_batch(*blobs(10))
    assert asked == list(range(21))
    assert all(type(step) is int for step in asked)


def test_a_function_without_arguments_is_asked_before_each_step():
    rates = iter(np.linspace(0.1, 0.2, 14))
    x, y = blobs(100)
    model, other = network(SGD(lambda: next(rates))), network(SGD(lambda step: np.linspace(0.1, 0.2, 14)[step]))
    for m in (model, other):
        m.fit(x, y, batch_size=15, epochs=2, verbose=0)
    assert state(model) == state(other)
    assert next(rates, None) is None


def test_a_callback_may_change_the_schedule():
    class Change(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                self.model.optimizer.learning_rate = PowerDecay(0.05, 3)

    def both(step):
        return ExponentialDecay(0.1, 5, 0.5)(step) if step < 3 else PowerDecay(0.05, 3)(step)

    x, y = blobs(100)
    model, other = network(SGD(ExponentialDecay(0.1, 5, 0.5))), network(SGD(both))
    model.fit(x, y, batch_size=15, callbacks=Change(), verbose=0)
    other.fit(x, y, batch_size=15, verbose=0)
    assert state(model) == state(other)


# --------------------------------------------------------------------------------------------------------------- Keras


def test_where_keras_has_them():
    there = importlib.import_module("evenflow.optimizers.schedules")
    assert there.__all__ == schedules.__all__
    assert all(getattr(there, name) is getattr(schedules, name) for name in there.__all__)
    assert evenflow.optimizers.schedules is there
    assert evenflow.optimizers.schedules.ExponentialDecay is ExponentialDecay


def test_reading_and_setting_the_rate():
    optimizer = SGD(ExponentialDecay(0.1, 10, 0.5))
    assert optimizer.learning_rate == 0.1
    optimizer.restore(20, {})
    assert optimizer.learning_rate == pytest.approx(0.025)
    with pytest.raises(TypeError, match=r"SGD: learning_rate: expected a schedule.*ExponentialDecay.*received 0\.5"):
        optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == pytest.approx(0.025)
    optimizer.learning_rate = PowerDecay(0.1, 20)
    assert optimizer.learning_rate == pytest.approx(0.05)
    constant = SGD(0.1)
    constant.learning_rate = 0.2
    assert constant.learning_rate == 0.2
    constant.learning_rate = PowerDecay(0.1, 20)
    assert constant.learning_rate == 0.1


# -------------------------------------------------------------------------------------------------------------- saving


@every_schedule
def test_saved_and_loaded(schedule, tmp_path):
    x, y = blobs()
    model = network(Adam(schedule))
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.optimizer.get_config() == model.optimizer.get_config()
    assert again.optimizer.learning_rate == schedule(14)
    for m in (model, again):
        m.fit(x, y, epochs=2, verbose=0)
    assert state(again) == state(model)


def test_schedules_of_users_are_saved_if_registered(tmp_path, monkeypatch):
    monkeypatch.setattr(schedules.REGISTRY, "classes", dict(schedules.REGISTRY.classes))
    model = network(SGD(Halving(0.1)))
    with pytest.raises(TypeError, match=r"Halving.*schedules\.register"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    assert schedules.register(Halving) is Halving
    model.save(tmp_path / "m")
    assert load_model(tmp_path / "m").optimizer.pace.source.first == 0.1
    del schedules.REGISTRY.classes["Halving"]
    with pytest.raises(ValueError, match=r"cannot use .*Halving"):
        load_model(tmp_path / "m")
    impostor = type("OneCycle", (LearningRateSchedule,), {})
    with pytest.raises(ValueError, match="leave free, received 'OneCycle'"):
        schedules.register(impostor)
    with pytest.raises(TypeError, match="a subclass of LearningRateSchedule"):
        schedules.register(int)


def test_functions_cannot_be_saved(tmp_path):
    model = network(SGD(lambda step: 0.1))
    with pytest.raises(TypeError, match=r"SGD: learning_rate is the function .*cannot be described or saved"):
        model.save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- refused


class Bad(LearningRateSchedule):
    """Becomes unusable at step 16."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return self.value if step == 16 else 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e-300, -0.1])
@pytest.mark.parametrize("wrapped", [False, True], ids=["class", "function"])
def test_a_rate_that_cannot_be_used_is_refused_before_its_epoch(value, wrapped):
    x, y = blobs(100)
    bad = Bad(value)
    model, good = network(SGD(bad.__call__ if wrapped else bad)), network(SGD(0.1))
    name = "learning_rate function __call__" if wrapped else "Bad"
    with pytest.raises(ValueError, match=rf"SGD: {name}: learning rate of step 16: expected a finite.*{value}"):
        model.fit(x, y, batch_size=15, epochs=5, verbose=0)
    good.fit(x, y, batch_size=15, epochs=2, verbose=0)
    assert state(model) == state(good)  # the epochs before are whole, the one that has the step was not begun
    model.train_on_batch(x, y)
    good.train_on_batch(x, y)
    model.train_on_batch(x, y)
    good.train_on_batch(x, y)
    with pytest.raises(ValueError, match="step 16"):
        model.train_on_batch(x, y)
    assert state(model) == state(good)


def test_steps_before_it_run_where_a_callback_looks_at_each():
    model = network(SGD(Bad(np.nan)))
    with pytest.raises(ValueError, match="step 16"):
        model.fit(*blobs(100), batch_size=5, callbacks=per_batch(), verbose=0)
    assert model.optimizer.iterations == 16


def test_a_momentum_that_cannot_be_used_is_refused():
    class High(OneCycle):
        def momenta(self, steps):
            return super().momenta(steps) + 0.1 * (steps == 3)

    model = network(Adam(High(0.1, 100)))
    before = state(model)
    with pytest.raises(ValueError, match=r"Adam: High: momentum of step 3: expected .* below 1, received 1\.0"):
        model.fit(*blobs(100), batch_size=10, verbose=0)
    assert state(model) == before


class Silent(LearningRateSchedule):
    """Forgets its method."""


class Shapeless(LearningRateSchedule):
    """Returns one rate for many steps."""

    def rates(self, steps):
        return np.array([0.1])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Silent(), ["Silent", "__call__(self, step)"]),
        (Shapeless(), ["Shapeless", "(1,)", "(2,)"]),
        (lambda step: None, ["function <lambda>", "a number for each step", "None"]),
        (lambda step: "0.1", ["a number for each step", "0.1"]),
        (lambda step: True, ["a number for each step", "True"]),
        (Bad(None), ["Bad", "a number for each step"]),
    ],
)
def test_schedules_that_return_no_rates(source, words):
    model = network(SGD(source))
    model.optimizer.restore(15, {})
    before = state(model)
    with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
        model.fit(*blobs(20), batch_size=10, verbose=0)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert state(model) == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SGD(ExponentialDecay), ["SGD", "learning_rate", "with parentheses"]),
        (lambda: SGD([0.1, 0.2]), ["SGD", "a number, a schedule", "[0.1, 0.2]"]),
        (lambda: SGD(True), ["SGD", "learning_rate", "True"]),
        (lambda: SGD(None), ["SGD", "learning_rate", "None"]),
        (lambda: SGD(lambda a, b: 0.1), ["SGD", "function of the step", "2 arguments"]),
        (lambda: SGD(lambda *, step: 0.1), ["SGD", "function of the step"]),
        (lambda: SGD({"class_name": "ExponentialDeca", "config": {}}), ["'ExponentialDeca'", "'ExponentialDecay'"]),
        (lambda: SGD(OneCycle(0.1, 10)), ["SGD", "OneCycle", "momentum=0", "cycle_momentum=False"]),
        (lambda: Adam(OneCycle(0.1, 10), beta_1=0.0), ["Adam", "beta_1=0", "give beta_1=0.95"]),
        (lambda: ExponentialDecay(-0.1, 10, 0.5), ["ExponentialDecay", "initial_learning_rate", "-0.1"]),
        (lambda: ExponentialDecay(0.1, 0, 0.5), ["ExponentialDecay", "decay_steps", "above 0.0", "received 0"]),
        (lambda: ExponentialDecay(0.1, 10, 0.5, staircase=1), ["staircase", "True or False"]),
        (lambda: ExponentialDecay(0.1, 10, 0.5, name=3), ["name", "a string", "3"]),
        (lambda: InverseTimeDecay(0.1, 10, -0.5), ["InverseTimeDecay", "decay_rate", "-0.5"]),
        (lambda: PowerDecay(0.1, -1), ["PowerDecay", "decay_steps", "-1"]),
        (lambda: PowerDecay(0.1, 1, -1), ["PowerDecay", "power", "-1"]),
        (lambda: PiecewiseConstantDecay([5, 10], [0.1, 0.2]), ["PiecewiseConstantDecay", "2 boundaries", "2 values"]),
        (lambda: PiecewiseConstantDecay([10, 5], [1, 2, 3]), ["boundaries", "numbers that rise"]),
        (lambda: PiecewiseConstantDecay([5], [0.1, -0.2]), ["values", "-0.2"]),
        (lambda: PiecewiseConstantDecay(5, [0.1]), ["boundaries", "a list of numbers", "5"]),
        (lambda: PolynomialDecay(0.1, 10, cycle="yes"), ["PolynomialDecay", "cycle", "'yes'"]),
        (lambda: CosineDecay(0.1, 10, warmup_target=-1), ["CosineDecay", "warmup_target", "-1"]),
        (lambda: CosineDecay(0.1, 10, alpha=float("nan")), ["CosineDecay", "alpha", "nan"]),
        (lambda: CosineDecayRestarts(0.1, 10, t_mul=0.5), ["CosineDecayRestarts", "t_mul", "at least 1.0"]),
        (lambda: OneCycle(0.1, 10.5), ["OneCycle", "total_steps", "an integer", "10.5"]),
        (lambda: OneCycle(0.1, 10, pct_start=0.6), ["OneCycle", "pct_start", "at most 0.5"]),
        (lambda: OneCycle(0.1, 10, anneal_strategy="cosine"), ["anneal_strategy", "'cos'"]),
        (lambda: OneCycle(0.1, 10, max_momentum=1.0), ["max_momentum", "below 1.0"]),
        (lambda: schedules.deserialize(5), ["deserialize", "config", "5"]),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
