"""evenflow.sklearn against scikit-learn's own estimators: the same numbers, the same manners, and what those lack."""

import copy
import io
import pickle
import subprocess
import sys
import threading
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import evenflow

sklearn = pytest.importorskip("sklearn")
pytestmark = pytest.mark.peers

from sklearn import datasets, neural_network  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.ensemble import VotingClassifier  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from evenflow.sklearn import MLPClassifier, MLPRegressor, cross_validate  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

# Weighting a row by 2 is not repeating it where rows are shuffled into batches.
STOCHASTIC = "check_sample_weight_equivalence_on_{}_data"
EXCEPTIONS = {STOCHASTIC.format(kind): "batches are drawn by rows, not by weights" for kind in ("dense", "sparse")}


def exceptions(estimator):
    return {} if estimator.solver == "lbfgs" else EXCEPTIONS


@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPRegressor(max_iter=100),
        MLPClassifier(solver="lbfgs", max_iter=30),
        MLPRegressor(solver="lbfgs", max_iter=30),
        MLPClassifier(max_iter=50, batch_norm=True, activation=["elu"], learning_rate_init=0.01),
    ],
    expected_failed_checks=exceptions,
)
@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn(estimator, check):
    try:
        check(estimator)
    except unittest.SkipTest:
        return  # of what an estimator does not have: nothing is missing here


# ------------------------------------------------------------------------------------------------ the same, to rounding


def digits(rows=400):
    x, y = datasets.load_digits(return_X_y=True)
    return x[:rows] / 16, y[:rows]


def cancer(rows=400):
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(x)[:rows], y[:rows]


def diabetes(rows=400):
    x, y = datasets.load_diabetes(return_X_y=True)
    return x[:rows] * 10, y[:rows] / 100


SETTINGS = [
    {},
    {"solver": "sgd", "learning_rate_init": 0.05, "alpha": 0.1},
    {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.2, "n_iter_no_change": 1, "tol": 0.02},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5, "activation": "tanh"},
    {"activation": "logistic", "hidden_layer_sizes": (20, 10), "batch_size": 80},
    {"activation": "identity", "shuffle": False},
    {"solver": "lbfgs"},
    {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 100},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
def test_the_same_course(kind, settings):
    x, y = digits() if kind == "MLPClassifier" else diabetes()
    given = {"max_iter": 12, "random_state": 5, **settings}
    theirs = getattr(neural_network, kind)(**given).fit(x, y)
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[kind](dtype="float64", **given).fit(x, y)
    assert ours.n_iter_ == theirs.n_iter_
    for name in ("coefs_", "intercepts_"):
        for own, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(own, other, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-9)
    if settings.get("solver") != "lbfgs":
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-9)
        assert ours.t_ == theirs.t_
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_the_same_course_of_two_classes_with_weights_and_early_stopping():
    x, y = cancer()
    weight = np.random.default_rng(0).uniform(0.1, 2, len(x))
    for given in ({}, {"early_stopping": True}):
        settings = {"alpha": 0, "max_iter": 15, "random_state": 1, **given}
        theirs = neural_network.MLPClassifier(**settings).fit(x, y, weight)
        ours = MLPClassifier(dtype="float64", **settings).fit(x, y, weight)
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-7, atol=1e-12)
        assert ours.validation_scores_ == (theirs.validation_scores_ and pytest.approx(theirs.validation_scores_))
        assert ours.best_validation_score_ == (
            theirs.best_validation_score_ and pytest.approx(theirs.best_validation_score_)
        )
        assert ours.best_loss_ == (theirs.best_loss_ and pytest.approx(theirs.best_loss_, rel=1e-9))


def test_the_same_course_of_several_outputs_and_labels():
    x, y = diabetes()
    several = np.c_[y, y**2, x[:, 0]]
    settings = {"max_iter": 12, "random_state": 2, "alpha": 0}
    theirs = neural_network.MLPRegressor(**settings).fit(x, several)
    ours = MLPRegressor(dtype="float64", **settings).fit(x, several)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    labels = (several > 1).astype(int)
    theirs = neural_network.MLPClassifier(**settings).fit(x, labels)
    ours = MLPClassifier(dtype="float64", **settings).fit(x, labels)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    counts = np.floor(y)
    theirs = neural_network.MLPRegressor("poisson", **settings).fit(x, counts)
    ours = MLPRegressor("poisson", dtype="float64", **settings).fit(x, counts)
    # evenflow's logarithm is that of p + 1e-7, as Keras has it.
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-5)
    assert ours.out_activation_ == theirs.out_activation_ == "exp"


BUNDLED = {
    "iris": (MLPClassifier, datasets.load_iris),
    "wine": (MLPClassifier, datasets.load_wine),
    "breast_cancer": (MLPClassifier, datasets.load_breast_cancer),
    "digits": (MLPClassifier, datasets.load_digits),
    "diabetes": (MLPRegressor, datasets.load_diabetes),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BUNDLED)
def test_scores_on_bundled_data_within_half_a_point(name):
    kind, load = BUNDLED[name]
    x, y = load(return_X_y=True)
    y = y / y.std() if kind is MLPRegressor else y
    theirs = getattr(neural_network, kind.__name__)

    def scores(estimator):
        return cross_val_score(make_pipeline(StandardScaler(), estimator), x, y, cv=5).mean()

    settings = {"max_iter": 100, "random_state": 0}  # in float32, the default
    assert abs(scores(kind(**settings)) - scores(theirs(**settings))) <= 0.005


# ---------------------------------------------------------------------------------------- in scikit-learn's own places


def test_in_pipelines_searches_votes_and_calibration():
    x, y = digits(300)
    pipeline = make_pipeline(
        StandardScaler(), MLPClassifier((20,), max_iter=30, learning_rate_init=0.01, random_state=0)
    )
    grid = {"mlpclassifier__alpha": [1e-4, 1e-1], "mlpclassifier__activation": ["relu", "elu"]}
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=2).fit(x, y)
    alone = GridSearchCV(pipeline, grid, n_jobs=1, cv=2).fit(x, y)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
    assert search.best_score_ > 0.7
    calibrated = CalibratedClassifierCV(MLPClassifier((20,), max_iter=30), cv=2).fit(x, y)
    np.testing.assert_allclose(calibrated.predict_proba(x).sum(axis=1), 1)
    two = [(f"seed {n}", MLPClassifier((20,), max_iter=60, learning_rate_init=0.01, random_state=n)) for n in (1, 2)]
    voted = VotingClassifier(two, voting="soft", n_jobs=2).fit(x, y)
    assert voted.score(x, y) > 0.9


@pytest.mark.parametrize("threads", [1, 2])
def test_cross_validate_gives_the_scores_of_each_alone(threads):
    x, y = digits(300)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, 300)
    estimators = {f"{units}": MLPClassifier((units,), max_iter=5, random_state=0) for units in (5, 10, 20)}
    found = cross_validate(estimators, x, y, cv=3, sample_weight=weight, threads=threads)
    for name, estimator in estimators.items():
        expected = [
            clone(estimator).fit(x[training], y[training], weight[training]).score(x[test], y[test], weight[test])
            for training, test in StratifiedKFold(3).split(x, y)
        ]
        assert found[name]["test_score"].tolist() == expected
        assert (found[name]["fit_time"] > 0).all()
        assert not hasattr(estimator, "coefs_")
    with pytest.raises(ValueError, match=r"estimators\['10'\], fold 0: MLPClassifier: alpha"):
        cross_validate(estimators | {"10": MLPClassifier(alpha=-1)}, x, y, cv=2)
    with pytest.raises(TypeError, match=r"estimators\['a'\]"):
        cross_validate({"a": neural_network.MLPClassifier()}, x, y)
    for rows in (299, 301):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            cross_validate(estimators, x, y, cv=3, sample_weight=np.ones(rows))
    with pytest.raises(TypeError, match="a dict of estimators"):
        cross_validate([MLPClassifier()], x, y)


@pytest.mark.parametrize("given", [{}, {"batch_norm": True, "dropout": 0.1, "solver": "nadam"}, {"solver": "lbfgs"}])
def test_pickles_are_plain_and_go_on_where_they_were(given):
    x, y = digits(200)
    estimator = MLPClassifier((20,), max_iter=4, random_state=0, warm_start=True, **given).fit(x, y)
    text = pickle.dumps(estimator)
    named = set()

    class Spy(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    Spy(io.BytesIO(text)).load()
    assert {name for name in named if not name.startswith("numpy.")} == {"evenflow.sklearn.classifier.MLPClassifier"}
    for copied in (pickle.loads(text), copy.deepcopy(estimator)):
        np.testing.assert_array_equal(copied.predict_proba(x), estimator.predict_proba(x))
        assert "_network" in vars(copied)
        before = copy.deepcopy(estimator).fit(x, y)
        np.testing.assert_array_equal(copied.fit(x, y).predict_proba(x), before.predict_proba(x))
    regressor = MLPRegressor("quantile", (9,), quantile=[0.1, 0.5], max_iter=3).fit(x, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(regressor)).predict(x), regressor.predict(x))


@pytest.mark.parametrize("unpickled", [False, True])
def test_several_threads_predict_with_one_estimator(unpickled):
    x, y = digits(400)
    estimator = MLPClassifier((60, 60), max_iter=3, random_state=0).fit(x, y)
    expected = estimator.predict_proba(x)
    if unpickled:
        estimator = pickle.loads(pickle.dumps(estimator))  # the first that predicts makes the network
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        return [estimator.predict_proba(x) for _ in range(30)] + [
            pickle.loads(pickle.dumps(estimator)).predict_proba(x)
        ]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, range(4)):
            for one in found:
                np.testing.assert_array_equal(one, expected)


def test_float32_rows_are_read_where_they_lie(monkeypatch):
    x, y = digits(200)
    x = x.astype(np.float32)
    seen = []
    fit = evenflow.Sequential.fit

    def spied(self, rows, *arguments, **named):
        seen.append(np.shares_memory(rows, x))
        return fit(self, rows, *arguments, **named)

    monkeypatch.setattr(evenflow.Sequential, "fit", spied)
    estimator = MLPClassifier((5,), max_iter=2).fit(x, y)
    assert seen == [True]
    assert estimator.predict_proba(x).dtype == np.float32
    assert estimator.predict_proba(x.astype(np.float64)).dtype == np.float64
    assert estimator.coefs_[0].dtype == np.float32
    images = (x * 16).astype(np.uint8)
    MLPClassifier((5,), max_iter=2).fit(images, y).predict(images)


def test_exceptions_and_warnings_are_scikit_learns():
    x, y = digits(100)
    for kind in (MLPClassifier, MLPRegressor):
        with pytest.raises(NotFittedError):
            kind().predict(x)
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            kind(max_iter=1).fit(x, y)
        with pytest.warns(DataConversionWarning):
            kind(max_iter=1).fit(x, y[:, None])
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")
        for name, value in {
            "alpha": -1, "max_iter": 0, "tol": -1, "momentum": 2, "beta_1": 1, "epsilon": 0, "dropout": 1.0,
            "early_stopping": "accuracy", "batch_size": 0, "hidden_layer_sizes": (3, -1), "learning_rate": "fast",
            "n_iter_no_change": 0, "dtype": "float16", "solver": "adamm", "activation": "rely", "threads": 0,
        }.items():  # fmt: skip
            with pytest.raises(ValueError, match=f"{name}|{value}"):
                kind(**{name: value}).fit(x, y)
        with pytest.raises(ValueError, match="2: one for each hidden layer"):
            kind(hidden_layer_sizes=(5, 5), activation=["relu"]).fit(x, y)
        with pytest.raises(ValueError, match="validation set is too small"):
            kind(early_stopping=True, validation_fraction=0.001).fit(x, y)
        with pytest.raises(ValueError, match="go together"):
            kind().fit(x, y, X_val=x)
        with pytest.raises(ValueError, match="features"):
            kind(max_iter=1).fit(x, y).predict(x[:, :5])
        with pytest.raises(TypeError):
            kind(lr=3)
        with pytest.raises(ValueError, match="lr"):
            kind().set_params(lr=3)
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(x, y)
    fitted = MLPClassifier(max_iter=1, warm_start=True).fit(x, y)
    with pytest.raises(ValueError, match="warm_start can only be used"):
        fitted.fit(x[y < 5], y[y < 5])


def test_ctrl_c_leaves_a_model(monkeypatch):
    x, y = digits(200)

    def interrupted(self, *arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("evenflow.sklearn.training.Watch.on_epoch_end", interrupted)
    estimator = MLPClassifier((5,), max_iter=50)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        estimator.fit(x, y)
    assert estimator.predict(x).shape == (200,)


def test_import_needs_scikit_learn_and_only_on_demand():
    code = "import evenflow, sys; evenflow.sklearn; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    lines = (
        "import sys; sys.modules['sklearn'] = None",
        "import evenflow",
        "try: evenflow.sklearn",
        "except ModuleNotFoundError as error: print(error)",
    )
    code = "\n".join(lines)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'evenflow[sklearn]'" in done.stdout


def test_warnings_come_from_the_callers_line():
    x, y = digits(100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPClassifier(max_iter=1, batch_size=500).fit(x, y)
    assert {one.filename for one in caught} == {__file__}
    assert len(caught) == 2
