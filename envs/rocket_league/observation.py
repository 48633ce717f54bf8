"""What a car sees: the match from its own seat, the same for both teams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import (
    BACK_NET_Y,
    BALL_MAX_SPEED,
    CAR_MAX_ANG_VEL,
    CAR_MAX_SPEED,
)

from envs.rocket_league.engine import N_PADS
from envs.rocket_league.scene import Scene

_FIELD = np.array([4096.0, 5120.0, 2044.0], np.float32)  # half width, half length, height; uu
_NEAR = 2300.0  # uu: offsets are seen on this scale
_BALL_MAX_SPIN = 6.0  # rad/s
_GOALS = np.array([[0.0, BACK_NET_Y, 320.0], [0.0, -BACK_NET_Y, 320.0]], np.float32)
_OWN, _BALL, _OTHER = 25, 23, 16


class LocalObservation:
    """Everything in the car's own axes, to the front, to the right and up, in units of about 1.

    In order: 25 of the car itself (place on the field, the way it points and what is up; velocity,
    spin, the other team's goal and its own in its axes; boost, on the ground, flip left, jump held,
    demolished), 23 of the ball (offset, the way to it, velocity and velocity relative to the car in
    its axes; place, velocity and spin on the field; distance, nearness), 34 boost pads (1 where one
    is to be had), 16 for each other car, team mates first (offset, relative velocity, front and top
    in its axes; boost, on the ground, demolished, there): zeros where the teams aren't full. Orange
    sees the field turned by half a turn, so that both teams attack the same goal.

    Args:
        teams: 0 blue, 1 orange, of each seat, `[N]`.

    Attributes:
        size: Numbers of an observation.
    """

    def __init__(self, teams: NDArray[np.int64]) -> None:
        n_seats = len(teams)
        largest = max(int((teams == team).sum()) for team in (0, 1))
        n_others = 2 * largest - 1 if (teams == 1).any() else largest - 1
        # The seat that each seat sees in each place; the one past the last is nobody's.
        self._seen = np.full((n_seats, n_others), n_seats)
        for seer in range(n_seats):
            mates = [i for i in range(n_seats) if teams[i] == teams[seer] and i != seer]
            rivals = [i for i in range(n_seats) if teams[i] != teams[seer]]
            self._seen[seer, : len(mates)] = mates
            self._seen[seer, largest - 1 : largest - 1 + len(rivals)] = rivals
        self.size = _OWN + _BALL + N_PADS + _OTHER * n_others

    def of(self, scene: Scene) -> NDArray[np.float32]:
        """All seats' observations, float32 `[M, N, size]`; an empty seat's is 0."""
        n_matches, n_seats = scene.present.shape
        into = scene.axes.swapaxes(2, 3)  # a row vector times this is in the car's axes
        own, ball, pads = scene.own_view()
        to_ball = scene.ball[:, None, 0, 0:3] - scene.positions
        distance = np.sqrt((to_ball * to_ball).sum(axis=2, keepdims=True))
        ball_velocity = np.broadcast_to(scene.ball[:, None, 0, 7:10], to_ball.shape)
        turned = np.where(scene.teams == 1, -1, 1).astype(np.float32)[:, None, None]
        goals = _GOALS * np.concatenate([turned, turned, np.ones_like(turned)], axis=2)
        seen = [
            scene.velocities / CAR_MAX_SPEED,
            scene.spins / CAR_MAX_ANG_VEL,
            to_ball / _NEAR,
            to_ball / np.maximum(distance, 1.0),
            ball_velocity / CAR_MAX_SPEED,
            (ball_velocity - scene.velocities) / CAR_MAX_SPEED,
        ]
        to_goals = (goals - scene.positions[:, :, None]) / _NEAR
        near = np.concatenate([np.stack(seen, axis=2), to_goals], axis=2) @ into  # [M, N, 8, 3]
        others = self._others(scene, into)
        obs = np.concatenate(
            [
                own[..., 11:14] / _FIELD,
                own[..., 24:27],
                scene.axes[..., 1:, 2],
                near[..., 0:2, :].reshape(n_matches, n_seats, 6),
                near[..., 6:8, :].reshape(n_matches, n_seats, 6),
                scene.boost[..., None] / 100.0,
                np.stack(
                    [scene.on_ground, scene.can_flip, scene.holds_jump, scene.demolished], axis=2
                ),
                near[..., 2:6, :].reshape(n_matches, n_seats, 12),
                ball[..., 0:3] / _FIELD,
                ball[..., 7:10] / BALL_MAX_SPEED,
                ball[..., 10:13] / _BALL_MAX_SPIN,
                distance / _NEAR,
                np.exp(-distance / 500.0),
                pads,
                others,
            ],
            axis=2,
            dtype=np.float32,
        )
        if not scene.present.all():
            obs[~scene.present] = 0.0
        return obs

    def _others(self, scene: Scene, into: NDArray[np.float32]) -> NDArray[np.float32]:
        """What each seat sees of the other cars, `[M, N, 16 * n_others]`."""
        n_matches, n_seats = scene.present.shape
        there = scene.present.astype(np.float32)
        vectors = np.stack(
            [scene.positions, scene.velocities, scene.axes[..., 0, :], scene.axes[..., 2, :]],
            axis=2,
        )  # [M, N, 4, 3]
        flags = np.stack([scene.boost / 100.0, scene.on_ground, scene.demolished, there], axis=2)
        if self._seen.shape[1] == 0:
            return np.zeros((n_matches, n_seats, 0), np.float32)
        nobody = [(0, 0), (0, 1), (0, 0)]
        relative = np.pad(vectors, [*nobody, (0, 0)])[:, self._seen]  # [M, N, others, 4, 3]
        relative[..., :2, :] -= vectors[:, :, None, :2]
        relative /= _SCALES
        flat = relative.reshape(n_matches, n_seats, -1, 3) @ into
        told = np.pad(flags, nobody)[:, self._seen]  # [M, N, others, 4]
        seen = np.concatenate([flat.reshape(*told.shape[:3], 12), told], axis=3)
        seen *= told[..., 3:]
        return seen.reshape(n_matches, n_seats, -1)


_SCALES = np.array([_NEAR, CAR_MAX_SPEED, 1.0, 1.0], np.float32)[:, None]
