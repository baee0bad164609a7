"""What layers share that prepare columns: they work on arrays by themselves, and as first layers of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import errors
from .base import Layer, Shape
from .values import Value

Array = NDArray[Any]

ENCODINGS = ("one_hot", "multi_hot", "count")


class Preparation(Layer):
    """Base class: called on an array it gives an array, on a value of a model another value."""

    def __call__(self, inputs: object) -> Any:
        """The layer's value of another layer's; or of numbers or strings, in an array, what it makes of them."""
        listed = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if any(isinstance(one, Value) for one in listed):
            return super().__call__(inputs)
        return self._of_array(inputs)

    def _of_array(self, inputs: Any) -> Array:
        raise NotImplementedError


def refuse_sparse(where: str, sparse: object) -> bool:
    """`sparse=`, which Keras has: nothing here makes sparse arrays."""
    if errors.boolean(where, "sparse", sparse):
        raise errors.wrong_value(where, "sparse", "False: there are no sparse arrays here", sparse)
    return False


def read_mode(where: str, mode: object, modes: tuple[str, ...]) -> str:
    """`output_mode=`; "binary" is an old name of "multi_hot"."""
    mode = "multi_hot" if mode == "binary" else mode
    if mode not in modes:
        raise errors.unknown_name(where, "output_mode", mode, modes)
    return str(mode)


def encoded_shape(layer: Layer, input_shape: Shape, mode: str, tokens: int) -> Shape:
    """The shape of a row of ids after `encode`."""
    if mode == "int":
        return input_shape
    if len(input_shape) != 1:
        raise errors.wrong_shape(layer.label, "input", ("rows", "ids"), ("rows", *input_shape))
    return (*input_shape, tokens) if mode == "one_hot" and input_shape != (1,) else (tokens,)


def encoding_spec(name: str, mode: str, tokens: int, *, masks: bool = False) -> list[dict[str, Any]]:
    """The core's entry of an encoding; none for ids as they are. masks: the id `tokens` stands for nothing."""
    if mode == "int":
        return []
    entry = {"kind": "category_encoding", "name": name, "units": tokens, "encoding": mode}
    return [entry | {"masks": True}] if masks else [entry]


def encode(ids: Array, mode: str, tokens: int) -> Array:
    """Ids as Keras encodes them: as they are ("int"), or float32 with `tokens` columns; an id that is none gives zeros.

    one_hot: a last axis of 1 becomes the columns, else they are a new axis. multi_hot and count: over the last axis.
    """
    if mode == "int":
        return ids
    if mode == "one_hot":
        ids = ids[..., 0] if ids.ndim > 1 and ids.shape[-1] == 1 else ids
        return np.asarray(ids[..., None] == np.arange(tokens), np.float32)
    ids = ids[None] if ids.ndim == 0 else ids
    flat = ids.reshape(-1, ids.shape[-1])
    found = np.zeros((len(flat), tokens + 1), np.float32)  # the last column: of what is none
    np.add.at(found, (np.arange(len(flat))[:, None], np.where((flat >= 0) & (flat < tokens), flat, tokens)), 1)
    found = found[:, :tokens].reshape(*ids.shape[:-1], tokens)
    return np.minimum(found, 1) if mode == "multi_hot" else found
