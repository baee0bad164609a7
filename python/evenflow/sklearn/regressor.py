"""MLPRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin  # type: ignore[import-untyped]
from sklearn.utils import column_or_1d  # type: ignore[import-untyped]
from sklearn.utils.metaestimators import available_if  # type: ignore[import-untyped]

from .. import errors, losses
from ..losses import Loss, Quantile
from .classifier import MEAN
from .perceptron import Perceptron, has_partial_fit

Array = NDArray[Any]

# scikit-learn's names of losses; the squared error is half of evenflow's.
LOSSES = {
    "squared_error": ("mean_squared_error", 0.5),
    "poisson": ("poisson", 1.0),
    "absolute_error": ("mean_absolute_error", 1.0),
    "quantile": ("quantile", 1.0),
}


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's MLPRegressor, trained by evenflow.

    All parameters, attributes and defaults are scikit-learn's, and so are the numbers that `random_state` draws: with
    the same parameters both go the same way, to within rounding. Beside what scikit-learn has:

    loss: "squared_error", "poisson", "absolute_error", "huber", "quantile", or any of `evenflow.losses`, by name or as
    an object. Of several outputs the loss is the sum, which is what scikit-learn's gradients follow.
    quantile: that of loss="quantile", or a list of several, each with its own column of `predict`.
    out_activation: of the outputs; None: the exponential for "poisson", else none.
    activation: any of `evenflow.activations`, an activation layer, or a list of one for each hidden layer.
    solver: "sgd", "adam", "lbfgs"; any optimizer of `evenflow.optimizers`, by name or as an object.
    learning_rate: also a schedule of `evenflow.schedules`, for every solver but "lbfgs", in place of
        `learning_rate_init` or the rate of a solver that is an object, which is used otherwise.
    early_stopping: True (or "score") watches R2 of the validation rows, "loss" their loss.
    batch_norm: normalize each hidden layer's batch before its activation.
    dropout: share of each hidden layer's units that a step leaves out (alpha dropout beside "selu").
    dtype: of the arithmetic, "float32" or "float64"; solver="lbfgs" always has the latter.
    threads: how many to use; None: as many as are fastest. Give 1 where models are trained side by side.

    y [rows] or [rows, outputs]. Attributes beside scikit-learn's: `validation_loss_curve_`, the loss of the validation
    rows after each epoch, and `model_`, the network. `validation_scores_` is there whenever there are validation rows.
    """

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: Any = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        quantile: Any = 0.5,
        out_activation: Any = None,
        batch_norm: bool = False,
        dropout: float = 0.0,
        dtype: str = "float32",
        threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.quantile = quantile
        self.out_activation = out_activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.dtype = dtype
        self.threads = threads

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Train on X [rows, features] and y. `sample_weight` [rows] weights rows; `X_val`, `y_val` (and
        `sample_weight_val`) are the rows to validate on after each epoch, in place of a share of X.

        float32, float64 and uint8 rows are read where they lie. With `warm_start`, weights and the optimizer's state go
        on from where they were.
        """
        held = None if X_val is None and y_val is None else (X_val, y_val, sample_weight_val)
        self._train(X, y, sample_weight, held)
        return self

    @available_if(has_partial_fit)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """One epoch on these rows.

        With `early_stopping` each call validates; after more than `n_iter_no_change` calls without improvement the best
        weights are put back, and later calls change nothing. solver="lbfgs" has no such method.
        """
        held = None if X_val is None and y_val is None else (X_val, y_val, sample_weight_val)
        self._train(X, y, sample_weight, held, incremental=True)
        return self

    # what Perceptron asks for

    def _read_targets(self, y: Any, *, first: bool, incremental: bool) -> tuple[Array, Array | None]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if np.asarray(y).dtype.kind not in "fiub":
            y = np.asarray(y).astype(np.float64)  # numbers as text or objects, as scikit-learn's `y_numeric`
        targets = y.reshape(len(y), -1)
        if first:
            self._targets = targets.shape[1]
            given = "exp" if self.loss == "poisson" else "identity"
            # scikit-learn reports the mean over outputs, and follows the gradient of the sum.
            self._loss_scale = 1 / self._targets if self.loss == "squared_error" else 1.0
            self.out_activation_ = given if self.out_activation is None else self.out_activation
        elif targets.shape[1] != self._targets:
            raise errors.wrong_shape(type(self).__name__, "y", ("rows", self._targets), y.shape)
        return targets, None

    def _loss(self) -> tuple[Loss, float, int]:
        where = type(self).__name__
        if isinstance(self.loss, str):
            name, weight = LOSSES.get(self.loss, (self.loss, 1.0))
            kind: Any = losses.REGISTRY.find(where, "loss", name)
            loss: Loss = kind(self.quantile, reduction=MEAN) if kind is Quantile else kind(reduction=MEAN)
            weight *= self._targets
        else:
            loss, weight = losses.get(self.loss, where), 1.0
        return loss, weight, self._targets * loss.outputs_per_target

    def _metric(self) -> str | None:
        return "r2_score" if self._loss()[0].point_block() is not None else None

    def _score_of(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        return -float(self._loss()[0](targets, outputs, weight))

    # predictions

    def predict(self, X: Any) -> Array:
        """The predicted values, [rows] or [rows, outputs]; of several quantiles a block of columns for each."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2 of the predictions: of the median's, where there are several quantiles."""
        loss = self._loss()[0]
        if loss.outputs_per_target == 1:
            return float(super().score(X, y, sample_weight))
        from sklearn.metrics import r2_score  # type: ignore[import-untyped]

        block = loss.point_block()
        if block is None:
            raise ValueError(
                f"{type(self).__name__}.score: R2 needs a prediction of the target itself: 0.5 is not "
                f"among the quantiles {self.quantile}"
            )
        predicted = np.split(self._outputs(X), loss.outputs_per_target, axis=1)[block]
        return float(r2_score(y, predicted[:, 0] if self._targets == 1 else predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
