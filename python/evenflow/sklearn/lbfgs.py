"""solver="lbfgs": SciPy's L-BFGS-B on loss and gradient of all rows, which the native program computes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize  # type: ignore[import-untyped]
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]

from .network import penalize

if TYPE_CHECKING:
    from ..models import Sequential
    from .perceptron import Perceptron

Array = NDArray[Any]


def minimize(
    estimator: Perceptron, model: Sequential, x: Array, targets: Array, weight: Array | None
) -> tuple[int, float]:
    """Move the model's weights to a minimum; iterations and loss. A step of SGD with the rate 0 is an evaluation.

    The penalty is divided by the sum of the weights of rows, as in scikit-learn.
    """
    penalize(model, float(estimator.alpha), len(x) if weight is None else float(weight.sum()))
    pair = model._read_pair("fit", x, targets, weight, allow_nonfinite=False)
    optimizer = model.optimizer
    assert optimizer is not None  # every network is compiled
    executor = model._executor_for(len(x), training=True, exact=True)
    program = executor.take(optimizer)

    def loss_and_gradient(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        program.parameters[:] = parameters
        progress = program.train(pair.x, pair.y, learning_rate=0.0, batch_size=len(x), sample_weight=pair.weights)
        return progress.loss / progress.rows, np.array(program.gradients)

    with executor.threads(estimator.threads or 0):
        found = scipy.optimize.minimize(
            loss_and_gradient,
            np.array(program.parameters),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
    program.parameters[:] = found.x
    if found.status != 0:
        warnings.warn(
            f"lbfgs failed to converge (status={found.status}): {found.message}. Increase the number of iterations "
            "(max_iter), or scale the data.",
            ConvergenceWarning,
            stacklevel=4,
        )
    return min(int(found.nit), estimator.max_iter), float(found.fun)
