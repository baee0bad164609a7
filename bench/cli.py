"""`evenflow bench`: the workloads against the peers that are installed, with ratios, shares of the floor, targets."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from evenflow.saving.files import write_file

from . import catalogue, compare, cross_validation, environment, page, records, report, session
from .catalogue import CALLS, FEW, GPU_ONLY, GROUPS, TARGETS, WORKLOADS
from .peers import PEERS

DEFAULT_PEERS = ("jax", "torch", "keras", "sklearn", "numpy")
QUICK_PEERS = ("jax", "torch", "sklearn", "numpy")
INSTALL = "pip install 'evenflow[bench]'"
# What says what is to be measured, and so has no place where two files are compared.
MEASURING = (
    *("workloads", "peers", "rounds", "seconds", "threads", "isa", "quick", "optimizer", "rules", "predict", "imports"),
    *("activations", "random_layers", "kernels", "cv", "estimators", "list"),
)
EXAMPLES = """examples:
  evenflow bench --workloads tiny,geron --threads all --html page.html
  evenflow bench --workloads W4,W6 --peers torch,numpy --json before.json
  evenflow bench --workloads W4,W6 --peers torch,numpy --compare before.json
  evenflow bench --compare before.json after.json --html page.html
"""


def words(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def names(known: Sequence[str], what: str) -> Any:
    """An argparse type: a comma-separated list of known names."""

    def parse(text: str) -> list[str]:
        found = words(text)
        if not found:
            raise argparse.ArgumentTypeError(f"expected {what} out of {', '.join(known)}, received {text!r}")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected {what} out of {', '.join(known)}, received {name!r}")
        return found

    return parse


def workload_names(text: str) -> list[str]:
    """An argparse type: names of workloads and groups."""
    found = words(text)
    if not found:
        raise argparse.ArgumentTypeError(f"expected names of workloads or groups, received {text!r}")
    try:
        catalogue.chosen(found)
    except catalogue.UnknownWorkloadError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def positive(kind: type) -> Any:
    def parse(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"expected more than 0, received {text}")
        return value

    return parse


def thread_counts(text: str) -> list[int]:
    """An argparse type: "1", "1,2,4", or "all": 1, 2, 4, ... and all that there are, by processors this may use."""
    most = len(os.sched_getaffinity(0))
    if text == "all":
        return sorted({*(1 << power for power in range(most.bit_length()) if 1 << power <= most), most})
    found = []
    for word in words(text):
        if not word.isdecimal() or not 1 <= int(word) <= most:
            raise argparse.ArgumentTypeError(f"expected all, or numbers from 1 to {most}, received {word!r}")
        found.append(int(word))
    if not found:
        raise argparse.ArgumentTypeError(f"expected all, or numbers from 1 to {most}, received {text!r}")
    return sorted(set(found))


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="evenflow bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Time training steps of evenflow and of the peers installed here, alternately, each in a process\n"
        "of its own and at its best settings. Before anything is timed, each must give the same losses.",
        epilog=f"The peers come with: {INSTALL}. 'times' is how many times longer a peer takes than\n"
        "evenflow; 'spread' half of what the middle half of its blocks of steps ranges over. The floor of a step is\n"
        "its multiply-adds at the measured rate of this machine plus what its update reads and writes (28 bytes per\n"
        f"parameter for Adam) at the measured bandwidth. docs/benchmarks.md explains all.\n\n{EXAMPLES}",
    )
    groups = ", ".join(group for group in GROUPS if group != "targets")
    result.add_argument(
        "--workloads",
        type=workload_names,
        metavar="NAMES",
        help="; ".join(f"{one.name}: {one}" for one in TARGETS)
        + f"; or others' own ground, {groups}; or a member, as --list names them; or 'all'. A group leaves out what "
        "would take too long here, a name does not. Default: the first five, where affordable",
    )
    result.add_argument("--list", action="store_true", help="print every workload, with what a step costs, and stop")
    others = [name for name in PEERS if name != "evenflow"]
    result.add_argument(
        "--peers",
        type=names(others, "peers"),
        metavar="NAMES",
        help=f"out of {', '.join(others)} ('fit' is evenflow's Sequential.fit). Default: {','.join(DEFAULT_PEERS)}; "
        f"{','.join(QUICK_PEERS)} with --quick",
    )
    result.add_argument("--rounds", type=positive(int), help="how often each is timed (default 5; 3 with --quick)")
    result.add_argument(
        "--seconds", type=positive(float), help="for how long each time (default 0.5; 0.2 with --quick)"
    )
    result.add_argument(
        "--threads",
        type=thread_counts,
        metavar="N",
        help="cores for everybody: a number, several (1,2,4) or 'all' for 1, 2, 4, ... and all, with a table of how "
        "each gains (default: all that evenflow may use, and no other number)",
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
        "--random-layers", action="store_true", help="time steps with dropout and noise, beside those without"
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
    result.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures, that needs nothing else")
    result.add_argument(
        "--compare",
        type=Path,
        nargs="+",
        metavar=("OLD", "NEW"),
        help="beside what --json wrote before: the ratio of each figure, and whether it is beyond the noise. With two "
        "files nothing is measured",
    )
    return result


def parsed(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[dict[str, Any]]]:
    """The options, and the files to compare, after everything that can be wrong has been looked at."""
    of_options = parser()
    options = of_options.parse_args(argv)
    core = import_module("evenflow._core")
    if options.isa and options.isa not in core.isas():
        of_options.error(f"argument --isa: expected one of {', '.join(core.isas())}, received {options.isa!r}")
    files: list[dict[str, Any]] = []
    try:
        for path in options.compare or ():
            files.append(records.read(path))
        for path in filter(None, (options.json, options.html)):
            records.require_room(path)
    except records.RecordError as error:
        of_options.error(str(error))
    if len(files) > 2:
        of_options.error(f"argument --compare: expected one file or two, received {len(files)}")
    if len(files) == 2:
        given = [name for name in MEASURING if getattr(options, name)]
        if given:
            option = "import" if given[0] == "imports" else given[0].replace("_", "-")
            of_options.error(f"argument --compare: two files leave nothing to measure; leave out --{option}")
    options.peers = options.peers or list(QUICK_PEERS if options.quick else DEFAULT_PEERS)
    options.threads = options.threads or [core.num_threads()]
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.2 if options.quick else 0.5)
    return options, files


def main(argv: Sequence[str] | None = None) -> int:
    options, files = parsed(argv)
    core = import_module("evenflow._core")
    if options.isa:
        core.use_isa(options.isa)
    if options.list:
        workloads, fma = list(WORKLOADS.values()), core.measure_fma(max(options.threads), 0.1)
        left_out = [name for name in WORKLOADS if not session.affordable(name, fma)]
        print(report.listing(workloads, CALLS, GPU_ONLY, fma, left_out))
        few = "; ".join(f"{group} for {', '.join(members)}" for group, members in FEW.items())
        print(f"A group, such as W4, stands for its members that do not run by name alone; {few}.")
        return 0
    failed = False
    if len(files) == 2:
        data = files[1]
    else:
        machine = environment.machine(options.threads)
        print(environment.heading(machine))
        data, failed = session.measure(options, machine)
    if files:
        found, notes, old = (
            compare.changes(files[0], data),
            compare.differences(files[0], data),
            options.compare[0].name,
        )
        print(compare.table(found, notes, old))
        data = data | compare.as_data(found, notes, old)
    if options.json:
        records.write(options.json, data)
    if options.html:
        write_file(options.html, page.page(data).encode())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
