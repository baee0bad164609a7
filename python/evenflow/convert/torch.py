"""PyTorch's state dicts: names by module, kernels [units, inputs], its conventions of batch normalization."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import errors
from ..layers import BatchNormalization, Dense, DenseTranspose, Embedding
from ..layers.base import Layer
from ..layers.row_normalization import LayerNormalization, RMSNormalization
from ..layers.variables import Variable
from ..models.model import Model
from .filling import Array, PathLike, blank, existing, put, unusable

Group = dict[str, Array]  # the arrays of a module by their last names

NORMALIZATIONS = ("BatchNormalization", "LayerNormalization", "RMSNormalization")
AFFINE = {"gamma": "weight", "beta": "bias"}
# Of each class of layers: the module, and what that calls the layer's variables.
MODULES: dict[type[Layer], tuple[str, dict[str, str]]] = {
    Dense: ("Linear", {"kernel": "weight", "bias": "bias"}),
    Embedding: ("Embedding", {"embeddings": "weight"}),
    BatchNormalization: ("BatchNorm1d", AFFINE | {"moving_mean": "running_mean", "moving_variance": "running_var"}),
    LayerNormalization: ("LayerNorm", AFFINE),
    RMSNormalization: ("RMSNorm", {"scale": "weight"}),
}
ORDER = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
COUNTER = "num_batches_tracked"  # nothing here depends on it


def from_torch(
    state_dict: Mapping[str, Any] | PathLike,
    layers: Model | Sequence[Layer],
    *,
    names: Mapping[str, str] | None = None,
    epsilon: float | None = 1e-5,
    momentum: float | None = 0.1,
) -> Model:
    """A new model of these layers with the weights of a `state_dict`: of a dict of tensors or arrays, of a safetensors
    file, or of a `.pt` file, which PyTorch itself reads with weights_only=True.

    layers: a model, of which the layers are copied, or a list of layers; they say what a state dict does not: the
    activations, and what has no weights. Dense takes Linear's, BatchNormalization BatchNorm1d's, Embedding,
    LayerNormalization and RMSNormalization those of the same name, PReLU PReLU's.
    names: the module of each layer that has weights, {"hidden": "net.0"}. Without it both sides are matched in their
    order, that of the dict; a file keeps no order, so that names of its modules must then be numbers ("0", "net.2").
    epsilon, momentum: those of the PyTorch model, which a state dict does not hold: its defaults are 1e-5, and 0.1 as
    the share of the new batch. Normalizations get this epsilon, batch normalization also 1 - momentum, and a moving
    variance that is unbiased (`unbiased_variance=True`). None keeps what the layers say.

    Raises ValueError, with both sides, where modules and layers do not fit each other; nothing is half done.
    """
    where = "from_torch"
    if isinstance(state_dict, Mapping):
        arrays, ordered = dict(state_dict), True
    else:
        arrays, ordered = _read(where, existing(where, state_dict))
    groups = _groups(where, arrays)
    epsilon = None if epsilon is None else errors.number(where, "epsilon", epsilon, at_least=0.0)
    momentum = None if momentum is None else errors.number(where, "momentum", momentum, at_least=0.0, at_most=1.0)

    def take_conventions(entry: dict[str, Any]) -> None:
        if entry["class_name"] in NORMALIZATIONS and epsilon is not None:
            entry["config"]["epsilon"] = epsilon
        if entry["class_name"] == "BatchNormalization" and momentum is not None:
            entry["config"] |= {"momentum": 1 - momentum, "unbiased_variance": True}

    model = blank(where, layers, take_conventions)
    if names is None and not ordered:
        groups = _sorted(where, groups, [layer.name for layer in model.layers])
    if not model.built:
        if any(isinstance(layer, Embedding) for layer in model.layers):
            raise ValueError(f"{where}: an Embedding does not tell the number of inputs: begin with Input(shape=...)")
        first = next(iter(groups) if names is None else (names[n.name] for n in model.layers if n.name in names), "")
        model.build((None, _inputs(where, first, groups)))
    slots = list(_slots(where, model))
    chosen = _in_order(where, slots, groups) if names is None else _by_names(where, slots, names, groups)
    put(
        where,
        [p for slot, prefix in zip(slots, chosen, strict=True) for p in slot.pairs(where, prefix, groups[prefix])],
    )
    return model


def to_torch(model: Model, *, names: Mapping[str, str] | None = None) -> dict[str, Array]:
    """Copies of a model's weights under the names and in the layout of a PyTorch `state_dict`, in order.

    Linear's weight is [units, inputs]; BatchNorm1d also has `num_batches_tracked`, 0; gamma or beta that a layer does
    not have are ones or zeros. `names`: the module of each layer, {"hidden": "net.0"}; default: the layer's name.
    `torch_model.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})` takes them. Epsilon and
    momentum are set there by hand: BatchNorm1d(units, eps=layer.epsilon, momentum=1 - layer.momentum).
    """
    where = "to_torch"
    if not isinstance(model, Model):
        raise errors.wrong_type(where, "model", "a model", model)
    if not model.built:
        raise ValueError(f"{where}: model {model.name!r} has no weights yet: add Input(shape=...) or call build or fit")
    found: dict[str, Array] = {}
    slots = list(_slots(where, model))
    prefixes = [slot.name for slot in slots] if names is None else _named(where, slots, names)
    for slot, prefix in zip(slots, prefixes, strict=True):
        found |= {f"{prefix}.{last}": array for last, array in slot.arrays().items()}
    return found


class _Slot:
    """Variables of a layer that one module of PyTorch has."""

    def __init__(self, name: str, module: str, variables: Sequence[Variable], words: Mapping[str, str]) -> None:
        self.name, self.module = name, module
        self.variables = {words[variable.name]: variable for variable in variables}

    def pairs(self, where: str, prefix: str, group: Group) -> Iterator[tuple[Variable, Array, str]]:
        """Each variable with its value in the layout of this package."""
        if set(group) != set(self.variables):
            raise ValueError(
                f"{where}: {prefix!r}: expected {_listed(self.variables)} of a {self.module} for layer {self.name!r}, "
                f"received {_listed(group)}"
            )
        for last, variable in self.variables.items():
            array, turned = group[last], last == "weight" and self.module == "Linear"
            if self.module == "PReLU" and array.shape == (1,):
                array = np.broadcast_to(array, variable.shape)
            expected = variable.shape[::-1] if turned else variable.shape
            if array.shape != expected:
                raise errors.wrong_shape(where, f"'{prefix}.{last}' for layer {self.name!r}", expected, array.shape)
            yield variable, array.T if turned else array, f"{prefix}.{last}"

    def arrays(self) -> Group:
        """The module's arrays, with what the layer leaves out."""
        found = {last: variable.numpy() for last, variable in self.variables.items()}
        if self.module == "Linear":
            found["weight"] = np.ascontiguousarray(found["weight"].T)
        if "Norm" in self.module and ("weight" in found) != ("bias" in found) and self.module != "RMSNorm":
            present, missing = ("weight", "bias") if "weight" in found else ("bias", "weight")
            found[missing] = np.full_like(found[present], missing == "weight")
        if self.module == "BatchNorm1d":
            found[COUNTER] = np.array(0, np.int64)
        return {last: found[last] for last in ORDER if last in found}


def _slots(where: str, model: Model) -> Iterator[_Slot]:
    for layer in model.layers:
        if isinstance(layer, DenseTranspose):
            raise ValueError(f"{where}: PyTorch has no module like {layer.label}, which uses another layer's kernel")
        inner = [variable for variable in layer.variables if variable.path.rpartition("/")[0] != layer.name]
        own = [variable for variable in layer.variables if variable not in inner]
        module, words = next((value for kind, value in MODULES.items() if isinstance(layer, kind)), ("", {}))
        if own and module:
            yield _Slot(layer.name, module, own, words)
        for variable in inner if module else layer.variables:  # parameters of activations
            if variable.name != "alpha":
                raise ValueError(f"{where}: PyTorch has no module with the {variable.name!r} of {layer.label}")
            yield _Slot(variable.path.rpartition("/")[0], "PReLU", [variable], {"alpha": "weight"})


def _read(where: str, path: Path) -> tuple[dict[str, Any], bool]:
    """The arrays of a file, and whether they are in the order of the modules."""
    if path.suffix in (".pt", ".pth", ".bin"):
        import torch

        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # of many kinds, from unpickling and from archives
            raise unusable(where, path, f"PyTorch does not load it with weights_only=True: {error}") from error
        if not isinstance(loaded, Mapping):
            raise unusable(where, path, f"expected a state_dict, received a {type(loaded).__name__}")
        return dict(loaded), True
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path), False
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise unusable(where, path, f"it is not a whole safetensors file of numbers that NumPy has: {error}") from error


def _groups(where: str, arrays: Mapping[str, Any]) -> dict[str, Group]:
    """The arrays of each module, by its name."""
    groups: dict[str, Group] = {}
    for key, value in arrays.items():
        if isinstance(value, Mapping):
            raise ValueError(f"{where}: {key!r} is a dict itself: if that is the state_dict, give state_dict[{key!r}]")
        prefix, _, last = str(key).rpartition(".")
        if last != COUNTER:
            groups.setdefault(prefix, {})[last] = _as_array(where, key, value)
    if not groups:
        raise ValueError(f"{where}: state_dict: expected weights, received nothing")
    return groups


def _as_array(where: str, key: str, value: Any) -> Array:
    if hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu()
        value = value.numpy() if value.dtype.itemsize > 2 else value.float().numpy()  # NumPy has no bfloat16
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise errors.wrong_kind(where, repr(key), "an array of real numbers", f"dtype {array.dtype}")
    return array


def _inputs(where: str, first: str, groups: Mapping[str, Group]) -> int:
    """Features of a row, as the first module tells them."""
    group = groups.get(first, {})
    array = group.get("weight", group.get("running_mean"))
    if array is not None and array.ndim in (1, 2):
        return int(array.shape[-1])
    raise ValueError(f"{where}: {first!r} does not tell the number of inputs: add Input(shape=...) to the layers")


def _sorted(where: str, groups: Mapping[str, Group], layers: Sequence[str]) -> dict[str, Group]:
    """The modules of a file, which keeps no order, in that of the numbers in their names."""
    if len({re.sub(r"\d+", "#", prefix) for prefix in groups}) > 1:
        raise ValueError(
            f"{where}: a file keeps no order, and the names of its modules ({_listed(sorted(groups))}) do not tell "
            f"one: give names={{layer: module}} for the layers ({_listed(layers)})"
        )
    return {prefix: groups[prefix] for prefix in sorted(groups, key=lambda p: [int(n) for n in re.findall(r"\d+", p)])}


def _in_order(where: str, slots: Sequence[_Slot], groups: Mapping[str, Group]) -> list[str]:
    """The modules, as many as there are layers with weights."""
    if len(groups) != len(slots):
        raise ValueError(
            f"{where}: expected modules for {len(slots)} layers ({_listed(slot.name for slot in slots)}), received "
            f"{len(groups)} ({_listed(groups)})"
        )
    return list(groups)


def _by_names(where: str, slots: Sequence[_Slot], names: Mapping[str, str], groups: Mapping[str, Group]) -> list[str]:
    chosen = _named(where, slots, names)
    for prefix in chosen:
        if prefix not in groups:
            raise errors.unknown_name(where, "names", prefix, groups)
    if left := [prefix for prefix in groups if prefix not in chosen]:
        raise ValueError(f"{where}: names: no layer takes the weights of {_listed(left)}")
    return chosen


def _named(where: str, slots: Sequence[_Slot], names: Mapping[str, str]) -> list[str]:
    """The module of each layer; every layer with weights has one."""
    if not isinstance(names, Mapping):
        raise errors.wrong_type(where, "names", "a dict from layers to modules", names)
    known = [slot.name for slot in slots]
    for name in names:
        if name not in known:
            raise errors.unknown_name(where, "names", name, known)
    if missing := [name for name in known if name not in names]:
        raise ValueError(f"{where}: names: expected a module for each layer with weights, {_listed(missing)} have none")
    return [names[name] for name in known]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
