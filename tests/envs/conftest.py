"""A world made for tests: noise in every step, and an end of its own of either kind."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium import spaces

from envs.world import World


class DriftParams(NamedTuple):
    drift: float = 0.5
    edge: float = 2.0
    patience: int = 9


class DriftState(NamedTuple):
    position: Any  # [..., 3]
    age: Any  # [...]


@dataclass(frozen=True)
class Drift(World):
    """Three coordinates drift; beyond the edge it terminates, of age it truncates by itself."""

    observation_space: spaces.Space = field(
        default_factory=lambda: spaces.Box(-9, 9, (4,), np.float32), compare=False
    )
    action_space: spaces.Space = field(
        default_factory=lambda: spaces.Box(-1, 1, (3,), np.float32), compare=False
    )
    n_reset_noise: int = 9  # more than one counter block
    n_step_noise: int = 3
    default_params: DriftParams = field(default_factory=DriftParams)

    def initial(self, xp, noise, params):
        position = noise[..., 0:3] + noise[..., 3:6] - noise[..., 6:9]
        return DriftState(position, xp.zeros(noise.shape[:-1], dtype=xp.float32))

    def transition(self, xp, state, action, noise, params):
        push = xp.minimum(xp.maximum(action, -1.0), 1.0)
        position = state.position + 0.1 * push + params.drift * (2.0 * noise - 1.0)
        return DriftState(position, state.age + 1.0)

    def observation(self, xp, state, params):
        return xp.concatenate([state.position, state.age[..., None]], axis=-1)

    def reward(self, xp, state, action, next_state, params):
        return {"far": -xp.abs(next_state.position[..., 0]), "age": next_state.age}

    def terminated(self, xp, state, params):
        return xp.abs(state.position[..., 1]) > params.edge

    def truncated(self, xp, state, params):
        return state.age >= params.patience


@pytest.fixture
def drift():
    return Drift()
