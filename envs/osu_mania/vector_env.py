"""OsuMania-v0, many rows as a Gymnasium vector environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.actions import batch_actions
from envs.noise import ResetNoise, StepNoise
from envs.osu_mania.env import check_render_mode, combinations, metadata_of
from envs.osu_mania.options import Options
from envs.osu_mania.picture import open_screen, picture_of
from envs.osu_mania.rows import N_RESET_NOISE, Observation, RowIndices, Rows, binary_keys
from envs.resets import reset_mask, row_seeds


class OsuManiaVectorEnv(gym.vector.VectorEnv):
    """`OsuManiaEnv` in n rows; a row that is done is reset within the same step.

    Row i seeded s is the single environment seeded s + i, bit for bit. When rows are done, infos
    carry `final_obs` and `final_info` with their masks, as SyncVectorEnv's in SAME_STEP mode; a
    final info has what the single environment's infos have. Infos are empty otherwise; `results`
    tells the same of all rows at any time.

    Args:
        num_envs: How many rows.
        max_episode_steps: A time limit in steps; None or -1 for none: maps end by themselves.
        render_mode: "human" (row 0 in a window, drawn at every step), "rgb_array" or None.
        **options: See `options.Options`.

    Raises:
        BeatmapError: A map can't be used.
        TypeError: There's no such option.
        ValueError: An option, the number of rows, the time limit or the render mode makes no sense.
    """

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be positive, got {num_envs}")
        if max_episode_steps == -1:  # gym.make's word for "no limit"
            max_episode_steps = None
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be positive, got {max_episode_steps}")
        check_render_mode(render_mode)
        self.options = Options(**options)
        self.metadata = {
            **metadata_of(self.options),
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.rows = Rows(num_envs, self.options)
        keys = self.rows.maps.keys
        self.single_observation_space = self.options.observation_space(keys)
        self.single_action_space = self.options.action_space(keys)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._combinations = combinations(keys)
        self._reset_noise = ResetNoise(num_envs, N_RESET_NOISE)
        self._step_noise = StepNoise(num_envs, self.rows.n_step_noise)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._started = False
        self._screen: Any = None

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts a map in every row, or in those of a mask.

        Args:
            seed: An int seeds row i with `seed + i`; a list has each row's own. Where it's None a
                row takes the next episode of its streams under way (at the first reset, of a seed
                from the system's entropy).
            options: `reset_mask`, bool `[n]`: the rows to reset, the others go on.

        Returns:
            All rows' observations, `[n, *observation_shape]`, and an empty info.

        Raises:
            ValueError: An unknown option, a wrong mask, or seeds that aren't n non-negative ints.
        """
        mask = reset_mask(options, self.num_envs, self._started)
        seeds = row_seeds(seed, self.num_envs, self._started)
        if mask[0]:
            super().reset(seed=seeds[0])
        rows = np.flatnonzero(mask)
        for row in rows.tolist():
            number = seeds[row]
            if number is not None:
                self._reset_noise.seed(row, number)
                self._step_noise.seed(row, number)
        self._begin(rows)
        self._started = True
        if self.render_mode == "human":
            self.render()
        return self.rows.observe(), {}

    def step(
        self, actions: Any
    ) -> tuple[
        Observation, NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Plays on for a step in every row, and resets those that are done.

        Args:
            actions: The keys that are down, `[n, keys]`, or discrete `[n]`.

        Returns:
            Observations `[n, *observation_shape]`, rewards float32 `[n]`, terminated and truncated
            bool `[n]`, infos. In a row that is done the observation is the next episode's first.

        Raises:
            ValueError: The actions aren't.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before the first step()")
        rows = self.rows
        rewards = rows.step(self._keys(actions), self._step_noise.take())
        self._elapsed += 1
        observations = rows.observe()
        terminated = rows.ended
        if self.max_episode_steps is None:
            truncated = np.zeros(self.num_envs, bool)
        else:
            truncated = self._elapsed >= self.max_episode_steps
        infos: dict[str, Any] = {}
        if np.count_nonzero(terminated) or np.count_nonzero(truncated):
            done = terminated | truncated
            infos = self._final_infos(done, observations)
            self._begin_again(np.flatnonzero(done), observations)
        if self.render_mode == "human":
            self.render()
        return observations, rewards, terminated, truncated, infos

    def results(self) -> dict[str, Any]:
        """What the rows have reached in their episodes, `[n]` each: see `Rows.results`."""
        return self.rows.results()

    def snapshot(self) -> dict[str, Any]:
        """All rows' episodes and places in the streams of noise, for `restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before snapshot()")
        return {
            "rows": self.rows.snapshot(),
            "elapsed": self._elapsed.copy(),
            "reset_noise": self._reset_noise.places(),
            "step_noise": self._step_noise.places(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where `snapshot` was taken, in this process or in another."""
        self.rows.restore(snapshot["rows"])
        self._elapsed[:] = snapshot["elapsed"]
        self._reset_noise.place(snapshot["reset_noise"])
        self._step_noise.place(snapshot["step_noise"])
        self._started = True

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Every row's picture `[height, width, 3]` under "rgb_array"; row 0's window under "human".

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to make_vec()")
            return None
        if not self._started:
            raise ResetNeeded("call reset() before render()")
        if self._screen is None:
            self._screen = open_screen(self.rows)
        if self.render_mode == "human":
            picture, caption = picture_of(self.rows, 0)
            self._screen.show(picture, caption, moment=picture.time)
            return None
        return tuple(
            self._screen.frame(*picture_of(self.rows, row)) for row in range(self.num_envs)
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the window: a copy opens its own."""
        return {**self.__dict__, "_screen": None}

    def _keys(self, actions: Any) -> NDArray[np.bool_]:
        """The keys that the actions hold down, `[n, K]`."""
        if isinstance(self.single_action_space, spaces.Discrete):
            chosen = batch_actions(self.single_action_space, actions, self.num_envs)
            return self._combinations[chosen]
        return binary_keys(actions, self.rows.keys.shape)

    def _begin(self, rows: RowIndices) -> None:
        self.rows.begin(rows, self._reset_noise.upcoming[rows])
        self._reset_noise.advance(rows)
        self._elapsed[rows] = 0

    def _begin_again(self, rows: RowIndices, observations: Observation) -> None:
        """Starts the next maps of rows, and puts their first observations in place."""
        self._begin(rows)
        first = self.rows.observe_some(rows)
        if isinstance(observations, dict) and isinstance(first, dict):
            for name, part in first.items():
                observations[name][rows] = part
        elif not isinstance(observations, dict):
            observations[rows] = first

    def _final_infos(self, done: NDArray[np.bool_], observations: Observation) -> dict[str, Any]:
        """What the done rows report."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(done).tolist():
            if isinstance(observations, dict):
                final_obs[row] = {name: part[row].copy() for name, part in observations.items()}
            else:
                final_obs[row] = observations[row].copy()
        return {
            "final_obs": final_obs,
            "_final_obs": done.copy(),
            "final_info": _masked(self.rows.results(), done),
            "_final_info": done,
        }


def _masked(results: dict[str, Any], done: NDArray[np.bool_]) -> dict[str, Any]:
    """Results of the rows that are done, with Gymnasium's masks beside them."""
    masked: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, dict):
            masked[name] = _masked(value, done)
        else:
            masked[name] = np.where(done, value, np.zeros(1, value.dtype))
        masked[f"_{name}"] = done.copy()
    return masked
