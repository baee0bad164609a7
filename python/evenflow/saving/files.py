"""Files of evenflow: safetensors with named tensors, and text in the metadata, in an envelope of format and version.

Reading looks names up and compares shapes; it never runs code from a file, and takes no size for granted that the file
claims. A checksum tells damage. Writing is atomic.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
PathLike = str | os.PathLike[str]

FORMAT = "evenflow"
VERSION = 1
FRESH = 60.0  # seconds in which a temporary file may not be locked yet
CHECKSUM = "sha256"  # in the metadata; the first files had none
FOREIGN = (".keras", ".h5", ".hdf5", ".pt", ".pth", ".onnx", ".pkl", ".npz")


def checksum(metadata: Mapping[str, str], tensors: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """SHA-256 of all that a file holds; tensors in the order of their names."""
    told = {key: text for key, text in metadata.items() if key != CHECKSUM}
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name, array in tensors:
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


class File:
    """An evenflow file, checked as far as it can be without a model."""

    def __init__(self, where: str, filepath: PathLike) -> None:
        from safetensors import SafetensorError, safe_open

        self.where, self.path = where, Path(filepath)
        if not self.path.is_file():
            raise FileNotFoundError(f"{where}: there is no file {str(self.path)!r}")
        try:
            file: Any = safe_open(self.path, framework="numpy")
            self.shapes: dict[str, tuple[int, ...]] = {
                n: tuple(file.get_slice(n).get_shape()) for n in list(file.keys())
            }
            self.metadata: dict[str, str] = file.metadata() or {}
        except (SafetensorError, OSError, ValueError) as error:
            raise self.damaged(f"it is not a whole safetensors file: {error}") from error
        self._file = file
        self._stored: dict[str, str] = {}  # names in the file of those that were renamed
        if self.metadata.get("format") != FORMAT:
            raise self.damaged("it is a safetensors file of another program")
        version = self.metadata.get("format_version", "")
        if not version.isdecimal() or not 1 <= int(version) <= VERSION:
            raise self.damaged(f"its format version is {version!r}, this evenflow reads up to {VERSION}")
        tensors = ((name, self.tensor(name)) for name in sorted(self.shapes))
        if CHECKSUM in self.metadata and checksum(self.metadata, tensors) != self.metadata[CHECKSUM]:
            raise self.damaged("it is damaged: its checksum is not that of what it holds")

    def damaged(self, reason: str) -> ValueError:
        """The error that says why this file cannot be used."""
        return ValueError(f"{self.where}: cannot use {str(self.path)!r}: {reason}")

    def json(self, key: str) -> Any:
        """What a text of the metadata describes."""
        return json.loads(self.metadata[key])

    def rename(self, paths: Mapping[str, str]) -> None:
        """Call variables, and the optimizer's slots of them, by other paths."""

        def renamed(name: str) -> str:
            kind, _, rest = name.partition("/")
            slot, _, path = rest.partition("/")
            known = kind == "optimizer" and path in paths
            return f"{kind}/{slot}/{paths[path]}" if known else paths.get(name, name)

        self._stored = {renamed(name): self._stored.get(name, name) for name in self.shapes}
        self.shapes = {renamed(name): shape for name, shape in self.shapes.items()}

    def tensor(self, name: str, dtype: str | None = None) -> NDArray[Any]:
        """A tensor, of that type if one is given."""
        from safetensors import SafetensorError

        try:
            array: NDArray[Any] = self._file.get_tensor(self._stored.get(name, name))
        except (SafetensorError, TypeError, ValueError) as error:
            raise self.damaged(f"tensor {name!r} cannot be read: {error}") from error
        if dtype is not None and array.dtype != np.dtype(dtype):
            raise self.damaged(f"tensor {name!r} has dtype {array.dtype}, the model's has {dtype}")
        return array


def write(filepath: PathLike, tensors: Tensors, metadata: dict[str, str], *, overwrite: bool) -> None:
    """Write a safetensors file, atomically."""
    from safetensors.numpy import save

    target = Path(os.path.realpath(filepath))
    if target.suffix in FOREIGN:
        raise ValueError(
            f"save: {str(filepath)!r}: evenflow writes safetensors files, "
            f"expected a name such as {target.stem + '.safetensors'!r}"
        )
    if target.is_dir():
        raise IsADirectoryError(f"save: {str(filepath)!r} is a folder, expected the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: {str(filepath)!r}: there is no folder {str(target.parent)!r}")
    if not overwrite and target.exists():
        raise FileExistsError(f"save: {str(filepath)!r} exists and overwrite=False")
    metadata = {"format": FORMAT, "format_version": str(VERSION), **metadata}
    content = save(tensors, metadata | {CHECKSUM: checksum(metadata, sorted(tensors.items()))})
    write_file(target, content)


def write_file(target: Path, content: bytes) -> None:
    """Write beside the target, flush to the disk, rename: a reader sees the old file or the new one, never a part.

    What writes that were killed left beside the target goes first.
    """
    remove_left_behind(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            _lock(file)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)  # while it is locked: a flush may take longer than a file counts as fresh
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename itself must reach the disk too; only POSIX can say so
        folder = os.open(target.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed, or its process ends; not where somebody has, or the disk knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_left_behind(target: Path) -> None:
    """Remove temporary files of writes to the target that were killed: nobody holds their lock."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.\d+\.[0-9a-f]{{8}}\.tmp")
    found: list[Path] = []
    with suppress(OSError), os.scandir(target.parent) as entries:  # else a folder that may not be listed
        found = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    for path in found:
        with suppress(OSError), open(path, "rb") as file:
            if time.time() - os.fstat(file.fileno()).st_mtime > FRESH and _lock(file):
                path.unlink()
