"""How a rollout comes about: all rows in lockstep, or whoever is ready first.

Both are generators of a ``Step``, which PPO's loop goes through alike.
"""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.backends.base import take
from sb3_ext.vec_env.rows import active_rows

__all__ = ["Step", "lockstep", "ready_first"]

Act = Callable[[Any, Any], NDArray]


Step = tuple[Any, Any, Any, Any, NDArray, NDArray, Any, NDArray, NDArray, list[dict[str, Any]]]
"""What some rows have done, m of n; a plain tuple, since there is one for every step.

* rows ``[m]``; None: all rows
* active ``[m]``, whether somebody acted in the row; None: in all
* starts ``[m]``, whether obs begins an episode
* obs ``[m, ...]`` or a dict of such
* actions ``[m, ...]``, as the distribution knows them
* clipped actions ``[m, ...]``, as the env got them
* new obs ``[m, ...]``, rewards ``[m]``, dones ``[m]``, m infos
"""


def lockstep(model: Any, env: VecEnv, n_steps: int, act: Act, to_env: Any) -> Generator[Step]:
    """Steps all rows together.

    Args:
        model: PPO, which has the observations to act on and takes the new ones.
        env: The rows.
        n_steps: So often.
        act: A function of (index of the step, observations), or of ((steps, rows), observations)
            ``[m]`` each where nobody is in the other rows.
        to_env: Makes of the distribution's actions the env's.
    """
    mask, active = active_rows(env), None
    for step in range(n_steps):
        obs, starts = model._last_obs, model._last_episode_starts
        if mask is not None:
            active = mask()
        actions = act(step, obs) if active is None else _act_where(active, act, step, obs)
        clipped = to_env(actions)
        new_obs, rewards, dones, infos = model._step(env, clipped)
        model._noise_step += 1
        yield None, active, starts, obs, actions, clipped, new_obs, rewards, dones, infos
        # Whoever comes into an empty row begins an episode there.
        model._last_obs = new_obs
        model._last_episode_starts = dones if active is None else dones | ~active
    model._present = None if mask is None else mask()


def _act_where(active: NDArray[np.bool_], act: Act, step: int, obs: Any) -> NDArray:
    """Actions of the rows in which somebody is; zeros in the others."""
    rows = np.flatnonzero(active)
    if len(rows) == len(active):
        return act(step, obs)
    chosen = act((np.full(len(rows), step), rows), take(obs, rows))
    actions = np.zeros((len(active), *chosen.shape[1:]), chosen.dtype)
    actions[rows] = chosen
    return actions


def ready_first(
    model: Any, env: VecEnv, capacity: int, act: Act, to_env: Any, min_rows: int
) -> Generator[Step]:
    """Steps every row at its own pace, until so many transitions are there.

    At the end no row is under way: ``model._last_obs`` is what each has to act on next.

    Args:
        model: PPO, which has the observations to act on and takes the new ones.
        env: The rows, at the bottom a ``SharedMemoryVecEnv``.
        capacity: Transitions to collect; a few less where rows of one env act together.
        act: A function of (steps that rows have taken ``[m]``, rows ``[m]``) and observations.
        to_env: Makes of the distribution's actions the env's.
        min_rows: How many rows at least to wait for before acting.

    Raises:
        ValueError: The env, or a wrapper around it, can't step single rows.
    """
    from sb3_ext.vec_env.ready import ReadyRows

    line, everybody = ReadyRows(env), np.arange(env.num_envs)
    pace = _Pace(model, line, everybody)
    idle = everybody
    try:
        while True:
            rows = line.fitting(idle, pace.active, capacity)
            if len(rows):
                capacity -= int(np.count_nonzero(pace.active[rows]))
                actions = act((pace.taken[rows], rows), take(pace.obs, rows))
                pace.send(rows, actions, to_env(actions))
            if not pace.under_way.any():
                break
            ready = line.recv(min_rows)
            idle, *seen = ready
            held = (pace.active[idle], pace.starts[idle], take(pace.obs, idle))
            yield idle, *held, pace.actions[idle], pace.clipped[idle], *seen
            pace.arrived(ready)
    except GeneratorExit:  # a callback has seen enough: nobody may be left on his way
        pace.arrived(ready)
        while pace.under_way.any():
            pace.arrived(line.recv(len(everybody)))
        raise
    finally:
        model._last_obs, model._last_episode_starts = pace.obs, pace.starts
        model._present = pace.active
        model._noise_step += int(pace.taken.max())


class _Pace:
    """How far each of n rows is.

    Attributes:
        obs: What it has seen last, ``[n, ...]``; while it's under way, what it acted on.
        starts: Whether that begins an episode, ``[n]``.
        active: Whether somebody acts on it, ``[n]``.
        actions: What it has done last, ``[n, ...]``.
        clipped: The same as the env gets it.
        taken: Steps, ``[n]``.
        under_way: Whether its step isn't back yet, ``[n]``.
    """

    def __init__(self, model: Any, line: Any, everybody: NDArray[np.intp]) -> None:
        self._line = line
        self.obs: Any = take(model._last_obs, everybody)  # copies
        self.starts = np.array(model._last_episode_starts, bool)
        self.active = line.present(everybody)
        self.taken = np.zeros(len(everybody), np.int64)
        self.under_way = np.zeros(len(everybody), bool)

    def send(self, rows: NDArray[np.intp], actions: NDArray, clipped: NDArray) -> None:
        """Lets rows act."""
        n = len(self.taken)
        if not self.taken.any():
            self.actions = np.zeros((n, *actions.shape[1:]), actions.dtype)
            self.clipped = np.zeros((n, *clipped.shape[1:]), clipped.dtype)
        self.actions[rows], self.clipped[rows] = actions, clipped
        self._line.send(rows, clipped)
        self.taken[rows] += 1
        self.under_way[rows] = True

    def arrived(self, ready: Any) -> None:
        """Takes what rows see now."""
        rows = ready.rows
        if isinstance(self.obs, dict):
            for key, part in self.obs.items():
                part[rows] = ready.observations[key]
        else:
            self.obs[rows] = ready.observations
        self.starts[rows] = ready.dones | ~self.active[rows]
        self.active[rows] = self._line.present(rows)
        self.under_way[rows] = False
