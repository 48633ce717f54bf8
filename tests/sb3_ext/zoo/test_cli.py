"""Wrong input is one clear line on stderr and exit code 2; help answers at once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb3_ext.zoo.registry import ALGORITHMS, OWN_ALGORITHMS
from tests.sb3_ext.zoo.conftest import Zoo

ROOT = Path(__file__).resolve().parents[3]
AIM = ("--algo", "ppo", "--env", "SimpleAim-v0")
FILES = {
    "misspelt.yml": "SimpleAim-v0:\n  n_timesteps: 100\n  lerning_rate: 0.1\n",
    "other.yml": "CartPole-v1:\n  n_timesteps: 100\n",
    "broken.yml": "SimpleAim-v0: [1\nx: 2\n",
    "list.yml": "- 1\n- 2\n",
    "scalar.yml": "SimpleAim-v0: 3\n",
    "steps.yml": "SimpleAim-v0:\n  n_timesteps: many\n",
    "none.yml": "SimpleAim-v0:\n  policy: MlpPolicy\n",
    "code.yml": 'SimpleAim-v0:\n  n_timesteps: 9\n  policy_kwargs: "exec(1)"\n',
    "extended.yml": "SimpleAim-v0:\n  n_timesteps: 9\n  extensions: {std: fixed}\n",
    "wrapper.yml": "SimpleAim-v0:\n  n_timesteps: 9\n  env_wrapper: no.such.Wrapper\n",
    "noise.yml": "SimpleAim-v0:\n  n_timesteps: 9\n  noise_type: pink\n  noise_std: 0.1\n",
    "model.zip": "this is no model",
    "file": "",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian",), "unknown command 'trian'; did you mean 'train'?"),
        (("--algo", "ppoo", "--env", "x"), "unknown algorithm 'ppoo'; did you mean 'ppo'"),
        (("--algo", "ppo"), "--env"),
        ((*AIM, "--sed", "1"), "unknown argument '--sed'; did you mean '--seed'"),
        ((*AIM, "--seed", "one"), "--seed"),
        ((*AIM, "--vec-env", "fast"), "--vec-env"),
        ((*AIM, "--sampler", "tpe"), "--sampler is a flag of `zoo.py tune`"),
        (("--env", "SimpelAim-v0"), "did you mean 'SimpleAim-v0'?"),
        (("--env", "no_such_package:SimpleAim-v0"), "no_such_package"),
        ((*AIM, "--gym-packages", "no_such_package"), "no_such_package"),
        ((*AIM, "-n", "0"), "n-timesteps must be at least 1"),
        ((*AIM, "-n", "-5"), "n-timesteps must be at least 1"),
        ((*AIM, "--eval-episodes", "0"), "--eval-episodes must be at least 1"),
        ((*AIM, "--seed", str(2**32)), "--seed must be below"),
        ((*AIM, "--n-eval-envs", "-1"), "--n-eval-envs must be at least 1"),
        ((*AIM, "-params", "frame_stack:two"), "frame_stack must be a whole number"),
        ((*AIM, "-params", "n_envs:2.5"), "n_envs must be a whole number"),
        ((*AIM, "--device", "nonsense"), "nonsense"),
        ((*AIM, "-params", "gama:0.9"), "'gama'; did you mean 'gamma'?"),
        ((*AIM, "-params", "gamma=0.9"), "expected key:value"),
        ((*AIM, "-params", "policy_kwargs:dict(net_arch=[64)"), "policy_kwargs"),
        ((*AIM, "-params", "n_steps:0"), "-params: n_steps must be at least 1, not 0"),
        ((*AIM, "-params", "learning_rate:steep_3"), "-params: learning_rate: unknown schedule"),
        ((*AIM, "-params", "policy:MplPolicy"), "MplPolicy"),
        ((*AIM, "-params", "policy_kwargs:dict(net_arc=[64])"), "net_arc"),
        ((*AIM, "--preset", "fast"), "no preset 'fast' for SimpleAim-v0"),
        ((*AIM, "--env-kwargs", "sise:3"), "no parameter 'sise'"),
        ((*AIM, "-conf", "absent.yml"), "absent.yml"),
        ((*AIM, "-conf", "no.such.package"), "no.such.package"),
        ((*AIM, "-conf", "misspelt.yml"), "'lerning_rate'; did you mean 'learning_rate'?"),
        ((*AIM, "-conf", "other.yml"), "no hyperparameters for --algo ppo --env SimpleAim-v0"),
        ((*AIM, "-conf", "broken.yml"), "broken.yml, line 2"),
        ((*AIM, "-conf", "list.yml"), "expected a mapping"),
        ((*AIM, "-conf", "scalar.yml"), "'SimpleAim-v0' is not a mapping"),
        ((*AIM, "-conf", "steps.yml"), "n_timesteps"),
        ((*AIM, "-conf", "none.yml"), "'n_timesteps' is missing"),
        ((*AIM, "-conf", "code.yml"), "not allowed"),
        ((*AIM, "-conf", "extended.yml"), "'extensions' are arguments of our own PPO"),
        ((*AIM, "-conf", "wrapper.yml"), "no.such.Wrapper"),
        (("--algo", "sac", "--env", "SimpleAim-v0", "-conf", "noise.yml"), "pink"),
        (("--algo", "dqn", "--env", "SimpleAim-v0"), "cannot build dqn"),
        (("--env", "Pendulum-v1", "--vec-env", "vector"), "has no vector form"),
        ((*AIM, "-i", "absent.zip"), "absent.zip"),
        ((*AIM, "-i", "model.zip"), "model.zip"),
        ((*AIM, "-f", "file/logs"), "cannot write to the log folder"),
        (("enjoy", *AIM), "nothing trained yet"),
        (("enjoy", *AIM, "--model", "absent.zip"), "no file 'absent.zip'"),
        (("enjoy", *AIM, "--model", "model.zip", "--no-render"), "not a model of PPO"),
        (("enjoy", *AIM, "-n", "0"), "at least 1"),
        (("list", "--wide"), "unknown argument '--wide'"),
    ],
)
def test_bad_input_is_one_line(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    result = zoo(*arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "logs").exists(), "a refused command leaves nothing behind"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["enjoy", "--help"], ["tune", "--help"], ["--algo", "x"], ["-xyz"]]
)
def test_answers_before_anything_heavy_is_imported(arguments: list[str]) -> None:
    code = (
        "import sys; from sb3_ext.zoo.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'numpy', 'torch', 'gymnasium', 'stable_baselines3'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    start = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    assert answer.returncode == (0 if "--help" in arguments else 2), answer.stderr
    assert seconds < 5, f"{seconds:.1f} s even on a loaded machine is no answer at once"


def test_no_arguments_shows_the_help(zoo: Zoo) -> None:
    result = zoo()
    assert result.code == 2
    assert "--algo" in result.out


def test_algorithms_are_rl_zoos() -> None:
    from rl_zoo3 import ALGOS

    # ours stand there as well once register() has been called in this process
    assert set(ALGORITHMS) == set(ALGOS) - set(OWN_ALGORITHMS)
    from sb3_ext.zoo.registry import load_algorithm

    for name in ALGORITHMS:
        assert load_algorithm(name) is ALGOS[name]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tb", "/proc/none"),
        ("-params", "callback:stable_baselines3.common.callbacks.EvalCallback"),
        ("--eval-env-kwargs", "sise:3"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder(
    zoo: Zoo, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = zoo(*AIM, "-n", "64", *arguments)
    assert result.code == 2
    assert result.err.count("\n") == 1, result.err
    assert not list((tmp_path / "logs").glob("ppo/*"))
