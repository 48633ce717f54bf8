"""SB3's periodic evaluation, with the best model kept whole and the time it takes told apart."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from callbacks.checkpoint import save_model


class EvaluationCallback(EvalCallback):
    """Evaluates every so many steps; keeps ``evaluations.npz`` and ``best_model.zip``.

    Args:
        env: The evaluation env, wrapped like the training env.
        folder: Where both files go (with ``best_model_vecnormalize.pkl`` where there is one).
        every: Steps of the environment between two evaluations, all rows counted.
        n_episodes: Episodes of an evaluation.
        deterministic: Whether the policy's most likely action is taken.

    Attributes:
        seconds: Time spent evaluating so far.
    """

    def __init__(
        self,
        env: VecEnv,
        folder: str | os.PathLike[str],
        every: int = 25_000,
        n_episodes: int = 5,
        deterministic: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            env,
            callback_on_new_best=_SaveBest(Path(folder)),
            n_eval_episodes=n_episodes,
            eval_freq=1,
            log_path=os.fspath(folder),
            deterministic=deterministic,
            verbose=0,
            **kwargs,
        )
        self.every = every
        self.seconds = 0.0
        self._next = every

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next = self.num_timesteps + self.every
        start = time.perf_counter()
        try:
            return super()._on_step()
        finally:
            self.seconds += time.perf_counter() - start


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
