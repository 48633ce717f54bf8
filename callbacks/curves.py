"""The training curve as a picture: return against steps, with the evaluations."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback

from callbacks.checkpoint import save_atomically


def draw_curve(folder: str | os.PathLike[str], title: str = "") -> Path | None:
    """Draws ``curve.png`` of a run from its ``monitor.csv`` and ``evaluations.npz``.

    Args:
        folder: The run's folder.
        title: Stands above the picture.

    Returns:
        The picture's path, or None where the run has finished no episode yet.
    """
    run = Path(folder)
    steps, returns = read_episodes(run / "monitor.csv")
    evaluations = _read_evaluations(run / "evaluations.npz")
    if not len(steps) and evaluations is None:
        return None

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # a picture without pyplot, which would look for a display
    axes = figure.add_subplot()
    if len(steps):
        window = smoothing_window(len(steps))
        axes.plot(steps, returns, ".", color="tab:blue", alpha=0.25, markersize=2, rasterized=True)
        mean = smoothed(returns, window)
        axes.plot(steps, mean, color="tab:blue", label=f"training (mean of {window} episodes)")
    if evaluations is not None:
        at, results = evaluations
        mean, spread = results.mean(axis=1), results.std(axis=1)
        axes.fill_between(at, mean - spread, mean + spread, color="tab:orange", alpha=0.2)
        axes.plot(at, mean, "o-", color="tab:orange", markersize=3, label="evaluation (± std)")
    axes.set(xlabel="steps", ylabel="return per episode", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    path = run / "curve.png"
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    save_atomically(path, lambda file: file.write(picture.getvalue()))
    return path


def smoothing_window(n_episodes: int) -> int:
    """How many episodes a curve's points are the mean of: a fiftieth of all, at most 500."""
    return int(np.clip(n_episodes // 50, 1, 500))


def smoothed(values: np.ndarray, window: int | None = None) -> np.ndarray:
    """Means of as many neighbors, fewer at both ends.

    Args:
        values: In order of time, ``[n]``.
        window: Of how many; by default :func:`smoothing_window`.
    """
    window = window or smoothing_window(len(values))
    return pd.Series(values).rolling(window, min_periods=1, center=True).mean().to_numpy()


def read_episodes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads SB3's monitor file.

    Returns:
        Steps at which each episode ended and its return, both ``[n_episodes]``.
    """
    if not path.is_file():
        return np.empty(0), np.empty(0)
    table = pd.read_csv(path, comment="#")
    return table["l"].cumsum().to_numpy(), table["r"].to_numpy()


def _read_evaluations(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    if not path.is_file():
        return None
    with np.load(path) as file:
        return file["timesteps"], file["results"]


class CurveCallback(BaseCallback):
    """Draws the run's ``curve.png`` when training ends, however it ends.

    Args:
        folder: The run's folder with ``monitor.csv`` and, if there is one, ``evaluations.npz``.
        title: Stands above the picture.
        every: Also redraw every so many steps; None draws at the end only.
    """

    def __init__(
        self, folder: str | os.PathLike[str], title: str = "", every: int | None = None
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.title = title
        self.every = every
        self._next = every or 0

    def _on_step(self) -> bool:
        if self.every is not None and self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            draw_curve(self.folder, self.title)
        return True

    def _on_training_end(self) -> None:
        draw_curve(self.folder, self.title)
