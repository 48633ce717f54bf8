"""Matches that are played side by side, a step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.rocket_league.engine import SeededEngine
from envs.rocket_league.options import seats, team_sizes
from envs.rocket_league.scene import Scene
from envs.rocket_league.starts import SeededStart


class Matches:
    """M matches and the moments before and after their last step.

    Args:
        n_matches: M.
        team_size: As `RocketLeagueVectorEnv` has it.
        tick_skip: Ticks of a step.
        kickoff: The share of episodes that begin with a kickoff.

    Attributes:
        teams: Of each seat, `[N]`.
        scene: How things are.
        before: How they were before the last step.
        elapsed: Ticks of the episode so far, `[M]`.
        since_touch: Ticks since somebody touched the ball, or since the beginning, `[M]`.
        shared_info: For RLGym's parts, each match's.
        may_be_inactive: Whether seats can be empty.
    """

    def __init__(self, n_matches: int, team_size: Any, tick_skip: int, kickoff: float) -> None:
        sizes = team_sizes(team_size)
        self.teams = seats(sizes)
        self.tick_skip = tick_skip
        self.may_be_inactive = len(set(sizes)) > 1
        self._engines = [SeededEngine() for _ in range(n_matches)]
        self._starts = [SeededStart(sizes, kickoff) for _ in range(n_matches)]
        self.scene, self.before = (Scene.empty(self.teams, n_matches) for _ in range(2))
        self.elapsed = np.zeros(n_matches, np.int64)
        self.since_touch = np.zeros(n_matches, np.int64)
        self.shared_info: list[dict[str, Any]] = [{} for _ in range(n_matches)]
        self._states: list[Any] = [None] * n_matches

    def seed(self, match: int, seed: int | None) -> None:
        """Begins a match's random numbers anew; None: they go on."""
        if seed is not None:
            rng = np.random.default_rng(seed)
            self._engines[match].rng = self._starts[match].rng = rng

    def begin(self, match: int) -> None:
        """Begins an episode."""
        engine, scene = self._engines[match], self.scene
        state = engine.create_base_state()
        self._starts[match].apply(state, {})
        engine.begin(state)
        present = np.zeros(len(self.teams), np.bool_)
        for team in (0, 1):
            n_cars = sum(car.team_num == team for car in state.cars.values())
            present[np.flatnonzero(self.teams == team)[:n_cars]] = True
        scene.present[match] = present
        for field in scene[2:]:
            field[match] = 0
        self.shared_info[match] = {}
        self._look(match)
        self.elapsed[match] = self.since_touch[match] = 0

    def step(self, controls: NDArray[np.float64]) -> None:
        """Plays on in every match; controls `[M, N, 8]`."""
        self.scene, self.before = self.before, self.scene
        scene = self.scene
        scene.present[...] = self.before.present
        whole = bool(scene.present.all())
        for match, engine in enumerate(self._engines):
            told = controls[match] if whole else controls[match, scene.present[match]]
            engine.advance(told, self.tick_skip)
            self._look(match)
        scene.holds_jump[...] = (controls[..., 5] > 0.0) & scene.present
        self.elapsed += self.tick_skip
        self.since_touch += self.tick_skip
        self.since_touch[scene.touches.any(axis=1)] = 0

    def _look(self, match: int) -> None:
        """Writes down how things are in a match."""
        engine, scene = self._engines[match], self.scene
        self._states[match] = None
        cars = scene.cars[match]
        present = scene.present[match]
        if present.all():
            engine.read(cars, scene.ball[match], scene.pads[match])
        else:
            cars[...] = 0.0
            there = np.empty((int(present.sum()), *cars.shape[1:]), np.float32)
            engine.read(there, scene.ball[match], scene.pads[match])
            cars[present] = there
        scene.can_flip[match, present] = engine.flips()
        scene.touches[match, present] = engine.take_touches()

    def game_state(self, match: int) -> Any:
        """RLGym's ``GameState`` of a match."""
        if self._states[match] is None:
            state = self._engines[match].game_state()
            seats = np.flatnonzero(self.scene.present[match])
            for seat, car in zip(seats, state.cars.values(), strict=True):
                car.ball_touches = int(self.scene.touches[match, seat])
            self._states[match] = state
        return self._states[match]
