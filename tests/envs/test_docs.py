"""The examples of docs/worlds.md run as they stand."""

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from envs import noise

PAGE = Path(__file__).parents[2] / "docs" / "worlds.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.splitlines()[-1][:30])
def test_example(example):
    namespace = {"__name__": "example"}
    exec(compile(example, str(PAGE), "exec"), namespace)
    if "uniforms" in namespace:
        expected = noise.Philox().uniforms(5 + 2, noise.STEP, 3, 1, 12)[0]
        drawn = namespace["uniforms"](5, 2, noise.STEP, 3, 12)
        np.testing.assert_array_equal(drawn, expected)


def test_there_are_examples():
    assert len(EXAMPLES) == 3
