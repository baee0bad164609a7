"""Times peers alternately, each in a process of its own, so that all see the same minutes of a noisy machine."""

from __future__ import annotations

import json
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np

from .ceilings import floor
from .peers import PEERS
from .problem import Variant
from .workloads import Workload

PAUSE = 0.02  # seconds between two workers: OpenMP threads spin for some milliseconds after their last region
CALIBRATION_SECONDS = 0.2
CALIBRATION_ROUNDS = 2
ANSWER_SECONDS = 600.0  # torch.compile of a deep network takes most of a minute
FOREIGN_SETTINGS = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "XLA_", "JAX_", "KERAS_", "TORCH")


class WorkerError(RuntimeError):
    """A worker failed; the message holds its traceback."""


class MissingError(RuntimeError):
    """The peer's library is not installed."""


def child_environment(variant: Variant) -> dict[str, str]:
    """This process's environment without what steers numerical libraries, and the variant's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_SETTINGS)}
    # What could be imported here can be imported there, installed or from a checkout.
    path = os.pathsep.join(filter(None, sys.path))
    return kept | {"PYTHONPATH": path} | variant.environment


class Worker:
    """A live peer in a child process."""

    def __init__(
        self, peer: str, variant: Variant, workload: Workload, threads: int, expected: list[float] | None = None
    ) -> None:
        self.peer, self.variant, self.workload = peer, variant, workload
        request = {
            "peer": peer,
            "workload": workload.as_data(),
            "threads": threads,
            "options": variant.options,
            "expected": expected,
        }
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=child_environment(variant),
        )
        try:
            self.hello = self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(ANSWER_SECONDS) else b""
        name = f"{self.peer} ({self.variant.name}), {self.workload.name}"
        if not line:
            self.errors.seek(0)
            tail = self.errors.read().decode(errors="replace")[-2000:]
            raise WorkerError(f"{name}: no answer within {ANSWER_SECONDS:.0f} s or the process died\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise MissingError(answer["distribution"])
        if "error" in answer:
            raise WorkerError(f"{name}: {answer['error']}")
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        time.sleep(PAUSE)
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        return self.read()

    def time(self, seconds: float) -> list[float]:
        times: list[float] = self.ask(do="time", seconds=seconds)["times"]
        return times

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class Series:
    """What one peer did on one workload, in seconds per step."""

    peer: str
    variant: str
    note: str
    version: str
    thread_pools: list[dict[str, Any]]
    calibration: dict[str, float]  # fastest block of each variant that was tried
    rounds: list[list[float]] = field(default_factory=list)  # one time per block

    @property
    def median(self) -> float:
        return statistics.median(time for times in self.rounds for time in times)

    @property
    def least(self) -> float:
        return min(time for times in self.rounds for time in times)

    @property
    def slow(self) -> float:
        """The time that one block in twenty exceeds."""
        return float(np.quantile([time for times in self.rounds for time in times], 0.95))

    @property
    def spread(self) -> float:
        """Half of what the middle half of the blocks ranges over, as a share of the median."""
        low, high = np.quantile([time for times in self.rounds for time in times], [0.25, 0.75])
        return float(high - low) / 2 / self.median

    def ratio(self, base: Series) -> float:
        """How many times longer than `base`: the median of the ratios of each round's medians."""
        pairs = zip(self.rounds, base.rounds, strict=True)
        return statistics.median(statistics.median(own) / statistics.median(other) for own, other in pairs)


@dataclass
class Comparison:
    """One workload: evenflow and the peers, and the ceilings measured beside them in each round."""

    workload: Workload
    threads: int
    series: dict[str, Series] = field(default_factory=dict)
    ceilings: list[dict[str, float]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # peer: distribution
    failed: dict[str, str] = field(default_factory=dict)  # peer: what it said
    unable: dict[str, str] = field(default_factory=dict)  # peer: why it has no such thing

    def shares(self) -> list[float]:
        """Of the floor, one per round."""
        steps = [statistics.median(times) for times in self.series["evenflow"].rounds]
        return [floor(self.workload, ceilings) / step for ceilings, step in zip(self.ceilings, steps, strict=True)]

    @property
    def share(self) -> float:
        return statistics.median(self.shares())


def best_worker(
    peer: str, variants: list[Variant], workload: Workload, threads: int, expected: list[float] | None
) -> tuple[Worker, Series]:
    """The fastest variant of a peer, alive, and the series that will hold its times."""
    workers: list[Worker] = []
    calibration: dict[str, float] = {}
    best: Worker | None = None
    try:
        for variant in variants:
            workers.append(Worker(peer, variant, workload, threads, expected))
        for worker in workers * (CALIBRATION_ROUNDS if len(workers) > 1 else 0):
            least = min(worker.time(CALIBRATION_SECONDS))
            calibration[worker.variant.name] = min(least, calibration.get(worker.variant.name, least))
        best = min(workers, key=lambda worker: calibration.get(worker.variant.name, 0.0))
    finally:
        for worker in workers:
            if worker is not best:
                worker.close()
    hello, note = best.hello, PEERS[peer].note(workload)
    return best, Series(peer, best.variant.name, note, hello["version"], hello["thread_pools"], calibration)


def compare(
    workload: Workload,
    peers: list[str],
    *,
    threads: int,
    rounds: int,
    seconds: float,
    isa: str,
    quick: bool = False,
) -> Comparison:
    """Times evenflow and `peers` on a workload, A B A B, `rounds` times `seconds` seconds each."""
    result = Comparison(workload, threads)
    workers: dict[str, Worker] = {}
    expected: list[float] | None = None  # first losses, which evenflow's process calculates for all
    try:
        for peer in dict.fromkeys(["evenflow", *peers]):
            if reason := PEERS[peer].unable(workload):
                result.unable[peer] = reason
                continue
            variants = PEERS[peer].variants(threads, quick)
            if PEERS[peer].distribution == "evenflow":
                variants = [Variant(v.name, v.environment | {"EVENFLOW_ISA": isa}, v.options) for v in variants]
            try:
                workers[peer], result.series[peer] = best_worker(peer, variants, workload, threads, expected)
                expected = expected or workers[peer].hello["expected"]
            except MissingError as error:
                if peer == "evenflow":
                    raise
                result.missing[peer] = str(error)
            except WorkerError as error:
                if peer == "evenflow":
                    raise
                result.failed[peer] = str(error)
        for _ in range(rounds):
            result.ceilings.append(workers["evenflow"].ask(do="ceilings", seconds=min(seconds, 0.2)))
            for peer, worker in workers.items():
                result.series[peer].rounds.append(worker.time(seconds))
    finally:
        for worker in workers.values():
            worker.close()
    return result
