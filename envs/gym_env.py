"""One row of a world as a Gymnasium environment."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.actions import single_action
from envs.noise import ResetNoise, StepNoise
from envs.resets import fresh_seed
from envs.world import Params, State, World, override_params, step

METADATA: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 60}


def load_world(world: World | str) -> World:
    """The world itself, or an instance of the class that `"module:Class"` names."""
    if not isinstance(world, str):
        return world
    module, name = world.split(":")
    return getattr(importlib.import_module(module), name)()


def check_render_mode(world: World, render_mode: str | None) -> None:
    """Raises ValueError unless the world can be rendered in this mode (None: not at all)."""
    if render_mode is None:
        return
    if render_mode not in METADATA["render_modes"]:
        raise ValueError(
            f"render_mode must be one of {METADATA['render_modes']} or None, got {render_mode!r}"
        )
    if not world.renderer:
        raise ValueError(f"{type(world).__name__} names no renderer, so render_mode must be None")


class WorldEnv(gym.Env):
    """A world as `gym.Env`, without a time limit: that is `gym.make`'s TimeLimit wrapper.

    Every info of `step` carries `reward_terms`: each term's sum over the episode so far, so that
    the last info of an episode has the whole, whoever ended it.

    Args:
        world: The definition, or `"module:Class"` of one.
        render_mode: "human" (a window, drawn at every step), "rgb_array" or None.
        **overrides: Constants of the world to replace, by name.

    Raises:
        TypeError: A constant isn't one of the world's.
        ValueError: A constant or the render mode makes no sense.
    """

    metadata = METADATA

    def __init__(
        self, world: World | str, render_mode: str | None = None, **overrides: Any
    ) -> None:
        self.world: World = load_world(world)
        self.params: Params = override_params(self.world, overrides)
        check_render_mode(self.world, render_mode)
        self.render_mode = render_mode
        # Copies, because a space samples from a generator of its own.
        self.observation_space = copy.deepcopy(self.world.observation_space)
        self.action_space = copy.deepcopy(self.world.action_space)
        self._reset_noise = ResetNoise(1, self.world.n_reset_noise)
        self._step_noise = StepNoise(1, self.world.n_step_noise)
        self._seeded = False
        self._state: State = None
        self._elapsed = 0
        self._return = 0.0
        self._sums: dict[str, float] = {}
        self._screen: Any = None

    @property
    def state(self) -> State:
        """The world's state, a NamedTuple of arrays without leading axes; None before a reset."""
        return self._state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Starts the streams of noise anew; None takes the next episode of the streams
                under way (at the first reset, of a seed from the system's entropy, which
                `np_random_seed` then tells).
            options: There are none.

        Returns:
            The first observation and an empty info.

        Raises:
            ValueError: An option was given.
        """
        if options:
            raise ValueError(f"this environment has no reset options, got {sorted(options)}")
        if seed is None and not self._seeded:
            seed = fresh_seed()
        super().reset(seed=seed)
        if seed is not None:
            self._reset_noise.seed(0, seed)
            self._step_noise.seed(0, seed)
            self._seeded = True
        # A copy, because a state may keep a part of its noise, which `advance` overwrites.
        noise = self._reset_noise.upcoming[0].copy()
        self._reset_noise.advance(np.zeros(1, np.intp))
        self._state = self.world.initial(np, noise, self.params)
        self._elapsed = 0
        self._return = 0.0
        self._sums = {}
        if self.render_mode == "human":
            self.render()
        return np.array(self.world.observation(np, self._state, self.params)), {}

    def step(self, action: Any) -> tuple[NDArray, float, bool, bool, dict[str, Any]]:
        """Steps the world.

        Args:
            action: One action; a Box's bounds are the world's to handle (ours clip).

        Returns:
            Observation, reward, terminated, truncated (by the world itself), and an info with
            `reward_terms`.

        Raises:
            ValueError: The action isn't one: wrong shape, not finite, out of a discrete range.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self._state is None:
            raise ResetNeeded("call reset() before the first step()")
        checked = single_action(self.action_space, action)
        noise = self._step_noise.take()[0]
        transition = step(self.world, np, self._state, checked, noise, self.params)
        self._state = transition.state
        self._elapsed += 1
        reward = float(transition.reward)
        self._return += reward
        sums = {
            name: self._sums.get(name, 0.0) + float(term)
            for name, term in transition.reward_terms.items()
        }
        self._sums = sums
        if self.render_mode == "human":
            self.render()
        return (
            np.array(transition.observation),
            reward,
            bool(transition.terminated),
            bool(transition.truncated),
            {"reward_terms": dict(sums)},
        )

    def snapshot(self) -> dict[str, Any]:
        """The episode under way and the places in the streams of noise, for :meth:`restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self._state is None:
            raise ResetNeeded("call reset() before snapshot()")
        return {
            "state": copy.deepcopy(self._state),
            "elapsed": self._elapsed,
            "return": self._return,
            "sums": dict(self._sums),
            "reset_noise": self._reset_noise.places(),
            "step_noise": self._step_noise.places(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where :meth:`snapshot` was taken, in this process or in another."""
        self._state = copy.deepcopy(snapshot["state"])
        self._elapsed, self._return = snapshot["elapsed"], snapshot["return"]
        self._sums = dict(snapshot["sums"])
        self._reset_noise.place(snapshot["reset_noise"])
        self._step_noise.place(snapshot["step_noise"])
        self._seeded = True

    def render(self) -> NDArray[np.uint8] | None:
        """The picture `[height, width, 3]` under "rgb_array"; shows it under "human".

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to gym.make()")
            return None
        if self._state is None:
            raise ResetNeeded("call reset() before render()")
        if self._screen is None:
            self._screen = open_screen(self.world, self.params)
        caption = f"step {self._elapsed}   return {self._return:.2f}"
        if self.render_mode == "human":
            self._screen.show(self._state, caption, moment=self._state)
            return None
        return self._screen.frame(self._state, caption)

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the window: a copy opens its own."""
        return {**self.__dict__, "_screen": None}


def open_screen(world: World, params: Params) -> Any:
    """The Screen that draws this world; pygame is imported here and not before."""
    from envs.rendering.screen import Screen

    return Screen(world.renderer, params, type(world).__name__, METADATA["render_fps"])
