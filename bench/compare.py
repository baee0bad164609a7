"""Two files of measurements side by side: the ratio of each figure, and whether it is more than noise.

Every figure has one number per round. The ratio is that of their medians; its range is the least and the greatest that
a round of one makes with a round of the other. A figure has changed when every round of one file lies beyond every
round of the other, so that 1 is outside the range: for five rounds each, chance alone does that to one figure in 126.
With fewer than four rounds in a file nothing is called changed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .report import aligned, duration

FEWEST = 4  # rounds
WORDS = {"faster": "faster", "slower": "SLOWER", "same": "", "unknown": "too few rounds"}
# What should be the same for times to be compared, in words.
MACHINE = {
    "processor": "processor", "cores": "cores", "isa": "instruction set", "python": "Python", "system": "system"
}  # fmt: skip

Key = tuple[str, str, str]  # of what, by whom, on how many threads


@dataclass(frozen=True)
class Change:
    """One figure in both files, in seconds."""

    what: str
    who: str
    threads: str
    old: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """New over old: below 1 is faster."""
        return statistics.median(self.new) / statistics.median(self.old)

    @property
    def range(self) -> tuple[float, float]:
        return min(self.new) / max(self.old), max(self.new) / min(self.old)

    @property
    def verdict(self) -> str:
        low, high = self.range
        if low <= 1 <= high:
            return "same"
        if min(len(self.old), len(self.new)) < FEWEST:
            return "unknown"
        return "faster" if high < 1 else "slower"


def figures(data: dict[str, Any]) -> Iterator[tuple[Key, tuple[float, ...]]]:
    """Every time in a file, one per round."""
    for run in data["runs"]:
        for who, peer in run["peers"].items():
            if peer["rounds"]:
                rounds = tuple(statistics.median(times) for times in peer["rounds"])
                yield (run["workload"], who, str(run["threads"])), rounds
    threads = str(max(data["machine"].get("threads") or [0]))
    for piece in data.get("pieces", ()):
        if piece["rounds"]:
            rounds = tuple(statistics.median(answer["times"]) for answer in piece["rounds"])
            yield (piece["what"], piece["peer"], threads), rounds
    for row in data.get("calls", ()):
        for who, times in row["rounds"].items():
            yield (f"{row['group']}: {row['what']}", who, str(row["threads"])), tuple(times)
    for row in data.get("kernels", ()):
        for who, seconds in row["seconds"].items():
            yield (f"{row['kernel']}, n = {row['n']}", who, threads), (seconds,)
    for name, cost in data.get("activations", {}).items():
        yield (f"tabular with {name}", "evenflow", threads), tuple(cost["times"])
    for name, cost in data.get("random_layers", {}).items():
        yield (name, "evenflow", threads), tuple(cost["times"])


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """The figures that both have, in the order of the new one."""
    before = dict(figures(old))
    return [Change(*key, before[key], rounds) for key, rounds in figures(new) if key in before]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Sentences on what else is not the same: machine, versions, settings."""
    one, other = old["machine"], new["machine"]
    lines = [
        f"another {word}: {one.get(name)} before, {other.get(name)} now"
        for name, word in MACHINE.items()
        if one.get(name) is not None and one.get(name) != other.get(name)
    ]
    lines += [
        f"another {name}: {before} before, {after} now"
        for name, before, after in _versions(one, other)
        if before != after
    ]
    compilers = [machine.get("build", {}).get("compiler") for machine in (one, other)]
    if None not in compilers and compilers[0] != compilers[1]:
        lines.append(f"another compiler: {compilers[0]} before, {compilers[1]} now")
    return lines


def _versions(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """evenflow's, and those of libraries that both files name; the first format had NumPy's alone."""
    yield "evenflow", one["evenflow"], other["evenflow"]
    libraries = [machine.get("libraries") or {"numpy": machine.get("numpy")} for machine in (one, other)]
    for name in libraries[0]:
        if name in libraries[1] and libraries[0][name]:
            yield name, libraries[0][name], libraries[1][name]


def table(found: list[Change], notes: list[str], name: str) -> str:
    """One line for each figure; times in microseconds."""
    if not found:
        return f"\nNothing here was measured in {name} too."
    rows = [["us, beside " + name, "threads", "before", "now", "ratio", "range", "by", ""]]
    for one in found:
        low, high = one.range
        before, now = (duration(statistics.median(times)) for times in (one.old, one.new))
        limits = f"{low:.2f} to {high:.2f}"
        rows.append([one.what, one.threads, before, now, f"{one.ratio:.3f}", limits, one.who, WORDS[one.verdict]])
    counts = {word: sum(one.verdict == word for one in found) for word in WORDS}
    summary = (
        f"  {counts['faster']} faster, {counts['slower']} slower, {counts['same']} within the noise"
        + (f", {counts['unknown']} with fewer than {FEWEST} rounds" if counts["unknown"] else "")
        + ". Below 1 is faster now."
    )
    return "\n".join(["", aligned(rows), summary, *(f"  note: {line}" for line in notes)])


def as_data(found: list[Change], notes: list[str], name: str) -> dict[str, Any]:
    rows = [
        {"what": c.what, "who": c.who, "threads": c.threads, "ratio": c.ratio, "range": c.range, "verdict": c.verdict}
        for c in found
    ]
    return {"compared": {"with": name, "notes": notes, "figures": rows}}
