"""Matches whose every number tells where it comes from; worker processes build them too."""

from typing import Any

import numpy as np
from gymnasium import spaces


class Scripted:
    """Agents come and go by a script; PettingZoo's form.

    An observation is [agent, episode, step, its last action], a reward `100 agent + step`.

    Args:
        script: For each episode, for each step from 0 on: who is there, in order. At the last entry
            the match is over.
        truncated: Agents that are truncated where they leave; the others terminate.
        silent: Agents that leave without a word.
    """

    def __init__(
        self,
        script: list[list[list[int]]],
        truncated: tuple[int, ...] = (),
        silent: tuple[int, ...] = (),
    ) -> None:
        self.script, self.truncated, self.silent = script, truncated, silent
        self.possible_agents = sorted({a for episode in script for there in episode for a in there})
        self.agents: list[int] = []
        self.episode, self.steps, self.seeds = -1, 0, []
        self.acted: dict[int, int] = {}

    def observation_space(self, agent: int) -> spaces.Space:
        return spaces.Box(-1, 1e6, (4,), np.float32)

    def action_space(self, agent: int) -> spaces.Space:
        return spaces.Discrete(5)

    def _look(self, agents: Any) -> dict[int, Any]:
        here = (self.episode, self.steps)
        return {a: np.array([a, *here, self.acted.get(a, -1)], np.float64) for a in agents}

    def reset(self, seed: Any = None, options: Any = None) -> Any:
        self.seeds.append(seed)
        self.episode, self.steps, self.acted = self.episode + 1, 0, {}
        self.agents = list(self._now())
        return self._look(self.agents), {a: {"born": a} for a in self.agents}

    def _now(self) -> list[int]:
        return self.script[self.episode % len(self.script)][self.steps]

    def step(self, actions: Any) -> Any:
        assert set(actions) == set(self.agents), (actions, self.agents)
        before, self.acted = self.agents, dict(actions)
        self.steps += 1
        self.agents = list(self._now())
        last = self.steps == len(self.script[self.episode % len(self.script)]) - 1
        gone = set(before) if last else set(before) - set(self.agents)
        told = [a for a in {*before, *self.agents} if a not in gone or a not in self.silent]
        if last:
            self.agents = []
        return (
            self._look(told),
            {a: 100.0 * a + self.steps for a in before},
            {a: a in gone and a not in self.truncated for a in told if a in before},
            {a: a in gone and a in self.truncated for a in told if a in before},
            {a: {"step": self.steps} for a in told if self.steps % 2},
        )


class Unequal(Scripted):
    """Agents that see differently much."""

    def __init__(self) -> None:
        super().__init__([[[0, 1], [0, 1]]])

    def observation_space(self, agent: int) -> spaces.Space:
        return spaces.Box(-1, 1, (2 + agent,), np.float32)
