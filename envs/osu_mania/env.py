"""OsuMania-v0, one row as a Gymnasium environment: an episode is a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.actions import single_action
from envs.noise import ResetNoise, StepNoise
from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.options import Options
from envs.osu_mania.picture import open_screen, picture_of
from envs.osu_mania.play import TIME
from envs.osu_mania.replay import Recorder, Replay, judge, write_replay
from envs.osu_mania.rows import N_RESET_NOISE, Observation, Rows, binary_keys
from envs.resets import fresh_seed

RENDER_MODES = ["human", "rgb_array"]
_FOLDER = Path(__file__).parent / "pretrained"
PRETRAINED = {name: str(_FOLDER / f"{name}.npz") for name in ("compact", "pixels")}
"""Trained agents: `docs/osu-mania.md` says how they were made and how well they play."""


class OsuManiaEnv(gym.Env):
    """Plays osu!mania maps by the game's rules.

    Action: the keys that are down, `MultiBinary(keys)`, or `Discrete(2**keys)`. Observation: see
    `observation.compact` and `highway`. Reward: see `rewards.WEIGHTS`. It terminates when every
    object of the map is judged, or, with `can_fail`, when the health is used up.

    Every info of `step` carries `judgements`, `combo`, `max_combo`, `accuracy`, `score`, `hp`,
    `failed`, `map` (its index), and `reward_terms`: each term's sum over the episode so far.

    Args:
        render_mode: "human" (a window, drawn at every step), "rgb_array" or None.
        **options: See `options.Options`.

    Raises:
        BeatmapError: A map can't be used.
        TypeError: There's no such option.
        ValueError: An option makes no sense.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": RENDER_MODES,
        "render_fps": 60,
        "pretrained": PRETRAINED,
    }

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self.options = Options(**options)
        self.metadata = metadata_of(self.options)
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.rows = Rows(1, self.options)
        keys = self.rows.maps.keys
        self.observation_space = self.options.observation_space(keys)
        self.action_space = self.options.action_space(keys)
        self._combinations = combinations(keys)
        self._reset_noise = ResetNoise(1, N_RESET_NOISE)
        self._step_noise = StepNoise(1, self.rows.n_step_noise)
        self._seeded = False
        self._started = False
        self._recorder = Recorder()
        self._screen: Any = None

    @property
    def beatmap(self) -> Beatmap:
        """The map of the episode under way.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        self._check_started("there is a map")
        return self.rows.beatmap(0)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts a map.

        Args:
            seed: Starts the streams of noise anew; None takes the next episode of the streams
                under way (at the first reset, of a seed from the system's entropy).
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
        self.rows.begin(_ROW, self._reset_noise.upcoming)
        self._reset_noise.advance(_ROW)
        self._started = True
        self._recorder = Recorder()
        if self.render_mode == "human":
            self.render()
        return first_of(self.rows.observe()), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Plays on for a step.

        Args:
            action: The keys that are down.

        Returns:
            Observation, reward, terminated, False, and an info.

        Raises:
            ValueError: The action isn't one.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        self._check_started("the first step()")
        rows = self.rows
        if self.options.actions == "discrete":
            keys = self._combinations[single_action(self.action_space, action)]
        else:
            keys = binary_keys(action, self.action_space.shape or ())
        self._recorder.add(float(rows.simulator.play.rows[0, TIME]), keys.tolist())
        reward = rows.step(keys[None], self._step_noise.take())
        observation = first_of(rows.observe())
        terminated = bool(rows.ended[0])
        info = rows.result(0)
        if self.render_mode == "human":
            self.render()
        return observation, float(reward[0]), terminated, False, info

    def replay(self, player: str = "sb3_ext") -> Replay:
        """The episode so far as a replay, played to its end without touching another key.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
            ValueError: Actions are delayed, and replays have the keys as they reach the game.
        """
        self._check_started("replay()")
        if self.options.delay("action")[1] + self.options.jitter("action") > 0:
            raise ValueError("there are no replays of delayed actions: set action_delay=0")
        recorded = self._recorder.replay(self.beatmap, self.options.rate)
        session = judge(recorded, self.beatmap, self.options.ruleset)
        return recorded.with_results(session, player)

    def write_replay(self, path: str | Path, player: str = "sb3_ext") -> None:
        """Writes `replay` as an .osr file, which the game can show.

        Raises:
            ReplayError: The rate isn't one that the game has a mod for.
            ImportError: osrparse isn't installed.
            ValueError: See `replay`.
        """
        write_replay(self.replay(player), path)

    def snapshot(self) -> dict[str, Any]:
        """The episode under way and the places in the streams of noise, for `restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        self._check_started("snapshot()")
        return {
            "rows": self.rows.snapshot(),
            "reset_noise": self._reset_noise.places(),
            "step_noise": self._step_noise.places(),
            "recorded": self._recorder.snapshot(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where `snapshot` was taken, in this process or in another."""
        self.rows.restore(snapshot["rows"])
        self._reset_noise.place(snapshot["reset_noise"])
        self._step_noise.place(snapshot["step_noise"])
        self._recorder = Recorder(*snapshot["recorded"])
        self._seeded = self._started = True

    def render(self) -> NDArray[np.uint8] | None:
        """The picture `[height, width, 3]` under "rgb_array"; shows it under "human".

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to gym.make()")
            return None
        self._check_started("render()")
        if self._screen is None:
            self._screen = open_screen(self.rows)
        picture, caption = picture_of(self.rows, 0)
        if self.render_mode == "human":
            self._screen.show(picture, caption, moment=picture.time)
            return None
        return self._screen.frame(picture, caption)

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._screen is not None:
            self._screen.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the window: a copy opens its own."""
        return {**self.__dict__, "_screen": None}

    def _check_started(self, what: str) -> None:
        if not self._started:
            raise ResetNeeded(f"call reset() before {what}")


_ROW = np.zeros(1, np.intp)


def metadata_of(options: Options) -> dict[str, Any]:
    """Gymnasium's metadata: the game is shown at the rate at which it's played."""
    return {
        "render_modes": RENDER_MODES,
        "render_fps": round(options.hz),
        "pretrained": PRETRAINED,
    }


def check_render_mode(render_mode: str | None) -> None:
    """Raises ValueError unless there is such a mode (None: not at all)."""
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode must be one of {RENDER_MODES} or None, got {render_mode!r}")


def combinations(keys: int) -> NDArray[np.bool_]:
    """The keys of each discrete action, `[2**keys, keys]`: bit c is column c."""
    return (np.arange(2**keys)[:, None] >> np.arange(keys) & 1).astype(bool)


def first_of(observation: Observation) -> Any:
    """Row 0's observation."""
    if isinstance(observation, dict):
        return {name: part[0] for name, part in observation.items()}
    return observation[0]
