"""What the functions of this package take and give: hidden layers, copied and trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from ..activations import OUTPUTS
from ..callbacks import History
from ..callbacks.base import Callback, read_callbacks
from ..callbacks.progress import read_verbose
from ..data import arrays
from ..layers import Flatten, Input, InputLayer, Normalization, Rescaling
from ..layers.base import Layer, Shape, read_row_shape
from ..layers.values import Value
from ..models import Sequential
from ..models.cloning import clone_layer
from ..training.predictor import last_activation, read_threads

Array = NDArray[Any]

FIXED = (Flatten, Rescaling, Normalization)  # below the layers that learn: what comes out of them are the features


@dataclass(frozen=True)
class Pretrained:
    """Hidden layers after their training.

    `layers`: what to build on, `Sequential([Input(shape), *layers, Dense(10, "softmax")])`; freeze them, or let them
    learn on. `model`: all that was trained, with the layers in it: they are shared, so that a network built on them
    changes it too. `histories`: of each training, in order; `history` is the last. `generator`: a GAN's.
    """

    layers: list[Layer]
    model: Sequential
    histories: list[History]
    generator: Sequential | None = None

    @property
    def history(self) -> History:
        """Of the last training."""
        return self.histories[-1]


@dataclass(frozen=True)
class Training:
    """The arguments of `fit` that all have, checked."""

    epochs: int
    batch_size: int
    validation_split: float
    callbacks: list[Callback]
    verbose: int | str
    threads: int | None

    @classmethod
    def read(
        cls,
        where: str,
        epochs: object,
        batch_size: object,
        callbacks: object,
        verbose: int | str,
        threads: int | None,
        validation_split: object = 0.0,
    ) -> Training:
        """Raises ValueError or TypeError in the name of the function that was called."""
        read_verbose(where, verbose)
        read_threads(where, threads)
        return cls(
            errors.integer(where, "epochs", epochs, at_least=1),
            errors.integer(where, "batch_size", batch_size, at_least=1),
            errors.number(where, "validation_split", validation_split, at_least=0.0, below=1.0),
            read_callbacks(where, callbacks),
            verbose,
            threads,
        )

    def refuse(self, where: str, kind: type[Callback], reason: str) -> None:
        """Raise where one of the callbacks is of a kind that could not do its work."""
        for callback in self.callbacks:
            if isinstance(callback, kind):
                raise errors.wrong_value(where, "callbacks", f"no {kind.__name__}, {reason}", callback)

    def fit(self, model: Sequential, x: Array, y: Array) -> History:
        """`model.fit` with them."""
        return model.fit(
            x,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            verbose=self.verbose,
            callbacks=self.callbacks,
            validation_split=self.validation_split,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Hidden:
    """A copy of the layers: those that only prepare the rows, and those above, which learn."""

    shape: Shape  # of a row
    front: list[Layer]
    above: list[Layer]
    dtype: str

    @property
    def layers(self) -> list[Layer]:
        """All of them."""
        return [*self.front, *self.above]

    def model(self, *top: Layer) -> Sequential:
        """The layers with others on top."""
        return Sequential([Input(self.shape), *self.layers, *top], dtype=self.dtype)

    def features(self, x: Array) -> Array:
        """Rows as the layers that learn see them."""
        if all(isinstance(layer, Flatten) for layer in self.front):
            return x.reshape(len(x), -1)
        return np.asarray(Sequential([Input(self.shape), *self.front], dtype=self.dtype).predict(x, verbose=0))


def read_hidden(where: str, given: object, x: object) -> tuple[Hidden, Array]:
    """A copy of hidden layers, with their weights where they have some, and the rows, checked."""
    argument = "hidden"
    if isinstance(given, Sequential):
        layers, dtype = given.layers, given.dtype
        expected = given.input_shape[1:] if given.built else None
    elif isinstance(given, (list, tuple)):
        layers, dtype = [_layer(where, argument, one) for one in given], "float32"
        expected = next((layer.expected_shape for layer in layers[:1]), None)
        layers = [layer for layer in layers if not isinstance(layer, InputLayer)]
    else:
        raise errors.wrong_type(where, argument, "a Sequential, or a list of layers", given)
    if not layers:
        raise ValueError(f"{where}: {argument}: expected at least one layer, received none")
    rows = arrays.as_array(where, "x", x)
    shape = read_row_shape(where, "x", arrays.row_shape(where, "x", rows, expected))  # type: ignore[arg-type]
    arrays.read_inputs(where, "x", rows, dtype, allow_nonfinite=False)
    copies = [clone_layer(layer) for layer in layers]
    model = Sequential([Input(shape), *copies], dtype=dtype)
    if not model.layer_spec():
        labels = [layer.label for layer in layers]
        raise errors.wrong_value(where, argument, "layers that learn, such as Dense", labels)
    model.infer_output_shape(shape)
    top = last_activation(model.layer_spec())
    if top in OUTPUTS:
        raise errors.wrong_value(
            where, argument, "hidden layers, without the output: Sequential(model.layers[:-1])", top
        )
    for layer, copy in zip(layers, copies, strict=True):
        if layer.variables:
            copy.set_weights(layer.get_weights())
    end = next((i for i, layer in enumerate(copies) if not isinstance(layer, FIXED)), len(copies))
    return Hidden(shape, copies[:end], copies[end:], dtype), rows


def _layer(where: str, argument: str, given: object) -> Layer:
    layer = given.layer if isinstance(given, Value) else given
    if not isinstance(layer, Layer) or layer.MERGES:
        raise errors.wrong_type(where, argument, "layers of one value such as Dense(100, 'elu')", given)
    return layer


def free_name(wanted: str, taken: set[str]) -> str:
    """A name like this one that no layer has; it is taken from then on."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name
