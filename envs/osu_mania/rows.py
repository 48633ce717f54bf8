"""Rows of OsuMania-v0: plays with their maps, delays, observations and rewards.

What the single environment has one row of, and the vector environment many.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania import highway, observation, rewards, scalar_kernels
from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.options import Options
from envs.osu_mania.play import (
    COMBO,
    FAILED,
    HEALTH,
    JUDGEMENTS,
    MAX_COMBO,
    POINTS,
    TERMS,
    TIME,
    some_rows,
)
from envs.osu_mania.scoring import accuracies, accuracy
from envs.osu_mania.simulator import Simulator

N_RESET_NOISE = 5
"""Uniforms per episode: map, fraction of a step, action delay, observation delay and jitter."""

N_STEP_NOISE = 2
"""Uniforms per step where there is a jitter: of the action, of the observation."""

Observation = NDArray[Any] | dict[str, NDArray[Any]]
RowIndices = NDArray[np.intp]


class Rows:
    """n episodes.

    Args:
        n_rows: How many.
        options: The choices.

    Attributes:
        options: The choices.
        maps: The maps.
        simulator: The plays.
        keys: The keys that the players hold, bool `[n, K]`; the game may know it later.
        map_indices: Which of the maps each row plays, `[n]`.
        action_delay: How late keys arrive in this episode, without jitter, ms of real time, `[n]`.
        sums: Events of the episode so far by `play.TERMS`, `[n, 16]`.
    """

    def __init__(self, n_rows: int, options: Options) -> None:
        self.options = options
        self.maps = options.open_maps()
        n_keys = self.maps.keys
        self.simulator = Simulator(
            n_rows, n_keys, options.rules(), options.hz, options.kernels, options.lookahead
        )
        self.keys = np.zeros((n_rows, n_keys), bool)
        self.map_indices = np.zeros(n_rows, np.intp)
        self.sums = np.zeros((n_rows, len(TERMS)))
        self._weights = rewards.reward_weights(options.reward_weights)
        self._loaded: dict[int, int] = {}  # index of a map -> index of its chart
        self.action_delay = np.zeros(n_rows)  # ms of real time
        self._observation_delay = np.zeros(n_rows)
        self._age = np.zeros(n_rows)  # of what is seen, ms of song time
        jitters = options.jitter("action"), options.jitter("observation")
        self.n_step_noise = N_STEP_NOISE if any(jitters) else 0
        longest = options.delay("action")[1] + jitters[0]
        self._delayed = longest > 0
        # Keys of the last steps, the newest at `_newest`
        depth = int(longest * options.hz / 1000.0) + 2
        self._history = np.zeros((depth, n_rows, n_keys), bool)
        self._newest = 0
        self._film = None if options.observation == "compact" else Film(self.simulator, options)

    def begin(self, rows: RowIndices, noise: NDArray[np.float32]) -> None:
        """Starts an episode in some rows.

        Args:
            rows: Which, `[k]`.
            noise: Uniforms in [0, 1), `[k, N_RESET_NOISE]`.
        """
        options, simulator = self.options, self.simulator
        numbers = noise.astype(np.float64)
        indices = (numbers[:, 0] * len(self.maps)).astype(np.intp)
        charts = np.array([self._load(index) for index in indices.tolist()], np.intp)
        first = simulator.charts.chart.start[simulator.charts.begun.next[charts]].min(axis=1)
        step_ms = 1000.0 / options.hz * options.rate
        simulator.begin(rows, charts, first - options.lead_in - numbers[:, 1] * step_ms)
        self.map_indices[rows] = indices
        self.keys[rows] = False
        self._history[:, rows] = False
        self.sums[rows] = 0.0
        self.action_delay[rows] = _within(options.delay("action"), numbers[:, 2])
        delay = _within(options.delay("observation"), numbers[:, 3])
        self._observation_delay[rows] = delay
        delay += options.jitter("observation") * numbers[:, 4]
        self._age[rows] = delay * options.rate
        if self._film is not None:
            self._film.begin(rows, charts, self._shown_times()[rows])

    def step(self, keys: NDArray[np.bool_], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lets every row play on.

        Args:
            keys: The keys that the players hold from now on, `[n, K]`.
            noise: Uniforms in [0, 1), `[n, n_step_noise]`.

        Returns:
            Rewards, `[n]`.
        """
        options = self.options
        self.keys[:] = keys
        if self._delayed:
            self.simulator.step(*self._delay(keys, noise))
        else:
            self.simulator.step(keys)
        jitter = options.jitter("observation")
        if jitter:
            delay = self._observation_delay + jitter * noise[:, 1].astype(np.float64)
            self._age[:] = delay * options.rate
        if self._film is not None:
            self._film.shoot(self._shown_times())
        return self._pay()

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Which rows have had their whole map, or have failed where that ends it, `[n]`."""
        ended = self.simulator.finished
        if self.options.can_fail:
            ended |= self.simulator.play.rows[:, FAILED] > 0
        return ended

    def observe(self) -> Observation:
        """All rows' observations, `[n, ...]`, in memory of their own."""
        return self._observe(None)

    def observe_some(self, rows: RowIndices) -> Observation:
        """Some rows' observations, `[k, ...]`."""
        return self._observe(rows)

    def beatmap(self, row: int) -> Beatmap:
        """The map that a row plays."""
        return self.maps[int(self.map_indices[row])]

    def reward_terms(self) -> NDArray[np.float64]:
        """What each term has paid in the episode so far, `[n, 16]`."""
        return self.sums * self._weights

    def results(self) -> dict[str, Any]:
        """What the rows have reached, `[n]` each; `judgements` and `reward_terms` are dicts."""
        play = self.simulator.play
        counts = play.counts
        return {
            "reward_terms": dict(zip(TERMS, self.reward_terms().T, strict=True)),
            "judgements": dict(zip(JUDGEMENTS, counts.T, strict=True)),
            "combo": play.rows[:, COMBO].astype(np.int64),
            "max_combo": play.rows[:, MAX_COMBO].astype(np.int64),
            "accuracy": accuracies(counts, self.simulator.rules.lazer),
            "score": play.rows[:, POINTS].astype(np.int64),
            "hp": play.rows[:, HEALTH].copy(),
            "failed": play.rows[:, FAILED] > 0,
            "map": self.map_indices.copy(),
        }

    def result(self, row: int) -> dict[str, Any]:
        """What a row has reached, as in `results`, in Python's own types."""
        state = self.simulator.play.rows[row].tolist()
        counts = [int(count) for count in state[: len(JUDGEMENTS)]]
        terms = (self.sums[row] * self._weights).tolist()
        return {
            "reward_terms": dict(zip(TERMS, terms, strict=True)),
            "judgements": dict(zip(JUDGEMENTS, counts, strict=True)),
            "combo": int(state[COMBO]),
            "max_combo": int(state[MAX_COMBO]),
            "accuracy": accuracy(counts, self.simulator.rules.lazer),
            "score": int(state[POINTS]),
            "hp": state[HEALTH],
            "failed": state[FAILED] > 0,
            "map": int(self.map_indices[row]),
        }

    def snapshot(self) -> dict[str, Any]:
        """Everything that later steps depend on, for `restore`."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return {"maps": list(self._loaded), "newest": self._newest, "arrays": arrays}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where `snapshot` was taken, of rows with the same options."""
        if list(self._loaded) != snapshot["maps"]:  # plays point into charts by their order
            self._loaded.clear()
            self.simulator.charts.clear()
            for index in snapshot["maps"]:
                self._load(index)
        self._newest = snapshot["newest"]
        for name, array in self._arrays().items():
            array[...] = snapshot["arrays"][name]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {
            "keys": self.keys,
            "map_indices": self.map_indices,
            "sums": self.sums,
            "action_delay": self.action_delay,
            "observation_delay": self._observation_delay,
            "age": self._age,
            "history": self._history,
            **self.simulator.arrays(),
        }
        return arrays if self._film is None else arrays | self._film.arrays()

    def _load(self, index: int) -> int:
        """The index of the chart of a map, which is loaded when it's first needed."""
        if index not in self._loaded:
            self._loaded[index] = self.simulator.charts.add(self.maps[index])
        return self._loaded[index]

    def _delay(
        self, keys: NDArray[np.bool_], noise: NDArray[np.float32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """The keys that the game gets in this step, and at which part of it."""
        depth, n_rows, _ = self._history.shape
        self._newest = (self._newest + 1) % depth
        self._history[self._newest] = keys
        delay = self.action_delay
        jitter = self.options.jitter("action")
        if jitter:
            delay = delay + jitter * noise[:, 0].astype(np.float64)
        steps = delay * (self.options.hz / 1000.0)
        whole = steps.astype(np.intp)
        arrived = self._history[(self._newest - whole) % depth, np.arange(n_rows)]
        return arrived, steps - whole

    def _shown_times(self) -> NDArray[np.float64]:
        return self.simulator.play.rows[:, TIME] - self._age

    def _pay(self) -> NDArray[np.float32]:
        events = self.simulator.play.events
        if self.simulator.kernels == "numpy":
            return rewards.pay(events, self._weights, self.sums)
        kernels = _compiled() if self.simulator.kernels == "numba" else scalar_kernels
        paid = np.empty(len(events), np.float32)
        kernels.pay_rows(events, self._weights, self.sums, paid)
        return paid

    def _observe(self, rows: RowIndices | None) -> Observation:
        if self._film is None:
            return self._compact(rows)
        frames = self._film.stacked(rows)
        if self.options.observation == "highway":
            return frames
        return {"compact": self._compact(rows), "highway": frames}

    def _compact(self, rows: RowIndices | None) -> NDArray[np.float32]:
        play, keys, times = self.simulator.play, self.keys, self._shown_times()
        objects, rate = self.simulator.charts.times, self.options.rate
        lookahead = self.options.lookahead
        if rows is not None:
            play, keys, times = some_rows(play, rows), keys[rows], times[rows]
        elif self.simulator.kernels == "numba":
            n_rows, n_keys = keys.shape
            away = np.empty((n_rows, 2 * n_keys * lookahead), np.float32)
            size = observation.compact_size(n_keys, lookahead)
            out = np.empty((n_rows, size), np.float32)
            _compiled().compact_rows(objects.ravel(), play, rate, times, keys, away, out)
            return out
        return observation.compact(objects, play, rate, lookahead, times, keys)


def binary_keys(action: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The keys that a multi-binary action holds down, of a certain shape.

    Raises:
        ValueError: The shape is another, or there is something else than 0 and 1.
    """
    array = np.asarray(action)
    if array.shape != shape:
        raise ValueError(f"the action must have shape {shape}, got {array.shape}")
    if array.dtype == np.int8 and array.flags.c_contiguous:  # as the space has them
        bits = array.view(np.uint8)
        if not np.count_nonzero(bits > 1):
            return bits.view(bool)
    keys = array.astype(bool)
    if np.count_nonzero(keys != array):
        raise ValueError(f"an action says of each key 0 or 1, got {action!r}")
    return keys


class Film:
    """The last frames of n rows.

    Args:
        simulator: The plays.
        options: The choices.
    """

    def __init__(self, simulator: Simulator, options: Options) -> None:
        height, width = options.frame_size
        n_rows, n_keys = simulator.play.next.shape
        self._simulator = simulator
        self._geometry = highway.make_geometry(height, width, n_keys, options.scroll_speed)
        self._empty, self._empty_frame = highway.background(self._geometry)
        self._course = highway.Course(simulator.charts, n_rows)
        self._frames = np.zeros((n_rows, options.frame_stack, height * width), np.uint8)
        self._newest = np.zeros(1, np.intp)  # place of the newest frame

    def begin(self, rows: RowIndices, charts: RowIndices, times: NDArray[np.float64]) -> None:
        """Fills some rows' films with their first frame, of these times, ms."""
        self._course.begin(rows, charts)
        play = some_rows(self._simulator.play, rows)
        everywhere = self._simulator.play.rows[:, TIME].copy()
        everywhere[rows] = times
        now = self._course.positions(everywhere)[rows]
        frames = np.empty((len(rows), 1, self._frames.shape[2]), np.uint8)
        charted = self._simulator.charts
        highway.draw(
            charted.chart, charted.positions, play, self._geometry, self._empty, now, frames, 0
        )
        self._frames[rows] = frames

    def shoot(self, times: NDArray[np.float64]) -> None:
        """Takes a frame of every row, of these times, ms."""
        self._newest[:] = (self._newest + 1) % self._frames.shape[1]
        charts, play = self._simulator.charts, self._simulator.play
        now = self._course.positions(times)
        what = charts.chart, charts.positions, play, self._geometry, self._empty, now
        slot = int(self._newest[0])
        if self._simulator.kernels == "numba":
            scratch = self._empty_frame, np.empty_like(self._empty)
            _compiled().draw_rows(*what, self._frames, slot, *scratch)
        else:
            highway.draw(*what, self._frames, slot)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What changes from step to step, by name."""
        return {"frames": self._frames, "film": self._newest, **self._course.arrays()}

    def stacked(self, rows: RowIndices | None) -> NDArray[np.uint8]:
        """The films of all or of some rows, `[n, stack, height, width]`, the newest frame last."""
        frames = self._frames if rows is None else self._frames[rows]
        n_rows, stack, _ = frames.shape
        newest = int(self._newest[0])
        out = np.empty_like(frames)
        if self._simulator.kernels == "numba":
            _compiled().stack_rows(frames, newest, out)
        else:
            for k in range(stack):
                out[:, k] = frames[:, (newest + 1 + k) % stack]
        return out.reshape(n_rows, stack, self._geometry.height, self._geometry.width)


def _within(bounds: tuple[float, float], part: NDArray[np.float64]) -> NDArray[np.float64]:
    return bounds[0] + (bounds[1] - bounds[0]) * part


@cache
def _compiled() -> Any:
    from envs.osu_mania.numba_kernels import compiled

    return compiled()
