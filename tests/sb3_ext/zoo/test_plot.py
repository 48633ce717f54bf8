"""``zoo.py plot``: what is drawn is what the runs hold."""

from pathlib import Path

import imageio.v3
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sb3_ext.zoo.history import find_runs, read_history
from sb3_ext.zoo.plots import MOST_NAMED, draw
from sb3_ext.zoo.styles import COLORS
from tests.sb3_ext.zoo.comparison.records import write_run
from tests.sb3_ext.zoo.conftest import Zoo


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_one_run_into_a_file(zoo: Zoo, tmp_path: Path, ending: str) -> None:
    run = write_run(tmp_path / "logs")
    result = zoo("plot", run, "-o", f"curve.{ending}")
    assert result.code == 0, result.err
    assert "1 run drawn into curve." in result.out
    content = (tmp_path / f"curve.{ending}").read_bytes()
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending])


def test_a_picture_has_the_runs_colors(zoo: Zoo, tmp_path: Path) -> None:
    write_run(tmp_path / "logs", "ppo")
    write_run(tmp_path / "logs", "ppo_numpy")
    assert zoo("plot", "logs", "--verbose", "0").out == ""
    picture = imageio.v3.imread(tmp_path / "plot.png")[..., :3].astype(int)
    for color in COLORS[:2]:
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (abs(picture - rgb).sum(-1) < 20).sum() > 100
    first = (tmp_path / "plot.png").read_bytes()
    zoo("plot", "logs")
    assert (tmp_path / "plot.png").read_bytes() == first, "equal pictures are equal files"


def figure(
    folder: Path, *measures: str, x_axis: str = "steps", window: int | None = None
) -> Figure:
    runs = [read_history(path) for path in find_runs([str(folder)])]
    return draw(runs, measures, x_axis, window)


def test_what_is_drawn_over_steps(tmp_path: Path) -> None:
    write_run(tmp_path, level=100)
    rewards, evaluations, lengths = figure(tmp_path, window=1).axes
    assert [axes.get_ylabel() for axes in (rewards, evaluations, lengths)] == [
        "return of training episodes",
        "return of evaluations",
        "steps of training episodes",
    ]
    points, line = rewards.lines
    for drawn in (points, line):
        assert drawn.get_xdata() == pytest.approx(np.arange(10, 1001, 10))
        assert drawn.get_ydata() == pytest.approx(np.arange(1, 101))
    (line,) = evaluations.lines
    assert list(line.get_xdata()) == [200, 400, 600, 800, 1000]
    assert line.get_ydata() == pytest.approx([20, 40, 60, 80, 100])
    assert set(lengths.lines[1].get_ydata()) == {10}
    assert lengths.get_xlabel() == "steps"


def test_over_episodes_and_time(tmp_path: Path) -> None:
    write_run(tmp_path)
    rewards, evaluations = figure(tmp_path, "reward", "evaluation", x_axis="episodes").axes
    assert rewards.lines[1].get_xdata()[[0, -1]].tolist() == [1, 100]
    assert list(evaluations.lines[0].get_xdata()) == [20, 40, 60, 80, 100]
    rewards, evaluations = figure(tmp_path, "reward", "evaluation", x_axis="time").axes
    assert rewards.lines[1].get_xdata()[-1] == pytest.approx(10)
    assert evaluations.lines[0].get_xdata() == pytest.approx([2, 4, 6, 8, 10])
    assert evaluations.get_xlabel() == "time since the run began (s)"


def test_a_window_smooths(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    table = pd.read_csv(run / "monitor.csv", comment="#")
    (axes,) = figure(tmp_path, "reward", window=11).axes
    expected = table["r"].rolling(11, center=True, min_periods=1).mean()
    assert axes.lines[1].get_ydata() == pytest.approx(expected)
    assert "mean of 11 episodes" in str(axes.lines[1].get_label())


def test_success_is_drawn_where_a_world_tells_it(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    rows = "".join(f"1,10,{i},{i % 2}\n" for i in range(1, 101))
    (run / "monitor.csv").write_text('#{"t_start": 0}\nr,l,t,is_success\n' + rows)
    (axes,) = figure(tmp_path, "success", window=100).axes
    assert axes.lines[0].get_ydata()[50] == pytest.approx(0.5)


def test_worlds_side_by_side(tmp_path: Path) -> None:
    write_run(tmp_path, "ppo", "A-v0")
    write_run(tmp_path, "sac", "A-v0")
    write_run(tmp_path, "ppo", "B-v0")
    a, b = figure(tmp_path, "reward").axes
    assert (a.get_title(), b.get_title()) == ("A-v0", "B-v0")
    assert (len(a.lines), len(b.lines)) == (2, 2), "a run alone is drawn with its episodes"


def test_many_runs_are_told_apart_by_their_algorithm(tmp_path: Path) -> None:
    for seed in range(MOST_NAMED):
        write_run(tmp_path, "ppo", seed=seed)
    few = figure(tmp_path, "reward")
    labels = [text.get_text() for text in few.legends[0].get_texts()]
    assert labels == [f"ppo_{n + 1}" for n in range(MOST_NAMED)]
    write_run(tmp_path, "sac")
    many = figure(tmp_path, "reward")
    assert [text.get_text() for text in many.legends[0].get_texts()] == ["ppo", "sac"]
    assert len(many.axes[0].lines) == MOST_NAMED + 1


def test_names_as_in_tensorboard(tmp_path: Path) -> None:
    write_run(tmp_path, args={"tb_log_name": "ppo_seed5"})
    (axes,) = figure(tmp_path, "reward").axes
    assert str(axes.lines[1].get_label()).startswith("ppo_seed5")


def test_runs_of_one_name_are_told_by_their_folders(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in "ab"]
    legend = figure(tmp_path, "reward").legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [str(run) for run in runs]


def test_filters_and_first_steps(zoo: Zoo, tmp_path: Path) -> None:
    write_run(tmp_path / "logs", "ppo")
    write_run(tmp_path / "logs", "sac")
    assert "1 run drawn" in zoo("plot", "--algo", "sac").out
    assert "2 runs drawn" in zoo("plot", "--env", "CartPole-v1", "-max", "100").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs", "-o", "x.jpg"), "-o/--output: 'x.jpg' must end in .png, .svg, .pdf"),
        (("runs", "-o", "x"), "must end in"),
        (("runs", "-o", "no/x.png"), "there is no folder 'no'"),
        (("runs", "-o", "runs.png"), "cannot write 'runs.png'"),
        (("runs", "-w", "0"), "-w must be at least 1, not 0"),
        (("runs", "-w", "x"), "argument -w/--episode-window"),
        (("runs", "-max", "0"), "-max must be at least 1, not 0"),
        (("runs", "-max", "5"), "no episode ended in the first 5 steps"),
        (("runs", "-x", "hours"), "argument -x/--x-axis"),
        (("runs", "-y", "loss"), "argument -y/--y-axis"),
        (("runs", "-y", "success"), "-y success: no run among these has it"),
        (("runs", "--algo", "sac"), "--algo: there is no run of sac (there are of: ppo)"),
        (("runs", "--algo", "ppoo"), "unknown algorithm 'ppoo'; did you mean 'ppo'"),
        (("runs", "--env", "CartPol-v1"), "did you mean 'CartPole-v1'"),
        (("nowhere",), "nowhere: no such folder"),
        (("empty",), "empty: no run here or below"),
        (("--algo", "ppo"), "logs: no such folder"),
        (("runs", "--outputt", "x"), "unknown argument '--outputt'; did you mean '--output'"),
        (("new",), "new/ppo/CartPole-v1_1: no episode ended yet"),
    ],
)
def test_bad_input_is_one_line(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_run(tmp_path / "runs")
    new = write_run(tmp_path / "new")
    (new / "monitor.csv").write_text('#{"t_start": 0}\nr,l,t\n')
    (new / "evaluations.npz").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs.png").mkdir()
    before = set(tmp_path.rglob("*"))
    result = zoo("plot", *arguments)
    assert result.code == 2, result.err
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert set(tmp_path.rglob("*")) == before
