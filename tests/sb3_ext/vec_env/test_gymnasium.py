"""``GymnasiumVecEnv`` against SB3's own ``DummyVecEnv`` of monitored envs, and its contract."""

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TimeLimit
from gymnasium.wrappers.vector import (
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
    TransformReward,
)
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

import envs  # noqa: F401  (registers the worlds)
from sb3_ext.vec_env import GymnasiumVecEnv
from tests.sb3_ext.vec_env.dice import ACTIONS, OBSERVATIONS, Dice

N_ENVS = 3
SCALE = np.array([1, 10])


class Engine(VectorEnv):
    """A vector env without sub-envs that overwrites its buffers; row i ends after i + 2 steps."""

    def __init__(self, mode: Any = AutoresetMode.SAME_STEP, n: int = 3) -> None:
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.num_envs = n
        self.single_observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, n)
        self.single_action_space = spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, n)
        self.obs = np.zeros((n, 2), np.float32)
        self.rewards = np.zeros(n)
        self.clock = np.zeros(n, dtype=int)
        self.done = np.zeros(n, dtype=bool)
        self.gravity = 9.8
        self.options: Any = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        options = dict(options or {})
        mask = options.pop("reset_mask", np.ones(self.num_envs, dtype=bool))
        self.options = options
        self._reset_rows(mask)
        return self.obs, {"born": self.clock.copy()}

    def _reset_rows(self, mask: np.ndarray) -> None:
        self.clock[mask] = 0
        self.obs[mask] = -1.0
        self.done[mask] = False

    def step(self, actions):
        assert actions.dtype == np.int64
        self.clock += 1
        self.obs[:] = self.clock[:, None] * SCALE
        self.rewards[:] = self.clock
        infos: dict[str, Any] = {"clock": self.clock, "lap": "first"}
        terminated = self.clock >= np.arange(self.num_envs) + 2
        self.done = terminated.copy()
        if self.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP and terminated.any():
            # Batched arrays without masks: not Gymnasium's own habit, but its contract allows it.
            infos |= {"final_obs": self.obs.copy(), "final_info": {"clock": self.clock.copy()}}
            self._reset_rows(terminated)
        return self.obs, self.rewards, terminated, np.zeros(self.num_envs, dtype=bool), infos

    def set_gravity(self, gravity: float) -> None:
        self.gravity = gravity

    def clocks(self) -> np.ndarray:
        return self.clock.copy()

    def total(self) -> int:
        return int(self.clock.sum())


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal in structure and value, arrays also in dtype and shape."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and set(ours) == set(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs


def comparable(infos: list[dict[str, Any]], dones: np.ndarray) -> list[dict[str, Any]]:
    """Infos without wall time, and without SB3's TimeLimit.truncated=False amid an episode."""
    rows = [dict(info) for info in infos]
    for row, done in zip(rows, dones, strict=True):
        if done:
            row["episode"] = {k: v for k, v in row["episode"].items() if k != "t"}
        else:
            row.pop("TimeLimit.truncated", None)
    return rows


def compare_with_dummy(ours: Any, env_fn: Any, n_steps: int) -> None:
    """Drive both with the same seeds and actions and compare all that they return."""
    theirs = DummyVecEnv([lambda: Monitor(env_fn()) for _ in range(ours.num_envs)])
    assert getattr(ours, "exact", True)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.action_space.seed(0)
    ends = {"terminated": 0, "truncated": 0}
    for seed in (5, None):
        if seed is not None:
            assert ours.seed(seed) == theirs.seed(seed)
        assert_same(ours.reset(), theirs.reset())
        assert_same(ours.reset_infos, theirs.reset_infos)
        for _ in range(n_steps):
            actions = np.stack([ours.action_space.sample() for _ in range(ours.num_envs)])
            obs, rewards, dones, infos = ours.step(actions)
            expected_obs, expected_rewards, expected_dones, expected_infos = theirs.step(actions)
            assert_same(obs, expected_obs)
            assert_same(rewards, expected_rewards)
            assert_same(dones, expected_dones)
            for row, expected in zip(
                comparable(infos, dones), comparable(expected_infos, dones), strict=True
            ):
                assert_same(row, expected)
            assert_same(ours.reset_infos, theirs.reset_infos)
            for i in np.flatnonzero(dones):
                ends["truncated" if infos[i]["TimeLimit.truncated"] else "terminated"] += 1
    assert min(ends.values()) > n_steps / 50
    ours.close()


MODES = [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED]


@pytest.mark.parametrize("mode", MODES)
def test_sync_equals_dummy_vec_env(mode):
    vector_env = SyncVectorEnv([Dice] * N_ENVS, autoreset_mode=mode)
    compare_with_dummy(GymnasiumVecEnv(vector_env), Dice, 600)


@pytest.mark.parametrize("mode", MODES)
def test_async_equals_dummy_vec_env(mode):
    vector_env = AsyncVectorEnv([Dice] * N_ENVS, autoreset_mode=mode)
    compare_with_dummy(GymnasiumVecEnv(vector_env), Dice, 550)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("obs", [key for key in OBSERVATIONS if key != "box"])
def test_every_observation_space(obs, mode):
    def env_fn() -> gym.Env:
        return Dice(obs)

    # copy=False: the vector env hands out the buffers that it overwrites.
    vector_env = SyncVectorEnv([env_fn] * N_ENVS, copy=False, autoreset_mode=mode)
    compare_with_dummy(GymnasiumVecEnv(vector_env), env_fn, 100)


@pytest.mark.parametrize("action", [key for key in ACTIONS if key != "discrete"])
def test_every_action_space(action):
    def env_fn() -> gym.Env:
        return Dice(action=action)

    compare_with_dummy(GymnasiumVecEnv(SyncVectorEnv([env_fn] * N_ENVS)), env_fn, 100)


def test_actions_are_cast_to_the_space():
    env = GymnasiumVecEnv(SyncVectorEnv([lambda: Dice(action="box")] * N_ENVS))
    env.reset()
    env.step(np.zeros((N_ENVS, 2), np.float64))  # Dice asserts that its Box contains the action
    env = GymnasiumVecEnv(SyncVectorEnv([Dice] * N_ENVS))
    env.reset()
    env.step(np.zeros(N_ENVS, np.float32))


@pytest.mark.parametrize(
    "vector_env_fn",
    [
        lambda: SyncVectorEnv([Dice] * N_ENVS),
        lambda: SyncVectorEnv([Dice] * N_ENVS, autoreset_mode="SameStep"),
        lambda: AsyncVectorEnv([Dice] * 2, shared_memory=False, autoreset_mode="Disabled"),
        lambda: AsyncVectorEnv([Dice] * 2, copy=False),
    ],
)
def test_through_vector_wrappers(vector_env_fn):
    wrapped = TransformReward(vector_env_fn(), lambda reward: reward)
    compare_with_dummy(GymnasiumVecEnv(wrapped), Dice, 100)


# The late form


def check_late_done(env: Any, raw: Any, n_steps: int) -> tuple[int, int]:
    """Compare, transition by transition, with the bare NEXT_STEP engine from the same seed."""
    assert not env.exact
    n = env.num_envs
    env.seed(11)
    obs = env.reset()
    np.testing.assert_array_equal(obs, raw.reset(seed=11)[0])
    rng = np.random.default_rng(0)
    pending = np.zeros(n, dtype=bool)
    terminal, timed_out = obs.copy(), pending.copy()
    returns, lengths, n_timed_out, n_ended = np.zeros(n), np.zeros(n, int), 0, 0
    for _ in range(n_steps):
        actions = rng.integers(0, 2, n)
        obs, rewards, dones, infos = env.step(actions)
        raw_obs, raw_rewards, terminated, truncated, _ = raw.step(actions)
        np.testing.assert_array_equal(obs, raw_obs)  # terminal at k, the reset one at k + 1
        np.testing.assert_array_equal(rewards, raw_rewards)
        np.testing.assert_array_equal(dones, pending)
        returns += raw_rewards
        lengths += ~pending
        for i in range(n):
            if not dones[i]:
                assert infos[i] == {}
                continue
            assert rewards[i] == 0.0
            np.testing.assert_array_equal(infos[i]["terminal_observation"], terminal[i])
            assert infos[i]["TimeLimit.truncated"] is bool(timed_out[i])
            assert infos[i]["episode"]["r"] == pytest.approx(returns[i])
            assert infos[i]["episode"]["l"] == lengths[i]
            n_ended += 1
            n_timed_out += int(timed_out[i])
            returns[i] = lengths[i] = 0
        pending = terminated | truncated
        timed_out = truncated & ~terminated
        terminal = np.where(pending[:, None], raw_obs, terminal)
    return n_ended, n_timed_out


def test_cartpole_engine_delivers_done_one_step_late():
    env = GymnasiumVecEnv(gym.make_vec("CartPole-v1", num_envs=3))
    n_ended, _ = check_late_done(env, gym.make_vec("CartPole-v1", num_envs=3), 500)
    assert n_ended > 30


def test_cartpole_engine_late_truncation():
    env = GymnasiumVecEnv(CartPoleVectorEnv(3, max_episode_steps=15))
    n_ended, n_timed_out = check_late_done(env, CartPoleVectorEnv(3, max_episode_steps=15), 500)
    assert 10 < n_timed_out < n_ended


def test_a_full_reset_forgets_a_late_done():
    env = GymnasiumVecEnv(CartPoleVectorEnv(2, max_episode_steps=3))
    env.reset()
    for _ in range(3):
        env.step(np.zeros(2))
    env.reset()
    _, rewards, dones, infos = env.step(np.zeros(2))
    assert not dones.any() and (rewards == 1).all() and infos == [{}, {}]


def test_late_infos_are_the_ended_episodes():
    """Where a masked reset is not safe, Dice's infos arrive whole with the late done."""
    env = GymnasiumVecEnv(AsyncVectorEnv([Dice] * 2, shared_memory=False))
    assert not env.exact  # its worker would reset twice after a masked reset
    env.seed(3)
    env.reset()
    before: list[dict[str, Any]] = [{}, {}]
    n_ended = 0
    for _ in range(200):
        _, _, dones, infos = env.step(np.zeros(2))
        for i in np.flatnonzero(dones):
            assert infos[i]["n_steps"] == before[i]["n_steps"] == infos[i]["episode"]["l"]
            assert set(env.reset_infos[i]) == {"start"}
            n_ended += 1
        before = infos
    assert n_ended > 20
    env.close()


class Forgetful(VectorWrapper):
    """Its own reset forgets the mask."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=None)


@pytest.mark.parametrize("wrapper", [RecordEpisodeStatistics, NormalizeObservation, Forgetful])
def test_wrappers_with_a_reset_of_their_own_get_the_late_form(wrapper):
    env = GymnasiumVecEnv(wrapper(SyncVectorEnv([Dice] * N_ENVS)))
    assert not env.exact
    env.seed(1)
    env.reset()
    n_episodes = n_dones = 0
    for _ in range(100):
        _, _, dones, infos = env.step(np.zeros(N_ENVS))
        n_dones += int(dones.sum())
        n_episodes += sum("episode" in info for info in infos)
    assert n_episodes == n_dones > 10  # SB3 counts each "episode" it sees


def test_disabled_refuses_wrappers_that_cannot_reset_rows():
    vector_env = NormalizeReward(SyncVectorEnv([Dice] * N_ENVS, autoreset_mode="Disabled"))
    with pytest.raises(ValueError, match=r"NormalizeReward.*VecNormalize"):
        GymnasiumVecEnv(vector_env)


# Engines of other makes


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_engine_and_aliasing(mode):
    engine = Engine(mode)
    env: Any = GymnasiumVecEnv(engine)
    assert env.exact
    seen: list[tuple[Any, Any]] = [(first := env.reset(), first.copy())]
    clock = np.zeros(3, int)
    for _ in range(12):
        obs, rewards, dones, infos = env.step(np.zeros(3))
        clock += 1
        np.testing.assert_array_equal(rewards, clock)
        np.testing.assert_array_equal(dones, clock >= [2, 3, 4])
        for i in range(3):
            assert infos[i]["clock"] == clock[i]
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], clock[i] * SCALE)
                assert infos[i]["episode"]["l"] == clock[i]
                assert infos[i]["episode"]["r"] == clock[i] * (clock[i] + 1) / 2
                np.testing.assert_array_equal(obs[i], [-1, -1])
                assert env.reset_infos[i].get("born", 0) == 0
                terminal = infos[i]["terminal_observation"]
                seen.append((terminal, terminal.copy()))
            else:
                assert infos[i]["lap"] == "first"
                np.testing.assert_array_equal(obs[i], clock[i] * SCALE)
        clock[dones] = 0
        seen += [(obs, obs.copy()), (rewards, rewards.copy()), (dones, dones.copy())]
        assert rewards.dtype == np.float32
        for array in (obs, rewards):
            assert not np.shares_memory(array, engine.obs)
            assert not np.shares_memory(array, engine.rewards)
    for array, as_returned in seen:
        np.testing.assert_array_equal(array, as_returned)


def test_infos_are_fresh_at_every_step():
    env = GymnasiumVecEnv(CartPoleVectorEnv(2))
    env.reset()
    first = env.step(np.zeros(2))[3]
    first[0]["mine"] = 1
    assert first[1] == {}
    assert env.step(np.zeros(2))[3] == [{}, {}]


def test_infos_keep_what_the_env_changes_later():
    class Diary(Dice):
        days: list[int] = []  # noqa: RUF012

        def step(self, action):
            self.days.append(len(self.days))
            return *super().step(action)[:4], {"days": self.days}

    env = GymnasiumVecEnv(SyncVectorEnv([Diary]))
    env.reset()
    first = env.step(np.zeros(1))[3]
    env.step(np.zeros(1))
    assert first[0]["days"] == [0]


def test_own_underscore_keys_are_not_masks():
    class Underscored(Dice):
        def step(self, action):
            return *super().step(action)[:4], {"_private": self.n_steps}

    env = GymnasiumVecEnv(SyncVectorEnv([Underscored] * 2))
    env.reset()
    assert [info["_private"] for info in env.step(np.zeros(2))[3]] == [1, 1]


def test_missing_mode_is_next_step_with_a_warning():
    with pytest.warns(UserWarning, match="autoreset_mode.*assuming NEXT_STEP"):
        env = GymnasiumVecEnv(Engine(None))
    assert not env.exact


def test_missing_final_obs_is_an_error():
    class Lossy(Engine):
        def step(self, actions):
            *step, infos = super().step(actions)
            infos.pop("final_obs", None)
            return *step, infos

    env = GymnasiumVecEnv(Lossy())
    env.reset()
    env.step(np.zeros(3))
    with pytest.raises(ValueError, match="final_obs"):
        env.step(np.zeros(3))


def test_refuses_what_sb3_cannot_hold():
    with pytest.raises(TypeError, match="SyncVectorEnv"):
        GymnasiumVecEnv(Dice())  # type: ignore[arg-type]
    engine = Engine()
    engine.single_observation_space = spaces.Tuple([spaces.Discrete(2)])
    with pytest.raises(TypeError, match="Tuple observations"):
        GymnasiumVecEnv(engine)
    engine.single_observation_space = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(TypeError, match="Dict observations 'a'"):
        GymnasiumVecEnv(engine)
    engine = Engine()
    engine.single_action_space = spaces.Dict({"a": spaces.Discrete(2)})
    with pytest.raises(TypeError, match="Dict actions"):
        GymnasiumVecEnv(engine)


# Seeds, options, attributes


def test_seed_is_used_once():
    env: Any = GymnasiumVecEnv(SyncVectorEnv([Dice] * N_ENVS))
    assert env.seed(np.int64(7)) == [7, 8, 9]
    first = env.reset()
    for i in range(N_ENVS):
        single, info = Dice().reset(seed=7 + i)
        np.testing.assert_array_equal(first[i], single)
        assert env.reset_infos[i] == info
    assert not np.array_equal(env.reset(), first)
    env.seed(7)
    np.testing.assert_array_equal(env.reset(), first)
    assert len(set(env.seed())) == N_ENVS  # a random one
    env.reset()


def test_options_are_used_once_and_for_all_rows():
    env = GymnasiumVecEnv(SyncVectorEnv([Dice] * N_ENVS))
    env.set_options({"level": 2})
    env.reset()
    assert env.get_attr("options") == [{"level": 2}] * N_ENVS
    env.reset()
    assert env.get_attr("options") == [None] * N_ENVS
    env.set_options([{"level": 3}] * N_ENVS)
    env.reset()
    assert env.get_attr("options") == [{"level": 3}] * N_ENVS
    with pytest.raises(ValueError, match="one set of options"):
        env.set_options([{"level": 1}, {}, {}])
    with pytest.raises(ValueError, match="reset_mask"):
        env.set_options({"reset_mask": np.ones(N_ENVS, bool)})


@pytest.mark.parametrize("vector_class", [SyncVectorEnv, AsyncVectorEnv])
def test_attributes_of_sub_envs(vector_class):
    env = GymnasiumVecEnv(vector_class([lambda: TimeLimit(Dice(), 1000)] * N_ENVS))
    assert env.get_attr("difficulty") == [1, 1, 1]
    assert env.get_attr("difficulty", [0, 2]) == [1, 1]
    env.set_attr("difficulty", 5, indices=1)
    assert env.get_attr("difficulty") == [1, 5, 1]
    env.set_attr("difficulty", [1, 2, 3])  # one value, also where it is a list
    assert env.get_attr("difficulty", 0) == [[1, 2, 3]]
    assert env.env_method("set_difficulty", 8, indices=[2, 0]) == [80, 80]
    assert env.get_attr("difficulty") == [8, [1, 2, 3], 8]
    assert env.env_method("set_difficulty", difficulty=4) == [40, 40, 40]
    assert env.env_method("shape_of") == [(3,)] * 3
    assert env.get_attr("render_mode") == [None] * 3
    assert env.get_attr("spec") == [None] * 3
    assert env.has_attr("difficulty") and env.has_attr("render_mode")
    assert callable(env.get_attr("shape_of", 0)[0])  # not called, as in DummyVecEnv
    assert not env.has_attr("nonsense")
    with pytest.raises(AttributeError, match="nonsense"):
        env.get_attr("nonsense")
    with pytest.raises(AttributeError, match="nonsense"):
        env.env_method("nonsense")
    env.reset()  # and the workers live on
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(TimeLimit, [1]) == [vector_class is SyncVectorEnv]
    env.close()
    env.close()


def test_attributes_of_an_engine():
    engine = Engine()
    env = GymnasiumVecEnv(TransformReward(engine, lambda reward: reward))
    assert env.get_attr("gravity") == [9.8] * 3
    assert env.get_attr("gravity", [1]) == [9.8]
    env.set_attr("gravity", 1.6)
    assert engine.gravity == 1.6
    env.set_attr("wind", 3)
    assert env.get_attr("wind", 0) == [3]
    with pytest.raises(ValueError, match="all 3 rows"):
        env.set_attr("gravity", 1.6, indices=[0])
    assert env.env_method("set_gravity", 2.0) == [None] * 3
    assert engine.gravity == 2.0
    assert env.env_method("clocks", indices=range(3)) == [0, 0, 0]
    with pytest.raises(ValueError, match="all 3 rows"):
        env.env_method("clocks", indices=0)
    with pytest.raises(ValueError, match="one entry per row"):
        env.env_method("total")
    assert not env.has_attr("nonsense")
    for call in (env.get_attr, env.env_method):
        with pytest.raises(AttributeError, match="nonsense"):
            call("nonsense")
    assert env.get_attr("render_mode") == env.get_attr("spec") == [None] * 3
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(TimeLimit) == [False] * 3


@pytest.mark.parametrize("vector_class", [SyncVectorEnv, AsyncVectorEnv])
def test_render_rgb_array(vector_class):
    env = GymnasiumVecEnv(vector_class([lambda: Dice(render_mode="rgb_array")] * N_ENVS))
    assert env.metadata["render_fps"] == 7
    env.seed(0)
    env.reset()
    env.step(np.zeros(N_ENVS))
    images = env.get_images()
    assert len(images) == N_ENVS
    assert images[0] is not None and images[0].shape == (4, 6, 3)
    picture = env.render()
    assert picture is not None and picture.shape == (8, 12, 3)
    env.close()


def test_render_human_and_none():
    env = GymnasiumVecEnv(SyncVectorEnv([lambda: Dice(render_mode="human")] * N_ENVS))
    env.reset()
    assert env.render() is None and env.render("human") is None
    assert env.get_attr("shown") == [True] * N_ENVS
    with pytest.warns(UserWarning, match=re.escape("'human'")):
        assert env.get_images() == [None] * N_ENVS
    env = GymnasiumVecEnv(SyncVectorEnv([Dice]))
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


# Under SB3


def test_evaluate_policy_trusts_the_statistics():
    env = GymnasiumVecEnv(SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2))
    normalized = VecNormalize(env, norm_reward=True, training=False)
    model = PPO("MlpPolicy", normalized, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    statistics: Any = evaluate_policy(
        model, normalized, n_eval_episodes=6, return_episode_rewards=True
    )
    returns, lengths = statistics
    assert returns == lengths  # CartPole pays 1 a step, whatever VecNormalize makes of it
    assert min(lengths) > 3


def test_vec_monitor_says_that_it_is_superfluous():
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        VecMonitor(GymnasiumVecEnv(SyncVectorEnv([Dice])))


@pytest.mark.parametrize("mode", MODES)
def test_sb3_wrappers_on_top_equal_those_on_dummy_vec_env(mode):
    def env_fn() -> gym.Env:
        return Dice("image")

    def wrapped(venv: Any) -> Any:
        return VecFrameStack(VecTransposeImage(venv), 2)

    ours = wrapped(GymnasiumVecEnv(SyncVectorEnv([env_fn] * 2, autoreset_mode=mode)))
    theirs = wrapped(DummyVecEnv([env_fn] * 2))
    ours.seed(2)
    theirs.seed(2)
    assert_same(ours.reset(), theirs.reset())
    n_ended = 0
    for _ in range(100):
        obs, _, dones, infos = ours.step(np.zeros(2, int))
        expected, _, _, expected_infos = theirs.step(np.zeros(2, int))
        assert_same(obs, expected)
        for i in np.flatnonzero(dones):
            for_both = "terminal_observation"
            assert_same(infos[i][for_both], expected_infos[i][for_both])
            n_ended += 1
    assert n_ended > 5


@pytest.mark.parametrize(
    "vector_env_fn",
    [
        lambda: gym.make_vec("CartPole-v1", num_envs=2),
        lambda: gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"),
    ],
)
def test_ppo_trains(vector_env_fn):
    model = PPO(
        "MlpPolicy", GymnasiumVecEnv(vector_env_fn()), n_steps=64, batch_size=64, n_epochs=2, seed=0
    )
    model.learn(512)
    assert model.num_timesteps == 512
    assert model.ep_info_buffer is not None and len(model.ep_info_buffer) > 3
    # CartPole pays 1 a step: a dead step is neither paid nor counted.
    assert all(episode["r"] == episode["l"] for episode in model.ep_info_buffer)


def test_ppo_trains_as_on_dummy_vec_env():
    def trained(venv: Any) -> dict[str, Any]:
        model = PPO("MlpPolicy", venv, n_steps=16, batch_size=16, n_epochs=1, seed=4)
        return model.learn(64).policy.state_dict()

    env_fns: list[Any] = [lambda: Monitor(Dice(action="box"))] * 2
    ours = trained(GymnasiumVecEnv(SyncVectorEnv(env_fns)))
    theirs = trained(DummyVecEnv(env_fns))
    for key, value in theirs.items():
        assert (ours[key] == value).all(), key


def test_sac_trains():
    env = GymnasiumVecEnv(
        SyncVectorEnv([lambda: gym.make("Pendulum-v1")] * 2, autoreset_mode="SameStep")
    )
    model = SAC("MlpPolicy", env, learning_starts=440, train_freq=4, buffer_size=1000, seed=0)
    model.learn(600)
    assert model.ep_info_buffer is not None
    assert [episode["l"] for episode in model.ep_info_buffer] == [200, 200]
    # Time ran out, so the value of the last state counts: no done without its timeout.
    assert model.replay_buffer is not None
    dones, timeouts = model.replay_buffer.dones, model.replay_buffer.timeouts
    assert dones.sum() == 2
    np.testing.assert_array_equal(dones, timeouts)


# The worlds of this project


@pytest.mark.parametrize("env_id", ["SimpleAim-v0", "TargetReach-v0"])
def test_worlds_equal_their_single_envs(env_id):
    ours = GymnasiumVecEnv(gym.make_vec(env_id, num_envs=N_ENVS))
    theirs = DummyVecEnv([lambda: Monitor(gym.make(env_id))] * N_ENVS)
    assert ours.exact
    ours.seed(6)
    theirs.seed(6)
    ours.action_space.seed(6)
    assert_same(ours.reset(), theirs.reset())
    n_ended = 0
    for _ in range(410):
        actions = np.stack([ours.action_space.sample() for _ in range(N_ENVS)])
        obs, rewards, dones, infos = ours.step(actions)
        expected_obs, expected_rewards, expected_dones, expected_infos = theirs.step(actions)
        np.testing.assert_array_equal(obs, expected_obs)
        np.testing.assert_allclose(rewards, expected_rewards, rtol=1e-6)
        np.testing.assert_array_equal(dones, expected_dones)
        for i in np.flatnonzero(dones):
            for key in ("terminal_observation", "TimeLimit.truncated"):
                assert_same(infos[i][key], expected_infos[i][key])
            assert infos[i]["episode"]["l"] == expected_infos[i]["episode"]["l"]
            assert infos[i]["episode"]["r"] == pytest.approx(expected_infos[i]["episode"]["r"])
            n_ended += 1
    assert n_ended >= 2 * N_ENVS
    ours.close()


def test_the_documented_example_runs():
    page = Path(__file__).parents[3] / "docs" / "vec-env.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {})
