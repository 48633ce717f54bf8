"""The report says of a walk what `gait.measure` says, and draws the theory where the walk is."""

import csv
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from envs.passive_walker import gait, pictures, trials
from envs.passive_walker.env import PassiveWalkerEnv
from envs.passive_walker.gait import passive_policy
from envs.passive_walker.rewards import TERMS

PICTURES = {"phases", "joints", "steps", "feet", "rewards"}


def walked(n_episodes=2, **options):
    """What a pipeline collects: records after each step, also of envs that reset themselves."""
    env = PassiveWalkerEnv(**{"seconds": 6.0, "pace": 0.01, **options})
    rows = []
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=episode)
        over = False
        while not over:
            action = passive_policy(observation[None])[0]
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            if over:
                env.reset()
            rows.append({**env.trajectory_record(), "rewards": reward, "episode": episode})
    return env, {name: np.array([row[name] for row in rows]) for name in rows[0]}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def falling(observations):
    """Falls from every slope and after every push."""
    return np.tile([1.0, 0.0, 0.0], (len(observations), 1))


def test_the_whole_report(tmp_path):
    env, arrays = walked()
    files = env.write_report(tmp_path / "new" / "folder", arrays, falling)
    assert files[0].name == "gait.html"
    names = {file.name for file in files}
    assert names == {f"gait_{name}.png" for name in PICTURES | {"survival"}} | {
        "gait.html",
        "gait_measures.csv",
        "gait_series.csv",
        "gait_survival.csv",
    }
    assert {path.name for path in files[0].parent.iterdir()} == names
    for file in files:
        if file.suffix == ".png":
            assert file.read_bytes().startswith(b"\x89PNG")
    survival = table(tmp_path / "new" / "folder" / "gait_survival.csv")
    assert {(row["kind"], float(row["level"])) for row in survival} == {
        *(("slope", level) for level in trials.SLOPES),
        *(("push", level) for level in trials.PUSHES),
    }
    assert {(row["survived"], row["of"]) for row in survival} == {("0", "10")}


def test_tables_are_the_measures(tmp_path):
    env, arrays = walked()
    page = env.write_report(tmp_path, arrays)[0].read_text()
    rows = table(tmp_path / "gait_measures.csv")
    assert len(rows) == 2
    for number, row in enumerate(rows):
        mine = {name: values[arrays["episode"] == number] for name, values in arrays.items()}
        measures = gait.measure(trials.walk_of(mine)).as_dict()
        assert int(row.pop("episode")) == number
        assert {name: str(value) for name, value in measures.items()} == row
    assert f"{measures['steps']} steps" in page
    assert "0.535" in page  # the theory's step length on 3 degrees, m
    assert "survive" not in page
    series = table(tmp_path / "gait_series.csv")
    assert len(series) == len(arrays["time"]) == 600
    last = series[299]  # of the first episode, though its env was reset before it was asked
    assert (last["episode"], float(last["time_s"])) == ("0", 6.0)
    total = sum(float(last[f"reward_{name}"]) for name in TERMS)
    assert total == pytest.approx(float(last["reward"]))


@pytest.mark.parametrize("degrees", [2.0, 4.0])
def test_the_passive_cycle_is_drawn_where_the_body_walks(degrees):
    walk = gait.passive_walk(degrees, 10.0)
    (axes,) = pictures.draw_phases(walk).axes
    legs = {line.get_label(): line.get_xydata() for line in axes.lines}
    theory = np.concatenate(
        [line.get_xydata() for line in axes.lines if line.get_linestyle() == "--"]
    )
    scale = np.array([0.1, 0.4])  # rad, rad/s: a tenth of the cycle's size
    for name in ("left leg", "right leg"):
        seen = legs[name][walk.time > 3.0]
        distance = np.linalg.norm((seen[:, None] - theory) / scale, axis=-1).min(axis=1)
        assert np.quantile(distance, 0.95) < 1.0


def test_where_there_is_no_passive_gait_it_says_so():
    (axes,) = pictures.draw_phases(gait.passive_walk(0.0, 3.0)).axes
    assert "no passive gait on this slope" in axes.get_legend_handles_labels()[1]
    assert pictures.passive_cycle(0.0) is None


def test_steps_are_drawn_with_their_mean():
    walk = gait.passive_walk(3.0, 15.0)
    measures = gait.measure(walk)
    lengths = pictures.draw_steps(walk, measures).axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in lengths.lines}
    both = np.concatenate([drawn["left"], drawn["right"]])
    assert len(both) == measures.steps - 1
    assert both.mean() == pytest.approx(measures.step_length, rel=0.02)
    assert drawn["passive gait"][0] == pytest.approx(0.53545, abs=1e-5)


def test_a_short_fall_can_be_reported(tmp_path):
    env = PassiveWalkerEnv()
    env.reset(seed=0)
    rows = []
    for _ in range(2):
        reward = env.step(np.array([1.0, 0.0, 0.0]))[1]
        rows.append({**env.trajectory_record(), "rewards": reward, "episode": 0})
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    env.write_report(tmp_path, arrays)
    (row,) = table(tmp_path / "gait_measures.csv")
    assert float(row["seconds"]) == pytest.approx(0.02)
    assert math.isnan(float(row["step_length"]))
    with pytest.raises(ValueError, match="at least two steps"):
        env.write_report(tmp_path, {name: values[:1] for name, values in arrays.items()})


def test_bad_arrays_are_named(tmp_path):
    env, arrays = walked(1, seconds=1.0)
    with pytest.raises(ValueError, match="needs the arrays touch too"):
        env.write_report(tmp_path, {k: v for k, v in arrays.items() if k != "touch"})
    with pytest.raises(ValueError, match="qvel must be as long as episode, 50"):
        env.write_report(tmp_path, {**arrays, "qvel": arrays["qvel"][1:]})


def test_it_needs_no_toolkit_and_no_display():
    code = (
        "import sys, envs.passive_walker.report\n"
        "unwanted = {'stable_baselines3', 'torch', 'sb3_ext', 'matplotlib.pyplot'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "[]\n", result.stderr


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch):
    page = Path(__file__).parents[3] / "docs" / "passive-walker.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    ran = {}
    exec(compile(example, str(page), "exec"), ran)
    assert {episode.end for episode in ran["episodes"]} == {"time limit"}
    assert ran["files"][0].name == "gait.html"
