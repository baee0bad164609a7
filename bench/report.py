"""What `evenflow bench` prints and writes: tables for people, plain data for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from .harness import Comparison, Series
from .workloads import Workload


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


def median_of(ceilings: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in ceilings)


def table(comparison: Comparison) -> str:
    workload, series = comparison.workload, comparison.series
    fma, bandwidth = (median_of(comparison.ceilings, name) for name in ("fma", "bandwidth"))
    arithmetic, traffic = workload.floor(fma, bandwidth)
    rows = [["us per step", "median", "least", "spread", "times", "floor", "target", "setting"]]
    target = workload.target
    for name, one in series.items():
        own = name == "evenflow"
        times = "" if own else f"{one.ratio(series['evenflow']):.2f} x"
        share = f"{comparison.share:.0%}" if own else ""
        wanted = ""
        if target:
            of_peers = {"jax": f"{target.jax:g} x", "torch": f"{target.torch:g} x", "evenflow": f"{target.floor:.0%}"}
            wanted = of_peers.get(name, "")
        setting = one.variant + (f" ({one.note})" if one.note else "")
        spread = f"{one.spread:.1%}"
        rows.append([name, duration(one.median), duration(one.least), spread, times, share, wanted, setting])
    step = series["evenflow"].median
    floor = f"  floor {duration(arithmetic + traffic)} us = {duration(arithmetic)} at {fma / 1e9:.0f} GFLOP/s"
    lines = [
        "",
        f"{workload.name}: {workload}" + ("" if target else f"; {workload.training}"),
        floor + (f" + {duration(traffic)} at {bandwidth / 1e9:.0f} GB/s" if traffic else ""),
        f"  evenflow: {workload.batch / step:,.0f} rows/s, {workload.flops / step / 1e9:,.1f} GFLOP/s, "
        f"{workload.flops / step / fma:.0%} of the multiply-adds, on {threads_of(comparison.threads)}",
        aligned(rows),
    ]
    lines += [f"  {name}: not installed ({distribution})" for name, distribution in comparison.missing.items()]
    lines += [f"  {name}: cannot do this: {reason}" for name, reason in comparison.unable.items()]
    lines += [f"  {name}: FAILED\n{message}" for name, message in comparison.failed.items()]
    return "\n".join(lines)


def threads_of(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def scaling_table(comparisons: list[Comparison]) -> str:
    """Each workload's times by number of threads, and how many times faster than on the fewest."""
    counts = list(dict.fromkeys(one.threads for one in comparisons))
    rows = [["us per step by threads", *map(str, counts), "times faster", "share of the floor", "peer"]]
    for name in dict.fromkeys(one.workload.name for one in comparisons):
        of_name = [one for one in comparisons if one.workload.name == name]
        for peer in of_name[0].series:
            times = [one.series[peer].median if peer in one.series else None for one in of_name]
            faster = " ".join(f"{times[0] / t:.2f}" if t and times[0] else "-" for t in times[1:])
            shares = " ".join(f"{one.share:.0%}" for one in of_name) if peer == "evenflow" else ""
            rows.append([name, *(duration(t) if t else "" for t in times), faster, shares, peer])
    return "\n" + aligned(rows)


def listing(
    workloads: list[Workload], calls: dict[str, str], gpu: dict[str, str], fma: float, left_out: Sequence[str] = ()
) -> str:
    """Every workload: what it is, what a step computes, the least it can take here, and who measures it."""
    rows = [["name", "GFLOP", "ms at least", "data, MB", "runs", "network; training; whose"]]
    for one in workloads:
        least = f"{1e3 * one.flops / fma:.3g}"
        what = "; ".join(filter(None, [str(one), one.training, one.ground]))
        runs = "by name" if one.name in left_out else ""
        rows.append([one.name, f"{one.flops / 1e9:.3g}", least, f"{one.data_bytes / 1e6:.0f}", runs, what])
    rows += [[name, "", "", "", "", what] for name, what in calls.items()]
    rows += [[name, "", "", "", "no", f"on a GPU alone: {what}"] for name, what in gpu.items()]
    return aligned(rows)


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
        "p95": one.slow,
        "spread": one.spread,
        "ratio": one.ratio(base),
        "rounds": one.rounds,
        "calibration": one.calibration,
        "thread_pools": one.thread_pools,
    }


def run_as_data(comparison: Comparison) -> dict[str, Any]:
    workload, series = comparison.workload, comparison.series
    fma, bandwidth = (median_of(comparison.ceilings, name) for name in ("fma", "bandwidth"))
    return {
        "workload": workload.name,
        "threads": comparison.threads,
        "network": str(workload),
        "training": workload.training,
        "ground": workload.ground,
        "batch": workload.batch,
        "parameters": workload.parameters,
        "flops": workload.flops,
        "target": vars(workload.target) if workload.target else None,
        "floor": list(workload.floor(fma, bandwidth)),
        "share_of_floor": comparison.share,
        "ceilings": comparison.ceilings,
        "missing": comparison.missing,
        "unable": comparison.unable,
        "failed": comparison.failed,
        "peers": {name: series_as_data(one, series["evenflow"]) for name, one in series.items()},
    }


def as_data(machine: dict[str, Any], comparisons: list[Comparison], measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything measured, times in seconds per step."""
    return {"machine": machine, "runs": [run_as_data(one) for one in comparisons], "pieces": measured}
