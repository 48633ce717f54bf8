"""What can be chosen of OsuMania-v0, checked once for the single and the vector environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.osu_mania.judgement import make_rules
from envs.osu_mania.maps import GeneratedMaps, Maps, MapSource, listed_maps
from envs.osu_mania.observation import compact_size
from envs.osu_mania.play import Rules
from envs.osu_mania.rewards import reward_weights

ACTIONS = ("multi_binary", "discrete")
OBSERVATIONS = ("compact", "highway", "both")
HZ = (20.0, 1000.0)
MAX_DELAY = 500.0
"""Of an action or an observation, with its jitter, ms."""

Range = float | Sequence[float]


@dataclass(frozen=True)
class Options:
    """Choices for OsuMania-v0.

    Args:
        maps: An .osu or .osz file, a folder of them, a Beatmap, or a list of all these; None for
            maps of the generator, which the six arguments after `keys` describe.
        keys: Number of columns: 4 for generated maps, and for others that of all of them.
        pattern: One of the generator's, or several for as many kinds of maps.
        difficulty: Stars of the maps, about; one number, or a range.
        n_maps: How many maps there are.
        map_seed: Of all of them; maps of another seed are other maps.
        seconds: How long a map is.
        overall_difficulty: OD of the maps.
        drain_rate: HP of the maps.
        ruleset: "stable" (ScoreV1) or "lazer".
        rate: Song time over real time: 1.5 for double time, 0.75 for half time.
        can_fail: An episode terminates when the health is used up.
        hz: Steps per second of real time, 20 to 1000.
        lead_in: Song time before the first object, ms.
        actions: "multi_binary" (a key each) or "discrete" (every combination of keys; bit c is
            column c).
        observation: "compact", "highway" or "both" (a dict of the two).
        lookahead: Objects per column that a compact observation shows.
        frame_size: Height and width of the highway's frames, px.
        frame_stack: How many frames an observation has, the newest last.
        scroll_speed: The game's: an object takes 11,485 ms over it from the top to the line.
        reward_weights: Weights of `rewards.WEIGHTS` to replace, by name.
        action_delay: Real time until keys go down in the game, ms: one number, or a range from
            which each episode has one.
        action_jitter: What is added to that in each step, uniform from 0 to this, ms.
        observation_delay: How old an observation is, ms, as `action_delay`.
        observation_jitter: As `action_jitter`.
        kernels: "numba", "numpy", "python" or "auto"; all of them give the same results.

    Raises:
        BeatmapError: A map can't be used.
        ValueError: A choice makes no sense.
    """

    maps: MapSource | None = None
    keys: int | None = None
    pattern: str | Sequence[str] = "mixed"
    difficulty: Range = (1.0, 3.0)
    n_maps: int = 256
    map_seed: int = 0
    seconds: float = 30.0
    overall_difficulty: float = 8.0
    drain_rate: float = 5.0
    ruleset: str = "stable"
    rate: float = 1.0
    can_fail: bool = False
    hz: float = 60.0
    lead_in: float = 1000.0
    actions: str = "multi_binary"
    observation: str = "compact"
    lookahead: int = 4
    frame_size: Sequence[int] = (84, 84)
    frame_stack: int = 4
    scroll_speed: float = 20.0
    reward_weights: Mapping[str, float] | None = None
    action_delay: Range = 0.0
    action_jitter: float = 0.0
    observation_delay: Range = 0.0
    observation_jitter: float = 0.0
    kernels: str = "auto"

    def __post_init__(self) -> None:
        _check("actions", self.actions, ACTIONS)
        _check("observation", self.observation, OBSERVATIONS)
        if not HZ[0] <= self.hz <= HZ[1]:
            raise ValueError(f"hz must lie in {HZ[0]:g} to {HZ[1]:g}, got {self.hz}")
        if not 0 <= self.lead_in <= 10_000:
            raise ValueError(f"lead_in must lie in 0 to 10,000 ms, got {self.lead_in}")
        if not 1 <= self.lookahead <= 64:
            raise ValueError(f"lookahead must lie in 1 to 64, got {self.lookahead}")
        if not 1 <= self.frame_stack <= 64:
            raise ValueError(f"frame_stack must lie in 1 to 64, got {self.frame_stack}")
        if not 1 <= self.scroll_speed <= 40:
            raise ValueError(f"scroll_speed must lie in 1 to 40, got {self.scroll_speed}")
        for name in ("action", "observation"):
            low, high = self.delay(name)
            if not 0 <= low <= high <= high + self.jitter(name) <= MAX_DELAY:
                raise ValueError(
                    f"{name}_delay must be a time or a range of times from 0 on, and together with "
                    f"{name}_jitter at most {MAX_DELAY:g} ms, got {low:g} to {high:g} and "
                    f"{self.jitter(name):g}"
                )
        reward_weights(self.reward_weights)
        self.rules()

    def rules(self) -> Rules:
        """The rules."""
        return make_rules(self.ruleset, self.rate, self.can_fail)

    def open_maps(self) -> Maps:
        """The maps.

        Raises:
            ValueError: There are none, or frames are too small for their columns.
        """
        if self.maps is not None:
            maps: Maps = listed_maps(self.maps, self.keys)
        else:
            patterns = (self.pattern,) if isinstance(self.pattern, str) else tuple(self.pattern)
            maps = GeneratedMaps(
                count=self.n_maps,
                seed=self.map_seed,
                keys=4 if self.keys is None else self.keys,
                patterns=patterns,
                difficulty=_range("difficulty", self.difficulty),
                seconds=self.seconds,
                overall_difficulty=self.overall_difficulty,
                drain_rate=self.drain_rate,
            )
        height, width = self.frame_size
        if height < 24 or width < 4 * maps.keys:
            raise ValueError(
                f"frame_size must be at least 24 high and {4 * maps.keys} wide for {maps.keys} "
                f"columns, got {height}, {width}"
            )
        return maps

    def delay(self, name: str) -> tuple[float, float]:
        """The range of the delay of "action" or "observation", ms of real time."""
        return _range(f"{name}_delay", getattr(self, f"{name}_delay"))

    def jitter(self, name: str) -> float:
        """The largest jitter of "action" or "observation", ms of real time."""
        return float(getattr(self, f"{name}_jitter"))

    def action_space(self, keys: int) -> spaces.Space[Any]:
        """Of a single environment."""
        if self.actions == "discrete":
            return spaces.Discrete(2**keys)
        return spaces.MultiBinary(keys)

    def observation_space(self, keys: int) -> spaces.Space[Any]:
        """Of a single environment."""
        shape = (self.frame_stack, *self.frame_size)
        highway = spaces.Box(0, 255, shape, np.uint8)
        compact = spaces.Box(-1.0, 1.0, (compact_size(keys, self.lookahead),), np.float32)
        if self.observation == "both":
            return spaces.Dict({"compact": compact, "highway": highway})
        return highway if self.observation == "highway" else compact


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _range(name: str, value: Range) -> tuple[float, float]:
    """A range from a number or two of them."""
    bounds = (value, value) if isinstance(value, (int, float)) else tuple(value)
    if len(bounds) != 2 or not all(math.isfinite(bound) for bound in bounds):
        raise ValueError(f"{name} must be a number or two, got {value!r}")
    return float(bounds[0]), float(bounds[1])
