"""Agents are rows: matches of several agents as one Gymnasium vector environment.

A *match* is an environment whose `reset` and `step` speak in dicts by agent: PettingZoo's parallel
environments as they are, and RLGym's of version 2, which `as_match` brings into that form.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

__all__ = ["Match", "RowsVectorEnv", "as_match", "as_space", "is_match"]

Agent = Hashable
ByAgent = Mapping[Agent, Any]


class Match(Protocol):
    """PettingZoo's parallel environment, as far as it's needed here."""

    @property
    def agents(self) -> Sequence[Agent]:
        """Those that are to act next."""
        ...

    def observation_space(self, agent: Any) -> spaces.Space: ...
    def action_space(self, agent: Any) -> spaces.Space: ...
    def reset(self, seed: int | None = None, options: Any = None) -> tuple[ByAgent, ByAgent]:
        """Begins an episode: observations and infos by agent."""
        ...

    def step(self, actions: ByAgent) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        """Observations, rewards, terminated, truncated and infos by agent."""
        ...


class RowsVectorEnv(gym.vector.VectorEnv):
    """Matches side by side; each of their agents is a row.

    A match has `max_agents` slots, its rows from `match * max_agents` on. An agent keeps its slot
    as long as it is there, and gets it back in the next episode if it's free. Slots in which nobody
    is are zeros, and not active.

    A row is done when its own agent is: with that agent's own flags and last observation
    (`final_obs`, `final_info`). One that is missing without a word has terminated; its last
    observation is the one that it has acted on. A match is over when no agent is left, or all
    that are there are done, and begins anew within the same step. An agent that is done while it
    goes on being listed by a match that isn't over begins an episode of its own.

    With an int as seed, match m is seeded with `seed + m * max_agents`, so that a part of the
    matches, seeded with its first row's, is what it is among all of them. RLGym knows no seeds.

    Args:
        builders: Build the matches.
        max_agents: Slots of each; None: of PettingZoo's `possible_agents`, or of the agents of a
            first episode.
        may_be_inactive: False promises that every slot has its agent at every step, so that
            algorithms which know no mask may learn here. It's checked.
        observation_space: Of one agent; None: as the match says.
        action_space: Of one agent; None: as the match says.

    Attributes:
        num_envs: Rows.
        num_matches: Matches.
        max_agents: Rows of each match.
        matches: The matches.
        may_be_inactive: Whether rows can be empty.

    Raises:
        ValueError: No match, agents with different spaces, or a space that can't be read.
        TypeError: A builder returned no match.
    """

    def __init__(
        self,
        builders: Sequence[Callable[[], Any]],
        max_agents: int | None = None,
        *,
        may_be_inactive: bool = True,
        observation_space: spaces.Space | None = None,
        action_space: spaces.Space | None = None,
    ) -> None:
        if not builders:
            raise ValueError("there must be at least one match: builders is empty")
        if max_agents is not None and max_agents < 1:
            raise ValueError(f"max_agents must be at least 1, got {max_agents}")
        self.matches: list[Match] = [as_match(build()) for build in builders]
        first = self.matches[0]
        agents = list(getattr(first, "possible_agents", ()))
        if not agents:
            agents = list(first.reset()[0])  # some tell their spaces only now
        self.num_matches, self.max_agents = len(self.matches), max_agents or len(agents)
        self.num_envs = self.num_matches * self.max_agents
        self.may_be_inactive = may_be_inactive
        self.single_observation_space = observation_space or _common(
            "observation", agents, first.observation_space
        )
        self.single_action_space = action_space or _common("action", agents, first.action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        told = getattr(first, "metadata", None) or {}
        self.metadata = {**told, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.render_mode = getattr(first, "render_mode", None)
        self._slots = [_Slots(self.max_agents, m) for m in range(self.num_matches)]
        self._active = np.zeros(self.num_envs, bool)
        self._observations = _zeros(self.single_observation_space, self.num_envs)
        self._started = False

    def active_rows(self) -> NDArray[np.bool_]:
        """Rows on whose newest observation somebody must act, `[n]`."""
        return self._active.copy()

    def agent_of_row(self) -> list[Agent | None]:
        """Who is in each row."""
        found: list[Agent | None] = [None] * self.num_envs
        for match, slots in enumerate(self._slots):
            for agent, slot in slots.of.items():
                found[match * self.max_agents + slot] = agent
        return found

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every match.

        Args:
            seed: An int seeds row i with `seed + i`; a list has each row's own. A match takes that
                of its first row.
            options: For the matches.

        Returns:
            Observations `[n, ...]`, and infos of the rows that have any.
        """
        infos: dict[str, Any] = {}
        for m in range(self.num_matches):
            row = m * self.max_agents
            if seed is None or isinstance(seed, (int, np.integer)):
                own = None if seed is None else int(seed) + row
            else:
                own = seed[row]
            self._begin(m, infos, own, options)
        self._started = True
        return _copied(self._observations), infos

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps every match; those of rows that aren't active are for nobody.

        Args:
            actions: `[n, ...]`.

        Returns:
            Observations `[n, ...]`, rewards float64 `[n]`, terminated and truncated bool `[n]`,
            infos.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
            ValueError: A match has more agents than slots.
            RuntimeError: A slot is empty, though it was promised that none would be.
        """
        if not self._started:
            raise ResetNeeded("call reset() before the first step()")
        step = _Step(self.num_envs, np.asarray(actions, self.single_action_space.dtype))
        for m in range(self.num_matches):
            self._step_match(m, step)
        return (
            _copied(self._observations),
            step.rewards,
            step.terminated,
            step.truncated,
            step.infos,
        )

    def _step_match(self, m: int, step: _Step) -> None:
        match, slots = self.matches[m], self._slots[m]
        rows = {agent: m * self.max_agents + slot for agent, slot in slots.of.items()}
        given = {agent: step.actions[row] for agent, row in rows.items()}
        observations, rewards, terminated, truncated, infos = match.step(given)
        done = set()
        for agent, row in rows.items():
            gone = agent not in observations
            step.rewards[row] = float(rewards.get(agent, 0.0))
            step.truncated[row] = bool(truncated.get(agent, False))
            step.terminated[row] = bool(terminated.get(agent, gone and not step.truncated[row]))
            info = dict(infos.get(agent) or {})
            if gone or step.terminated[row] or step.truncated[row]:
                done.add(agent)
                last = _row(self._observations, row) if gone else observations[agent]
                info = {"final_obs": self._own(last), "final_info": info}
            if info:
                self._add_info(step.infos, info, row)
        left = [agent for agent in match.agents if agent in observations]
        if not set(left) - done:
            self._begin(m, step.infos, None, None)
        else:
            slots.keep(left)
            self._look(m, observations)
            for agent in slots.of.keys() - rows.keys():  # who has just come
                row = m * self.max_agents + slots.of[agent]
                self._add_info(step.infos, infos.get(agent) or {}, row)

    def _begin(
        self, m: int, infos: dict[str, Any], seed: int | None, options: dict[str, Any] | None
    ) -> None:
        """Begins an episode in a match; its infos go to the new rows."""
        observations, told = self.matches[m].reset(seed=seed, options=options)
        if not observations:
            raise RuntimeError(f"match {m} has begun an episode without any agent")
        self._slots[m].begin(list(observations))
        self._look(m, observations)
        for agent, info in told.items():
            if info and agent in self._slots[m].of:
                self._add_info(infos, info, m * self.max_agents + self._slots[m].of[agent])

    def _look(self, m: int, observations: ByAgent) -> None:
        """Puts what the agents of a match see into their rows."""
        first, of = m * self.max_agents, self._slots[m].of
        own = slice(first, first + self.max_agents)
        if len(of) < self.max_agents:
            self._active[own] = False
            for array in _arrays(self._observations):
                array[own] = 0
        for agent, slot in of.items():
            _store(self._observations, first + slot, observations[agent])
            self._active[first + slot] = True
        if not self.may_be_inactive and not self._active[own].all():
            empty = int(np.flatnonzero(~self._active[own])[0])
            raise RuntimeError(
                f"slot {empty} of match {m} is empty, though may_be_inactive=False promised that "
                "none would be: leave that out, or give max_agents the number there are"
            )

    def _own(self, observation: Any) -> Any:
        """A copy of an observation in the space's dtype."""
        space = self.single_observation_space
        if isinstance(space, spaces.Dict):
            parts = space.spaces.items()
            return {key: np.array(observation[key], part.dtype) for key, part in parts}
        return np.array(observation, space.dtype)

    def snapshot(self) -> dict[str, Any] | None:
        """All matches' episodes, for :meth:`restore`; None if one can't tell."""
        matches: list[Any] = self.matches
        told = [match.snapshot() if hasattr(match, "snapshot") else None for match in matches]
        if None in told or not self._started:
            return None
        return {
            "matches": told,
            "slots": [(dict(slots.of), list(slots.before)) for slots in self._slots],
            "active": self._active.copy(),
            "observations": _copied(self._observations),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where :meth:`snapshot` was taken."""
        matches: list[Any] = self.matches
        for match, told in zip(matches, snapshot["matches"], strict=True):
            match.restore(told)
        for slots, (of, before) in zip(self._slots, snapshot["slots"], strict=True):
            slots.of, slots.before = dict(of), list(before)
        self._active = snapshot["active"].copy()
        self._observations = _copied(snapshot["observations"])
        self._started = True

    def render(self) -> Any:
        """Each match's picture, under "rgb_array"; else the first one's window."""
        matches: list[Any] = self.matches
        if self.render_mode == "human":
            return matches[0].render()
        return tuple(match.render() for match in matches)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the matches."""
        matches: list[Any] = self.matches
        for match in matches:
            if hasattr(match, "close"):
                match.close()


class _Step:
    """What a step of all rows comes to.

    Args:
        n: Rows.
        actions: `[n, ...]`.
    """

    def __init__(self, n: int, actions: NDArray) -> None:
        self.actions = actions
        self.rewards = np.zeros(n)
        self.terminated, self.truncated = np.zeros(n, bool), np.zeros(n, bool)
        self.infos: dict[str, Any] = {}


class _Slots:
    """Which agent of a match is where.

    Args:
        size: How many there are.
        match: The match's number, for messages.

    Attributes:
        of: The slot of each agent that is there.
        before: Who was last in each slot.
    """

    def __init__(self, size: int, match: int) -> None:
        self._match = match
        self.of: dict[Agent, int] = {}
        self.before: list[Agent | None] = [None] * size

    def begin(self, agents: list[Agent]) -> None:
        """An episode with these."""
        self.of = {}
        self.keep(agents)

    def keep(self, agents: list[Agent]) -> None:
        """These go on: who isn't among them leaves, who is new gets his old slot or a free one."""
        self.of = {agent: slot for agent, slot in self.of.items() if agent in agents}
        new = [agent for agent in agents if agent not in self.of]
        if not new:
            return
        if len(agents) > len(self.before):
            raise ValueError(
                f"match {self._match} has {len(agents)} agents, but max_agents={len(self.before)}"
            )
        taken = set(self.of.values())
        for agent in new:
            if agent in self.before and (slot := self.before.index(agent)) not in taken:
                self.of[agent] = slot
                taken.add(slot)
        free = (slot for slot in range(len(self.before)) if slot not in taken)
        for agent in new:
            if agent not in self.of:
                self.of[agent] = next(free)
        for agent, slot in self.of.items():
            self.before[slot] = agent


class RLGymMatch:
    """An environment of RLGym 2 in PettingZoo's form; without seeds, since it has none.

    Args:
        env: An `rlgym.api.RLGym`.
    """

    def __init__(self, env: Any) -> None:
        self.env = env

    @property
    def agents(self) -> list[Agent]:
        """Those on the field."""
        return list(self.env.agents)

    def observation_space(self, agent: Agent) -> spaces.Space:
        return as_space(self.env.observation_space(agent), np.inf)

    def action_space(self, agent: Agent) -> spaces.Space:
        return as_space(self.env.action_space(agent), 1.0)

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[ByAgent, ByAgent]:
        return self.env.reset(), {}

    def step(self, actions: ByAgent) -> tuple[ByAgent, ByAgent, ByAgent, ByAgent, ByAgent]:
        given = {agent: np.reshape(action, -1) for agent, action in actions.items()}
        return *self.env.step(given), {}

    def render(self) -> Any:
        return self.env.render()

    def close(self) -> None:
        self.env.close()


def is_match(env: Any) -> bool:
    """Whether it speaks in dicts by agent: each has spaces of its own."""
    names = ("reset", "step", "observation_space", "action_space")
    return all(callable(getattr(env, name, None)) for name in names)


def as_match(env: Any) -> Match:
    """PettingZoo's parallel environments as they are, RLGym's in their form.

    Raises:
        TypeError: It's neither.
    """
    if not is_match(env):
        raise TypeError(
            f"{env!r} is no match: it needs reset, step, observation_space(agent) and "
            "action_space(agent), as PettingZoo's parallel environments and RLGym's have them"
        )
    is_rlgym = not hasattr(env, "possible_agents") and hasattr(env, "transition_engine")
    return RLGymMatch(env) if is_rlgym else env


def as_space(told: Any, limit: float) -> spaces.Space:
    """Gymnasium's space for what RLGym's parts say of theirs.

    Args:
        told: A Gymnasium space, `("real", n)`, `("continuous", n)`, `("discrete", n)` or
            `("multi-discrete", [n, ...])`.
        limit: Of a Box, on both sides.

    Raises:
        ValueError: It's something else.
    """
    if isinstance(told, spaces.Space):
        return told
    if isinstance(told, tuple) and len(told) == 2:
        kind, size = str(told[0]).lower().replace("_", "-"), told[1]
        if kind in ("real", "continuous"):
            shape = tuple(int(n) for n in np.ravel(size))
            return spaces.Box(-limit, limit, shape, np.float32)
        if kind == "discrete":
            return spaces.Discrete(int(size))
        if kind in ("multi-discrete", "multidiscrete"):
            return spaces.MultiDiscrete(np.ravel(size))
    raise ValueError(
        f"{told!r} is no space that is known: give RowsVectorEnv observation_space and action_space"
    )


def _common(
    what: str, agents: Sequence[Agent], space_of: Callable[[Agent], spaces.Space]
) -> spaces.Space:
    found = [space_of(agent) for agent in agents]
    for agent, space in zip(agents, found, strict=True):
        if space != found[0]:
            raise ValueError(
                f"agents {agents[0]!r} and {agent!r} have different {what} spaces, {found[0]} and "
                f"{space}: rows must have the same"
            )
    return found[0]


def _zeros(space: spaces.Space, n: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _zeros(part, n) for key, part in space.spaces.items()}
    if space.shape is None:
        raise ValueError(f"rows of a {type(space).__name__} space have no fixed size")
    return np.zeros((n, *space.shape), space.dtype)


def _arrays(observations: Any) -> list[NDArray]:
    return list(observations.values()) if isinstance(observations, dict) else [observations]


def _store(observations: Any, row: int, observation: Any) -> None:
    if isinstance(observations, dict):
        for key, array in observations.items():
            array[row] = observation[key]
    else:
        observations[row] = observation


def _row(observations: Any, row: int) -> Any:
    if isinstance(observations, dict):
        return {key: array[row] for key, array in observations.items()}
    return observations[row]


def _copied(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {key: array.copy() for key, array in observations.items()}
    return observations.copy()
