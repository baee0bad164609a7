"""Which of twelve settings is best for the digits? 5-fold cross-validation of all of them at once."""

import time

import evenflow
from evenflow.datasets import load_digits
from evenflow.layers import Dense, Flatten, Input, Rescaling
from evenflow.optimizers import Adam


def network(units, rate, activation):
    layers = [Input((8, 8)), Rescaling(1 / 16), Flatten()]
    hidden = [Dense(units, activation, kernel_initializer="he_normal") for _ in range(2)]
    model = evenflow.Sequential([*layers, *hidden, Dense(10, "softmax")])
    model.compile(Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main():
    digits = load_digits()
    evenflow.set_seed(0)
    models = {
        f"{units:3} units, {activation}, rate {rate}": network(units, rate, activation)
        for units in (16, 64)
        for activation in ("relu", "elu")
        for rate in (1e-3, 3e-3, 1e-2)
    }
    begin = time.perf_counter()
    fits = evenflow.fit_many(models, (digits.x_train, digits.y_train), folds=5, epochs=10)
    print(f"{len(fits)} networks in {time.perf_counter() - begin:.1f} s")
    scores = fits.scores("accuracy")
    for name in sorted(scores, key=lambda name: -scores[name].mean()):
        print(f"{name:28} {scores[name].mean():.2%} ± {scores[name].std(ddof=1):.2%}")

    best = max(scores, key=lambda name: scores[name].mean())
    models[best].fit(digits.x_train, digits.y_train, epochs=10, verbose=0)  # untouched so far
    _, accuracy = models[best].evaluate(digits.x_test, digits.y_test, verbose=0)
    print(f"the best, on all of them: {accuracy:.2%} of the test rows")
    return scores[best].mean(), accuracy


if __name__ == "__main__":
    main()
