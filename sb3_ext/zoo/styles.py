"""How pictures look: colors that the color-blind tell apart, the same for an algorithm always."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from callbacks.checkpoint import save_atomically

# Okabe and Ito, Color Universal Design (2008), without its yellow: too pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
MARKERS = "os^Dv<>PX*"
# An algorithm's place here is its style.
ALGORITHMS = (
    *("ppo", "ppo_numpy", "ppo_jax", "ppo_torch", "ppo_mlx", "sac", "tqc"),
    *("a2c", "dqn", "qrdqn", "td3", "ddpg", "trpo", "ars"),
    *("crossq", "ppo_lstm"),
)
SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "sb3_ext",  # equal pictures are equal files
    "svg.fonttype": "path",
}
FORMATS = ("png", "svg", "pdf")
# A file's date would make equal pictures differ.
UNDATED: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@dataclass(frozen=True)
class Style:
    """How one line, or one row of points, is drawn."""

    color: str
    linestyle: Any
    marker: str


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style for each label: an algorithm's own, or the next that is free."""
    labels = list(labels)
    places = {label: ALGORITHMS.index(label) for label in labels if label in ALGORITHMS}
    place = 0
    for label in labels:
        if label not in places:
            while place in places.values():
                place += 1
            places[label] = place
    return {
        label: Style(
            COLORS[places[label] % len(COLORS)],
            LINES[places[label] // len(COLORS) % len(LINES)],
            MARKERS[places[label] % len(MARKERS)],
        )
        for label in labels
    }


def new_figure(
    n_rows: int, n_columns: int, width: float, height: float, *, share_x: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure without pyplot, which would look for a display.

    Args:
        n_rows: Of panels.
        n_columns: Of panels.
        width: Of a panel, in inches.
        height: Of a panel, in inches.
        share_x: Whether the panels of a column have one horizontal axis.

    Returns:
        The figure and its panels, ``[row][column]``.
    """
    with rc_context(SETTINGS):
        figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
        FigureCanvasAgg(figure)
        share: Literal["col", "none"] = "col" if share_x else "none"
        return figure, figure.subplots(n_rows, n_columns, sharex=share, squeeze=False).tolist()


def thousands(value: float, _: object) -> str:
    """How an axis tells steps: 1500 is 1.5k."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e3 else f"{value:g}"


def rendered(figure: Figure, file_format: str) -> bytes:
    """A figure as the content of a file."""
    picture = io.BytesIO()
    with rc_context(SETTINGS):
        figure.savefig(picture, format=file_format, dpi=150, metadata=UNDATED[file_format])
    return picture.getvalue()


def save_picture(figure: Figure, path: Path) -> None:
    """Saves a figure; its name's ending tells the format."""
    content = rendered(figure, path.suffix[1:].lower())
    save_atomically(path, lambda file: file.write(content))
