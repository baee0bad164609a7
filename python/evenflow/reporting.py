"""A training as a page to look at: learning curves, the health of each layer, what callbacks had to say.

matplotlib draws the pictures; it is imported when they are drawn, never before.
"""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import errors, plotting
from .callbacks import History
from .callbacks.health import PREFIX, QUANTITIES
from .saving.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEANINGS = {
    "mean": ("Mean of activations", "Of what a layer puts out, over rows and units."),
    "std": (
        "Standard deviation of activations",
        "Over rows and units. Signals that fade or grow from layer to layer show here: healthy is about the same "
        "everywhere.",
    ),
    "dead": ("Dead units", "Share of units that were zero for every row of the epoch."),
    "saturated": (
        "Saturated units",
        "Share of units whose activation has a slope below 0.01, on average over rows. For ReLU these are its zeros.",
    ),
    "gradient": (
        "Gradient norm",
        "l2 norm of the gradient of a layer's variables before clipping, a mean over steps. Values that fall from the "
        "last layer to the first: gradients vanish; that grow: they explode.",
    ),
    "update": (
        "Update in proportion to weights",
        "l2 norm of what a step changes over that of the weights. About 0.001 is usual; above 0.1 the learning rate is "
        "too high.",
    ),
}
STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2530; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; } .faint { color: #5b6675; }
.warnings li { background: #fff3e6; border-left: 4px solid #d9622b; margin: .5rem 0; padding: .5rem .8rem; }
.warnings { list-style: none; padding: 0; }
.fine { background: #eaf5ec; border-left: 4px solid #2e8b57; padding: .5rem .8rem; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #dfe4ea; }
th:first-child, td:first-child { text-align: left; }
"""


def report(
    history: History | Mapping[str, Sequence[Any]], path: str | os.PathLike[str], *, title: str = "Training report"
) -> list[Path]:
    """Write a training as one HTML page that needs nothing else, and its pictures as PNG files beside it.

    `history`: what `fit` returned, or its `history`, which has no warnings. `path`: of the page, "report.html": the
    pictures are then report-learning_curves.png and, with `callbacks.Health`, report-dead.png and so on, a heat map
    of layers by epochs for each quantity. Existing files of these names are replaced, each at once. Returns the paths,
    the page first.

    Raises ValueError where no epoch was finished or the name does not end in .html, ModuleNotFoundError without
    matplotlib (pip install 'evenflow[plot]'), and the OSError of the file system.
    """
    where = "report"
    values: Mapping[str, Sequence[Any]]
    values, messages = (history.history, history.messages) if isinstance(history, History) else (history, [])
    if not isinstance(values, Mapping):
        raise errors.wrong_type(where, "history", "a History or its `history`", history)
    target = Path(path)
    if target.suffix not in (".html", ".htm"):
        raise errors.wrong_value(where, "path", "a name that ends in .html", str(path))
    curves = {name: series for name, series in values.items() if "/" not in name}
    epochs = max((len(series) for series in curves.values()), default=0)
    if epochs == 0:
        raise ValueError(f"{where}: history has no finished epoch, so there is nothing to show")
    pictures = {"learning_curves": _png(plotting.learning_curves(curves, title=""))}
    maps = {quantity: _by_layer(values, quantity, epochs) for quantity in QUANTITIES}
    maps = {quantity: layers for quantity, layers in maps.items() if layers}
    for quantity, layers in maps.items():
        pictures[quantity] = _png(plotting.heat_map(layers, quantity, title=MEANINGS[quantity][0]))
    page = _page(title, curves, messages, maps, pictures, epochs, watched=bool(maps))
    written = [target]
    for name, content in pictures.items():
        written.append(target.with_name(f"{target.stem}-{name}.png"))
        write_file(written[-1], content)
    write_file(target, page.encode())
    return written


def _by_layer(values: Mapping[str, Sequence[Any]], quantity: str, epochs: int) -> dict[str, NDArray[np.float64]]:
    """The series of a quantity by layer; NaN for epochs before the first that has it."""
    found = {}
    for name, series in values.items():
        if name.startswith(PREFIX) and name.endswith(f"/{quantity}"):
            row = np.full(epochs, np.nan)
            row[epochs - len(series) :] = series
            found[name[len(PREFIX) : -len(quantity) - 1]] = row
    return found


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _page(
    title: str,
    curves: Mapping[str, Sequence[Any]],
    messages: Sequence[str],
    maps: Mapping[str, Mapping[str, NDArray[np.float64]]],
    pictures: Mapping[str, bytes],
    epochs: int,
    *,
    watched: bool,
) -> str:
    safe = html.escape
    last = ", ".join(f"{name} {series[-1]:.4g}" for name, series in curves.items() if np.ndim(series[-1]) == 0)
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{safe(title)}</title><style>{STYLE}</style></head><body>",
        f'<h1>{safe(title)}</h1><p class="faint">{epochs} epoch{"s" * (epochs > 1)}; at the end: {safe(last)}</p>',
        "<h2>Warnings</h2>",
    ]
    if messages:
        parts += ['<ul class="warnings">', *(f"<li>{safe(text)}</li>" for text in messages), "</ul>"]
    elif watched:
        parts.append('<p class="fine">None.</p>')
    else:
        parts.append("<p>The layers were not watched: train with <code>callbacks=[callbacks.Health()]</code>.</p>")
    parts += ["<h2>Learning curves</h2>", _figure(pictures["learning_curves"], "Learning curves")]
    for quantity in maps:
        name, meaning = MEANINGS[quantity]
        parts += [
            f"<h2>{safe(name)}</h2><p>{safe(meaning)}</p>",
            _figure(pictures[quantity], f"{name} by layer and epoch"),
        ]
    if maps:
        parts += ["<h2>Last epoch</h2>", _table(maps)]
    return "\n".join([*parts, "</body></html>", ""])


def _figure(png: bytes, text: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<figure><img alt="{html.escape(text)}" src="data:image/png;base64,{data}"></figure>'


def _table(maps: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> str:
    layers = list(dict.fromkeys(layer for by_layer in maps.values() for layer in by_layer))
    head = "".join(f"<th>{quantity}</th>" for quantity in maps)
    rows = []
    for layer in layers:
        cells = "".join(_cell(quantity, by_layer.get(layer)) for quantity, by_layer in maps.items())
        rows.append(f"<tr><td>{html.escape(layer)}</td>{cells}</tr>")
    return f'<div class="wide"><table><tr><th>layer</th>{head}</tr>\n' + "\n".join(rows) + "</table></div>"


def _cell(quantity: str, series: NDArray[np.float64] | None) -> str:
    if series is None:
        return "<td></td>"
    value = series[-1]
    return f"<td>{value:.1%}</td>" if quantity in ("dead", "saturated") else f"<td>{value:.3g}</td>"
