"""Folders of IDX files: MNIST, Fashion-MNIST and others in their form."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from .base import Array, Dataset
from .digits import load_digits

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
HOW_TO_GET_FASHION_MNIST = "apt-get install dataset-fashion-mnist"

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
# The third byte of an IDX file, and the big-endian type it stands for.
IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# Deflate cannot shrink anything more than 1032-fold, so a gzip file bounds what it may claim to hold.
DEFLATE_LIMIT = 1032


def load_default() -> Dataset:
    """Fashion-MNIST where this machine has it, else scikit-learn's digits."""
    return load_fashion_mnist() if fashion_mnist_folder() else load_digits()


def fashion_mnist_folder() -> Path | None:
    """Where the Debian package dataset-fashion-mnist or Keras put Fashion-MNIST; None where neither did."""
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    for folder in (DEBIAN_FOLDER, keras / "datasets" / "fashion-mnist"):
        if all(_idx_path(folder, name) for name in IDX_FILES.values()):
            return folder
    return None


def load_fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 bytes, ten classes (Xiao et al., 2017)."""
    found = fashion_mnist_folder() if folder is None else Path(folder)
    if found is None:
        raise FileNotFoundError(
            f"load_fashion_mnist: Fashion-MNIST is not on this machine; get it with '{HOW_TO_GET_FASHION_MNIST}', "
            "or pass folder= with its four IDX files"
        )
    return _load_idx(found, name="Fashion-MNIST", classes=FASHION_MNIST_CLASSES)


def load_idx(folder: str | os.PathLike[str]) -> Dataset:
    """A folder of the four IDX files that MNIST, Fashion-MNIST, KMNIST and their kin come in, each plain or .gz."""
    path = Path(folder)
    return _load_idx(path, name=path.resolve().name, classes=())


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array of one IDX file, gzipped if its name ends in .gz; in native byte order.

    The format: two zero bytes, a type byte, the number of dimensions, each dimension as a big-endian uint32, then the
    values in C order and nothing else (Y. LeCun, "The MNIST database").
    """
    file = Path(path)
    size = file.stat().st_size
    limit = size * DEFLATE_LIMIT if file.suffix == ".gz" else size
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_TYPES or head[3] == 0:
                raise ValueError(f"{file}: not an IDX file (it starts with {head.hex(' ') or 'nothing'})")
            raw_shape = stream.read(4 * head[3])
            if len(raw_shape) < 4 * head[3]:
                raise ValueError(f"{file}: truncated IDX file: it ends within its {head[3]} dimensions")
            shape = struct.unpack(f">{head[3]}I", raw_shape)
            dtype = np.dtype(IDX_TYPES[head[2]])
            expected = math.prod(shape) * dtype.itemsize
            # Compare before reading: a damaged header must not ask for more memory than the file could fill.
            data = stream.read(expected) if expected <= limit else b""
            if len(data) < expected:
                raise ValueError(
                    f"{file}: truncated IDX file: shape {shape} of {dtype.name} needs {expected:,} bytes, "
                    f"the file has {'fewer' if expected > limit else f'{len(data):,}'}"
                )
            if stream.read(1):
                raise ValueError(f"{file}: trailing bytes after the {expected:,} that shape {shape} announces")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{file}: damaged gzip file: {error}") from error
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def _load_idx(folder: Path, *, name: str, classes: tuple[str, ...]) -> Dataset:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    paths = {key: _idx_path(folder, stem) for key, stem in IDX_FILES.items()}
    absent = [IDX_FILES[key] for key, path in paths.items() if path is None]
    if absent:
        raise FileNotFoundError(f"{folder}: no {', '.join(absent)} (plain or .gz)")
    arrays = {key: read_idx(path) for key, path in paths.items() if path is not None}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
            raise ValueError(
                f"{folder}: {part} images have shape {x.shape} and labels {y.shape}; expected [rows, ...] and [rows]"
            )
        if not len(x):
            raise ValueError(f"{folder}: the {part} images have no rows (shape {x.shape})")
        if y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(f"{folder}: {part} labels must be whole numbers from 0, got {y.dtype} from {y.min()}")
    if arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError(
            f"{folder}: train images have shape {arrays['x_train'].shape}, test images {arrays['x_test'].shape}"
        )
    labels = int(max(arrays["y_train"].max(), arrays["y_test"].max())) + 1
    scale = 1 / 255 if arrays["x_train"].dtype == np.uint8 else 1.0
    names = classes or tuple(str(label) for label in range(labels))
    if labels > len(names):
        raise ValueError(f"{folder}: label {labels - 1} found, but {name} has {len(names)} classes")
    return Dataset(
        name,
        str(folder),
        "classification",
        arrays["x_train"],
        arrays["y_train"],
        arrays["x_test"],
        arrays["y_test"],
        classes=names,
        scale=scale,
    )


def _idx_path(folder: Path, stem: str) -> Path | None:
    """The file of that name: plain or gzipped, and with the dot that some mirrors put before "idx"."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None
