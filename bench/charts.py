"""Pictures for the page, as SVG that takes its colours from the page's style, light or dark."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

WIDTH, LEFT, RIGHT = 760, 160, 80  # of the drawing, of the names, of the numbers behind the marks
LONG = 310  # of names of calls
ROW, GAP, TOP, BOTTOM = 20, 12, 8, 40


_class = html.escape  # a peer of a file may have any name


@dataclass
class Drawing:
    """Elements of a picture, from the top down."""

    height: float = TOP
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{_class(kind)}" text-anchor="{anchor}">{html.escape(words)}</text>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{_class(kind)}"/>')

    def bar(self, x1: float, x2: float, y: float, height: float, kind: str, title: str = "") -> None:
        left, width = min(x1, x2), max(abs(x2 - x1), 0.8)
        self.parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" class="{_class(kind)}">'
            f"<title>{html.escape(title)}</title></rect>"
        )

    def dot(self, x: float, y: float, kind: str, title: str = "") -> None:
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{_class(kind)}">'
            f"<title>{html.escape(title)}</title></circle>"
        )

    def svg(self, label: str) -> str:
        box = f"0 0 {WIDTH} {self.height:.0f}"
        body = "\n".join(self.parts)
        return f'<svg viewBox="{box}" role="img" aria-label="{html.escape(label, quote=True)}">\n{body}\n</svg>'


@dataclass(frozen=True)
class Axis:
    """Numbers to places from left to right."""

    low: float
    high: float
    logarithmic: bool
    left: int = LEFT

    def at(self, value: float) -> float:
        inner = WIDTH - self.left - RIGHT
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.left + inner * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[float]:
        if not self.logarithmic:
            return [self.low + (self.high - self.low) * k / 5 for k in range(6)]
        steps = (1, 2, 5) if self.high / self.low < 1000 else (1,)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [step * 10.0**power for power in powers for step in steps]
        found = [tick for tick in found if self.low * 0.999 <= tick <= self.high * 1.001]
        if len(found) > 2:
            return found
        even = [self.low + (self.high - self.low) * k / 4 for k in range(5)]
        return sorted({float(f"{tick:.2g}" if self.high / self.low > 1.5 else f"{tick:.3g}") for tick in even})

    def draw(self, drawing: Drawing, top: float, name: str, words: Callable[[float], str]) -> None:
        """Grid and numbers behind what has been drawn since `top`."""
        bottom = drawing.height
        grid = Drawing()
        for tick in self.ticks():
            grid.line(self.at(tick), top, self.at(tick), bottom, "grid")
            grid.text(self.at(tick), bottom + 14, words(tick), "tick", "middle")
        grid.text((self.left + WIDTH - RIGHT) / 2, bottom + 32, name, "axis", "middle")
        drawing.parts[:0] = grid.parts
        drawing.height += BOTTOM


def limits(values: Iterable[float], *, room: float = 1.1) -> tuple[float, float]:
    """A logarithmic axis's ends for these, never of no length."""
    found = list(values)
    return min(found) / room, max(found) * room


def ratios(groups: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> str:
    """For each workload, how many times longer than evenflow each peer takes: bars from 1."""
    low, high = limits([1.0, *(ratio for _, rows in groups for _, ratio in rows)])
    axis, drawing = Axis(low, high, True), Drawing()
    for name, rows in groups:
        drawing.text(0, drawing.height + 13, name, "name")
        drawing.height += ROW
        for peer, ratio in rows:
            drawing.text(LEFT - 10, drawing.height + 13, peer, "peer", "end")
            drawing.bar(axis.at(1), axis.at(ratio), drawing.height + 3, ROW - 6, f"fill {peer}", f"{peer}: {ratio:.3g}")
            drawing.text(max(axis.at(ratio), axis.at(1)) + 6, drawing.height + 14, f"{ratio:.3g} x", "number")
            drawing.height += ROW
        drawing.height += GAP
    drawing.line(axis.at(1), TOP, axis.at(1), drawing.height, "one")
    axis.draw(drawing, TOP, "times longer than evenflow (logarithmic; left of 1 is faster)", lambda v: f"{v:g}")
    return drawing.svg("How many times longer than evenflow each peer takes")


def ranges(groups: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]]) -> str:
    """Times of each workload and peer: least, quartiles, median and the 95th percentile of blocks, microseconds."""
    low, high = limits(value for _, rows in groups for _, times in rows for value in times)
    axis, drawing = Axis(low, high, True), Drawing()
    for name, rows in groups:
        drawing.text(0, drawing.height + 13, name, "name")
        drawing.height += ROW
        for peer, (least, lower, median, upper, slow) in rows:
            middle = drawing.height + ROW / 2
            drawing.text(LEFT - 10, drawing.height + 13, peer, "peer", "end")
            drawing.line(axis.at(least), middle, axis.at(slow), middle, f"thin {peer}")
            words = f"{peer}: {least:,.4g} least, {median:,.4g} median, {slow:,.4g} 95th percentile"
            drawing.bar(axis.at(lower), axis.at(upper), middle - 3.5, 7, f"fill {peer}", words)
            drawing.dot(axis.at(median), middle, f"fill {peer} ringed", words)
            drawing.text(axis.at(max(slow, median)) + 9, drawing.height + 14, f"{median:,.4g}", "number")
            drawing.height += ROW
        drawing.height += GAP
    axis.draw(drawing, TOP, "microseconds per step (logarithmic)", lambda v: f"{v:,.5g}")
    return drawing.svg("Microseconds per step: least, quartiles, median, 95th percentile")


def shares(rows: Sequence[tuple[str, float, float, float | None]]) -> str:
    """Of each workload: share of the floor, what of that is multiply-adds, and the target."""
    axis, drawing = Axis(0.0, 1.0, False), Drawing()
    for name, share, arithmetic, target in rows:
        y = drawing.height
        drawing.text(LEFT - 10, y + 14, name, "name", "end")
        drawing.bar(axis.at(0), axis.at(share * arithmetic), y + 3, ROW - 4, "fill evenflow", "multiply-adds")
        if arithmetic < 1:
            drawing.bar(
                *(axis.at(share * arithmetic), axis.at(share), y + 3, ROW - 4, "fill traffic", "traffic of the update")
            )
        if target:
            drawing.line(axis.at(target), y, axis.at(target), y + ROW + 2, "target")
        drawing.text(axis.at(share) + 8, y + 15, f"{share:.0%}", "number boxed")
        drawing.height += ROW + 8
    axis.draw(
        drawing,
        TOP,
        "share of the floor: multiply-adds, then traffic of the update; a dash is the target",
        "{:.0%}".format,
    )
    return drawing.svg("Share of the floor")


def scaling(series: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> str:
    """evenflow's times faster than on the fewest threads, one line for each workload."""
    threads = sorted({count for _, points in series for count, _ in points})
    top = max([threads[-1] / threads[0], *(faster for _, points in series for _, faster in points)])
    least = min([1.0, *(faster for _, points in series for _, faster in points)])
    drawing, height = Drawing(), 260.0
    places = {
        count: LEFT + (WIDTH - LEFT - RIGHT - 60) * i / max(1, len(threads) - 1) for i, count in enumerate(threads)
    }

    def level(faster: float) -> float:
        return TOP + height * (1 - (faster - least * 0.9) / (top * 1.05 - least * 0.9))

    steps = [1 + (top - 1) * k / 4 for k in range(5)]
    for step in steps:
        drawing.line(LEFT, level(step), WIDTH - RIGHT, level(step), "grid")
        drawing.text(LEFT - 10, level(step) + 4, f"{step:.3g} x", "tick", "end")
    for count, x in places.items():
        drawing.text(x, TOP + height + 18, str(count), "tick", "middle")
    ideal = " ".join(f"{places[count]:.1f},{level(count / threads[0]):.1f}" for count in threads)
    drawing.parts.append(f'<polyline points="{ideal}" class="ideal"/>')
    ends: list[tuple[float, str, int]] = []
    for index, (name, points) in enumerate(series):
        kind = f"series-{index % 8}"
        path = " ".join(f"{places[count]:.1f},{level(faster):.1f}" for count, faster in points)
        drawing.parts.append(f'<polyline points="{path}" class="{kind} stroke"/>')
        for count, faster in points:
            drawing.dot(places[count], level(faster), f"{kind} fill", f"{name}: {faster:.2f} x on {count}")
        ends.append((level(points[-1][1]), name, index))
    before = -math.inf
    for y, name, _ in sorted(ends):  # names do not lie over each other
        before = max(y + 4, before + 14)
        drawing.text(places[threads[-1]] + 10, before, name, "peer")
    drawing.text(
        (LEFT + WIDTH - RIGHT) / 2,
        TOP + height + 38,
        "threads (dashes: twice as many, twice as fast)",
        "axis",
        "middle",
    )
    drawing.height = max(TOP + height + 46, before + 10)
    return drawing.svg("Times faster than on the fewest threads")


def forest(rows: Sequence[tuple[str, float, tuple[float, float], str]]) -> str:
    """Ratios of new to old times with their ranges."""
    low, high = limits((value for _, _, ends, _ in rows for value in (*ends, 1.0)), room=1.05)
    axis, drawing = Axis(low, high, True, LONG), Drawing()
    for name, ratio, ends, verdict in rows:
        middle = drawing.height + ROW / 2
        drawing.text(LONG - 10, drawing.height + 14, name, "peer", "end")
        words = f"{name}: {ratio:.3f}, {ends[0]:.3f} to {ends[1]:.3f}"
        drawing.line(axis.at(ends[0]), middle, axis.at(ends[1]), middle, f"thin {verdict}")
        drawing.dot(axis.at(ratio), middle, f"fill {verdict}", words)
        drawing.text(axis.at(ends[1]) + 9, drawing.height + 14, f"{ratio:.2f}", "number")
        drawing.height += ROW
    drawing.line(axis.at(1), TOP, axis.at(1), drawing.height, "one")
    axis.draw(drawing, TOP, "time now over time before (left of 1 is faster now)", lambda v: f"{v:g}")
    return drawing.svg("Ratios of times to those before")
