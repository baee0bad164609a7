"""Networks of scikit-learn as models: the same predictions, and what is refused."""

import numpy as np
import pytest
from example import blobs

from evenflow import convert
from evenflow.optimizers import Adam

pytest.importorskip("sklearn")
pytestmark = pytest.mark.peers

X, Y = blobs(120)
ROUNDING = 3e-6  # of float32, through three layers


def fitted(kind, y, **options):
    from sklearn import neural_network

    options = {"hidden_layer_sizes": (9, 7), "solver": "lbfgs", "max_iter": 30, "random_state": 1} | options
    return getattr(neural_network, kind)(**options).fit(X.astype(np.float64), y)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_classes(activation):
    estimator = fitted("MLPClassifier", np.array(["a", "b", "c"])[Y], activation=activation)
    model = convert.from_sklearn(estimator)
    np.testing.assert_allclose(model.predict(X), estimator.predict_proba(X), rtol=0, atol=ROUNDING)
    precise = convert.from_sklearn(estimator, dtype="float64", name="precise")
    np.testing.assert_allclose(precise.predict(X), estimator.predict_proba(X), rtol=1e-12, atol=1e-14)
    assert precise.name == "precise"


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_two_classes_and_several_labels():
    estimator = fitted("MLPClassifier", Y > 0)
    two = convert.from_sklearn(estimator)
    assert two.output_shape == (None, 1)
    np.testing.assert_allclose(two.predict(X)[:, 0], estimator.predict_proba(X)[:, 1], rtol=0, atol=ROUNDING)
    estimator = fitted("MLPClassifier", np.stack([Y > 0, Y > 1], axis=1))
    model = convert.from_sklearn(estimator)
    np.testing.assert_allclose(model.predict(X), estimator.predict_proba(X), rtol=0, atol=ROUNDING)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("hidden", [(), (5,), (8, 6, 4)])
def test_values(hidden):
    estimator = fitted("MLPRegressor", np.stack([X[:, 0], X[:, 1] * X[:, 2]], axis=1), hidden_layer_sizes=hidden)
    expected = estimator.predict(X)
    model = convert.from_sklearn(estimator)
    np.testing.assert_allclose(model.predict(X), expected, rtol=0, atol=ROUNDING * np.abs(expected).max())
    model.compile(Adam(1e-3), "mse")
    model.fit(X, expected, verbose=0)


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_counts():
    estimator = fitted("MLPRegressor", Y, loss="poisson")
    expected = estimator.predict(X)
    model = convert.from_sklearn(estimator)
    np.testing.assert_allclose(model.predict(X)[:, 0], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    from sklearn.neural_network import MLPClassifier

    table = pandas.DataFrame(X, columns=list("abcdef"))
    model = convert.from_sklearn(MLPClassifier((4,), max_iter=2, random_state=0).fit(table, Y))
    assert model.feature_names == tuple("abcdef")
    with pytest.raises(ValueError, match="other columns"):
        model.predict(table.rename(columns={"a": "z"}))


def test_what_is_refused():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    with pytest.raises(ValueError, match=r"from_sklearn: estimator: expected a fitted MLPClassifier, .* call its fit"):
        convert.from_sklearn(MLPClassifier())
    for wrong in (LogisticRegression(), MLPClassifier, None):
        with pytest.raises(TypeError, match="from_sklearn: estimator: expected a fitted MLPClassifier or MLPRegressor"):
            convert.from_sklearn(wrong)
