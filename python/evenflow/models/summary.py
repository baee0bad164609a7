"""The table that `summary()` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from ..layers.variables import Variable
    from .model import Model


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GB"


def _line(title: str, variables: Sequence[Variable]) -> str:
    count = sum(variable.size for variable in variables)
    return f" {title}: {count:,} ({_bytes(sum(variable.nbytes for variable in variables))})"


def table(model: Model, *, show_trainable: bool = False) -> str:
    """Layers with output shapes and parameter counts, then the totals."""
    header = ["Layer (type)", "Output Shape", "Param #"] + (["Trainable"] if show_trainable else [])
    rows = []
    for layer in model.layers:
        shape = errors.shape_text(layer.output_shape) if layer.built else "?"
        params = f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"
        row = [f"{layer.name} ({type(layer).__name__})", shape, params]
        if show_trainable:
            row.append(("Y" if layer.trainable else "N") if layer.variables else "-")
        rows.append(row)
    minimum = (32, 22, 12, 9)
    columns = list(zip(header, *rows, strict=True))
    widths = [max(low, *map(len, column)) for low, column in zip(minimum, columns, strict=False)]

    def text(row: Sequence[str]) -> str:
        return " " + "  ".join(
            cell.rjust(width) if index == 2 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )

    width = len(text(header)) + 1
    return "\n".join(
        [
            f'Model: "{model.name}"',
            "_" * width,
            text(header).rstrip(),
            "=" * width,
            *(text(row).rstrip() for row in rows),
            "=" * width,
            _line("Total params", model.weights),
            _line("Trainable params", model.trainable_weights),
            _line("Non-trainable params", model.non_trainable_weights),
            "_" * width,
        ]
    )
