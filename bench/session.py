"""What one run of `evenflow bench` measures, in order, printed as it comes."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from . import (
    activations,
    beside,
    calls,
    catalogue,
    cross_validation,
    estimators,
    kernels,
    pieces,
    random_layers,
    report,
)
from .catalogue import CALLS, TARGETS, WORKLOADS
from .harness import Comparison, compare

# What a workload needs at least, to be run unless asked for by name: a step of `wide` takes a tenth of a second.
QUICK_WORKLOADS = ("tiny", "geron", "tabular")
AFFORDABLE_SECONDS = 1.0  # of a step
AFFORDABLE_BYTES = 3e8  # of a data set, which each of some ten processes has
INSTALL = "pip install 'evenflow[bench]'"


def affordable(name: str, fma: float) -> bool:
    if name not in WORKLOADS:
        return True  # calls leave out single cases
    workload = WORKLOADS[name]
    return workload.flops / fma < AFFORDABLE_SECONDS and workload.data_bytes < AFFORDABLE_BYTES


def chosen_workloads(options: argparse.Namespace, fma: float) -> tuple[list[str], list[str]]:
    """The workloads to run, and those left out because a step or its data alone would take too much."""
    if options.workloads:
        wanted, named = catalogue.chosen(options.workloads)
        run = [name for name in wanted if name in named or affordable(name, fma)]
        return run, [name for name in wanted if name not in run]
    candidates = QUICK_WORKLOADS if options.quick else tuple(one.name for one in TARGETS)
    run = [name for name in candidates if affordable(name, fma)]
    return run, [one.name for one in TARGETS if one.name not in run]


def run_workloads(options: argparse.Namespace, isa: str) -> tuple[list[Comparison], list[dict[str, Any]]]:
    """Each workload on each number of threads: training steps, and rows of calls."""
    core = import_module("evenflow._core")
    run, left_out = chosen_workloads(options, core.measure_fma(max(options.threads), 0.1))
    named = catalogue.chosen(options.workloads or ())[1]
    comparisons: list[Comparison] = []
    rows: list[dict[str, Any]] = []
    settings = {"rounds": options.rounds, "seconds": options.seconds, "isa": isa, "quick": options.quick}
    for name in run:
        for threads in options.threads:
            if name in CALLS:
                found = list(calls.measure(name, threads=threads, named=name in named, **settings))
                rows += found
                print(calls.table(found), flush=True)
            else:
                comparisons.append(compare(WORKLOADS[name], options.peers, threads=threads, **settings))
                print(report.table(comparisons[-1]), flush=True)
    if len(options.threads) > 1 and comparisons:
        print(report.scaling_table(comparisons))
    if left_out:
        print(f"Left out: {', '.join(left_out)} (run them with --workloads {','.join(left_out)}).")
    missing = {distribution for comparison in comparisons for distribution in comparison.missing.values()}
    if missing:
        print(f"Not installed: {', '.join(sorted(missing))}. To compare with them: {INSTALL}")
    return comparisons, rows


def run_pieces(groups: list[str], threads: int, rounds: int, seconds: float, isa: str) -> list[dict[str, Any]]:
    """Each piece of these groups, in turn, `rounds` times."""
    chosen = [piece for piece in pieces.PIECES if piece.group in groups]
    results: list[dict[str, Any]] = [
        {"group": p.group, "what": p.what, "peer": p.peer, "target": p.target, "rounds": []} for p in chosen
    ]
    for _ in range(rounds):
        for piece, result in zip(chosen, results, strict=True):
            if "missing" not in result and "error" not in result:
                answer = pieces.measure(piece, threads, seconds, isa)
                result["rounds"] += [answer] if "times" in answer else []
                result |= {key: answer[key] for key in ("missing", "error") if key in answer}
    return results


def measure(options: argparse.Namespace, machine: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Everything that was asked for as plain data, and whether any of it failed."""
    isa, threads, rounds, seconds = machine["isa"], max(options.threads), options.rounds, options.seconds
    asked = {
        "optimizer": options.optimizer,
        "rules": options.rules,
        "predict": options.predict,
        "import": options.imports,
    }
    groups = [group for group, on in asked.items() if on]
    alone = options.activations or options.random_layers or options.cv or options.estimators or options.kernels
    comparisons: list[Comparison] = []
    rows: list[dict[str, Any]] = []
    if options.workloads or not (groups or alone):
        comparisons, rows = run_workloads(options, isa)
    measured = run_pieces(groups, threads, rounds, seconds, isa)
    if measured:
        print(report.piece_table(measured))
    costs = activations.measure(activations.catalogue(), threads, rounds, seconds) if options.activations else []
    if costs:
        print(activations.table(costs))
    drawn = random_layers.measure(threads, rounds, seconds) if options.random_layers else []
    if drawn:
        print(random_layers.table(drawn))
    eager: list[dict[str, Any]] = []
    if options.kernels:
        sizes = [n for n in kernels.SIZES if n <= 256 or not options.quick]
        eager = kernels.measure(sizes, threads, seconds)
        print(kernels.table(eager))
    crossed: dict[str, Any] = {}
    crossing_failed = False
    if options.cv:
        count = min(options.cv, cross_validation.MOST)
        results = cross_validation.compare(count, threads, rounds)
        print(cross_validation.table(results, count))
        crossed, crossing_failed = cross_validation.as_data(results, count), cross_validation.failed(results)
    fitted = estimators.measure(rounds) if options.estimators else []
    if fitted:
        print(estimators.table(fitted))
    data = report.as_data(machine, comparisons, measured) | crossed
    data |= {"activations": beside.as_data(costs), "random_layers": beside.as_data(drawn)}
    data |= estimators.as_data(fitted) | {"kernels": eager, "calls": rows}
    failed = (
        crossing_failed
        or estimators.failed(fitted)
        or any(comparison.failed for comparison in comparisons)
        or any("error" in found for found in (*measured, *rows))
    )
    return data, failed
