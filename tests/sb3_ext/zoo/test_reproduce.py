"""A run is trained again from its folder alone; what differs is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sb3_ext.zoo.conftest import Zoo

TRAINED = (
    "--algo", "ppo_numpy", "--env", "TargetReach-v0", "--seed", "5", "-n", "1024", "--verbose",
    "0", "--final-eval-episodes", "2", "--eval-episodes", "2", "--save-freq", "256",
    "-params", "n_envs:2", "n_steps:64", "learning_rate:lin_2e-3", "normalize:True",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's log folder."""
    from sb3_ext.zoo.cli import main

    folder = tmp_path_factory.mktemp("trained") / "logs"
    assert main(["-f", str(folder), *TRAINED]) == 0
    return folder


@pytest.fixture
def run(trained: Path, zoo: Zoo) -> Path:
    """Its folder, of which nothing but what reproducing needs is left."""
    shutil.copytree(trained, "logs")
    folder = Path("logs/ppo_numpy/TargetReach-v0_1")
    for path in folder.iterdir():
        if path.is_file() and path.name != "summary.json":
            path.unlink()
    return folder


def change(run: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = run / "summary.json"
    summary = json.loads(path.read_text())
    edit(summary)
    path.write_text(json.dumps(summary))


def test_an_equal_run(zoo: Zoo, run: Path) -> None:
    result = zoo("reproduce", "TargetReach-v0_1", "--keep", "again")
    assert result.code == 0, result.err
    sha = json.loads((run / "summary.json").read_text())["parameters_sha256"]
    assert f"equal, bit for bit: {sha} after 1,024 steps" in result.out
    assert {path.name for path in Path("again/ppo_numpy").iterdir()} == {"TargetReach-v0_1"}
    assert {path.name for path in Path("logs").iterdir()} == {"ppo_numpy", "tb"}, "no new run"


def test_what_differs_is_named(zoo: Zoo, run: Path) -> None:
    def elsewhere(summary: dict[str, Any]) -> None:
        summary["parameters_sha256"] = "0" * 64
        summary["versions"]["numpy"] = "1.0"
        summary["machine"]["cpu"] = "Z80"

    change(run, elsewhere)
    result = zoo("reproduce", run, "--verbose", "0")
    assert result.code == 1
    assert f"different: {'0' * 64} after 1,024 steps" in result.out
    causes = [line for line in result.out.splitlines() if "what differs" in line]
    assert causes[0].startswith("  what differs: numpy was 1.0, is 2.")
    assert causes[1].startswith("  what differs: cpu was Z80, is ")
    assert len(causes) == 2


def test_a_run_that_was_gone_on_with(zoo: Zoo, run: Path) -> None:
    def resumed(summary: dict[str, Any]) -> None:
        summary["resumed"] = [{"steps": 256, "inexact": ["its episodes were lost"]}]
        summary["parameters_sha256"] = "0" * 64
        del summary["machine"]

    change(run, resumed)
    result = zoo("reproduce", run)
    assert result.code == 1
    assert "that run went on at step 256: its episodes were lost" in result.out
    assert "what differs: went on at step 256" in result.out
    assert "what differs: the run does not tell its machine" in result.out


def test_nothing_that_is_recorded(zoo: Zoo, run: Path) -> None:
    change(run, lambda summary: summary.update(parameters_sha256="0" * 64))
    result = zoo("reproduce", run, "--verbose", "0")
    assert result.code == 1
    assert "what differs: nothing that is recorded" in result.out


def test_what_cannot_be_trained_again(zoo: Zoo, run: Path) -> None:
    def refused(*messages: str) -> None:
        result = zoo("reproduce", run)
        assert result.code == 2
        assert result.err.count("\n") == 1, result.err
        assert all(message in result.err for message in messages), result.err

    whole = (run / "summary.json").read_text()
    change(run, lambda summary: summary.update(interrupted=True, steps=500))
    refused("broke off after 500 steps", "--resume goes on with it")
    change(run, lambda summary: summary.update(interrupted=False, error="KeyError: 3"))
    refused("broke off after 500 steps")
    (run / "summary.json").write_text("[]")
    refused("summary.json is damaged")
    (run / "summary.json").unlink()
    refused("has no summary.json")
    (run / "summary.json").write_text(whole)
    arguments = run / "TargetReach-v0/args.yml"
    text = arguments.read_text()
    arguments.write_text(text.replace("trained_agent: ''", "trained_agent: gone.zip"))
    refused("-i/--trained-agent: 'gone.zip' is no model")
    arguments.unlink()
    refused("is no run: it has no <world>/args.yml")
    assert {path.name for path in Path("logs").iterdir()} == {"ppo_numpy", "tb"}
