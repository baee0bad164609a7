"""Dying ReLUs: units that a large learning rate pushed below zero on every row of the training set, and the cures.

Five layers of 100 units, He initialization, ten epochs of Adam on the digits. A ReLU that is negative on every row has
gradient zero on every row, so nothing moves it any more. A leaky ReLU or an ELU in the same place still gets a
gradient: it sleeps, and may wake. A smaller rate, or batch normalization, keeps units from falling asleep at all.
"""

import numpy as np
from layerwise import gradient_of_cross_entropy, standardized_digits
from picture import BLUE, CYCLE, VERMILION, label, panels, run, save

import evenflow
from evenflow.layers import Activation, BatchNormalization, Dense, Input
from evenflow.losses import SparseCategoricalCrossentropy
from evenflow.optimizers import Adam

LAYERS, UNITS, EPOCHS = 5, 100, 10
LARGE, SMALL = 0.02, 0.001
CASES = {  # activation, rate, batch normalization
    f"ReLU, rate {LARGE}": ("relu", LARGE, False),
    f"ELU, rate {LARGE}": ("elu", LARGE, False),
    f"leaky ReLU, rate {LARGE}": ("leaky_relu", LARGE, False),
    f"ReLU, rate {SMALL}": ("relu", SMALL, False),
    f"ReLU + BN, rate {LARGE}": ("relu", LARGE, True),
}


def network(activation, rate, normalize):
    evenflow.set_seed(1)
    model = evenflow.Sequential([Input((64,))])
    for _ in range(LAYERS):
        model.add(Dense(UNITS, kernel_initializer="he_normal"))
        if normalize:
            model.add(BatchNormalization())
        model.add(Activation(activation))
    model.add(Dense(10))
    model.compile(Adam(rate), SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def always_negative(model, x):
    """[layer, unit]: whether the unit is at or below zero on every row. A model of the layers up to it shares them."""
    tops = [i for i, layer in enumerate(model.layers) if isinstance(layer, Activation)]
    return np.array([(evenflow.Sequential(model.layers[: top + 1]).predict(x) <= 0).all(axis=0) for top in tops])


def without_gradient(model, x, y):
    """[layer, unit]: whether the gradient of the unit's weights over the whole training set is zero."""
    program = evenflow.Program(model.spec(), batch_size=len(x), threads=1)
    for variable in model.variables:
        program.set(variable.path, variable.numpy())
    program.backward(gradient_of_cross_entropy(program.forward(x), y))
    hidden = [layer for layer in model.layers if isinstance(layer, Dense)][:-1]
    return np.array([(program.gradient(layer.kernel.path) == 0).all(axis=0) for layer in hidden])


def draw(results, folder):
    figure, (layers, nets) = panels(f"Five layers of {UNITS} units after {EPOCHS} epochs", 2, width=5.2)
    for colour, marker, (name, seen) in zip(CYCLE, "osD^v", results.items(), strict=False):
        share = [100 * s for s in seen["asleep_by_layer"]]
        layers.plot(range(1, LAYERS + 1), share, color=colour, marker=marker, markersize=5, label=name)
    label(layers, "By layer", "layer", "units negative on every training row [%]")
    layers.set_xticks(range(1, LAYERS + 1))
    layers.set_ylim(-2, 100)
    layers.legend(frameon=False, fontsize=9, ncols=2, loc="upper center")

    places = np.arange(len(results))[::-1]
    asleep = [100 * seen["asleep"] for seen in results.values()]
    dead = [100 * seen["dead"] for seen in results.values()]
    for offset, values, colour, name in (
        (0.2, asleep, BLUE, "negative on every row"),
        (-0.2, dead, VERMILION, "and without gradient: dead"),
    ):
        bars = nets.barh(places + offset, values, 0.38, color=colour, label=name)
        nets.bar_label(bars, fmt="%.0f %%", padding=3, fontsize=9)
    label(nets, "All five layers", "units [%]", "")
    nets.grid(axis="y", visible=False)
    nets.set_yticks(places, list(results))
    nets.set_xlim(0, 60)
    nets.legend(frameon=False, fontsize=9, loc="lower right")
    return save(figure, folder, "dying_relu")


def main(folder):
    x, y = standardized_digits()
    results = {}
    for name, case in CASES.items():
        model = network(*case)
        model.fit(x, y, epochs=EPOCHS, verbose=0, threads=1)
        asleep, dead = always_negative(model, x), without_gradient(model, x, y)
        seen = results[name] = {
            "asleep_by_layer": asleep.mean(axis=1).tolist(),
            "asleep": float(asleep.mean()),
            "dead": float((asleep & dead).mean()),
            "accuracy": model.evaluate(x, y, verbose=0)[1],
        }
        print(
            f"{name:21s}: {seen['asleep']:3.0%} of the units negative on every row (worst layer"
            f" {max(seen['asleep_by_layer']):.0%}), {seen['dead']:3.0%} dead; accuracy {seen['accuracy']:.1%}"
        )
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
