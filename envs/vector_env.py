"""Rows of a world as a Gymnasium vector environment, stepped together in NumPy."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.actions import batch_actions
from envs.gym_env import METADATA, check_render_mode, load_world, open_screen
from envs.noise import ResetNoise, StepNoise
from envs.resets import reset_mask, row_seeds
from envs.world import (
    Params,
    Rows,
    State,
    Transition,
    World,
    advance,
    first_rows,
    override_params,
    reset_where,
)


class WorldVectorEnv(gym.vector.VectorEnv):
    """A world as `gym.vector.VectorEnv`; a row that is done is reset within the same step.

    Row i seeded s is the single environment seeded s + i, bit for bit. When rows are done, infos
    carry what SyncVectorEnv in SAME_STEP mode carries: `final_obs` (object array `[n]`) and
    `final_info`, with their masks `_final_obs` and `_final_info`. A final info has `reward_terms`,
    each term's sum over the episode, float64 `[n]`. Infos are empty otherwise.

    Args:
        world: The definition, or `"module:Class"` of one.
        num_envs: How many rows.
        max_episode_steps: The time limit in steps; None for no limit.
        render_mode: "human" (row 0 in a window, drawn at every step), "rgb_array" or None.
        **overrides: Constants of the world to replace, by name.

    Raises:
        TypeError: A constant isn't one of the world's.
        ValueError: A constant, the number of rows, the time limit or the render mode makes no
            sense.
    """

    def __init__(
        self,
        world: World | str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be positive, got {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            # gym.make takes -1 for "no limit", make_vec passes it on.
            if max_episode_steps != -1:
                raise ValueError(
                    f"max_episode_steps must be positive, or None or -1 for no limit, got "
                    f"{max_episode_steps}"
                )
            max_episode_steps = None
        self.metadata = {**METADATA, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.world: World = load_world(world)
        self.params: Params = override_params(self.world, overrides)
        check_render_mode(self.world, render_mode)
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.single_observation_space = copy.deepcopy(self.world.observation_space)
        self.single_action_space = copy.deepcopy(self.world.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._reset_noise = ResetNoise(num_envs, self.world.n_reset_noise)
        self._step_noise = StepNoise(num_envs, self.world.n_step_noise)
        self._rows: Rows | None = None
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._screen: Any = None
        self._replay: _Replay | None = None

    # Ahead of step(): a program may step the rows itself, many steps at once.

    @property
    def replayed(self) -> int:
        """How many of the next steps are already known, see :meth:`replay`."""
        return 0 if self._replay is None else self._replay.left

    def noise_ahead(self, n_steps: int) -> NDArray[np.float32]:
        """Takes the step noise of the next steps, `[n_steps, n, n_step_noise]`."""
        if not self.world.n_step_noise:
            return np.empty((n_steps, self.num_envs, 0), np.float32)
        return np.stack([self._step_noise.take() for _ in range(n_steps)])

    def reset_noise_ahead(self, n_episodes: int) -> NDArray[np.float32]:
        """Looks at each row's next episodes' noise, `[n, n_episodes, n_reset_noise]`."""
        return self._reset_noise.ahead(n_episodes)

    @property
    def rows(self) -> Rows:
        """All rows as they are; the world's functions step them.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self._rows is None:
            raise ResetNeeded("call reset() before stepping")
        return self._rows

    def replay(self, transitions: Transition, observations: NDArray, rows: Rows) -> None:
        """Lets the next T calls of `step` return what is given here, whatever their actions.

        For rows that were stepped elsewhere, with this env's noise: rewards, infos and episodes are
        reported as if they were stepped now.

        Args:
            transitions: Of T steps, fields `[T, n, ...]`.
            observations: To act on after each of them, `[T, n, *observation_shape]`.
            rows: The rows after the last one.
        """
        started = rows.episodes - self.rows.episodes
        for k in range(int(started.max())):
            self._reset_noise.advance(np.flatnonzero(started > k))
        self._rows = rows
        self._replay = _Replay(transitions, observations)

    def skip(self) -> Transition:
        """Takes all the steps of a replay at once; its transitions, fields `[T, n, ...]`."""
        assert self._replay is not None
        steps, self._replay = self._replay.transitions, None
        done = steps.terminated | steps.truncated
        # Of a row's last episode in there, which goes on.
        under_way = ~np.logical_or.accumulate(done[::-1])[::-1]
        for name, term in steps.reward_terms.items():
            total = self._sums.setdefault(name, np.zeros(self.num_envs))
            total[done.any(axis=0)] = 0.0
            total += term.sum(axis=0, where=under_way, dtype=np.float64)
        return steps

    @property
    def state(self) -> State:
        """The world's state, a NamedTuple of arrays `[n, ...]`; None before a reset."""
        return None if self._rows is None else self._rows.state

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray, dict[str, Any]]:
        """Starts an episode in every row, or in those of a mask.

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
        started = self._rows is not None
        mask = reset_mask(options, self.num_envs, started)
        self._seed(row_seeds(seed, self.num_envs, started), mask)
        noise = self._reset_noise.upcoming
        self._replay = None
        if self._rows is None:
            # A copy, because a state may keep a part of its noise, which `advance` overwrites.
            self._rows = first_rows(self.world, np, noise.copy(order="F"), self.params)
        else:
            self._rows = reset_where(self.world, np, mask, self._rows, noise, self.params)
        self._reset_noise.advance(np.flatnonzero(mask))
        for total in self._sums.values():
            total[mask] = 0.0
        if self.render_mode == "human":
            self.render()
        return self._observe(), {}

    def step(
        self, actions: Any
    ) -> tuple[NDArray, NDArray, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps every row and resets those that are done.

        Args:
            actions: `[n, *action_shape]`; a Box's bounds are the world's to handle (ours clip).

        Returns:
            Observations `[n, *observation_shape]`, rewards float32 `[n]`, terminated and truncated
            bool `[n]`, infos. In a row that is done the observation is the next episode's first.

        Raises:
            ValueError: The actions aren't: wrong shape, not finite, out of a discrete range.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self._rows is None:
            raise ResetNeeded("call reset() before the first step()")
        transition = self._advance(batch_actions(self.single_action_space, actions, self.num_envs))
        self._add_terms(transition.reward_terms)
        # A copy in any case: an observation may be a view of the state.
        observations = np.array(transition.observation, order="C")
        done = transition.terminated | transition.truncated
        infos: dict[str, Any] = {}
        if np.count_nonzero(done):
            infos = self._final_infos(done, observations)
            observations = self._restart(done)
        if self._replay is not None and not self._replay.left:
            self._replay = None
        if self.render_mode == "human":
            self.render()
        return (
            observations,
            transition.reward,
            transition.terminated,
            transition.truncated,
            infos,
        )

    # The two halves of `world.step_autoreset`: there's often nothing to reset.

    def _advance(self, actions: NDArray) -> Transition:
        """Steps every row, `[n, *action_shape]`, and resets nothing."""
        if self._replay is not None:
            return self._replay.transition()
        assert self._rows is not None
        self._rows, transition = advance(
            self.world,
            np,
            self._rows,
            actions,
            self._step_noise.take(),
            self.params,
            self.max_episode_steps,
        )
        return transition

    def _restart(self, done: NDArray[np.bool_]) -> NDArray:
        """Starts the next episode of rows that are done; all rows' observations."""
        if self._replay is not None:
            return self._replay.observation()
        assert self._rows is not None
        noise = self._reset_noise.upcoming
        self._rows = reset_where(self.world, np, done, self._rows, noise, self.params)
        self._reset_noise.advance(np.flatnonzero(done))
        return self._observe()

    def snapshot(self) -> dict[str, Any]:
        """All rows' episodes and places in the streams of noise, for :meth:`restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
            RuntimeError: Steps that are known already were not taken yet, see :meth:`replay`.
        """
        if self.replayed:
            raise RuntimeError(f"the rows are {self.replayed} steps ahead: no snapshot of them")
        return {
            "rows": copy.deepcopy(self.rows),
            "sums": copy.deepcopy(self._sums),
            "reset_noise": self._reset_noise.places(),
            "step_noise": self._step_noise.places(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where :meth:`snapshot` was taken, in this process or in another."""
        self._rows = copy.deepcopy(snapshot["rows"])
        self._sums = copy.deepcopy(snapshot["sums"])
        self._reset_noise.place(snapshot["reset_noise"])
        self._step_noise.place(snapshot["step_noise"])
        self._replay = None

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Every row's picture `[height, width, 3]` under "rgb_array"; row 0's window under "human".

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to make_vec()")
            return None
        if self._rows is None:
            raise ResetNeeded("call reset() before render()")
        if self._screen is None:
            self._screen = open_screen(self.world, self.params)
        if self.render_mode == "human":
            self._screen.show(*self._picture_of(self._rows, 0), moment=self._rows)
            return None
        return tuple(
            self._screen.frame(*self._picture_of(self._rows, row)) for row in range(self.num_envs)
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the window: a copy opens its own."""
        return {**self.__dict__, "_screen": None}

    def _seed(self, seeds: list[int | None], mask: NDArray[np.bool_]) -> None:
        """Seeds the rows of a mask, and Gymnasium's own generator as row 0."""
        if mask[0]:
            super().reset(seed=seeds[0])
        for row in np.flatnonzero(mask).tolist():
            seed = seeds[row]
            if seed is not None:
                self._reset_noise.seed(row, seed)
                self._step_noise.seed(row, seed)

    def _observe(self) -> NDArray:
        """All rows' observations in memory of their own, C-contiguous."""
        assert self._rows is not None
        return np.array(self.world.observation(np, self._rows.state, self.params), order="C")

    def _add_terms(self, terms: dict[str, NDArray]) -> None:
        """Adds a step's reward terms to the episodes' sums."""
        sums = self._sums
        if not sums:
            self._sums = sums = {name: np.zeros(self.num_envs) for name in terms}
        for name, term in terms.items():
            sums[name] += term

    def _final_infos(self, done: NDArray[np.bool_], observations: NDArray) -> dict[str, Any]:
        """What the done rows report, and their sums back to zero."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(done).tolist():
            final_obs[row] = observations[row]
        terms: dict[str, NDArray] = {}
        for name, total in self._sums.items():
            terms[name] = np.where(done, total, 0.0)
            terms[f"_{name}"] = done.copy()
            total[done] = 0.0
        final_info = {"reward_terms": terms, "_reward_terms": done.copy()}
        return {
            "final_obs": final_obs,
            "_final_obs": done.copy(),
            "final_info": final_info,
            "_final_info": done,
        }

    def _picture_of(self, rows: Rows, row: int) -> tuple[State, str]:
        """One row's state, and its caption."""
        state = type(rows.state)(*(leaf[row] for leaf in rows.state))
        total = sum(float(total[row]) for total in self._sums.values())
        return state, f"step {int(rows.elapsed[row])}   return {total:.2f}"


class _Replay:
    """Steps that are known already, one after the other."""

    def __init__(self, transitions: Transition, observations: NDArray) -> None:
        self.transitions, self._observations = transitions, observations
        self._step = 0

    @property
    def left(self) -> int:
        return len(self._observations) - self._step

    def transition(self) -> Transition:
        t, all_steps = self._step, self.transitions
        self._step += 1
        return Transition(
            None,
            all_steps.observation[t],
            all_steps.reward[t],
            {name: term[t] for name, term in all_steps.reward_terms.items()},
            all_steps.terminated[t],
            all_steps.truncated[t],
        )

    def observation(self) -> NDArray:
        return self._observations[self._step - 1]
