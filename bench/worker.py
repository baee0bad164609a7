"""The child process in which one peer lives: it builds, checks its answer, and then times blocks of steps on command.

`python -m evenflow.bench.worker '{"peer": ..., "workload": ..., "threads": ..., "options": {...}}'`, then one JSON
object per line on standard input and output. The first line out says "ready", "missing" or "error". Between commands it
blocks on a read, so that whoever is timed has the machine.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

WARM_BLOCKS = 1
LEAST_BLOCKS = 3


def time_blocks(block: Callable[[], int], seconds: float) -> list[float]:
    """Seconds per step of each block, for about `seconds` seconds, after a block that wakes the threads and caches."""
    for _ in range(WARM_BLOCKS):
        block()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_BLOCKS or time.perf_counter() < end:
        start = time.perf_counter()
        steps = block()
        times.append((time.perf_counter() - start) / steps)
    return times


def thread_pools() -> list[dict[str, Any]]:
    """What threadpoolctl sees, if it is installed: which BLAS, for which processor, with how many threads."""
    try:
        import threadpoolctl  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return []
    return [{k: v for k, v in pool.items() if k != "filepath"} for pool in threadpoolctl.threadpool_info()]


def serve(request: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> None:
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[: request["threads"]])  # the same cores for everybody
    from .peers import PEERS
    from .problem import Peer, Problem
    from .workloads import Workload

    kind = PEERS[request["peer"]]
    try:
        peer = kind(Problem.of(Workload.of_data(request["workload"])), request["threads"], **request["options"])
    except ModuleNotFoundError as error:
        answer({"missing": str(error), "distribution": kind.distribution})
        return
    shared = kind.expected_losses is Peer.expected_losses  # what another worker has calculated
    losses, expected = peer.check(request.get("expected") if shared else None)
    hello = {"ready": True, "version": peer.version(), "losses": losses, "expected": expected}
    answer(hello | {"thread_pools": thread_pools()})
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "time":
            answer({"times": time_blocks(peer.block, command["seconds"])})
        elif command["do"] == "ceilings":
            from .ceilings import measure

            answer(measure(peer.workload, request["threads"], command["seconds"]))
        else:
            answer({"error": f"unknown command {command['do']!r}"})


def main() -> None:
    # Libraries print to standard output; the answers go to a copy of it, and the original becomes standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    try:
        serve(json.loads(sys.argv[1]), answer)
    except Exception:
        answer({"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
