"""The report's pictures."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.zoo.comparison.results import Comparison, Sample, World
from sb3_ext.zoo.comparison.statistics import Estimate
from sb3_ext.zoo.styles import SETTINGS, Style, new_figure, styles, thousands

# Panels side by side before a new row begins: of curves, and of the flatter rows of points.
N_CURVES = 2
N_ROWS = 3
ROW_HEIGHT = 0.32
# Labels of a legend.
MOST_IN_A_LINE = 5


def draw_all(comparison: Comparison) -> dict[str, Figure]:
    """All pictures of a comparison by their files' stems, in the order of the report."""
    look = styles(comparison.labels)
    with rc_context(SETTINGS):
        pictures = {"learning_curves": _learning_curves(comparison, look, over_time=False)}
        if all(result.by_seconds for world in comparison.worlds for result in world.results):
            over_time = _learning_curves(comparison, look, over_time=True)
            pictures["learning_curves_wall_time"] = over_time
        pictures["final_returns"] = _final_returns(comparison, look)
        improvements = _improvements(comparison, look)
        if improvements is not None:
            pictures["probability_of_improvement"] = improvements
        pictures["efficiency"] = _efficiency(comparison, look)
    return pictures


def _learning_curves(comparison: Comparison, look: dict[str, Style], *, over_time: bool) -> Figure:
    n = len(comparison.worlds)
    width, height = (8, 4.2) if n == 1 else (5.2, 3.3)
    figure, panels = _panels(n, N_CURVES, width, height)
    shown = "evaluation return" if comparison.curve_kind == "evaluation" else "training return"
    for axes, world in zip(panels, comparison.worlds, strict=True):
        for result in world.results:
            curve = result.by_seconds if over_time else result.by_steps
            assert curve is not None
            style = look[result.label]
            axes.fill_between(
                curve.x,
                curve.returns.low,
                curve.returns.high,
                color=style.color,
                alpha=0.18,
                linewidth=0,
            )
            axes.plot(
                curve.x,
                curve.returns.value,
                color=style.color,
                linestyle=style.linestyle,
                linewidth=1.6,
                label=result.label,
            )
        axes.axhline(world.threshold, color="0.45", linewidth=0.8, linestyle=":")
        axes.annotate(
            f"threshold {world.threshold:.4g}",
            (1, world.threshold),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            xytext=(0, 2),
            ha="right",
            color="0.4",
            fontsize=7,
        )
        axes.set(title=world.env_id, ylabel=shown)
        axes.set_xlabel("median wall time since learning began (s)" if over_time else "steps")
        axes.xaxis.set_major_formatter(thousands)
    _legend(figure, panels)
    return figure


def _final_returns(comparison: Comparison, look: dict[str, Style]) -> Figure:
    overall = comparison.overall
    n, n_rows = len(comparison.worlds) + (overall is not None), len(comparison.labels)
    figure, panels = _panels(n, N_ROWS, _width(n), _height(n_rows))
    for axes, world in zip(panels, comparison.worlds, strict=False):
        rows = {result.label: result.final for result in world.results}
        _draw_rows(axes, rows, look, n_rows)
        axes.set(title=world.env_id, xlabel="final return")
    if overall is not None:
        rows = {
            label: Sample(scores.ravel(), overall.iqm[label])
            for label, scores in overall.scores.items()
        }
        _draw_rows(panels[-1], rows, look, n_rows)
        panels[-1].set(title="all worlds", xlabel="normalized final return")
    return figure


def _improvements(comparison: Comparison, look: dict[str, Style]) -> Figure | None:
    parts = comparison.improvements
    if not parts:
        return None
    n_rows = max(len(pairs) for _, pairs in parts)
    figure, panels = _panels(len(parts), N_ROWS, _width(len(parts)), _height(n_rows))
    for axes, (title, pairs) in zip(panels, parts, strict=True):
        axes.axvline(0.5, color="0.45", linewidth=0.8, linestyle=":")
        for row, pair in enumerate(pairs):
            style = look[pair.x]
            _draw_interval(axes, row, pair.probability, style)
        axes.set_yticks(range(len(pairs)), [f"{pair.x} > {pair.y}" for pair in pairs])
        axes.set_ylim(n_rows - 0.5, -0.5)
        axes.set(title=title, xlabel="probability of improvement", xlim=(-0.02, 1.02))
    return figure


def _efficiency(comparison: Comparison, look: dict[str, Style]) -> Figure:
    n_rows = len(comparison.labels)
    figure, panels = new_figure(len(comparison.worlds), 3, 3.6, _height(n_rows))
    for columns, world in zip(panels, comparison.worlds, strict=True):
        for axes, (title, rows) in zip(columns, _efficiency_rows(world), strict=True):
            _draw_rows(axes, rows, look, n_rows)
            axes.set_xlim(left=0)
            axes.set_xlabel(title)
            axes.xaxis.set_major_formatter(thousands)
        columns[0].set_title(world.env_id, loc="left")
        for axes in columns[1:]:
            axes.tick_params(labelleft=False)
    return figure


def _efficiency_rows(world: World) -> list[tuple[str, dict[str, Sample]]]:
    results = world.results
    return [
        (
            f"steps to a return of {world.threshold:.4g}",
            {result.label: result.steps_to_threshold for result in results},
        ),
        ("seconds to it", {result.label: result.seconds_to_threshold for result in results}),
        ("steps per second", {result.label: result.steps_per_second for result in results}),
    ]


def _draw_rows(axes: Axes, rows: dict[str, Sample], look: dict[str, Style], n_places: int) -> None:
    """Each run as a pale point, the estimate as a bold one with its interval.

    Args:
        axes: Where to draw.
        rows: By label, from above.
        look: Of each label.
        n_places: How many rows there is room for: as many in all panels of a picture.
    """
    reached = np.concatenate([row.values[np.isfinite(row.values)] for row in rows.values()])
    edge = reached.max() * 1.12 if len(reached) else 1.0  # where "never" is
    for place, (label, row) in enumerate(rows.items()):
        style = look[label]
        points = row.values[np.isfinite(row.values)]
        axes.plot(
            points,
            np.full(len(points), place + 0.18),
            linestyle="",
            marker="o",
            markersize=4,
            color=style.color,
            alpha=0.45,
            markeredgewidth=0,
        )
        if np.isinf(row.values).any():
            _draw_never(axes, edge, place, int(np.isinf(row.values).sum()), style)
        if row.estimate is not None and np.isfinite(row.estimate.value).all():
            _draw_interval(axes, place - 0.08, row.estimate, style, limit=edge)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(n_places - 0.5, -0.5)
    axes.grid(axis="y", visible=False)


def _draw_never(axes: Axes, edge: float, place: float, n_runs: int, style: Style) -> None:
    axes.plot(edge, place + 0.18, marker="x", color=style.color, markersize=5, clip_on=False)
    axes.annotate(
        f"{n_runs} never",
        (edge, place + 0.18),
        textcoords="offset points",
        xytext=(-5, -2.5),
        ha="right",
        fontsize=7,
        color=style.color,
    )


def _draw_interval(
    axes: Axes, place: float, estimate: Estimate, style: Style, limit: float = math.inf
) -> None:
    value = float(estimate.value[0])
    low, high = float(estimate.low[0]), float(estimate.high[0])
    if not math.isnan(low):
        axes.plot(
            [min(low, limit), min(high, limit)],
            [place, place],
            color=style.color,
            linewidth=3,
            alpha=0.5,
            solid_capstyle="butt",
        )
    axes.plot(value, place, marker=style.marker, color=style.color, markersize=6)


def _panels(n: int, n_columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    n_columns = min(n, n_columns)
    figure, rows = new_figure(math.ceil(n / n_columns), n_columns, width, height)
    panels = [axes for row in rows for axes in row]
    for axes in panels[n:]:
        axes.set_visible(False)
    return figure, panels[:n]


def _legend(figure: Figure, panels: list[Axes]) -> None:
    handles = {
        label: handle
        for axes in panels
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = math.ceil(len(handles) / math.ceil(len(handles) / MOST_IN_A_LINE))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=columns)


def _width(n_panels: int) -> float:
    return 10.4 / min(n_panels, N_ROWS) if n_panels > 1 else 8


def _height(n_rows: int) -> float:
    return 0.9 + ROW_HEIGHT * max(n_rows, 2)
