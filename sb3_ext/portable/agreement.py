"""Whether two models act alike: their most likely actions on observations of every kind."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.portable.normalizer import Moments, Normalizer
from sb3_ext.portable.onnx_graph import parts_of
from sb3_ext.rollout_buffer import as_network_actions

__all__ = ["Agreement", "agreement", "observations"]

_NEAR = {"f": 3.0, "i": 300.0, "u": 300.0}  # how far from 0 numbers are drawn, by kind


class Agreement(NamedTuple):
    """What a comparison found.

    Attributes:
        n_observations: How many were looked at.
        difference: The largest between two actions, relative to the action where it's above 1;
            infinite where two whole numbers differ.
    """

    n_observations: int
    difference: float


def agreement(
    model: Any, other: Any, normalizer: Normalizer | None, normalizes: bool, seed: int = 0
) -> Agreement:
    """Compare the most likely actions of two models.

    Args:
        model: The one that is right.
        other: The one to check.
        normalizer: What observations go through before ``model`` sees them.
        normalizes: Whether ``other`` does that itself.
        seed: Of the observations.
    """
    space = model.observation_space
    is_small = sum(np.prod(part.shape or ()) for part in parts_of(space).values()) < 1000
    n = 256 if is_small else 32
    raw = seen = observations(space, normalizer, n, np.random.default_rng(seed))
    if normalizer is not None:
        seen = normalizer.alone(model.action_space).normalize_obs(raw)
    wanted = model.predict(seen, deterministic=True)[0]
    found = other.predict(raw if normalizes else seen, deterministic=True)[0]
    if found.shape != wanted.shape or found.dtype.kind != wanted.dtype.kind:
        return Agreement(n, np.inf)
    if isinstance(model.action_space, spaces.Box):
        gaps = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
        return Agreement(n, float(np.max(gaps, initial=0.0)))
    same = (found == wanted).reshape(n, -1).all(axis=1)
    if not same.all() and hasattr(model, "actor_critic"):
        same |= _equally_likely(model, seen, found, wanted)
    return Agreement(n, 0.0 if same.all() else np.inf)


def _equally_likely(model: Any, obs: Any, found: NDArray, wanted: NDArray) -> NDArray[np.bool_]:
    """Where two actions are as good as each other, rounding decides which one is the best."""
    start = getattr(model.action_space, "start", 0)
    rows = (as_network_actions(a - start, model.action_space) for a in (found, wanted))
    first, second = (model.actor_critic.evaluate(obs, a).log_prob for a in rows)
    return np.abs(first - second) < 1e-5


def observations(
    space: spaces.Space, normalizer: Normalizer | None, n: int, rng: np.random.Generator
) -> Any:
    """``n`` random observations, as far apart as the agent has seen them.

    Args:
        space: What the network reads.
        normalizer: With statistics of what it has seen.
        n: How many.
        rng: Draws them.
    """
    moments = {} if normalizer is None else normalizer.obs
    drawn = {key: _draw(p, moments.get(key), n, rng) for key, p in parts_of(space).items()}
    return drawn if isinstance(space, spaces.Dict) else drawn[""]


def _draw(space: Any, moments: Moments | None, n: int, rng: np.random.Generator) -> NDArray:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, n)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.start, space.start + space.nvec, (n, *space.nvec.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(0, 2, (n, *space.shape)).astype(space.dtype)
    shape = (n, *space.shape)
    if moments is not None:
        rows = moments.mean + 2.0 * np.sqrt(moments.var) * rng.standard_normal(shape)
        return rows.astype(space.dtype)
    low, high = space.low.astype(float), space.high.astype(float)  # often a type's own limits
    middle, near = np.clip(0.0, low, high), _NEAR[space.dtype.kind]
    low, high = np.maximum(low, middle - near), np.minimum(high, middle + near)
    if space.dtype.kind == "f":
        return rng.uniform(low, high, shape).astype(space.dtype)
    return rng.integers(low.astype(int), high.astype(int) + 1, shape).astype(space.dtype)
