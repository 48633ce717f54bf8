"""A moment of several matches as arrays, from which observations and rewards are made."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.rocket_league.engine import N_BALL, N_CAR, N_PADS


class Scene(NamedTuple):
    """M matches of N seats each; a seat is a car's, or empty. Lengths in uu (cm), times in s.

    Attributes:
        teams: 0 blue, 1 orange, int `[N]`: the same in all matches.
        present: Whether there is a car, bool `[M, N]`; an empty seat's numbers are 0.
        cars: As :meth:`SeededEngine.read` has them, `[M, N, 2, 36]`.
        ball: `[M, 2, 25]`.
        pads: `[M, 2, 34]`.
        can_flip: Whether the car could jump or flip, 0 or 1, `[M, N]`.
        holds_jump: Whether it was told to jump in the last step, 0 or 1, `[M, N]`.
        touches: Ticks of the step in which it touched the ball, `[M, N]`.
    """

    teams: NDArray[np.int64]
    present: NDArray[np.bool_]
    cars: NDArray[np.float32]
    ball: NDArray[np.float32]
    pads: NDArray[np.float32]
    can_flip: NDArray[np.float32]
    holds_jump: NDArray[np.float32]
    touches: NDArray[np.int64]

    @classmethod
    def empty(cls, teams: NDArray[np.int64], n_matches: int) -> Scene:
        """All seats empty."""
        seats = (n_matches, len(teams))
        return cls(
            teams,
            np.zeros(seats, np.bool_),
            np.zeros((*seats, 2, N_CAR), np.float32),
            np.zeros((n_matches, 2, N_BALL), np.float32),
            np.zeros((n_matches, 2, N_PADS), np.float32),
            np.zeros(seats, np.float32),
            np.zeros(seats, np.float32),
            np.zeros(seats, np.int64),
        )

    def of(self, matches: NDArray[np.intp]) -> Scene:
        """Copies of some matches."""
        some: list[Any] = [field[matches] for field in self[1:]]
        return Scene(self.teams, *some)

    # On the field as it is, whatever the team.

    @property
    def positions(self) -> NDArray[np.float32]:
        """`[M, N, 3]`."""
        return self.cars[:, :, 0, 11:14]

    @property
    def velocities(self) -> NDArray[np.float32]:
        """`[M, N, 3]`."""
        return self.cars[:, :, 0, 18:21]

    @property
    def spins(self) -> NDArray[np.float32]:
        """rad/s, `[M, N, 3]`."""
        return self.cars[:, :, 0, 21:24]

    @property
    def axes(self) -> NDArray[np.float32]:
        """Forward, right and up, `[M, N, 3, 3]`."""
        return self.cars[:, :, 0, 24:33].reshape(*self.present.shape, 3, 3)

    @property
    def boost(self) -> NDArray[np.float32]:
        """Percent, `[M, N]`."""
        return self.cars[:, :, 0, 10]

    @property
    def on_ground(self) -> NDArray[np.float32]:
        """0 or 1, `[M, N]`."""
        return self.cars[:, :, 0, 8]

    @property
    def demolished(self) -> NDArray[np.float32]:
        """0 or 1, `[M, N]`."""
        return self.cars[:, :, 0, 7]

    # As each seat's team sees it: orange turned by half a turn.

    def own_view(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Each seat's own car `[M, N, 36]`, the ball `[M, N, 25]` and the pads `[M, N, 34]`."""
        seats = np.arange(len(self.teams))
        return self.cars[:, seats, self.teams], self.ball[:, self.teams], self.pads[:, self.teams]
