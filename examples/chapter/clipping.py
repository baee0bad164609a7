"""Exploding gradients, and three ways to clip them (Pascanu et al. 2013).

Twenty layers of ReLUs whose kernels have half as much variance as He's, as much, and half as much again: gradients
vanish, stay, and explode on their way down. Then SGD with the last of these: without clipping it ends after a few
steps, with clipvalue, clipnorm or global_clipnorm it learns. And what clipping makes of the gradient [0.9, 100].
"""

import numpy as np
from layerwise import Layerwise, gradient_of_cross_entropy, standardized_digits
from picture import BLACK, BLUE, GREEN, PURPLE, VERMILION, label, panels, run, save

import evenflow
from evenflow.initializers import VarianceScaling
from evenflow.kernels import clip_by_norm, clip_by_value
from evenflow.layers import Dense, Input
from evenflow.losses import SparseCategoricalCrossentropy
from evenflow.optimizers import SGD

LAYERS, UNITS, BATCH, STEPS, RATE = 20, 50, 32, 400, 0.05
VARIANCES = {"0.5 x He's": 0.5, "He's": 1.0, "1.5 x He's": 1.5}
LIMITS = {
    "no clipping": {},
    "clipvalue=0.1": {"clipvalue": 0.1},
    "clipnorm=1": {"clipnorm": 1.0},
    "global_clipnorm=1": {"global_clipnorm": 1.0},
}
COLOURS = dict(zip(LIMITS, (VERMILION, GREEN, PURPLE, BLUE), strict=True))


def network(share_of_he, **limit):
    """Twenty layers of ReLUs; He's variance is 2 / fan_in."""
    evenflow.set_seed(1)
    kernel = {"scale": 2 * share_of_he, "mode": "fan_in", "distribution": "truncated_normal"}
    model = evenflow.Sequential([Input((64,))])
    for _ in range(LAYERS):
        model.add(Dense(UNITS, "relu", kernel_initializer=VarianceScaling(**kernel)))
    model.add(Dense(10))
    model.compile(SGD(RATE, **limit), SparseCategoricalCrossentropy(from_logits=True))
    return model


def by_layer(model, x, y):
    """The norm of the gradient of every hidden layer's outputs, over all rows."""
    parts = Layerwise(model, len(x))
    gradients = parts.backward(gradient_of_cross_entropy(parts.forward(x)[-1], y))
    return [float(np.linalg.norm(dy)) for dy in gradients[:-1]]


def train(model, x, y):
    """Loss, and norm of the whole gradient before clipping, of each step that had finite ones."""
    program = evenflow.Program(model.spec(), batch_size=BATCH, threads=1)
    for variable in model.variables:
        program.set(variable.path, variable.numpy())
    rng = np.random.default_rng(0)
    losses, norms = [], []
    for _ in range(STEPS):
        rows = rng.choice(len(x), BATCH, replace=False)
        logits = program.forward(x[rows])
        if not np.isfinite(logits).all():
            break
        losses.append(model.loss(y[rows], logits))
        program.backward(gradient_of_cross_entropy(logits, y[rows]))
        norms.append(program.update(RATE))
    return {"loss": losses, "norm": norms}


def clipped_pair():
    """The chapter's example: the gradient [0.9, 100] clipped to 1 by value, and by norm."""
    by_value, by_norm = np.array([0.9, 100.0]), np.array([0.9, 100.0])
    clip_by_value(by_value, 1.0)
    clip_by_norm(by_norm, 1.0)
    return {"by value": by_value, "by norm": by_norm}


def draw(results, folder):
    figure, (layers, norms, losses, arrows) = panels("Exploding gradients and clipping", 2, rows=2, width=4.8)
    for (name, values), (colour, marker) in zip(
        results["layers"].items(), ((GREEN, "D"), (BLACK, "s"), (VERMILION, "o")), strict=True
    ):
        layers.semilogy(range(1, LAYERS + 1), values, color=colour, marker=marker, markersize=4, label=name)
    label(layers, "Before training, by variance of the kernels", "layer", "norm of the outputs' gradient")
    layers.set_xticks(range(0, LAYERS + 1, 5))
    layers.legend(frameon=False, fontsize=9)

    for name, seen in results["training"].items():
        steps, colour = np.arange(1, len(seen["norm"]) + 1), COLOURS[name]
        ended = len(steps) < STEPS
        kept = np.isfinite(seen["norm"])
        marker = "o" if ended else ""
        norms.loglog(steps[kept], np.array(seen["norm"])[kept], color=colour, marker=marker, linewidth=1, label=name)
        mean = np.convolve(seen["loss"], np.full(20, 1 / 20), "valid") if not ended else seen["loss"]
        losses.semilogy(np.arange(len(mean)) + (1 if ended else 20), mean, color=colour, marker=marker, label=name)
    label(norms, "SGD, before clipping", "step", "norm of the whole gradient")
    label(losses, "SGD, mean of 20 steps", "step", "loss")
    norms.legend(frameon=False, fontsize=9)
    norms.set_ylim(1, 1e7)
    norms.annotate("infinite at step 3", (2, 1.1e5), (2.6, 1.0e5), color=VERMILION, fontsize=9, va="center")
    losses.set_ylim(0.3, 1e3)
    losses.legend(frameon=False, fontsize=9)

    for (name, (x, y)), colour, side in zip(results["pair"].items(), (GREEN, BLUE), (-0.04, 0.04), strict=True):
        arrows.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2})
        arrows.annotate(f"{name}\n[{x:.6g}, {y:.7g}]", (x, y), (x + side, 1.08), color=colour, fontsize=9, ha="center")
    label(arrows, "The gradient [0.9, 100], clipped to 1", "first component", "second component")
    arrows.set_xlim(-0.35, 1.3)
    arrows.set_ylim(0, 1.3)
    return save(figure, folder, "clipping")


def main(folder):
    x, y = standardized_digits()
    results = {"pair": clipped_pair(), "layers": {}, "training": {}}
    for name, vector in results["pair"].items():
        print(f"[0.9, 100] clipped to 1 {name}: [{vector[0]:.8f}, {vector[1]:.7f}]")
    for name, share in VARIANCES.items():
        norms = results["layers"][name] = by_layer(network(share), x, y)
        print(
            f"variance {name:10s}: the gradient at layer 1 is {norms[0] / norms[-1]:.2g} times that at layer {LAYERS}"
        )
    for name, limit in LIMITS.items():
        seen = results["training"][name] = train(network(1.5, **limit), x, y)
        norms = ", ".join(f"{norm:.3g}" for norm in seen["norm"][:3])
        done = len(seen["loss"])
        end = f"loss {np.mean(seen['loss'][-50:]):.2f}" if done == STEPS else f"diverged at step {done + 1}"
        print(f"{name:17s}: norms of the first gradients {norms}; {end}")
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
