"""Perceptron: what the classifier and the regressor have in common."""

from __future__ import annotations

import math
import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from sklearn.utils import check_random_state  # type: ignore[import-untyped]
from sklearn.utils.validation import (  # type: ignore[import-untyped]
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from .. import errors, optimizers
from ..losses import Loss
from ..models import Sequential
from ..models.model import check_dtype
from ..optimizers import Optimizer
from ..optimizers.schedules import LearningRateSchedule
from . import lbfgs, saved
from .network import build, dense_layers, penalize, read_activations, read_sizes
from .training import Shuffler, Watch

Array = NDArray[Any]

RATES = ("constant", "invscaling", "adaptive")
LARGEST_BATCH = 200  # of batch_size="auto"
READ_IN_PLACE = (np.float64, np.float32, np.uint8)


def has_partial_fit(estimator: Perceptron) -> bool:
    """Raise AttributeError for a solver that sees all rows in each step."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
    return True


class Perceptron(BaseEstimator):  # type: ignore[misc]
    """A network behind scikit-learn's interface; its subclasses know what the targets are."""

    _loss_scale = 1.0  # of the curves, in terms of what training minimizes
    _named_rate: Any  # `_rate()` as it was when the network's optimizer was given it

    # what a subclass provides

    def _read_targets(self, y: Any, *, first: bool, incremental: bool) -> tuple[Array, Array | None]:
        """Targets as the loss takes them, and classes to stratify by where there are any."""
        raise NotImplementedError

    def _loss(self) -> tuple[Loss, float, int]:
        """The loss, its weight, and how many outputs it takes."""
        raise NotImplementedError

    def _row_weights(self, y: Any, sample_weight: Array | None, incremental: bool) -> Array | None:
        """The weight of each row."""
        return sample_weight

    def _metric(self) -> str | None:
        """evenflow's name of what `score` gives; None where it has none."""
        raise NotImplementedError

    def _score_of(self, outputs: Array, targets: Array, weight: Array | None) -> float:
        """`score` by outputs of the network, where there is no `_metric`."""
        raise NotImplementedError

    # parameters

    def _check(self) -> None:
        """Raise for parameters that cannot be meant, in one place and before anything is touched."""
        where = type(self).__name__
        for name, limits in {
            "alpha": {"at_least": 0.0},
            "learning_rate_init": {"above": 0.0},
            "power_t": {"at_least": 0.0},
            "tol": {"at_least": 0.0},
            "momentum": {"at_least": 0.0, "at_most": 1.0},
            "validation_fraction": {"at_least": 0.0, "below": 1.0},
            "beta_1": {"at_least": 0.0, "below": 1.0},
            "beta_2": {"at_least": 0.0, "below": 1.0},
            "epsilon": {"above": 0.0},
            "dropout": {"at_least": 0.0, "below": 1.0},
        }.items():
            errors.number(where, name, getattr(self, name), **limits)
        for name in ("max_iter", "max_fun"):
            errors.integer(where, name, getattr(self, name), at_least=1)
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "batch_norm"):
            errors.boolean(where, name, getattr(self, name))
        if self.n_iter_no_change != math.inf:
            errors.integer(where, "n_iter_no_change", self.n_iter_no_change, at_least=1)
        if self.early_stopping not in (True, False, "score", "loss"):
            raise errors.wrong_value(where, "early_stopping", "True, False, 'score' or 'loss'", self.early_stopping)
        if self.batch_size != "auto":
            errors.integer(where, "batch_size", self.batch_size, at_least=1)
        if not isinstance(self.learning_rate, LearningRateSchedule) and self.learning_rate not in RATES:
            raise errors.wrong_value(
                where,
                "learning_rate",
                f"one of {', '.join(RATES)}, or a schedule of evenflow.schedules",
                self.learning_rate,
            )
        if self.threads is not None:
            errors.integer(where, "threads", self.threads, at_least=1)
        check_dtype(where, self.dtype)
        read_activations(where, self.activation, len(read_sizes(where, self.hidden_layer_sizes)))

    def _optimizer(self) -> Optimizer:
        """The optimizer that `solver` and what belongs to it describe."""
        where, rate = type(self).__name__, self._rate()
        if isinstance(self.solver, Optimizer):
            own = self.solver.fresh()
            if rate is not None:
                own.learning_rate = rate
            return own
        if self.solver == "sgd":
            nesterov = self.nesterovs_momentum and self.momentum > 0
            return optimizers.SGD(rate, momentum=float(self.momentum), nesterov=nesterov)
        if self.solver == "adam":
            return optimizers.Adam(rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)
        if self.solver == "lbfgs":
            return optimizers.SGD(0.0)  # whose steps only compute gradients
        if not isinstance(self.solver, str):
            expected = "'lbfgs', 'sgd', 'adam', or another optimizer of evenflow"
            raise errors.wrong_type(where, "solver", expected, self.solver)
        kind: Any = optimizers.REGISTRY.find(where, "solver", self.solver)
        made: Optimizer = kind(rate)
        return made

    def _rate(self) -> Any:
        """The rate that the parameters name, a schedule or a number; None: the solver has its own, or none."""
        if self.solver == "lbfgs":
            return None
        if isinstance(self.learning_rate, LearningRateSchedule):
            return self.learning_rate
        return None if isinstance(self.solver, Optimizer) else float(self.learning_rate_init)

    def _follow_rate(self) -> None:
        """Let a network that goes on have a rate that was named since; one that training lowered stays otherwise."""
        rate = self._rate()
        if rate is not None and rate != self._named_rate:
            optimizer = self._network_().optimizer
            assert optimizer is not None  # every network is compiled
            optimizer.learning_rate = rate
            self._named_rate = rate

    # training

    def _train(
        self, X: Any, y: Any, sample_weight: Any, held: tuple[Any, Any, Any] | None, *, incremental: bool = False
    ) -> Perceptron:
        self._check()
        first = not hasattr(self, "_best_value") or not (self.warm_start or incremental)
        before, trained = dict(vars(self)), False
        try:
            X, targets, weight, validation = self._prepare(X, y, sample_weight, held, first, incremental)
            trained = not first  # a new network can be left behind, one that goes on cannot
            if self.solver == "lbfgs":
                self.n_iter_, self.loss_ = lbfgs.minimize(self, self._network_(), X, targets, weight)
            else:
                self._go(X, targets, weight, validation, incremental=incremental)
            self._keep()
        except BaseException:
            if not trained:
                self.__dict__ = before
            raise
        return self

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        held: tuple[Any, Any, Any] | None,
        first: bool,
        incremental: bool,
    ) -> tuple[Array, Array, Array | None, tuple[Array, ...] | None]:
        """Rows, targets, weights and validation rows, read, and a network to train on them."""
        optimizer = self._optimizer() if first else None
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=READ_IN_PLACE, reset=first
        )
        X = _dense(X)
        targets, classes = self._read_targets(y, first=first, incremental=incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weight = self._row_weights(y, sample_weight, incremental)
        if first or not hasattr(self, "_random_state"):
            self._random_state = check_random_state(self.random_state)
        if optimizer is not None:
            self._begin(X.shape[1], optimizer)
        validation = None if held is None else self._read_held(*held)
        if validation is None and self.early_stopping and self.solver != "lbfgs":
            X, targets, weight, validation = self._split(X, targets, weight, classes)
        self._follow_rate()
        return X, targets, weight, validation

    def _begin(self, features: int, optimizer: Optimizer) -> None:
        """A new network, before its first step."""
        where = type(self).__name__
        loss, loss_weight, outputs = self._loss()
        sizes = read_sizes(where, self.hidden_layer_sizes)
        model = build(
            features,
            sizes,
            read_activations(where, self.activation, len(sizes)),
            outputs,
            self.out_activation_,
            batch_norm=self.batch_norm,
            dropout=float(self.dropout),
            dtype="float64" if self.solver == "lbfgs" else self.dtype,
            random_state=self._random_state,
        )
        metric = self._metric()
        model.compile(optimizer, loss, loss_weight, weighted_metrics=[metric] if metric else [])
        self._network = model
        self._lock = threading.Lock()
        self._named_rate = self._rate()
        self._saved: dict[str, Any] | None = None
        self.n_layers_, self.n_outputs_, self.t_ = len(sizes) + 2, outputs, 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = None
        self.validation_loss_curve_: list[float] | None = None
        self.best_loss_: float | None = None
        self.best_validation_score_: float | None = None
        self._least_loss, self._best_value, self._no_improvement_count = math.inf, -math.inf, 0
        self._best_weights: list[Array] | None = None
        self._stopped = False

    def _read_held(self, X: Any, y: Any, weight: Any) -> tuple[Array, ...]:
        """A validation set of the user's, as `fit` takes it."""
        if X is None or y is None:
            raise ValueError(f"{type(self).__name__}.fit: X_val and y_val go together, received only one of them")
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=READ_IN_PLACE, reset=False
        )
        X = _dense(X)
        targets, _ = self._read_targets(y, first=False, incremental=True)
        if weight is None:
            return X, targets
        return X, targets, _check_sample_weight(weight, X, ensure_non_negative=True)

    def _split(
        self, X: Array, targets: Array, weight: Array | None, classes: Array | None
    ) -> tuple[Array, Array, Array | None, tuple[Array, ...]]:
        """Rows kept for validation, shuffled, with the classes in their shares where there are enough of each."""
        if classes is not None:
            counts = np.unique(classes, return_counts=True)[1]
            held = math.ceil(self.validation_fraction * len(X))
            if counts.min() < 2 or min(held, len(X) - held) < len(counts):
                classes = None
        rows = np.arange(len(X))
        training, test = train_test_split(
            rows, random_state=self._random_state, test_size=self.validation_fraction, stratify=classes
        )
        if len(test) < 2:
            raise ValueError(
                f"{type(self).__name__}: The validation set is too small. Increase 'validation_fraction' or the size "
                f"of your dataset: {len(X)} rows, validation_fraction={self.validation_fraction}"
            )
        held_out = (X[test], targets[test]) if weight is None else (X[test], targets[test], weight[test])
        return X[training], targets[training], None if weight is None else weight[training], held_out

    def _go(
        self,
        X: Array,
        targets: Array,
        weight: Array | None,
        validation: tuple[Array, ...] | None,
        *,
        incremental: bool,
    ) -> None:
        """Train for at most `max_iter` epochs, or for one."""
        if self._stopped and incremental:
            return  # the best weights are in place
        model, rows = self._network_(), len(X)
        epochs = 1 if incremental else self.max_iter
        batch = min(LARGEST_BATCH, rows)
        if self.batch_size != "auto":
            batch = min(self.batch_size, rows)
            if self.batch_size > rows:
                warnings.warn(
                    "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
                )
        penalize(model, float(self.alpha), batch)
        self._validation = validation
        watch = Watch(self, self._metric())
        self.n_iter_ = 0
        if self._stopped:
            self._no_improvement_count = 0
        own = model._shuffler
        model._shuffler = Shuffler(self._random_state)  # type: ignore[assignment]  # scikit-learn's shuffles
        try:
            model.fit(
                X,
                targets,
                batch_size=batch,
                epochs=epochs,
                shuffle=bool(self.shuffle),
                sample_weight=weight,
                validation_data=validation,
                validation_batch_size=max(batch, 32),
                callbacks=[watch],
                verbose=2 if self.verbose else 0,
                threads=self.threads,
            )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        finally:
            model._shuffler = own
            del self._validation
        self._stopped = watch.stopped
        if not incremental and self.n_iter_ == epochs and not watch.stopped:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({epochs}) reached and the optimization hasn't converged "
                "yet.",
                ConvergenceWarning,
                stacklevel=4,
            )
        if self._best_weights is not None and (watch.stopped or not incremental):
            model.set_weights(self._best_weights)

    def _validation_score(self) -> float:
        """`score` of the validation rows, where evenflow has no metric for it."""
        assert self._validation is not None
        X, targets, *weight = self._validation
        return self._score_of(self._network_().predict(X, verbose=0), targets, weight[0] if weight else None)

    def _keep(self) -> None:
        """Take over what was learned."""
        layers = dense_layers(self._network_())
        self.coefs_ = [layer.kernel.numpy() for layer in layers]
        self.intercepts_ = [layer.bias.numpy() for layer in layers]
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )

    # prediction

    def _network_(self) -> Sequential:
        """The network, made again where the estimator was unpickled."""
        if self._network is None:
            self._network = saved.load(self._saved)
            self._saved = None
        return self._network

    @property
    def model_(self) -> Sequential:
        """The network itself, an `evenflow.Sequential`: for `summary`, `save`, the outputs of layers and so on."""
        check_is_fitted(self, "coefs_")
        with self._lock:
            return self._network_()

    def _outputs(self, X: Any) -> Array:
        """The network's outputs, [rows, outputs], as float64 where X is float64."""
        check_is_fitted(self, "coefs_")
        X = _dense(validate_data(self, X, accept_sparse=["csr", "csc"], dtype=READ_IN_PLACE, reset=False))
        with self._lock:  # one thread at a time
            outputs: Array = self._network_().predict(X, verbose=0, threads=self.threads)
        return outputs if X.dtype == np.float32 else outputs.astype(np.float64)

    # scikit-learn's machinery

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        lock = state.pop("_lock", None)
        if lock is not None:
            with lock:
                if self._network is not None:
                    state["_saved"], state["_network"] = saved.dump(self._network), None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "_network" in vars(self):
            self._lock = threading.Lock()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> Array:
    """A sparse matrix as an array: the native core reads rows of numbers."""
    found: Array = X.toarray() if hasattr(X, "toarray") else X
    return found
