"""Environments from before Gymnasium as matches."""

import numpy as np
import pytest
from gymnasium import spaces

from envs.old_style import OldStyleMatch, old_space
from envs.rows import RowsVectorEnv


class Box:
    """Old Gym's, as far as anybody looks."""

    def __init__(self, low, high):
        self.low, self.high = np.array(low, np.float32), np.array(high, np.float32)
        self.shape, self.dtype = self.low.shape, np.dtype(np.float32)


class Discrete:
    n = 3


class MultiDiscrete:
    nvec = np.array([3, 2])


class Walk:
    """n walkers; each step counts its action; over after three steps."""

    observation_space = Box([-9.0, -9.0], [9.0, 9.0])
    action_space = Discrete()

    def __init__(self, n=2, ends="done", alone=False):
        self.n, self.ends, self.alone, self.seeds, self.given = n, ends, alone, [], []

    def seed(self, seed):
        self.seeds.append(seed)

    def observe(self):
        seen = [np.array([place, self.t], np.float64) for place in self.places]
        return seen[0] if self.alone else seen

    def reset(self):
        self.places, self.t = np.zeros(self.n), 0
        return (self.observe(), {}) if self.ends == "five" else self.observe()

    def step(self, actions):
        self.given.append(actions)
        self.t += 1
        self.places += np.ravel(actions)
        rewards = float(self.places[0]) if self.alone else list(self.places)
        over, info = self.t == 3, {"state": self.t}
        if self.ends == "five":
            return self.observe(), rewards, False, over, info
        if over and self.ends == "limit":
            info["TimeLimit.truncated"] = True
        return self.observe(), rewards, over, info

    def close(self):
        self.closed = True


@pytest.mark.parametrize(("ends", "cut"), [("done", False), ("limit", True), ("five", True)])
def test_lists_over_agents_are_rows(ends, cut):
    walk = Walk(ends=ends)
    env = RowsVectorEnv([lambda: OldStyleMatch(walk)])
    assert env.single_observation_space == spaces.Box(-9, 9, (2,), np.float32)
    assert env.single_action_space == spaces.Discrete(3)
    obs, _ = env.reset(seed=5)
    assert walk.seeds == [5]
    for step in range(3):
        assert obs[:, 1].tolist() == [step, step]
        obs, rewards, terminated, truncated, infos = env.step(np.array([1, 2]))
        assert rewards.tolist() == [step + 1, 2 * (step + 1)]
    assert terminated.tolist() == [not cut] * 2
    assert truncated.tolist() == [cut] * 2
    assert [final.tolist() for final in infos["final_obs"]] == [[3, 3], [6, 3]]
    assert obs.tolist() == [[0, 0], [0, 0]]
    # RLGym wants an array for each agent.
    assert [given.tolist() for given in walk.given] == [[[1], [2]]] * 3
    env.close()
    assert walk.closed


def test_a_single_agent_gives_and_gets_no_lists():
    walk = Walk(1, alone=True)
    match = OldStyleMatch(walk)
    observations, _ = match.reset()
    assert list(observations) == match.agents == [0]
    _, rewards, *_ = match.step({0: np.int64(2)})
    assert rewards == {0: 2.0}
    assert walk.given == [2]
    assert match.state == 1


def test_rlgym_wants_rows_even_of_a_single_car():
    walk = Walk(1, alone=True)
    walk._match = None  # by which RLGym 1 is known
    match = OldStyleMatch(walk)
    match.reset()
    match.step({0: np.int64(2)})
    assert walk.given[0].tolist() == [[2]]


def test_old_spaces_and_tuples():
    assert old_space(MultiDiscrete(), 1.0) == spaces.MultiDiscrete([3, 2])
    assert old_space(("continuous", 4), 1.0) == spaces.Box(-1, 1, (4,), np.float32)
    assert old_space(spaces.Discrete(2), 1.0) == spaces.Discrete(2)
    with pytest.raises(ValueError, match="is no space that is known"):
        old_space("wide", 1.0)
