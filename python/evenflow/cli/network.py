"""The network that `evenflow train` describes by its options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .exits import UsageError

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..layers import AlphaDropout, Dropout
    from ..models import Sequential
    from ..optimizers import Optimizer
    from ..recipes.base import Recipe


def network(options: argparse.Namespace, dataset: Dataset) -> Sequential:
    """The chapter's network for this data, compiled; a name or a number that does not exist is a usage error."""
    from .. import layers, set_seed
    from ..models import Sequential

    classification = dataset.task == "classification"
    norm = not options.no_batch_norm
    try:
        set_seed(options.seed)
        model = Sequential([layers.Input(dataset.row_shape)], dtype=options.dtype)
        if dataset.scale != 1:
            model.add(layers.Rescaling(dataset.scale))
        if len(dataset.row_shape) > 1:
            model.add(layers.Flatten())
        if norm:
            model.add(layers.BatchNormalization())
        for units in options.layers:
            model.add(layers.Dense(units, options.activation, kernel_initializer=options.kernel_initializer))
            if norm:
                model.add(layers.BatchNormalization())
            if options.dropout:
                model.add(_dropout(options)(options.dropout))
        if classification:
            model.add(layers.Dense(len(dataset.classes), "softmax"))
            model.compile(_optimizer(options), "sparse_categorical_crossentropy", metrics=["accuracy"])
        else:
            model.add(layers.Dense(1))
            model.compile(_optimizer(options), "mse", metrics=["mae"])
    except (ValueError, TypeError) as error:
        raise UsageError(error) from error
    return model


def recipe(options: argparse.Namespace, dataset: Dataset) -> Recipe:
    """The recipe that is asked for, for this data; the options get what it chose."""
    from .. import errors, set_seed
    from ..recipes import RECIPES

    try:
        if options.recipe not in RECIPES:
            raise errors.unknown_name("options", "--recipe", options.recipe, RECIPES)
        set_seed(options.seed)
        given = {"hidden": "layers", "validation_split": "validation"}
        given |= {name: name for name in ("learning_rate", "epochs", "batch_size", "dtype")}
        said = {argument: getattr(options, name) for argument, name in given.items()}
        chosen = {argument: value for argument, value in said.items() if value is not None}
        made = RECIPES[options.recipe](dataset.x_train, dataset.y_train, task=dataset.task, **chosen)
    except (ValueError, TypeError) as error:
        raise UsageError(error) from error
    options.epochs, options.batch_size, options.validation = made.epochs, made.batch_size, made.validation_split
    options.optimizer = made.model.optimizer.kind if made.model.optimizer is not None else None
    return made


def _dropout(options: argparse.Namespace) -> type[Dropout | AlphaDropout]:
    """The one that goes with the activation: ordinary dropout would spoil a network of SELU."""
    from ..layers import AlphaDropout, Dropout

    return AlphaDropout if options.activation == "selu" else Dropout


def _optimizer(options: argparse.Namespace) -> Optimizer:
    from .. import optimizers

    optimizer = optimizers.REGISTRY.find("options", "--optimizer", options.optimizer)
    given = {"learning_rate": options.learning_rate, "momentum": options.momentum}
    if options.momentum is not None and "momentum" not in optimizer.HYPERPARAMETERS:
        raise UsageError(f"--momentum belongs to --optimizer sgd or rmsprop; {options.optimizer} has its own")
    make: Any = optimizer
    made: Optimizer = make(**{name: value for name, value in given.items() if value is not None})
    return made


def sketch(options: argparse.Namespace, dataset: Dataset) -> str:
    """The network in a line."""
    if options.recipe is not None:
        return str(options.recipe)
    parts = [f"{units} {options.activation}" for units in options.layers]
    parts.append(f"{len(dataset.classes)} softmax" if dataset.classes else "1 linear")
    norm = "" if options.no_batch_norm else ", with BN before each"
    dropout = f", {_dropout(options).__name__} {options.dropout:g} after each hidden one" if options.dropout else ""
    return " - ".join(parts) + norm + dropout
