"""`evenflow bench --estimators`: evenflow's MLPClassifier and MLPRegressor beside scikit-learn's, in the same folds.

On scikit-learn's bundled data, 5 folds of each, in one process, each on one core, which is best for such networks: a
fold is fitted by one, then by the other. Scores are means of the folds, times sums of each fold's least time.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

DATA = {
    "iris": ("MLPClassifier", "load_iris"),
    "wine": ("MLPClassifier", "load_wine"),
    "breast_cancer": ("MLPClassifier", "load_breast_cancer"),
    "digits": ("MLPClassifier", "load_digits"),
    "diabetes": ("MLPRegressor", "load_diabetes"),
}
SETTINGS: dict[str, Any] = {"max_iter": 100, "random_state": 0}
TOLERANCE = 0.005  # half a point


@dataclass
class Row:
    """One data set: scores and seconds of evenflow and of scikit-learn."""

    name: str
    rows: int
    score: float
    reference_score: float
    seconds: float
    reference_seconds: float


def measure(rounds: int) -> list[Row]:
    """All data sets, each fit `rounds` times."""
    return [_measure(name, *where, rounds) for name, where in DATA.items()]


def _measure(name: str, kind: str, load: str, rounds: int) -> Row:
    from sklearn import datasets, neural_network  # type: ignore[import-untyped, unused-ignore]
    from sklearn.model_selection import KFold, StratifiedKFold  # type: ignore[import-untyped, unused-ignore]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped, unused-ignore]
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    import evenflow.sklearn as door

    x, y = getattr(datasets, load)(return_X_y=True)
    y = y / y.std() if kind == "MLPRegressor" else y
    splitter = StratifiedKFold(5) if kind == "MLPClassifier" else KFold(5)
    modules, own = (door, neural_network), ({"threads": 1}, {})
    scores: list[list[float]] = [[], []]
    seconds = [0.0, 0.0]
    for training, test in splitter.split(x, y):
        scaler = StandardScaler().fit(x[training])
        x_training, x_test = scaler.transform(x[training]), scaler.transform(x[test])
        least = [float("inf")] * 2
        for turn in range(rounds):
            for i, module in enumerate(modules):
                estimator = getattr(module, kind)(**SETTINGS, **own[i])
                begin = time.perf_counter()
                with warnings.catch_warnings(), threadpool_limits(1):
                    warnings.simplefilter("ignore")  # that 100 epochs are not convergence
                    estimator.fit(x_training, y[training])
                least[i] = min(least[i], time.perf_counter() - begin)
                if turn == 0:
                    scores[i].append(float(estimator.score(x_test, y[test])))
        seconds = [total + one for total, one in zip(seconds, least, strict=True)]
    return Row(name, len(x), float(np.mean(scores[0])), float(np.mean(scores[1])), *seconds)


def table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    lines = [
        f"Estimators: 5 folds, {SETTINGS['max_iter']} epochs at most; accuracy, for diabetes R2",
        f"{'':15}{'rows':>6}{'evenflow':>10}{'sklearn':>10}{'evenflow s':>12}{'sklearn s':>11}{'times':>7}",
    ]
    for row in rows:
        wrong = "" if abs(row.score - row.reference_score) <= TOLERANCE else "  NOT the same answer"
        lines.append(
            f"{row.name:15}{row.rows:6}{row.score:10.4f}{row.reference_score:10.4f}{row.seconds:12.3f}"
            f"{row.reference_seconds:11.3f}{row.reference_seconds / row.seconds:7.1f}{wrong}"
        )
    return "\n".join(lines)


def failed(rows: Sequence[Row]) -> bool:
    """Whether a score is another one."""
    return any(abs(row.score - row.reference_score) > TOLERANCE for row in rows)


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """For `--json`."""
    return {"estimators": [asdict(row) for row in rows]} if rows else {}
