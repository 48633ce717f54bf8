"""Whatever a user's function builds, as something that a worker can step."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from envs.old_style import OldStyleMatch
from envs.rows import RowsVectorEnv, as_match, is_match
from sb3_ext.learner.metrics import MeasuredEnv, MeasuredMatch

__all__ = ["MatchBuilder"]


@dataclass(frozen=True)
class MatchBuilder:
    """Builds one match in a worker.

    Attributes:
        build_env: Returns an environment of RLGym 2 or 1, PettingZoo's parallel form, Gymnasium
            (single or vector) or old Gym.
        metrics_logger: Measures it, or None.
        max_agents: Rows of it; None: the agents of its first episode.
        seed: Of Python's and NumPy's global generators, which RLGym draws from.
        render_delay: Seconds to wait after it has drawn itself; None: it doesn't.
    """

    build_env: Callable[[], Any]
    metrics_logger: Any = None
    max_agents: int | None = None
    seed: int = 0
    render_delay: float | None = None

    def __call__(self) -> Any:
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)  # noqa: NPY002 (what RLGym's own parts draw from)
        env, logger = self.build_env(), self.metrics_logger
        if self.render_delay is not None:
            _let_draw_itself(env, self.render_delay)
        if isinstance(env, gym.vector.VectorEnv):
            if logger is not None:
                raise ValueError("a metrics_logger needs single matches, not a vector environment")
            return env
        if isinstance(env, gym.Env):
            return env if logger is None else MeasuredEnv(env, logger)
        match = match_of(env)
        measured = match if logger is None else MeasuredMatch(match, logger)
        return RowsVectorEnv([lambda: measured], self.max_agents)


def _let_draw_itself(env: Any, delay: float) -> None:
    """After each step, whatever kind it is; here, where a match that is over is still to be seen.

    Args:
        env: What was built.
        delay: Seconds to wait then.
    """
    step = env.step

    def step_and_draw(actions: Any) -> Any:
        told = step(actions)
        env.render()
        time.sleep(delay)
        return told

    env.step = step_and_draw


def match_of(env: Any) -> Any:
    """An environment of several agents in PettingZoo's parallel form.

    Raises:
        TypeError: It's none.
    """
    if is_match(env):
        return as_match(env)
    needed = ("reset", "step", "observation_space", "action_space")
    if not all(hasattr(env, name) for name in needed):
        raise TypeError(
            f"env_create_function returned {env!r}, which is no environment: it needs "
            f"{', '.join(needed)}"
        )
    return OldStyleMatch(env)
