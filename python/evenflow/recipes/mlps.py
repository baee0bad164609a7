"""The recipes: networks, and the way to train each of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import activations, errors, regularizers
from ..callbacks import EarlyStopping, ReduceLROnPlateau
from ..callbacks.base import Callback
from ..callbacks.one_cycle import OneCycle
from ..common import keywords
from ..initializers import RandomNormal, VarianceScaling
from ..layers import Activation, AlphaDropout, BatchNormalization, Dense, Normalization, Scaling
from ..optimizers import SGD, Adam, AdamW, Optimizer
from ..optimizers.schedules import CosineCycles
from .base import BestEpoch as BestEpoch, Recipe, WholeRun as WholeRun, read_problem

EDITIONS = (2, 3)
DEEP = 4  # hidden layers from which on a network counts as deep
OPTIMIZERS = ("nag", "momentum", "adamw")
SCHEDULES = ("performance", "1cycle")
EPOCHS = {"performance": 100, "1cycle": 30}


@keywords.checked
def default_mlp(
    x: object,
    y: object,
    *,
    task: str | None = None,
    hidden: Sequence[int] = (300, 100),
    edition: int = 3,
    optimizer: str | None = None,
    schedule: str | None = None,
    learning_rate: float | None = None,
    l2: float = 0.0,
    weight_decay: float | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    dtype: str = "float32",
) -> Recipe:
    """The chapter's default configuration of a deep network (Geron, Hands-On Machine Learning, table "Default DNN
    configuration"), behind standardized inputs:

    | | edition 3 | edition 2 | because |
    |---|---|---|---|
    | kernel initializer | He | He | keeps the variance from layer to layer with ReLU and its kin |
    | activation | ReLU; Swish if deep | ELU | fast and good; smooth ones carry gradients through more layers |
    | normalization | none; batch normalization if deep | the same | gradients neither vanish nor explode |
    | regularization | early stopping; weight decay if needed | early stopping; l2 if needed | |
    | optimizer | Nesterov's momentum (or "adamw") | momentum | |
    | learning rate | performance scheduling (or "1cycle") | 1cycle | falls when, or before, it stops helping |

    hidden: units of the hidden layers; deep means at least four of them. Batch normalization stands between a Dense
    layer without a bias and its activation.
    optimizer: "nag" or "momentum" (SGD, 0.9), "adamw"; the whole gradient is clipped to the norm 1.
    learning_rate: 0.01 for SGD, 0.001 for AdamW; three times that as the highest of 1cycle.
    schedule: "performance" halves the rate after 5 epochs without a lower validation loss, and 20 of them end training;
    "1cycle" takes the run's whole length. Both end with the weights of the best epoch.
    l2: of the kernels, 0 for none. weight_decay: the optimizer's, of kernels alone; AdamW's own unless given.
    epochs: at most; 100, or 30 with 1cycle.
    """
    where = "default_mlp"
    if edition not in EDITIONS or isinstance(edition, bool):
        raise errors.wrong_value(where, "edition", "2 or 3", edition)
    problem, units = read_problem(where, x, y, task), _units(where, hidden)
    deep = len(units) >= DEEP
    activation = "elu" if edition == 2 else "silu" if deep else "relu"
    penalty = regularizers.L2(errors.number(where, "l2", l2, at_least=0.0)) if l2 else None
    model = problem.start(dtype)
    model.add(problem.standardization())
    for width in units:
        options: dict[str, Any] = {"kernel_initializer": "he_normal", "kernel_regularizer": penalty}
        if deep:
            model.add(Dense(width, use_bias=False, **options))
            model.add(BatchNormalization())
            model.add(Activation(activation))
        else:
            model.add(Dense(width, activation, **options))
    for layer in problem.top():
        model.add(layer)
    optimizer = optimizer or ("momentum" if edition == 2 else "nag")
    schedule = schedule or ("1cycle" if edition == 2 else "performance")
    made, callbacks = _pace(where, optimizer, schedule, learning_rate, weight_decay)
    problem.compile(model, made)
    epochs = EPOCHS[schedule] if epochs is None else epochs
    return _recipe(where, model, epochs, batch_size, callbacks, validation_split)


@keywords.checked
def self_normalizing_mlp(
    x: object,
    y: object,
    *,
    task: str | None = None,
    hidden: Sequence[int] = (100,) * 8,
    dropout: float = 0.0,
    optimizer: str = "nag",
    schedule: str = "performance",
    learning_rate: float | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    dtype: str = "float32",
) -> Recipe:
    """The chapter's default configuration of a self-normalizing network (Geron, Hands-On Machine Learning; Klambauer et
    al. 2017): a plain stack of Dense layers with LeCun initialization and SELU behind standardized inputs, no
    normalization, alpha dropout if needed, Nesterov's momentum, performance scheduling or 1cycle.

    Under these conditions, all of which the recipe keeps, the outputs of every layer stay close to mean 0 and deviation
    1 by themselves, however deep the network. So there are no l1, l2, max-norm, batch normalization or plain dropout to
    choose here: they would break it.

    dropout: rate of an AlphaDropout after each hidden layer, which keeps mean and deviation. The other arguments are
    those of `default_mlp`.
    """
    where = "self_normalizing_mlp"
    problem, units = read_problem(where, x, y, task), _units(where, hidden)
    rate = errors.number(where, "dropout", dropout, at_least=0.0, below=1.0)
    model = problem.start(dtype)
    model.add(problem.standardization())
    for width in units:
        model.add(Dense(width, "selu", kernel_initializer="lecun_normal"))
        if rate:
            model.add(AlphaDropout(rate))
    for layer in problem.top("lecun_normal"):
        model.add(layer)
    made, callbacks = _pace(where, optimizer, schedule, learning_rate, None)
    problem.compile(model, made)
    epochs = EPOCHS[schedule] if epochs is None else epochs
    return _recipe(where, model, epochs, batch_size, callbacks, validation_split)


@keywords.checked
def tabular_mlp(
    x: object,
    y: object,
    *,
    task: str | None = None,
    hidden: Sequence[int] = (256,) * 3,
    learning_rate: float | None = None,
    epochs: int = 256,
    batch_size: int = 256,
    validation_split: float = 0.2,
    dtype: str = "float32",
) -> Recipe:
    """RealMLP-TD-S, whose defaults were tuned on many tables (Holzmueller, Grinsztajn and Steinwart 2024, "Better by
    Default"): for columns of any scale, with outliers, and for thousands of rows.

    Inputs: z = (x - median) / (75 % quantile - 25 % quantile) for each column (half its range where these are equal, 0
    where it is constant), clipped smoothly to (-3, 3) by z / sqrt(1 + (z / 3)^2); then a trained factor for each column
    (`Scaling`), which learns 6 times as fast as the rest and so selects columns.
    Network: three Dense layers of 256, SELU for classes and Mish for values, in the parametrization y = W x /
    sqrt(inputs) + b with W and b from N(0, 1), biases 0.1 times as fast; an output layer that starts as zero.
    Training: Adam with beta_2 = 0.95; label smoothing 0.1 for classes, standardized targets for values; the rate rises
    to 0.04 (classes) or 0.07 (values) and falls to 0 four times, each longer than the last (`CosineCycles`); 256
    epochs in batches of 256, without weight decay or dropout; the weights of the epoch with the best validation
    accuracy or loss, the later of equal ones.

    Where this differs from the authors' program: the factor 1 / sqrt(inputs) is part of the kernel and of its learning
    rate, which with Adam is the same but for epsilon, which is Keras' and here smaller beside the gradient of a kernel;
    the last, smaller batch of an epoch is trained on; x is numbers, so categories are to be encoded beforehand.
    """
    where = "tabular_mlp"
    problem, units = read_problem(where, x, y, task), _units(where, hidden)
    peak = 0.04 if problem.classes else 0.07
    if learning_rate is not None:
        peak = errors.number(where, "learning_rate", learning_rate, above=0.0)
    model = problem.start(dtype)
    median, deviation = _robust(problem.x.reshape(len(problem.x), -1))
    model.add(Normalization(mean=median, variance=deviation**2))
    model.add(Activation(functools.partial(activations.isru, alpha=1 / 9)))
    scaling = Scaling()
    model.add(scaling)
    denses = [
        Dense(
            width,
            "selu" if problem.classes else "mish",
            kernel_initializer=VarianceScaling(1.0, "fan_in", "untruncated_normal"),
            bias_initializer=RandomNormal(0.0, 1.0),
        )
        for width in units
    ]
    top = problem.top("zeros")
    for layer in (*denses, *top):
        model.add(layer)
    factors = {scaling.name: 6.0}
    for layer in (*denses, top[0]):
        (inputs,) = layer.input_shape[1:]
        factors |= {f"{layer.name}/kernel": 1 / math.sqrt(inputs or 1), f"{layer.name}/bias": 0.1}
    optimizer = Adam(peak, beta_2=0.95, epsilon=1e-8, learning_rate_factors=factors)
    problem.compile(model, optimizer, label_smoothing=0.1)
    best = BestEpoch("val_accuracy", "max") if problem.classes else BestEpoch("val_loss", "min")
    schedule = WholeRun(functools.partial(CosineCycles, peak))
    return _recipe(where, model, epochs, batch_size, [schedule, best], validation_split)


RECIPES: dict[str, Callable[..., Recipe]] = {
    recipe.__name__: recipe for recipe in (default_mlp, self_normalizing_mlp, tabular_mlp)
}


# ------------------------------------------------------------------------------------------------ parts


def _units(where: str, hidden: Sequence[int]) -> tuple[int, ...]:
    if isinstance(hidden, (str, int)) or not isinstance(hidden, Sequence):
        raise errors.wrong_type(where, "hidden", "a list of units, such as (300, 100)", hidden)
    return tuple(errors.integer(where, "hidden", units, at_least=1) for units in hidden)


def _pace(
    where: str, optimizer: str, schedule: str, learning_rate: float | None, weight_decay: float | None
) -> tuple[Optimizer, list[Callback]]:
    """The optimizer, and the callbacks that move its rate and end training."""
    if optimizer not in OPTIMIZERS:
        raise errors.unknown_name(where, "optimizer", optimizer, OPTIMIZERS)
    if schedule not in SCHEDULES:
        raise errors.unknown_name(where, "schedule", schedule, SCHEDULES)
    adam = optimizer == "adamw"
    rate = (0.001 if adam else 0.01) * (3 if schedule == "1cycle" else 1)
    if learning_rate is not None:
        rate = errors.number(where, "learning_rate", learning_rate, above=0.0)
    if weight_decay is not None:
        weight_decay = errors.number(where, "weight_decay", weight_decay, at_least=0.0)
    made: Optimizer
    if adam:
        decay = 0.004 if weight_decay is None else weight_decay
        made = AdamW(rate, weight_decay=decay, global_clipnorm=1.0)
    else:
        nesterov = optimizer == "nag"
        made = SGD(rate, momentum=0.9, nesterov=nesterov, weight_decay=weight_decay, global_clipnorm=1.0)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if schedule == "1cycle":
        return made, [OneCycle(rate), BestEpoch()]
    return made, [
        ReduceLROnPlateau(factor=0.5, patience=5),
        EarlyStopping(patience=20, restore_best_weights=True),
    ]


def _recipe(
    where: str, model: Any, epochs: int, batch_size: int, callbacks: list[Callback], validation_split: float
) -> Recipe:
    return Recipe(
        model,
        errors.integer(where, "epochs", epochs, at_least=1),
        errors.integer(where, "batch_size", batch_size, at_least=1),
        callbacks,
        errors.number(where, "validation_split", validation_split, above=0.0, below=1.0),
    )


def _robust(x: NDArray[Any], columns: int = 64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and deviation of each column: the distance of the quartiles, or half the range where that is 0. A constant
    column has one so large that nothing is left of it."""
    median, deviation = np.empty((2, x.shape[1]))
    for start in range(0, x.shape[1], columns):
        part = x[:, start : start + columns].astype(np.float64)
        low, median[start : start + columns], high = np.quantile(part, (0.25, 0.5, 0.75), axis=0)
        spread = np.where(high > low, high - low, (part.max(axis=0) - part.min(axis=0)) / 2)
        deviation[start : start + columns] = np.where(spread > 0, spread, 1e15)
    return median, deviation
