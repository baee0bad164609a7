"""Learning-rate schedules compared: constant, power, exponential, piecewise, performance, 1cycle.

SGD with momentum learns a noisy function of six numbers. A constant rate that is large gets stuck above a floor that
its own noise makes, one that is small does not arrive in time; every schedule begins large and ends small, and comes
several times closer to the true function. Means over three seeds; the error is that against the function without noise.
"""

import numpy as np
from picture import CYCLE, GREY, label, panels, run, save

import evenflow
from evenflow.callbacks import Callback, ReduceLROnPlateau
from evenflow.layers import Dense, Input
from evenflow.optimizers import SGD
from evenflow.schedules import ExponentialDecay, OneCycle, PiecewiseConstantDecay, PowerDecay

RATE, EPOCHS, ROWS, STEPS, SEEDS = 0.03, 30, 4000, 125, (1, 2, 3)  # batches of 32: 125 steps an epoch
CASES = {  # a rate, and what watches over it; new ones for every run
    f"constant, {RATE:g}": lambda: (RATE, []),
    f"constant, {RATE / 30:g}": lambda: (RATE / 30, []),
    "power": lambda: (PowerDecay(RATE, 2 * STEPS), []),
    "exponential": lambda: (ExponentialDecay(RATE, 15 * STEPS, 0.1), []),
    "piecewise": lambda: (PiecewiseConstantDecay([10 * STEPS, 20 * STEPS], [RATE, RATE / 10, RATE / 100]), []),
    "performance": lambda: (RATE, [ReduceLROnPlateau(factor=0.3, patience=3)]),
    "1cycle": lambda: (OneCycle(2 * RATE, EPOCHS * STEPS), []),
}
SCHEDULES = [name for name in CASES if not name.startswith("constant")]
LOOKS = dict(zip(CASES, [(GREY, "-"), (GREY, "--"), *((colour, "-") for colour in CYCLE)], strict=False))


class RateOfEachStep(Callback):
    """Notes the rate of every step; asking after each batch makes fit go step by step."""

    def __init__(self):
        self.rates = []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(self.model.optimizer.learning_rate)


def true_function(x):
    return np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:3] + np.abs(x[:, 3:4]) - np.cos(3 * x[:, 4:5])


def draw_rows():
    """Rows with noise to learn from, and rows without to test with."""
    rng = np.random.default_rng(0)
    x, x_test = (rng.uniform(-1.5, 1.5, (rows, 6)).astype(np.float32) for rows in (ROWS, 2000))
    y = true_function(x) + rng.normal(0, 0.5, (ROWS, 1)).astype(np.float32)
    return x, y, x_test, true_function(x_test)


def train(case, seed, rows, *watchers):
    """The error after each epoch."""
    x, y, *test = rows
    rate, callbacks = case()
    evenflow.set_seed(seed)
    model = evenflow.Sequential([Input((6,))])
    for _ in range(2):
        model.add(Dense(50, "elu", kernel_initializer="he_normal"))
    model.add(Dense(1))
    model.compile(SGD(rate, momentum=0.9), "mse")
    history = model.fit(
        x, y, epochs=EPOCHS, verbose=0, threads=1, validation_data=test, callbacks=[*callbacks, *watchers]
    )
    return history.history["val_loss"]


def draw(results, folder):
    figure, (rates, errors) = panels("SGD with momentum 0.9, six learning-rate schedules", 2, width=5.2)
    for name, seen in results.items():
        colour, dash = LOOKS[name]
        look = {"color": colour, "linestyle": dash, "linewidth": 1.6, "label": name}
        rates.semilogy(np.arange(len(seen["rates"])) / STEPS, seen["rates"], **look)
        errors.semilogy(range(1, EPOCHS + 1), seen["error"], **look)
    label(rates, "Rate of each step", "epoch", "learning rate")
    rates.set_ylim(1e-4, 0.1)
    errors.set_yticks((0.02, 0.05, 0.1, 0.2, 0.5), ("0.02", "0.05", "0.1", "0.2", "0.5"))
    errors.minorticks_off()
    label(errors, "What it comes to", "epoch", "squared error against the function")
    return save(figure, folder, "schedules", legend_columns=4)


def main(folder):
    rows = draw_rows()
    results = {}
    for name, case in CASES.items():
        watcher = RateOfEachStep()
        runs = [train(case, seed, rows, *([watcher] if seed == SEEDS[0] else [])) for seed in SEEDS]
        error = np.mean(runs, axis=0)
        results[name] = {"error": error.tolist(), "rates": watcher.rates}
        print(f"{name:15s}: error after 10, 20, 30 epochs {error[9]:.3f}, {error[19]:.3f}, {error[29]:.3f}")
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
