"""find_learning_rate: what it finds, and that it leaves no trace."""

import numpy as np
import pytest
from example import bits, blobs, network, state

import evenflow
from evenflow import find_learning_rate
from evenflow.layers import Dense
from evenflow.models import Sequential
from evenflow.optimizers import SGD, Adam
from evenflow.schedules import ExponentialDecay, OneCycle


def test_rates_and_losses_are_those_of_a_rising_schedule():
    x, y = blobs(640)
    model, by_hand = network(SGD(0.1)), network(SGD(lambda step: 1e-3 * 1e3 ** (step / 39)))
    search = find_learning_rate(model, x, y, 16, min_rate=1e-3, max_rate=1.0, seed=5)
    order = np.random.Generator(np.random.PCG64(5)).permutation(640)
    losses = [by_hand.train_on_batch(x[rows], y[rows], return_dict=True)["loss"] for rows in order.reshape(40, 16)]
    np.testing.assert_allclose(search.rates, np.geomspace(1e-3, 1.0, 40), rtol=1e-12)
    assert list(search.losses) == losses
    weights = 0.9 ** np.arange(39, -1, -1)
    assert search.smoothed[-1] == pytest.approx((weights * losses).sum() / weights.sum())
    assert search.smoothed[0] == losses[0]
    assert not search.diverged
    assert search.suggestion == pytest.approx(search.rates[search.smoothed.argmin()] / 10)


def test_it_stops_where_the_loss_climbs():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 4)).astype(np.float32)
    y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]], np.float32) + rng.standard_normal((2000, 1)).astype(np.float32)
    model = Sequential([evenflow.Input((4,)), Dense(1)])
    model.compile(SGD(), "mse")
    search = find_learning_rate(model, x, y, 20, max_rate=100.0)
    assert search.diverged
    assert len(search.rates) == len(search.losses) == len(search.smoothed) < 100
    assert np.isfinite(search.losses).all()
    # The rows have unit variance, so steps of more than 1 (2 over the curvature of the mean square) diverge.
    assert 0.02 < search.rates[search.smoothed.argmin()] < 1
    assert search.rates[-1] > 1


@pytest.mark.parametrize(
    "optimizer",
    [SGD(0.1), Adam(ExponentialDecay(0.1, 10, 0.9)), Adam(OneCycle(0.1, 100)), Adam(lambda step: 0.01)],
    ids=["number", "schedule", "one cycle", "function"],
)
def test_it_leaves_no_trace(optimizer):
    x, y = blobs()
    model, undisturbed = network(optimizer), network(type(optimizer)(optimizer.pace.source))
    for m in (model, undisturbed):
        m.fit(x, y, epochs=2, verbose=0)
    own = model.optimizer
    search = find_learning_rate(model, x, y, batch_size=10)
    assert len(search.rates) > 2
    assert model.optimizer is own
    assert model.history is not None
    assert state(model) == state(undisturbed)
    for m in (model, undisturbed):
        m.fit(x, y, epochs=2, verbose=0)
    assert state(model) == state(undisturbed)
    assert model.history.history == undisturbed.history.history


def test_a_long_trained_optimizer():
    x, y = blobs()
    model = network(Adam(0.01))
    model.fit(x, y, verbose=0)
    _, slots = model.optimizer.state()
    model.optimizer.restore(10**7, slots)
    search = find_learning_rate(model, x, y, batch_size=10, max_rate=0.1)
    np.testing.assert_allclose(search.rates, np.geomspace(1e-5, 0.1, 20)[: len(search.rates)], rtol=1e-9)
    assert model.optimizer.iterations == 10**7


def test_after_an_interrupt(monkeypatch):
    x, y = blobs()
    model, undisturbed = network(), network()
    own, plain = model.optimizer, Sequential.train_on_batch

    def interrupted(self, *arguments, **options):
        if self.optimizer.iterations == 7:
            raise KeyboardInterrupt
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Sequential, "train_on_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_learning_rate(model, x, y, batch_size=10)
    assert model.optimizer is own
    assert state(model) == state(undisturbed)


def test_a_model_without_weights_gets_them():
    x, y = blobs()
    models = []
    for _ in range(2):
        evenflow.set_seed(3)
        model = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        models.append(model)
    find_learning_rate(models[0], x, y)
    models[1].build((None, 6))
    assert bits(models[0]) == bits(models[1])


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    search = find_learning_rate(network(), *blobs(), batch_size=10)
    figure = search.plot(tmp_path / "search.png")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "learning rate"
    assert np.array_equal(axes.lines[1].get_ydata(), search.smoothed)
    assert (tmp_path / "search.png").stat().st_size > 5000


X, Y = blobs(40)
WITH_NAN = X.copy()
WITH_NAN[30, 2] = np.nan


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: find_learning_rate("m", X, Y), ["model", "'m'"]),
        (lambda m: find_learning_rate(Sequential([Dense(3)]), X, Y, 8), ["compile the model"]),
        (lambda m: find_learning_rate(m, X, Y, min_rate=0), ["min_rate", "above 0.0"]),
        (lambda m: find_learning_rate(m, X, Y, min_rate=1.0, max_rate=0.1), ["max_rate", "above 1.0", "0.1"]),
        (lambda m: find_learning_rate(m, X, Y, epochs=0), ["epochs", "at least 1"]),
        (lambda m: find_learning_rate(m, X, Y, 0), ["batch_size", "at least 1"]),
        (lambda m: find_learning_rate(m, X, Y, 40), ["at least 2 steps, received 1", "40 rows", "batch_size=40"]),
        (lambda m: find_learning_rate(m, X[:0], Y[:0]), ["received 0", "0 rows"]),
        (lambda m: find_learning_rate(m, X, Y[:-1]), ["x", "y", "40", "39"]),
        (lambda m: find_learning_rate(m, X[:, :5], Y, 8), ["find_learning_rate: x", "(40, 5)", "(rows, 6)"]),
        (lambda m: find_learning_rate(m, X, Y + 1, 8), ["label", "3"]),
        (lambda m: find_learning_rate(m, WITH_NAN, Y, 8), ["find_learning_rate: x", "row 30"]),
    ],
)
def test_wrong_arguments(call, words):
    model = network()
    before = state(model)
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        call(model)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert state(model) == before


def test_no_finite_loss():
    model = network()
    before = state(model)
    with pytest.raises(ValueError, match="find_learning_rate: expected a finite loss of the first step"):
        find_learning_rate(model, np.full_like(X, np.nan), Y, 8, allow_nonfinite=True)
    assert state(model) == before
