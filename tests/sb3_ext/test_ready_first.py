"""Rollouts in which every row goes at its own pace, against lockstep and against single envs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from callbacks import LiveViewCallback
from sb3_ext import PPO
from sb3_ext.vec_env import EpisodeLog, SharedMemoryVecEnv
from sb3_ext.vec_env.rows import RowVecNormalize
from tests.sb3_ext.vec_env.dice import Dice, SlowDice

SMALL = {"n_steps": 20, "batch_size": 20, "n_epochs": 2, "seed": 5, "backend": "numpy"}
READY = {"extensions": {"min_inference_size": 1}}


def trained(env: VecEnv, policy: str = "MlpPolicy", **kwargs: Any) -> PPO:
    model = PPO(policy, env, **SMALL | kwargs)
    model.learn(3 * 20 * env.num_envs)
    return model


def parameters(model: PPO) -> bytes:
    return b"".join(part.tobytes() for part in model.actor_critic.parameters().values())


# One worker has all its rows ready at once: whoever is ready first is everybody.


@pytest.mark.parametrize(
    ("obs", "action", "policy", "wrap", "kwargs"),
    [
        ("box", "discrete", "MlpPolicy", EpisodeLog, {}),
        ("box", "box", "MlpPolicy", VecNormalize, {}),
        ("box", "box", "MlpPolicy", RowVecNormalize, {}),
        ("box", "box", "MlpPolicy", None, {"use_sde": True, "sde_sample_freq": 3}),
        ("box", "box", "MlpPolicy", None, {"use_sde": True}),
        ("box", "multidiscrete", "MlpPolicy", None, {"extensions": {"n_rollouts_kept": 2}}),
        ("dict", "multibinary", "MultiInputPolicy", VecTransposeImage, {}),
        ("box", "discrete", "MlpPolicy", None, {"backend": "torch"}),
        ("box", "discrete", "MlpPolicy", None, {"backend": "jax"}),
        ("box", "discrete", "MlpPolicy", None, {"backend": "mlx"}),
    ],
)
def test_with_everybody_ready_it_is_lockstep(
    obs: str,
    action: str,
    policy: str,
    wrap: Callable[[VecEnv], VecEnv] | None,
    kwargs: dict[str, Any],
) -> None:
    if "backend" in kwargs:
        pytest.importorskip({"mlx": "mlx.core"}.get(kwargs["backend"], kwargs["backend"]))
    models = []
    for ready in ({}, {"min_inference_size": 1}):
        env: VecEnv = SharedMemoryVecEnv([lambda: Dice(obs, action)] * 3, n_workers=1)
        env = env if wrap is None else wrap(env)
        extensions = kwargs.get("extensions", {}) | ready
        models.append(trained(env, policy, **kwargs | {"extensions": extensions}))
        env.close()
    together, ready_first = models
    assert parameters(together) == parameters(ready_first)
    for name in ("num_timesteps", "_n_updates", "_noise_step"):
        assert getattr(together, name) == getattr(ready_first, name)
    lengths = [[episode["l"] for episode in model.ep_info_buffer] for model in models]
    assert lengths[0] == lengths[1] and lengths[0]


# Rows that differ in pace


class Watches(BaseCallback):
    """Checks what it sees at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def _on_step(self) -> bool:
        seen = self.locals
        m = len(seen["rows"])
        self.sizes.append(m)
        for name in ("actions", "clipped_actions", "new_obs", "rewards", "dones", "infos", "obs"):
            assert len(seen[name]) == m
        assert seen["values"].shape == (m, 1)
        return True


def gae(rewards: Any, values: Any, ends: Any, last_value: float, model: PPO) -> list[float]:
    """The definition, for one row."""
    advantages, later, next_value = [], 0.0, last_value
    for reward, value, end in zip(rewards[::-1], values[::-1], ends[::-1], strict=True):
        going_on = 1.0 - end
        delta = reward + model.gamma * next_value * going_on - value
        later = delta + model.gamma * model.gae_lambda * going_on * later
        next_value = value
        advantages.insert(0, later)
    return advantages


def test_every_row_is_a_path_of_its_own() -> None:
    """Replayed in single envs; unequal lengths, each with its own bootstrap."""
    builders = [lambda: SlowDice(0.004), SlowDice, SlowDice, lambda: SlowDice(0.001)]
    env = SharedMemoryVecEnv(builders, n_workers=4)
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    watches = Watches()
    _, callback = model._setup_learn(10_000, watches, True, "", False)
    callback.on_training_start(locals(), globals())
    model.env.seed(40)
    model._last_obs = model.env.reset()
    singles = [DummyVecEnv([Dice]) for _ in range(4)]
    for row, single in enumerate(singles):
        single.seed(40 + row)
        np.testing.assert_array_equal(single.reset()[0], model._last_obs[row])
    seen = [model._last_obs[row] for row in range(4)]
    begins = [True] * 4
    for rollout in range(1, 3):
        buffer = model.rollout_buffer
        assert model.collect_rollouts(env, callback, buffer, 20)
        assert buffer.active.all() and buffer.full
        assert model.num_timesteps == rollout * 80
        counts = np.bincount(buffer.rows, minlength=4)
        assert counts[1] > counts[0] > 0
        fields = ("observations", "actions", "rewards", "episode_starts", "values", "advantages")
        flat = {name: np.concatenate(getattr(buffer, name)) for name in fields}
        for row, single in enumerate(singles):
            path = np.flatnonzero(buffer.rows == row)
            rewards, ends = [], []
            for at in path:
                np.testing.assert_array_equal(flat["observations"][at], seen[row])
                assert flat["episode_starts"][at] == begins[row]
                obs, (reward,), (end,), (info,) = single.step([flat["actions"][at][0]])
                if end and info["TimeLimit.truncated"]:
                    beyond = info["terminal_observation"][None]
                    reward += model.gamma * model.actor_critic.values(beyond)[0]
                rewards.append(reward)
                ends.append(end)
                seen[row], begins[row] = obs[0], end
            np.testing.assert_allclose(flat["rewards"][path], rewards, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(model._last_obs[row], seen[row])
            assert model._last_episode_starts[row] == begins[row]
            last_value = float(model.actor_critic.values(seen[row][None])[0])
            values = flat["values"][path].tolist()
            wanted = gae(rewards, values, ends, last_value, model)
            np.testing.assert_allclose(flat["advantages"][path], wanted, rtol=1e-4, atol=1e-5)
        model.train()
    assert sum(watches.sizes) == 160
    assert min(watches.sizes) < 4
    env.close()


def test_it_waits_for_as_many_rows_as_asked() -> None:
    env = SharedMemoryVecEnv([Dice, Dice, Dice, Dice], n_workers=4)
    model = PPO("MlpPolicy", env, **SMALL, extensions={"min_inference_size": 3})
    watches = Watches()
    model.learn(80, watches)
    # At the very end some are left that nobody can complete to three.
    assert set(watches.sizes[:-2]) <= {3, 4}
    env.close()


class Stops(BaseCallback):
    def _on_step(self) -> bool:
        return self.n_calls < 7


def test_a_training_that_is_stopped_leaves_nobody_on_his_way() -> None:
    env = SharedMemoryVecEnv([lambda: SlowDice(0.003), SlowDice, SlowDice], n_workers=3)
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    model.learn(600, Stops())
    np.testing.assert_array_equal(model._last_obs, env._block.observations)
    assert model.num_timesteps < 60
    before = env.get_attr("n_steps")  # refused while rows are under way
    model.learn(60, reset_num_timesteps=False)
    assert env.get_attr("n_steps") != before
    env.close()


def test_a_live_view_shows_row_0_and_asks_nobody(tmp_path: Path) -> None:
    """A frame can't be had while other rows are under way."""

    def build() -> gym.Env:
        env = SlowDice()
        env.render_mode = "rgb_array"
        return env

    env = SharedMemoryVecEnv([build] * 3, n_workers=3)
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    view = LiveViewCallback(tmp_path / "live.gif", every=1, window=False)
    shown = []
    draw = view._picture_of
    view._picture_of = lambda obs: shown.append(draw(obs)) or shown[-1]  # type: ignore[func-returns-value,method-assign]
    model.learn(60, view)
    buffer = model.rollout_buffer
    path = np.concatenate(buffer.observations)[buffer.rows == 0]
    np.testing.assert_array_equal(shown, path)
    env.close()


class Raises(BaseCallback):
    def _on_step(self) -> bool:
        if self.n_calls == 7:
            raise KeyboardInterrupt
        return True


def test_a_training_that_breaks_off_leaves_nobody_on_his_way() -> None:
    env = SharedMemoryVecEnv([lambda: SlowDice(0.02), SlowDice, SlowDice], n_workers=3)
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    with pytest.raises(KeyboardInterrupt) as raised:  # whose traceback keeps what there was
        model.learn(600, Raises())
    assert len(env.get_attr("n_steps")) == 3  # refused while rows are under way
    np.testing.assert_array_equal(model._last_obs, env._block.observations)
    assert raised.value.__context__ is None
    env.close()


def test_an_env_that_fails_is_told() -> None:
    def build() -> gym.Env:
        env = SlowDice()
        env.breaks_at = 9
        return env

    env = SharedMemoryVecEnv([SlowDice, build], n_workers=2)
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    with pytest.raises(ValueError, match="the dice are gone"):
        model.learn(100)
    env.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DummyVecEnv([Dice]), "the rows of a DummyVecEnv step together"),
        (lambda: VecFrameStack(SharedMemoryVecEnv([Dice]), 2), "VecFrameStack steps all rows"),
    ],
)
def test_what_steps_together_is_refused(make: Callable[[], VecEnv], message: str) -> None:
    env = make()
    model = PPO("MlpPolicy", env, **SMALL, **READY)
    with pytest.raises(ValueError, match=message):
        model.learn(20)
    env.close()


@pytest.mark.parametrize("size", [0, -1, 1.5, "2", True])
def test_a_size_that_makes_no_sense(size: Any) -> None:
    with pytest.raises(ValueError, match="min_inference_size must be an integer >= 1"):
        PPO("MlpPolicy", None, extensions={"min_inference_size": size}, _init_setup_model=True)
