"""Saturation: what kernels drawn from N(0, 1) do to sigmoid and tanh, and what Glorot's do instead.

Ten layers of 100 units look at the digits before any training. With N(0, 1) the weighted sums are so large that half
of the sigmoids and four fifths of the tanhs sit on a flat end, where there is no slope to learn by. Glorot's kernels
keep them off it; but a sigmoid's slope is never above 1/4, so that each layer of sigmoids divides the gradient by four.
tanh, with slope 1 at 0, does not.
Glorot and Bengio 2010.
"""

from layerwise import Layerwise, gradient_of_cross_entropy, standardized_digits
from picture import BLUE, VERMILION, label, panels, run, save

import evenflow
from evenflow.initializers import GlorotNormal, RandomNormal
from evenflow.layers import Activation, Dense, Input
from evenflow.losses import SparseCategoricalCrossentropy
from evenflow.optimizers import SGD

LAYERS, UNITS, EPOCHS = 10, 100, 20
STEEPEST = {"sigmoid": 0.25, "tanh": 1.0}
KERNELS = {"N(0, 1)": lambda: RandomNormal(stddev=1.0), "Glorot": GlorotNormal}
LOOKS = {
    "sigmoid, N(0, 1)": {"color": VERMILION, "linestyle": "-", "marker": "o"},
    "sigmoid, Glorot": {"color": VERMILION, "linestyle": "--", "marker": "s"},
    "tanh, N(0, 1)": {"color": BLUE, "linestyle": "-", "marker": "^"},
    "tanh, Glorot": {"color": BLUE, "linestyle": "--", "marker": "D"},
}


def network(activation, kernel):
    evenflow.set_seed(1)
    model = evenflow.Sequential([Input((64,))])
    for _ in range(LAYERS):
        model.add(
            Dense(UNITS, kernel_initializer=kernel())
        )  # an initializer draws the same numbers each time it is asked
        model.add(Activation(activation))
    model.add(Dense(10))
    model.compile(SGD(0.05, momentum=0.9), SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def look(model, activation, x, y):
    """Of each hidden layer: deviation of the weighted sums, share on a flat end, deviation of the gradient."""
    parts = Layerwise(model, len(x))
    outputs = parts.forward(x)
    gradients = parts.backward(gradient_of_cross_entropy(outputs[-1], y))
    sums, activations = outputs[:-1:2], outputs[1::2]
    slopes = [a * (1 - a) if activation == "sigmoid" else 1 - a * a for a in activations]
    return {
        "sums": [float(z.std()) for z in sums],
        "flat": [float((slope < STEEPEST[activation] / 20).mean()) for slope in slopes],
        "gradient": [float(dz.std()) * len(x) for dz in gradients[:-1:2]],
    }


def draw(results, folder):
    figure, (sums, flat, gradient, loss) = panels("Ten layers of 100 units, and how they begin", 2, rows=2)
    layers = range(1, LAYERS + 1)
    for name, seen in results.items():
        look = {**LOOKS[name], "markersize": 4, "label": name}
        sums.plot(layers, seen["sums"], **look)
        flat.plot(layers, [100 * share for share in seen["flat"]], **look)
        gradient.semilogy(layers, seen["gradient"], **look)
        loss.plot(range(1, EPOCHS + 1), seen["loss"], **look)
    label(sums, "Forward: weighted sums", "layer", "standard deviation")
    label(flat, "Forward: activations on a flat end", "layer", "slope below 1/20 of the steepest [%]")
    label(gradient, "Backward: gradient of the weighted sums", "layer", "standard deviation")
    label(loss, "Training", "epoch", "loss")
    for axes in (sums, flat, gradient):
        axes.set_xticks(layers)
    loss.set_xticks(range(0, EPOCHS + 1, 5))
    return save(figure, folder, "saturation", legend_columns=4)


def main(folder):
    x, y = standardized_digits()
    results = {}
    for name in LOOKS:
        activation, kernel = name.split(", ", 1)
        model = network(activation, KERNELS[kernel])
        seen = results[name] = look(model, activation, x, y)
        history = model.fit(x, y, epochs=EPOCHS, verbose=0, threads=1).history
        seen["loss"], seen["accuracy"] = history["loss"], history["accuracy"][-1]
        print(
            f"{name:16s}: weighted sums of deviation {seen['sums'][-1]:.1f} at the top, {seen['flat'][-1]:.0%} on a"
            f" flat end; gradient from top to bottom x {seen['gradient'][0] / seen['gradient'][-1]:.1g};"
            f" accuracy after {EPOCHS} epochs {seen['accuracy']:.0%}"
        )
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
