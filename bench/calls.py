"""Times the calls of W8, W17 and W18: evenflow's eager kernels, NumPy and PyTorch in turn, in one child process.

`python -m evenflow.bench.calls '{"group": ..., "threads": ..., "rounds": ..., "seconds": ..., "most": ...}'` prints one
JSON object per case. Answers are compared with NumPy's before anything is timed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from .call_cases import ACTIVATIONS, Case, cases, errors
from .harness import child_environment
from .kernels import check, timed
from .problem import Variant, thread_environment
from .report import aligned, duration

MOST_MEMORY = 2e9  # bytes that a case may take, unless it was asked for by name
QUICK_FLOPS, QUICK_BYTES = 1e9, 3e7


def affordable(case: Case, quick: bool, named: bool) -> bool:
    if quick and (case.flops > QUICK_FLOPS or case.moved > QUICK_BYTES):
        return False
    return named or case.memory <= MOST_MEMORY


def run(case: Case, torch: Any, threads: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Rounds of everybody's medians, their least times, and the time at the ceiling."""
    core = import_module("evenflow._core")
    calls = case.make(torch)
    check(case.what, len(calls), calls)
    found: dict[str, list[float]] = {who: [] for who in calls}
    least = dict.fromkeys(calls, float("inf"))
    rate = 0.0
    for _ in range(rounds):
        for who, times in timed(calls, seconds).items():
            found[who].append(statistics.median(times))
            least[who] = min(least[who], *times)
        measured = min(seconds, 0.1)
        rate = max(
            rate,
            core.measure_fma(threads, measured)
            if case.flops
            else core.measure_bandwidth(int(case.kept), threads, measured),
        )
    ceiling = (case.flops or case.moved) / rate
    row = {"group": case.group, "what": case.what, "threads": threads, "rounds": found, "least": least}
    return row | {"ceiling": ceiling, "flops": case.flops, "bytes": case.moved}


def measure(
    group: str, *, threads: int, rounds: int, seconds: float, isa: str, quick: bool, named: bool
) -> Iterator[dict[str, Any]]:
    """Rows of a group as they come from the child, or one with an "error"."""
    settings = thread_environment(threads) | {"EVENFLOW_NUM_THREADS": str(threads), "EVENFLOW_ISA": isa}
    request = {"group": group, "threads": threads, "rounds": rounds, "seconds": seconds, "quick": quick, "named": named}
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(
            [sys.executable, "-m", __name__, json.dumps(request)],
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=child_environment(Variant("calls", settings)),
        ) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        child.wait()
        told.seek(0)
        message = told.read()[-2000:]
    if child.returncode:
        yield {"group": group, "what": group, "threads": threads, "rounds": {}, "least": {}, "error": message}


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each case: evenflow's times and share of the ceiling, and how many times longer others take."""
    head = ["us", "median", "least", "share", "packed", "numpy", "torch", "error, ulp"]
    lines = [head]
    notes = []
    for row in rows:
        if "left_out" in row:
            notes.append(
                f"  {row['what']}: left out, it takes {row['left_out'] / 1e9:.1f} GB (--workloads {row['group']})"
            )
            continue
        if "error" in row:
            notes.append(f"  {row['what']}: FAILED\n{row['error']}")
            continue
        own = statistics.median(row["rounds"]["evenflow"])
        cells = [row["what"], duration(own), duration(row["least"]["evenflow"])]
        cells.append(f"{row['ceiling'] / row['least']['evenflow']:.0%}")
        for who in ("packed", "numpy", "torch"):
            times = row["rounds"].get(who)
            own_rounds = row["rounds"]["evenflow"]
            ratio = statistics.median(a / b for a, b in zip(times, own_rounds, strict=True)) if times else None
            cells.append(f"{ratio:.2f} x" if ratio else "")
        cells.append(", ".join(f"{who} {error:.3g}" for who, error in row.get("errors", {}).items()))
        lines.append(cells)
    threads = rows[0]["threads"] if rows else 1
    title = f"{rows[0]['group']}, {threads} thread{'s' * (threads > 1)}" if rows else ""
    return "\n".join(["", title, *([aligned(lines)] if len(lines) > 1 else []), *notes])


def main() -> None:
    request = json.loads(sys.argv[1])
    try:
        torch = import_module("torch")
        torch.set_num_threads(request["threads"])
    except ModuleNotFoundError:
        torch = None
    told = set()
    for case in cases(request["group"]):
        if not affordable(case, request["quick"], request["named"]):
            if not request["quick"]:
                row = {"group": case.group, "what": case.what, "threads": request["threads"], "rounds": {}}
                print(json.dumps(row | {"least": {}, "left_out": case.memory}), flush=True)
            continue
        row = run(case, torch, request["threads"], request["rounds"], request["seconds"])
        name = case.what.split(",")[0]
        if case.group == "W18" and name in ACTIVATIONS and name not in told and "forward" in case.what:
            told.add(name)
            row["errors"] = errors(name, torch)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
