"""The ceilings a step is held against: multiply-adds per second, and bandwidth at the size of the optimizer's state."""

from __future__ import annotations

from importlib import import_module

from .workloads import Workload

LEAST_BYTES = 4096  # of a stream that can be measured


def measure(workload: Workload, threads: int, seconds: float) -> dict[str, float]:
    """Float32 FLOP/s of the instruction set in use, and bytes/s of an update's stream, each for `seconds`."""
    core = import_module("evenflow._core")
    return {
        "fma": core.measure_fma(threads, seconds),
        "bandwidth": core.measure_bandwidth(max(LEAST_BYTES, workload.state_bytes), threads, seconds),
    }


def floor(workload: Workload, ceilings: dict[str, float]) -> float:
    """Seconds of one step at the ceilings: the multiply-adds and the update's traffic, one after the other."""
    return sum(workload.floor(ceilings["fma"], ceilings["bandwidth"]))
