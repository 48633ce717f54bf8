"""OsuManiaLive-v0: osu!mania in a real window, with real keys."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.actions import single_action
from envs.osu_mania.env import PRETRAINED, RENDER_MODES, check_render_mode, combinations
from envs.osu_mania.live.desktop import Area
from envs.osu_mania.live.errors import LiveError, StoppedError
from envs.osu_mania.live.gear import Gear, say
from envs.osu_mania.live.ledger import Ledger, Shadow
from envs.osu_mania.live.options import LiveOptions
from envs.osu_mania.live.pacing import Pacer, Timings
from envs.osu_mania.live.readers import Reading
from envs.osu_mania.live.refusals import PLAYING, refusal
from envs.osu_mania.live.song_time import SongTime
from envs.osu_mania.maps import listed_maps
from envs.osu_mania.play import JUDGEMENTS, TERMS
from envs.osu_mania.rewards import reward_weights
from envs.osu_mania.rows import binary_keys

AWAY = 0.5
"""For how long an agent can be busy with other things without losing the play, s."""

_LOOK = 0.005  # s, between two looks for a play


@dataclass
class _Play:
    """The play under way."""

    ledger: Ledger
    shadow: Shadow | None
    window: int
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(TERMS)))


class OsuManiaLiveEnv(gym.Env):
    """Plays osu!mania in the game's own window.

    Action: the keys that are down, `MultiBinary(keys)`, or `Discrete(2**keys)`. Observation: the
    last frames of the note area, uint8 `[frame_stack, height, width]`. Reward: the terms of
    `rewards.WEIGHTS`, from what the game tells (see `ledger`). A step lasts a period of `hz`.

    An episode is a play: `reset` waits for one that is at its beginning. It terminates when the
    game leaves the play or the play has failed. It's truncated when anything isn't as it should
    be: the focus is elsewhere, the window is gone, the state is old, the game is paused, or the
    agent was away; then `info["stopped"]` says why, and all keys are up.

    Every info of `step` carries what OsuMania-v0's has (`map` is the map's line), and `stopped`,
    `keys` (those that were down, or would have been), `state_age` (ms), and `missed_deadlines` (of
    the episode).

    Args:
        render_mode: "human" (the game's window is there already), "rgb_array" (the note area, as it
            was captured) or None.
        **options: See `LiveOptions`.

    Raises:
        BeatmapError: A map can't be used.
        TypeError: There's no such option.
        ValueError: An option makes no sense.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": RENDER_MODES,
        "render_fps": 60,
        "live": True,
        "pretrained": {"pixels": PRETRAINED["pixels"]},
    }
    _gear: Gear | None = None

    def __init__(self, render_mode: str | None = None, **options: Any) -> None:
        self.options = LiveOptions(**options)
        check_render_mode(render_mode)
        self.metadata = type(self).metadata | {"render_fps": round(self.options.hz)}
        self.render_mode = render_mode
        keys, shape = self.options.keys, (self.options.frame_stack, *self.options.frame_size)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space: spaces.Space[Any] = (
            spaces.Discrete(2**keys)
            if self.options.actions == "discrete"
            else spaces.MultiBinary(keys)
        )
        self.timings = Timings()
        self._combinations = combinations(keys)
        self._weights = reward_weights(self.options.reward_weights)
        self._maps = (
            None
            if self.options.maps is None
            else {beatmap.md5: beatmap for beatmap in listed_maps(self.options.maps, keys).beatmaps}
        )
        self._pacer = Pacer(self.options.hz)
        self._frames = np.zeros(shape, np.uint8)
        self._song = SongTime()
        self._followed = -1  # number of the last state that the song's time was told
        self._play: _Play | None = None
        self._returned = 0.0
        self._missed_before = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Waits for a play that is at its beginning; meanwhile all keys are up.

        Args:
            seed: There is nothing random here.
            options: There are none.

        Returns:
            The first observation and an info with `map`.

        Raises:
            LiveError: Nobody said that the game is offline; something that it takes isn't there;
                the panic key was pressed; or there was no play for as long as `patience`.
            ValueError: An option was given.
        """
        if options:
            raise ValueError(f"this environment has no reset options, got {sorted(options)}")
        super().reset(seed=seed)
        if self._gear is None:
            self._gear = Gear(self.options)
        self._release()
        self._play = self._wait_for_play()
        self._pacer.restart()
        self._missed_before = self._pacer.n_missed
        self._returned = time.monotonic()
        return self._frames.copy(), {"map": self._play.ledger.state.label}

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Sets the keys, lets a period pass, and looks.

        Args:
            action: The keys that are down.

        Returns:
            Observation, reward, terminated, truncated, and an info.

        Raises:
            ValueError: The action isn't one.
            LiveError: The panic key was pressed, or the watchdog is gone.
            gymnasium.error.ResetNeeded: There was no reset yet, or the play is over.
        """
        if self._play is None or self._gear is None:
            raise ResetNeeded("call reset() before the first step()")
        if self.options.actions == "discrete":
            keys = self._combinations[single_action(self.action_space, action)]
        else:
            keys = binary_keys(action, self.action_space.shape or ())
        play, wanted = self._play, keys.tolist()
        self.timings.add("inference", time.monotonic() - self._returned)
        events = np.zeros(len(TERMS))
        stopped, over = "", False
        try:
            over = self._is_over(self._read())
            if not over:
                self._check(time.monotonic())
                events += self._play_on(play, wanted)
                over = self._is_over(self._read())
            events += play.ledger.settle(self._gear.reader.read(), over)
        except StoppedError as error:
            stopped = str(error)
        except BaseException:
            self._release()
            raise
        play.sums += events
        held = wanted if self._gear.hands is None else list(self._gear.hands.held)
        if over or stopped:
            self._release()
            self._play = None
        self._returned = time.monotonic()
        info = self._info(play) | {"stopped": stopped, "keys": held}
        return self._frames.copy(), float(events @ self._weights), over, bool(stopped), info

    def before_update(self) -> None:
        """Releases all keys: the agent will be busy with itself for a while.

        Trainers call it before every update; a play that goes on meanwhile ends with the next step.
        """
        self._release()

    def render(self) -> NDArray[np.uint8] | None:
        """The note area as it was captured, `[height, width, 3]`, under "rgb_array"."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to gym.make()")
        if self.render_mode != "rgb_array":
            return None
        if self._gear is None:
            raise ResetNeeded("call reset() before render()")
        return self._gear.capture.picture()

    def close(self) -> None:
        """Releases all keys and gives everything back; may be called again."""
        if self._gear is not None:
            self._gear.close()
            self._gear = None
        self._play = None

    def __del__(self) -> None:
        self.close()

    @property
    def missed_deadlines(self) -> tuple[int, int]:
        """How many periods were missed, and how many there were."""
        return self._pacer.n_missed, self._pacer.n_steps

    @property
    def song_time(self) -> float:
        """Where the song is, ms; not a number before anything is known."""
        self._read()
        return self._song.at(time.monotonic())

    @property
    def capture_notes(self) -> list[str]:
        """How the screen is captured; empty before the first reset."""
        return [] if self._gear is None else self._gear.capture.notes

    def _release(self) -> None:
        if self._gear is not None and self._gear.hands is not None:
            self._gear.hands.release()

    def _read(self) -> Reading:
        """The newest state, of which the song's time is told."""
        assert self._gear is not None
        start = time.perf_counter()
        reading = self._gear.reader.read()
        if reading.state is not None and reading.number != self._followed:
            self._followed = reading.number
            self._song.update(reading.state.time, reading.state.rate, reading.received)
        self.timings.add("state read", time.perf_counter() - start)
        return reading

    def _is_over(self, reading: Reading) -> bool:
        """Whether the play has come to its end: it was left, or it has failed."""
        state = reading.state
        if state is None or reading.age(time.monotonic()) > self.options.max_age:
            return False
        return state.number != PLAYING or bool(state.failed)

    def _refusal(self, reading: Reading, now: float) -> str:
        md5s = None if self._maps is None else self._maps.keys()
        options = self.options
        standing = self._song.stands_for(now)
        return refusal(reading, now, standing, options.max_age, options.keys, md5s)

    def _check(self, now: float) -> None:
        """Raises StoppedError unless the play can go on."""
        reading = self._read()
        self.timings.add("state age", reading.age(now))
        if reading.errors is not None:
            self.timings.add("errors age", now - reading.errors_received)
        if why := self._refusal(reading, now):
            raise StoppedError(why)
        away = now - self._returned
        if away > AWAY:
            assert reading.state is not None
            if self._song.at(now) > reading.state.first_object - 1000.0 * AWAY:
                raise StoppedError(f"the agent was away for {away:.1f} s of the play")
            self._pacer.restart()  # nothing has happened yet

    def _play_on(self, play: _Play, wanted: list[bool]) -> NDArray[np.float64]:
        """Sets the keys, lets the period pass, and looks; returns what the game doesn't tell."""
        assert self._gear is not None
        windows, hands, held = self._gear.windows, self._gear.hands, wanted
        if hands is not None:
            start = time.perf_counter()
            hands.set(wanted, lambda: windows.has_focus(play.window))
            self.timings.add("inject", time.perf_counter() - start)
            held = hands.held
        switch = self._song.at(time.monotonic())
        self.timings.add("late", self._pacer.wait())
        self._look()
        if play.shadow is None:
            return np.zeros(len(TERMS))
        return play.shadow.step(held, switch, self._song.at(time.monotonic()))

    def _look(self) -> None:
        """Takes a frame of the note area, wherever the window is now."""
        assert self._gear is not None and self._play is not None
        start = time.perf_counter()
        self._frames = np.roll(self._frames, -1, axis=0)
        self._frames[-1] = self._gear.capture.frame(self._note_area(self._play.window))
        self.timings.add("capture", time.perf_counter() - start)

    def _note_area(self, window: int) -> Area:
        assert self._gear is not None
        inside = self._gear.windows.area(window)
        if inside is None:
            raise StoppedError("the game's window is gone or hidden")
        area = inside.part(self.options.area)
        if min(area.width, area.height) < 24:
            raise StoppedError(f"the note area is too small: {area.width} x {area.height} px")
        if not area.within(self._gear.windows.screen()):
            raise StoppedError("the note area is not on the screen as a whole: move the window")
        return area

    def _wait_for_play(self) -> _Play:
        """Waits for a play that is at its beginning, in a window that is there."""
        assert self._gear is not None
        begun = time.monotonic()
        told, why = begun, ""
        while True:
            now = time.monotonic()
            if self._gear.hands is not None:
                self._gear.hands.check()
            try:
                return self._begin(now)
            except StoppedError as error:
                why = str(error)
            patience = self.options.patience
            if patience is not None and now - begun > patience:
                raise LiveError(f"there was no play within {patience:g} s: {why}")
            if now - told > 10.0:
                told = now
                say(f"waiting for a play: {why}")
            time.sleep(_LOOK)

    def _begin(self, now: float) -> _Play:
        """The play that has just begun; raises StoppedError if there is none."""
        assert self._gear is not None
        reading = self._read()
        if why := self._refusal(reading, now):
            raise StoppedError(why)
        state = reading.state
        assert state is not None
        if any(state.counts) or self._song.at(now) > state.first_object:
            raise StoppedError("the play is under way already: the next one will do")
        window = self._gear.windows.find(self.options.window)
        if self._gear.hands is not None and not self._gear.windows.has_focus(window):
            raise StoppedError("the game's window hasn't got the focus")
        frame = self._gear.capture.frame(self._note_area(window))
        self._frames = np.repeat(frame[None], len(self._frames), axis=0)
        beatmap = None if self._maps is None else self._maps[state.md5]
        shadow = None if beatmap is None else Shadow(beatmap, self.options.ruleset, state.rate)
        return _Play(Ledger(state, self.options.ruleset, reading.errors), shadow, window)

    def _info(self, play: _Play) -> dict[str, Any]:
        assert self._gear is not None
        state, age = play.ledger.state, self._gear.reader.read().age(time.monotonic())
        return {
            "reward_terms": dict(zip(TERMS, (play.sums * self._weights).tolist(), strict=True)),
            "judgements": dict(zip(JUDGEMENTS, state.counts, strict=True)),
            "combo": state.combo,
            "max_combo": state.max_combo,
            "accuracy": state.accuracy,
            "score": state.score,
            "hp": state.health,
            "failed": bool(state.failed),
            "map": state.label,
            "state_age": 1000.0 * age if math.isfinite(age) else -1.0,
            "missed_deadlines": self._pacer.n_missed - self._missed_before,
        }
