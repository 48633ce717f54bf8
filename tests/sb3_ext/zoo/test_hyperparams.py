"""The look-up of hyperparameters, and every shipped entry read for its algorithm."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import envs  # noqa: F401
from sb3_ext.zoo import hyperparams, registry
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, find_entry, own_folder, read_yaml, resolve
from sb3_ext.zoo.hyperparams import rl_zoo_folder as zoo_folder
from sb3_ext.zoo.make_env import EnvBuilder, choose_form


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Own files in ``own/``, RL Zoo's in ``zoo/``; ``ppo_mine`` stands for one of our four."""
    for folder in ("own", "zoo"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(hyperparams, "own_folder", lambda: tmp_path / "own")
    monkeypatch.setattr(hyperparams, "rl_zoo_folder", lambda: tmp_path / "zoo")
    monkeypatch.setattr(registry, "OWN_ALGORITHMS", {"ppo_mine": "stable_baselines3:PPO"})
    return tmp_path


def write(path: Path, **entries: dict[str, Any]) -> None:
    import yaml

    path.write_text(yaml.safe_dump({key.replace("_v", "-v"): v for key, v in entries.items()}))


def test_own_file_wins_over_ppo_yml_which_wins_over_rl_zoo(files: Path) -> None:
    write(files / "zoo/ppo.yml", A_v0={"x": 1}, B_v0={"x": 1}, C_v0={"x": 1})
    write(files / "own/ppo.yml", A_v0={"x": 2}, B_v0={"x": 2})
    write(files / "own/ppo_mine.yml", A_v0={"x": 3})
    assert [find_entry("ppo_mine", env).values["x"] for env in ("A-v0", "B-v0", "C-v0")] == [
        3,
        2,
        1,
    ]
    assert [find_entry("ppo", env).values["x"] for env in ("A-v0", "B-v0", "C-v0")] == [2, 2, 1]


def test_an_exact_id_anywhere_wins_over_a_default_nearby(files: Path) -> None:
    write(files / "own/ppo.yml", default={"x": 1})
    write(files / "zoo/ppo.yml", A_v0={"x": 2})
    entry = find_entry("ppo", "A-v0")
    assert (entry.values["x"], entry.notice) == (2, "")


def test_an_older_version_serves_with_a_notice(files: Path) -> None:
    write(files / "zoo/ppo.yml", A_v2={"x": 2}, A_v4={"x": 4}, A_v6={"x": 6}, AA_v3={"x": 3})
    entry = find_entry("ppo", "A-v5")
    assert entry.values["x"] == 4
    assert "A-v4" in entry.notice


def test_atari_then_default_with_a_notice(files: Path) -> None:
    write(files / "zoo/ppo.yml", atari={"x": 1}, default={"x": 2})
    assert find_entry("ppo", "Pong-v5", is_atari=True).values["x"] == 1
    entry = find_entry("ppo", "New-v0")
    assert entry.values["x"] == 2
    assert "default" in entry.notice


def test_presets(files: Path) -> None:
    path = files / "own/ppo.yml"
    path.write_text("A-v0: {x: 1}\nA-v0@fast: {x: 2}\nA-v0@slow: {x: 3}\n")
    assert find_entry("ppo", "A-v0").values["x"] == 1
    assert find_entry("ppo", "A-v0", preset="slow").values["x"] == 3
    assert find_entry("ppo_mine", "A-v0", preset="fast").values["x"] == 2
    with pytest.raises(ZooError, match="it has: fast, slow"):
        find_entry("ppo", "A-v0", preset="medium")


def test_conf_is_read_alone_and_must_hold_the_env(files: Path) -> None:
    write(files / "own/ppo.yml", A_v0={"x": 1})
    config = files / "mine.yml"
    write(config, B_v0={"x": 2}, default={"x": 3})
    assert find_entry("ppo", "B-v0", config=str(config)).values["x"] == 2
    with pytest.raises(ZooError, match="A-v0"):
        find_entry("ppo", "A-v0", config=str(config))
    module = files / "mine.py"
    module.write_text("hyperparams = {'A-v0': {'x': 7}}")
    assert find_entry("ppo", "A-v0", config=str(module)).values["x"] == 7


def test_values_become_objects_and_the_saved_ones_stay_plain() -> None:
    values = {
        "n_timesteps": 1e5,
        "n_envs": 4,
        "learning_rate": "lin_3e-4",
        "gamma": 0.9,
        "normalize": "dict(norm_obs=True, norm_reward=False)",
        "policy_kwargs": "dict(activation_fn=nn.ReLU, net_arch=[8])",
    }
    algorithm = registry.load_algorithm("ppo")
    settings = resolve(Entry(values, "A-v0", "f.yml"), algorithm, "ppo", {"n_steps": 8})
    assert settings.n_timesteps == 100_000
    assert settings.n_envs == 4
    assert settings.normalize == {"norm_obs": True, "norm_reward": False, "gamma": 0.9}
    assert settings.algorithm["policy_kwargs"] == {"activation_fn": nn.ReLU, "net_arch": [8]}
    assert settings.algorithm["learning_rate"](0.5) == pytest.approx(1.5e-4)
    assert settings.algorithm["n_steps"] == 8
    assert settings.saved == values | {"n_steps": 8}


def every_entry(folder: Path | None) -> list[tuple[str, str, str]]:
    """(file, algorithm, key) of each entry; RL Zoo's her.yml is marked obsolete by its authors."""
    assert folder is not None
    return [
        (str(path), path.stem, key)
        for path in sorted(folder.glob("*.yml"))
        if path.stem in registry.algorithm_names()
        for key in read_yaml(path)
    ]


@pytest.mark.parametrize(("path", "algo", "key"), every_entry(zoo_folder()))
def test_rl_zoos_entries_are_understood(path: str, algo: str, key: str) -> None:
    entry = Entry(read_yaml(Path(path))[key], key, path)
    assert resolve(entry, registry.load_algorithm(algo), algo).n_timesteps > 0


@pytest.mark.parametrize(("path", "algo", "key"), every_entry(own_folder()))
def test_own_entries_build_their_algorithm(path: str, algo: str, key: str) -> None:
    entry = Entry(read_yaml(Path(path))[key], key, path)
    if "extensions" in entry.values:  # which stable-baselines3's algorithm refuses
        algo = f"{algo}_numpy"
    algorithm = registry.load_algorithm(algo)
    settings = resolve(entry, algorithm, algo)
    env_id = key.partition("@")[0]
    if env_id == "default":
        return
    if env_id == "RocketLeague-v0":
        pytest.importorskip("rlgym.rocket_league.sim", reason="Rocket League isn't installed")
    spec = registry.find_env(env_id)
    form, _ = choose_form("auto", spec, settings, algo)
    env = EnvBuilder(spec, settings, form, settings.env_kwargs).train(settings.n_envs, seed=0)
    model = algorithm(env=env, **settings.algorithm)
    assert model.policy is not None
    env.close()
