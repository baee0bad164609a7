"""Pictures of a training run. matplotlib is imported when one is drawn, never before."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .training.finder import Search

__all__ = [
    "fold_curves",
    "heat_map",
    "learning_curves",
    "learning_rate_search",
]

TRAINING, VALIDATION, FAINT = "#1f6fb2", "#d9622b", "#8a8a8a"
TITLES = {"loss": "Loss", "mean_absolute_error": "Mean absolute error", "mae": "Mean absolute error"}


def learning_curves(
    history: Mapping[str, Sequence[float]],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "Learning curves",
) -> Figure:
    """Draw each quantity of `History.history` over the epochs, training and validation together.

    Training values are means over an epoch, so they are drawn at its middle; validation values belong to its end. The
    best validation value is marked. Returns the figure; writes it to `path` (the format follows the suffix) if given.
    """
    names = _curve_names(history)
    epochs = len(history[names[0]]) if names else 0
    if epochs == 0:
        raise ValueError("learning_curves: history has no finished epoch, so there is nothing to draw")
    figure = _figure("learning_curves", (5.2 * len(names), 4.2))
    figure.suptitle(title, fontsize=13)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw(axes, name, history[name], history.get(f"val_{name}", ()))
    if path is not None:
        figure.savefig(path)
    return figure


def fold_curves(
    histories: Sequence[Mapping[str, Sequence[float]]],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "Cross-validation",
) -> Figure:
    """Draw each quantity of several `History.history` over the epochs: the folds of a cross-validation, thin, and their
    mean, over those that reached the epoch, thick. Training and validation together, as in `learning_curves`.

    Returns the figure; writes it to `path` (the format follows the suffix) if given.
    """
    names = _curve_names(histories[0]) if histories else []
    if not any(history[name] for history in histories for name in names):
        raise ValueError("fold_curves: no history has a finished epoch, so there is nothing to draw")
    figure = _figure("fold_curves", (5.2 * len(names), 4.2))
    figure.suptitle(title, fontsize=13)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, color, label, shift in (
            (name, TRAINING, "training", 0.5),
            (f"val_{name}", VALIDATION, "validation", 1.0),
        ):
            curves = [history[key] for history in histories if history.get(key)]
            for curve in curves:
                axes.plot(np.arange(len(curve)) + shift, curve, color=color, linewidth=0.7, alpha=0.45)
            if curves:
                longest = max(map(len, curves))
                mean = [np.mean([curve[i] for curve in curves if len(curve) > i]) for i in range(longest)]
                axes.plot(np.arange(longest) + shift, mean, color=color, linewidth=2.0, label=f"{label}, mean")
        axes.set_title(TITLES.get(name, name.replace("_", " ").capitalize()), fontsize=11)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name.replace("_", " "))
        axes.locator_params(axis="x", integer=True)
        _finish(axes)
    if path is not None:
        figure.savefig(path)
    return figure


def heat_map(
    layers: Mapping[str, ArrayLike],
    quantity: str,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw one quantity of `callbacks.Health`, a series of epochs for each layer: the first layer on top.

    Shares ("dead", "saturated") are drawn from 0 to 1, means around 0, all others on a logarithmic scale where they are
    positive. Returns the figure; writes it to `path` (the format follows the suffix) if given.
    """
    values = np.array(list(layers.values()), np.float64)
    figure = _figure("heat_map", (9.0, 1.5 + 0.3 * len(values)))
    from matplotlib.colors import LogNorm, Normalize, TwoSlopeNorm
    from matplotlib.ticker import LogFormatter

    axes = figure.subplots()
    finite = values[np.isfinite(values)]
    norm: Normalize = Normalize(0, 1)
    colors = "magma_r"
    if quantity == "mean":
        colors, size = "RdBu_r", float(np.abs(finite).max(initial=1e-3))
        norm = TwoSlopeNorm(0, -size, size)
    elif quantity not in ("dead", "saturated"):
        colors, positive = "viridis", finite[finite > 0]
        lowest, highest = (float(positive.min()), float(positive.max())) if positive.size else (1e-3, 1.0)
        norm = LogNorm(lowest, max(highest, 1.5 * lowest))
        values = np.where(values > 0, values, np.nan)
    extent = (0.5, values.shape[1] + 0.5, len(values) - 0.5, -0.5)
    image = axes.imshow(values, cmap=colors, norm=norm, aspect="auto", interpolation="nearest", extent=extent)
    axes.set_facecolor("#d8d8d8")  # no value, or none that a logarithm has
    axes.set_yticks(range(len(values)), list(layers), fontsize=8)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epoch")
    axes.set_title(title or quantity, fontsize=11)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    if isinstance(norm, LogNorm):
        bar.formatter = bar.minorformatter = LogFormatter(minor_thresholds=(1.0, 0.4))
    if path is not None:
        figure.savefig(path)
    return figure


def learning_rate_search(search: Search, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw the loss over the learning rate, as `find_learning_rate` found it, with what it suggests.

    Returns the figure; writes it to `path` (the format follows the suffix) if given.
    """
    figure = _figure("learning_rate_search", (6.4, 4.2))
    axes = figure.subplots()
    axes.plot(search.rates, search.losses, color=FAINT, linewidth=0.6, label="of each step")
    axes.plot(search.rates, search.smoothed, color=TRAINING, linewidth=1.8, label="smoothed")
    axes.axvline(search.suggestion, color=VALIDATION, linestyle=":", label=f"suggestion: {search.suggestion:.2g}")
    axes.set_xscale("log")
    lowest, first = min(search.smoothed), search.smoothed[0]
    margin = max(first - lowest, 1e-12 + 0.1 * abs(first))
    axes.set_ylim(lowest - 0.2 * margin, first + margin)  # a loss that diverges would hide everything else
    axes.set_title("Learning-rate search", fontsize=11)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    _finish(axes)
    if path is not None:
        figure.savefig(path)
    return figure


def _curve_names(history: Mapping[str, Sequence[float]]) -> list[str]:
    """What a history has a number of for each epoch, beside validation and what is of a layer or a variable ("/")."""
    return [
        name
        for name, values in history.items()
        if not name.startswith("val_") and "/" not in name and np.ndim(values) == 1
    ]


def _figure(where: str, size: tuple[float, float]) -> Figure:
    """A figure of its own: pyplot would choose a backend and keep the figure alive in global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{where}: matplotlib is not installed; install it with: pip install 'evenflow[plot]'"
        ) from error
    return Figure(figsize=size, dpi=120, layout="constrained")


def _finish(axes: Axes) -> None:
    axes.grid(color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _draw(axes: Axes, name: str, training: Sequence[float], validation: Sequence[float]) -> None:
    higher_is_better = name.endswith("accuracy") or name == "acc"
    marker = "o" if len(training) <= 40 else ""
    middles = [epoch + 0.5 for epoch in range(len(training))]
    axes.plot(middles, training, color=TRAINING, marker=marker, markersize=3.5, linewidth=1.6, label="training")
    if validation:
        ends = range(1, len(validation) + 1)
        axes.plot(ends, validation, color=VALIDATION, marker=marker, markersize=3.5, linewidth=1.6, label="validation")
        best = (max if higher_is_better else min)(range(len(validation)), key=lambda i: validation[i])
        axes.axvline(best + 1, color=FAINT, linewidth=0.8, linestyle=":", zorder=0)
        label = f"best: {validation[best]:.4g} after epoch {best + 1}"
        axes.plot(
            best + 1,
            validation[best],
            marker="o",
            markersize=8,
            color=VALIDATION,
            fillstyle="none",
            linestyle="",
            label=label,
        )
    axes.set_title(TITLES.get(name, name.replace("_", " ").capitalize()), fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name.replace("_", " "))
    axes.set_xlim(0, len(training) + 0.5)
    axes.locator_params(axis="x", integer=True)
    _finish(axes)
