"""Optimizers compared: the loss they reach, and what a step costs.

Five layers of 50 ELUs learn digits whose pixels were scaled by factors between 0.1 and 10, as the columns of a raw
table are: a long, narrow valley. Each optimizer takes the best of three learning rates (the lowest mean loss over all
epochs), over two seeds. Momentum is worth most at the same rate; the adaptive ones find the way along the valley.
"""

import numpy as np
from layerwise import standardized_digits
from picture import CYCLE, GREY, label, panels, run, save

import evenflow
from evenflow.layers import Dense, Input
from evenflow.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop

EPOCHS, SEEDS, GOOD = 15, (1, 2), 0.1
SMALL_RATES, RATES, LARGE_RATES = (0.001, 0.003, 0.01), (0.003, 0.01, 0.03), (0.01, 0.03, 0.1)
OPTIMIZERS = {
    "SGD": (SGD, LARGE_RATES),
    "momentum": (lambda rate: SGD(rate, momentum=0.9), RATES),
    "Nesterov": (lambda rate: SGD(rate, momentum=0.9, nesterov=True), RATES),
    "Adagrad": (Adagrad, LARGE_RATES),
    "RMSprop": (RMSprop, SMALL_RATES),
    "Adadelta": (Adadelta, (1.0, 3.0, 10.0)),
    "Adam": (Adam, SMALL_RATES),
    "AdamW": (AdamW, SMALL_RATES),
    "Adamax": (Adamax, RATES),
    "Nadam": (Nadam, SMALL_RATES),
    "Lion": (Lion, (0.0003, 0.001, 0.003)),
}
FAMILIES = {
    "The gradient and its memory": ("momentum", "Nesterov"),
    "A rate for each parameter": ("Adagrad", "RMSprop", "Adadelta"),
    "Both": ("Adam", "AdamW", "Adamax", "Nadam", "Lion"),
}


def uneven_digits():
    x, y = standardized_digits()
    return (x * 10 ** np.random.default_rng(0).uniform(-1, 1, x.shape[1])).astype(np.float32), y


def network(optimizer, seed):
    evenflow.set_seed(seed)
    model = evenflow.Sequential([Input((64,))])
    for _ in range(5):
        model.add(Dense(50, "elu", kernel_initializer="he_normal"))
    model.add(Dense(10, "softmax"))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def losses(make, rate, x, y):
    """Training loss after each epoch, mean over the seeds; infinite where one diverged."""
    runs = [network(make(rate), seed).fit(x, y, epochs=EPOCHS, verbose=0, threads=1) for seed in SEEDS]
    loss = np.mean([run.history["loss"] for run in runs], axis=0)
    return np.where(np.isfinite(loss), loss, np.inf)


def seconds_per_step(x, y):
    """Of each optimizer, the least of thirty native epochs, which take turns so that a busy machine is fair to all."""
    programs = {}
    for name, (make, _) in OPTIMIZERS.items():
        model = network(make(1e-6), SEEDS[0])
        program = programs[name] = evenflow.Program(model.spec(), batch_size=32, threads=1)
        for variable in model.variables:
            program.set(variable.path, variable.numpy())
    least = dict.fromkeys(programs, float("inf"))
    for _ in range(30):
        for name, program in programs.items():
            run = program.train(x, y, learning_rate=1e-6)
            least[name] = min(least[name], run.seconds / run.steps)
    return least


def draw(results, folder):
    figure, axes = panels("Digits with uneven inputs, five layers of 50 ELUs", 2, rows=2, width=4.8)
    epochs = range(1, EPOCHS + 1)
    for panel, (family, names) in zip(axes, FAMILIES.items(), strict=False):
        panel.semilogy(epochs, results["SGD"]["loss"], color=GREY, linestyle="--", label="SGD")
        for colour, marker, name in zip(CYCLE, "osD^v", names, strict=False):
            panel.semilogy(epochs, results[name]["loss"], color=colour, marker=marker, markersize=4, label=name)
        label(panel, family, "epoch", "training loss")
        panel.set_ylim(0.005, 5)
        panel.set_xticks(range(0, EPOCHS + 1, 5))
        panel.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)
    costs = axes[-1]
    names = list(results)[::-1]
    bars = costs.barh(names, [1e6 * results[name]["seconds"] for name in names], color=CYCLE[0], height=0.7)
    costs.bar_label(bars, fmt="%.0f", padding=3, fontsize=9)
    label(costs, "Time of a step, batch of 32, one thread", "microseconds", "")
    costs.grid(axis="y", visible=False)
    return save(figure, folder, "optimizers")


def main(folder):
    x, y = uneven_digits()
    seconds = seconds_per_step(x, y)
    results = {}
    for name, (make, rates) in OPTIMIZERS.items():
        by_rate = {rate: losses(make, rate, x, y) for rate in rates}
        best = min(rates, key=lambda rate: by_rate[rate].mean())
        loss = by_rate[best]
        good = np.flatnonzero(loss < GOOD) + 1
        results[name] = {
            "by_rate": by_rate,
            "loss": loss,
            "epochs": int(good[0]) if len(good) else None,
            "seconds": seconds[name],
        }
        speed = f"below {GOOD} after {good[0]} epochs" if len(good) else f"never below {GOOD}"
        step = f"{1e6 * seconds[name]:.0f} us a step"
        print(f"{name:8s}: best rate {best:<6g} {speed}, {loss[-1]:.3f} after {EPOCHS}; {step}")
    same = {name: results[name]["by_rate"][0.01][-5:].mean() for name in ("SGD", "momentum", "Nesterov")}
    print(
        "at the same rate of 0.01, mean of the last five epochs:",
        ", ".join(f"{name} {loss:.3f}" for name, loss in same.items()),
    )
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
