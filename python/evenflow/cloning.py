"""clone_model: the same network again, with layers and weights of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import errors, keywords
from .layer import Layer
from .seeds import Drawn

if TYPE_CHECKING:
    from .models import Sequential


@keywords.checked
def clone_model(
    model: Sequential, input_tensors: None = None, clone_function: Callable[[Layer], Layer] | None = None
) -> Sequential:
    """A model with the same layers under the same names, and new initial weights; `set_weights` copies the old ones.

    So what a model learned is reused without being changed (the chapter's advice for transfer learning):
    `clone = clone_model(a); clone.set_weights(a.get_weights()); b = Sequential(clone.layers[:-1])`. `clone_function` is
    called with each layer but `Input` and returns the layer to put there. Seeds that somebody chose stay, others are
    drawn anew: clones start from different weights. A compiled model's clone is compiled alike, with an optimizer
    before its first step.
    """
    from .models import Sequential

    where = "clone_model"
    if not isinstance(model, Sequential):
        raise errors.wrong_type(where, "model", "a Sequential", model)
    if input_tensors is not None:
        raise errors.wrong_type(where, "input_tensors", "None: a Sequential has its own input", input_tensors)
    if clone_function is not None and not callable(clone_function):
        raise errors.wrong_type(where, "clone_function", "a function of a layer", clone_function)
    own = {id(layer) for layer in model.layers}
    layers = []
    for layer in model.stack:
        cloned = clone_function(layer) if clone_function is not None and id(layer) in own else clone_layer(layer)
        if not isinstance(cloned, Layer):
            raise errors.wrong_type(where, "clone_function", "a function that returns a layer", cloned)
        layers.append(cloned)
    seed = None if isinstance(model.seed, Drawn) else model.seed
    clone = type(model)(layers, name=model.name, dtype=model.dtype, seed=seed)
    if model.built:
        clone.build(model.input_shape)
    if model.optimizer is not None:
        clone.compile(model.optimizer.fresh(), model.loss, model.loss_weights, metrics=copy.deepcopy(model.metrics))
    return clone


def clone_layer(layer: Layer) -> Layer:
    """A layer of the same class from the same arguments, with new seeds where none was chosen."""
    return type(layer).from_config(_undrawn(layer.get_config()))


def _undrawn(config: Any) -> Any:
    """A configuration without the seeds that nobody chose."""
    if isinstance(config, dict):
        return {key: None if isinstance(value, Drawn) else _undrawn(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_undrawn(value) for value in config)
    return config
