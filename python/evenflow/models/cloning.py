"""clone_model: the same network again, with layers and weights of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import errors
from ..common import keywords
from ..common.seeds import Drawn
from ..layers import Embedding, InputLayer
from ..layers.base import Layer
from ..layers.values import Value, call
from .functional import Functional
from .model import Model

Clone = Callable[[Layer], Layer]


@keywords.checked
def clone_model(model: Model, input_tensors: None = None, clone_function: Clone | None = None) -> Any:
    """A model with the same layers under the same names, and new initial weights; `set_weights` copies the old ones.

    So what a model learned is reused without being changed (the chapter's advice for transfer learning):
    `clone = clone_model(a); clone.set_weights(a.get_weights()); b = Sequential(clone.layers[:-1])`. `clone_function` is
    called with each layer but `Input` and returns the layer to put there. Seeds that somebody chose stay, others are
    drawn anew: clones start from different weights. A compiled model's clone is compiled alike, with an optimizer
    before its first step; a device that was chosen is that of both.
    """
    from .sequential import Sequential

    where = "clone_model"
    if not isinstance(model, Model):
        raise errors.wrong_type(where, "model", "a Sequential or a Model", model)
    if input_tensors is not None:
        raise errors.wrong_type(where, "input_tensors", "None: a model has its own inputs", input_tensors)
    if clone_function is not None and not callable(clone_function):
        raise errors.wrong_type(where, "clone_function", "a function of a layer", clone_function)

    def cloned(layer: Layer) -> Layer:
        of_user = clone_function is not None and not isinstance(layer, InputLayer)
        found = clone_function(layer) if clone_function is not None and of_user else clone_layer(layer)
        if not isinstance(found, Layer):
            raise errors.wrong_type(where, "clone_function", "a function that returns a layer", found)
        return found

    seed = None if isinstance(model.seed, Drawn) else model.seed
    if isinstance(model, Functional):
        clone: Any = _functional(model, cloned, seed)
    else:
        assert isinstance(model, Sequential)
        clone = type(model)([cloned(layer) for layer in model.stack], name=model.name, dtype=model.dtype, seed=seed)
        if model.built:
            clone.build(model.input_shape)
    _run_alike(model, clone)
    return clone


def twin(model: Model) -> Any:
    """A model with layers of its own that is the same in everything, names, seeds and weights included, compiled alike
    with an optimizer before its first step."""
    other = type(model).from_config(model.get_config())
    other.set_weights(model.get_weights())
    _run_alike(model, other)
    return other


def _run_alike(model: Model, other: Model) -> None:
    """On the device that was chosen, and compiled as the model is."""
    other.device = model.chosen_device
    if model.optimizer is not None:
        metrics, weighted = copy.deepcopy((model.metrics, model.weighted_metrics))
        other.compile(model.optimizer.fresh(), model.loss, model.loss_weights, metrics, weighted)


def _functional(model: Functional, clone: Clone, seed: int | None) -> Functional:
    layers: dict[int, Layer] = {}  # by the layer of the model: one for all of its calls
    values: dict[int, Value] = {}  # by the value's number
    for value in model.values:
        layer = layers.get(id(value.layer)) or clone(value.layer)
        layers[id(value.layer)] = layer
        if isinstance(layer, InputLayer):
            values[value.number] = layer.value
        else:
            sources = [values[source.number] for source in value.sources]
            values[value.number] = call(layer, sources if layer.MERGES else sources[0])
    inputs = [values[value.number] for value in model.inputs]
    outputs = model.formed([values[value.number] for value in model.outputs])
    return type(model)(inputs, outputs, model.name, dtype=model.dtype, seed=seed)


def clone_layer(layer: Layer) -> Layer:
    """A layer of the same class from the same arguments, with new seeds where none was chosen."""
    clone = type(layer).from_config(undrawn(layer.get_config()))
    if isinstance(layer, Embedding) and isinstance(clone, Embedding):
        clone.start_like(layer)
    return clone


def undrawn(config: Any) -> Any:
    """A configuration without the seeds that nobody chose."""
    if isinstance(config, dict):
        return {key: None if isinstance(value, Drawn) else undrawn(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(undrawn(value) for value in config)
    return config
