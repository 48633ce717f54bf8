"""Matches that are learned at once, in every form; workers import this, so no SB3 here.

A row is shown a color and has to name it; two features more are there to be standardized.
"""

import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np

from sb3_ext.learner import MetricsLogger

N_COLORS, LENGTH = 3, 8
FAR = (50.0, -3.0)  # mean and deviation of a feature that says nothing


class Cards:
    """The game: a color for each player, a new one every turn."""

    def __init__(self, sizes=(2,)):
        self.rng, self.sizes, self.episodes = np.random.default_rng(0), sizes, 0

    def begin(self):
        self.n = self.sizes[self.episodes % len(self.sizes)]
        self.episodes += 1
        self.turn = 0
        return self.show()

    def show(self):
        self.colors = self.rng.integers(N_COLORS, size=self.n)
        shown = np.zeros((self.n, N_COLORS + 1))
        shown[np.arange(self.n), self.colors] = 1.0
        shown[:, -1] = FAR[0] + FAR[1] * self.rng.standard_normal(self.n)
        return shown

    def play(self, named):
        rewards = (np.array(named) == self.colors).astype(float)
        self.turn += 1
        return self.show(), rewards, self.turn == LENGTH


class Version2:
    """As RLGym 2 has it."""

    transition_engine = None  # by which it's told from PettingZoo's

    def __init__(self, sizes=(2,)):
        self.cards, self.agents = Cards(sizes), []

    observation_spaces = property(lambda self: {a: ("real", N_COLORS + 1) for a in self.agents})

    def observation_space(self, agent):
        return "real", N_COLORS + 1

    def action_space(self, agent):
        return "discrete", N_COLORS

    @property
    def state(self):
        return SimpleNamespace(turn=self.cards.turn, has_torch="torch" in sys.modules)

    def reset(self):
        shown = self.cards.begin()
        self.agents = [f"blue-{i}" for i in range(len(shown))]
        return dict(zip(self.agents, shown, strict=True))

    def step(self, actions):
        named = [int(actions[agent][0]) for agent in self.agents]
        shown, rewards, over = self.cards.play(named)
        flags = dict.fromkeys(self.agents, np.bool_(over)), dict.fromkeys(self.agents, False)
        told = (dict(zip(self.agents, column, strict=True)) for column in (shown, rewards))
        return *told, *flags

    def close(self):
        pass


class Draws(Version2):
    """Writes down each of its pictures, by the turn that it shows."""

    def render(self):
        with open("pictures.txt", "a") as file:
            print(self.cards.turn, file=file)


class Continuous(Version2):
    """A color is named by the larger of numbers in [-1, 1]."""

    def action_space(self, agent):
        return "continuous", N_COLORS

    def step(self, actions):
        assert all(np.abs(action).max() <= 1 for action in actions.values())
        return super().step({agent: [np.argmax(action)] for agent, action in actions.items()})


class Fails(Version2):
    """A bug in the fifth episode."""

    def reset(self):
        if self.cards.episodes == 4:
            raise ZeroDivisionError("a bug in the match")
        return super().reset()


class Version1:
    """As RLGym 1 has it, with spaces as old Gym's."""

    observation_space = type("Box", (), {})()
    observation_space.low = np.full(N_COLORS + 1, -np.inf)
    observation_space.high = np.full(N_COLORS + 1, np.inf)
    observation_space.shape, observation_space.dtype = (N_COLORS + 1,), np.dtype(np.float32)
    action_space = type("Discrete", (), {"n": N_COLORS})()

    def __init__(self):
        self.cards = Cards()

    def reset(self):
        return list(self.cards.begin())

    def step(self, actions):
        assert actions.shape == (2, 1)
        shown, rewards, over = self.cards.play(actions[:, 0])
        return list(shown), list(rewards), over, {"state": SimpleNamespace(has_torch=False)}

    def close(self):
        pass


class Single(gym.Env):
    """As Gymnasium has it."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (N_COLORS + 1,), np.float32)
    action_space = gym.spaces.Discrete(N_COLORS)

    def __init__(self):
        self.cards = Cards((1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.cards.begin()[0].astype(np.float32), {}

    def step(self, action):
        shown, rewards, over = self.cards.play([action])
        return shown[0].astype(np.float32), float(rewards[0]), False, over, {}


class Measures(MetricsLogger):
    """Measures whether workers have torch; keeps what comes."""

    def __init__(self):
        self.reports = []

    def _collect_metrics(self, game_state):
        return [np.array([game_state.turn]), np.array([game_state.has_torch])]

    def _report_metrics(self, collected_metrics, wandb_run, cumulative_timesteps):
        self.reports.append((collected_metrics, wandb_run, cumulative_timesteps))
