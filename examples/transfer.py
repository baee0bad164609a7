"""Transfer learning on scikit-learn's digits: a network that tells ten digits apart learns from 30 labels which of them
have a closed loop (pip install '.[demo]')."""

import numpy as np

import evenflow
from evenflow.layers import BatchNormalization, Dense, Flatten, Input, Rescaling
from evenflow.models import clone_model
from evenflow.optimizers import Adam

WITH_LOOP = (0, 6, 8, 9)
LABELS = 3  # known for the new task, of each digit
LOSS = "sparse_categorical_crossentropy"


def network(scale, classes):
    """Three hidden layers with batch normalization."""
    model = evenflow.Sequential([Input((8, 8)), Rescaling(scale), Flatten()])
    for _ in range(3):
        model.add(Dense(100, "elu", kernel_initializer="he_normal"))
        model.add(BatchNormalization())
    model.add(Dense(classes, "softmax"))
    return model


def from_scratch(x, y, scale):
    """A new network, trained on the few labels alone."""
    model = network(scale, 2)
    model.compile(Adam(3e-3), LOSS, metrics=["accuracy"])
    model.fit(x, y, epochs=100, batch_size=len(x), verbose=0)
    return model


def on_top_of(source, x, y):
    """The hidden layers of another network, which stays as it is, below a new top."""
    clone = clone_model(source)
    clone.set_weights(source.get_weights())
    model = evenflow.Sequential([Input((8, 8)), *clone.layers[:-1]])
    model.trainable = False
    model.add(Dense(2, "softmax"))
    model.compile(Adam(3e-3), LOSS, metrics=["accuracy"])
    model.fit(x, y, epochs=100, batch_size=len(x), verbose=0, cache_frozen=True)
    for layer in model.layers:  # now all of them, at a tenth of the rate; but not statistics of more images than these
        layer.trainable = not isinstance(layer, BatchNormalization)
    model.compile(Adam(3e-4), LOSS, metrics=["accuracy"])
    model.fit(x, y, epochs=50, batch_size=len(x), verbose=0)
    return model


def main(draws=4):
    digits = evenflow.datasets.load_digits()
    half = len(digits.x_train) // 2  # of the images: the new task has others than the old one
    evenflow.set_seed(0)
    source = network(digits.scale, 10)
    source.compile("adam", LOSS)
    source.fit(digits.x_train[:half], digits.y_train[:half], epochs=20, verbose=0)

    rng = np.random.default_rng(0)
    tested = np.isin(digits.y_test, WITH_LOOP).astype(int)
    accuracies = []
    for _ in range(draws):
        of_digit = [half + np.flatnonzero(digits.y_train[half:] == digit) for digit in range(10)]
        known = np.concatenate([rng.choice(rows, LABELS, replace=False) for rows in of_digit])
        x, y = digits.x_train[known], np.isin(digits.y_train[known], WITH_LOOP).astype(int)
        models = from_scratch(x, y, digits.scale), on_top_of(source, x, y)
        accuracies.append([model.evaluate(digits.x_test, tested, verbose=0)[1] for model in models])
    scratch, transfer = np.mean(accuracies, axis=0)
    print(f"a closed loop or not, {len(x)} labels, mean of {draws} draws: ", end="")
    print(f"from scratch {scratch:.1%}, on top of ten digits {transfer:.1%}")
    return scratch, transfer


if __name__ == "__main__":
    main()
