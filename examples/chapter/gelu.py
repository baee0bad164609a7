"""GELU and its approximations, Swish and Mish: the curves, where they are lowest, and how far apart they are.

All are smooth relatives of ReLU that dip below zero before they rise. GELU is x Phi(x), with Phi the normal
distribution; x sigmoid(1.702 x), which is Swish with beta = 1.702, and a formula with tanh approximate it. Mish,
x tanh(softplus(x)), runs near Swish below zero and near GELU above: near, but not on it. Hendrycks and Gimpel 2016,
Ramachandran et al. 2017, Misra 2019.
"""

import numpy as np
from picture import BLACK, BLUE, GREEN, GREY, VERMILION, label, panels, run, save

from evenflow.activations import gelu, mish, relu, swish

X = np.linspace(-10, 10, 2_000_001)  # float64, so that the figures are the formulas' own


def lowest(function):
    """(x, value) of the lowest point."""
    values = function(X)
    place = values.argmin()
    return float(X[place]), float(values[place])


def gap(one, other, where=slice(None)):
    """(x, value) of the largest distance between two functions."""
    distances = np.abs(one(X[where]) - other(X[where]))
    place = distances.argmax()
    return float(X[where][place]), float(distances[place])


def swish_1702(x):
    return swish(x, beta=1.702)


def gelu_tanh(x):
    return gelu(x, approximate="tanh")


def draw(results, folder):
    x = np.linspace(-5, 3, 801)
    figure, (curves, wide, near) = panels("GELU, Swish and Mish", 3, width=4.3)
    for function, name, colour, dash in (
        (gelu, "GELU", BLUE, "-"),
        (swish, "Swish", VERMILION, "-"),
        (mish, "Mish", GREEN, "--"),
    ):
        curves.plot(x, function(x), color=colour, linestyle=dash, linewidth=1.8, label=name)
        curves.plot(*results["lowest"][name], marker="o", color=colour, markersize=5)
    curves.plot(x, relu(x), color=GREY, linestyle=":", label="ReLU")
    label(curves, "Curves and their lowest points", "x", "f(x)")
    curves.set_ylim(-0.5, 1.5)
    curves.legend(frameon=False, fontsize=9, loc="upper left")

    wide.plot(x, mish(x) - swish(x), color=VERMILION, linewidth=1.6, label="Mish - Swish")
    wide.plot(x, mish(x) - gelu(x), color=BLUE, linewidth=1.6, label="Mish - GELU")
    wide.axvline(0, color=GREY, linewidth=0.8)
    label(wide, "Mish beside the others", "x", "difference")
    wide.legend(frameon=False, fontsize=9, loc="upper left")

    near.plot(x, swish_1702(x) - gelu(x), color=GREEN, linewidth=1.6, label="x sigmoid(1.702 x) - GELU")
    near.plot(x, gelu_tanh(x) - gelu(x), color=BLACK, linewidth=1.6, linestyle="--", label="tanh formula - GELU")
    label(near, "Approximations of GELU", "x", "difference")
    near.set_ylim(-0.024, 0.034)
    near.legend(frameon=False, fontsize=9, loc="upper left")
    return save(figure, folder, "gelu")


def main(folder):
    results = {
        "lowest": {"GELU": lowest(gelu), "Swish": lowest(swish), "Mish": lowest(mish)},
        "gap": {
            "x sigmoid(1.702 x) and GELU": gap(swish_1702, gelu),
            "tanh formula and GELU": gap(gelu_tanh, gelu),
            "Mish and Swish, x < 0": gap(mish, swish, X < 0),
            "Mish and GELU, x > 0": gap(mish, gelu, X > 0),
        },
    }
    for name, (x, value) in results["lowest"].items():
        print(f"{name:5s} is lowest at x = {x:.4f}: {value:.5f}")
    for name, (x, value) in results["gap"].items():
        print(f"{name:27s} differ by at most {value:.3g}, at x = {x:.2f}")
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
