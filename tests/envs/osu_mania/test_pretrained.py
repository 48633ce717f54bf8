"""The agents that are shipped play as docs/osu-mania.md says, on maps they haven't seen."""

import importlib.util
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml

from benchmarks.osu_mania import play_maps
from envs.osu_mania.env import PRETRAINED
from sb3_ext import PPO

UNSEEN = {"map_seed": 99, "difficulty": (1.0, 3.0), "seconds": 10.0}


def accuracy(name, n_maps, **options):
    """Mean accuracy of a shipped agent."""
    model = PPO.load(PRETRAINED[name], device="cpu")
    found, _ = play_maps(lambda seen: model.predict(seen, deterministic=True)[0], n_maps, options)
    return float(found.mean())


def env_kwargs(name):
    """What the zoo makes its world with."""
    config = Path(PRETRAINED[name]).with_suffix("") / "config.yml"
    return yaml.safe_load(config.read_text())["env_kwargs"]


@pytest.mark.parametrize("name", PRETRAINED)
def test_they_are_small_and_fit_their_world(name):
    path = Path(PRETRAINED[name])
    assert path.stat().st_size < 2**20
    model = PPO.load(path, device="cpu")
    env = gym.make("envs:OsuMania-v0", **env_kwargs(name))
    assert env.observation_space == model.observation_space
    assert env.action_space == model.action_space
    if name == "pixels":
        assert sum(array.size for array in model.actor_critic.parameters().values()) < 250_000


@pytest.mark.parametrize("pattern", ["stream", "jack", "hold", "mixed"])
def test_the_compact_agent(pattern):
    assert accuracy("compact", 10, pattern=pattern, **UNSEEN) > 0.99


@pytest.mark.parametrize("pattern", ["jack", "hold"])
def test_the_agent_that_sees_pixels(pattern):
    assert accuracy("pixels", 4, **env_kwargs("pixels") | {"pattern": pattern} | UNSEEN) > 0.95


def test_the_compact_agent_at_other_rates():
    assert accuracy("compact", 10, pattern="mixed", rate=1.5, **UNSEEN) > 0.98
    assert accuracy("compact", 10, pattern="mixed", ruleset="lazer", **UNSEEN) > 0.95


def test_rows_of_maps_are_all_different():
    seen = []
    play_maps(lambda frames: seen.append(frames) or np.zeros((4, 4), np.int8), 4, UNSEEN)
    assert len({row.tobytes() for row in seen[60]}) == 4


@pytest.mark.slow
def test_the_script_that_taught_it():
    """After a 40th of the lesson the pupil errs less than half as often as who does nothing."""
    script = Path(__file__).parents[3] / "docs" / "examples" / "osu_from_pixels.py"
    spec = importlib.util.spec_from_file_location("osu_from_pixels", script)
    lesson = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lesson)
    pupil = lesson.teach(36_000, seed=0)
    env = gym.make_vec("OsuMania-v0", num_envs=16, **lesson.WORLD | UNSEEN)
    observation, _ = env.reset(seed=0)
    wrong, needed = [], []
    for _ in range(300):
        right = lesson.right_keys(env.rows)
        wrong.append(pupil.predict(observation, deterministic=True)[0] != right)
        needed.append(right)
        observation = env.step(right)[0]
    assert np.mean(wrong) < 0.5 * np.mean(needed)
