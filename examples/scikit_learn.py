"""Two imports changed in a program of a user of scikit-learn: the same course, in less time; then what was missing."""

import time
import warnings

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import evenflow.sklearn


def main():
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    warnings.simplefilter("ignore", ConvergenceWarning)
    scores, curves = {}, {}
    for module in (neural_network, evenflow.sklearn):
        network = module.MLPClassifier((64, 64), max_iter=30, random_state=0)
        begin = time.perf_counter()
        model = make_pipeline(MinMaxScaler(), network).fit(x_train, y_train)
        seconds = time.perf_counter() - begin
        scores[module], curves[module] = model.score(x_test, y_test), network.loss_curve_
        print(f"{module.__name__:24} {scores[module]:.2%} in {seconds:.2f} s")
    away = np.abs(np.subtract(*curves.values())).max()
    print(f"the same course: the losses of the epochs differ by {away:.1e} at most")

    network = evenflow.sklearn.MLPClassifier(
        (64, 64), activation=["silu", "elu"], batch_norm=True, dropout=0.2, solver="nadam", early_stopping="loss"
    )
    model = make_pipeline(MinMaxScaler(), network).fit(x_train, y_train)
    print(f"with batch normalization, dropout and Nadam: {model.score(x_test, y_test):.2%}, {network.n_iter_} epochs")
    return tuple(scores.values())


if __name__ == "__main__":
    main()
