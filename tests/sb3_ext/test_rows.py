"""PPO on rows in which nobody may be: they change nothing, wherever one looks."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

import envs  # noqa: F401 - registers
from envs.musical_chairs import MusicalChairs
from envs.rows import RowsVectorEnv
from sb3_ext import PPO
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv, SharedMemoryVecEnv
from sb3_ext.vec_env.rows import RowVecNormalize, UnknownMaskError, active_rows
from sb3_ext.vec_env.snapshots import restore, snapshot
from tests.envs.matches import Scripted

SMALL = {"n_steps": 32, "batch_size": 16, "n_epochs": 3, "seed": 4, "backend": "numpy"}
COMES_AND_GOES = [
    [[0, 1, 2], [0, 1, 2], [0, 2], [0, 2], [0, 2, 1], [0, 2, 1]],
    [[1, 2], [1, 2], [1], [1], [1]],
]


def chairs(n_matches: int = 1, max_agents: int | None = None, **kwargs: Any) -> GymnasiumVecEnv:
    builders = [lambda: MusicalChairs(**kwargs)] * n_matches
    return GymnasiumVecEnv(RowsVectorEnv(builders, max_agents))


def parameters(model: PPO) -> bytes:
    return b"".join(part.tobytes() for part in model.actor_critic.parameters().values())


class Judges(PPO):
    """Remembers what each update learned from."""

    def train(self) -> None:
        rows = self._rows_to_learn_from()
        self.__dict__.setdefault("learned", []).append(rows.n_rows)
        super().train()


# The padding changes nothing


@pytest.mark.parametrize("actions", ["discrete", "multi-discrete", "continuous"])
@pytest.mark.parametrize("extensions", [{}, {"n_rollouts_kept": 2, "accumulate_minibatches": 2}])
def test_training_is_the_same_with_and_without_empty_rows(
    actions: str, extensions: dict[str, Any]
) -> None:
    """Gradients and all that follows, bit for bit: five slots for two players, or two."""
    models = []
    for max_agents in (2, 5):
        env = EpisodeLog(RowVecNormalize(chairs(1, max_agents, actions=actions)))
        model = Judges("MlpPolicy", env, **SMALL | {"extensions": extensions})
        model.learn(3 * 64)
        models.append(model)
    exact, padded = models
    assert exact.num_timesteps == padded.num_timesteps == 3 * 64
    assert parameters(exact) == parameters(padded)
    lengths = [[(e["l"], e["r"]) for e in model.ep_info_buffer] for model in models]
    assert lengths[0] == lengths[1] and len(lengths[0]) > 2
    for name in ("mean", "var", "count"):
        statistics = [getattr(m.get_vec_normalize_env().obs_rms, name) for m in models]
        np.testing.assert_array_equal(*statistics)
    logged = [dict(model.logger.name_to_value) for model in models]
    for key in logged[0]:
        if key.startswith("train/"):
            assert logged[0][key] == logged[1][key], key


@pytest.mark.parametrize("backend", ["torch", "jax", "mlx"])
def test_in_every_framework(backend: str) -> None:
    pytest.importorskip({"mlx": "mlx.core"}.get(backend, backend))
    models = []
    for max_agents in (2, 3):
        model = PPO("MlpPolicy", chairs(1, max_agents), **SMALL | {"backend": backend})
        models.append(model.learn(64))
    assert parameters(models[0]) == parameters(models[1])


def test_only_agents_count_as_steps() -> None:
    env = GymnasiumVecEnv(RowsVectorEnv([lambda: Scripted(COMES_AND_GOES)] * 2))
    model = Judges("MlpPolicy", env, **SMALL)
    model.learn(100)
    # In eight steps (an episode of each kind and its first step again): 3+3+2+2+3, 2+2+1+1
    present = [3, 3, 2, 2, 3, 2, 2, 1, 1]
    steps = sum(2 * present[t % 9] for t in range(32))
    assert model.learned == [steps]
    assert model.num_timesteps == steps
    assert {episode["l"] for episode in model.ep_info_buffer} == {1, 2, 4, 5}


# Each agent's own path


def test_each_agent_has_a_path_and_an_end_of_his_own() -> None:
    """Values, ends and bootstraps, agent by agent, against a walk through the match itself."""
    truncated = (2,)
    env = GymnasiumVecEnv(RowsVectorEnv([lambda: Scripted(COMES_AND_GOES, truncated)]))
    model = PPO("MlpPolicy", env, **SMALL, gae_lambda=0.9)
    _, callback = model._setup_learn(1000)
    callback.on_training_start(locals(), globals())
    buffer = model.rollout_buffer
    assert model.collect_rollouts(env, callback, buffer, 32)

    match = Scripted(COMES_AND_GOES, truncated)
    obs, _ = match.reset()
    value_of = lambda seen: float(model.actor_critic.values(np.float32(seen)[None])[0])  # noqa: E731
    open_paths: dict[int, list[Any]] = {}
    paths: list[tuple[int, list[Any], float]] = []  # (agent, steps, what lies beyond the last)
    for t in range(32):
        for agent in match.agents:
            assert buffer.active[t, agent]
            np.testing.assert_array_equal(buffer.observations[t, agent], obs[agent])
            assert buffer.episode_starts[t, agent] == (agent not in open_paths)
        assert buffer.active[t].sum() == len(match.agents)
        before = list(match.agents)
        obs, rewards, terminated, cut, _ = match.step(
            {agent: int(buffer.actions[t, agent, 0]) for agent in before}
        )
        for agent in before:
            open_paths.setdefault(agent, []).append((t, rewards[agent]))
            if terminated[agent] or cut[agent]:
                beyond = value_of(obs[agent]) if cut[agent] else 0.0
                paths.append((agent, open_paths.pop(agent), beyond))
                if cut[agent]:  # gamma V(own terminal observation)
                    stored = buffer.rewards[t, agent]
                    assert stored == pytest.approx(rewards[agent] + model.gamma * beyond, rel=1e-6)
        if not match.agents:
            obs, _ = match.reset()
    paths += [(agent, path, value_of(obs[agent])) for agent, path in open_paths.items()]
    assert len(paths) > 12
    n_seen = 0
    for agent, path, beyond in paths:
        advantage, next_value = 0.0, beyond
        for t, reward in path[::-1]:
            value = float(buffer.values[t, agent])
            delta = reward + model.gamma * next_value - value
            advantage = delta + model.gamma * model.gae_lambda * advantage
            next_value = value
            assert buffer.advantages[t, agent] == pytest.approx(advantage, rel=1e-4, abs=1e-3)
            n_seen += 1
    assert n_seen == buffer.active.sum()


def test_a_normalizer_learns_from_agents_alone() -> None:
    """Against SB3's own, fed with nothing but the rows in which somebody is."""
    env = RowVecNormalize(chairs(2, players=(2, 4)), gamma=0.9)
    reference = VecNormalize(chairs(1), gamma=0.9)  # only its statistics are used
    reference.obs_rms = type(reference.obs_rms)(shape=env.observation_space.shape)
    env.seed(3)
    env.reset()
    mask = active_rows(env)
    reference.obs_rms.update(env.get_original_obs()[mask()])
    returns = np.zeros(8)
    rng = np.random.default_rng(0)
    for _ in range(120):
        acted = mask()
        _, rewards, dones, infos = env.step(rng.integers(0, 5, 8))
        reference.obs_rms.update(env.get_original_obs()[mask()])
        returns = returns * 0.9 + env.get_original_reward()
        reference.ret_rms.update(returns[acted])
        returns[dones] = 0
        assert not dones[~acted].any() and not rewards[~acted].any()
        for row in np.flatnonzero(dones):
            assert np.abs(infos[row]["terminal_observation"]).max() < 10.0
    for ours, theirs in ((env.obs_rms, reference.obs_rms), (env.ret_rms, reference.ret_rms)):
        np.testing.assert_allclose(ours.mean, theirs.mean)
        np.testing.assert_allclose(ours.var, theirs.var)
        assert ours.count == theirs.count


def test_a_normalizer_of_full_rows_is_sb3_s() -> None:
    full = GymnasiumVecEnv(gym.make_vec("MusicalChairs-v0", num_envs=3))
    ours, theirs = RowVecNormalize(chairs(3)), VecNormalize(full)
    for env in (ours, theirs):
        env.seed(2)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(1)
    for _ in range(100):
        actions = rng.integers(0, 5, 6)
        assert active_rows(ours)().all() and active_rows(theirs) is None
        *got, infos = ours.step(actions)
        *wanted, expected = theirs.step(actions)
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        for info, other in zip(infos, expected, strict=True):
            if "terminal_observation" in other:
                np.testing.assert_array_equal(
                    info["terminal_observation"], other["terminal_observation"]
                )


# Whoever knows no mask


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "DQN"])
def test_algorithms_that_know_no_mask(algorithm: str) -> None:
    """Refused where rows can be empty, at home where they can't."""
    cls = getattr(stable_baselines3, algorithm)
    kwargs = {"learning_starts": 10} if algorithm == "DQN" else {"n_steps": 16}
    if algorithm == "PPO":
        kwargs["batch_size"] = 16
    for env in (
        chairs(2, players=3),
        RowVecNormalize(chairs(2, players=3)),  # asks for itself alone
        SharedMemoryVecEnv([lambda: MusicalChairs(players=3)]),
        RowVecNormalize(SharedMemoryVecEnv([lambda: MusicalChairs(players=3)])),
    ):
        with pytest.raises(UnknownMaskError, match="nobody asks active_rows"):
            cls("MlpPolicy", env, **kwargs, device="cpu").learn(64)
        env.close()
    full = GymnasiumVecEnv(gym.make_vec("MusicalChairs-v0", num_envs=2))
    model = cls("MlpPolicy", full, **kwargs, seed=0, device="cpu").learn(64)
    assert model.num_timesteps >= 64
    mean, _ = evaluate_policy(model, full, 4)
    assert np.isfinite(mean)


def test_a_normalizer_that_knows_no_mask_is_refused() -> None:
    for wrap in (VecNormalize, lambda env: VecFrameStack(VecNormalize(env), 2)):
        with pytest.raises(ValueError, match="RowVecNormalize"):
            PPO("MlpPolicy", wrap(chairs(1, players=3)), **SMALL | {"batch_size": 32}).learn(64)
    env = VecNormalize(chairs(1, players=3), training=False)
    PPO("MlpPolicy", env, **SMALL | {"batch_size": 32}).learn(64)


# In processes


def test_matches_in_workers_are_those_in_one_process() -> None:
    """Rollouts, mask and statistics; the builders may be those of matches or of vector envs."""
    kwargs = {"players": (2, 4)}
    make = lambda: gym.make_vec("MusicalChairs-v0", num_envs=2, **kwargs)  # noqa: E731
    together = GymnasiumVecEnv(gym.make_vec("MusicalChairs-v0", num_envs=4, **kwargs))
    others = [
        SharedMemoryVecEnv([make, make], n_workers=2),
        SharedMemoryVecEnv([lambda: MusicalChairs(**kwargs)] * 4, n_workers=3),
    ]
    rng = np.random.default_rng(0)
    everybody = [together, *others]
    first = []
    for env in everybody:
        assert env.may_be_inactive
        env.seed(11)
        first.append(env.reset())
    for obs in first[1:]:
        np.testing.assert_array_equal(obs, first[0])
    n_ended = 0
    for _ in range(120):
        masks = [active_rows(env)() for env in everybody]
        actions = rng.integers(0, 5, 16)
        steps = [env.step(actions) for env in everybody]
        for mask, step in zip(masks[1:], steps[1:], strict=True):
            np.testing.assert_array_equal(mask, masks[0])
            for one, other in zip(step[:3], steps[0][:3], strict=True):
                np.testing.assert_array_equal(one, other)
            for info, other in zip(step[3], steps[0][3], strict=True):
                assert info.keys() == other.keys()
                if "episode" in info:
                    n_ended += 1
                    for key in ("r", "l"):
                        assert info["episode"][key] == other["episode"][key]
    assert n_ended > 30
    for env in everybody:
        env.close()


def test_matches_go_on_elsewhere_with_those_who_are_there() -> None:
    def make(n_workers: int) -> SharedMemoryVecEnv:
        builders = [lambda: MusicalChairs(players=(2, 4))] * 3
        env = SharedMemoryVecEnv(builders, n_workers=n_workers)
        env.seed(3)
        return env

    env, other = make(2), make(3)
    env.reset()
    rng, n_empty = np.random.default_rng(0), 0
    for _ in range(30):
        mask = active_rows(env)()
        n_empty += int((~mask).sum())
        taken = snapshot(env)
        assert taken is not None
        restore(other, taken)
        np.testing.assert_array_equal(active_rows(other)(), mask)
        env.step(rng.integers(0, 5, 12))
    assert n_empty > 30
    env.close()
    other.close()


def test_ready_first_with_matches() -> None:
    """Rows of a match go together; no transition is of a row in which nobody was."""
    env = SharedMemoryVecEnv([lambda: MusicalChairs(players=(2, 4))] * 3, n_workers=3)
    settings = SMALL | {"batch_size": 32, "extensions": {"min_inference_size": 4}}
    model = Judges("MlpPolicy", RowVecNormalize(env), **settings)
    model.learn(600)
    capacity = 32 * 12
    assert all(capacity - 3 <= n <= capacity for n in model.learned)
    assert model.num_timesteps == sum(model.learned)
    buffer = model.rollout_buffer
    seen = np.concatenate(buffer.observations)[np.concatenate(buffer.active)]
    assert np.abs(seen[:, :2]).max(axis=1).min() > 0  # an empty row is all zeros
    env.close()


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_musical_chairs_is_learned_in_seconds(seed: int) -> None:
    """Against itself; judged against random players, of whom one in eleven ever sits down."""
    env = GymnasiumVecEnv(gym.make_vec("MusicalChairs-v0", num_envs=16))
    settings = {"n_steps": 64, "batch_size": 256, "n_epochs": 6, "gamma": 0.95, "gae_lambda": 0.9}
    settings |= {"learning_rate": "lin_2e-3", "ent_coef": 0.005, "backend": "numpy", "seed": seed}
    model = PPO("MlpPolicy", env, **settings).learn(60_000)
    rows = gym.make_vec("MusicalChairs-v0", num_envs=20)
    rows.action_space.seed(0)
    obs, _ = rows.reset(seed=10_000)
    seated: list[float] = []
    while len(seated) < 200:
        actions = rows.action_space.sample()
        actions[::2] = model.predict(obs[::2])[0]
        obs, _, terminated, truncated, infos = rows.step(actions)
        ended = np.flatnonzero((terminated | truncated)[::2]) * 2
        seated += [float(infos["final_info"]["seated"][row]) for row in ended]
    assert np.mean(seated) > 0.9
