"""``zoo.py compare``: a grid, whatever interrupts it, and runs that exist already."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from sb3_ext.zoo.cli import main
from tests.sb3_ext.zoo.comparison.records import write_run
from tests.sb3_ext.zoo.conftest import Zoo

ROOT = Path(__file__).resolve().parents[3]
CART = ("compare", "--algos", "ppo_numpy", "--env", "CartPole-v1")
FROM = ("compare", "--from", "runs")
FAILING = ("compare", "--gym-packages", "tests.sb3_ext.zoo.worlds", "--env", "Failing-v0")
GRID = (
    *("compare", "--algos", "ppo_numpy", "a2c", "--env", "CartPole-v1"),
    *(
        "-n",
        "600",
        "--final-eval-episodes",
        "3",
        "--eval-episodes",
        "2",
        "-params",
        "gamma:0.97",
        "--log-interval",
        "1",
    ),
)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "--algos", "ppo"), "--algos and --env are needed"),
        (("compare", "--env", "CartPole-v1"), "--algos and --env are needed"),
        (("compare", "--algos", "ppoo"), "unknown algorithm 'ppoo'; did you mean 'ppo'"),
        (("compare", "--algos"), "argument --algos: expected at least one argument"),
        ((*CART, "--algos", "ppo", "sac", "ppo"), "--algos: 'ppo' stands there twice"),
        ((*CART, "--env", "A-v0", "A-v0"), "--env: 'A-v0' stands there twice"),
        ((*CART, "--env", "CartPole-v1", "gymnasium:CartPole-v1"), "a world stands there twice"),
        (("compare", "--algos", "ppo", "--env", "CartPol-v1"), "did you mean 'CartPole-v1'"),
        ((*CART, "--algos", "sac"), "cannot build sac"),
        ((*CART, "--seeds", "0"), "--seeds 0: at least one seed is needed"),
        ((*CART, "--seeds", "3", "3"), "--seeds: 3 stands there twice"),
        ((*CART, "--seeds", "1", "-2"), "--seeds: -2 is no seed"),
        ((*CART, "--seeds", "1", str(2**32)), "is no seed"),
        ((*CART, "--seeds", "one"), "argument --seeds: invalid int value: 'one'"),
        ((*CART, "--n-jobs", "0"), "--n-jobs must be 1 to"),
        ((*CART, "--n-jobs", "10000"), "this machine's cores, not 10000"),
        ((*CART, "--n-jobs", "x"), "argument --n-jobs"),
        ((*CART, "--curves", "smooth"), "argument --curves"),
        ((*CART, "--threshold", "high"), "--threshold high: 'high' is not a number"),
        ((*CART, "--threshold", "nan"), "--threshold nan: 'nan' is not a number"),
        ((*CART, "--threshold", "Pole-v1:3"), "'Pole-v1' is not compared; did you mean"),
        ((*CART, "--threshold", "3", "CartPole-v1:4"), "--threshold: CartPole-v1 has two"),
        ((*CART, "TargetReach-v0", "--threshold", "3"), "Write e.g. CartPole-v1:3"),
        ((*CART, "-o", "file"), "'file' exists and holds no comparison"),
        ((*CART, "-o", "runs"), "'runs' exists and holds no comparison"),
        ((*CART, "-o", "file/out"), "cannot write to 'file/out'"),
        ((*CART, "--seed", "3"), "argument --seed: not here: --seeds takes the seeds"),
        ((*CART, "--algo", "ppo"), "argument --algo: not here: --algos takes the algorithms"),
        ((*CART, "-f", "x"), "argument -f: not here: -o/--output takes the folder"),
        ((*CART, "-tb", "x"), "argument -tb: not here"),
        ((*CART, "--resume", "x"), "argument --resume: not here"),
        ((*CART, "--sed", "3"), "unknown argument '--sed'; did you mean '--seeds'"),
        ((*CART, "--eval-frequency", "3"), "did you mean '--eval-freq'"),
        ((*CART, "-n", "0"), "n-timesteps must be at least 1"),
        ((*CART, "-params", "gama:1"), "'gama'; did you mean 'gamma'"),
        ((*CART, "-params", "gamma=1"), "expected key:value"),
        ((*CART, "--preset", "fast"), "no preset 'fast'"),
        ((*CART, "--num-threads", "9999"), "this machine has"),
        (("compare", "--from"), "argument --from: expected at least one argument"),
        (("compare", "--from", "nowhere"), "nowhere: no such folder"),
        (("compare", "--from", "empty"), "empty: no run here or below"),
        ((*FROM, "-n", "5"), "-n: --from trains nothing"),
        ((*FROM, "--n-jobs", "0"), "--n-jobs: --from trains nothing"),
        ((*FROM, "--algos", "sac"), "--algos: none of these runs is of sac (they are of ppo)"),
        ((*FROM, "--env", "Pendulum-v1"), "--env: none of these runs is of Pendulum-v1"),
        ((*FROM, "--seeds", "2"), "--seeds: none of these runs is of 1 (they are of 0)"),
        ((*FROM, "--threshold", "A-v0:3"), "--threshold A-v0:3: 'A-v0' is not compared"),
        ((*FROM, "-o", "empty/../runs"), "exists and holds no comparison"),
        (("compare", "--from", "broken"), "summary.json: cannot be read"),
        (("compare", "--from", "killed"), "nothing to report: killed/ppo/CartPole-v1_1 was inter"),
        (("compare", "--from", "bare", "--curves", "evaluation"), "has no evaluations.npz"),
    ],
)
def test_bad_input_is_one_line(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    write_run(tmp_path / "runs")
    write_run(tmp_path / "killed", interrupted=True)
    (write_run(tmp_path / "bare") / "evaluations.npz").unlink()
    (write_run(tmp_path / "broken") / "summary.json").write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    before = set(tmp_path.rglob("*"))
    result = zoo(*arguments)
    assert result.code == 2, result.err
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert set(tmp_path.rglob("*")) == before, "nothing is left behind"


def test_without_rliable_nothing_is_begun(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rliable", None)
    monkeypatch.delitem(sys.modules, "rliable.library", raising=False)
    result = zoo(*CART, "-n", "100")
    assert result.code == 2
    assert "pip install 'sb3_ext[plots]'" in result.err
    assert not list(tmp_path.iterdir())


def test_the_help_answers_at_once() -> None:
    code = (
        "import sys; from sb3_ext.zoo.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'numpy', 'torch', 'matplotlib', 'rliable'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    for command in ("compare", "plot"):
        answer = subprocess.run(
            [sys.executable, "-c", code, command, "--help"], cwd=ROOT, capture_output=True
        )
        assert answer.returncode == 0, answer.stderr


def test_from_runs(zoo: Zoo, tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "a", "ppo", seed=seed, level=100 + seed)
        write_run(tmp_path / "b", "sac", seed=seed, level=50)
    write_run(tmp_path / "b", "td3", interrupted=True)
    result = zoo("compare", "--from", "a", "b", "--threshold", "90", "--seeds", "3")
    assert result.code == 0, result.err
    assert "101.00  (100.00 to 102.00)" in result.out
    out = tmp_path / "logs/compare/report_1"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "b/td3/CartPole-v1_1 was interrupted after 1,000 steps" in page
    assert pd.read_csv(out / "finals.csv").threshold.tolist() == [90, 90]
    assert zoo("compare", "--from", "a", "--verbose", "0").out == ""
    assert (tmp_path / "logs/compare/report_2/report.html").is_file(), "the next one has its own"
    again = zoo("compare", "--from", "a", "b", "--algos", "sac", "ppo", "-o", str(out))
    assert again.code == 0, again.err
    assert pd.read_csv(out / "finals.csv").label.tolist() == ["sac", "ppo"], "as they were named"


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A grid of two algorithms and two seeds that has been run."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*GRID, "--seeds", "2"]) == 0
        yield folder / "logs/compare/CartPole-v1_1"


def summaries(grid: Path) -> dict[tuple[str, int], dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in grid.glob("*/*/summary.json")]
    return {(summary["algo"], summary["seed"]): summary for summary in found}


@pytest.mark.slow
def test_a_grid_and_its_report(grid: Path) -> None:
    assert set(summaries(grid)) == {(a, s) for a in ("ppo_numpy", "a2c") for s in (0, 1)}
    finals = pd.read_csv(grid / "finals.csv").set_index("label")
    assert finals.index.tolist() == ["ppo_numpy", "a2c"]
    assert finals.n_runs.tolist() == [2, 2]
    runs = pd.read_csv(grid / "runs.csv").set_index(["algo", "seed"])
    for key, summary in summaries(grid).items():
        assert runs.loc[key, "final_return"] == pytest.approx(summary["final_mean_return"])
        assert runs.loc[key, "steps_per_second"] == pytest.approx(summary["steps_per_second"])
    assert (grid / "report.html").stat().st_size > 50_000
    assert len(list(grid.glob("*.png"))) == 5
    assert not list(grid.glob("output/*/*.lock"))


@pytest.mark.slow
def test_runs_are_one_thread_each_and_are_told_how(grid: Path) -> None:
    for path in grid.glob("*/*/CartPole-v1/args.yml"):
        arguments = yaml.safe_load(path.read_text())
        assert arguments["num_threads"] == 1
        assert arguments["hyperparams"] == {"gamma": 0.97}
    (command, *_) = grid.glob("a2c/*/CartPole-v1/command.txt")
    assert "-m sb3_ext.zoo train --workers 0 -n 600" in command.read_text(), (
        "of use without the grid"
    )
    (output, *_) = grid.glob("output/CartPole-v1/a2c_seed0.txt")
    assert "a2c on CartPole-v1, seed 0" in output.read_text()


@pytest.mark.slow
def test_tensorboard_shows_all_runs_under_the_same_tags(grid: Path) -> None:
    events = EventMultiplexer().AddRunsFromDirectory(str(grid / "tb"))
    events.Reload()
    runs = events.Runs()
    assert set(runs) == {f"CartPole-v1/{a}_seed{s}" for a in ("ppo_numpy", "a2c") for s in (0, 1)}
    for tags in runs.values():
        assert {"rollout/ep_rew_mean", "eval/mean_reward", "time/fps"} <= set(tags["scalars"])


@pytest.mark.slow
def test_what_is_done_is_not_done_again(
    grid: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(grid, tmp_path / "grid")
    before = {path: path.stat().st_mtime_ns for path in copy.glob("*/*/summary.json")}
    assert main([*GRID, "--algos", "ppo_numpy", "--seeds", "1", "7", "-o", str(copy)]) == 0
    out = capfd.readouterr()
    assert "2 runs, 1 of them done already" in out.out
    assert "finished  ppo_numpy on CartPole-v1, seed 7" in out.err
    after = {path: path.stat().st_mtime_ns for path in copy.glob("*/*/summary.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("-n", "500"), "n_timesteps: 600 there, 500 here"),
        (("--eval-freq", "100"), "eval_freq: the default there, 100 here"),
        (("--env", "CartPole-v1", "Acrobot-v1"), "it compares on CartPole-v1"),
    ],
)
def test_another_command_leaves_a_grid_alone(
    grid: Path, capfd: pytest.CaptureFixture[str], change: tuple[str, ...], told: str
) -> None:
    before = set(grid.rglob("*"))
    assert main([*GRID, *change, "--seeds", "1", "-o", str(grid)]) == 2
    error = capfd.readouterr().err
    assert f"holds another comparison ({told})" in error
    assert error.count("\n") == 1
    assert set(grid.rglob("*")) == before


@pytest.mark.slow
def test_hyperparameters_that_have_changed_meanwhile(
    grid: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = grid.with_name("copy")
    shutil.copytree(grid, copy)
    (config, *_) = copy.glob("a2c/*/CartPole-v1/config.yml")
    config.write_text(config.read_text().replace("gamma: 0.97", "gamma: 0.98"))
    assert main([*GRID, "--seeds", "2", "-o", str(copy)]) == 2
    assert "was trained with other hyperparameters of a2c" in capfd.readouterr().err


@pytest.mark.slow
def test_a_grid_in_which_nothing_works_leaves_nothing(zoo: Zoo, tmp_path: Path) -> None:
    broken = ("--env-kwargs", "fails:reset", "--algos", "ppo_numpy", "--seeds", "3")
    result = zoo(*FAILING, *broken, "--n-jobs", "1", "--verbose", "0")
    assert result.code == 2
    assert "ppo_numpy on Failing-v0, seed 0: cannot train" in result.err
    assert "no simulator in reset" in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the runs' processes in /proc")
def test_killed_runs_and_a_killed_grid_go_on_where_they_were(zoo: Zoo, tmp_path: Path) -> None:
    arguments = [
        *("compare", "--algos", "ppo_numpy", "--env", "SimpleAim-v0", "--seeds", "2"),
        *("-n", "36000", "--save-freq", "3000", "--eval-freq", "-1", "--final-eval-episodes", "5"),
        *("--n-jobs", "2", "-o", "grid"),
    ]
    if (os.cpu_count() or 1) < 2:
        pytest.skip("two runs at a time need two cores")
    command = [sys.executable, "-m", "sb3_ext.zoo", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told, runs = tmp_path / "told", tmp_path / "grid/ppo_numpy"
    with (
        told.open("w") as stderr,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=stderr) as compare,
    ):
        wait(lambda: all(list(runs.glob(f"*_{n}/rl_model_*.zip")) for n in (1, 2)))
        first, second = children(compare.pid)
        os.kill(second, signal.SIGSTOP)  # lest it come to its end meanwhile
        os.kill(first, signal.SIGKILL)
        wait(lambda: "killed by SIGKILL" in told.read_text())
        compare.kill()
        os.kill(second, signal.SIGCONT)
        wait(lambda: not Path(f"/proc/{second}").exists())
    assert len(list(runs.glob("*/summary.json"))) == 1, "the other one has saved what it had"
    result = zoo(*arguments)
    assert result.code == 0, result.err
    assert result.err.count("goes on   ppo_numpy") == 2
    found = summaries(tmp_path / "grid")
    for seed in (0, 1):
        assert [part["inexact"] for part in found["ppo_numpy", seed]["resumed"]] == [[]]
        straight = ("--algo", "ppo_numpy", "--env", "SimpleAim-v0", "-n", "36000")
        rest = ("--seed", str(seed), "--eval-freq", "-1", "--final-eval-episodes", "0")
        assert zoo(*straight, *rest, "--verbose", "0", "-f", f"straight{seed}").code == 0
        (other,) = summaries(tmp_path / f"straight{seed}").values()
        assert found["ppo_numpy", seed]["parameters_sha256"] == other["parameters_sha256"]


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
