"""Devices that models run on: "cpu", or "cuda", an NVIDIA GPU, whose extension is loaded when it is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from .. import errors

DEVICES = ("cpu", "cuda")
LIBRARY = "libcublasLt.so.13"  # NVIDIA's matrix products
default_device = "cpu"  # of models that were not told otherwise


def set_device(device: str) -> None:
    """Where models run that were not told otherwise (`compile(device=)`, `model.device`): "cpu" or "cuda".

    A model moves with the next call that runs it, and keeps weights and optimizer. Raises RuntimeError where "cuda"
    cannot run, and says what is missing.
    """
    global default_device
    default_device = check_device("set_device", device)


def get_device() -> str:
    """The device that `set_device` chose; "cpu" without it."""
    return default_device


def check_device(where: str, device: object) -> str:
    """The device; raises where there is no such one, or nothing runs on it here."""
    if device not in DEVICES:
        raise errors.wrong_value(where, "device", " or ".join(map(repr, DEVICES)), device)
    if device == "cuda":
        _extension(where)
    return str(device)


def program_class(device: str) -> Any:
    """The class of native programs of a device."""
    return importlib.import_module("evenflow._core").Program if device == "cpu" else _extension("device").Program


def set_gpu_options(*, tf32: bool = False, cublas: bool = True) -> None:
    """How models that are compiled from now on multiply matrices on the GPU.

    tf32: products of float32 in NVIDIA's TF32, whose factors have 10 bits behind the point: several times as fast, and
    exact to about three digits.
    cublas: large products by cuBLASLt where it is found; else all by evenflow's own kernel, which is slower.
    """
    where = "set_gpu_options"
    tf32, cublas = errors.boolean(where, "tf32", tf32), errors.boolean(where, "cublas", cublas)
    _extension(where).set_options(tf32=tf32, library=cublas)


def describe_gpu() -> dict[str, Any] | str:
    """The GPU, its driver and libraries; or why nothing runs on one."""
    try:
        found: dict[str, Any] = _extension("describe_gpu").info()
    except RuntimeError as error:
        return str(error).partition(": device 'cuda': ")[2]
    return found


def _extension(where: str) -> Any:
    try:
        extension = importlib.import_module("evenflow._cuda")
    except ImportError as error:
        raise RuntimeError(
            f"{where}: device 'cuda': this build has no extension for GPUs: build it with "
            "pip install . -Ccmake.define.EVENFLOW_CUDA=ON"
        ) from error
    missing = extension.missing()
    if missing is not None:
        raise RuntimeError(f"{where}: device 'cuda': no program runs on a GPU here: {missing}")
    extension.use_library(_library())
    return extension


def _library() -> str:
    """Where cuBLASLt lies in NVIDIA's wheels or a toolkit; "" leaves it to the system's loader."""
    wheels = importlib.util.find_spec("nvidia")
    folders = [Path(root, "cu13", "lib") for root in (wheels.submodule_search_locations if wheels else None) or []]
    folders += [Path(root, "lib64") for root in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if root]
    return next((str(folder / LIBRARY) for folder in folders if (folder / LIBRARY).exists()), "")
