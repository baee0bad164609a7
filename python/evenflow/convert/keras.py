"""Keras 3's files: `.keras`, a zip archive of a description and weights, and `.weights.h5`."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .. import errors
from ..common.naming import snake_case
from ..layers import REGISTRY, DenseTranspose
from ..layers.base import Layer
from ..layers.noise import NoiseLayer
from ..layers.normalization import Normalization
from ..layers.variables import Variable
from ..models import Sequential
from ..models.functional import Functional
from ..models.model import DTYPES, Model
from ..saving.files import write_file
from .filling import Array, PathLike, blank, existing, put, unusable

T = TypeVar("T")

WEIGHTS = "model.weights.h5"
VOCABULARY = r"assets/layers/\w+/vocabulary\.txt"
LARGEST_RATIO = 100  # of a member of an archive to its compressed size
# In descriptions of layers: arguments that say nothing here, and values that stand for nothing.
IGNORED = ("dtype", "sparse", "ragged", "batch_size", "renorm_momentum")
NOTHING = (None, False, "channels_last")
# Layers whose dtype is that of what they read or of ids.
OF_ANY_DTYPE = ("InputLayer", "CategoryEncoding", "Discretization", "IntegerLookup", "StringLookup")
LOOKUPS = ("IntegerLookup", "StringLookup")
OF_LOOKUPS = (("vocabulary_dtype", "string"), ("vocabulary_dtype", "int64"), ("oov_method", "floormod"))


def from_keras(path: PathLike, layers: Model | Sequence[Layer] | None = None) -> Model:
    """The model in a `.keras` file; or, from a `.weights.h5` file, a new model of `layers`, a model of which the layers
    are copied or a list, with its weights.

    Layers keep their names and arguments; what those of evenflow do not have is an error, unless it is None or False.
    Models are a Sequential or a chain or graph of layers made with `keras.Model(inputs, outputs)`, in float32 or
    float64. What Keras compiled, the optimizer's state included, stays behind. Weights in a `.weights.h5` file are
    matched as Keras does it, by class and order. Raises ValueError for a file that is damaged or does not fit.
    """
    where = "from_keras"
    found = existing(where, path)
    if found.suffix == ".keras":
        if layers is not None:
            raise errors.wrong_value(where, "layers", "None beside a .keras file, which has its own", layers)
        description, weights, vocabularies = _members(where, found)
        model, order = _model(where, found, description, vocabularies)
        _fill(where, found, io.BytesIO(weights), model, order)
        return model
    if layers is None:
        raise ValueError(f"{where}: {str(found)!r} holds weights only: give the layers too, from_keras(path, layers)")
    model = blank(where, layers)
    _fill(where, found, found, model, [layer.name for layer in model.layers])
    return model


def to_keras(model: Model, path: PathLike) -> None:
    """Write a `.weights.h5` file, which `load_weights` of a Keras model with the same layers reads, before that has
    been trained. A model with branches cannot be written: Keras numbers its layers in an order of its own.

    Raises ValueError for a name that does not end in .weights.h5, or a model without weights.
    """
    where = "to_keras"
    import h5py  # type: ignore[import-untyped]

    if not isinstance(model, Model):
        raise errors.wrong_type(where, "model", "a model", model)
    target = Path(path)
    if not target.name.endswith(".weights.h5"):
        raise errors.wrong_value(where, "path", "a name that ends in .weights.h5", str(path))
    if not model.built:
        raise ValueError(f"{where}: model {model.name!r} has no weights yet: add Input(shape=...) or call build or fit")
    tied = next((layer for layer in model.layers if isinstance(layer, DenseTranspose)), None)
    if tied is not None:
        raise ValueError(f"{where}: Keras has no layer like {tied.label}, which uses another layer's kernel")
    if _branches(model):
        raise ValueError(
            f"{where}: model {model.name!r} has branches, whose layers Keras numbers in an order of its own"
        )
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_group("vars").attrs["name"] = model.name
        for place, layer in _places(model.layers):
            group = file.create_group(f"layers/{place}/vars")
            group.attrs["name"] = layer.name
            for number, variable in enumerate(layer.variables):
                group[str(number)] = variable.numpy()
            if isinstance(layer, NoiseLayer):
                state = file.create_group(f"layers/{place}/seed_generator/vars")
                state["0"] = [0, layer.seed % (1 << 32)]
    write_file(target, content.getvalue())


# files


def _members(where: str, path: Path) -> tuple[dict[str, Any], bytes, dict[str, list[str]]]:
    """The description, the weights, and the vocabularies by the place of their layer, in a `.keras` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [name for name in archive.namelist() if re.fullmatch(VOCABULARY, name)]
            for info in map(archive.getinfo, ("config.json", WEIGHTS, *texts)):
                if info.file_size > LARGEST_RATIO * max(1, info.compress_size):
                    raise unusable(where, path, f"{info.filename} would take {info.file_size:,} bytes unpacked")
            description, weights = json.loads(archive.read("config.json")), archive.read(WEIGHTS)
            words = {name.split("/")[2]: archive.read(name).decode("utf-8").splitlines() for name in texts}
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, NotImplementedError, RuntimeError) as error:
        raise unusable(where, path, f"it is not a whole archive of Keras: {error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise unusable(where, path, f"its config.json is not JSON, or a vocabulary no text: {error}") from error
    if not isinstance(description, dict):
        raise unusable(where, path, "its config.json describes no model")
    return description, weights, words


@contextmanager
def _opened(where: str, path: Path, source: Any) -> Iterator[Any]:
    """The group of layers in a file of weights."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            if not isinstance(file.get("layers"), h5py.Group):
                hint = (
                    ": a file of Keras 2? Load it there, and save it with Keras 3"
                    if "layer_names" in file.attrs
                    else ""
                )
                raise unusable(where, path, f"it has no weights of layers in Keras 3's layout{hint}")
            yield file["layers"]
    except (OSError, RuntimeError, KeyError) as error:
        raise unusable(where, path, f"it is not a whole HDF5 file: {error}") from error


def _fill(where: str, path: Path, source: Any, model: Model, order: Sequence[str]) -> None:
    """Put the weights of a file into a model that may have no shapes yet; `order`: of the layers in Keras."""
    with _opened(where, path, source) as file:
        stored, names = _stored(where, path, file)
        places = {layer.name: place for place, layer in _places([model.get_layer(name) for name in order])}
        if not model.built:
            first = next((stored[place] for place in places.values() if place in stored), None)
            if first is None:
                raise unusable(where, path, f"no layer of the model takes the weights in {', '.join(sorted(stored))}")
            model.build((None, int(first[0].shape[0])))
        wanted = {layer.name for layer in model.layers if layer.variables}
        if wanted == set(names):
            places = names
        elif _branches(model):
            raise unusable(
                where,
                path,
                f"it has weights of {sorted(names) or 'layers without names'}, a model with branches needs "
                f"those of {sorted(wanted)}",
            )
        pairs = []
        for layer in model.layers:
            datasets = stored.pop(places.get(layer.name, ""), [])
            if isinstance(layer, Normalization):
                if not datasets:  # the description has the statistics
                    continue
                del datasets[2:]  # how many rows they are of
            if len(layer.variables) != len(datasets):
                raise unusable(
                    where,
                    path,
                    f"layers/{places[layer.name]} holds {len(datasets)} arrays, layer {layer.name!r} has "
                    f"{len(layer.variables)}",
                )
            for variable, dataset in zip(layer.variables, datasets, strict=True):
                pairs.append((variable, _array(where, path, dataset, variable), dataset.name))
        if stored:
            raise unusable(where, path, f"no layer of the model takes the weights in {', '.join(sorted(stored))}")
    put(where, pairs)


def _stored(where: str, path: Path, layers: Any) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The arrays of each group that has some, in their order; and the groups by the names of their layers, which later
    versions of Keras write beside them."""
    import h5py

    def part(group: Any, name: str, kind: type) -> Any:
        # Only what lies in this file: a link may lead to any other.
        found = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
        return found if isinstance(found, kind) else None

    found: dict[str, list[Any]] = {}
    names: dict[str, str] = {}
    for name in layers:
        own = part(layers, name, h5py.Group)
        variables = None if own is None else part(own, "vars", h5py.Group)
        if own is not None and "layers" in own:
            raise unusable(where, path, f"layers/{name} is a model within the model, which this function does not read")
        if variables is not None and len(variables):
            found[name] = [part(variables, str(number), h5py.Dataset) for number in range(len(variables))]
            if None in found[name]:
                raise unusable(where, path, f"layers/{name}/vars: expected arrays named 0 to {len(variables) - 1}")
            names[str(variables.attrs.get("name", ""))] = name
    if not found:
        raise unusable(where, path, "there are no weights in it")
    return found, names


def _array(where: str, path: Path, dataset: Any, variable: Variable) -> Array:
    """An array of the file, read once it is known to be of the right size and all there."""
    if dataset.shape != variable.shape:
        raise errors.wrong_shape(
            f"{where}: {str(path)!r}", f"{dataset.name!r} for {variable.path}", variable.shape, dataset.shape
        )
    if dataset.is_virtual or dataset.external or dataset.id.get_storage_size() != dataset.nbytes:
        raise unusable(where, path, f"{dataset.name}: expected {dataset.nbytes} bytes in the file itself, uncompressed")
    found: Array = dataset[()]
    return found


def _places(layers: Sequence[Layer]) -> Iterator[tuple[str, Layer]]:
    """The group of each layer: its class in Keras' spelling, numbered within the model."""
    return _numbered([type(layer).__name__ for layer in layers], layers)


def _numbered(classes: Sequence[str], things: Sequence[T]) -> Iterator[tuple[str, T]]:
    used: Counter[str] = Counter()
    for name, thing in zip(map(snake_case, classes), things, strict=True):
        yield f"{name}_{used[name]}" if used[name] else name, thing
        used[name] += 1


def _branches(model: Model) -> bool:
    """Whether the order of the layers does not follow from the network itself."""
    return any("inputs" in entry for entry in model.layer_spec())


# descriptions


def _model(
    where: str, path: Path, description: Mapping[str, Any], vocabularies: Mapping[str, list[str]]
) -> tuple[Model, list[str]]:
    """The model that a config.json describes, with new weights, and the names of its layers in Keras' order."""
    try:
        config, kind = description["config"], description["class_name"]
        _take_vocabularies(config["layers"], vocabularies)
        if kind not in ("Sequential", "Functional"):
            raise ValueError(f"it is a {kind}, expected a Sequential or a model made by keras.Model(inputs, outputs)")
        dtypes = {_dtype(e["config"].get("dtype")) for e in config["layers"] if e["class_name"] not in OF_ANY_DTYPE}
        dtypes -= {None}
        if len(dtypes) != 1 or not dtypes <= set(DTYPES):
            raise ValueError(f"its layers are of {sorted(map(str, dtypes))}, expected all float32 or all float64")
        model = {"name": config["name"], "dtype": dtypes.pop(), "seed": None}
        if kind == "Sequential":
            layers = [_layer(entry) for entry in config["layers"]]
            shape = {"build_input_shape": config["build_input_shape"]} if config.get("build_input_shape") else {}
            sequential = Sequential.from_config(model | {"layers": layers} | shape)
            return sequential, [layer.name for layer in sequential.layers]
        graph = _in_order([{"layer": _layer(entry), "inbound": _sources(entry)} for entry in config["layers"]])
        ends = {key: _names(config[f"{key[:-1]}_layers"]) for key in ("inputs", "outputs")}
        order = [entry["config"]["name"] for entry in config["layers"]]
        return Functional.from_config(model | {"layers": graph} | ends), order
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise unusable(where, path, f"its description of the model does not hold here: {error}") from error


def _take_vocabularies(entries: Sequence[Mapping[str, Any]], vocabularies: Mapping[str, list[str]]) -> None:
    """Put those that `adapt` found, special tokens included, into the descriptions of their layers."""
    for place, entry in _numbered([entry["class_name"] for entry in entries], entries):
        if entry["class_name"] in LOOKUPS and entry["config"].get("vocabulary") is None and place in vocabularies:
            lines = vocabularies[place]
            whole = entry["class_name"] == "IntegerLookup"
            entry["config"]["vocabulary"] = [int(line) for line in lines] if whole else lines


def _dtype(policy: Any) -> str | None:
    name: str | None = policy["config"]["name"] if isinstance(policy, Mapping) else policy
    return name


def _layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A layer's description in the words of this package."""
    kind, given = entry["class_name"], entry["config"]
    if kind not in REGISTRY.classes:
        raise errors.unknown_name("layer", given.get("name", "class"), kind, REGISTRY.classes)
    if kind == "InputLayer":
        own = {"name": given["name"], "shape": list(given["batch_shape"][1:])}
        words = {"dtype": "string"} if given.get("dtype") == "string" else {}
        return {"class_name": kind, "config": own | words}
    known = {"name", "trainable", "activity_regularizer", *REGISTRY.classes[kind].ARGUMENTS}
    config = {}
    for key, value in given.items():
        if kind in LOOKUPS and key == "vocabulary_size":  # follows from the vocabulary
            continue
        if key in known:
            config[key] = _plain(value)
        elif key not in IGNORED and value not in NOTHING and (kind not in LOOKUPS or (key, value) not in OF_LOOKUPS):
            raise ValueError(f"layer {given.get('name')!r}: {kind} has no argument {key}, which is {value!r:.100}")
    if kind in LOOKUPS and config.get("vocabulary") is None:
        raise ValueError(f"layer {given.get('name')!r}: {kind} without a vocabulary: it was saved before adapt")
    if kind == "LayerNormalization":
        config["axis"] = _only(config["axis"])
    return {"class_name": kind, "config": config}


def _plain(value: Any) -> Any:
    """Objects within a description by class and arguments alone; arguments that are None are left to the class."""
    if isinstance(value, Mapping) and "class_name" in value:
        arguments = value.get("config") or {}
        return {
            "class_name": value["class_name"],
            "config": {key: _plain(part) for key, part in arguments.items() if part is not None},
        }
    return value


def _only(axis: Any) -> Any:
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else axis


def _names(ends: list[Any]) -> list[str]:
    """["x", 0, 0], or a list of such, as names."""
    if not isinstance(ends, list):
        raise ValueError(f"its inputs or outputs are a {type(ends).__name__}, expected one or a list")
    return [end[0] for end in ([ends] if isinstance(ends[0], str) else ends)]


def _sources(entry: Mapping[str, Any]) -> list[str]:
    """The layers whose values a layer of a graph was called on."""
    nodes = entry["inbound_nodes"]
    if len(nodes) > 1:
        raise ValueError(f"layer {entry['name']!r} is called {len(nodes)} times: a layer stands for one operation here")
    if not nodes:
        return []
    given = nodes[0]["args"][0]
    return [value["config"]["keras_history"][0] for value in (given if isinstance(given, list) else [given])]


def _in_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every layer after those that it reads, else as they were."""
    found: dict[str, dict[str, Any]] = {}
    waiting = entries
    while waiting:
        ready = [entry for entry in waiting if all(name in found for name in entry["inbound"])]
        if not ready:
            raise ValueError("its layers read each other in a circle")
        found |= {entry["layer"]["config"]["name"]: entry for entry in ready}
        waiting = [entry for entry in waiting if entry["layer"]["config"]["name"] not in found]
    return list(found.values())
