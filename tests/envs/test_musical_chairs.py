"""MusicalChairs: its rules, its rows, its picture."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import envs  # noqa: F401 - registers
from envs.musical_chairs import APPROACH, RADIUS, SEAT, STRIDE, MusicalChairs


def placed(places, chairs, **kwargs):
    """A match as it is told."""
    match = MusicalChairs(players=len(places), **kwargs)
    match.reset(seed=0)
    match.places = dict(zip(match.agents, places, strict=True))
    match.chairs = list(chairs)
    return match


STAY, LEFT, RIGHT, DOWN, UP = range(5)


def test_a_duel():
    match = placed([(0.0, 0.0), (0.9, 0.9)], [(0.25, 0.0)])
    obs, rewards, terminated, truncated, infos = match.step({"player_0": RIGHT, "player_1": UP})
    assert rewards["player_0"] == pytest.approx(APPROACH * STRIDE)
    assert rewards["player_1"] < 0
    assert not any(terminated.values())
    assert infos == {"player_0": {}, "player_1": {}}
    np.testing.assert_allclose(obs["player_0"], [0.1, 0, 0.15, 0, 1, 0.8, 1.0, 1], atol=1e-6)
    np.testing.assert_allclose(match.places["player_1"], (0.9, 1.0))
    obs, rewards, terminated, truncated, infos = match.step({"player_0": RIGHT, "player_1": STAY})
    assert rewards == {"player_0": pytest.approx(APPROACH * STRIDE + SEAT), "player_1": -SEAT}
    assert all(terminated.values()) and not any(truncated.values())
    assert infos == {"player_0": {"seated": 1.0}, "player_1": {"seated": 0.0}}
    assert match.agents == []
    assert set(obs) == {"player_0", "player_1"}


def test_of_two_the_nearer_sits_and_others_go_on():
    match = placed([(0.0, 0.0), (0.05, 0.0), (-0.5, -0.5)], [(0.1, 0.0), (0.8, 0.8)])
    stay = dict.fromkeys(match.agents, STAY)
    obs, _, terminated, _, infos = match.step(stay)
    assert terminated == {"player_0": False, "player_1": True, "player_2": False}
    assert infos["player_1"] == {"seated": 1.0}
    assert match.agents == ["player_0", "player_2"]
    assert match.chairs == [(0.8, 0.8)]
    # Who sits is seen a last time.
    assert obs["player_0"][8:].tolist() == pytest.approx([0.05, 0, 1, -0.5, -0.5, 1])
    obs, *_ = match.step({agent: STAY for agent in match.agents})
    assert obs["player_0"][8:].tolist() == pytest.approx([-0.5, -0.5, 1, 0, 0, 0])


def test_time_is_up_for_who_is_still_there():
    match = placed([(-1.0, -1.0), (-1.0, 1.0)], [(1.0, 0.0)], max_episode_steps=2)
    for late in (False, True):
        _, _, terminated, truncated, infos = match.step(dict.fromkeys(match.agents, LEFT))
        assert set(truncated.values()) == {late}
        assert not any(terminated.values())
    assert infos["player_0"] == {"seated": 0.0}
    assert match.agents == []


@pytest.mark.parametrize(
    ("actions", "space", "action", "moved"),
    [
        ("discrete", spaces.Discrete(5), UP, (0, 1)),
        ("multi-discrete", spaces.MultiDiscrete([3, 3]), np.array([2, 0]), (1, -1)),
        ("continuous", spaces.Box(-1.0, 1.0, (2,), np.float32), np.array([0.5, -3]), (0.5, -1)),
    ],
)
def test_actions(actions, space, action, moved):
    match = placed([(0.0, 0.0), (-1.0, 1.0)], [(1.0, 0.0)], actions=actions)
    assert match.action_space("player_0") == space
    match.step(dict.fromkeys(match.agents, action))
    np.testing.assert_allclose(match.places["player_0"], np.multiply(moved, STRIDE), atol=1e-9)


def test_players_and_their_number():
    match = MusicalChairs(players=(2, 4))
    seen = set()
    for seed in range(30):
        obs, _ = match.reset(seed=seed)
        seen.add(len(match.agents))
        assert len(match.chairs) == len(match.agents) - 1
        for row in obs.values():
            assert row in match.observation_space("player_0")
            assert row[4::3][: len(match.chairs)].all()
    assert seen == {2, 3, 4}
    again, _ = match.reset(seed=29)
    np.testing.assert_array_equal(again["player_0"], obs["player_0"])


def test_pettingzoo_s_own_test():
    pettingzoo = pytest.importorskip("pettingzoo")
    from pettingzoo.test import parallel_api_test

    class Judged(MusicalChairs, pettingzoo.ParallelEnv):
        def reset(self, seed=None, options=None):  # it gives options that nobody knows
            return super().reset(seed)

    for kwargs in ({}, {"players": 5}, {"actions": "continuous"}):
        parallel_api_test(Judged(**kwargs), num_cycles=100)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"players": 1}, "players must be 2 to 8"),
        ({"players": (4, 2)}, "players must be 2 to 8"),
        ({"players": 2.0}, "players must be 2 to 8"),
        ({"players": "ab"}, "players must be 2 to 8"),
        ({"actions": "all"}, "actions must be one of discrete"),
        ({"max_episode_steps": 0}, "max_episode_steps must be positive"),
        ({"render_mode": "ansi"}, "render_mode must be"),
        ({"num_envs": 0}, "num_envs must be positive"),
    ],
)
def test_what_makes_no_match(kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make_vec("MusicalChairs-v0", **{"num_envs": 2} | kwargs)


def test_rows_of_matches():
    env = gym.make_vec("MusicalChairs-v0", num_envs=3)
    assert (env.num_envs, env.may_be_inactive) == (6, False)
    env.reset(seed=1)
    env.action_space.seed(0)
    n_ended = 0
    for _ in range(200):
        _, rewards, terminated, truncated, infos = env.step(env.action_space.sample())
        ended = (terminated | truncated).reshape(3, 2)
        assert (ended[:, 0] == ended[:, 1]).all()
        n_ended += int(ended[:, 0].sum())
        if terminated.any():
            rows = np.flatnonzero(terminated)
            assert infos["final_info"]["seated"][rows].sum() == len(rows) / 2
            assert abs(rewards[rows].sum()) < APPROACH * 2 * STRIDE * len(rows)
    assert n_ended > 3
    assert gym.make_vec("MusicalChairs-v0", num_envs=1, players=3).may_be_inactive
    unlimited = gym.make_vec("MusicalChairs-v0", num_envs=1, max_episode_steps=-1)
    unlimited.reset(seed=0)
    assert not any(unlimited.step([STAY, STAY])[3].any() for _ in range(60))


def test_matches_go_on_from_a_snapshot():
    env, other = (gym.make_vec("MusicalChairs-v0", num_envs=2, players=(2, 4)) for _ in range(2))
    assert env.snapshot() is None
    env.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(30):
        env.step(rng.integers(0, 5, 8))
    other.restore(env.snapshot())
    for _ in range(100):
        actions = rng.integers(0, 5, 8)
        for ours, theirs in zip(env.step(actions)[:4], other.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert env.agent_of_row() == other.agent_of_row()


def test_pictures(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gym.make_vec("MusicalChairs-v0", num_envs=2, players=3, render_mode="rgb_array")
    env.reset(seed=0)
    first, second = env.render()
    assert first.shape == (480, 480, 3)
    assert not np.array_equal(first, second)
    env.step([LEFT] * 6)
    assert not np.array_equal(first, env.render()[0])
    env.close()
    env = gym.make_vec("MusicalChairs-v0", num_envs=2, render_mode="human")
    env.reset(seed=0)
    env.step([LEFT] * 4)
    assert env.render() is None
    env.close()


def test_a_chair_is_reached_at_its_radius():
    for distance, seated in ((RADIUS - 1e-6, 1), (RADIUS + 1e-6, 0)):
        match = placed([(distance, 0.0), (1.0, 1.0)], [(0.0, 0.0)])
        assert sum(match.step(dict.fromkeys(match.agents, STAY))[2].values()) == 2 * seated
