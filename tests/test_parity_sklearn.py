"""evenflow against scikit-learn: with the weights of a trained MLP, the same predictions."""

import warnings
from typing import Any

import numpy as np
import pytest

import evenflow
from evenflow.layers import Dense, Input

neural_network = pytest.importorskip("sklearn.neural_network")
exceptions = pytest.importorskip("sklearn.exceptions")
pytestmark = pytest.mark.peers

ACTIVATIONS = {"identity": "linear", "relu": "relu", "tanh": "tanh", "logistic": "sigmoid"}
OUTPUTS = {"softmax": "softmax", "logistic": "sigmoid", "identity": "linear"}
WIDTHS = (33, 17)


def fitted(kind: str, activation: str, x: np.ndarray, y: np.ndarray) -> Any:
    network = getattr(neural_network, kind)(
        hidden_layer_sizes=WIDTHS, activation=activation, max_iter=5, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        return network.fit(x, y)


def copied(network: Any, dtype: str) -> Any:
    """An evenflow model with the weights of a scikit-learn one."""
    model = evenflow.Sequential([Input((network.coefs_[0].shape[0],))], dtype=dtype)
    for units in WIDTHS:
        model.add(Dense(units, activation=ACTIVATIONS[network.activation]))
    model.add(Dense(network.n_outputs_, activation=OUTPUTS[network.out_activation_]))
    pairs = zip(network.coefs_, network.intercepts_, strict=True)
    model.set_weights([array for pair in pairs for array in pair])
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("kind", "classes"), [("MLPClassifier", 4), ("MLPClassifier", 2), ("MLPRegressor", 0)])
def test_same_predictions(kind, classes, activation, rng):
    x = rng.standard_normal((77, 9))
    y = rng.integers(0, classes, 77) if classes else x[:, 0] * x[:, 1]
    network = fitted(kind, activation, x, y)
    # Two classes are one sigmoid unit there: the probability of the second.
    expected = network.predict_proba(x)[:, -network.n_outputs_ :] if classes else network.predict(x)[:, None]
    exact = copied(network, "float64").predict(x, verbose=0)
    np.testing.assert_allclose(exact, expected, rtol=1e-12, atol=1e-14)
    single = copied(network, "float32").predict(x.astype(np.float32), verbose=0)
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
