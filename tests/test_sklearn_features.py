"""evenflow.sklearn: what users of scikit-learn's networks have asked for, and were refused."""

import pickle

import numpy as np
import pytest

import evenflow

sklearn = pytest.importorskip("sklearn")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

from sklearn import datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402

from evenflow.sklearn import MLPClassifier, MLPRegressor  # noqa: E402


def digits(rows):
    x, y = datasets.load_digits(return_X_y=True)
    return x[:rows] / 16, y[:rows]


def test_any_activation_optimizer_and_schedule():
    x, y = digits(300)
    schedule = evenflow.schedules.CosineDecay(0.01, 60)
    estimator = MLPClassifier(
        (20, 15, 10),
        ["mish", evenflow.layers.LeakyReLU(negative_slope=0.05), "selu"],
        solver=evenflow.optimizers.AdamW(schedule, weight_decay=0.01),
        batch_norm=True,
        dropout=0.1,
        max_iter=30,
        random_state=0,
    )
    for fitted in (estimator.fit(x, y), clone(estimator).fit(x, y), estimator.fit(x, y)):
        assert fitted.score(x, y) > 0.8
        assert [len(intercept) for intercept in fitted.intercepts_] == [20, 15, 10, 10]
        kinds = [type(layer).__name__ for layer in fitted.model_.layers]
        assert kinds[:4] == ["Dense", "BatchNormalization", "Activation", "Dropout"]
        assert kinds[8:12] == ["Dense", "BatchNormalization", "Activation", "AlphaDropout"]
        assert fitted.model_.optimizer.iterations == 60
    same = clone(estimator).fit(x, y)
    np.testing.assert_array_equal(same.predict_proba(x), estimator.predict_proba(x))  # random_state says it all
    assert MLPClassifier((20,), learning_rate=schedule, max_iter=30, random_state=0).fit(x, y).score(x, y) > 0.8


def test_no_rate_is_ignored():
    x, y = digits(200)
    schedule = evenflow.schedules.CosineDecay(0.01, 60)
    by_name = MLPClassifier((9,), solver="adamw", learning_rate=schedule, max_iter=5, random_state=0)
    solver = evenflow.optimizers.AdamW(0.5)
    by_object = clone(by_name).set_params(solver=solver).fit(x, y)
    np.testing.assert_array_equal(by_object.predict_proba(x), by_name.fit(x, y).predict_proba(x))
    assert solver.learning_rate == 0.5  # the user's own
    assert clone(by_object).set_params(learning_rate="constant").fit(x, y).model_.optimizer.learning_rate == 0.5

    for again in ("fit", "partial_fit"):
        warm = MLPClassifier((9,), max_iter=3, warm_start=True, random_state=0).fit(x, y)
        getattr(warm.set_params(learning_rate_init=0.05), again)(x, y)
        assert warm.model_.optimizer.learning_rate == pytest.approx(0.05)
        assert warm.model_.optimizer.iterations == (6 if again == "fit" else 4)
        copied = pickle.loads(pickle.dumps(warm)).set_params(learning_rate=schedule)
        optimizer = getattr(copied, again)(x, y).model_.optimizer
        assert optimizer.learning_rate == pytest.approx(schedule(optimizer.iterations))

    lowered = MLPClassifier((9,), solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=1, max_iter=9)
    rate = lowered.set_params(warm_start=True).fit(x, y).model_.optimizer.learning_rate
    assert rate < 0.001
    assert lowered.fit(x, y).model_.optimizer.learning_rate <= rate  # goes on from there
    lowered.set_params(learning_rate_init=1.0, max_iter=1).fit(x, y)
    assert lowered.model_.optimizer.learning_rate >= 0.2


def test_class_weight():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = np.where(x[:, 0] + rng.normal(size=300) > 1.3, "rare", "common")
    plain = MLPClassifier((8,), max_iter=80, random_state=0).fit(x, y)
    counts = {label: (y == label).sum() for label in ("common", "rare")}
    by_hand = {label: 300 / (2 * count) for label, count in counts.items()}
    balanced = MLPClassifier((8,), max_iter=80, random_state=0, class_weight="balanced").fit(x, y)
    given = MLPClassifier((8,), max_iter=80, random_state=0, class_weight=by_hand).fit(x, y)
    weights = np.vectorize(by_hand.get)(y)
    by_rows = MLPClassifier((8,), max_iter=80, random_state=0).fit(x, y, weights)
    assert (balanced.predict(x) == "rare").sum() > 1.5 * (plain.predict(x) == "rare").sum()
    np.testing.assert_array_equal(balanced.predict_proba(x), given.predict_proba(x))
    np.testing.assert_array_equal(balanced.predict_proba(x), by_rows.predict_proba(x))


@pytest.mark.parametrize("stopping", ["score", "loss", True])
def test_own_validation_rows_and_curves(stopping):
    x, y = digits(500)
    held = {"X_val": x[400:], "y_val": y[400:], "sample_weight_val": np.linspace(0.5, 1.5, 100)}
    estimator = MLPClassifier(
        (30,), max_iter=100, early_stopping=stopping, n_iter_no_change=3, random_state=0, tol=1e-2
    )
    estimator.fit(x[:400], y[:400], **held)
    assert estimator.n_iter_ < 100
    assert len(estimator.validation_scores_) == len(estimator.validation_loss_curve_) == estimator.n_iter_
    score = estimator.score(x[400:], y[400:], held["sample_weight_val"])
    assert score == pytest.approx(estimator.best_validation_score_)
    best = (
        np.argmin(estimator.validation_loss_curve_) if stopping == "loss" else np.argmax(estimator.validation_scores_)
    )
    assert estimator.validation_scores_[best] == pytest.approx(score)
    curves = MLPClassifier((30,), max_iter=5, random_state=0).fit(x[:400], y[:400], **held)
    assert len(curves.validation_scores_) == 5  # curves without stopping
    several = (np.arange(3) < y[:, None] % 4).astype(int)
    estimator = MLPClassifier((30,), max_iter=5, random_state=0, early_stopping=stopping)
    estimator.fit(x[:400], several[:400], X_val=x[400:], y_val=several[400:])
    assert estimator.score(x[400:], several[400:]) == pytest.approx(estimator.best_validation_score_)


def test_warm_start_keeps_the_optimizer():
    x, y = digits(400)
    whole = MLPClassifier((20,), max_iter=6, random_state=0).fit(x, y)
    parts = MLPClassifier((20,), max_iter=3, random_state=0, warm_start=True).fit(x, y).fit(x, y)
    assert parts.model_.optimizer.iterations == whole.model_.optimizer.iterations == 6 * 2
    # Orders of rows are drawn in the same way but compounded anew, so only the state can be compared without them.
    settings = {"random_state": 0, "shuffle": False}
    whole = MLPClassifier((20,), max_iter=6, **settings).fit(x, y)
    parts = MLPClassifier((20,), max_iter=3, warm_start=True, **settings).fit(x, y).fit(x, y)
    np.testing.assert_array_equal(parts.predict_proba(x), whole.predict_proba(x))
    assert parts.loss_curve_ == whole.loss_curve_
    again = MLPClassifier((20,), max_iter=3, **settings)
    np.testing.assert_array_equal(again.fit(x, y).predict_proba(x), again.fit(x, y).predict_proba(x))


def test_partial_fit():
    x, y = digits(400)
    classes = np.arange(10)
    parts = MLPClassifier((20,), random_state=0, learning_rate_init=0.01)
    for _ in range(5):
        for start in range(0, 400, 100):
            parts.partial_fit(x[start : start + 100], y[start : start + 100], classes=classes)
    assert parts.score(x, y) > 0.4
    assert parts.t_ == 5 * 400
    with pytest.raises(ValueError, match="not the same as on last call"):
        parts.partial_fit(x, y, classes=[1, 2])
    with pytest.raises(ValueError, match="class_weight='balanced' needs all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=classes)

    several = (np.arange(3) < y[:, None] % 4).astype(int)
    labels = MLPClassifier((20,), random_state=0)
    for _ in range(20):
        labels.partial_fit(x, several)
    assert labels.predict(x).shape == (400, 3)

    stopping = MLPClassifier((20,), random_state=0, early_stopping=True, n_iter_no_change=2, tol=0.5)
    for _ in range(10):
        stopping.partial_fit(x[:300], y[:300], classes=classes, X_val=x[300:], y_val=y[300:])
    assert len(stopping.validation_scores_) < 10
    assert stopping.score(x[300:], y[300:]) == pytest.approx(stopping.best_validation_score_)
    before = stopping.predict_proba(x)
    size = len(pickle.dumps(stopping))
    held = {"X_val": x[300:], "y_val": y[300:]}
    np.testing.assert_array_equal(stopping.partial_fit(x, y, **held).predict_proba(x), before)
    assert stopping.n_iter_ == 1
    assert len(pickle.dumps(stopping)) <= size  # no rows with it


def test_a_refused_fit_leaves_the_estimator_as_it_was():
    x, y = digits(300)
    for warm_start in (False, True):
        settings = {"max_iter": 30, "learning_rate_init": 0.01, "random_state": 0}
        estimator = MLPClassifier((20,), warm_start=warm_start, **settings).fit(x, y)
        before, probabilities = dict(vars(estimator)), estimator.predict_proba(x)
        held = {"X_val": x[:, :3], "y_val": y}
        for rows, labels, parameters, more, text in (
            (x, y, {}, held, "features"),
            (x, y, {}, {"X_val": x[:5], "y_val": y[:5], "sample_weight_val": np.ones(4)}, "sample_weight"),
            (x, y, {"early_stopping": True, "validation_fraction": 0.001}, {}, "too small"),
            (x, y, {"activation": ["relu", "elu"]}, {}, "one for each hidden layer"),
            (x, y, {"hidden_layer_sizes": (5, 0)}, {}, "hidden_layer_sizes"),
            (x[:, :9], y % 2, {}, held, "features|classes"),
            (x[:20, :9], y[:19], {}, {}, "samples|features"),
            (x, np.where(y > 4, "a", "b"), {"solver": "nadamm"}, {}, "nadamm|classes|mix|labels"),
        ):
            kept = {name: getattr(estimator, name) for name in parameters}
            with pytest.raises((ValueError, TypeError), match=text):
                estimator.set_params(**parameters).fit(rows, labels, **more)
            estimator.set_params(**kept)
            assert vars(estimator).keys() == before.keys()
            assert [name for name, value in before.items() if vars(estimator)[name] is not value] == []
            np.testing.assert_array_equal(estimator.predict_proba(x), probabilities)
        assert estimator.score(x, y) > 0.9
    regressor = MLPRegressor(hidden_layer_sizes=(20,), max_iter=50, random_state=0).fit(x, y)
    predicted = regressor.predict(x)
    with pytest.raises(ValueError, match="non-finite"):
        regressor.set_params(solver="sgd", learning_rate_init=1e30).fit(x, y)
    np.testing.assert_array_equal(regressor.predict(x), predicted)
    unfitted = MLPRegressor()
    with pytest.raises(ValueError, match="features"):
        unfitted.fit(x, y, X_val=x[:, :3], y_val=y)
    assert not hasattr(unfitted, "n_features_in_")


def test_losses_of_the_regressor(rng):
    x = rng.normal(size=(800, 1)).astype(np.float32)
    y = x[:, 0] + rng.normal(size=800)
    settings = {"hidden_layer_sizes": (20,), "max_iter": 150, "random_state": 0, "learning_rate_init": 0.01}
    lower, median, upper = (MLPRegressor("quantile", quantile=q, **settings).fit(x, y) for q in (0.1, 0.5, 0.9))
    for estimator, share in ((lower, 0.1), (median, 0.5), (upper, 0.9)):
        assert abs((y < estimator.predict(x)).mean() - share) < 0.04
    several = MLPRegressor("quantile", quantile=[0.1, 0.5, 0.9], **settings).fit(x, y)
    predicted = several.predict(x)
    assert predicted.shape == (800, 3)
    for column, share in enumerate((0.1, 0.5, 0.9)):
        assert abs((y < predicted[:, column]).mean() - share) < 0.04
    assert several.score(x, y) > 0.3  # the median's
    ends = MLPRegressor("quantile", quantile=[0.1, 0.9], early_stopping=True, **settings).fit(x, y)
    with pytest.raises(ValueError, match=r"0\.5 is not among the quantiles"):
        ends.score(x, y)
    for loss in ("absolute_error", "huber", evenflow.losses.LogCosh(), "mae"):
        assert MLPRegressor(loss, **settings).fit(x, y).score(x, y) > 0.3
    bounded = MLPRegressor(out_activation="sigmoid", **settings).fit(x, y)
    assert bounded.predict(x).min() >= 0
    with pytest.raises(ValueError, match="loss='mea'"):
        MLPRegressor("mea").fit(x, y)


def test_the_network_itself(tmp_path):
    x, y = digits(200)
    estimator = MLPClassifier((9,), max_iter=3, batch_norm=True, random_state=0).fit(x, y)
    estimator.model_.save(tmp_path / "model.safetensors")
    again = evenflow.models.load_model(tmp_path / "model.safetensors")
    probabilities = again.predict(x, verbose=0)
    np.testing.assert_allclose(estimator.predict_proba(x), probabilities, rtol=1e-6)
    with pytest.raises(TypeError, match="model_"):
        evenflow.convert.from_sklearn(estimator)
