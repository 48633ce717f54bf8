"""Run folders: numbers, look-up, plain YAML."""

from pathlib import Path

import pytest
import yaml

from sb3_ext.zoo import runs
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping


def test_numbers_go_up(tmp_path: Path) -> None:
    assert runs.create_run(tmp_path, "ppo", "A-v0").folder.name == "A-v0_1"
    assert runs.create_run(tmp_path, "ppo", "A-v0").folder.name == "A-v0_2"
    assert runs.create_run(tmp_path, "ppo", "A-v0_extra").folder.name == "A-v0_extra_1"
    unique = runs.create_run(tmp_path, "ppo", "A-v0", unique=True)
    assert unique.folder.name.startswith("A-v0_3_")
    assert runs.find_run(tmp_path, "ppo", "A-v0").folder == unique.folder
    assert runs.find_run(tmp_path, "ppo", "A-v0", 1).folder.name == "A-v0_1"
    assert runs.find_run(tmp_path, "ppo", "A-v0", 2).name == "ppo_2"


def test_ten_is_newer_than_nine(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"ppo/A-v0_{number}").mkdir(parents=True)
    assert runs.find_run(tmp_path, "ppo", "A-v0").folder.name == "A-v0_10"
    with pytest.raises(ZooError, match="there are: 9, 10"):
        runs.find_run(tmp_path, "ppo", "A-v0", 1)


def test_no_run_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "ppo/Pendulum-v1_1").mkdir(parents=True)
    with pytest.raises(ZooError, match="did you mean 'Pendulum-v1'"):
        runs.find_run(tmp_path, "ppo", "Pendulum-v0")


def test_the_normalizer_of_each_model(tmp_path: Path) -> None:
    (tmp_path / "A-v0").mkdir()
    names = {
        "A-v0.zip": "A-v0/vecnormalize.pkl",
        "best_model.zip": "best_model_vecnormalize.pkl",
        "rl_model_20_steps.zip": "rl_model_vecnormalize_20_steps.pkl",
    }
    assert runs.normalizer_of(tmp_path / "A-v0.zip") is None
    for normalizer in names.values():
        (tmp_path / normalizer).touch()
    for model, normalizer in names.items():
        assert runs.normalizer_of(tmp_path / model) == tmp_path / normalizer
    # RL Zoo's runs have one for all models
    (tmp_path / "rl_model_vecnormalize_20_steps.pkl").unlink()
    found = runs.normalizer_of(tmp_path / "rl_model_20_steps.zip")
    assert found == tmp_path / "A-v0/vecnormalize.pkl"


def test_yaml_is_plain_and_rl_zoos_is_read_without_running_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    runs.write_yaml(path, {"a": (1, 2), "b": {"c": None}, "d": Path("x")})
    assert yaml.safe_load(path.read_text()) == {"a": [1, 2], "b": {"c": None}, "d": "x"}
    path.write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - n_envs\n    - 8\n"
        "  - - learning_rate\n    - !!python/object/apply:os.system ['touch ran']\n"
    )
    assert read_mapping(path, ForeignLoader) == {"n_envs": 8, "learning_rate": None}
    assert not Path("ran").exists()
    with pytest.raises(ZooError, match=r"absent\.yml"):
        read_mapping(tmp_path / "absent.yml", ForeignLoader)
