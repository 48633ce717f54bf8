"""A study: what it finds can be trained again, and killing it costs no more than what was running.

Trainings are short; what is asked is not how good they are but whether the figures agree.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import optuna
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from sb3_ext.zoo import hyperparams
from sb3_ext.zoo.tuning import apply
from sb3_ext.zoo.tuning.storage import Place, load_study
from tests.sb3_ext.zoo.conftest import Result, Zoo
from tests.sb3_ext.zoo.worlds import FailsEveryOther, PressesCtrlC

ROOT = Path(__file__).resolve().parents[3]
REACH = ("--algo", "ppo_numpy", "--env", "TargetReach-v0")
SHORT = (*REACH, "-n", "256", "--seed", "1", "--no-optim-plots", "--final-eval-episodes", "3")
NAMED = ("--study-name", "s")


def trials(folder: Path, algo: str = "ppo_numpy", env: str = "TargetReach-v0") -> list[FrozenTrial]:
    place = folder / "logs/tune" / algo / env
    found = load_study(Place(str(place / "s.journal"), "s", place / "s", given=False))
    if found is None:  # its process has only just begun the journal
        return []
    return found[0].trials


def values(trials: list[FrozenTrial]) -> list[float | None]:
    return [trial.value for trial in trials]


def states(trials: list[FrozenTrial]) -> list[str]:
    return [trial.state.name for trial in trials]


@pytest.mark.slow
def test_a_study_and_all_it_leaves(zoo: Zoo, tmp_path: Path) -> None:
    result = zoo(
        "tune", *REACH, "-n", "512", "--n-trials", "4", "--n-seeds", "2", "--seed", "1", *NAMED
    )
    assert (result.code, result.err) == (0, "")
    done = trials(tmp_path)
    assert states(done) == ["COMPLETE"] * 4
    for trial in done:
        assert trial.value == pytest.approx(fmean(trial.user_attrs["returns"]))
        assert f"trial {trial.number}: {trial.value:.2f} ± " in result.out
    assert done[0].user_attrs["hyperparams"] == hyperparams.find_entry(
        "ppo_numpy", "TargetReach-v0"
    ).values | {"n_timesteps": 512}
    best = max(done, key=lambda trial: trial.value or 0.0)

    folder = tmp_path / "logs/tune/ppo_numpy/TargetReach-v0/s"
    entry = yaml.safe_load((folder / "best.yml").read_text())
    assert entry == {"TargetReach-v0": best.user_attrs["hyperparams"]}
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert [float(row["value"]) for row in rows] == pytest.approx(values(done))
    for name in ("history", "importances", "slices"):
        with Image.open(folder / f"{name}.png") as image:
            assert image.width > 600
            assert len(image.convert("L").getcolors() or range(999)) > 20, "an empty picture"
        page = (folder / f"{name}.html").read_text()
        assert "mean return" in page
        assert 'src="plotly.min.js"' in page, "pages need no network"
    assert (folder / "plotly.min.js").stat().st_size > 1e6
    assert "trial 0" in result.out
    assert f"the best, trial {best.number}:" in result.out

    flags = ("--seed", "1", "--verbose", "0", "--final-eval-episodes", "1")
    again = zoo(*REACH, "-conf", folder / "best.yml", *flags)
    assert again.code == 0
    config = yaml.safe_load(
        (tmp_path / "logs/ppo_numpy/TargetReach-v0_1/TargetReach-v0/config.yml").read_text()
    )
    assert config == best.user_attrs["hyperparams"]


@pytest.mark.parametrize(
    ("algo", "env", "params"),
    [
        ("ppo_numpy", "TargetReach-v0", ("gamma:0.9",)),
        ("ppo", "CartPole-v1", ("normalize:True", "n_envs:2", "n_steps:64", "batch_size:64")),
    ],
)
def test_a_trial_trained_again_scores_the_same(
    zoo: Zoo, tmp_path: Path, algo: str, env: str, params: tuple[str, ...]
) -> None:
    world = ("--algo", algo, "--env", env)
    short = ("--final-eval-episodes", "4", "--seed", "3")
    plan = ("-n", "256", "-params", *params, "--n-trials", "3", "--no-optim-plots")
    tuned = zoo("tune", *world, *NAMED, *short, *plan)
    assert tuned.code == 0, tuned.err
    done = trials(tmp_path, algo, env)
    best = max(done, key=lambda trial: trial.value or float("-inf"))
    for i, (chosen, trial) in enumerate((("0", done[0]), ("best", best)), start=1):
        result = zoo(*world, *NAMED, *short, "--trial-id", chosen)
        assert result.code == 0, result.err
        assert f"entry 'trial {trial.number} of s'" in result.out
        run = tmp_path / f"logs/{algo}/{env}_{i}"
        summary = json.loads((run / "summary.json").read_text())
        assert summary["final_mean_return"] == pytest.approx(trial.value, abs=1e-9)
        config = yaml.safe_load((run / env / "config.yml").read_text())
        assert config == trial.user_attrs["hyperparams"]


def test_equal_seeds_give_equal_studies_and_others_others(zoo: Zoo, tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        flags = (*SHORT, "--n-trials", "3", "--seed", seed, "--log-folder", name, *NAMED)
        assert zoo("tune", *flags).code == 0
        (tmp_path / name).rename(tmp_path / "logs")
        found.append([(trial.params, trial.value) for trial in trials(tmp_path)])
        (tmp_path / "logs").rename(tmp_path / f"{name}_done")
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_study_that_is_gone_on_with_is_what_it_would_have_been(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo("tune", *SHORT, "--n-trials", "4", "--log-folder", "whole", *NAMED).code == 0
    assert zoo("tune", *SHORT, "--n-trials", "1", *NAMED).code == 0
    # What the second does not say is the study's.
    result = zoo("tune", *REACH, "--max-total-trials", "4", "--no-optim-plots", *NAMED)
    assert result.code == 0, result.err
    assert ", 1 trials so far" in result.out
    halves = trials(tmp_path)
    (tmp_path / "logs").rename(tmp_path / "halves")
    (tmp_path / "whole").rename(tmp_path / "logs")
    whole = trials(tmp_path)
    assert [trial.params for trial in halves] == [trial.params for trial in whole]
    assert values(halves) == values(whole)


def test_trials_that_fail_are_recorded_and_end_nothing(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailsEveryOther, "trainings", 0)
    callback = "callback:tests.sb3_ext.zoo.worlds.FailsEveryOther"
    result = zoo("tune", *SHORT, *NAMED, "--n-trials", "4", "-params", callback)
    assert result.code == 0, result.err
    done = trials(tmp_path)
    assert states(done) == ["COMPLETE", "FAIL", "COMPLETE", "FAIL"]
    assert done[1].user_attrs["error"] == "RuntimeError: no luck this time"
    assert "trial 1: failed (RuntimeError: no luck this time)" in result.out
    assert "failed 2x: RuntimeError: no luck this time" in result.out


def test_a_study_in_which_all_fail_says_so(zoo: Zoo, tmp_path: Path) -> None:
    result = zoo("tune", *SHORT, *NAMED, "--n-trials", "2", "-params", "learning_rate:1e30")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "no trial of s came to its end" in result.err
    assert states(trials(tmp_path)) == ["FAIL", "FAIL"]


def test_hopeless_trials_are_pruned(zoo: Zoo, tmp_path: Path) -> None:
    flags = ("--n-seeds", "2", "--n-evaluations", "4", "--pruner", "halving", "--n-trials", "8")
    result = zoo("tune", *SHORT, *NAMED, *flags)
    assert result.code == 0, result.err
    done = trials(tmp_path)
    pruned = [trial for trial in done if trial.state == TrialState.PRUNED]
    assert 0 < len(pruned) < 8
    for trial in pruned:
        last = max(trial.intermediate_values)
        assert last < 8, "nothing would be left to save"
        assert f"trial {trial.number}: pruned at " in result.out
    for trial in done:
        if trial.state == TrialState.COMPLETE:
            assert sorted(trial.intermediate_values) == list(range(1, 9))
            first, second = trial.user_attrs["returns"]
            assert trial.intermediate_values[4] == pytest.approx(first)
            assert trial.intermediate_values[8] == pytest.approx((first + second) / 2)


def test_a_database_serves_too(zoo: Zoo, tmp_path: Path) -> None:
    storage = ("--storage", f"sqlite:///{tmp_path}/tune.db", *NAMED)
    assert zoo("tune", *SHORT, *storage, "--n-trials", "2").code == 0
    assert zoo("tune", *REACH, *storage, "--n-trials", "1", "--no-optim-plots").code == 0
    study = optuna.load_study(study_name="s", storage=storage[1])
    assert states(study.trials) == ["COMPLETE"] * 3
    quick = ("--verbose", "0", "--eval-freq", "-1", "--final-eval-episodes", "0")
    assert zoo(*REACH, *storage, "--trial-id", "best", *quick).code == 0
    # SB3's takes the same hyperparameters.
    other = ("--algo", "ppo", "--env", "TargetReach-v0", *storage, "--trial-id", "1")
    assert zoo(*other, *quick).code == 0


@pytest.mark.parametrize("sampler", ["random", "cmaes"])
def test_other_samplers(zoo: Zoo, tmp_path: Path, sampler: str) -> None:
    flags = ("--sampler", sampler, "--n-startup-trials", "1", "--n-trials", "3")
    assert zoo("tune", *SHORT, *NAMED, *flags).code == 0
    assert len({trial.params["learning_rate"] for trial in trials(tmp_path)}) == 3


def test_rl_zoos_flag_means_the_same(zoo: Zoo, tmp_path: Path) -> None:
    result = zoo("-optimize", *SHORT, *NAMED, "--n-trials", "1", "--n-jobs", "1")
    assert result.code == 0, result.err
    assert states(trials(tmp_path)) == ["COMPLETE"]


def test_a_report_on_a_study_that_is_there(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo("tune", *SHORT, *NAMED, "--n-trials", "2").code == 0
    folder = tmp_path / "logs/tune/ppo_numpy/TargetReach-v0/s"
    assert not list(folder.glob("*.png"))
    result = zoo("tune", *REACH, *NAMED, "--n-trials", "0")
    assert (result.code, result.err) == (0, "")
    assert len(list(folder.glob("*.png"))) == 3
    assert len(trials(tmp_path)) == 2


def test_evaluations_and_best_models_can_be_kept(zoo: Zoo, tmp_path: Path) -> None:
    flags = ("--optimization-log-path", "kept", "--n-trials", "1", "--n-evaluations", "3")
    assert zoo("tune", *SHORT, *flags).code == 0
    assert (tmp_path / "kept/trial_0/best_model.zip").is_file()
    assert (tmp_path / "kept/trial_0/evaluations.npz").is_file()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our files of hyperparameters, to be written to."""
    folder = tmp_path / "hyperparams"
    folder.mkdir()
    (folder / "ppo.yml").write_text((hyperparams.own_folder() / "ppo.yml").read_text())
    for module in (apply, hyperparams):
        monkeypatch.setattr(module, "own_folder", lambda: folder)
    return folder


def test_the_best_is_written_into_the_files(zoo: Zoo, tmp_path: Path, files: Path) -> None:
    before = (files / "ppo.yml").read_text()
    result = zoo("tune", *SHORT, *NAMED, "--n-trials", "3", "--apply", "tuned")
    assert result.code == 0, result.err
    best = max(trials(tmp_path), key=lambda trial: trial.value or 0.0)
    if best.number == 0:
        assert "the entry itself is the best" in result.out
        assert (files / "ppo.yml").read_text() == before
        return
    assert "applied: " in result.out
    assert (files / "ppo.yml").read_text().startswith(before)
    found = hyperparams.find_entry("ppo_numpy", "TargetReach-v0", preset="tuned")
    assert found.values == best.user_attrs["hyperparams"]


def test_a_study_goes_on_though_its_entry_was_replaced(
    zoo: Zoo, tmp_path: Path, files: Path
) -> None:
    assert zoo("tune", *SHORT, *NAMED, "--n-trials", "1").code == 0
    (files / "ppo.yml").write_text("TargetReach-v0: {n_timesteps: 99, gamma: 0.5}\n")
    assert zoo("tune", *REACH, *NAMED, "--n-trials", "1", "--no-optim-plots").code == 0
    entry, drawn = (trial.user_attrs["hyperparams"] for trial in trials(tmp_path))
    assert (entry["n_envs"], drawn["n_envs"]) == (8, 8)


def test_rl_zoos_own_study_can_be_trained_from(zoo: Zoo, tmp_path: Path) -> None:
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

    storage = f"sqlite:///{tmp_path}/zoo.db"
    study = optuna.create_study(study_name="theirs", storage=storage, direction="maximize")
    trial = study.ask()
    drawn = HYPERPARAMS_SAMPLER["ppo"](trial, 0, 1, {})
    study.tell(trial, 1.0)
    flags = ("--storage", storage, "--study-name", "theirs", "--trial-id", "0", "-n", "64")
    flags += ("--verbose", "0", "--eval-freq", "-1", "--final-eval-episodes", "0")
    result = zoo("--algo", "ppo", "--env", "CartPole-v1", *flags)
    assert result.code == 0, result.err
    config = yaml.safe_load(
        (tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1/config.yml").read_text()
    )
    assert config["gamma"] == drawn["gamma"]
    assert config["n_envs"] == 8, "the rest is the entry's"


STUDY_FLAGS = ("--study-name", "s", "--trial-id")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", "--n-trials", "1"), "--env"),
        (("tune", *REACH, "--n-trial", "3"), "unknown argument '--n-trial'; did you mean"),
        (("tune", *REACH, "--n-trials", "-1"), "--n-trials must be at least 0, not -1"),
        (("tune", *REACH, "--n-trials", "x"), "--n-trials: invalid int value: 'x'"),
        (("tune", *REACH, "--max-total-trials", "0"), "--max-total-trials must be at least 1"),
        (("tune", *REACH, "--n-jobs", "0"), "--n-jobs must be at least 1, or -1"),
        (("tune", *REACH, "--n-seeds", "0"), "--n-seeds must be at least 1, not 0"),
        (("tune", *REACH, "--n-evaluations", "0"), "--n-evaluations must be at least 1"),
        (("tune", *REACH, "--n-startup-trials", "-1"), "--n-startup-trials must be at least 0"),
        (("tune", *REACH, "--eval-episodes", "0"), "--eval-episodes must be at least 1"),
        (("tune", *REACH, "--final-eval-episodes", "0"), "--final-eval-episodes must be at"),
        (("tune", *REACH, "--n-eval-envs", "0"), "--n-eval-envs must be at least 1"),
        (("tune", *REACH, "-n", "0"), "--n-timesteps must be at least 1"),
        (("tune", *REACH, "--seed", str(2**32)), "--seed must be below"),
        (("tune", *REACH, "--sampler", "gp"), "--sampler: invalid choice: 'gp'"),
        (("tune", *REACH, "--pruner", "x"), "--pruner: invalid choice: 'x'"),
        (("tune", *REACH, "--storage", "nosuch://x"), "cannot use the storage nosuch://x"),
        (("tune", *REACH, "--storage", "sqlite:////no/such/x.db"), "unable to open"),
        (("tune", *REACH, "--storage", "sqlite://"), "in memory would be lost"),
        (("tune", *REACH, "--storage", "file"), "is no journal"),
        (("tune", *REACH, "--storage", "file/x.journal"), "cannot use the storage"),
        (("tune", *REACH, "--study-name", "a/b"), "--study-name 'a/b'"),
        (("tune", *REACH, "-f", "file/logs"), "--log-folder: cannot write to 'file/logs'"),
        (("tune", *REACH, "--n-trials", "0"), "no study 'study_1'"),
        (("tune", *REACH, "--apply", "x", "--algo", "crossq"), "crossq"),
        (("tune", "--algo", "crossq", "--env", "Pendulum-v1"), "no search space for --algo crossq"),
        (("tune", *REACH, "--preset", "fast"), "no preset 'fast'"),
        (("tune", *REACH, "-params", "gama:1"), "'gama'; did you mean 'gamma'?"),
        (("tune", *REACH, "-params", "n_envs:0"), "n_envs must be at least 1"),
        (("tune", *REACH, "--env-kwargs", "sise:3"), "sise"),
        (("tune", *REACH, "--eval-env-kwargs", "sise:3"), "sise"),
        (("tune", *REACH, "--gym-packages", "no_such_package"), "no_such_package"),
        (("tune", "--algo", "ppo", "--env", "TargetRaech-v0"), "did you mean 'TargetReach-v0'?"),
        (("tune", *REACH, "--optimization-log-path", "file/x"), "--optimization-log-path"),
        ((*REACH, "--n-trials", "3"), "--n-trials is a flag of `zoo.py tune`"),
        ((*REACH, "--trial-id", "first"), "expected best or a trial's number, got 'first'"),
        ((*REACH, "--trial-id", "-1"), "expected best or a trial's number"),
        ((*REACH, "--trial-id", "0"), "--study-name NAME"),
        ((*REACH, "--study-name", "s"), "--trial-id N"),
        ((*REACH, "--storage", "sqlite:///x.db"), "--study-name NAME"),
        ((*REACH, *STUDY_FLAGS, "best"), "no study 's' in"),
        ((*REACH, *STUDY_FLAGS, "best", "--storage", "sqlite:///x.db"), "no study 's' in"),
        ((*REACH, *STUDY_FLAGS, "0", "--preset", "x"), "leave --preset and -conf out"),
        (("enjoy", *REACH, "-optimize"), "unknown argument '-optimize'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").write_text("not a folder, and no journal\n")
    result = zoo(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", *REACH, *NAMED, "--seed", "2"), "--seed 1, not 2"),
        (("tune", *REACH, *NAMED, "--n-seeds", "3"), "--n-seeds 1, not 3"),
        (("tune", *REACH, *NAMED, "-n", "300"), "n_timesteps 256, not 300"),
        (("tune", *REACH, *NAMED, "-n", "256", "-params", "gamma:1"), "gamma 0.95, not 1"),
        (("tune", *REACH, *NAMED, "--apply", "--n-seeds", "3"), "--n-seeds 1, not 3"),
        (("tune", *REACH, "--n-trials", "0", "--study-name", "t"), "(there are: s)"),
        ((*REACH, *NAMED, "--trial-id", "7"), "no such trial of 's' (it has 0 to 0)"),
        ((*REACH, "--study-name", "S", "--trial-id", "0"), "(there are: s); did you mean 's'?"),
    ],
)
def test_what_does_not_fit_the_study_is_refused(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert zoo("tune", *SHORT, *NAMED, "--n-trials", "1").code == 0
    journal = tmp_path / "logs/tune/ppo_numpy/TargetReach-v0/s.journal"
    before = journal.read_bytes()
    result = zoo(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert journal.read_bytes() == before


def test_a_study_of_another_world_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    storage = ("--storage", "shared.log", *NAMED)
    assert zoo("tune", *SHORT, *storage, "--n-trials", "1").code == 0
    result = zoo("tune", "--algo", "ppo_numpy", "--env", "CartPole-v1", *storage)
    assert result.code == 2
    assert "--env TargetReach-v0, not CartPole-v1" in result.err
    result = zoo("--algo", "a2c", "--env", "TargetReach-v0", *storage, "--trial-id", "best")
    assert result.code == 2
    assert "is of --algo ppo_numpy --env TargetReach-v0" in result.err


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """``zoo.py`` in a process of its own, which answers Ctrl-C as on a terminal."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "import sys; from sb3_ext.zoo.cli import main\n"
    code += "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))\n"
    script = folder / "run_zoo.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def wait_for(folder: Path, reached: Callable[[list[FrozenTrial]], bool]) -> None:
    end = time.monotonic() + 120
    journal = folder / "logs/tune/ppo_numpy/TargetReach-v0/s.journal"
    while time.monotonic() < end:
        if journal.is_file() and reached(trials(folder)):
            return
        time.sleep(0.05)
    raise AssertionError("the study has not come that far")


def in_the_middle(done: list[FrozenTrial]) -> bool:
    """Two trials are done, and another is under way."""
    evaluated = [bool(trial.intermediate_values) for trial in done]
    return states(done)[:3] == ["COMPLETE", "COMPLETE", "RUNNING"] and all(evaluated[:3])


LONG = (*REACH, *NAMED, "-n", "4096", "--n-evaluations", "20", "--pruner", "none")


@pytest.mark.slow
def test_a_killed_study_loses_the_running_trial_only(zoo: Zoo, tmp_path: Path) -> None:
    with start(tmp_path, "tune", *LONG, "--seed", "1") as process:
        wait_for(tmp_path, in_the_middle)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    killed = trials(tmp_path)
    assert states(killed)[2] == "RUNNING"
    result = zoo("tune", *REACH, *NAMED, "--max-total-trials", "4", "--no-optim-plots")
    assert result.code == 0, result.err
    done = trials(tmp_path)
    assert states(done) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert values(done)[:2] == values(killed)[:2]
    assert done[2].user_attrs["error"] == "its process died"
    assert done[3].params == killed[2].params, "the trial that was killed is run again"
    assert done[3].user_attrs["retry_of"] == 2


def assert_interrupted(done: list[FrozenTrial], out: str) -> None:
    assert "interrupted; go on: python zoo.py tune --algo ppo_numpy" in out
    assert " complete" in out, "the table so far"
    assert "RUNNING" not in states(done)
    stopped = [trial for trial in done if trial.user_attrs.get("error") == "interrupted"]
    waiting = [trial for trial in done if trial.state == TrialState.WAITING]
    queued = {trial.user_attrs["retry_of"] for trial in waiting}
    assert 1 <= len(stopped) <= 2
    assert queued == {trial.number for trial in stopped if trial.params}


def test_ctrl_c_prints_the_table_and_the_trial_is_run_later(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PressesCtrlC, "trainings", 0)
    callback = "callback:tests.sb3_ext.zoo.worlds.PressesCtrlC"
    result = zoo("tune", *SHORT, *NAMED, "--n-trials", "9", "-params", callback)
    assert (result.code, result.err) == (130, "")
    done = trials(tmp_path)
    assert states(done) == ["COMPLETE", "COMPLETE", "FAIL", "WAITING"]
    assert_interrupted(done, result.out)
    assert (tmp_path / "logs/tune/ppo_numpy/TargetReach-v0/s/best.yml").is_file()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert zoo("tune", *REACH, *NAMED, "--n-trials", "1", "--no-optim-plots").code == 0
    again = trials(tmp_path)
    assert states(again) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert again[3].params == again[2].params


@pytest.mark.slow
def test_a_signal_ends_the_processes_of_n_jobs_too(tmp_path: Path) -> None:
    with start(tmp_path, "tune", *LONG, "--seed", "1", "--n-jobs", 2) as process:
        wait_for(tmp_path, lambda done: {"COMPLETE", "RUNNING"} <= set(states(done)))
        os.kill(process.pid, signal.SIGTERM)  # the parent alone
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    done = trials(tmp_path)
    assert_interrupted(done, out)
    for pid in {trial.user_attrs["worker"]["pid"] for trial in done if trial.params}:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_two_processes_share_a_study(zoo: Zoo, tmp_path: Path) -> None:
    flags = ("--max-total-trials", "9", "--no-optim-plots")
    with start(tmp_path, "tune", *LONG, *flags) as other:
        wait_for(tmp_path, lambda done: "COMPLETE" in states(done))
        result = zoo("tune", *LONG, *flags)
        _, err = other.communicate(timeout=120)
    assert (result.code, other.returncode, result.err, err) == (0, 0, "", "")
    counted = [trial for trial in trials(tmp_path) if trial.state.is_finished()]
    assert len(counted) == 9
    workers = {trial.user_attrs["worker"]["pid"] for trial in counted}
    assert workers == {os.getpid(), other.pid}, "both took part"
    assert len({trial.params["learning_rate"] for trial in counted}) == 9, "no draw came twice"
    assert [trial.user_attrs.get("entry", False) for trial in counted].count(True) == 1


@pytest.mark.slow
def test_several_jobs_give_the_trials_that_one_gives(zoo: Zoo, tmp_path: Path) -> None:
    flags = (*SHORT, *NAMED, "--n-trials", "4", "--sampler", "random")
    result = zoo("tune", *flags, "--n-jobs", "2")
    assert (result.code, result.err) == (0, "")
    several = trials(tmp_path)
    assert os.getpid() not in {trial.user_attrs["worker"]["pid"] for trial in several}
    (tmp_path / "logs").rename(tmp_path / "several")
    assert zoo("tune", *flags).code == 0
    assert values(trials(tmp_path)) == values(several)


def test_the_commands_help(zoo: Zoo) -> None:
    result: Result = zoo("tune", "--help")
    assert result.code == 0
    for flag in ("--n-seeds", "--apply", "--storage", "--pruner"):
        assert flag in result.out
