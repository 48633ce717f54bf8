"""MusicalChairs: players run for chairs, of which there is one too few.

A match in the form of PettingZoo's parallel environments, small enough to be learned in seconds:
with two players a duel in which both rows end together; with more, those who sit leave while the
others go on, and the number of players may be drawn for each episode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.rows import RowsVectorEnv

__all__ = ["MusicalChairs", "MusicalChairsVectorEnv"]

STRIDE = 0.1
"""Length of a step along an axis; the field is [-1, 1] x [-1, 1]."""
RADIUS = 0.12
"""Who comes so close to a chair sits on it."""
SEAT = 1.0
"""Reward of sitting down; being left standing costs as much."""
APPROACH = 0.5
"""Reward per length by which the nearest chair comes nearer."""
MOST_PLAYERS = 8

_MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_METADATA: dict[str, Any] = {
    "name": "musical_chairs",
    "render_modes": ["rgb_array", "human"],
    "render_fps": 15,
}

Place = tuple[float, float]


class MusicalChairs:
    """A match of 2 to 8 players.

    Whoever first comes close to a free chair sits on it, gets 1 and leaves; of several at once the
    nearest. When all chairs are taken the one who is left gets -1 and the match is over. Before
    that everybody gets `APPROACH` times the length by which the nearest free chair has come nearer.

    Observation, for up to n players: the own place (2), the other chairs (3 numbers each, n - 1 of
    them: where it is from here, and 1) and the other players (likewise), the nearest first; zeros
    where there is none.

    Args:
        players: How many, or (fewest, most) of which a number is drawn for each episode.
        actions: "discrete" (stay, left, right, down, up), "multi-discrete" (-1, 0, 1 along each
            axis) or "continuous" (how far along each axis, in [-1, 1]).
        max_episode_steps: Everybody who is still there is truncated after so many steps; None:
            never.
        render_mode: "rgb_array", "human" (a window) or None.

    Attributes:
        possible_agents: player_0, player_1, ...
        agents: Those that play now.

    Raises:
        ValueError: An argument makes no sense.
    """

    metadata: ClassVar[dict[str, Any]] = _METADATA

    def __init__(
        self,
        players: int | Sequence[int] = 2,
        actions: str = "discrete",
        max_episode_steps: int | None = 50,
        render_mode: str | None = None,
    ) -> None:
        self.fewest, self.most = _players(players)
        if actions not in _ACTIONS:
            raise ValueError(f"actions must be one of {', '.join(_ACTIONS)}, not {actions!r}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be positive, not {max_episode_steps}")
        if render_mode not in (None, *_METADATA["render_modes"]):
            raise ValueError(f"render_mode must be rgb_array, human or None, not {render_mode!r}")
        self.render_mode, self._limit = render_mode, max_episode_steps
        self.possible_agents = [f"player_{i}" for i in range(self.most)]
        self.agents: list[str] = []
        self.places: dict[str, Place] = {}
        self.chairs: list[Place] = []
        self._elapsed, self._moment = 0, object()
        self._rng = np.random.default_rng()
        size = 2 + 6 * (self.most - 1)
        self._observation_space = spaces.Box(-2.0, 2.0, (size,), np.float32)
        self._action_space, self._move_of = _ACTIONS[actions]
        self._screen: Any = None

    def observation_space(self, agent: str) -> spaces.Space:
        """The same for all."""
        return self._observation_space

    def action_space(self, agent: str) -> spaces.Space:
        """The same for all."""
        return self._action_space

    def reset(
        self, seed: int | None = None, options: Any = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Begins a match: everybody and every chair anywhere on the field.

        Args:
            seed: Begins the random numbers anew; None goes on with them.
            options: There are none.

        Returns:
            Observations and empty infos by agent.
        """
        if options:
            raise ValueError(f"MusicalChairs has no reset options, got {options!r}")
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        n = int(self._rng.integers(self.fewest, self.most + 1))
        anywhere = self._rng.uniform(-1.0, 1.0, (2 * n - 1, 2)).tolist()
        self.agents = self.possible_agents[:n]
        self.places = dict(zip(self.agents, map(tuple, anywhere[:n]), strict=True))
        self.chairs = [(x, y) for x, y in anywhere[n:]]
        self._elapsed, self._moment = 0, object()
        self._show()
        return self._look(self.agents), {agent: {} for agent in self.agents}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[
        dict[str, NDArray[np.float32]],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Moves everybody; whoever reaches a chair leaves.

        Args:
            actions: Each player's.

        Returns:
            Observations, rewards, terminated, truncated and infos of all who have acted. The info
            of one whose match ends has `seated`, 1 or 0.
        """
        if not self.agents:
            raise ResetNeeded("call reset() first")
        acted, chairs = self.agents, self.chairs
        before = {agent: _nearest(self.places[agent], chairs) for agent in acted}
        for agent in acted:
            dx, dy = self._move_of(actions[agent])
            x, y = self.places[agent]
            self.places[agent] = (_inside(x + STRIDE * dx), _inside(y + STRIDE * dy))
        after = {agent: _nearest(self.places[agent], chairs) for agent in acted}
        seated = self._sit_down(acted)
        self._elapsed, self._moment = self._elapsed + 1, object()
        lost = [agent for agent in acted if agent not in seated and not self.chairs]
        late = self._limit is not None and self._elapsed >= self._limit
        rewards = {agent: APPROACH * (before[agent] - after[agent]) for agent in acted}
        for agent in seated:
            rewards[agent] += SEAT
        for agent in lost:
            rewards[agent] -= SEAT
        terminated = {agent: agent in seated or agent in lost for agent in acted}
        truncated = {agent: late and not terminated[agent] for agent in acted}
        ended = [agent for agent in acted if terminated[agent] or truncated[agent]]
        infos: dict[str, dict[str, Any]] = {agent: {} for agent in acted}
        for agent in ended:
            infos[agent] = {"seated": float(agent in seated)}
        observations = self._look(acted)
        self.agents = [agent for agent in acted if agent not in ended]
        for agent in ended:
            del self.places[agent]
        self._show()
        return observations, rewards, terminated, truncated, infos

    def _sit_down(self, players: list[str]) -> list[str]:
        """Gives each free chair to the nearest who has come close; who sits now."""
        close = sorted(
            (distance, agent, chair)
            for agent in players
            for chair in self.chairs
            if (distance := math.dist(self.places[agent], chair)) < RADIUS
        )
        seated: list[str] = []
        for _, agent, chair in close:
            if agent not in seated and chair in self.chairs:
                seated.append(agent)
                self.chairs = [other for other in self.chairs if other != chair]
        return seated

    def _look(self, players: list[str]) -> dict[str, NDArray[np.float32]]:
        """What each of them sees."""
        seen = {}
        for agent in players:
            x, y = self.places[agent]
            others = [place for other, place in self.places.items() if other != agent]
            row = np.zeros(2 + 6 * (self.most - 1), np.float32)
            row[:2] = x, y
            for start, things in ((2, self.chairs), (2 + 3 * (self.most - 1), others)):
                told: list[float] = []
                for thing in sorted(things, key=partial(math.dist, (x, y))):
                    told += (thing[0] - x, thing[1] - y, 1.0)
                row[start : start + len(told)] = told
            seen[agent] = row
        return seen

    def snapshot(self) -> dict[str, Any]:
        """The match under way and its random numbers, for :meth:`restore`."""
        return {
            "agents": list(self.agents),
            "places": dict(self.places),
            "chairs": list(self.chairs),
            "elapsed": self._elapsed,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where :meth:`snapshot` was taken."""
        self.agents, self.places = list(snapshot["agents"]), dict(snapshot["places"])
        self.chairs, self._elapsed = list(snapshot["chairs"]), snapshot["elapsed"]
        self._rng.bit_generator.state = snapshot["rng"]

    # Pictures

    def render(self) -> NDArray[np.uint8] | None:
        """A frame `[height, width, 3]` under "rgb_array"; else shows it."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode")
            return None
        if self._screen is None:
            from envs.rendering.screen import Screen

            renderer = "envs.rendering.musical_chairs:MusicalChairsRenderer"
            self._screen = Screen(renderer, None, "MusicalChairs", _METADATA["render_fps"])
        caption = f"step {self._elapsed}"
        if self.render_mode == "human":
            self._screen.show(self, caption, moment=self._moment)
            return None
        return self._screen.frame(self, caption)

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen.close()


class MusicalChairsVectorEnv(RowsVectorEnv):
    """Matches of MusicalChairs as a Gymnasium vector environment; each player is a row.

    Args:
        num_envs: How many matches; `num_envs` of the environment then counts rows.
        render_mode: Of :class:`MusicalChairs`.
        **options: Its other arguments.

    Attributes:
        row_teams: 0 for each match's first player, 1 for all who play against him.
    """

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **options: Any) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be positive, got {num_envs}")
        if options.get("max_episode_steps") == -1:  # gym.make_vec's "no limit"
            options["max_episode_steps"] = None
        # One window is enough.
        modes = [render_mode if m == 0 or render_mode != "human" else None for m in range(num_envs)]
        builders = [partial(MusicalChairs, render_mode=mode, **options) for mode in modes]
        _, most = _players(options.get("players", 2))
        super().__init__(builders, most, may_be_inactive=most > 2)
        self.row_teams = np.tile(np.minimum(np.arange(most), 1), num_envs)


def _players(asked: int | Sequence[int]) -> tuple[int, int]:
    pair = tuple(asked) if isinstance(asked, Sequence) else (asked, asked)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not 2 <= pair[0] <= pair[1] <= MOST_PLAYERS:
        raise ValueError(
            f"players must be 2 to {MOST_PLAYERS}, or (fewest, most) of these, not {asked!r}"
        )
    return pair[0], pair[1]


def _nearest(place: Place, things: list[Place]) -> float:
    return min(math.dist(place, thing) for thing in things)


def _inside(coordinate: float) -> float:
    return min(max(coordinate, -1.0), 1.0)


def _step_of(action: Any) -> tuple[float, float]:
    return _MOVES[int(np.ravel(action)[0])]


def _steps_of(action: Any) -> tuple[float, float]:
    return float(action[0]) - 1.0, float(action[1]) - 1.0


def _clipped(action: Any) -> tuple[float, float]:
    return _inside(float(action[0])), _inside(float(action[1]))


_ACTIONS: dict[str, tuple[spaces.Space, Any]] = {
    "discrete": (spaces.Discrete(5), _step_of),
    "multi-discrete": (spaces.MultiDiscrete([3, 3]), _steps_of),
    "continuous": (spaces.Box(-1.0, 1.0, (2,), np.float32), _clipped),
}
