"""TargetReach: walk along a line to the origin.

After https://github.com/Amanatal11/ppo-clipped. There the time limit is a terminal state; here it
truncates, so that a value follows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.world import Array, World

LIMIT = 1.5
"""Positions are clipped to [-LIMIT, LIMIT], which the observation space says too."""


class TargetReachParams(NamedTuple):
    """Constants of TargetReach; lengths in the line's own unit.

    Attributes:
        start: Episodes start uniformly in [-start, start).
        stride: Length of one step.
        radius: Distance from the origin within which it's reached.
        bonus: Reward for reaching it.
    """

    start: float = 1.0
    stride: float = 0.1
    radius: float = 0.05
    bonus: float = 10.0


class TargetReachState(NamedTuple):
    """State of TargetReach.

    Attributes:
        position: Position on the line, `[...]`.
    """

    position: Array


@dataclass(frozen=True)
class TargetReach(World):
    """Reach the origin: see docs/worlds.md for the equations.

    Observation (1): the position. Action: 0 steps down the line, 1 up.
    """

    observation_space: spaces.Space = field(
        default_factory=lambda: spaces.Box(-LIMIT, LIMIT, (1,), np.float32),
        compare=False,
        repr=False,
    )
    action_space: spaces.Space = field(
        default_factory=lambda: spaces.Discrete(2), compare=False, repr=False
    )
    n_reset_noise: int = 1
    n_step_noise: int = 0
    default_params: TargetReachParams = field(
        default_factory=TargetReachParams, compare=False, repr=False
    )
    renderer: str = "envs.rendering.target_reach:TargetReachRenderer"

    def initial(self, xp: Any, noise: Array, params: TargetReachParams) -> TargetReachState:
        """Position uniform in [-start, start)."""
        return TargetReachState((2.0 * noise[..., 0] - 1.0) * params.start)

    def transition(
        self,
        xp: Any,
        state: TargetReachState,
        action: Array,
        noise: Array,
        params: TargetReachParams,
    ) -> TargetReachState:
        """One stride down or up the line, clipped at its ends."""
        # Float first: an integer array times a Python float would be float64.
        direction = 2.0 * action.astype(xp.float32) - 1.0
        position = state.position + params.stride * direction
        return TargetReachState(xp.minimum(xp.maximum(position, -LIMIT), LIMIT))

    def observation(self, xp: Any, state: TargetReachState, params: TargetReachParams) -> Array:
        """The position, `[..., 1]`."""
        return state.position[..., None]

    def reward(
        self,
        xp: Any,
        state: TargetReachState,
        action: Array,
        next_state: TargetReachState,
        params: TargetReachParams,
    ) -> dict[str, Array]:
        """`distance` -|position|, `reached` the bonus within the radius."""
        reached = self.terminated(xp, next_state, params)
        return {
            "distance": -xp.abs(next_state.position),
            "reached": params.bonus * reached.astype(xp.float32),
        }

    def terminated(self, xp: Any, state: TargetReachState, params: TargetReachParams) -> Array:
        """Within the radius of the origin."""
        return xp.abs(state.position) < params.radius

    def truncated(self, xp: Any, state: TargetReachState, params: TargetReachParams) -> Array:
        """Never by itself."""
        return xp.zeros(state.position.shape, dtype=bool)

    def check_params(self, params: TargetReachParams) -> None:
        """Refuses starts beyond the line's ends."""
        if not 0 <= params.start <= LIMIT:
            raise ValueError(f"start must lie in [0, {LIMIT}], got {params.start}")
