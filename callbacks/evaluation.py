"""SB3's periodic evaluation, with the best model kept whole and the time it takes told apart."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from callbacks.checkpoint import save_atomically, save_model

# More than an evaluation has rows, each with a seed of its own.
_SEEDS_BETWEEN = 1000
_REMEMBERED = (
    "_n_evaluations",
    "_next",
    "best_mean_reward",
    "evaluations_length",
    "evaluations_results",
    "evaluations_successes",
    "evaluations_timesteps",
    "last_mean_reward",
)


class EvaluationCallback(EvalCallback):
    """Evaluates every so many steps; keeps ``evaluations.npz`` and ``best_model.zip``.

    Args:
        env: The evaluation env, wrapped like the training env.
        folder: Where both files go (with ``best_model_vecnormalize.pkl`` where there is one);
            None keeps neither.
        every: Steps of the environment between two evaluations, all rows counted.
        n_episodes: Episodes of an evaluation.
        deterministic: Whether the policy's most likely action is taken.
        seed: Where given, the k-th evaluation plays the episodes of ``seed + k * 1000``, whatever
            was played before; else each goes on with new episodes of the env.

    Attributes:
        seconds: Time spent evaluating so far.
    """

    def __init__(
        self,
        env: VecEnv,
        folder: str | os.PathLike[str] | None,
        every: int = 25_000,
        n_episodes: int = 5,
        deterministic: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            env,
            callback_on_new_best=None if folder is None else _SaveBest(Path(folder)),
            n_eval_episodes=n_episodes,
            eval_freq=1,
            log_path=None if folder is None else os.fspath(folder),
            deterministic=deterministic,
            verbose=0,
            **kwargs,
        )
        self._file: Path | None = None
        if folder is not None:
            # SB3 writes under the one name; what is whole gets the other.
            self._file = Path(folder) / "evaluations.npz"
            self.log_path = str(Path(folder) / ".evaluations")
        self.every = every
        self.seed = seed
        self.seconds = 0.0
        self._next = every
        self._n_evaluations = 0

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next = self.num_timesteps + self.every
        start = time.perf_counter()
        if self.seed is not None:
            self.eval_env.seed((self.seed + self._n_evaluations * _SEEDS_BETWEEN) % 2**32)
        self._n_evaluations += 1
        try:
            goes_on = super()._on_step()
            if self._file is not None:
                os.replace(f"{self.log_path}.npz", self._file)
            return goes_on
        finally:
            Path(f"{self.log_path}.npz").unlink(missing_ok=True)  # what a full disk has left
            self.seconds += time.perf_counter() - start

    def snapshot(self) -> dict[str, Any]:
        """What a training that goes on elsewhere has to know, see :meth:`restore`."""
        return {name: copy.deepcopy(getattr(self, name)) for name in _REMEMBERED}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on from a snapshot; ``evaluations.npz`` is as it was then."""
        for name, value in snapshot.items():
            setattr(self, name, copy.deepcopy(value))
        if self._file is None:
            return
        if not self.evaluations_timesteps:
            self._file.unlink(missing_ok=True)
            return
        evaluations: dict[str, Any] = {
            "timesteps": self.evaluations_timesteps,
            "results": self.evaluations_results,
            "ep_lengths": self.evaluations_length,
        }
        if self.evaluations_successes:
            evaluations["successes"] = self.evaluations_successes
        save_atomically(self._file, lambda file: np.savez(file, **evaluations))


class _SaveBest(BaseCallback):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _on_step(self) -> bool:
        save_model(
            self.model,
            self.folder / "best_model.zip",
            self.folder / "best_model_vecnormalize.pkl",
        )
        return True
