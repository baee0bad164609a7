"""Recipe: a compiled model with the way to train it, and what the recipes have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..callbacks import History
from ..callbacks.base import Callback, Logs, read_callbacks
from ..callbacks.monitors import Monitor
from ..data import arrays, frames
from ..data.moments import Moments
from ..layers import Dense, Flatten, Input, Normalization
from ..layers.base import Layer, Shape, read_row_shape
from ..losses.crossentropies import SparseCategoricalCrossentropy
from ..models import Sequential
from ..optimizers import Optimizer
from ..optimizers.schedules.base import LearningRateSchedule

Array = NDArray[Any]

BLOCK = 1 << 22  # values that are looked at together
TASKS = ("classification", "regression")


@dataclass
class Recipe:
    """A compiled model, and how it is to be trained: what the functions of `evenflow.recipes` return.

    `model`: ready for `predict`, `evaluate`, `save` and everything else. `epochs`, `batch_size` and `callbacks`: what
    `fit` gives to the model's own `fit`. `validation_split`: the share of the rows that `fit` keeps for validation.
    """

    model: Sequential
    epochs: int
    batch_size: int
    callbacks: list[Callback]
    validation_split: float = 0.2
    _shuffler: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._shuffler = np.random.default_rng(self.model.seed)

    def fit(
        self,
        x: Any,
        y: Any,
        validation_data: Any = None,
        sample_weight: Any = None,
        callbacks: object = None,
        **changes: Any,
    ) -> History:
        """Train the model as the recipe says and return the History; `changes` are other arguments of the model's
        `fit`, such as `epochs` or `verbose`, and `callbacks` come after the recipe's own.

        Without `validation_data`, a random share `validation_split` of the rows is kept for validation: their order
        does not matter, and the rows are copied once. With it, all rows are trained on, where they lie.
        """
        where = "Recipe.fit"
        listed = [*self.callbacks, *read_callbacks(where, callbacks)]
        if validation_data is None:
            x, y, sample_weight, validation_data = self._split(where, x, y, sample_weight)
        settings: dict[str, Any] = {"epochs": self.epochs, "batch_size": self.batch_size, **changes}
        return self.model.fit(
            x, y, validation_data=validation_data, sample_weight=sample_weight, callbacks=listed, **settings
        )

    def _split(self, where: str, x: Any, y: Any, weight: Any) -> tuple[Array, Array, Array | None, tuple[Array, ...]]:
        frames.check_names(where, "x", frames.column_names(x), self.model.feature_names)
        inputs, targets = arrays.as_array(where, "x", x), arrays.as_array(where, "y", y)
        arrays.same_length(where, ("x", "y"), inputs, targets)
        parts = [inputs, targets]
        if weight is not None:
            parts.append(arrays.as_array(where, "sample_weight", weight))
            arrays.same_length(where, ("x", "sample_weight"), inputs, parts[2])
        rows = len(inputs)
        held = round(rows * errors.number(where, "validation_split", self.validation_split, above=0.0, below=1.0))
        if held in (0, rows):
            raise ValueError(
                f"{where}: expected rows to train on and, with validation_split={self.validation_split}, to validate "
                f"on, received {rows} rows in all: give validation_data=(x, y)"
            )
        order = self._shuffler.permutation(rows)
        training, validation = ([part[chosen] for part in parts] for chosen in (order[held:], order[:held]))
        return training[0], training[1], training[2] if weight is not None else None, tuple(validation)


class WholeRun(Callback):
    """Gives the optimizer a schedule that is as long as the run: `schedule` is a function of the number of steps."""

    def __init__(self, schedule: Callable[[int], LearningRateSchedule]) -> None:
        self.schedule = schedule

    def on_train_begin(self, logs: Logs | None = None) -> None:
        optimizer, steps = self.model.optimizer, self.params["steps"]
        if optimizer is None or steps is None:
            raise ValueError(
                "fit: the recipe's learning rate follows the whole run, whose steps are not known: give steps_per_epoch"
            )
        if optimizer.batches:
            raise RuntimeError(
                "fit: the recipe's learning rate follows one run, which this model has behind it: make a new recipe, "
                "or compile the model with an optimizer of your own and call its fit"
            )
        optimizer.learning_rate = self.schedule(steps * self.params["epochs"])


class BestEpoch(Monitor):
    """Puts the weights of the best epoch back when training ends; of several equally good ones the last."""

    def __init__(self, monitor: str = "val_loss", mode: str = "auto") -> None:
        super().__init__(monitor, mode, 0.0, 0)
        self.epoch = -1
        self._weights: list[Array] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self.best, self.epoch, self._weights = None, -1, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        current = self.value(logs)
        if current is not None and (current == self.best or self.is_better(current, self.best)):
            self.best, self.epoch, self._weights = current, epoch, self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights:
            self.model.set_weights(self._weights)


@dataclass
class Problem:
    """What is to be learned from rows x with targets y."""

    x: Array
    row_shape: Shape
    names: tuple[str, ...] | None  # of the columns of a table
    classes: int  # 0 for a regression
    mean: Array  # of each target of a regression
    variance: Array

    @property
    def features(self) -> int:
        """Of a row."""
        return int(np.prod(self.row_shape))

    def start(self, dtype: str) -> Sequential:
        """A model of the inputs alone, flat."""
        model = Sequential([Input(self.row_shape)], dtype=dtype)
        model.feature_names = self.names
        if len(self.row_shape) > 1:
            model.add(Flatten())
        return model

    def top(self, kernel_initializer: object = "glorot_uniform") -> list[Layer]:
        """The layers of the output: probabilities of the classes, or values in the units of y."""
        if self.classes:
            return [Dense(self.classes, "softmax", kernel_initializer=kernel_initializer)]
        return [
            Dense(len(self.mean), kernel_initializer=kernel_initializer),
            Normalization(mean=self.mean, variance=self.variance, invert=True),
        ]

    def compile(self, model: Sequential, optimizer: Optimizer, label_smoothing: float = 0.0) -> None:
        """Compile it with the loss that fits: a loss of 1 in a regression is no better than the mean."""
        if self.classes:
            loss = SparseCategoricalCrossentropy(label_smoothing=label_smoothing)
            model.compile(optimizer, loss, metrics=["accuracy"])
        else:
            model.compile(optimizer, "mse", loss_weights=1 / float(self.variance.mean()), metrics=["mae"])

    def standardization(self) -> Normalization:
        """Inputs with mean 0 and deviation 1: of each feature; of all values together where rows have several axes, as
        images do. What does not vary stays 0."""
        kept = (1,) if len(self.row_shape) == 1 else ()
        moments = Moments(kept)
        size = max(1, BLOCK // self.features)
        for start in range(0, len(self.x), size):
            moments.add(self.x[start : start + size])
        return Normalization(
            -1 if kept else None, mean=moments.mean, variance=_varied(moments.mean, np.asarray(moments.variance))
        )


def _varied(mean: Array, variance: Array) -> Array:
    """Variances, 1 where there is none but that of rounding numbers to float32."""
    return np.where(variance > (1e-7 * mean) ** 2, variance, 1.0)


def read_problem(where: str, x: object, y: object, task: str | None) -> Problem:
    """The task that rows and targets pose, checked. Whole numbers in one column are classes unless `task` says
    "regression"."""
    if task is not None and task not in TASKS:
        raise errors.unknown_name(where, "task", task, TASKS)
    inputs, targets = arrays.as_array(where, "x", x), arrays.as_array(where, "y", y)
    arrays.same_length(where, ("x", "y"), inputs, targets)
    row_shape = read_row_shape(where, "x", arrays.row_shape(where, "x", inputs))
    arrays.read_inputs(where, "x", inputs, "float64", allow_nonfinite=False)
    names = frames.column_names(x)
    column = targets.ndim == 1 or targets.shape[1:] == (1,)
    if task is None:
        task = "classification" if column and targets.dtype.kind in "iub" else "regression"
    if task == "regression":
        values = targets.reshape(len(targets), -1).astype(np.float64)
        arrays.check_finite(where, "y", values, "float64")
        mean = values.mean(axis=0)
        return Problem(inputs, row_shape, names, 0, mean, _varied(mean, values.var(axis=0)))
    hint = "number the classes: y = np.unique(y, return_inverse=True)[1]"
    if not column:
        raise errors.wrong_shape(where, "y", ("rows",), targets.shape, f"A class for each row; {hint}.")
    labels = targets.ravel()
    if labels.min() < 0 or (labels != np.floor(labels)).any():
        raise errors.wrong_value(where, "y", f"classes 0, 1, ... ({hint})", labels.min().item())
    classes = int(labels.max()) + 1
    if classes < 2:
        raise errors.wrong_value(where, "y", "at least two classes", classes)
    none = np.zeros(0)
    return Problem(inputs, row_shape, names, classes, none, none)
