"""A study's pictures, as Optuna draws them: HTML to explore, PNG to look at."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from callbacks import save_atomically
from sb3_ext.zoo.errors import reason

# Name -> the function of optuna.visualization and of optuna.visualization.matplotlib.
PICTURES = {
    "history": "plot_optimization_history",
    "importances": "plot_param_importances",
    "slices": "plot_slice",
}
TARGET = "mean return"
PLOTLY = "plotly.min.js"  # beside the pages, which then need no network
INCHES, DPI = (10.0, 5.0), 110
SHORT_LOG_SCALE = 50.0  # ratio of its ends: too few powers of ten to read it by
SLICES_IN_A_ROW, SLICE_INCHES = 4, (4.2, 3.2)


def draw_pictures(study: optuna.Study, folder: Path) -> tuple[list[Path], list[str]]:
    """Draws what can be drawn.

    Args:
        study: The study.
        folder: Where ``<name>.html`` and ``<name>.png`` go.

    Returns:
        What was written, and why the rest was not.
    """
    written: list[Path] = []
    notices: list[str] = []
    for name, function in PICTURES.items():
        for draw, suffix in ((_draw_page, ".html"), (_draw_image, ".png")):
            path = folder / f"{name}{suffix}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Optuna calls its own pictures experimental
                    draw(study, function, path)
                written.append(path)
            except Exception as error:  # too few trials, a package missing, ...
                notices.append(f"no {path.name}: {reason(error)}")
    return written, notices


def _draw_page(study: optuna.Study, function: str, path: Path) -> None:
    from optuna import visualization
    from plotly.offline import get_plotlyjs

    figure = getattr(visualization, function)(study, target_name=TARGET)
    page = figure.to_html(include_plotlyjs="directory").encode()
    script = path.with_name(PLOTLY)
    if not script.is_file():
        save_atomically(script, lambda file: file.write(get_plotlyjs().encode()))
    save_atomically(path, lambda file: file.write(page))


def _draw_image(study: optuna.Study, function: str, path: Path) -> None:
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as visualization

    plt.switch_backend("Agg")  # Optuna draws by pyplot, which would look for a display
    with plt.rc_context():  # whose style it changes for good
        axes = np.ravel(getattr(visualization, function)(study, target_name=TARGET))
        figure = axes[0].figure
        if function == "plot_slice":
            _arrange(figure, axes)
        else:
            figure.set_size_inches(*INCHES)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=DPI, bbox_inches="tight")
        plt.close(figure)
    save_atomically(path, lambda file: file.write(image.getvalue()))


def _arrange(figure: Any, axes: np.ndarray) -> None:
    """Optuna puts all slices into one row, which for a dozen is a ribbon; here they make a grid."""
    columns = min(SLICES_IN_A_ROW, len(axes))
    rows = math.ceil(len(axes) / columns)
    figure.set_size_inches(columns * SLICE_INCHES[0], rows * SLICE_INCHES[1])
    figure.suptitle("")
    grid = figure.add_gridspec(rows, columns, right=0.9, hspace=0.35, wspace=0.15)
    for i, axis in enumerate(axes):
        cell = grid[i // columns, i % columns]
        axis.set_subplotspec(cell)
        axis.set_position(cell.get_position(figure))
        axis.set_ylabel(TARGET if i % columns == 0 else "")
        axis.tick_params(labelleft=i % columns == 0)
        if axis.get_xscale() == "log":
            _label_log_scale(axis.xaxis, *axis.get_xlim())
    for colorbar in set(figure.axes) - set(axes):
        colorbar.set_position((0.92, 0.3, 0.012, 0.4))


def _label_log_scale(axis: Any, low: float, high: float) -> None:
    """Matplotlib labels every minor tick of a short scale, one over the other."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if high / low < SHORT_LOG_SCALE:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
