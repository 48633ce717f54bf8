"""Training from the command line: what a run leaves behind, and that it is right."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.zoo.make_env import EnvBuilder
from sb3_ext.zoo.registry import OWN_ALGORITHMS, algorithm_names
from tests.sb3_ext.zoo.conftest import Zoo

ROOT = Path(__file__).resolve().parents[3]
TINY = ("--eval-episodes", "2", "--final-eval-episodes", "4", "--verbose", "0")
NAMESPACED = "tests.sb3_ext.zoo.namespaced"
SHORT = ("carts/Short-v0", "--gym-packages", NAMESPACED)
CARTS = str(ROOT / "tests/sb3_ext/zoo/carts.yml")
AIM = ("--algo", "ppo", "--env", "SimpleAim-v0", "--seed", "1", *TINY)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def test_a_runs_folder(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo(*AIM, "-n", "8192", "--save-freq", "2048").code == 0
    run = tmp_path / "logs/ppo/SimpleAim-v0_1"
    names = {path.name for path in run.iterdir()}
    assert {
        "SimpleAim-v0.zip",
        "best_model.zip",
        "curve.png",
        "evaluations.npz",
        "monitor.csv",
        "summary.json",
    } < names
    assert len([name for name in names if name.startswith("rl_model_")]) == 4
    assert not [name for name in names if name.endswith(".tmp")]

    found = summary(run)
    assert {"algo": "ppo", "env": "SimpleAim-v0", "seed": 1, "steps": 8192}.items() < found.items()
    for key in ("final_mean_return", "best_mean_return", "wall_seconds", "steps_per_second"):
        assert isinstance(found[key], float)
    assert found["final_mean_return_episodes"] == 4
    low, high = found["final_mean_return_ci95"]
    assert low <= found["final_mean_return"] <= high
    assert len(found["parameters_sha256"]) == 64
    assert found["versions"]["stable-baselines3"]

    parameters = run / "SimpleAim-v0"
    config = yaml.safe_load((parameters / "config.yml").read_text())
    assert config["gamma"] == 0.9
    assert config["learning_rate"] == "lin_1e-3"
    assert yaml.safe_load((parameters / "args.yml").read_text())["seed"] == 1
    assert (parameters / "command.txt").read_text().strip()

    episodes = load_results(str(run))
    assert {"r", "l", "t"} <= set(episodes.columns)
    assert set(episodes["l"]) == {200}
    assert len(episodes) == 8192 // 200 // 16 * 16
    with np.load(run / "evaluations.npz") as evaluations:
        assert evaluations["results"].shape[1] == 2
    assert (tmp_path / "logs/tb/SimpleAim-v0/ppo_1").is_dir()
    assert PPO.load(run / "best_model.zip").observation_space.shape == (4,)


def test_runs_are_numbered_and_never_overwritten(zoo: Zoo, tmp_path: Path) -> None:
    zoo(*AIM, "-n", "2048")
    before = (tmp_path / "logs/ppo/SimpleAim-v0_1/summary.json").read_bytes()
    zoo(*AIM, "-n", "2048")
    assert (tmp_path / "logs/ppo/SimpleAim-v0_2").is_dir()
    assert (tmp_path / "logs/ppo/SimpleAim-v0_1/summary.json").read_bytes() == before


def test_one_seed_gives_the_same_agent_in_every_form(zoo: Zoo, tmp_path: Path) -> None:
    """The rows of the vector form draw what separate envs draw, in one process or in several."""
    for form in ("vector", "dummy", "subproc", "shm"):
        assert zoo(*AIM, "-n", "4096", "--vec-env", form, "-params", "n_envs:2").code == 0
    folders = sorted((tmp_path / "logs/ppo").glob("SimpleAim-v0_*"))
    hashes = [summary(folder)["parameters_sha256"] for folder in folders]
    assert len(hashes) == 4
    assert len(set(hashes)) == 1
    zoo(*AIM[:4], "--seed", "2", *TINY, "-n", "4096", "-params", "n_envs:2")
    assert summary(tmp_path / "logs/ppo/SimpleAim-v0_5")["parameters_sha256"] != hashes[0]


def test_our_own_ppo_reads_ppo_yml_and_takes_extensions(zoo: Zoo, tmp_path: Path) -> None:
    # Three rollouts: at the end of the third the learning rate is 0, so the second tells.
    own = ("--algo", "ppo_numpy", *AIM[2:], "-n", "6144")
    kept = ("-params", "extensions:dict(n_rollouts_kept=2)")
    for options in ((), ("--vec-env", "dummy"), kept):
        assert zoo(*own, *options).code == 0
    folders = [tmp_path / f"logs/ppo_numpy/SimpleAim-v0_{n}" for n in (1, 2, 3)]
    config = yaml.safe_load((folders[0] / "SimpleAim-v0/config.yml").read_text())
    assert config["learning_rate"] == "lin_1e-3"
    plain, again, extended = (summary(folder)["parameters_sha256"] for folder in folders)
    assert plain == again
    assert plain != extended
    config = yaml.safe_load((folders[2] / "SimpleAim-v0/config.yml").read_text())
    assert config["extensions"] == {"n_rollouts_kept": 2}
    assert zoo("enjoy", *own[:4], "--no-render", "-n", "200").code == 0
    # and SB3 opens what was trained
    assert PPO.load(folders[0] / "best_model.zip").observation_space.shape == (4,)


def test_auto_takes_the_vector_form_only_where_it_is_exact(zoo: Zoo, tmp_path: Path) -> None:
    zoo(*AIM, "-n", "2048")
    assert summary(tmp_path / "logs/ppo/SimpleAim-v0_1")["vec_env"] == "vector"
    # Gymnasium's own CartPole engine has one, but it ends episodes a step late.
    result = zoo("--env", "CartPole-v1", "-n", "256", "--final-eval-episodes", "2")
    assert summary(tmp_path / "logs/ppo/CartPole-v1_1")["vec_env"] == "dummy"
    assert "one step late" in result.out


def test_the_normalizer_is_saved_with_each_model(zoo: Zoo, tmp_path: Path) -> None:
    command = ("--env", "Pendulum-v1", *TINY, "--seed", "3", "-n", "1024", "--save-freq", "256")
    options = ("-params", "normalize:True", "n_steps:64", "batch_size:64", "n_envs:4")
    assert zoo(*command, *options).code == 0
    run = tmp_path / "logs/ppo/Pendulum-v1_1"
    counts = []
    for steps in (256, 512, 768, 1024):
        assert (run / f"rl_model_{steps}_steps.zip").is_file()
        path = run / f"rl_model_vecnormalize_{steps}_steps.pkl"
        counts.append(_normalizer(path).obs_rms.count)
    assert counts == sorted(counts)
    assert len(set(counts)) == 4, "each checkpoint has the statistics of its own step"
    assert (run / "best_model_vecnormalize.pkl").is_file()
    final = _normalizer(run / "Pendulum-v1/vecnormalize.pkl")
    assert final.obs_rms.count >= counts[-1]
    # and -i goes on with it
    assert zoo(*command, *options, "-i", run / "rl_model_512_steps.zip").code == 0
    resumed = _normalizer(tmp_path / "logs/ppo/Pendulum-v1_2/Pendulum-v1/vecnormalize.pkl")
    assert resumed.obs_rms.count == pytest.approx(counts[1] + 1024, abs=8)


def _normalizer(path: Path) -> VecNormalize:
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


def test_starting_from_a_trained_agent(zoo: Zoo, tmp_path: Path) -> None:
    zoo(*AIM, "-n", "16384")
    first = summary(tmp_path / "logs/ppo/SimpleAim-v0_1")
    model = tmp_path / "logs/ppo/SimpleAim-v0_1/SimpleAim-v0.zip"
    zoo(*AIM, "-n", "2048", "-i", model, "-params", "learning_rate:0.0")
    second = summary(tmp_path / "logs/ppo/SimpleAim-v0_2")
    assert second["steps"] == 2048
    assert second["parameters_sha256"] == first["parameters_sha256"], "nothing learned at rate 0"


def test_switching_things_off(zoo: Zoo, tmp_path: Path) -> None:
    options = ("--eval-freq", "-1", "--save-freq", "-1", "-tb", "", "--final-eval-episodes", "0")
    assert zoo(*AIM, "-n", "2048", *options).code == 0
    run = tmp_path / "logs/ppo/SimpleAim-v0_1"
    names = {path.name for path in run.iterdir()}
    assert not any(name.startswith(("rl_model", "best_model", "evaluations")) for name in names)
    assert not (tmp_path / "logs/tb").exists()
    assert "final_mean_return" not in summary(run)


def test_images_and_frame_stacks(zoo: Zoo, tmp_path: Path) -> None:
    wrappers = "[{'gymnasium.wrappers.MaxAndSkipObservation': {'skip': 2}}]"
    result = zoo(
        "--env", "CartPole-v1", *TINY, "-n", "64",
        "-params", f"env_wrapper:{wrappers}", "frame_stack:3", "n_steps:8", "batch_size:64",
    )  # fmt: skip
    assert result.code == 0, result.err
    model = PPO.load(tmp_path / "logs/ppo/CartPole-v1_1/CartPole-v1.zip")
    assert model.observation_space.shape == (12,)
    played = zoo("enjoy", "--env", "CartPole-v1", "--no-render", "-n", "100")
    assert played.code == 0, played.err


@pytest.mark.slow
@pytest.mark.parametrize("algo", algorithm_names())
def test_every_algorithm_trains_a_thousand_steps(zoo: Zoo, tmp_path: Path, algo: str) -> None:
    env = "TargetReach-v0" if algo in ("dqn", "qrdqn") else "SimpleAim-v0"
    off_policy = algo in ("crossq", "ddpg", "dqn", "qrdqn", "sac", "td3", "tqc")
    on_minibatches = algo == "ppo" or algo in OWN_ALGORITHMS
    extra = ["learning_starts:900"] * off_policy + ["batch_size:64"] * on_minibatches
    params = ("-params", "n_envs:1", *extra)
    result = zoo("--algo", algo, "--env", env, "-n", "1000", "--seed", "1", *TINY, *params)
    assert result.code == 0, result.err
    run = tmp_path / f"logs/{algo}/{env}_1"
    assert summary(run)["steps"] >= 1000
    assert np.isfinite(summary(run)["final_mean_return"])
    assert len(load_results(str(run))) > 0
    played = zoo("enjoy", "--algo", algo, "--env", env, "--no-render", "-n", "250")
    assert played.code == 0, played.err
    assert "mean return" in played.out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("form", ["vector", "subproc"])
def test_interrupted_training_saves_model_and_curve(
    tmp_path: Path, number: signal.Signals, form: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, ROOT / "zoo.py", *AIM[:6], "--vec-env", form, "-params", "n_envs:2"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    run = tmp_path / "logs/ppo/SimpleAim-v0_1"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:  # until some episodes have ended
        monitor = run / "monitor.csv"
        if monitor.is_file() and monitor.read_text().count("\n") > 5:
            break
        time.sleep(0.2)
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert "interrupted" in output
    assert PPO.load(run / "SimpleAim-v0.zip")
    assert (run / "curve.png").is_file()
    found = summary(run)
    assert found["interrupted"] is True
    assert found["steps"] > 0


def test_a_world_to_be_judged_in_that_cannot_be_played_is_told(zoo: Zoo, tmp_path: Path) -> None:
    chairs = ("--algo", "ppo_numpy", "--env", "MusicalChairs-v0")
    for kwargs, told in (("players:3", "observation space is"), ("plyers:3", "plyers")):
        answer = zoo(*chairs, "--eval-env-kwargs", kwargs)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert told in answer.err, answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("world", [("CartPole-v1",), SHORT])
def test_rl_zoos_own_enjoy_reads_our_folder(
    zoo: Zoo, tmp_path: Path, world: tuple[str, ...]
) -> None:
    entry = ("--conf-file", CARTS, "-n", "512", "--seed", "1")
    assert zoo("--env", *world, *entry, *TINY).code == 0
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "rl_zoo3.enjoy", "--algo", "ppo", "--env", *world,
         "-f", "logs", "--no-render", "-n", "200"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "Mean reward" in answer.stdout


@pytest.mark.parametrize("world", [SHORT, (f"{NAMESPACED}:{SHORT[0]}",)])
def test_a_world_in_a_namespace(zoo: Zoo, tmp_path: Path, world: tuple[str, ...]) -> None:
    """Its slash is no folder, and its own name is said afterwards."""
    (tmp_path / "my logs").mkdir()
    flags = ("-f", "my logs", "-c", CARTS, "--final-eval-episodes", "1", "--eval-freq", "-1")
    answer = zoo("--algo", "ppo_numpy", "--env", *world, *flags, "-n", "256")
    assert answer.code == 0, answer.err
    run = Path("my logs/ppo_numpy/carts-Short-v0_1")
    assert {"args.yml", "config.yml"} < {path.name for path in (run / "carts-Short-v0").iterdir()}
    assert list(Path("my logs/tb").iterdir()) == [Path("my logs/tb/carts-Short-v0")]
    printed = answer.out.rpartition("watch it:     python zoo.py ")[2]
    assert zoo(*shlex.split(printed), "--no-render", "-n", "60").code == 0
    assert zoo("reproduce", run).code == 0
    assert zoo("--resume", run, "-n", "512").code == 0
    assert summary(run)["env"] == "carts/Short-v0"
    assert (summary(run)["steps"], len(list(run.glob("carts-Short-v0.zip")))) == (512, 1)
    assert zoo("plot", "-f", "my logs", "--env", world[0]).code == 0


@pytest.mark.slow
def test_the_first_command_solves_its_world(zoo: Zoo, tmp_path: Path) -> None:
    assert zoo("--algo", "ppo", "--env", "SimpleAim-v0", "--seed", "0", "-n", "98304").code == 0
    assert summary(tmp_path / "logs/ppo/SimpleAim-v0_1")["final_mean_return"] >= 380


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_target_reach_is_solved(zoo: Zoo, tmp_path: Path, seed: int) -> None:
    assert zoo("--env", "TargetReach-v0", "--seed", seed, "--verbose", "0").code == 0
    found = summary(tmp_path / "logs/ppo/TargetReach-v0_1")
    assert found["steps"] <= 25_000
    assert found["final_mean_return"] >= 8.2


@pytest.mark.parametrize("flag", [(), ("--eval-env-kwargs", "max_episode_steps:2")])
def test_a_run_may_be_judged_in_a_world_of_other_arguments(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: tuple[str, ...]
) -> None:
    """The entry's ``eval_env_kwargs``, and what the command line says in its place."""
    built: list[dict[str, Any]] = []
    make = EnvBuilder._rows

    def noting(self: EnvBuilder, n_envs: int, seed: int, kwargs: dict[str, Any]) -> Any:
        built.append(kwargs)
        return make(self, n_envs, seed, kwargs)

    monkeypatch.setattr(EnvBuilder, "_rows", noting)
    entry = {"n_timesteps": 512, "n_envs": 2, "n_steps": 32, "policy": "MlpPolicy"}
    entry |= {"env_kwargs": {"players": 2}, "eval_env_kwargs": {"max_episode_steps": 4}}
    (tmp_path / "own.yml").write_text(yaml.safe_dump({"MusicalChairs-v0": entry}))
    chairs = ("--algo", "ppo_numpy", "--env", "MusicalChairs-v0", "--seed", "1", *TINY)
    assert zoo(*chairs, "-conf", "own.yml", "--vec-env", "vector", *flag).code == 0
    training, *judged = built
    assert training == {"players": 2}
    expected = {"max_episode_steps": 2} if flag else {"players": 2, "max_episode_steps": 4}
    # First whether it can be played, then on the way, the final policy, the best one.
    assert judged == [expected] * 4
    run = tmp_path / "logs/ppo_numpy/MusicalChairs-v0_1"
    with np.load(run / "evaluations.npz") as found:
        assert found["ep_lengths"].max() == expected["max_episode_steps"]
    assert load_results(str(run))["l"].max() > 4
