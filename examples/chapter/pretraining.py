"""Pretraining: what hidden layers learn without labels, or from other ones, where only 30 images have labels.

The digits of scikit-learn, three labels of each digit, chosen anew for every seed; 1400 more images without. Each
network is trained from scratch, at the better of two rates, and on top of hidden layers that were trained before: as a
stacked denoising autoencoder; greedily, one after another; on an auxiliary task, coarse labels of all images; against a
generator, with the labels there are. The hidden layers then stay as they are, but for the greedy ones, which learn on.
Vincent et al. 2010, Bengio et al. 2007, Caruana 1997, Salimans et al. 2016.
"""

import numpy as np
from picture import BLUE, GREY, label, panels, run, save

import evenflow
from evenflow import pretraining
from evenflow.layers import BatchNormalization, Dense, Dropout, GaussianNoise, Input, LeakyReLU
from evenflow.optimizers import Adam

LABELS = 3  # of each digit
PIXELS = 64


class Digits:
    """The images as rows, and which of them have labels."""

    def __init__(self, seed):
        data = evenflow.datasets.load_digits()
        self.x, self.x_test = (
            (x.reshape(len(x), PIXELS) * data.scale).astype(np.float32) for x in (data.x_train, data.x_test)
        )
        self.y, self.y_test = data.y_train, data.y_test
        rng = np.random.default_rng(seed)
        of_digit = [np.flatnonzero(self.y == digit) for digit in range(10)]
        self.known = np.concatenate([rng.choice(rows, LABELS, replace=False) for rows in of_digit])

    def score(self, hidden, rate, epochs=150, freeze=False):
        """Accuracy on the test images of a network on top of these layers, after training on the images with labels."""
        model = evenflow.Sequential([Input((PIXELS,)), *hidden])
        model.trainable = not freeze
        model.add(Dense(10, "softmax"))
        model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        known = self.known
        model.fit(self.x[known], self.y[known], epochs=epochs, batch_size=len(known), verbose=0)
        return model.evaluate(self.x_test, self.y_test, verbose=0)[1]

    def from_scratch(self, hidden, rates=(3e-3, 1e-3), epochs=150):
        """The same with new layers, which the function `hidden` makes, at the rate that turns out best."""
        return max(self.score(hidden(), rate, epochs) for rate in rates)


def relu(depth=8):
    return [Dense(100, "relu", kernel_initializer="he_normal") for _ in range(depth)]


def sigmoid():
    return [Dense(100, "sigmoid") for _ in range(5)]


def judge():
    return [
        *(GaussianNoise(0.2), Dense(200, LeakyReLU(0.2), kernel_initializer="he_normal")),
        *(GaussianNoise(0.3), Dense(100, LeakyReLU(0.2), kernel_initializer="he_normal")),
    ]


def denoising(digits):
    """Eight layers at once give back all pixels, of which three in ten are missing."""
    found = pretraining.autoencoder(relu(), digits.x, noise=Dropout(0.3), epochs=60, verbose=0)
    return digits.from_scratch(relu), digits.score(found.layers, 3e-3, freeze=True)


def greedy(digits):
    """Five layers of sigmoids, through which hardly a gradient comes."""
    found = pretraining.autoencoder(sigmoid(), digits.x, greedy=True, optimizer=Adam(5e-3), verbose=0)
    return digits.from_scratch(sigmoid, (1e-2, 3e-3), 300), digits.score(found.layers, 3e-3, 300)


def auxiliary(digits):
    """All images say whether they are 0 or 1, 2 or 3, ..., 8 or 9; thirty say which."""
    found = pretraining.auxiliary(relu(3), digits.x, digits.y // 2, verbose=0)
    return digits.from_scratch(lambda: relu(3)), digits.score(found.layers, 3e-3, freeze=True)


def adversarial(digits):
    """Images without labels, and imitations, shape the outputs for the ten digits."""
    y = np.full(len(digits.x), -1)
    y[digits.known] = digits.y[digits.known]
    widen = Dense(100, "elu", kernel_initializer="he_normal")
    generator = evenflow.Sequential([Input((30,)), widen, BatchNormalization(), Dense(PIXELS, "sigmoid")])
    optimizer = Adam(1e-3, beta_1=0.5)
    game = pretraining.gan(judge(), generator, digits.x, y, optimizer=optimizer, epochs=30, verbose=0)
    return digits.from_scratch(judge), digits.score(game.layers, 3e-3, freeze=True)


METHODS = {
    "stacked denoising autoencoder": denoising,
    "greedy autoencoders, sigmoid": greedy,
    "auxiliary task": auxiliary,
    "semi-supervised GAN": adversarial,
}


def draw(results, folder):
    figure, axes = panels("Ten digits from 30 labels", 4, width=3.2, height=3.4)
    for panel, (name, pairs) in zip(axes, results.items(), strict=True):
        for scratch, pretrained in pairs:
            panel.plot([0, 1], [scratch, pretrained], color=GREY, marker="o", markersize=3, linewidth=1)
        panel.plot([0, 1], np.median(pairs, axis=0), color=BLUE, marker="o", linewidth=2.4, label="median")
        label(panel, name, "", "accuracy on 360 test images" if panel is axes[0] else "")
        panel.set_xticks([0, 1], ["from scratch", "pretrained"])
        panel.set_xlim(-0.3, 1.3)
        panel.set_ylim(0.3, 1)
    axes[0].legend(frameon=False, loc="lower right")
    return save(figure, folder, "pretraining")


def main(folder, seeds=5):
    results = {name: [] for name in METHODS}
    for seed in range(seeds):
        digits = Digits(seed)
        for name, method in METHODS.items():
            evenflow.set_seed(seed)
            results[name].append(method(digits))
    for name, pairs in results.items():
        scratch, pretrained = np.median(pairs, axis=0)
        better = sum(after > before for before, after in pairs)
        print(
            f"{name:29}: median of {seeds} seeds {scratch:.1%} from scratch, {pretrained:.1%} pretrained; "
            f"better in {better}"
        )
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
