"""A door to scikit-learn: its MLPClassifier and MLPRegressor, trained by evenflow, with what its users ask for.

`from evenflow.sklearn import MLPClassifier` in place of `from sklearn.neural_network import MLPClassifier` is all that
has to change: parameters, defaults, attributes and the numbers that `random_state` draws are the same. The estimators
work in pipelines, searches, votes and calibration, and pickle as plain arrays and settings. `cross_validate` fits many
of them at once.

Needs scikit-learn: pip install 'evenflow[sklearn]'.
"""

from __future__ import annotations

try:
    import sklearn  # type: ignore[import-untyped]
except ImportError as error:
    raise ModuleNotFoundError(
        "evenflow.sklearn: scikit-learn is not installed; install it with: pip install 'evenflow[sklearn]'"
    ) from error
del sklearn

from .classifier import MLPClassifier  # noqa: E402
from .regressor import MLPRegressor  # noqa: E402
from .validation import cross_validate  # noqa: E402

__all__ = ["MLPClassifier", "MLPRegressor", "cross_validate"]
