"""Environments from before Gymnasium, with lists over agents, in the form of a match."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.rows import as_space


class OldStyleMatch:
    """RLGym's environments of version 1, and old Gym's, in PettingZoo's parallel form.

    `reset()` gives one observation, or one for each agent; `step(actions)` gives observations,
    rewards, done and info, or Gymnasium's five, for one agent or as lists. All agents end together.
    Where several act, and to RLGym always, each action is an array, of shape (1,) if discrete.

    Args:
        env: The environment.

    Attributes:
        state: What the last info had as `state`: RLGym's game state.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.agents: list[int] = []
        self.state: Any = None
        self._space = old_space(env.observation_space, np.inf)
        self._actions = old_space(env.action_space, 1.0)
        self._is_alone = True
        self._wants_rows = hasattr(env, "_match")  # RLGym's: even of a single car's actions

    def observation_space(self, agent: int) -> spaces.Space:
        """The same for all agents."""
        return self._space

    def action_space(self, agent: int) -> spaces.Space:
        """The same for all agents."""
        return self._actions

    def reset(
        self, seed: int | None = None, options: Any = None
    ) -> tuple[dict[int, Any], dict[int, dict[str, Any]]]:
        """Begins an episode; seeds the environment if it knows `seed(number)`."""
        if seed is not None and hasattr(self.env, "seed"):
            self.env.seed(seed)
        told = self.env.reset()
        if isinstance(told, tuple) and len(told) == 2 and isinstance(told[1], dict):
            told = told[0]
        self._is_alone = isinstance(told, np.ndarray) and told.shape == self._space.shape
        observations = [told] if self._is_alone else list(told)
        self.agents = list(range(len(observations)))
        return dict(enumerate(observations)), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[int, Any]
    ) -> tuple[dict[int, Any], dict[int, float], dict[int, bool], dict[int, bool], dict[int, dict]]:
        """Everybody acts."""
        told, rewards, *ends, info = self.env.step(self._given(actions))
        done = bool(np.any(ends))
        cut = bool(np.any(ends[1])) if len(ends) == 2 else bool(info.get("TimeLimit.truncated"))
        terminated = bool(np.any(ends[0])) if len(ends) == 2 else done and not cut
        self.state = info.get("state")
        observations = [told] if self._is_alone else list(told)
        paid = np.broadcast_to(np.asarray(rewards, np.float64).reshape(-1), len(self.agents))
        agents = self.agents
        infos: dict[int, dict[str, Any]] = {agent: {} for agent in agents}
        if done:
            self.agents = []
        return (
            dict(zip(agents, observations, strict=True)),
            dict(zip(agents, paid.tolist(), strict=True)),
            dict.fromkeys(agents, terminated),
            dict.fromkeys(agents, done and cut),
            infos,
        )

    def _given(self, actions: dict[int, Any]) -> Any:
        given = [np.asarray(actions[agent]) for agent in self.agents]
        if self._wants_rows or not self._is_alone:
            return np.stack([np.atleast_1d(action) for action in given])
        return given[0].item() if given[0].ndim == 0 else given[0]

    def render(self) -> Any:
        """Whatever the environment draws."""
        return self.env.render()

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()


def old_space(told: Any, limit: float) -> spaces.Space:
    """Gymnasium's space for old Gym's, which needn't be installed, or for RLGym's tuples.

    Args:
        told: The space.
        limit: Of a Box that is told as a tuple, on both sides.

    Raises:
        ValueError: It's something else.
    """
    kind = type(told).__name__
    if isinstance(told, spaces.Space | tuple):
        return as_space(told, limit)
    if kind == "Box":
        return spaces.Box(_array(told.low), _array(told.high), told.shape, told.dtype.type)
    if kind == "Discrete":
        return spaces.Discrete(int(told.n))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(told.nvec)
    if kind == "MultiBinary":
        return spaces.MultiBinary(told.n)
    return as_space(told, limit)


def _array(limits: Any) -> NDArray:
    return np.asarray(limits)
