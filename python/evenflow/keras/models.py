"""Whole models to Keras and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]

from .. import convert, errors, layers
from ..activations import UNLIMITED, Activation
from ..layers.activation_base import ActivationLayer, LearnedActivation
from ..layers.base import Layer
from ..models import Sequential
from ..models.calls import calls_of
from ..models.model import Model
from .dense import FusedDense

KEPT = ("name", "trainable")  # in descriptions of layers
UNKNOWN = "Keras has no such layer"
REFUSED: Mapping[type[Layer], str] = {
    layers.DenseTranspose: UNKNOWN,
    layers.Scaling: UNKNOWN,
    layers.RReLU: UNKNOWN,
    **dict.fromkeys((layers.StringLookup, layers.IntegerLookup), "Keras' own looks up with TensorFlow alone"),
}
# Layers whose arguments Keras' layers of the same name have too; the rest have functions below.
ALIKE = (
    *(layers.Flatten, layers.LayerNormalization, layers.RMSNormalization, layers.Rescaling, layers.Embedding),
    *(layers.CategoryEncoding, layers.Add, layers.Multiply, layers.Concatenate),
    *(layers.Dropout, layers.AlphaDropout, layers.GaussianNoise, layers.GaussianDropout),
    layers.ActivityRegularization,
)


def to_keras(model: Model) -> Any:
    """A `keras.Sequential`, or a `keras.Model` where there are branches, with the same layers, names, dtype, weights
    and outputs; not compiled.

    Regularizers and constraints come along; initializers stay behind, as the weights are there. A hyper-parameter or a
    trained parameter of an `activation=` becomes an activation layer of its own behind the layer. Seeds of dropout are
    new. An `unbiased_variance` of batch normalization, which only training looks at, is lost.

    Raises ValueError for a model without weights, and with the layer's name for what Keras does not have:
    DenseTranspose, Scaling, Swish with a beta, RReLU, activations with other hyper-parameters than Keras' layers take,
    batch normalization over several axes; and for lookups, which work with TensorFlow alone.
    """
    where = "to_keras"
    if not isinstance(model, Model):
        raise errors.wrong_type(where, "model", "a model", model)
    if not model.built:
        raise ValueError(f"{where}: model {model.name!r} has no weights yet: add Input(shape=...) or call build or fit")
    calls, ends = calls_of(model)
    made: dict[int, list[Any]] = {}
    for call in calls:
        if id(call.layer) not in made and not isinstance(call.layer, layers.InputLayer):
            made[id(call.layer)] = _layers(call.layer, model.dtype)
    values: dict[str, Any] = {}
    for call in calls:
        if isinstance(call.layer, layers.InputLayer):
            # Keras computes in the dtype of whole numbers: of them only ids stay what they are.
            ids = all(one.layer.READS_IDS for one in calls if call.name in one.sources)
            dtype = (call.layer.dtype if ids else None) or model.dtype
            values[call.name] = keras.Input(call.row_shape, name=call.layer.name, dtype=dtype)
            continue
        value = [values[source] for source in call.sources]
        value = value if call.layer.MERGES else value[0]
        for one in made[id(call.layer)]:
            value = one(value)
        values[call.name] = value
    inputs = [values[call.name] for call in calls if isinstance(call.layer, layers.InputLayer)]
    if isinstance(model, Sequential):
        found = keras.Sequential([inputs[0], *(one for listed in made.values() for one in listed)], name=model.name)
    else:
        outputs = model.formed([values[name] for name in ends])  # type: ignore[attr-defined]
        found = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs, name=model.name)
    for layer in {id(call.layer): call.layer for call in calls}.values():
        _give(layer, made.get(id(layer), []))
    return found


def from_keras(model: Any) -> Model:
    """The model of evenflow with the layers, names, dtype and weights of a built Keras model, not compiled.

    What `convert.from_keras` reads from a `.keras` file: Sequential models and those of `keras.Model(inputs, outputs)`,
    of layers that evenflow has; each FusedDense becomes the layers that it stands for. Raises ValueError, with the
    layer's name, for what has no counterpart.
    """
    where = "from_keras"
    if not isinstance(model, keras.Model):
        raise errors.wrong_type(where, "model", "a model of Keras", model)
    if not model.built:
        raise ValueError(f"{where}: model {model.name!r} has no weights yet: add keras.Input(...) or call build")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{model.name}.keras"
        _unfused(model).save(path)
        return convert.from_keras(path)


# to Keras


def _refusal(layer: Layer, reason: str) -> ValueError:
    return ValueError(f"to_keras: layer {layer.name!r} ({type(layer).__name__}) cannot be a layer of Keras: {reason}")


def _layers(layer: Layer, dtype: str) -> list[Any]:
    """The layers of Keras that stand for one, in order."""
    for kind in type(layer).__mro__:
        if kind in REFUSED:
            raise _refusal(layer, REFUSED[kind])
        if kind in MAKERS:
            return MAKERS[kind](layer, dtype)
        if kind in ALIKE:
            return [_made(layer, kind.__name__, _arguments(layer), dtype)]
    raise _refusal(layer, UNKNOWN)


def _made(layer: Layer, kind: str, arguments: Mapping[str, Any], dtype: str) -> Any:
    made = getattr(keras.layers, kind, None)
    if made is None:  # of a later version
        raise _refusal(layer, f"keras {keras.__version__} has no {kind}")
    return made(**arguments, dtype=dtype)


def _arguments(layer: Layer, *left_out: str) -> dict[str, Any]:
    """A layer's configuration in Keras' objects, without the initializers."""
    found: dict[str, Any] = {}
    for name, value in layer.get_config().items():
        if name in ("input_shape", "seed", *left_out) or name.endswith("_initializer"):
            continue
        if isinstance(value, Mapping) and "class_name" in value:
            module = keras.constraints if name.endswith("constraint") else keras.regularizers
            made = getattr(module, value["class_name"], None)
            if made is None:
                raise _refusal(layer, f"Keras has no {value['class_name']}, which is its {name}")
            value = made(**value["config"])
        found[name] = value
    return found


def _dense(layer: Any, dtype: str) -> list[Any]:
    dense = _made(layer, "Dense", _arguments(layer, "activation"), dtype)
    return [dense, *_activations(layer, layer.activation, layer.learned, f"{layer.name}_activation", dtype)]


def _activation(layer: Any, dtype: str) -> list[Any]:
    learned = getattr(layer, "learned", None)
    found = _activations(layer, layer.as_activation(), learned, layer.name, dtype)
    return found or [_made(layer, "Activation", {"activation": "linear", "name": layer.name}, dtype)]


def _activations(
    layer: Layer, activation: Activation, learned: LearnedActivation | None, name: str, dtype: str
) -> list[Any]:
    """A layer for an activation; none where it is linear."""
    kind, parameters = activation
    if kind == "linear":
        return []
    own = {"name": name, "trainable": layer.trainable}
    if kind == "prelu" and learned is not None:
        return [_made(layer, "PReLU", _arguments(learned, "name") | own, dtype)]
    if kind == "leaky_relu":
        return [_made(layer, "LeakyReLU", parameters | own, dtype)]
    if kind == "elu" and parameters["alpha"] > 0:
        return [_made(layer, "ELU", parameters | own, dtype)]
    if kind == "clipped_relu":
        limit = parameters["max_value"]
        return [_made(layer, "ReLU", parameters | {"max_value": None if limit >= UNLIMITED else limit} | own, dtype)]
    if kind in WITHOUT_PARAMETERS and activation == Activation(kind, WITHOUT_PARAMETERS[kind]):
        return [_made(layer, "Activation", {"activation": kind} | own, dtype)]
    given = ", ".join(f"{key}={value}" for key, value in parameters.items())
    raise _refusal(layer, f"Keras has no activation {kind}({given}) that a file could hold")


def _batch_normalization(layer: Any, dtype: str) -> list[Any]:
    arguments = _arguments(layer, "unbiased_variance")
    axis = arguments["axis"]
    if isinstance(axis, list) and len(axis) > 1:
        raise _refusal(layer, f"Keras' has one axis, expected that, received {axis}")
    return [
        _made(layer, "BatchNormalization", arguments | {"axis": axis[0] if isinstance(axis, list) else axis}, dtype)
    ]


def _discretization(layer: Any, dtype: str) -> list[Any]:
    return [_made(layer, "Discretization", _arguments(layer, "num_bins", "trainable"), dtype)]


def _normalization(layer: Any, dtype: str) -> list[Any]:
    statistics = {"mean": layer.mean.numpy(), "variance": layer.variance.numpy()}
    return [_made(layer, "Normalization", _arguments(layer) | statistics, dtype)]


def _plain_activations() -> dict[str, dict[str, float]]:
    """Activations that Keras has by the same name, and what hyper-parameters it gives them."""
    from ..activations import DEFAULTS

    different = {"threshold", "prelu", "rrelu", "learned_swish", "clipped_relu"}
    return {k: v for k, v in DEFAULTS.items() if k not in different and hasattr(keras.activations, k)}


WITHOUT_PARAMETERS = _plain_activations()
MAKERS: Mapping[type[Layer], Callable[[Any, str], list[Any]]] = {
    layers.Dense: _dense,
    ActivationLayer: _activation,
    layers.BatchNormalization: _batch_normalization,
    layers.Normalization: _normalization,
    layers.Discretization: _discretization,
}


def _give(layer: Layer, made: Sequence[Any]) -> None:
    """Set the weights of the layers of Keras that stand for one."""
    if isinstance(layer, layers.Normalization):
        return  # its arguments are the weights
    _share_out(layer.get_weights(), made)


def _share_out(weights: Sequence[Any], made: Sequence[Any]) -> None:
    """Set the weights of layers of Keras, one after the other."""
    for one in made:
        own = len(one.weights)
        if own:
            one.set_weights(weights[:own])
        weights = weights[own:]


# from Keras


def _unfused(model: Any) -> Any:
    """The same model of Keras' own layers; itself where it has no FusedDense."""
    if not any(isinstance(layer, FusedDense) for layer in model.layers):
        return model
    if isinstance(model, keras.Sequential):
        listed = [keras.Input(batch_shape=model.input_shape, dtype=model.inputs[0].dtype)]
        for layer in model.layers:
            fused = isinstance(layer, FusedDense)
            listed += layer.layers_of_keras() if fused else [type(layer).from_config(layer.get_config())]
        plain = keras.Sequential(listed, name=model.name)
        plain.set_weights(model.get_weights())
    else:
        parts: dict[str, list[Any]] = {}

        def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if not isinstance(layer, FusedDense):
                return layer(*args, **kwargs)
            (value,) = args
            if layer.name not in parts:
                parts[layer.name] = layer.layers_of_keras()
            for part in parts[layer.name]:
                value = part(value)
            return value

        plain = keras.models.clone_model(model, call_function=called, clone_function=_clone)
        for layer in model.layers:  # one by one: among branches the parts stand in another order
            if layer.weights:
                _share_out(layer.get_weights(), parts.get(layer.name) or [plain.get_layer(layer.name)])
    return plain


def _clone(layer: Any) -> Any:
    return type(layer).from_config(layer.get_config())
