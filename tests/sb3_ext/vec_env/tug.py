"""Rows that pull against each other; workers import it, so no stable-baselines3 here."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode


class Tug(gym.vector.VectorEnv):
    """Matches of two rows for five steps; each gets what it pulls less what the other does.

    A row sees its number, its team and the step.
    """

    def __init__(self, num_envs=2, team_order=(0, 1)):
        self.num_envs = 2 * num_envs
        self.row_teams = np.tile(team_order, num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.single_action_space = spaces.Discrete(7)
        self.pulls = []

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def observe(self):
        n = self.num_envs
        columns = (np.arange(n), self.row_teams, np.full(n, self.t))
        return np.stack(columns, axis=1).astype(np.float32)

    def step(self, actions):
        self.pulls.append(np.array(actions))
        pulls = np.reshape(actions, (-1, 2)).astype(np.float32)
        rewards = (pulls - pulls[:, ::-1]).reshape(-1)
        self.t += 1
        over, infos = self.t == 5, {}
        if over:
            seen = self.observe()
            final = np.empty(self.num_envs, object)
            final[:] = list(seen)
            infos = {"final_obs": final, "_final_obs": np.ones(self.num_envs, bool)}
            self.t = 0
        flags = np.zeros(self.num_envs, bool), np.full(self.num_envs, over)
        return self.observe(), rewards, *flags, infos

    def pulled_by(self, team):
        return np.array(self.pulls)[:, self.row_teams == team]
