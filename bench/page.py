"""Measurements as one HTML page that needs nothing else: pictures, tables, method, environment."""

from __future__ import annotations

import html
import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from . import charts
from .report import duration

PEERS = ("evenflow", "fit", "jax", "torch", "keras", "sklearn", "numpy")
STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1d2530; --faint: #5b6675; --rule: #dfe4ea;
  --evenflow: #2166ac; --fit: #67a9cf; --jax: #8e6bbf; --torch: #d9622b; --keras: #c2477f; --sklearn: #2e8b57;
  --numpy: #8a8a8a; --traffic: #9cc3e6; --good: #2e8b57; --bad: #c8442f; --box: #f1f4f7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6eaef; --faint: #a0acba; --rule: #323a44;
  --evenflow: #5ea3e6; --fit: #9fd0ec; --jax: #b39ae0; --torch: #f08a55; --keras: #e27fae; --sklearn: #5bbd85;
  --numpy: #a5a5a5; --traffic: #2f5f8f; --good: #5bbd85; --bad: #f0786a; --box: #1d232b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.8rem; } h3 { margin: 2rem 0 .3rem; } .faint { color: var(--faint); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .22rem .55rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--faint); font-weight: 500; } th:first-child, td:first-child, .left { text-align: left; }
td.left { white-space: normal; }
td.bad { color: var(--bad); font-weight: 600; } td.good { color: var(--good); font-weight: 600; }
pre { background: var(--box); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; border-radius: 6px; }
details summary { cursor: pointer; } figure { margin: 1rem 0; } svg { width: 100%; height: auto; display: block; }
.note { background: var(--box); border-left: 4px solid var(--torch); padding: .5rem .8rem; margin: .5rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .tick, svg .axis, svg .peer { fill: var(--faint); }
svg .name { font-weight: 600; } svg .number { font-size: 11.5px; } svg .grid { stroke: var(--rule); }
svg .one { stroke: var(--ink); stroke-width: 1.2; } svg .target { stroke: var(--ink); stroke-width: 2.5; }
svg .ideal { fill: none; stroke: var(--faint); stroke-dasharray: 5 5; } svg .thin { stroke-width: 2; }
svg .stroke { fill: none; stroke-width: 2.2; } svg .ringed { stroke: var(--paper); stroke-width: 1.5; }
svg .traffic { fill: var(--traffic); }
"""
VERDICTS = {"faster": "--good", "slower": "--bad", "same": "--numpy", "unknown": "--numpy"}
METHOD = (
    "Everybody starts from the same variables and walks through the same batches; before anything is timed, the first "
    "losses must be those of a float64 calculation in NumPy, within 1e-4.",
    "Each peer lives in a process of its own, without environment variables that steer numerical libraries, and is "
    "tried in its variants (threads, compiled or not, kernels of the BLAS); the fastest is measured.",
    "All are timed in turn, block after block of steps, in rounds, so that they see the same minutes of a noisy "
    "machine. A ratio is the median over rounds of the ratio of the rounds' medians.",
    "The floor of a step is its multiply-adds at the measured rate of this machine plus what its update must read and "
    "write at the measured bandwidth; both are measured in every round. 100 % is out of reach.",
    "The spread is half of what the middle half of the blocks ranges over, as a share of the median.",
)


def _colours() -> str:
    rules = []
    for peer in PEERS:
        rules.append(f"svg .{peer}.fill {{ fill: var(--{peer}); }} svg .{peer}.thin {{ stroke: var(--{peer}); }}")
    for verdict, colour in VERDICTS.items():
        rules.append(f"svg .{verdict}.fill {{ fill: var({colour}); }} svg .{verdict}.thin {{ stroke: var({colour}); }}")
    order = ("evenflow", "torch", "sklearn", "jax", "keras", "numpy", "fit", "bad")
    for index, name in enumerate(order):
        kind = f"svg .series-{index}"
        rules.append(f"{kind}.stroke {{ stroke: var(--{name}); }} {kind}.fill {{ fill: var(--{name}); }}")
    return "\n".join(rules)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Cells are plain text; the first `left` columns stand to the left. A cell that begins with + or - and a space is
    good or bad."""

    def cell(text: str, place: int) -> str:
        kind = {"+ ": "good", "- ": "bad"}.get(text[:2], "")
        words = text[2:] if kind else text
        kind = f"{kind} left".strip() if place < left else kind
        return f'<td class="{kind}">{html.escape(words)}</td>' if kind else f"<td>{html.escape(words)}</td>"

    titles = "".join(f'<th class="left">{html.escape(t)}</th>' if i < left else f"<th>{html.escape(t)}</th>"
                     for i, t in enumerate(head))  # fmt: skip
    body = "\n".join("<tr>" + "".join(cell(text, i) for i, text in enumerate(row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{titles}</tr>\n{body}</table></div>'


def _figure(svg: str) -> str:
    return f"<figure>{svg}</figure>"


def _quantiles(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Least, lower quartile, median, upper quartile and 95th percentile of all blocks, microseconds."""
    times = [1e6 * time for one in rounds for time in one]
    return [float(value) for value in np.quantile(times, [0, 0.25, 0.5, 0.75, 0.95])]


def _ratio(peer: dict[str, Any], own: dict[str, Any]) -> float:
    pairs = zip(peer["rounds"], own["rounds"], strict=True)
    return float(statistics.median(statistics.median(a) / statistics.median(b) for a, b in pairs))


def _floor(run: dict[str, Any]) -> tuple[float, float, float] | None:
    """Share of the floor, and what of it is multiply-adds; of files of the first version without the latter."""
    if "share_of_floor" not in run:
        return None
    parts = run.get("floor") or [1.0, 0.0]
    target = (run.get("target") or {}).get("floor", 0.0)
    return run["share_of_floor"], parts[0] / max(sum(parts), 1e-300), target


def workloads_section(data: dict[str, Any]) -> list[str]:
    """Ratios, times and shares of the runs with the most threads; then tables of all; then how threads help."""
    if not data["runs"]:
        return []
    most = max(run["threads"] for run in data["runs"])
    shown = [run for run in data["runs"] if run["threads"] == most]
    beside = [
        (
            run["workload"],
            [(n, _ratio(p, run["peers"]["evenflow"])) for n, p in run["peers"].items() if n != "evenflow"],
        )
        for run in shown
    ]
    beside = [(name, rows) for name, rows in beside if rows]
    parts = [f"<h2>Training steps</h2><p>On {most} thread{'s' * (most > 1)}, each peer at its best.</p>"]
    if beside:
        parts.append(_figure(charts.ratios(beside)))
    floors = [(run["workload"], *found) for run in shown if (found := _floor(run))]
    if floors:
        parts += [
            "<h3>Share of the floor</h3>",
            _figure(charts.shares([(n, s, a, t or None) for n, s, a, t in floors])),
        ]
    times = [(run["workload"], [(n, _quantiles(p["rounds"])) for n, p in run["peers"].items()]) for run in shown]
    parts += ["<h3>Times and how they spread</h3>", _figure(charts.ranges(times))]
    counts = sorted({run["threads"] for run in data["runs"]})
    if len(counts) > 1:
        parts += ["<h3>Threads</h3>", _figure(charts.scaling(_scaling(data["runs"], counts)))]
    for run in data["runs"]:
        parts.append(_run_table(run))
    return parts


def _scaling(runs: Sequence[dict[str, Any]], counts: Sequence[int]) -> list[tuple[str, list[tuple[int, float]]]]:
    found = []
    for name in dict.fromkeys(run["workload"] for run in runs):
        times = {
            run["threads"]: _quantiles(run["peers"]["evenflow"]["rounds"])[2] for run in runs if run["workload"] == name
        }
        if len(times) > 1:
            first = times[min(times)]
            found.append((name, [(count, first / times[count]) for count in counts if count in times]))
    return found


def _run_table(run: dict[str, Any]) -> str:
    own = run["peers"]["evenflow"]
    target = run.get("target") or {}
    rows = []
    for name, peer in run["peers"].items():
        least, _, median, _, slow = (value / 1e6 for value in _quantiles(peer["rounds"]))
        quarter = _quantiles(peer["rounds"])
        spread = (quarter[3] - quarter[1]) / 2 / quarter[2]
        ratio = "" if name == "evenflow" else f"{_ratio(peer, own):.2f} x"
        wanted = f"{target[name]:g} x" if name in target else ""
        note = ", ".join(filter(None, [peer.get("variant", ""), peer.get("note", "")]))
        cells = [name, note, duration(median), duration(least), duration(slow), f"{spread:.1%}", ratio, wanted]
        rows.append([*cells, str(peer.get("version", ""))])
    head = ["", "setting", "median, us", "least", "95th", "spread", "times", "target", "version"]
    threads = f"{run['threads']} thread{'s' * (run['threads'] > 1)}"
    words = "; ".join(filter(None, [run.get("network", ""), run.get("training", ""), threads]))
    lines = [f"<h3>{html.escape(run['workload'])}</h3><p class='faint'>{html.escape(words)}</p>", table(head, rows, 2)]
    for kind, word in (("missing", "not installed"), ("unable", "cannot do this"), ("failed", "failed")):
        for name, why in (run.get(kind) or {}).items():
            lines.append(f'<p class="note">{html.escape(f"{name}: {word}: {why}")}</p>')
    return "\n".join(lines)


def calls_section(data: dict[str, Any]) -> list[str]:
    parts = []
    rows = [row for row in data.get("calls", ()) if row["rounds"]]
    for group in dict.fromkeys(row["group"] for row in rows):
        cells = []
        for row in (row for row in rows if row["group"] == group):
            own = row["rounds"]["evenflow"]
            line = [
                row["what"],
                str(row["threads"]),
                duration(statistics.median(own)),
                duration(row["least"]["evenflow"]),
            ]
            line.append(f"{row['ceiling'] / row['least']['evenflow']:.0%}")
            for who in ("packed", "numpy", "torch"):
                times = row["rounds"].get(who)
                ratio = statistics.median(a / b for a, b in zip(times, own, strict=True)) if times else None
                line.append("" if ratio is None else f"{'- ' if ratio < 1 and who != 'packed' else ''}{ratio:.2f} x")
            line.append(", ".join(f"{who} {error:.3g}" for who, error in row.get("errors", {}).items()))
            cells.append(line)
        head = ["call", "threads", "median, us", "least", "of the ceiling", "packed", "NumPy", "PyTorch", "error, ulp"]
        parts += [f"<h2>Calls: {html.escape(group)}</h2>", table(head, cells)]
    return parts


def other_sections(data: dict[str, Any]) -> list[str]:
    """Pieces, eager kernels, activations and random layers, as tables."""
    parts = []
    rows = []
    for piece in data.get("pieces", ()):
        times = [time for answer in piece["rounds"] for time in answer["times"]]
        if times:
            shares = [a["ceiling"] / min(a["times"]) for a in piece["rounds"] if "ceiling" in a]
            share = f"{statistics.median(shares):.0%}" if shares else ""
            rows.append([piece["what"], piece["peer"], duration(statistics.median(times)), duration(min(times)), share])
    if rows:
        parts += ["<h2>Pieces</h2>", table(["", "by", "median, us", "least", "of the ceiling"], rows, 2)]
    if data.get("kernels"):
        whose = ["evenflow", "packed", "numpy", "torch"]
        rows = [
            [row["kernel"], str(row["n"]), *(duration(row["seconds"][w]) if w in row["seconds"] else "" for w in whose)]
            for row in data["kernels"]
        ]
        parts += ["<h2>Eager kernels</h2><p>Least microseconds.</p>", table(["", "n", *whose], rows)]
    sections = (("activations", "a step of tabular", "ReLU"), ("random_layers", "a step", "the step without"))
    for part, what, base in sections:
        if data.get(part):
            rows = [
                [name, duration(statistics.median(cost["times"])), f"{min(cost['times']) / min(cost['beside']):.2f} x"]
                for name, cost in data[part].items()
            ]
            head = [what, "median, us", f"times {base}, by the least"]
            parts += [f"<h2>{part.replace('_', ' ').capitalize()}</h2>", table(head, rows)]
    return parts


def comparison_section(compared: dict[str, Any] | None) -> list[str]:
    if not compared or not compared["figures"]:
        return []
    rows, drawn = [], []
    for one in compared["figures"]:
        sign = {"faster": "+ ", "slower": "- "}.get(one["verdict"], "")
        verdict = {"same": "within the noise", "unknown": "too few rounds"}.get(one["verdict"], one["verdict"])
        low, high = one["range"]
        cells = [one["what"], one["who"], one["threads"], f"{one['ratio']:.3f}", f"{low:.3f} to {high:.3f}"]
        rows.append([*cells, sign + verdict])
        drawn.append((f"{one['what']}, {one['who']}, {one['threads']} thr.", one["ratio"], (low, high), one["verdict"]))
    parts = [f"<h2>Beside {html.escape(compared['with'])}</h2>"]
    parts += [f'<p class="note">{html.escape(note)}</p>' for note in compared["notes"]]
    parts.append(_figure(charts.forest(drawn[:60])))
    return [*parts, table(["", "by", "threads", "ratio", "range over rounds", ""], rows, 2)]


def environment_section(machine: dict[str, Any]) -> list[str]:
    build = machine.get("build") or {}
    facts = {
        "processor": machine["processor"],
        "cores": machine["cores"],
        "memory": f"{machine['memory'] / 2**30:.0f} GiB" if machine.get("memory") else None,
        "load when it began": f"{machine['load']:.1f}" if "load" in machine else None,
        "instruction set": f"{machine['isa']} of {', '.join(machine.get('isas', []))}",
        "compiler": build.get("compiler"),
        "system": machine.get("system"),
        "Python": machine.get("python"),
        **(machine.get("libraries") or {"numpy": machine.get("numpy")}),
        "BLAS of NumPy": " ".join(map(str, (machine.get("numpy_blas") or {}).values())) or None,
    }
    rows = [[name, f"{value}"] for name, value in facts.items() if value is not None]
    rows += [[f"${name}", value] for name, value in (machine.get("environment") or {}).items()]
    dump = html.escape(json.dumps(machine, indent=1))
    return [
        "<h2>Environment</h2><p>Variables that begin with $ were set, and removed for the processes that were timed, "
        "but for evenflow's own.</p>",
        table(["", ""], rows, 2),
        f"<details><summary>Everything, as recorded</summary><pre>{dump}</pre></details>",
    ]


def page(data: dict[str, Any]) -> str:
    """The page of a file that `records.read` or a run gave."""
    machine = data["machine"]
    line = f"evenflow {machine['evenflow']}, {machine['isa']}, {machine['processor']}, {machine['cores']} cores"
    line += f", {machine['date']}" if machine.get("date") else ""
    method = "".join(f"<li>{html.escape(text)}</li>" for text in METHOD)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>evenflow bench</title><style>{STYLE}{_colours()}</style></head><body>",
            f'<h1>evenflow bench</h1><p class="faint">{html.escape(line)}</p>',
            *comparison_section(data.get("compared")),
            *workloads_section(data),
            *calls_section(data),
            *other_sections(data),
            f"<h2>Method</h2><ul>{method}</ul>",
            *environment_section(machine),
            "</body></html>",
            "",
        ]
    )
