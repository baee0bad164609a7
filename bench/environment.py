"""Everything about a machine and an installation that a time may depend on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .harness import FOREIGN_SETTINGS
from .worker import thread_pools

SETTINGS = (*FOREIGN_SETTINGS, "VECLIB_", "NUMEXPR_", "EVENFLOW_")
LIBRARIES = (
    *("numpy", "scipy", "scikit-learn", "torch", "jax", "jaxlib", "keras", "threadpoolctl", "joblib", "pybind11"),
    "intel-openmp",
)


def _lines(path: str) -> list[str]:
    """Of a file that Linux has, or nothing."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def processor() -> str:
    """The model name, where Linux tells it."""
    models = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith(("model name", "Model"))
    ]
    return models[0] if models else platform.processor() or platform.machine()


def memory() -> int | None:
    """Bytes, where Linux tells them."""
    total = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return 1024 * int(total[0]) if total else None


def libraries() -> dict[str, str]:
    """Versions of what is installed, by pip's names; nothing is imported."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def numpy_blas() -> dict[str, Any]:
    """The BLAS that NumPy was built with, as it says."""
    found: Any = np.show_config(mode="dicts")  # type: ignore[call-overload, unused-ignore]
    blas: dict[str, Any] = (found or {}).get("Build Dependencies", {}).get("blas", {})
    return {key: value for key, value in blas.items() if key in ("name", "version", "openblas configuration")}


def machine(threads: list[int]) -> dict[str, Any]:
    """Facts as plain data. The thread pools are those of this process; each peer's are with its times."""
    core = import_module("evenflow._core")
    # Before threadpoolctl is imported, which sets one of them.
    variables = {name: value for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)}
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory(),
        "load": os.getloadavg()[0],  # other programs that ran when this began
        "threads": threads,
        "system": platform.platform(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "evenflow": core.__version__,
        "isa": core.isa(),
        "isas": core.isas(),
        "build": core.build_info(),
        "libraries": libraries(),
        "numpy_blas": numpy_blas(),
        "thread_pools": thread_pools(),
        # All but evenflow's own are removed for the processes that are timed; here to explain other measurements.
        "environment": variables,
    }


def heading(machine: dict[str, Any]) -> str:
    threads = "/".join(map(str, machine["threads"]))
    lines = [
        f"evenflow {machine['evenflow']}, {machine['isa']}, {threads} of {machine['cores']} cores, "
        f"{machine['processor']}"
    ]
    foreign = {n: v for n, v in machine["environment"].items() if n.startswith(FOREIGN_SETTINGS)}
    if foreign:
        lines.append(
            "  not used here, as each process has its own: " + ", ".join(f"{n}={v}" for n, v in foreign.items())
        )
    if machine["load"] > 0.5 * machine["cores"]:
        lines.append(
            f"  other programs are busy here (load {machine['load']:.1f}): trust the least times more than the medians"
        )
    return "\n".join(lines)
