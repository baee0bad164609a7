"""The GAN of evenflow.pretraining: its steps, what comes of them, and what it refuses."""

import numpy as np
import pytest
from pretraining_case import bits, generator, hidden, rows

import evenflow
from evenflow import pretraining
from evenflow.callbacks import GradientNorms, Health
from evenflow.layers import ELU, Dense, Input, LeakyReLU
from evenflow.models import Sequential
from evenflow.optimizers import SGD, Adam
from evenflow.pretraining.games import log_sum


def ring(count=256, seed=0):
    """Points near a circle."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, count)
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.02 * rng.standard_normal((count, 2))).astype(
        np.float32
    )


def test_a_generator_learns_a_ring():
    x = ring()
    evenflow.set_seed(0)
    judge = [Dense(64, LeakyReLU(0.2)), Dense(64, LeakyReLU(0.2))]
    imitator = Sequential([Input((8,)), Dense(64, ELU()), Dense(64, ELU()), Dense(2)])
    before = bits(imitator)
    found = pretraining.gan(judge, imitator, x, optimizer=Adam(1e-3, beta_1=0.5), epochs=250, verbose=0, seed=1)
    assert bits(imitator) == before
    assert set(found.history.history) == {"discriminator_loss", "generator_loss"}
    made = found.generator.predict(np.random.default_rng(1).standard_normal((400, 8)), verbose=0)
    radii = np.linalg.norm(made, axis=1)
    assert np.median(np.abs(radii - 1)) < 0.25
    start = imitator.predict(np.random.default_rng(1).standard_normal((400, 8)), verbose=0)
    assert np.median(np.abs(radii - 1)) < 0.6 * np.median(np.abs(np.linalg.norm(start, axis=1) - 1))


def test_steps_of_a_gan_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    x, batch, rate = rows(24).astype(np.float64), 8, 0.05
    y = np.array([0, 1, 2, -1] * 6)
    judge = Sequential([Input((8,)), Dense(5, "tanh")], dtype="float64")
    imitator = Sequential([Input((4,)), Dense(6, "tanh"), Dense(8)], dtype="float64")
    for labels in (None, y):
        evenflow.set_seed(3)
        start = [w for part in (judge, imitator) for w in part.get_weights()]
        found = pretraining.gan(
            judge, imitator, x, labels, optimizer=SGD(rate), batch_size=batch, epochs=2, verbose=0, seed=11
        )
        evenflow.set_seed(3)
        still = pretraining.gan(
            judge, imitator, x, labels, optimizer=SGD(0.0), batch_size=batch, epochs=1, verbose=0, seed=11
        )
        top = still.model.layers[-1].get_weights()  # as it began
        start[2:2] = top
        w1, b1, w2, b2, v1, c1, v2, c2 = parts = [torch.tensor(w, requires_grad=True) for w in start]

        def score(rows, w1=w1, b1=b1, w2=w2, b2=b2):
            logits = torch.tanh(rows @ w1 + b1) @ w2 + b2
            return torch.logsumexp(logits, 1), logits

        def imitate(rng, rows, v1=v1, c1=c1, v2=v2, c2=c2):
            return torch.tanh(torch.tensor(rng.standard_normal((rows, 4))) @ v1 + c1) @ v2 + c2

        def step(loss, parts, all_parts=parts):
            for p in all_parts:
                p.grad = None
            loss.backward()
            with torch.no_grad():
                for p in parts:
                    p -= rate * p.grad

        rng = np.random.Generator(np.random.PCG64(11))
        known = np.flatnonzero(y >= 0) if labels is not None else np.zeros(0, int)
        soft = torch.nn.functional.softplus
        for _ in range(2):
            order = rng.permutation(24)
            for first in range(0, 24, batch):
                fake = imitate(rng, batch)
                asked = rng.choice(known, min(batch, len(known)), replace=False)
                loss = soft(-score(torch.tensor(x[order[first : first + batch]]))[0]).mean()
                loss = loss + soft(score(fake.detach())[0]).mean()
                if labels is not None:
                    loss = loss + torch.nn.functional.cross_entropy(
                        score(torch.tensor(x[asked]))[1], torch.tensor(y[asked])
                    )
                step(loss, parts[:4])
                step(soft(-score(imitate(rng, batch))[0]).mean(), parts[4:])
        ours = [*found.model.get_weights(), *found.generator.get_weights()]
        for own, other in zip(ours, parts, strict=True):
            assert np.allclose(own, other.detach().numpy(), rtol=0, atol=1e-12)


def test_labels_make_the_discriminator_a_classifier():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (np.eye(3)[y] * 3 + rng.standard_normal((300, 3))).astype(np.float32)
    known = np.where(np.arange(300) < 15, y, -1)
    evenflow.set_seed(0)
    found = pretraining.gan([Dense(32, "relu")], generator(3), x, known, optimizer=Adam(2e-3), epochs=30, verbose=0)
    assert set(found.history.history) == {"discriminator_loss", "generator_loss", "label_loss"}
    assert (found.model.predict(x, verbose=0).argmax(axis=1) == y).mean() > 0.85
    assert found.model.evaluate(x, y, verbose=0) < 1


def test_a_gan_s_own_seed_and_its_averages():
    x = rows().astype(np.float32)
    judge, imitator = Sequential([Input((8,)), Dense(6, "elu")]), generator()

    def run(**options):
        evenflow.set_seed(0)
        return bits(pretraining.gan(judge, imitator, x, epochs=2, verbose=0, **options).model)

    assert run(seed=1) == run(seed=1) != run(seed=2)
    assert run(seed=1, optimizer=Adam(1e-3, use_ema=True)) != run(seed=1, optimizer=Adam(1e-3))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"generator": 3}, TypeError, "generator: expected a Sequential from codings to features"),
        ({"generator": Sequential([Dense(3)])}, ValueError, r"generator: expected Input\(shape=...\) first"),
        ({"generator": generator(7)}, ValueError, r"generator's output has shape \(rows, 7\), expected \(rows, 8\)"),
        ({"generator": generator(dtype="float64")}, ValueError, "generator's dtype: expected .*float32"),
        ({"y": np.arange(59)}, ValueError, "x and y must have the same number of rows"),
        ({"y": np.zeros((60, 2), int)}, TypeError, "y: expected whole numbers"),
        ({"y": np.full(60, 0.5)}, TypeError, "y: expected whole numbers"),
        ({"y": np.full(60, -1)}, ValueError, "y: expected at least two classes"),
        ({"y": np.full(60, -2)}, ValueError, "y: expected at least two classes"),
        ({"seed": -1}, ValueError, "seed"),
        ({"callbacks": [GradientNorms()]}, ValueError, "callbacks: expected no GradientNorms, which counts the steps"),
        ({"callbacks": [Health()]}, ValueError, "callbacks: expected no Health, which counts the steps of fit"),
    ],
)
def test_what_a_gan_refuses(options, error, message):
    given = {"hidden": hidden(), "generator": generator(), "x": rows(), "verbose": 0} | options
    with pytest.raises(error, match=f"gan: {message}"):
        pretraining.gan(**given)


def test_gradients_of_the_log_of_the_sum_of_exponentials():
    logits = np.array([[1000.0, 0.0], [-1000.0, -1000.0], [0.3, -0.2]])
    z, share = log_sum(logits)
    assert np.allclose(z[:, 0], [1000, -1000 + np.log(2), np.log(np.exp(0.3) + np.exp(-0.2))])
    assert np.allclose(share.sum(axis=1), 1)
