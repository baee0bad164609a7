"""Self-normalization: a signal through 100 layers of SELUs keeps mean 0 and deviation 1 (Klambauer et al. 2017).

Random rows pass through 100 layers of 100 units whose weights were just drawn. With SELU and LeCun's initializer they
come out as they went in, and even inputs of the wrong mean and deviation are pulled back. Another initializer or
another activation loses that. Batch normalization has the same effect on any activation, by force, at the price of
gradients that grow. Alpha dropout, which drops to SELU's lower limit, keeps mean and deviation; dropout does not.
"""

from functools import partial

import numpy as np
from layerwise import Layerwise
from picture import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, label, panels, run, save

import evenflow
from evenflow.layers import AlphaDropout, BatchNormalization, Dense, Dropout, Input

LAYERS, UNITS, ROWS = 100, 100, 500
CASES = {  # activation, initializer, a layer after each Dense, mean and deviation of the inputs
    "SELU, LeCun": ("selu", "lecun_normal", None, 0, 1),
    "SELU, LeCun, inputs 3 ± 5": ("selu", "lecun_normal", None, 3, 5),
    "SELU, He": ("selu", "he_normal", None, 0, 1),
    "SELU, N(0, 0.05)": ("selu", "random_normal", None, 0, 1),
    "ReLU, He": ("relu", "he_normal", None, 0, 1),
    "ReLU, LeCun": ("relu", "lecun_normal", None, 0, 1),
    "ReLU, LeCun, BN": ("relu", "lecun_normal", BatchNormalization, 0, 1),
    "SELU, LeCun, BN": ("selu", "lecun_normal", BatchNormalization, 0, 1),
    "SELU, LeCun, alpha dropout": ("selu", "lecun_normal", partial(AlphaDropout, 0.1), 0, 1),
    "SELU, LeCun, dropout": ("selu", "lecun_normal", partial(Dropout, 0.1), 0, 1),
}
LOOKS = {  # where two are the same, the thick line lies under the thin one
    "ReLU, LeCun, BN": (SKY, "-", 7),
    "SELU, LeCun, BN": (GREEN, "-", 4),
    "SELU, LeCun, alpha dropout": (ORANGE, "-", 1.5),
    "SELU, LeCun, dropout": (ORANGE, "--", 1.5),
    "SELU, He": (VERMILION, "-", 1.5),
    "SELU, N(0, 0.05)": (VERMILION, "--", 1.5),
    "ReLU, He": (BLUE, "-", 1.5),
    "ReLU, LeCun": (BLUE, "--", 1.5),
    "SELU, LeCun, inputs 3 ± 5": (GREEN, "-", 1.5),
    "SELU, LeCun": (BLACK, "-", 1.5),
}


def network(activation, initializer, after):
    evenflow.set_seed(1)
    model = evenflow.Sequential([Input((UNITS,))])
    for _ in range(LAYERS):
        model.add(Dense(UNITS, activation, kernel_initializer=initializer))
        if after:
            model.add(after())
    return model


def draw(results, folder):
    figure, (deviation, mean) = panels(f"A signal on its way through {LAYERS} layers of {UNITS} units", 2, width=5)
    for name, (colour, dash, width) in LOOKS.items():
        for axes, what in ((deviation, "deviation"), (mean, "mean")):
            values = results[name][what]
            axes.plot(range(1, LAYERS + 1), values, color=colour, linestyle=dash, linewidth=width, label=name)
    deviation.set_yscale("log")
    deviation.set_ylim(1e-6, 1e2)
    mean.set_ylim(-0.6, 2.1)
    label(deviation, "Deviation", "layer", "standard deviation of the outputs")
    label(mean, "Mean", "layer", "mean of the outputs")
    return save(figure, folder, "selu", legend_columns=4)


def main(folder):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, UNITS))
    slopes = rng.normal(size=(ROWS, UNITS)).astype(np.float32)
    results = {}
    for name, (activation, initializer, after, centre, scale) in CASES.items():
        model = network(activation, initializer, after)
        layers = Layerwise(model, ROWS)
        outputs = layers.forward((centre + scale * rows).astype(np.float32))
        gradients = layers.backward(slopes)
        outputs = outputs[1::2] if after else outputs
        seen = results[name] = {
            "mean": [float(a.mean()) for a in outputs],
            "deviation": [float(a.std()) for a in outputs],
            "growth": float(gradients[0].std() / gradients[-1].std()),
        }
        steps = ", ".join(f"{seen['mean'][n - 1]:.2g} ± {seen['deviation'][n - 1]:.2g}" for n in (1, 10, LAYERS))
        print(f"{name:26s}: after 1, 10, {LAYERS} layers {steps}; gradient x {seen['growth']:.2g}")
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
