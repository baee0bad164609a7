"""Layers as the core is told of them, without their names, and networks of such."""

from typing import Any

from optimizer_specs import SGD

Spec = dict[str, Any]
SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
BINARY, SQUARED = "binary_crossentropy", "mean_squared_error"


def dense(units: int, use_bias: bool = True, trainable: bool = True) -> Spec:
    return {"kind": "dense", "units": units, "use_bias": use_bias, "trainable": trainable}


def transposed(number: int, units: int, **more: Any) -> Spec:
    """A layer of `network` that uses the kernel of layer `number` transposed."""
    return {**dense(units, **more), "transposes": f"layer_{number}"}


def batch_norm(center: bool = True, scale: bool = True, trainable: bool = True, **more: Any) -> Spec:
    settings = {"momentum": 0.9, "epsilon": 1e-3, "center": center, "scale": scale, "trainable": trainable}
    return {"kind": "batch_normalization", **settings, **more}


def normalization(invert: bool = False, **more: Any) -> Spec:
    return {"kind": "normalization", "invert": invert, **more}


def layer_norm(center: bool = True, scale: bool = True, trainable: bool = True) -> Spec:
    settings = {"epsilon": 1e-3, "center": center, "scale": scale, "trainable": trainable}
    return {"kind": "layer_normalization", **settings}


def rms_norm(trainable: bool = True) -> Spec:
    return {"kind": "rms_normalization", "epsilon": 1e-6, "trainable": trainable}


def scaling(trainable: bool = True) -> Spec:
    return {"kind": "scaling", "trainable": trainable}


def activation(name: str, **parameters: float) -> Spec:
    return {"kind": "activation", "activation": name, "parameters": parameters}


def learned(name: str, *, shared: bool = False, trainable: bool = True) -> Spec:
    return {**activation(name), "shared": shared, "trainable": trainable}


def rescaling(scale: float, offset: float = 0.0) -> Spec:
    return {"kind": "rescaling", "scale": scale, "offset": offset}


def embedding(input_dim: int, units: int, trainable: bool = True, **more: Any) -> Spec:
    return {"kind": "embedding", "input_dim": input_dim, "units": units, "trainable": trainable, **more}


def encoding(tokens: int, mode: str) -> Spec:
    return {"kind": "category_encoding", "units": tokens, "encoding": mode}


def discretization(*boundaries: float) -> Spec:
    return {"kind": "discretization", "boundaries": list(boundaries)}


def noise(kind: str, seed: int = 2**40 + 3, **parameters: float) -> Spec:
    return {"kind": "noise", "noise": kind, "parameters": parameters, "seed": seed}


def shared_noise(kind: str, shape: list[int], axis: list[int], one_row: bool = False, **parameters: float) -> Spec:
    """A random layer whose numbers differ along these axes of rows of that shape alone."""
    return {**noise(kind, **parameters), "shape": shape, "axis": axis, "one_row": one_row}


def reads(layer: Spec, *numbers: int) -> Spec:
    """A layer of `network` that reads these, in place of the one before it."""
    return {**layer, "inputs": [f"layer_{i}" for i in numbers]}


def again(number: int, layer: Spec, *numbers: int) -> Spec:
    """Layer `number` of `network`, which `layer` describes, called once more."""
    return {**reads(layer, *numbers), "shares": f"layer_{number}"}


def network(
    inputs: int, layers: list[Spec], loss: str, *, from_logits: bool = False, metrics: tuple[Any, ...] = ()
) -> Spec:
    """A spec with layers named "layer_0", "layer_1", ... and plain SGD."""
    return {
        "inputs": inputs,
        "layers": [{**layer, "name": f"layer_{i}"} for i, layer in enumerate(layers)],
        "loss": {"kind": loss, "from_logits": from_logits},
        "metrics": list(metrics),
        "optimizer": SGD,
    }
