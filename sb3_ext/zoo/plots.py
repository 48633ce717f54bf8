"""``zoo.py plot``: the training of one run, or of many side by side, as a picture."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from callbacks.curves import smoothed, smoothing_window
from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.history import History, find_runs, read_history
from sb3_ext.zoo.styles import (
    FORMATS,
    SETTINGS,
    Style,
    new_figure,
    save_picture,
    styles,
    thousands,
)

# More runs than these are told apart by their algorithm only.
MOST_NAMED = 7
UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))
EPISODE_COLUMNS = {"reward": "return", "length": "length", "success": "success"}
Y_LABELS = {
    "reward": "return of training episodes",
    "evaluation": "return of evaluations",
    "length": "steps of training episodes",
    "success": "success rate in training",
}


@dataclass(frozen=True)
class Line:
    """A run in the picture.

    Attributes:
        run: Its records.
        label: Stands in the legend.
        style: How it is drawn.
    """

    run: History
    label: str
    style: Style


def plot(args: argparse.Namespace) -> int:
    """Draws the runs that were asked for into a file.

    Raises:
        ZooError: If there is nothing to draw, or nowhere to draw it to; nothing is written then.
    """
    path = _output(args.output)
    for flag, value in (("-w", args.episode_window), ("-max", args.max_timesteps)):
        if value is not None and value < 1:
            raise ZooError(f"{flag} must be at least 1, not {value}")
    runs = _drawable(_chosen(args), args.max_timesteps)
    figure = draw(runs, args.y_axis, args.x_axis, args.episode_window)
    try:
        save_picture(figure, path)
    except OSError as error:
        raise ZooError(f"-o/--output: cannot write {str(path)!r} ({error.strerror})") from error
    if args.verbose > 0:
        print(f"{len(runs)} run{'s' if len(runs) > 1 else ''} drawn into {path}")
    return 0


def _output(text: str) -> Path:
    path = Path(text)
    if path.suffix[1:].lower() not in FORMATS:
        raise ZooError(
            f"-o/--output: {text!r} must end in {', '.join('.' + name for name in FORMATS)}"
        )
    if not path.parent.is_dir():
        raise ZooError(f"-o/--output: there is no folder {str(path.parent)!r}")
    return path


def _chosen(args: argparse.Namespace) -> list[History]:
    runs = [read_history(folder) for folder in find_runs(args.runs or [args.log_folder])]
    env_ids = [env.rpartition(":")[2] for env in args.env]
    filters: list[tuple[str, list[str], Callable[[History], str]]] = [
        ("--algo", args.algo, lambda run: run.algo),
        ("--env", env_ids, lambda run: run.env_id),
    ]
    for flag, asked, of in filters:
        there = {of(run) for run in runs}
        for value in asked:
            if value not in there:
                raise ZooError(
                    f"{flag}: there is no run of {value} (there are of: "
                    f"{', '.join(sorted(there)) or 'none'}){nearest(value, there)}"
                )
        runs = [run for run in runs if not asked or of(run) in asked]
    if not runs:
        raise ZooError("--algo, --env: no run is of these together")
    return runs


def _drawable(runs: list[History], n_steps: int | None) -> list[History]:
    within = runs if n_steps is None else [run.until(n_steps) for run in runs]
    drawable = [run for run in within if len(run.episodes) or run.evaluations is not None]
    if not drawable:
        when = "yet" if n_steps is None else f"in the first {n_steps:,} steps"
        raise ZooError(f"{runs[0].folder}: no episode ended {when}")
    return drawable


def draw(
    runs: Sequence[History],
    measures: Sequence[str] = (),
    x_axis: str = "steps",
    window: int | None = None,
) -> Figure:
    """Draws runs: a column of panels for each world, a row for each measure.

    Args:
        runs: What to draw.
        measures: Of ``reward``, ``evaluation``, ``length``, ``success``; by default the first
            three, as far as a run has them.
        x_axis: ``steps``, ``episodes`` or ``time``.
        window: Over how many episodes training is smoothed; by default a fiftieth of a run's.

    Raises:
        ZooError: If no run has a measure that was asked for.
    """
    rows = [measure for measure in ("reward", "evaluation", "length") if _has(runs, measure)]
    for measure in measures:
        if not _has(runs, measure):
            raise ZooError(f"-y {measure}: no run among these has it")
    rows = list(measures) or rows
    env_ids = list(dict.fromkeys(run.env_id for run in runs))
    unit = _unit(runs) if x_axis == "time" else (1.0, "")
    lines = _lines(runs)
    with rc_context(SETTINGS):
        width, height = (8.0, 3.0) if len(env_ids) == 1 else (5.2, 2.6)
        figure, panels = new_figure(len(rows), len(env_ids), width, height, share_x=True)
        for measure, row in zip(rows, panels, strict=True):
            for env_id, axes in zip(env_ids, row, strict=True):
                here = [line for line in lines if line.run.env_id == env_id]
                _draw_panel(axes, here, measure, (x_axis, *unit), window, alone=len(here) == 1)
                axes.set_title(env_id if row is panels[0] else "")
        for axes in panels[-1]:
            axes.set_xlabel(f"time since the run began ({unit[1]})" if unit[1] else x_axis)
        _legend(figure, panels)
    return figure


def _has(runs: Sequence[History], measure: str) -> bool:
    if measure == "evaluation":
        return any(run.evaluations is not None for run in runs)
    column = EPISODE_COLUMNS[measure]
    return any(len(run.episodes) and column in run.episodes for run in runs)


def _unit(runs: Sequence[History]) -> tuple[float, str]:
    longest = max((run.episodes["seconds"].max() for run in runs if len(run.episodes)), default=0)
    return next(((size, name) for size, name in UNITS if longest >= 2 * size), UNITS[-1])


def _lines(runs: Sequence[History]) -> list[Line]:
    """A style for each run, or, where they are many, for each algorithm."""
    if len(runs) > MOST_NAMED:
        look = styles(dict.fromkeys(run.algo for run in runs))
        return [Line(run, run.algo, look[run.algo]) for run in runs]
    if len({run.algo for run in runs}) == len(runs):
        look = styles([run.algo for run in runs])
        return [Line(run, run.name, look[run.algo]) for run in runs]
    names = Counter((run.env_id, run.name) for run in runs)
    labels = [run.name if names[run.env_id, run.name] == 1 else str(run.folder) for run in runs]
    look = styles(f" {label}" for label in labels)  # no algorithm's own: several are of one
    return [Line(run, label, look[f" {label}"]) for run, label in zip(runs, labels, strict=True)]


def _draw_panel(
    axes: Axes,
    lines: list[Line],
    measure: str,
    x_axis: tuple[str, float, str],
    window: int | None,
    *,
    alone: bool,
) -> None:
    axes.set_ylabel(Y_LABELS[measure])
    axes.xaxis.set_major_formatter(thousands)
    for line in lines:
        if measure == "evaluation":
            _draw_evaluations(axes, line, x_axis, alone=alone)
        else:
            _draw_episodes(axes, line, EPISODE_COLUMNS[measure], x_axis, window, alone=alone)


def _draw_episodes(
    axes: Axes,
    line: Line,
    column: str,
    x_axis: tuple[str, float, str],
    window: int | None,
    *,
    alone: bool,
) -> None:
    episodes = line.run.episodes
    if episodes.empty or column not in episodes:
        return
    kind, unit, _ = x_axis
    x = {
        "steps": episodes["steps"].to_numpy(),
        "episodes": np.arange(1, len(episodes) + 1),
        "time": episodes["seconds"].to_numpy() / unit,
    }[kind]
    values = episodes[column].to_numpy(dtype=float)
    if alone and column != "success":
        axes.plot(
            x, values, ".", color=line.style.color, alpha=0.3, markersize=2.5, rasterized=True
        )
    window = window or smoothing_window(len(values))
    label = f"{line.label} (mean of {window} episodes)" if alone else line.label
    axes.plot(
        x,
        smoothed(values, window),
        color=line.style.color,
        linestyle=line.style.linestyle,
        linewidth=1.4,
        label=label,
    )


def _draw_evaluations(
    axes: Axes, line: Line, x_axis: tuple[str, float, str], *, alone: bool
) -> None:
    evaluations = line.run.evaluations
    if evaluations is None:
        return
    kind, unit, _ = x_axis
    x: np.ndarray | None = evaluations.steps
    if kind == "episodes":
        x = np.searchsorted(line.run.episodes["steps"], evaluations.steps, side="right")
    elif kind == "time":
        seconds = line.run.seconds_at(evaluations.steps)
        x = None if seconds is None else seconds / unit
    if x is None:
        return
    mean, spread = evaluations.returns.mean(axis=1), evaluations.returns.std(axis=1)
    style = line.style
    if alone:
        axes.fill_between(x, mean - spread, mean + spread, color=style.color, alpha=0.18)
    axes.plot(
        x,
        mean,
        color=style.color,
        linestyle=style.linestyle,
        marker=style.marker,
        markersize=3,
        linewidth=1.4,
        label=f"{line.label} (± std over episodes)" if alone else line.label,
    )


def _legend(figure: Figure, panels: list[list[Axes]]) -> None:
    """One legend for all panels where lines are told apart by it, else one in each."""
    per_panel = [axes.get_legend_handles_labels() for row in panels for axes in row]
    if all(len(labels) <= 1 for _, labels in per_panel):
        for row in panels:
            for axes in row:
                if axes.get_legend_handles_labels()[1]:
                    axes.legend(loc="best")
        return
    handles = {label: handle for found in per_panel for handle, label in zip(*found, strict=True)}
    columns = min(len(handles), 4)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=columns)
