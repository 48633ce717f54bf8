"""What fails before anything is learned leaves nothing; what fails later keeps what there is."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO

from sb3_ext.zoo.interruption import Interruption
from tests.sb3_ext.zoo.conftest import Result, Zoo

ROOT = Path(__file__).resolve().parents[3]
CART = ("--env", "CartPole-v1", "--algo", "ppo_numpy", "-n", "300")
SAC = ("--env", "Pendulum-v1", "--algo", "sac", "-n", "300")
FAILING = ("--gym-packages", "tests.sb3_ext.zoo.worlds", "--env", "Failing-v0", "-n", "300")


def assert_refused(result: Result, folder: Path, *messages: str) -> None:
    assert result.code == 2, result.err
    assert result.err.count("\n") == 1, result.err
    for message in messages:
        assert message in result.err
    assert not (folder / "logs").exists(), "neither a run nor a TensorBoard folder"


@pytest.mark.parametrize("algo", ["ppo_numpy", "ppo"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("n_epochs:0", "n_epochs must be at least 1, not 0"),
        ("n_epochs:1.5", "n_epochs must be a whole number, not 1.5"),
        ("n_epochs:x", "n_epochs must be a whole number, not 'x'"),
        ("batch_size:2.5", "batch_size must be a whole number"),
        ("stats_window_size:-1", "stats_window_size must be at least 1"),
        ("gamma:abc", "gamma must be a number, not 'abc'"),
        ("gamma:nan", "gamma must be a number"),
        ("gae_lambda:None", "gae_lambda must be a number, not None"),
        ("target_kl:x", "target_kl must be a number or None"),
        ("learning_rate:[1]", "learning_rate must be a number or a schedule"),
        ("use_sde:3", "use_sde must be True or False"),
        ("rollout_buffer_class:3", "rollout_buffer_class must be a class or None"),
        ("env_kwargs:3", "env_kwargs must be a mapping or None"),
        ("monitor_kwargs:3", "monitor_kwargs must be a mapping or None"),
        ("normalize:3", "normalize must be True or False or a mapping or None"),
        ("normalize:[1]", "normalize must be True or False or a mapping or None"),
        ("normalize:dict(clip_obs='a')", "normalize: clip_obs must be a number, not 'a'"),
        ("normalize:dict(clip=3)", "VecNormalize has no argument 'clip'"),
        ("vec_env_wrapper:os.getcwd", "vec_env_wrapper: "),
        ("env_wrapper:os.getcwd", "takes no arguments"),
        ("callback:os.getcwd", "callback 'os.getcwd' makes no callback but a str"),
        ("callback:no_such.module", "callback: cannot import 'no_such.module'"),
        ("n_envs:None", "n_envs must be a whole number, not None"),
    ],
)
def test_a_bad_hyperparameter(
    zoo: Zoo, tmp_path: Path, algo: str, value: str, message: str
) -> None:
    command = [algo if word == "ppo_numpy" else word for word in CART]
    assert_refused(zoo(*command, "-params", value), tmp_path, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*CART, "--log-interval", "0"), "--log-interval must be"),
        ((*CART, "--num-threads", "100000"), "this machine has"),
        ((*CART, "-params", "extensions:dict(value_learning_rate='x')"), "'x' is not a number"),
        ((*CART, "-params", "extensions:dict(st=1)"), "PPOExtensions has no argument 'st'"),
        ((*SAC, "-params", "batch_size:-3", "learning_starts:10"), "batch_size must be at least 1"),
        ((*SAC, "-params", "train_freq:0"), "train_freq must be at least 1"),
        ((*SAC, "-params", "noise_type:3"), "noise_type must be text"),
        ((*SAC, "-params", "noise_type:normal", "noise_std:abc"), "noise_std must be a number"),
        (("--env", "FrozenLake-v1", "--env-kwargs", "map_name:9x9"), "KeyError: '9x9'"),
        ((*CART, "--eval-env-kwargs", "foo:1"), "unexpected keyword argument 'foo'"),
        ((*CART, "--gym-packages", ""), "cannot import the package ''"),
        ((*CART, "--gym-packages", ".foo"), "cannot import the package '.foo'"),
        (("--env", ".x:Foo-v0"), "cannot import the package '.x'"),
        ((*FAILING, "--env-kwargs", "fails:init"), "RuntimeError: no simulator in init"),
        ((*FAILING, "--env-kwargs", "fails:init", "error:key"), "KeyError"),
        ((*FAILING, "--env-kwargs", "fails:init", "error:exit"), "SystemExit"),
        ((*FAILING, "--env-kwargs", "fails:reset"), "RuntimeError: no simulator in reset"),
        ((*FAILING, "--env-kwargs", "fails:step"), "RuntimeError: no simulator in step"),
        ((*FAILING, "--vec-env", "subproc", "--env-kwargs", "fails:init"), "no simulator in init"),
        ((*FAILING, "--vec-env", "shm", "--env-kwargs", "fails:init"), "no simulator in init"),
        ((*FAILING, "--vec-env", "shm", "--env-kwargs", "fails:reset"), "no simulator in reset"),
        ((*FAILING, "--vec-env", "shm", "--env-kwargs", "fails:step"), "no simulator in step"),
        ((*FAILING, "--vec-env", "shm", "--env-kwargs", "fails:init", "error:exit"), "SystemExit"),
        ((*CART, "--workers", "-1"), "--workers: expected a number of processes, got '-1'"),
        ((*CART, "--workers", "two"), "--workers: expected a number of processes, got 'two'"),
        ((*CART, "--workers", "9"), "--workers 9: there are only 8 rows; -params n_envs:9"),
        ((*CART, "--vec-env", "shm", "--workers", "0"), "--workers 0: --vec-env shm needs at lea"),
        ((*CART, "--vec-env", "dummy", "--workers", "2"), "--workers 2: rows are run as dummy"),
        (
            ("--env", "SimpleAim-v0", "--vec-env", "vector", "--workers", "2"),
            "--workers 2: rows are run as vector",
        ),
        ((*FAILING, "--env-kwargs", "space:nested"), "Nested observation spaces"),
        *(
            ((*FAILING, "--env-kwargs", f"space:{space}", "-params", "normalize:True"), "normalize")
            for space in ("discrete", "binary", "mixed")
        ),
    ],
)
def test_a_start_that_fails(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert_refused(zoo(*arguments), tmp_path, message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "1/0", "ZeroDivisionError"),
        ("a.py", "x = y", "NameError: name 'y' is not defined"),
        ("a.py", "import sys; sys.exit(0)", "SystemExit"),
        ("a.py", "hyperparams = {'CartPole-v1': 3}", "'CartPole-v1' is not a mapping"),
        ("a.py", "hyperparams = {3: {}}", "no hyperparameters for"),
        ("a.yml", "CartPole-v1: {n_timesteps: 9, 1: 2}", "1 is not the name of a hyperparameter"),
        ("a.yml", "CartPole-v1: {n_timesteps: 9, null: 2}", "None is not the name"),
        ("a.yml", "[" * 3000, "not valid YAML (more than 100 brackets"),
        ("a.yml", "CartPole-v1:\n  gamma: 1\n  gamma: 2\n", "a.yml, line 3: not valid YAML (the"),
        ("a.yml", "CartPole-v1: {}\nCartPole-v1: {}\n", "the key 'CartPole-v1' stands there twice"),
        ("", "", "-conf ''"),
    ],
)
def test_a_bad_conf_file(zoo: Zoo, tmp_path: Path, name: str, text: str, message: str) -> None:
    if name:
        (tmp_path / name).write_text(text)
    assert_refused(zoo(*CART, "-conf", name), tmp_path, message)


def test_merged_keys_may_be_overridden(zoo: Zoo, tmp_path: Path) -> None:
    text = "base: &base {n_timesteps: 9, gamma: abc}\nCartPole-v1: {<<: *base, gamma: 0.9, x: 1}\n"
    (tmp_path / "a.yml").write_text(text)
    assert "no hyperparameter 'x'" in zoo(*CART, "-conf", "a.yml").err


def test_whole_floats_are_integers(zoo: Zoo, tmp_path: Path) -> None:
    values = ("n_steps:1e2", "batch_size:50.0", "n_epochs:2e0", "n_envs:1.0")
    assert zoo(*CART, "--verbose", "0", "-params", *values).code == 0
    model = PPO.load(tmp_path / "logs/ppo_numpy/CartPole-v1_1/CartPole-v1.zip")
    assert (model.n_steps, model.batch_size, model.n_epochs) == (100, 50, 2)
    assert isinstance(model.n_steps, int)


def test_a_failed_start_leaves_what_was_there(zoo: Zoo, tmp_path: Path) -> None:
    there = tmp_path / "logs/tb/CartPole-v1/ppo_numpy_1/events.old"
    there.parent.mkdir(parents=True)
    there.touch()
    before = set(tmp_path.rglob("*"))
    assert zoo(*CART, "-params", "callback:foo.bar").code == 2
    assert set(tmp_path.rglob("*")) == before


def test_the_traceback_is_shown_on_demand(zoo: Zoo) -> None:
    result = zoo(*FAILING, "--env-kwargs", "fails:reset", "--verbose", "2")
    assert result.code == 2
    assert 'raise ERRORS[self.error](f"no simulator' in result.err
    assert result.err.splitlines()[-1].startswith("zoo.py train: error: ")


@pytest.mark.parametrize("error", ["runtime", "exit"])
def test_a_running_training_that_fails_keeps_what_it_has(
    zoo: Zoo, tmp_path: Path, error: str
) -> None:
    world = ("--env-kwargs", "fails:step", "at:150", f"error:{error}")
    values = ("-params", "n_envs:1", "n_steps:64", "batch_size:64")
    result = zoo(*FAILING, *world, *values, "--verbose", "0", "--eval-freq", "-1")
    assert result.code == 1
    assert result.err.count("\n") == 1, result.err
    assert "failed after 150 steps" in result.err
    assert "no simulator in step" in result.err
    run = tmp_path / "logs/ppo/Failing-v0_1"
    assert str(run.relative_to(tmp_path) / "error.log") in result.err
    assert "Traceback" in (run / "error.log").read_text()
    assert "no simulator" in json.loads((run / "summary.json").read_text())["error"]
    assert PPO.load(run / "Failing-v0.zip").num_timesteps == 150
    assert (run / "curve.png").is_file()


def test_a_failing_final_evaluation_loses_only_the_score(zoo: Zoo, tmp_path: Path) -> None:
    world = ("--env-kwargs", "fails:step", "at:140")
    values = ("-params", "n_envs:1", "n_steps:64", "batch_size:64", "--final-eval-episodes", "90")
    result = zoo(*FAILING[:4], "-n", "128", *world, *values, "--verbose", "0", "--eval-freq", "-1")
    assert result.code == 1
    run = tmp_path / "logs/ppo/Failing-v0_1"
    assert PPO.load(run / "Failing-v0.zip").num_timesteps == 128
    assert json.loads((run / "summary.json").read_text())["steps"] == 128


@pytest.mark.parametrize(
    ("algo", "framework"), [("ppo_jax", "jax"), ("ppo_mlx", "mlx"), ("ppo_mlx", "mlx.core")]
)
def test_a_missing_framework(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str, framework: str
) -> None:
    monkeypatch.delitem(sys.modules, f"sb3_ext.backends.{algo[4:]}_backend", raising=False)
    monkeypatch.setitem(sys.modules, framework, None)
    result = zoo("--env", "CartPole-v1", "--algo", algo, "-n", "300")
    assert_refused(result, tmp_path, f"--algo {algo}", f"sb3_ext[{algo[4:]}]")
    listed = zoo("list").out
    assert f"not installed (the {algo[4:]} backend needs" in listed
    assert listed.count("not installed") == 1


@pytest.fixture
def handlers() -> Iterator[dict[int, Any]]:
    """The handlers of the signals, restored after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_interrupts_once(handlers: dict[int, Any]) -> None:
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt), interruption.answering():
            signal.raise_signal(signal.SIGINT)
        for number in handlers:
            signal.raise_signal(number)
        assert interruption.received
    for number in handlers:  # the process leaves: its exit code is settled
        signal.raise_signal(number)


def test_a_signal_is_held_where_it_may_not_interrupt(handlers: dict[int, Any]) -> None:
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interruption.answering():
            pytest.fail("it came before")


def test_without_a_signal_everything_is_as_it_was(handlers: dict[int, Any]) -> None:
    with Interruption():
        assert signal.getsignal(signal.SIGTERM) is not handlers[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "zoo.py", *arguments], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], path: Path, lines: int = 0) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.is_file() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not appear: {process.communicate()[0]}")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dummy", "subproc", "shm"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_repeated_signals_to_the_group_lose_nothing(
    tmp_path: Path, form: str, number: signal.Signals
) -> None:
    process = start(
        tmp_path, "--env", "CartPole-v1", "--vec-env", form, "-params", "n_envs:2", "normalize:True"
    )
    run = tmp_path / "logs/ppo/CartPole-v1_1"
    wait_for(process, run / "monitor.csv", 20)
    for _ in range(4):
        os.killpg(process.pid, number)
        time.sleep(0.15)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert json.loads((run / "summary.json").read_text())["interrupted"] is True
    assert PPO.load(run / "CartPole-v1.zip").num_timesteps > 0
    assert (run / "CartPole-v1/vecnormalize.pkl").is_file()
    assert not _group(process.pid), "workers are left"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["subproc", "shm"])
def test_workers_end_when_the_trainer_is_killed(tmp_path: Path, form: str) -> None:
    process = start(tmp_path, "--env", "CartPole-v1", "--vec-env", form, "-params", "n_envs:2")
    wait_for(process, tmp_path / "logs/ppo/CartPole-v1_1/monitor.csv", 20)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while _group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _group(process.pid)


def _group(number: int) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == number and state != "Z":
            found.append(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_final_evaluation_costs_only_the_score(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = start(
        tmp_path, "--env", "CartPole-v1", "-n", "256", "--final-eval-episodes", "1000000"
    )
    run = tmp_path / "logs/ppo/CartPole-v1_1"
    wait_for(process, run / "CartPole-v1.zip")
    time.sleep(1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert json.loads((run / "summary.json").read_text())["steps"] == 256


@pytest.mark.parametrize("arguments", [["list"], [*CART, "--final-eval-episodes", "2"]])
def test_a_reader_that_leaves_stops_nothing(tmp_path: Path, arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, ROOT / "zoo.py", *arguments], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0, error
    assert "Broken" not in error
    assert (tmp_path / "logs/ppo_numpy/CartPole-v1_1/summary.json").is_file() or len(arguments) == 1
