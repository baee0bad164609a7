"""`evenflow info`: what this machine and this installation offer."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from . import runs
from .exits import DONE
from .parsing import Commands, add_command

OPTIONAL_LIBRARIES = ("matplotlib", "scikit-learn", "torch", "keras", "jax", "pandas", "threadpoolctl")
VARIABLES = ("EVENFLOW_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_")


def add(commands: Commands) -> None:
    """Add the command."""
    info = add_command(
        commands,
        "info",
        help="print version, instruction sets, threads, caches, libraries",
        description="Print what this machine and this installation offer: put it into bug reports.",
    )
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(run=run)


def run(options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print the facts."""
    facts = _facts()
    if options.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_lines(facts)))
    return DONE


def _facts() -> dict[str, Any]:
    from .. import _core
    from ..common.devices import describe_gpu

    return {
        "evenflow": _core.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "instruction sets": _core.isas(),
        "instruction set in use": _core.isa(),
        "threads": _core.num_threads(),
        "gpu": describe_gpu(),
        "build": _core.build_info(),
        "libraries": runs.versions((*runs.HARD_DEPENDENCIES, *OPTIONAL_LIBRARIES)),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
    }


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:" if value else f"{indent}{key}: nothing set")
            lines += _lines(value, indent + "  ")
        else:
            shown = (
                ", ".join(map(str, value)) if isinstance(value, list) else "not installed" if value is None else value
            )
            lines.append(f"{indent}{key}: {shown}")
    return lines
