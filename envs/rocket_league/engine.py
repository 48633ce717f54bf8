"""RocketSim as RLGym's engine has it, stepped several times faster and from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import RocketSim
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import TICKS_PER_SECOND
from rlgym.rocket_league.sim import RocketSimEngine

N_PADS, N_BALL, N_CAR = 34, 25, 36  # numbers that RocketSim tells of each
_TICK = 1.0 / TICKS_PER_SECOND  # s


class SeededEngine(RocketSimEngine):
    """RLGym's engine, with controls that are held for a whole step, and arrays to read it from.

    :meth:`advance` comes out as RLGym's own ``step`` does with the same controls in every tick. It
    only asks the simulator for what is needed: RLGym's takes twice the time. The simulator lets a
    demolished car return at a place that it draws by itself; here it's drawn from ``rng``.

    Attributes:
        rng: The generator.
    """

    def __init__(self, rlbot_delay: bool = True) -> None:
        super().__init__(rlbot_delay)
        self.rng = np.random.default_rng()
        self._touches: dict[int, int] = {}

    def begin(self, state: Any) -> None:
        """Puts cars and ball as RLGym's ``GameState`` has them."""
        self.set_state(state, {})
        self._cars_there = list(self._cars.values())

    def advance(self, controls: NDArray[np.float64], n_ticks: int) -> None:
        """Simulates so many ticks.

        Args:
            controls: Each car's, `[n_cars, 8]`, see `actions`.
            n_ticks: At least 1.
        """
        told = [_controls(row) for row in controls.tolist()]
        # With RLBot's delay a tick still obeys what was told before it.
        first = 1 if self._rlbot_delay else 0
        if first:
            self._tick(1)
        for car, each in zip(self._cars_there, told, strict=True):
            car.set_controls(each)
        if n_ticks > first:
            self._tick(n_ticks - first)
        self._tick_count += n_ticks

    def _tick(self, n_ticks: int) -> None:
        if all(car.get_state().demo_respawn_timer == 0.0 for car in self._cars_there):
            self._arena.step(n_ticks)
            return
        for _ in range(n_ticks):
            for car in self._cars_there:  # just before the simulator would let it return, we do
                if 0.0 < car.get_state().demo_respawn_timer <= 1.5 * _TICK:
                    # Without its boost: RocketSim 2.2.1 crashes where that is given.
                    car.respawn(seed=int(self.rng.integers(2**31)))
            self._arena.step(1)

    def read(
        self, cars: NDArray[np.float32], ball: NDArray[np.float32], pads: NDArray[np.float32]
    ) -> None:
        """Writes down how things are, as blue sees them and, turned by half a turn, as orange does.

        Args:
            cars: `[n_cars, 2, 36]`: number, team, goals, saves, shots, demolitions, pads taken,
                demolished, on the ground, touched the ball in the last tick, boost; position,
                quaternion, velocity, spin; forward, right and up; pitch, yaw, roll.
            ball: `[2, 25]`: the same from its position on.
            pads: `[2, 34]`: 1 for those that are there.
        """
        _, pads[...], ball[...], *there = self._arena.get_gym_state()
        for place, car in zip(cars, there, strict=False):
            place[...] = car

    def flips(self) -> list[bool]:
        """Whether each car could jump or flip now."""
        return [car.get_state().has_flip_or_jump() for car in self._cars_there]

    def take_touches(self) -> list[int]:
        """Ticks since the last call in which each car touched the ball."""
        touches = list(self._touches.values())
        self._touches = dict.fromkeys(self._touches, 0)
        return touches

    def game_state(self) -> Any:
        """RLGym's ``GameState``."""
        touches = dict(self._touches)
        state = self._get_state()
        self._touches = touches
        return state


def _controls(row: list[float]) -> Any:
    controls = RocketSim.CarControls(*row[:5])
    # Not to the constructor: RocketSim 2.2.1 takes its jump for boost, and its boost for jump.
    controls.jump, controls.boost, controls.handbrake = (number > 0.0 for number in row[5:])
    return controls
