"""cross_validate: many estimators on the same folds, one on each core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier  # type: ignore[import-untyped]
from sklearn.model_selection import check_cv  # type: ignore[import-untyped]
from sklearn.utils import _safe_indexing, check_consistent_length  # type: ignore[import-untyped]

from .. import _core, errors
from ..many.together import Together
from .perceptron import Perceptron

Array = NDArray[np.float64]


def cross_validate(
    estimators: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    groups: Any = None,
    sample_weight: Any = None,
    threads: int | None = None,
) -> dict[str, dict[str, Array]]:
    """scikit-learn's `cross_validate` of many of this module's estimators, by name, at once: one on each core, in
    threads that share the rows, each estimator by one thread. Bits are those of fitting each alone.

    `cv`: as scikit-learn has it: a number of folds (5 if None; stratified for a classifier), a splitter, or pairs of
    row numbers; all estimators have the same folds. `groups` go to the splitter, `sample_weight` to `fit` and `score`.
    `threads`: how many estimators at once, `evenflow.num_threads()` unless given.

    Returns for each name "test_score" (of `score`), "fit_time" and "score_time" in seconds, each an array of the folds.
    What a fit raises is raised here, with the estimator's name, when the others are done.
    """
    where = "cross_validate"
    if not isinstance(estimators, Mapping) or not estimators:
        raise errors.wrong_type(where, "estimators", "a dict of estimators by name", estimators)
    for name, estimator in estimators.items():
        if not isinstance(estimator, Perceptron):
            raise errors.wrong_type(where, f"estimators[{name!r}]", "an estimator of evenflow.sklearn", estimator)
    workers = _core.num_threads() if threads is None else errors.integer(where, "threads", threads, at_least=1)
    check_consistent_length(X, y, sample_weight)
    splitter = check_cv(cv, y, classifier=all(is_classifier(one) for one in estimators.values()))
    folds = list(splitter.split(X, y, groups))
    jobs = [
        _Job(clone(estimator).set_params(threads=1), X, y, sample_weight, *fold)
        for fold in folds
        for estimator in estimators.values()
    ]
    names = list(estimators) * len(folds)
    results = Together(jobs, workers).run()
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        if isinstance(result, Exception):
            fold = number // len(estimators)
            kind = type(result) if type(result) in (TypeError, ValueError) else RuntimeError
            raise kind(f"{where}: estimators[{name!r}], fold {fold}: {result}") from result
    table = np.reshape(np.array(results, np.float64), (len(folds), len(estimators), 3))
    keys = ("test_score", "fit_time", "score_time")
    return {
        name: {key: table[:, number, column] for column, key in enumerate(keys)}
        for number, name in enumerate(estimators)
    }


class _Job:
    """An estimator's fit and score on a fold."""

    def __init__(self, estimator: Any, X: Any, y: Any, weight: Any, training: Any, test: Any) -> None:
        self.estimator, self.data, self.training, self.test = estimator, (X, y, weight), training, test

    def __call__(self) -> tuple[float, float, float]:
        begin = time.perf_counter()
        self.estimator.fit(*self._rows(self.training))
        fitted = time.perf_counter()
        score = self.estimator.score(*self._rows(self.test))
        self.estimator = None  # only the score is wanted
        return float(score), fitted - begin, time.perf_counter() - fitted

    def _rows(self, rows: Any) -> list[Any]:
        return [None if one is None else _safe_indexing(one, rows) for one in self.data]
