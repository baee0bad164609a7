"""`evenflow bench`: the workloads against the peers that are installed, with ratios, shares of the floor, targets."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import activations, cross_validation, estimators, kernels, pieces, report
from .harness import Comparison, compare
from .peers import PEERS
from .workloads import WORKLOADS

DEFAULT_PEERS = ("jax", "torch", "sklearn", "numpy")
INSTALL = "pip install 'evenflow[bench]'"
# What a workload needs at least, to be run unless asked for by name: a step of `wide` takes a tenth of a second.
QUICK_WORKLOADS = ("tiny", "geron", "tabular")
AFFORDABLE_SECONDS = 1.0


def names(known: Sequence[str], what: str) -> Any:
    """An argparse type: a comma-separated list of known names."""

    def parse(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected {what} out of {', '.join(known)}, received {name!r}")
        return found

    return parse


def positive(kind: type) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"expected more than 0, received {text}")
        return value

    return parse


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="evenflow bench",
        description="Time training steps of evenflow and of the peers installed here, alternately, each in a process "
        "of its own and at its best settings. Before anything is timed, each must give the same losses.",
        epilog=f"The peers come with: {INSTALL}. 'times' is how many times longer a peer takes than evenflow. The "
        "floor of a step is its multiply-adds at the measured rate of this machine plus 28 bytes per parameter at the "
        "measured bandwidth.",
    )
    result.add_argument(
        "--workloads",
        type=names(list(WORKLOADS), "workloads"),
        metavar="NAMES",
        help="; ".join(f"{name}: {workload}" for name, workload in WORKLOADS.items())
        + ". Default: those affordable here",
    )
    others = [name for name in PEERS if name != "evenflow"]
    result.add_argument(
        "--peers",
        type=names(others, "peers"),
        default=list(DEFAULT_PEERS),
        metavar="NAMES",
        help=f"out of {', '.join(others)} ('fit' is evenflow's Sequential.fit). Default: {','.join(DEFAULT_PEERS)}",
    )
    result.add_argument("--rounds", type=positive(int), help="how often each is timed (default 5; 3 with --quick)")
    result.add_argument(
        "--seconds", type=positive(float), help="for how long each time (default 0.5; 0.2 with --quick)"
    )
    result.add_argument(
        "--threads", type=positive(int), help="cores for everybody (default: all that evenflow may use)"
    )
    result.add_argument("--isa", help="instruction set of evenflow, as EVENFLOW_ISA: avx512, avx2 or baseline")
    result.add_argument("--quick", action="store_true", help="fewer workloads and settings, e.g. without torch.compile")
    result.add_argument("--optimizer", action="store_true", help="time the optimizer alone")
    result.add_argument(
        "--rules", action="store_true", help="time every update rule, as a share of what the bandwidth allows"
    )
    result.add_argument("--predict", action="store_true", help="time the prediction of one row")
    result.add_argument("--import", action="store_true", dest="imports", help="time the import")
    result.add_argument(
        "--activations", action="store_true", help="time a step of tabular with each activation, beside ReLU"
    )
    result.add_argument(
        "--kernels",
        action="store_true",
        help="time the eager kernels beside NumPy and PyTorch, sizes 8 to 4096 (256 with --quick), least times",
    )
    result.add_argument(
        "--cv",
        type=positive(int),
        metavar="N",
        help=f"time a cross-validation of {cross_validation.FOLDS} folds with N settings, {cross_validation.MOST} at "
        "most: evenflow.fit_many, scikit-learn and PyTorch",
    )
    result.add_argument(
        "--estimators",
        action="store_true",
        help="fit evenflow.sklearn's estimators and scikit-learn's on its bundled data: scores and times",
    )
    result.add_argument("--json", type=Path, metavar="FILE", help="write all times, settings and versions to FILE")
    return result


def chosen_workloads(options: argparse.Namespace, fma: float) -> tuple[list[str], list[str]]:
    """The workloads to run, and those left out because a step alone would take too long."""
    if options.workloads:
        return options.workloads, []
    candidates = QUICK_WORKLOADS if options.quick else tuple(WORKLOADS)
    run = [name for name in candidates if WORKLOADS[name].flops / fma < AFFORDABLE_SECONDS]
    return run, [name for name in WORKLOADS if name not in run]


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


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    core = import_module("evenflow._core")
    if options.isa:
        if options.isa not in core.isas():
            parser().error(f"argument --isa: expected one of {', '.join(core.isas())}, received {options.isa!r}")
        core.use_isa(options.isa)
    isa = core.isa()
    threads = options.threads or core.num_threads()
    rounds = options.rounds or (3 if options.quick else 5)
    seconds = options.seconds or (0.2 if options.quick else 0.5)
    machine = report.machine(threads)
    print(report.heading(machine))

    groups = [
        g
        for g, on in (
            ("optimizer", options.optimizer),
            ("rules", options.rules),
            ("predict", options.predict),
            ("import", options.imports),
        )
        if on
    ]
    comparisons: list[Comparison] = []
    alone = options.activations or options.cv or options.estimators or options.kernels
    if options.workloads or not (groups or alone):
        run, left_out = chosen_workloads(options, core.measure_fma(threads, 0.1))
        for name in run:
            comparison = compare(
                WORKLOADS[name],
                options.peers,
                threads=threads,
                rounds=rounds,
                seconds=seconds,
                isa=isa,
                quick=options.quick,
            )
            comparisons.append(comparison)
            print(report.table(comparison), flush=True)
        if left_out:
            print(f"Left out: {', '.join(left_out)} (run them with --workloads {','.join(left_out)}).")
        missing = {distribution for comparison in comparisons for distribution in comparison.missing.values()}
        if missing:
            print(f"Not installed: {', '.join(sorted(missing))}. To compare with them: {INSTALL}")
    measured = run_pieces(groups, threads, rounds, seconds, isa)
    if measured:
        print(report.piece_table(measured))
    costs = activations.measure(activations.catalogue(), threads, rounds, seconds) if options.activations else []
    if costs:
        print(activations.table(costs))
    calls: list[dict[str, Any]] = []
    if options.kernels:
        sizes = [n for n in kernels.SIZES if n <= 256 or not options.quick]
        calls = kernels.measure(sizes, threads, seconds)
        print(kernels.table(calls))
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
    if options.json:
        found = report.as_data(machine, comparisons, measured) | activations.as_data(costs) | crossed
        found |= estimators.as_data(fitted) | {"kernels": calls}
        text = json.dumps(found, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    failed = (
        crossing_failed
        or estimators.failed(fitted)
        or any(comparison.failed for comparison in comparisons)
        or any("error" in piece for piece in measured)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
