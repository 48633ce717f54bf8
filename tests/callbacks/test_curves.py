"""The curve is a picture of what monitor.csv and evaluations.npz hold."""

from pathlib import Path

import imageio.v3
import numpy as np
from stable_baselines3 import PPO

from callbacks import CurveCallback, draw_curve
from callbacks.curves import read_episodes


def write_monitor(folder: Path) -> None:
    rows = "".join(f"{i / 10},10,{i}\n" for i in range(100))
    (folder / "monitor.csv").write_text('#{"t_start": 0}\nr,l,t\n' + rows)


def test_reads_steps_and_returns(tmp_path: Path) -> None:
    write_monitor(tmp_path)
    steps, returns = read_episodes(tmp_path / "monitor.csv")
    assert (steps[0], steps[-1]) == (10, 1000)
    assert returns[-1] == 9.9


def test_draws_training_and_evaluation(tmp_path: Path) -> None:
    assert draw_curve(tmp_path) is None, "nothing to draw yet"
    write_monitor(tmp_path)
    blue = _pixels(draw_curve(tmp_path), (31, 119, 180))
    assert blue > 100
    np.savez(tmp_path / "evaluations.npz", timesteps=[500, 1000], results=[[1, 2], [3, 4]])
    path = draw_curve(tmp_path, "title")
    assert _pixels(path, (255, 127, 14)) > 100
    assert path is not None and path.name == "curve.png"


def _pixels(path: Path | None, color: tuple[int, int, int]) -> int:
    assert path is not None
    picture = imageio.v3.imread(path)[..., :3].astype(int)
    return int((abs(picture - color).sum(-1) < 30).sum())


def test_callback_draws_at_the_end(model: PPO, tmp_path: Path) -> None:
    write_monitor(tmp_path)
    model.learn(128, callback=CurveCallback(tmp_path, every=50))
    assert (tmp_path / "curve.png").is_file()
