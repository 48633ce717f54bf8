"""How an episode begins: with a kickoff, or somewhere in the middle of a match."""

from __future__ import annotations

from typing import Any

import numpy as np
from rlgym.api import StateMutator
from rlgym.rocket_league.common_values import (
    BALL_RADIUS,
    BALL_RESTING_HEIGHT,
    BLUE_TEAM,
    ORANGE_TEAM,
)
from rlgym.rocket_league.state_mutators import FixedTeamSizeMutator, KickoffMutator

_BOOST_AT_KICKOFF = 100.0 / 3.0
_CAR_HEIGHT = 17.0  # uu, of a car at rest
_REACH = np.array([3500.0, 4500.0], np.float32)  # uu from the middle: clear of walls and corners


class SeededStart(StateMutator):
    """Puts so many cars and the ball where an episode begins; everything is drawn from `rng`.

    Args:
        team_sizes: (blue, orange) of which one is drawn for each episode.
        kickoff: The share of episodes that begin with a kickoff. In the others cars stand, and the
            ball rolls or flies, anywhere on the field, which shows an agent more of the game.

    Attributes:
        rng: The generator.
    """

    def __init__(self, team_sizes: list[tuple[int, int]], kickoff: float) -> None:
        super().__init__()
        self.team_sizes, self.kickoff = team_sizes, kickoff
        self.rng = np.random.default_rng()

    def apply(self, state: Any, shared_info: dict[str, Any]) -> None:
        """Fills RLGym's state."""
        sizes = self.team_sizes[int(self.rng.integers(len(self.team_sizes)))]
        FixedTeamSizeMutator(*sizes).apply(state, shared_info)
        begins_with_kickoff = self.rng.random() < self.kickoff
        if begins_with_kickoff:
            self._place_for_kickoff(state)
        else:
            self._place_anywhere(state)

    def _place_for_kickoff(self, state: Any) -> None:
        _put(state.ball, np.array([0.0, 0.0, BALL_RESTING_HEIGHT], np.float32))
        order = self.rng.permutation(len(KickoffMutator.SPAWN_BLUE_YAW))
        for team, places, ways in (
            (BLUE_TEAM, KickoffMutator.SPAWN_BLUE_POS, KickoffMutator.SPAWN_BLUE_YAW),
            (ORANGE_TEAM, KickoffMutator.SPAWN_ORANGE_POS, KickoffMutator.SPAWN_ORANGE_YAW),
        ):
            cars = [car for car in state.cars.values() if car.team_num == team]
            for car, place in zip(cars, order, strict=False):
                _put(car.physics, places[place].copy(), ways[place])
                car.boost_amount = _BOOST_AT_KICKOFF

    def _place_anywhere(self, state: Any) -> None:
        rng = self.rng
        height = BALL_RADIUS + rng.exponential(200.0) if rng.random() < 0.5 else BALL_RESTING_HEIGHT
        place = np.array([*rng.uniform(-_REACH, _REACH), min(height, 1800.0)], np.float32)
        _put(state.ball, place)
        state.ball.linear_velocity = rng.normal(0.0, 500.0, 3).astype(np.float32)
        for car in state.cars.values():
            while True:  # not in another car or the ball
                spot = rng.uniform(-_REACH, _REACH)
                there = [other.physics.position for other in state.cars.values()]
                taken = [state.ball.position, *(p for p in there if p is not None)]
                if all(np.hypot(*(spot - p[:2])) > 400.0 for p in taken):
                    break
            place = np.array([*spot, _CAR_HEIGHT], np.float32)
            _put(car.physics, place, rng.uniform(-np.pi, np.pi))
            car.boost_amount = float(rng.uniform(0.0, 100.0))


def _put(body: Any, place: Any, way: float = 0.0) -> None:
    body.position = place
    body.linear_velocity = np.zeros(3, np.float32)
    body.angular_velocity = np.zeros(3, np.float32)
    body.euler_angles = np.array([0.0, way, 0.0], np.float32)
