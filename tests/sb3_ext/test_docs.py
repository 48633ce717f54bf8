"""The examples of docs/networks.md run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("equinox")
pytest.importorskip("mlx.core")
torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "networks.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


EXAMPLES = [text for text in blocks("python") if "import" in text]
BACKENDS = ("torch", "jax", "mlx", "numpy")


@pytest.mark.parametrize("number", range(len(BACKENDS)), ids=BACKENDS)
def test_example(number):
    namespace = {"__name__": "example"}
    exec(compile(EXAMPLES[number], str(PAGE), "exec"), namespace)
    model = namespace["model"]
    assert model.actor_critic.name == BACKENDS[number]
    assert type(namespace["trained"]).__name__ == model.policy_kwargs["network"].__name__


def test_a_layer_of_ones_own():
    exec(compile(EXAMPLES[len(BACKENDS)], str(PAGE), "exec"), {"__name__": "example"})
    assert len(EXAMPLES) == len(BACKENDS) + 1


def test_the_yaml_through_the_command_line(tmp_path):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    definition, _, _ = EXAMPLES[BACKENDS.index("numpy")].partition("\n\nmodel = ")
    (package / "nets.py").write_text(definition)
    (entry,) = blocks("yaml")
    (tmp_path / "shared.yml").write_text(entry)
    (command,) = blocks("bash")
    arguments = command.split("zoo.py ")[1].split()
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MPLBACKEND": "Agg"}
    train = [*arguments, "--eval-freq", "-1", "--final-eval-episodes", "1"]
    for further in (train, ["enjoy", *arguments[:4], "--no-render", "-n", "10"]):
        answer = subprocess.run(
            [sys.executable, ROOT / "zoo.py", *further],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
    config = next((tmp_path / "logs" / "ppo_numpy").rglob("config.yml")).read_text()
    assert "my_package.nets:Shared" in config
