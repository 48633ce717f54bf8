"""A run that goes on equals one that was never interrupted, bit for bit."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import load_results
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.checkpoint import checkpoints_in
from sb3_ext.zoo.checkpoints import read_state
from tests.sb3_ext.zoo.conftest import Result, Zoo

ROOT = Path(__file__).resolve().parents[3]
QUIET = ("--verbose", "0", "--final-eval-episodes", "0", "--eval-episodes", "2", "--seed", "3")
AIM = ("--algo", "ppo_numpy", "--env", "SimpleAim-v0", *QUIET)
SMALL = ("-params", "n_envs:2", "n_steps:128", "n_epochs:2")
CART = ("--algo", "ppo", "--env", "CartPole-v1", *QUIET, "-n", "512", "--save-freq", "128")


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def only_run(folder: Path) -> Path:
    (run,) = folder.glob("*/*_1")
    return run


def killed(run: Path, newest: int) -> None:
    """What a process leaves that is killed some time after a checkpoint: also later records."""
    for steps, path in checkpoints_in(run).items():
        if steps > newest:
            path.unlink()
            for kind in ("vecnormalize", "replay_buffer"):
                (run / f"rl_model_{kind}_{steps}_steps.pkl").unlink(missing_ok=True)
    env_id = run.name.rpartition("_")[0]
    for name in (f"{env_id}.zip", "summary.json", "replay_buffer.pkl"):
        (run / name).unlink(missing_ok=True)
    with open(run / "monitor.csv", "a") as file:
        file.write("1.5,2")  # in the middle of a row
    (run / ".rl_model_1_steps.zip.77.tmp").write_bytes(b"half")


def records(run: Path) -> dict[str, Any]:
    """Everything in a run's folder that must be equal."""
    found: dict[str, Any] = {"files": sorted(path.name for path in run.iterdir())}
    found["parameters"] = summary(run)["parameters_sha256"]
    episodes = load_results(str(run))
    found["episodes"] = episodes[["r", "l"]].to_numpy().tolist()
    assert (np.diff(episodes["t"]) >= 0).all()
    with np.load(run / "evaluations.npz") as file:
        found["evaluations"] = {name: file[name].tolist() for name in file.files}
    best = PPO.load(run / "best_model.zip") if "ppo" in str(run) else None
    found["best"] = best and best.num_timesteps
    return found


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run, but for the times."""
    folder = run.parent.parent / "tb" / "SimpleAim-v0" / f"{run.parent.name}_1"
    events = EventAccumulator(str(folder), purge_orphaned_data=True)
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("time/")
    }


def assert_goes_on_exactly(zoo: Zoo, command: tuple[str, ...], newest: int) -> None:
    """Trains; lets a copy of it be killed after a checkpoint, and go on."""
    n = int(command[command.index("-n") + 1])
    answer = zoo(*command, "--eval-freq", str(n // 3))
    assert answer.code == 0, answer.err
    whole = only_run(Path("logs"))
    shutil.copytree("logs", "cut")
    cut = only_run(Path("cut"))
    assert newest in checkpoints_in(cut)
    killed(cut, newest)
    answer = zoo("--resume", cut)
    assert answer.code == 0, answer.err
    assert summary(cut)["resumed"] == [{"steps": newest, "inexact": []}]
    assert records(cut) == records(whole)
    assert summary(cut)["learning_seconds"] > 0


EXACT = {
    "rollouts kept, gSDE": (
        *AIM, "-n", "2048", "--save-freq", "512", *SMALL,
        "use_sde:True", "extensions:dict(n_rollouts_kept=3)",
    ),
    "normalized, separate envs": (
        "--algo", "ppo_numpy", "--env", "TargetReach-v0", *QUIET, "--vec-env", "dummy",
        "-n", "2048", "--save-freq", "512", "-params", "n_envs:2", "n_steps:128", "normalize:True",
    ),
    "SB3's, normalized, frames": (
        "--algo", "ppo", "--env", "TargetReach-v0", *QUIET, "-n", "1024", "--save-freq", "256",
        "-params", "n_envs:2", "n_steps:64", "n_epochs:2", "normalize:True", "frame_stack:2",
    ),
    "torch": (
        "--algo", "ppo_torch", *AIM[2:], "-n", "1024", "--save-freq", "256", *SMALL,
    ),
    "off-policy": (
        "--algo", "sac", *AIM[2:], "-n", "120", "--save-freq", "30", "--save-replay-buffer",
        "-params", "n_envs:1", "learning_starts:20", "batch_size:32",
        "noise_type:ornstein-uhlenbeck", "noise_std:0.1",
    ),
}  # fmt: skip
SLOW = {
    "jax": ("--algo", "ppo_jax", *AIM[2:], "-n", "2048", "--save-freq", "512", *SMALL),
    "one jitted program": (
        "--algo", "ppo_jax", *AIM[2:], "--vec-env", "jax", "-n", "2048", "--save-freq", "512",
        *SMALL,
    ),
    "recurrent, gSDE": (
        "--algo", "ppo_lstm", *AIM[2:], "-n", "512", "--save-freq", "128", "-params", "n_envs:2",
        "n_steps:64", "batch_size:64", "n_epochs:1", "policy:MlpLstmPolicy", "use_sde:True",
    ),
    "double q": (
        "--algo", "dqn", "--env", "TargetReach-v0", *QUIET, "-n", "600", "--save-freq", "150",
        "--save-replay-buffer", "-params", "n_envs:1", "learning_starts:100",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [*EXACT, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_killed_run_goes_on_exactly(zoo: Zoo, name: str) -> None:
    command = (EXACT | SLOW)[name]
    assert_goes_on_exactly(zoo, command, int(command[command.index("-n") + 1]) // 2)


def test_what_tensorboard_shows_is_the_same(zoo: Zoo) -> None:
    assert_goes_on_exactly(zoo, (*AIM, "-n", "2048", "--save-freq", "512", *SMALL), 1024)
    whole, cut = curves(only_run(Path("logs"))), curves(only_run(Path("cut")))
    assert {"train/loss", "rollout/ep_rew_mean", "eval/mean_reward"} < whole.keys()
    assert cut == whole


def test_it_may_be_interrupted_again_and_again(zoo: Zoo) -> None:
    command = (*AIM, "-n", "2048", "--save-freq", "256", "--keep-checkpoints", "-1", *SMALL)
    assert zoo(*command, "--eval-freq", "300").code == 0
    whole, expected = only_run(Path("logs")), None
    for newest in (1024, 512, 1536):
        expected = expected or records(whole)
        killed(whole, newest)
        assert zoo("--resume", "SimpleAim-v0_1").code == 0
        assert records(whole) == expected
    assert [each["steps"] for each in summary(whole)["resumed"]] == [512, 1536]


# What happens on the way


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "zoo.py", *map(str, arguments)], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], run: Path, steps: int) -> int:
    """Waits for a checkpoint of more steps; returns its number."""
    while max(checkpoints_in(run), default=0) <= steps:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return max(checkpoints_in(run))


def in_checkpoint(run: Path, steps: int, member: str) -> bytes:
    with zipfile.ZipFile(run / f"rl_model_{steps}_steps.zip") as archive:
        return archive.read(member)


@pytest.mark.slow
def test_signals_at_any_moment(tmp_path: Path) -> None:
    endless = ("-n", "10000000", "--save-freq", "4096", "--keep-checkpoints", "-1")
    command = (*AIM, *endless, "--verbose", "1", "-params", "n_envs:8", "n_steps:256")
    run, steps = tmp_path / "logs/ppo_numpy/SimpleAim-v0_1", 0
    process = start(tmp_path, *command)
    for number in (signal.SIGTERM, signal.SIGKILL):
        wait_for(process, run, steps)
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(number)
        output, _ = process.communicate(timeout=100)
        assert process.returncode == (130 if number is signal.SIGTERM else -number), output
        steps = max(checkpoints_in(run))
        if number is signal.SIGTERM:
            assert summary(run)["interrupted"] is True
            assert f"python zoo.py --resume {run.relative_to(tmp_path)}" in output
        process = start(tmp_path, "--resume", run)
    steps = wait_for(process, run, steps)
    process.kill()
    process.communicate()

    process = start(tmp_path, "-f", "whole", *command)
    whole = tmp_path / "whole" / run.relative_to(tmp_path / "logs")
    wait_for(process, whole, steps)
    process.kill()
    process.communicate()
    for member in ("policy.pth", "policy.optimizer.pth"):
        assert len({in_checkpoint(each, steps, member) for each in (run, whole)}) == 1
    episodes = [load_results(str(each))[["r", "l"]].to_numpy() for each in (run, whole)]
    n = min(map(len, episodes))
    assert n > steps / 200 - 8
    np.testing.assert_array_equal(episodes[0][:n], episodes[1][:n])


@pytest.fixture
def _unlimited() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullDisk(BaseCallback):
    """Once there is a checkpoint, no file may become as large as one."""

    def _on_step(self) -> bool:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if list(Path("logs").glob("*/*/rl_model_*")):
            resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
        return True


@pytest.mark.usefixtures("_unlimited")
def test_a_full_disk_keeps_the_old_checkpoint(zoo: Zoo) -> None:
    command = (*AIM, "-n", "1024", "--save-freq", "256", "--eval-freq", "-1", *SMALL)
    answer = zoo(*command, "callback:tests.sb3_ext.zoo.test_resume.FullDisk")
    assert answer.code == 1
    assert answer.err.count("\n") == 1, answer.err
    assert "failed after 512 steps: OSError: [Errno 27] File too large:" in answer.err
    assert "rl_model_512_steps.zip" in answer.err
    run = only_run(Path("logs"))
    assert list(checkpoints_in(run)) == [256]
    assert not [path for path in run.rglob("*") if path.name.endswith(".tmp")]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    config = run / "SimpleAim-v0/config.yml"  # the disk stays roomy from now on
    values = yaml.safe_load(config.read_text())
    del values["callback"]
    config.write_text(yaml.safe_dump(values))
    assert zoo("--resume", run).code == 0
    assert summary(run)["steps"] == 1024
    assert not (run / "error.log").exists()


def test_a_run_that_breaks_off_between_checkpoints_loses_little(zoo: Zoo) -> None:
    world = ("--gym-packages", "tests.sb3_ext.zoo.worlds", "--env", "Failing-v0", "-n", "300")
    values = ("-params", "n_envs:1", "n_steps:64", "batch_size:64")
    failing = ("--env-kwargs", "fails:step", "at:150")
    options = (*QUIET, "--save-freq", "10000", "--eval-freq", "-1")
    assert zoo(*world, *failing, *options, *values).code == 1
    run = only_run(Path("logs"))
    (steps,) = checkpoints_in(run)
    assert steps in (64, 128)  # the moments between rollouts
    assert PPO.load(run / "Failing-v0.zip").num_timesteps == 150
    # Its episodes are not for this world to tell.
    arguments = run / "Failing-v0/args.yml"
    arguments.write_text(arguments.read_text().replace("at: 150", "at: 1000"))
    result = zoo("--resume", run, "--verbose", "1")
    assert result.code == 0, result.err
    assert "not bit for bit" in result.out
    assert "Failing-v0 cannot tell its episodes" in result.out
    assert summary(run)["steps"] == 320
    assert "cannot tell" in summary(run)["resumed"][0]["inexact"][0]


class Forgetful(BaseCallback):
    """Remembers nothing but how often it was called."""

    def _on_step(self) -> bool:
        return True


def test_callbacks_go_on(zoo: Zoo) -> None:
    module = "stable_baselines3.common.callbacks"
    stop = f"{{'{module}.StopTrainingOnMaxEpisodes': {{'max_episodes': 8}}}}"
    forgetful = "'tests.sb3_ext.zoo.test_resume.Forgetful'"
    command = (*AIM, "-n", "4096", "--save-freq", "512", *SMALL, f"callback:[{stop}, {forgetful}]")
    assert zoo(*command).code == 0
    run = only_run(Path("logs"))
    stopped = summary(run)
    assert stopped["steps"] == 8 * 200 * 2, "eight episodes in each of two rows"
    killed(run, 1024)
    result = zoo("--resume", run, "--verbose", "1")
    assert "the callback Forgetful begins anew" in result.out
    assert summary(run)["steps"] == stopped["steps"]
    assert summary(run)["parameters_sha256"] == stopped["parameters_sha256"]


# Which run, from where, and with what


def test_a_damaged_checkpoint_is_passed_over(zoo: Zoo) -> None:
    assert zoo(*AIM, "-n", "1024", "--save-freq", "256", *SMALL).code == 0
    run = only_run(Path("logs"))
    expected = records(run)
    killed(run, 768)
    newest = run / "rl_model_768_steps.zip"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (run / "rl_model_512_steps.zip").write_bytes(b"")
    result = zoo("--resume", run, "--verbose", "1")
    assert result.code == 0, result.err
    assert "rl_model_768_steps.zip is damaged" in result.out
    assert "rl_model_512_steps.zip is damaged" in result.out
    assert "goes on from logs/ppo_numpy/SimpleAim-v0_1/rl_model_256_steps.zip" in result.out
    assert records(run) == expected


def test_a_named_checkpoint_is_gone_back_to(zoo: Zoo) -> None:
    assert zoo(*AIM, "-n", "1024", "--save-freq", "256", *SMALL).code == 0
    run = only_run(Path("logs"))
    expected = records(run)
    assert zoo("--resume", run / "rl_model_512_steps.zip").code == 0
    assert records(run) == expected
    assert summary(run)["resumed"][0]["steps"] == 512


def test_more_steps_than_it_was_meant_to_take(zoo: Zoo) -> None:
    command = (*AIM, "-n", "1024", "--save-freq", "256", "--eval-freq", "-1", *SMALL)
    assert zoo(*command).code == 0
    run = only_run(Path("logs"))
    done = zoo("--resume", run)
    assert done.code == 2
    assert "has taken 1,024 of 1,024 steps: nothing is left to do (-n MORE" in done.err
    assert zoo("--resume", run, "-n", "1000").code == 2
    result = zoo("--resume", run, "-n", "2048", "--verbose", "1")
    assert result.code == 0, result.err
    assert "meant to take 1,024 steps and takes 2,048" in result.out
    assert summary(run)["steps"] == 2048
    rates = dict(curves(run)["train/learning_rate"])
    # lin_1e-3, of the update before: 0 at its old end, then as with the new total.
    assert rates[1280] == 0
    assert rates[1536] == pytest.approx(1e-3 * (1 - 1280 / 2048))
    assert yaml.safe_load((run / "SimpleAim-v0/args.yml").read_text())["n_timesteps"] == 2048
    assert len((run / "SimpleAim-v0/command.txt").read_text().splitlines()) == 2


def test_a_run_that_was_killed_at_its_very_end(zoo: Zoo) -> None:
    command = (*AIM, "-n", "512", "--save-freq", "256", "--final-eval-episodes", "3", *SMALL)
    assert zoo(*command).code == 0
    run = only_run(Path("logs"))
    expected, scored = records(run), summary(run)["final_mean_return"]
    for name in ("SimpleAim-v0.zip", "summary.json"):
        (run / name).unlink()
    assert zoo("--resume", run).code == 0
    assert records(run) == expected
    assert summary(run)["final_mean_return"] == scored

    # The evaluation afterwards was interrupted.
    told = summary(run) | {"interrupted": True}
    (run / "summary.json").write_text(json.dumps(told))
    assert zoo("reproduce", run).code == 0
    assert zoo("--resume", run).code == 0
    assert summary(run)["final_mean_return"] == scored
    assert "nothing is left to do" in zoo("--resume", run).err


def test_the_newest_are_kept(zoo: Zoo) -> None:
    command = (*AIM, "-n", "2048", "--save-freq", "256", "--keep-checkpoints", "3", *SMALL)
    assert zoo(*command).code == 0
    run = only_run(Path("logs"))
    assert list(checkpoints_in(run)) == [1536, 1792, 2048]
    for path in checkpoints_in(run).values():
        state = read_state(path)
        assert state is not None
        assert state.steps == int(re.findall(r"\d+", path.name)[0])


def refused(result: Result, *messages: str) -> None:
    assert result.code == 2
    assert result.err.count("\n") == 1, result.err
    for message in messages:
        assert message in result.err


def times(run: Path) -> dict[Path, int]:
    files = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_what_cannot_go_on_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo(*AIM, "-n", "512", "--save-freq", "256", *SMALL).code == 0
    run = only_run(Path("logs"))
    killed(run, 256)
    before = times(run)
    refused(zoo("--resume", "SimpleAim-v0_2"), "there is no run 'SimpleAim-v0_2'", "_1'?")
    refused(zoo("--resume", run / "monitor.csv"), "neither a run's folder nor a model")
    refused(zoo("--resume", "logs"), "is no run: it has no <world>/args.yml")
    refused(zoo("--resume", run, "--seed", "4"), "--seed belongs to the run", "(3)")
    refused(zoo("--resume", run, "--algo", "sac"), "--algo belongs to the run", "'ppo_numpy'")
    refused(zoo("--resume", run, "-params", "gamma:0.5"), "--hyperparams belongs to the run")
    refused(zoo("--resume", run, "--eval-episodes", "9"), "--eval-episodes belongs to the run")
    refused(zoo("--resume", run, "-i", "model.zip"), "--trained-agent belongs to the run")
    refused(zoo("--resume", run / "best_model.zip"), "best_model.zip holds no training state")
    with FileLock(run / "SimpleAim-v0/.lock"):
        refused(zoo("--resume", run), "is being trained by another process")
    assert times(run) == before, "nothing has changed"
    same = ("--algo", "ppo_numpy", "--env", "SimpleAim-v0", "--seed", "3")
    assert zoo("--resume", run, *same).code == 0, "what does not contradict is no contradiction"

    with zipfile.ZipFile(run / "rl_model_256_steps.zip") as archive:
        assert "training_state.pkl" in archive.namelist()
    for path in [*checkpoints_in(run).values(), run / "SimpleAim-v0.zip"]:
        path.unlink()
    refused(zoo("--resume", run), "has no checkpoint to go on from")
    (run / "SimpleAim-v0/args.yml").write_text("!!python/object/apply:collections.OrderedDict []")
    refused(zoo("--resume", run), "is it RL Zoo's own? -i starts from its model")


def test_without_a_run_there_must_be_a_world(zoo: Zoo) -> None:
    refused(zoo("--algo", "ppo"), "the following arguments are required: --env")
    assert not os.listdir()
