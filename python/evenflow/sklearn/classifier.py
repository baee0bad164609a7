"""MLPClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin  # type: ignore[import-untyped]
from sklearn.metrics import accuracy_score  # type: ignore[import-untyped]
from sklearn.utils import column_or_1d  # type: ignore[import-untyped]
from sklearn.utils.class_weight import compute_sample_weight  # type: ignore[import-untyped]
from sklearn.utils.metaestimators import available_if  # type: ignore[import-untyped]
from sklearn.utils.multiclass import check_classification_targets, type_of_target  # type: ignore[import-untyped]

from ..losses import BinaryCrossentropy, Loss, SparseCategoricalCrossentropy
from .perceptron import Perceptron, has_partial_fit

Array = NDArray[Any]

MEAN = "mean_with_sample_weight"  # as scikit-learn has it: by the sum of a batch's weights


class MLPClassifier(ClassifierMixin, Perceptron):  # type: ignore[misc]
    """scikit-learn's MLPClassifier, trained by evenflow.

    All parameters, attributes and defaults are scikit-learn's, and so are the numbers that `random_state` draws: with
    the same parameters both go the same way, to within rounding. Beside what scikit-learn has:

    activation: any of `evenflow.activations`, an activation layer, or a list of one for each hidden layer.
    solver: "sgd", "adam", "lbfgs"; any optimizer of `evenflow.optimizers`, by name or as an object.
    learning_rate: also a schedule of `evenflow.schedules`, for every solver but "lbfgs", in place of
        `learning_rate_init` or the rate of a solver that is an object, which is used otherwise.
    early_stopping: True (or "score") watches the accuracy of the validation rows, "loss" their loss.
    batch_norm: normalize each hidden layer's batch before its activation.
    dropout: share of each hidden layer's units that a step leaves out (alpha dropout beside "selu").
    class_weight: "balanced", or a dict of weights by label.
    dtype: of the arithmetic, "float32" or "float64"; solver="lbfgs" always has the latter.
    threads: how many to use; None: as many as are fastest. Give 1 where models are trained side by side.

    y [rows] holds labels of any kind; or, for several labels at once, [rows, labels] of 0 and 1.

    Attributes beside scikit-learn's: `validation_loss_curve_`, the loss of the validation rows after each epoch, and
    `model_`, the network. `validation_scores_` is there whenever there are validation rows.
    """

    def __init__(
        self,
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
        batch_norm: bool = False,
        dropout: float = 0.0,
        class_weight: Any = None,
        dtype: str = "float32",
        threads: int | None = None,
    ) -> None:
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
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.class_weight = class_weight
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
    ) -> MLPClassifier:
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
        classes: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """One epoch on these rows; the first call names all `classes`, unless y has several labels for each row.

        With `early_stopping` each call validates; after more than `n_iter_no_change` calls without improvement the best
        weights are put back, and later calls change nothing. solver="lbfgs" has no such method.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}.partial_fit: class_weight={self.class_weight!r} needs all rows: give a dict"
            )
        if not hasattr(self, "classes_"):
            if classes is None and not type_of_target(y).startswith("multilabel"):
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self._partial_classes = None if classes is None else np.unique(np.asarray(classes))
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        held = None if X_val is None and y_val is None else (X_val, y_val, sample_weight_val)
        self._train(X, y, sample_weight, held, incremental=True)
        return self

    # what Perceptron asks for

    def _read_targets(self, y: Any, *, first: bool, incremental: bool) -> tuple[Array, Array | None]:
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kind = type_of_target(y, input_name="y")
        several = kind == "multilabel-indicator"
        if kind == "multiclass-multioutput":
            raise ValueError(
                f"{type(self).__name__}: y: expected labels [rows], or [rows, labels] of 0 and 1, received "
                f"shape {y.shape} with other values"
            )
        if first:
            named = getattr(self, "_partial_classes", None) if incremental else None
            self._several = several
            self.classes_ = np.arange(y.shape[1]) if several else np.unique(y) if named is None else named
            self.out_activation_ = "softmax" if not several and len(self.classes_) > 2 else "logistic"
        if several != self._several or (several and y.shape[1] != len(self.classes_)):
            raise ValueError(
                f"{type(self).__name__}: y has shape {y.shape}, expected what the first call was given: "
                f"{f'[rows, {len(self.classes_)}]' if self._several else '[rows]'}"
            )
        if several:
            return y.astype(np.float32), None
        present = np.unique(y)
        if self.warm_start and not first and not incremental and not np.array_equal(present, self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes_}, `y` has {present}"
            )
        if len(np.setdiff1d(present, self.classes_)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {present}."
            )
        numbers = np.searchsorted(self.classes_, y)
        if len(self.classes_) > 2:
            return numbers, numbers
        return (numbers == 1).astype(np.float32)[:, None], numbers

    def _loss(self) -> tuple[Loss, float, int]:
        if self.out_activation_ == "softmax":
            return SparseCategoricalCrossentropy(reduction=MEAN), 1.0, len(self.classes_)
        outputs = len(self.classes_) if self._several else 1
        return BinaryCrossentropy(reduction=MEAN), float(outputs), outputs  # of several labels the sum

    def _row_weights(self, y: Any, sample_weight: Array | None, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        if self._several:
            raise ValueError(f"{type(self).__name__}: class_weight: expected None where rows have several labels")
        weight: Array = compute_sample_weight(self.class_weight, y)
        return weight if sample_weight is None else weight * sample_weight

    def _metric(self) -> str | None:
        return None if self._several else "accuracy"

    def _score_of(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        return float(accuracy_score(targets > 0.5, outputs > 0.5, sample_weight=weight))

    # predictions

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, [rows, classes] in the order of `classes_`; of several labels, of each."""
        outputs = self._outputs(X)
        if self._several:
            return outputs
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        if outputs.shape[1] == 1:
            return np.hstack([1 - outputs, outputs])
        probabilities: Array = outputs / outputs.sum(axis=1, keepdims=True)  # in float32 to within rounding only
        return probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def predict(self, X: Any) -> Array:
        """The most probable class of each row; of several labels, 1 for those of more than 0.5."""
        outputs = self._outputs(X)
        if self._several:
            return (outputs > 0.5).astype(int)
        if outputs.shape[1] == 1:
            chosen = (outputs[:, 0] > 0.5).astype(int) if len(self.classes_) > 1 else np.zeros(len(outputs), int)
        else:
            chosen = outputs.argmax(axis=1)
        found: Array = self.classes_[chosen]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
