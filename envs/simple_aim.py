"""SimpleAim: put the crosshair on a target that moves across the screen and bounces off its edges.

After https://github.com/alimaslax/ppo-aimbot, whose actions are clipped here, as it meant to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.world import Array, World


def _screen_size() -> np.ndarray:
    size = np.array([800.0, 600.0], np.float32)
    size.flags.writeable = False  # a default that everybody shares
    return size


class SimpleAimParams(NamedTuple):
    """Constants of SimpleAim.

    Attributes:
        size: Width and height of the screen, px, float32 `[2]`.
        mouse_speed: Mouse movement at full action, px per step and axis.
        target_speed: Bound of the target's velocity, px per step and axis.
        hit_radius: Distance within which the mouse is on the target, px.
        falloff: Decay of the proximity reward, 1/px.
        effort_cost: Cost of an action of length one.
    """

    size: Array = _screen_size()
    mouse_speed: float = 50.0
    target_speed: float = 5.0
    hit_radius: float = 20.0
    falloff: float = 0.01
    effort_cost: float = 0.01


class SimpleAimState(NamedTuple):
    """State of SimpleAim.

    Attributes:
        mouse: Position of the crosshair, px, `[..., 2]`.
        target: Position of the target, px, `[..., 2]`.
        velocity: Velocity of the target, px per step, `[..., 2]`.
    """

    mouse: Array
    target: Array
    velocity: Array


@dataclass(frozen=True)
class SimpleAim(World):
    """Move the mouse onto the target: see docs/worlds.md for the equations.

    Observation (4): the target's offset from the mouse over the screen's size, and its velocity
    over the largest one. Action (2): mouse movement per axis, clipped to [-1, 1].
    """

    observation_space: spaces.Space = field(
        default_factory=lambda: spaces.Box(-1.0, 1.0, (4,), np.float32), compare=False, repr=False
    )
    action_space: spaces.Space = field(
        default_factory=lambda: spaces.Box(-1.0, 1.0, (2,), np.float32), compare=False, repr=False
    )
    n_reset_noise: int = 4
    n_step_noise: int = 0
    default_params: SimpleAimParams = field(
        default_factory=SimpleAimParams, compare=False, repr=False
    )
    renderer: str = "envs.rendering.simple_aim:SimpleAimRenderer"

    def initial(self, xp: Any, noise: Array, params: SimpleAimParams) -> SimpleAimState:
        """Mouse in the middle; target uniform on the screen, velocity uniform per axis."""
        target = noise[..., 0:2] * params.size
        velocity = (2.0 * noise[..., 2:4] - 1.0) * params.target_speed
        mouse = xp.zeros_like(target) + 0.5 * params.size
        return SimpleAimState(mouse, target, velocity)

    def transition(
        self, xp: Any, state: SimpleAimState, action: Array, noise: Array, params: SimpleAimParams
    ) -> SimpleAimState:
        """The mouse moves, then the target; both stop at the edges, where the target turns."""
        push = xp.minimum(xp.maximum(action, -1.0), 1.0)
        mouse = state.mouse + params.mouse_speed * push
        mouse = xp.minimum(xp.maximum(mouse, 0.0), params.size)
        moved = state.target + state.velocity
        target = xp.minimum(xp.maximum(moved, 0.0), params.size)
        velocity = xp.where(target == moved, state.velocity, -state.velocity)
        return SimpleAimState(mouse, target, velocity)

    def observation(self, xp: Any, state: SimpleAimState, params: SimpleAimParams) -> Array:
        """Offset of the target over the screen's size, and its velocity, `[..., 4]`."""
        offset = (state.target - state.mouse) / params.size
        return xp.concatenate([offset, state.velocity / params.target_speed], axis=-1)

    def reward(
        self,
        xp: Any,
        state: SimpleAimState,
        action: Array,
        next_state: SimpleAimState,
        params: SimpleAimParams,
    ) -> dict[str, Array]:
        """`proximity` exp(-falloff d), `hit` 1 within the radius, `effort` -cost ||push||."""
        push = xp.minimum(xp.abs(action), 1.0)  # of the clipped action, up to its signs
        distance = _length(xp, next_state.target - next_state.mouse)
        return {
            "proximity": xp.exp(-params.falloff * distance),
            "hit": (distance < params.hit_radius).astype(xp.float32),
            "effort": -params.effort_cost * _length(xp, push),
        }

    def terminated(self, xp: Any, state: SimpleAimState, params: SimpleAimParams) -> Array:
        """Never."""
        return xp.zeros(state.target.shape[:-1], dtype=bool)

    def truncated(self, xp: Any, state: SimpleAimState, params: SimpleAimParams) -> Array:
        """Never by itself."""
        return xp.zeros(state.target.shape[:-1], dtype=bool)

    def check_params(self, params: SimpleAimParams) -> None:
        """Refuses a screen without extent and a target that can't move (it scales observations)."""
        if not (params.size > 0).all():
            raise ValueError(f"size must be positive, got {params.size}")
        if params.target_speed <= 0:
            raise ValueError(
                f"target_speed must be positive, got {params.target_speed}: it scales the observed "
                "velocity; for a target that stands still use 1e-6"
            )


def _length(xp: Any, vector: Array) -> Array:
    """Euclidean length of `[..., 2]`; norm() costs several times as much on small arrays."""
    squared = vector * vector
    return xp.sqrt(squared[..., 0] + squared[..., 1])
