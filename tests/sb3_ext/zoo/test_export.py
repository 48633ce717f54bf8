"""``zoo.py export``, and ``enjoy`` with what it wrote: the agent plays the same from every file."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3

from sb3_ext import PPO
from sb3_ext.portable.npz import save_npz
from sb3_ext.zoo import export as exporting
from tests.sb3_ext.zoo.conftest import Result, Zoo

for library in ("onnx", "onnxruntime", "safetensors"):
    pytest.importorskip(library)

FORMATS = {"onnx": ".onnx", "sb3": ".zip", "npz": ".npz", "safetensors": ".safetensors"}
PENDULUM = ("--env", "Pendulum-v1", "--algo", "ppo_numpy")
QUICK = ("-n", "256", "--seed", "1", "--verbose", "0", "--final-eval-episodes", "0")
VALUES = ("n_steps:64", "n_envs:2", "batch_size:64", "n_epochs:1")
PLAY = ("--no-render", "-n", "200")


@pytest.fixture
def run(zoo: Zoo, tmp_path: Path) -> Path:
    """The folder of a run on a VecNormalize."""
    assert zoo(*PENDULUM, *QUICK, "-params", "normalize:True", *VALUES).code == 0
    return tmp_path / "logs/ppo_numpy/Pendulum-v1_1"


def small(tmp_path: Path, **options: Any) -> Path:
    """A lone model."""
    options = {"n_steps": 32, "batch_size": 32, "seed": 0} | options
    PPO("MlpPolicy", "Pendulum-v1", **options).save(tmp_path / "small.zip")
    return tmp_path / "small.zip"


def files(folder: Path) -> dict[str, bytes]:
    """Everything there."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_one_line(result: Result, *messages: str) -> None:
    assert result.code == 2, result.out
    assert result.err.count("\n") == 1, result.err
    assert "Traceback" not in result.err
    for message in messages:
        assert message in result.err


def episodes(result: Result) -> list[str]:
    """What was played, without the line that says of what file."""
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line.startswith(("episode", "mean"))]
    assert lines
    return lines


def test_every_file_plays_the_same(zoo: Zoo, run: Path, tmp_path: Path) -> None:
    wanted = episodes(zoo("enjoy", *PENDULUM, *PLAY))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for to, suffix in FORMATS.items():
        result = zoo("export", *PENDULUM, "--to", to)
        assert result.code == 0, result.err
        assert "on 256 observations, largest difference" in result.out
        assert float(result.out.split()[-1]) <= 1e-5
        beside = run / f"Pendulum-v1{'_sb3' if to == 'sb3' else ''}{suffix}"
        assert result.out.startswith(f"{beside.relative_to(tmp_path)}: acts as")
        lone = elsewhere / f"agent{suffix}"
        assert zoo("export", *PENDULUM, "--to", to, "-o", lone).code == 0
        assert lone.read_bytes() == beside.read_bytes() or to == "sb3"  # a .zip tells the time
        for path in (beside, lone):
            played = zoo("enjoy", *PENDULUM, *PLAY, "--model", path)
            assert episodes(played) == wanted, path
            assert f"playing {path}" in played.out
    assert (elsewhere / "agent_vecnormalize.pkl").is_file()
    model = stable_baselines3.PPO.load(elsewhere / "agent.zip")
    assert model.predict(np.zeros(3, np.float32), deterministic=True)[0].shape == (1,)


def test_from_file_to_file(zoo: Zoo, run: Path, tmp_path: Path) -> None:
    """Nothing is lost on the way: from .zip to .npz to .safetensors to .zip to .onnx."""
    wanted = episodes(zoo("enjoy", *PENDULUM, *PLAY))
    source = run / "Pendulum-v1.zip"
    for step, to in enumerate(("npz", "safetensors", "sb3", "onnx")):
        target = tmp_path / f"{step}{FORMATS[to]}"
        result = zoo("export", "--model", source, "--to", to, "-o", target)
        assert result.code == 0, result.err
        source = target
    for path in tmp_path.glob("?.*"):
        assert episodes(zoo("enjoy", *PENDULUM, *PLAY, "--model", path)) == wanted
    assert_one_line(zoo("export", "--model", source, "--to", "npz"), "holds a graph")


def test_which_model(zoo: Zoo, run: Path) -> None:
    for flags, name in (
        (("--load-best",), "best_model"),
        (("--load-last-checkpoint",), "rl_model_256_steps"),
        (("--exp-id", "1"), "Pendulum-v1"),
    ):
        assert zoo("export", *PENDULUM, "--to", "npz", *flags).code == 0
        assert (run / f"{name}.npz").is_file()


def test_training_goes_on_from_a_file(zoo: Zoo, run: Path) -> None:
    assert zoo("export", *PENDULUM, "--to", "safetensors", "--optimizer").code == 0
    source = run / "Pendulum-v1.safetensors"
    values = ("--eval-freq", "-1", "-params", *VALUES)
    result = zoo(*PENDULUM, "-n", "128", "--final-eval-episodes", "0", "-i", source, *values)
    assert result.code == 0, result.err
    assert "goes on with the normalizer" in result.out
    assert (run.with_name("Pendulum-v1_2") / "Pendulum-v1/vecnormalize.pkl").is_file()


def test_other_algorithms(zoo: Zoo, tmp_path: Path) -> None:
    for name, cls, env in (
        ("sac", stable_baselines3.SAC, "Pendulum-v1"),
        ("dqn", stable_baselines3.DQN, "CartPole-v1"),
    ):
        cls("MlpPolicy", env, buffer_size=10, seed=0).save(tmp_path / f"{name}.zip")
        world = ("--algo", name, "--env", env)
        path, out = tmp_path / f"{name}.zip", tmp_path / f"{name}.onnx"
        result = zoo("export", *world, "--model", path, "--to", "onnx")
        assert result.code == 0, result.err
        wanted = episodes(zoo("enjoy", *world, *PLAY, "--model", path))
        assert episodes(zoo("enjoy", *world, *PLAY, "--model", out)) == wanted
        for to in ("npz", "safetensors", "sb3"):
            refused = zoo("export", *world, "--model", path, "--to", to)
            assert_one_line(refused, f"not {name} (--to onnx can)")


def test_what_sb3_lacks_is_refused_by_name(zoo: Zoo, tmp_path: Path) -> None:
    for extensions in ({"std": "state"}, {"mean": "tanh"}):
        path = small(tmp_path, extensions=extensions)
        before = files(tmp_path)
        (name, value), *_ = extensions.items()
        result = zoo("export", "--model", path, "--to", "sb3", "-o", "x.zip")
        assert_one_line(result, f"no extension {name}={value!r}")
        assert files(tmp_path) == before
    path = small(tmp_path, extensions={"accumulate_minibatches": 2})
    result = zoo("export", "--model", path, "--to", "sb3", "-o", "x.zip")
    assert result.code == 0, result.err
    assert "would train on without: accumulate_minibatches" in result.out


def test_code_in_a_model_is_left_out_aloud(zoo: Zoo, tmp_path: Path) -> None:
    path = small(tmp_path, learning_rate=lambda progress: 1e-4)
    result = zoo("export", "--model", path, "--to", "npz")
    assert result.code == 0, result.err
    assert "learning_rate is code" in result.out
    assert PPO.load(tmp_path / "small.npz").learning_rate == 3e-4


def test_a_bare_archive(zoo: Zoo, tmp_path: Path) -> None:
    path = small(tmp_path, policy_kwargs={"activation_fn": "relu", "net_arch": [8]})
    bare = tmp_path / "bare.npz"
    save_npz(bare, PPO.load(path).actor_critic.parameters())
    wanted = episodes(zoo("enjoy", *PENDULUM, *PLAY, "--model", path))
    told = ("--policy-kwargs", "activation_fn:relu")
    played = zoo("enjoy", *PENDULUM, *PLAY, "--model", bare, *told)
    assert episodes(played) == wanted
    assert "taking tanh" not in played.out
    assert "taking tanh" in zoo("enjoy", *PENDULUM, *PLAY, "--model", bare).out
    assert zoo("export", *PENDULUM, "--model", bare, *told, "--to", "onnx").code == 0
    assert episodes(zoo("enjoy", *PENDULUM, *PLAY, "--model", tmp_path / "bare.onnx")) == wanted
    assert_one_line(zoo("export", "--model", bare, "--to", "onnx"), "--env says what they are for")
    other = zoo("enjoy", "--env", "CartPole-v1", *PLAY, "--model", bare)
    assert_one_line(other, "no network for Box")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "arguments are required: --to"),
        (("--to", "tflite"), "invalid choice: 'tflite'"),
        (("--to", "onnx", "-o", "no/x.onnx"), "there is no folder 'no'"),
        (("--to", "onnx", "-o", "x.zip"), "--to onnx writes a .onnx"),
        (("--to", "onnx", "-o", ""), "--to onnx writes a .onnx"),
        (("--to", "sb3", "-o", "small.zip"), "is the model itself"),
        (("--to", "npz", "-o", "folder.npz"), "is a folder"),
        (("--to", "npz", "-o", "/proc/x.npz"), "-o /proc/x.npz: "),
        (("--to", "onnx", "--optimizer"), "--optimizer: --to onnx does not take it"),
        (("--to", "onnx", "--algo", "sac"), "not a model of SAC"),
        (("--to", "onnx", "--model", "none.zip"), "there is no file 'none.zip'"),
        (("--to", "onnx", "--model", "damaged.zip"), "damaged.zip: not a model of ppo"),
        (("--to", "onnx", "--model", "damaged.npz"), "damaged.npz: no NumPy archive"),
        (("--to", "onnx", "--model", "damaged.safetensors"), "no safetensors file"),
        (("--to", "onnx", "--env", "Pendulum-v7"), "unknown environment"),
        (("--to", "npz", "--policy-kwargs", "relu"), "expected key:value"),
        (("--to", "npz", "--policy-kwargs", "activation_fn:relu"), "says itself"),
        (("--to", "npz", "--env-kwargs", "g:3"), "--env-kwargs: no world is made"),
        (("--to", "npz", "--device", "cpu"), "unknown argument '--device'"),
        (("--to", "sb3", "-o", "taken.zip"), "would be taken for its own"),
        (("--to", "npz", "--out", "x.npz"), "unknown argument '--out'"),
    ],
)
def test_wrong_input_leaves_nothing(
    zoo: Zoo, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    small(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "taken_vecnormalize.pkl").touch()
    for suffix in ("zip", "npz", "safetensors", "onnx"):
        (tmp_path / f"damaged.{suffix}").write_bytes(b"damaged")
    before = files(tmp_path)
    assert_one_line(zoo("export", "--model", "small.zip", *flags), message)
    assert files(tmp_path) == before


def test_no_model_at_all(zoo: Zoo, tmp_path: Path) -> None:
    assert_one_line(zoo("export", "--to", "onnx"), "which model?")
    assert_one_line(zoo("export", *PENDULUM, "--to", "onnx"), "no run of --algo ppo_numpy")
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("to", "library"),
    [("onnx", "onnx"), ("onnx", "onnxruntime"), ("safetensors", "safetensors")],
)
def test_a_missing_library_names_the_extra(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, library: str
) -> None:
    path = small(tmp_path)
    assert zoo("export", "--model", path, "--to", to).code == 0
    made = tmp_path / f"small{FORMATS[to]}"
    monkeypatch.setitem(sys.modules, library, None)
    before = files(tmp_path)
    result = zoo("export", "--model", path, "--to", to, "-o", tmp_path / f"x{FORMATS[to]}")
    assert_one_line(result, f"needs {library}: pip install 'sb3_ext[export]'")
    assert files(tmp_path) == before
    if library != "onnx":  # playing needs the runtime alone
        result = zoo("enjoy", *PENDULUM, *PLAY, "--model", made)
        assert_one_line(result, "pip install 'sb3_ext[export]'")


def test_what_acts_otherwise_is_not_written(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(tmp_path)
    old = tmp_path / "small.onnx"
    old.write_bytes(b"the old one")
    right = exporting.to_onnx

    def wrong(model: PPO, normalizer: Any) -> bytes:
        parameters = model.actor_critic.parameters()
        parameters["action_net.bias"] += 1e-3
        model.actor_critic.load_parameters(parameters)
        data = right(model, normalizer)
        parameters["action_net.bias"] -= 1e-3
        model.actor_critic.load_parameters(parameters)
        return data

    monkeypatch.setattr(exporting, "to_onnx", wrong)
    before = files(tmp_path)
    result = zoo("export", "--model", path, "--to", "onnx")
    assert_one_line(result, "small.onnx would act otherwise than", "more than 1e-05")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--model", "small.onnx", "--stochastic"), "most likely action alone"),
        (("--model", "small.safetensors", "--algo", "sac"), "hold a PPO, no SAC"),
        (("--model", "small.zip", "--policy-kwargs", "activation_fn:relu"), "says itself"),
        (("--model", "damaged.onnx"), "damaged.onnx: no ONNX file"),
        (("--model", "damaged.npz"), "damaged.npz: no NumPy archive"),
        (("--model", "damaged.safetensors"), "damaged.safetensors: no safetensors file"),
        (("--model", "small.onnx", "--env", "CartPole-v1"), "was not trained on CartPole-v1"),
        (("--model", "small.npz", "--env", "CartPole-v1"), "was not trained on CartPole-v1"),
    ],
)
def test_wrong_files_to_play(
    zoo: Zoo, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    path = small(tmp_path)
    for to in ("onnx", "npz", "safetensors"):
        assert zoo("export", "--model", path, "--to", to).code == 0
        (tmp_path / f"damaged.{to}").write_bytes(path.read_bytes()[:100])
    before = files(tmp_path)
    assert_one_line(zoo("enjoy", *PENDULUM, *PLAY, *flags), message)
    assert files(tmp_path) == before


def test_a_normalizer_that_is_gone(zoo: Zoo, run: Path) -> None:
    shutil.move(run / "Pendulum-v1/vecnormalize.pkl", run / "gone.pkl")
    before = files(run)
    assert_one_line(zoo("export", *PENDULUM, "--to", "onnx"), "vecnormalize.pkl is missing")
    (run / "Pendulum-v1/vecnormalize.pkl").write_bytes(b"damaged")
    assert_one_line(zoo("export", *PENDULUM, "--to", "onnx"), "not a normalizer")
    (run / "Pendulum-v1/vecnormalize.pkl").unlink()
    assert files(run) == before
