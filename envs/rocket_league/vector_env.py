"""RocketLeague-v0: matches whose cars are the rows of a Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import GOAL_THRESHOLD, TICKS_PER_SECOND

from envs.resets import reset_mask, row_seeds
from envs.rocket_league.actions import Controls
from envs.rocket_league.matches import Matches
from envs.rocket_league.observation import LocalObservation
from envs.rocket_league.options import RENDER_MODES, check_number, check_render_mode, ticks
from envs.rocket_league.parts import PartObservations, PartRewards
from envs.rocket_league.rewards import TERMS, events, weights_of
from envs.rocket_league.scene import Scene


class RocketLeagueVectorEnv(gym.vector.VectorEnv):
    """Matches of Rocket League on RocketSim, self-play: each car is a row.

    The rows of match m are m N to m N + N - 1, its seats: blue's first. An episode is the match's:
    all its rows end together, terminated by a goal, truncated where nobody touches the ball for a
    while or time is up, and begin again within the same step. Then infos carry `final_obs` and
    `final_info` with their masks: `end` ("goal", "no_touch" or "time"), `goals` (1, 0 or -1, from
    the row's side), `touches`, and `reward_terms`: how much of each term of `rewards` the episode
    had, times its weight. Infos are empty otherwise.

    A seed s begins row i's match with s + i, i its first row: how episodes begin and where
    demolished cars return. Everything else is determined by the actions. With several team sizes
    some rows are empty in some episodes: `active_rows()` tells which are not.

    Args:
        num_envs: How many matches; `num_envs` of the environment then counts rows.
        team_size: Cars of each team; a pair `[blue, orange]` of which orange may be 0; or a list
            of sizes and pairs, of which one is drawn for each episode. `[[2, 1]]` is one pair.
        tick_skip: Ticks of a step, of which a second has 120.
        observation: "local" (`observation.LocalObservation`), "default" (RLGym's DefaultObs), or
            what makes RLGym's ObsBuilder: a class, a function, or `"module:name"` of one.
        actions: "lookup" (RLGym's 90), "ground" (16 without jumps), "continuous" (8 controls), or a
            table of controls, see `actions`.
        reward_weights: Replaces weights of the terms, by name, see `rewards`.
        reward: What makes RLGym's RewardFunction, instead of the terms.
        kickoff: The share of episodes that begin with a kickoff; the others begin with cars and
            ball anywhere on the field.
        seconds: The time limit; None for none.
        no_touch_seconds: Seconds without a touch that end an episode; None: any number.
        max_episode_steps: A time limit in steps besides; None or -1 for none.
        render_mode: "rgb_array" or "human" (a window) from above; "rlviser" in 3D (rlviser-py).

    Attributes:
        may_be_inactive: Whether rows can be empty.
        row_teams: 0 blue, 1 orange, of each row.

    Raises:
        TypeError: There's no such argument.
        ValueError: An argument makes no sense.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium declares it so)
        "render_modes": list(RENDER_MODES),
        "render_fps": 15,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        team_size: Any = 1,
        tick_skip: int = 8,
        observation: Any = "local",
        actions: Any = "lookup",
        reward_weights: Mapping[str, float] | None = None,
        reward: Any = None,
        kickoff: float = 1.0,
        seconds: float | None = 300.0,
        no_touch_seconds: float | None = 30.0,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_number("num_envs", num_envs, 1, np.inf, whole=True)
        check_number("tick_skip", tick_skip, 1, TICKS_PER_SECOND, whole=True)
        check_number("kickoff", kickoff, 0.0, 1.0)
        check_render_mode(render_mode)
        if reward is not None and reward_weights:
            raise ValueError("reward_weights are those of the terms: leave them out with reward")
        if max_episode_steps in (None, -1):
            max_episode_steps = None
        else:
            check_number("max_episode_steps", max_episode_steps, 1, np.inf)
        self.metadata = {**self.metadata, "render_fps": round(TICKS_PER_SECOND / tick_skip)}
        self.render_mode = render_mode
        self.matches = Matches(num_envs, team_size, tick_skip, kickoff)
        self._limits = {
            "time": ticks("seconds", seconds),
            "steps": np.inf if max_episode_steps is None else max_episode_steps * tick_skip,
            "no_touch": ticks("no_touch_seconds", no_touch_seconds),
        }
        self._weights = weights_of(reward_weights)
        self._reward_parts = None if reward is None else PartRewards(reward, num_envs)
        teams = self.matches.teams
        self._observation: LocalObservation | PartObservations
        if isinstance(observation, str) and observation == "local":
            self._observation = LocalObservation(teams)
        else:
            largest = max(int((teams == team).sum()) for team in (0, 1))
            self._observation = PartObservations(observation, num_envs, largest)
            self._learn_its_size(self._observation)
        self._controls = Controls(actions)
        self.num_envs = num_envs * len(teams)
        self.row_teams = np.tile(teams, num_envs)
        self.may_be_inactive = self.matches.may_be_inactive
        size = self._observation.size
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = self._controls.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._started = False
        self._sums = np.zeros((num_envs, len(teams), len(TERMS)))
        self._touches = np.zeros((num_envs, len(teams)), np.int64)
        self._view: Any = None

    def active_rows(self) -> NDArray[np.bool_]:
        """Whether there is a car in each row, `[n]`."""
        return self.matches.scene.present.reshape(-1).copy()

    def touches(self) -> NDArray[np.int64]:
        """Touches of the ball in the episode so far, `[n]`."""
        return self._touches.reshape(-1).copy()

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begins an episode in every match, or in those of a mask.

        Args:
            seed: An int seeds row i with `seed + i`; a list has each row's own: a match takes that
                of its first row. None: its random numbers go on.
            options: `reset_mask`, bool `[n]`: rows to reset; all rows of a match or none.

        Returns:
            All rows' observations, float32 `[n, size]`, and an empty info.

        Raises:
            ValueError: An unknown option, a wrong mask or wrong seeds.
        """
        chosen = self._chosen(options)
        # A match's random numbers go on by themselves where it gets no seed.
        seeds = row_seeds(seed, self.num_envs, started=True)[:: len(self.matches.teams)]
        for match in np.flatnonzero(chosen).tolist():
            self.matches.seed(match, seeds[match])
        if chosen[0]:
            super().reset(seed=seeds[0])
        self._begin(np.flatnonzero(chosen))
        self._started = True
        self._draw()
        return self._observe(np.arange(len(chosen))).reshape(self.num_envs, -1), {}

    def step(
        self, actions: Any
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Plays on for a step in every match, and begins those anew that are over.

        Args:
            actions: `[n]` of a table, `[n, 8]` as controls; an empty row's are for nobody.

        Returns:
            Observations float32 `[n, size]`, rewards float32 `[n]`, terminated and truncated bool
            `[n]`, infos. In a row that is done the observation is the next episode's first.

        Raises:
            ValueError: The actions aren't.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before the first step()")
        matches = self.matches
        controls = self._controls.of(actions, self.num_envs)
        matches.step(controls.reshape(*matches.scene.present.shape, -1))
        scene, before = matches.scene, matches.before
        scored = scored_in(scene)
        terminated, ends = scored >= 0, self._ends(scored)
        truncated = (ends != "") & ~terminated
        happened = events(before, scene, matches.tick_skip / TICKS_PER_SECOND, scored)
        self._sums += happened
        self._touches += happened[..., TERMS.index("touch")].astype(np.int64)
        rewards = happened @ self._weights
        if self._reward_parts is not None:
            rewards = self._part_rewards(self._reward_parts, terminated, truncated)
        everybody = np.arange(len(scored))
        observations = self._observe(everybody)
        over, infos = np.flatnonzero(ends != ""), {}
        flags = [ended[:, None] & scene.present for ended in (terminated, truncated)]
        if len(over):
            infos = self._final(scored, ends, observations)
            self._begin(over)
            observations[over] = self._observe(over)
        self._draw()
        n = self.num_envs
        return (
            observations.reshape(n, -1),
            rewards.astype(np.float32).reshape(n),
            flags[0].reshape(n),
            flags[1].reshape(n),
            infos,
        )

    def _ends(self, scored: NDArray[np.int64]) -> NDArray[Any]:
        """How each match ends now, "" where it goes on, `[M]` of str."""
        matches, limits = self.matches, self._limits
        return np.select(
            [
                scored >= 0,
                (matches.elapsed >= limits["time"]) | (matches.elapsed >= limits["steps"]),
                matches.since_touch >= limits["no_touch"],
            ],
            ["goal", "time", "no_touch"],
            "",
        )

    def _final(
        self, scored: NDArray[np.int64], ends: NDArray[Any], observations: NDArray[np.float32]
    ) -> dict[str, Any]:
        """The infos of a step in which matches end."""
        scene, n = self.matches.scene, self.num_envs
        done = ((ends != "")[:, None] & scene.present).reshape(n)
        final_obs = np.full(n, None, dtype=object)
        rows = observations.reshape(n, -1)
        for row in np.flatnonzero(done):
            final_obs[row] = rows[row].copy()
        goals = np.where(scored[:, None] == scene.teams, 1, -1)
        goals[scored < 0] = 0
        seats = scene.present.shape
        columns: dict[str, Any] = {
            "end": np.broadcast_to(ends[:, None], seats).astype(object),
            "goals": goals,
            "touches": self._touches,
        }
        told: dict[str, Any] = {
            name: np.where(done, column.reshape(n), 0) for name, column in columns.items()
        }
        if self._reward_parts is None:
            paid = (self._sums * self._weights).reshape(n, -1)
            terms = {name: np.where(done, paid[:, i], 0.0) for i, name in enumerate(TERMS)}
            told["reward_terms"] = terms | {f"_{name}": done for name in TERMS}
        return {
            "final_obs": final_obs,
            "_final_obs": done,
            "final_info": told | {f"_{name}": done for name in told},
            "_final_info": done,
        }

    def _begin(self, chosen: NDArray[np.intp]) -> None:
        for match in chosen.tolist():
            self.matches.begin(match)
            for parts in (self._observation, self._reward_parts):
                if isinstance(parts, PartObservations | PartRewards):
                    info = self.matches.shared_info[match]
                    parts.begin(match, self.matches.game_state(match), info)
        self._sums[chosen] = 0.0
        self._touches[chosen] = 0

    def _observe(self, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """Observations of some matches, `[m, N, size]`."""
        scene = self.matches.scene
        if isinstance(self._observation, LocalObservation):
            return self._observation.of(
                scene if len(chosen) == len(scene.present) else scene.of(chosen)
            )
        seats = (len(chosen), len(scene.teams), self._observation.size)
        observations = np.zeros(seats, np.float32)
        for i, match in enumerate(chosen.tolist()):
            state, info = self.matches.game_state(match), self.matches.shared_info[match]
            observations[i, scene.present[match]] = self._observation.of(match, state, info)
        return observations

    def _part_rewards(
        self, parts: PartRewards, terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        matches, present = self.matches, self.matches.scene.present
        rewards = np.zeros(present.shape)
        for match in range(len(present)):
            state, info = matches.game_state(match), matches.shared_info[match]
            ends = bool(terminated[match]), bool(truncated[match])
            rewards[match, present[match]] = parts.of(match, state, ends, info)
        return rewards

    def _learn_its_size(self, parts: PartObservations) -> None:
        """Parts tell their size once they have seen a state."""
        self.matches.begin(0)
        parts.begin(0, self.matches.game_state(0), self.matches.shared_info[0])

    # Pictures

    def render(self) -> Any:
        """Every match's picture `[height, width, 3]` under "rgb_array"; else the first's window.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to make_vec()")
            return None
        if not self._started:
            raise ResetNeeded("call reset() before render()")
        if self._view is None:
            from envs.rocket_league.view import open_view

            self._view = open_view(self.render_mode, self.metadata["render_fps"])
        if self.render_mode == "rgb_array":
            n_matches = len(self.matches.scene.present)
            return tuple(self._view.frame(self.matches, match) for match in range(n_matches))
        self._view.show(self.matches, 0)
        return None

    def _draw(self) -> None:
        if self.render_mode in ("human", "rlviser"):
            self.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window, if there is one."""
        if self._view is not None:
            self._view.close()
            self._view = None

    # What reset() is given

    def _chosen(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        """The matches to reset, bool `[M]`."""
        shape = self.matches.scene.present.shape
        mask = reset_mask(options, self.num_envs, self._started)
        seats = mask.reshape(shape)
        if not (seats == seats[:, :1]).all():
            raise ValueError("reset_mask: all rows of a match, or none")
        return seats[:, 0]


def scored_in(scene: Scene) -> NDArray[np.int64]:
    """The team that has scored in each match, `[M]`: 0, 1, or -1 where none has."""
    y = scene.ball[:, 0, 1]
    return np.where(np.abs(y) > GOAL_THRESHOLD, np.where(y > 0, 0, 1), -1)
