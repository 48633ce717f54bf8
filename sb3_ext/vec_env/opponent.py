"""One team's rows of a match, against an opponent that doesn't learn.

Where rows play against each other, their returns say nothing of how good they are: what one wins
the other loses. Against an opponent that stays as it is they do.
"""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from sb3_ext.backends.base import take

__all__ = ["AgainstOpponent", "ModelOpponent", "Opponent", "RandomOpponent", "row_teams"]


class Opponent(Protocol):
    """Acts in the rows of the other team."""

    def act(self, observations: Any) -> NDArray:
        """Actions ``[m, ...]`` for observations ``[m, ...]`` as the env gives them."""
        ...

    def seed(self, seed: int) -> None:
        """Begins what is random in it anew."""
        ...


class RandomOpponent:
    """Draws every action from the action space.

    Args:
        action_space: Of one row.
        seed: Of its draws.
    """

    def __init__(self, action_space: spaces.Space, seed: int = 0) -> None:
        self._space = copy.deepcopy(action_space)
        self.seed(seed)

    def act(self, observations: Any) -> NDArray:
        """Actions that don't depend on the observations."""
        if isinstance(observations, dict):
            observations = next(iter(observations.values()))
        return np.array([self._space.sample() for _ in range(len(observations))])

    def seed(self, seed: int) -> None:
        """Begins the draws anew."""
        self._space.seed(seed)


class ModelOpponent:
    """A trained agent; it takes its most likely actions.

    Args:
        model: Whatever has SB3's ``predict``.
        normalizer: SB3's ``VecNormalize`` that it was trained with, or None.
    """

    def __init__(self, model: Any, normalizer: Any = None) -> None:
        self._model, self._normalizer = model, normalizer

    def act(self, observations: Any) -> NDArray:
        """What the model does."""
        if self._normalizer is not None:
            observations = self._normalizer.normalize_obs(observations)
        actions, _ = self._model.predict(observations, deterministic=True)
        return actions

    def seed(self, seed: int) -> None:
        """Nothing in it is random."""


class AgainstOpponent(VecEnvWrapper):
    """Shows one team's rows; an opponent plays all others.

    Args:
        venv: An env with ``row_teams``, see :func:`row_teams`.
        opponent: Who plays them.
        team: Whose rows are shown.

    Raises:
        ValueError: The env's rows are of no teams, or one team has none.
    """

    def __init__(self, venv: VecEnv, opponent: Opponent, team: int = 0) -> None:
        teams = row_teams(venv)
        if teams is None:
            raise ValueError("an opponent needs two teams: this env's rows are of none")
        self.rows, self._theirs = np.flatnonzero(teams == team), np.flatnonzero(teams != team)
        if not len(self.rows) or not len(self._theirs):
            raise ValueError(f"an opponent needs two teams: all rows are of one, {teams.tolist()}")
        super().__init__(venv)
        self.num_envs = len(self.rows)
        self.opponent = opponent
        self._seen: Any = None

    def reset(self) -> VecEnvObs:
        """All matches begin; the shown rows' observations."""
        observations = self.venv.reset()
        self.reset_infos = [self.venv.reset_infos[row] for row in self.rows]
        return self._split(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """The shown rows' actions; the opponent adds its own."""
        shape = self.action_space.shape or ()
        everybody = np.zeros((self.venv.num_envs, *shape), self.action_space.dtype)
        everybody[self.rows] = np.reshape(actions, (-1, *shape))
        everybody[self._theirs] = np.reshape(self.opponent.act(self._seen), (-1, *shape))
        self.venv.step_async(everybody)

    def step_wait(self) -> VecEnvStepReturn:
        """What came of it for the shown rows."""
        observations, rewards, dones, infos = self.venv.step_wait()
        self.reset_infos = [self.venv.reset_infos[row] for row in self.rows]
        mine = [infos[row] for row in self.rows]
        return self._split(observations), rewards[self.rows], dones[self.rows], mine

    def _split(self, observations: Any) -> Any:
        self._seen = take(observations, self._theirs)
        return take(observations, self.rows)

    # Rows are counted among those shown.

    @property
    def may_be_inactive(self) -> bool:
        """Whether nobody may be in a row."""
        return bool(getattr(self.venv, "may_be_inactive", False))

    def active_rows(self) -> NDArray[np.bool_]:
        """Whether somebody is in each shown row, ``[n_envs]``."""
        inner: Any = self.venv
        return inner.active_rows()[self.rows]

    def present_rows(self) -> NDArray[np.bool_]:
        """The same for those who only look."""
        inner: Any = self.venv
        return inner.present_rows()[self.rows]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds the matches, and the opponent."""
        seeds = self.venv.seed(seed)
        self.opponent.seed(int(seeds[0] or 0) % 2**32)
        return [seeds[int(row)] for row in self.rows]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the shown rows."""
        return self.venv.get_attr(attr_name, self._all(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of these rows; of all, the opponent's too, without indices."""
        self.venv.set_attr(attr_name, value, None if indices is None else self._all(indices))

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs
    ) -> list[Any]:
        """Calls a method; without indices that of all rows, whose answers for the shown ones."""
        if indices is None:
            answers = self.venv.env_method(method_name, *method_args, **method_kwargs)
            return [answers[row] for row in self.rows]
        rows = self._all(indices)
        return self.venv.env_method(method_name, *method_args, indices=rows, **method_kwargs)

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """Whether these rows' envs have a wrapper."""
        return self.venv.env_is_wrapped(wrapper_class, self._all(indices))

    def _all(self, indices: VecEnvIndices) -> list[int]:
        """Shown rows as rows of the whole env."""
        if indices is None:
            return self.rows.tolist()
        return self.rows[list(self._get_indices(indices))].tolist()


def row_teams(venv: VecEnv) -> NDArray[np.int64] | None:
    """The team of each row, ``[n_envs]``, of an env whose rows play against each other; else None.

    It's asked for ``row_teams``, which a vector env has for its own rows.
    """
    if not venv.has_attr("row_teams"):
        return None
    told = venv.get_attr("row_teams")
    teams: list[int] = []
    while len(teams) < venv.num_envs:  # each worker's envs tell of their own rows
        teams += np.asarray(told[len(teams)]).tolist()
    return np.array(teams, np.int64)
