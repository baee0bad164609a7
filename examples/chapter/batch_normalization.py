"""Batch normalization makes deep networks of saturating activations trainable (Ioffe and Szegedy 2015).

Ten layers of sigmoids and twenty of tanhs learn the digits, with and without batch normalization between the weighted
sums and the activation; the last pair begins from kernels that are much too small. Then ten layers of tanhs at eight
learning rates: with batch normalization the larger ones work too.
"""

import time

from layerwise import standardized_digits
from picture import BLUE, VERMILION, label, panels, run, save

import evenflow
from evenflow.layers import Activation, BatchNormalization, Dense, Input
from evenflow.optimizers import SGD

EPOCHS = 20
NETWORKS = {  # activation, layers, initializer, learning rate
    "10 layers of sigmoids, Glorot": ("sigmoid", 10, "glorot_uniform", 0.02),
    "20 layers of tanhs, Glorot": ("tanh", 20, "glorot_uniform", 0.05),
    "20 layers of tanhs, N(0, 0.05)": ("tanh", 20, "random_normal", 0.02),
}
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
LOOKS = {
    False: {"color": VERMILION, "marker": "o", "markersize": 4, "label": "without"},
    True: {"color": BLUE, "marker": "s", "markersize": 4, "label": "with batch normalization"},
}


def train(activation, layers, initializer, rate, normalize, epochs):
    """History of the network, and seconds per epoch."""
    x, y = standardized_digits()
    evenflow.set_seed(1)
    model = evenflow.Sequential([Input((64,))])
    for _ in range(layers):
        model.add(Dense(50, kernel_initializer=initializer, use_bias=not normalize))  # beta takes the bias' place
        if normalize:
            model.add(BatchNormalization(momentum=0.9))  # 41 steps make an epoch: 0.99 would remember the first ones
        model.add(Activation(activation))
    model.add(Dense(10, "softmax"))
    model.compile(SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    begin = time.perf_counter()
    history = model.fit(x, y, epochs=epochs, validation_split=0.1, verbose=0, threads=1).history
    return history, (time.perf_counter() - begin) / epochs


def draw(results, folder):
    figure, axes = panels("Digits, with and without batch normalization", 2, rows=2)
    for panel, (name, pair) in zip(axes, results["networks"].items(), strict=False):
        for normalize, history in pair.items():
            panel.plot(range(1, EPOCHS + 1), history["loss"], **LOOKS[normalize])
        label(panel, f"{name}, rate {NETWORKS[name][-1]:g}", "epoch", "training loss")
        panel.set_ylim(0, 3)
        panel.set_xticks(range(0, EPOCHS + 1, 5))
    for normalize, accuracy in results["rates"].items():
        axes[-1].semilogx(RATES, [100 * share for share in accuracy], **LOOKS[normalize])
    label(axes[-1], "10 layers of tanhs after 10 epochs", "learning rate", "training accuracy [%]")
    axes[-1].set_ylim(0, 104)
    return save(figure, folder, "batch_normalization", legend_columns=2)


def main(folder):
    results = {"networks": {}, "rates": {}}
    for name, network in NETWORKS.items():
        pair = results["networks"][name] = {}
        for normalize, word in ((False, "without"), (True, "with")):
            pair[normalize], seconds = train(*network, normalize, EPOCHS)
            print(
                f"{name:30s} {word:7s}: loss {pair[normalize]['loss'][-1]:.2f}, validation accuracy"
                f" {pair[normalize]['val_accuracy'][-1]:.0%}, {1e3 * seconds:.0f} ms an epoch"
            )
    for normalize, word in ((False, "without"), (True, "with")):
        accuracy = [train("tanh", 10, "glorot_uniform", rate, normalize, 10)[0]["accuracy"][-1] for rate in RATES]
        results["rates"][normalize] = accuracy
        good = [rate for rate, share in zip(RATES, accuracy, strict=True) if share > 0.9]
        print(f"rates {word} that learn more than 90 % in 10 epochs: {', '.join(f'{rate:g}' for rate in good)}")
    draw(results, folder)
    return results


if __name__ == "__main__":
    run(main, __doc__)
