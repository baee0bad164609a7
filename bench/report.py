"""What `evenflow bench` prints and writes: tables for people, plain data for programs."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .harness import FOREIGN_SETTINGS, Comparison, Series

SETTINGS = (*FOREIGN_SETTINGS, "EVENFLOW_")


def processor() -> str:
    """The model name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return models[0] if models else platform.machine()


def machine(threads: int) -> dict[str, Any]:
    """Everything about this machine that a time may depend on."""
    core = import_module("evenflow._core")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "evenflow": core.__version__,
        "isa": core.isa(),
        "isas": core.isas(),
        "build": core.build_info(),
        # All but evenflow's own are removed for the workers; here to explain other measurements on this machine.
        "environment": {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)},
    }


def heading(machine: dict[str, Any]) -> str:
    return (
        f"evenflow {machine['evenflow']}, {machine['isa']}, {machine['threads']} of {machine['cores']} cores, "
        f"{machine['processor']}"
    )


def duration(seconds: float) -> str:
    microseconds = seconds * 1e6
    return f"{microseconds:,.0f}" if microseconds >= 1000 else f"{microseconds:.1f}"


def aligned(rows: list[list[str]]) -> str:
    """Columns two spaces apart: the first and last to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0], cells[-1] = row[0].ljust(widths[0]), row[-1]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def table(comparison: Comparison) -> str:
    workload, series = comparison.workload, comparison.series
    fma = statistics.median(c["fma"] for c in comparison.ceilings)
    bandwidth = statistics.median(c["bandwidth"] for c in comparison.ceilings)
    arithmetic, traffic = workload.floor(fma, bandwidth)
    rows = [["us per step", "median", "least", "times", "floor", "target", "setting"]]
    target = f"{workload.target.floor:.0%}"
    for name, one in series.items():
        own = name == "evenflow"
        times = "" if own else f"{one.ratio(series['evenflow']):.2f} x"
        share = f"{comparison.share:.0%}" if own else ""
        wanted = {"jax": f"{workload.target.jax:g} x", "torch": f"{workload.target.torch:g} x"}.get(name, "")
        setting = one.variant + (f" ({one.note})" if one.note else "")
        rows.append([name, duration(one.median), duration(one.least), times, share, target if own else wanted, setting])
    lines = [
        "",
        f"{workload.name}: {workload}",
        f"  floor {duration(arithmetic + traffic)} us = {duration(arithmetic)} at {fma / 1e9:.0f} GFLOP/s + "
        f"{duration(traffic)} at {bandwidth / 1e9:.0f} GB/s",
        aligned(rows),
    ]
    lines += [f"  {name}: not installed ({distribution})" for name, distribution in comparison.missing.items()]
    lines += [f"  {name}: FAILED\n{message}" for name, message in comparison.failed.items()]
    return "\n".join(lines)


def piece_table(measured: list[dict[str, Any]]) -> str:
    rows = [["us", "median", "least", "target", "ceiling", "share", "by"]]
    notes = []
    for piece in measured:
        times = [time for answer in piece["rounds"] for time in answer["times"]]
        if not times:
            notes.append(f"  {piece['what']}, {piece['peer']}: {piece.get('error') or 'not installed'}")
            continue
        ceilings = [answer["ceiling"] for answer in piece["rounds"] if "ceiling" in answer]
        shares = [answer["ceiling"] / min(answer["times"]) for answer in piece["rounds"] if "ceiling" in answer]
        rows.append(
            [
                piece["what"],
                duration(statistics.median(times)),
                duration(min(times)),
                duration(piece["target"]) if piece["target"] else "",
                duration(statistics.median(ceilings)) if ceilings else "",
                f"{statistics.median(shares):.0%}" if shares else "",
                piece["peer"],
            ]
        )
    return "\n".join(["", aligned(rows), *notes])


def series_as_data(one: Series, base: Series) -> dict[str, Any]:
    return {
        "variant": one.variant,
        "version": one.version,
        "note": one.note,
        "median": one.median,
        "least": one.least,
        "ratio": one.ratio(base),
        "rounds": one.rounds,
        "calibration": one.calibration,
        "thread_pools": one.thread_pools,
    }


def as_data(machine: dict[str, Any], comparisons: list[Comparison], measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything measured, times in seconds per step."""
    return {
        "machine": machine,
        "workloads": {
            c.workload.name: {
                "network": str(c.workload),
                "parameters": c.workload.parameters,
                "flops": c.workload.flops,
                "target": vars(c.workload.target),
                "share_of_floor": c.share,
                "ceilings": c.ceilings,
                "missing": c.missing,
                "failed": c.failed,
                "peers": {name: series_as_data(one, c.series["evenflow"]) for name, one in c.series.items()},
            }
            for c in comparisons
        },
        "pieces": measured,
    }
