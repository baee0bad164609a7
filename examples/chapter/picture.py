"""What the pictures of the chapter share: one style, colours for everybody's eyes, a folder to write them to."""

import argparse
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers can tell apart, without their yellow, which white paper swallows.
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE, BLACK = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#000000",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
GREY = "#8a8a8a"
DASHES = ("-", "--", "-.", ":")


def panels(
    title: str, columns: int, *, rows: int = 1, width: float = 4.4, height: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """A figure of its own (pyplot would keep it alive, and want a screen), and its panels row by row."""
    figure = Figure(figsize=(width * columns, height * rows + 0.7), dpi=110, layout="constrained")
    figure.suptitle(title, fontsize=13)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def label(axes: Axes, title: str, x: str, y: str) -> None:
    """Name a panel and its axes."""
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, folder: str | Path, name: str, *, legend_columns: int = 0) -> Path:
    """Write `name`.png; with columns, one legend for all panels stands below them, where it hides nothing."""
    if legend_columns:
        lines = {line.get_label(): line for axes in figure.axes for line in axes.get_legend_handles_labels()[0]}
        figure.legend(
            lines.values(), lines.keys(), loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=9.5
        )
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"picture: {path}")
    return path


def run(main: Callable[[str], object], description: str | None) -> None:
    """What an example does as a script: the folder for its picture is the one argument."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="pictures", help="where the picture goes (default: pictures)")
    main(parser.parse_args().folder)
