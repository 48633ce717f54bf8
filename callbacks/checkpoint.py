"""Checkpoints that are whole or absent, each with the normalizer that belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import save_to_pkl


def save_atomically(path: Path, write: Callable[[BufferedIOBase], object]) -> None:
    """Writes a file under a temporary name and renames it, so that no half file is ever seen.

    Args:
        path: The file to replace or create; its folder must exist.
        write: Called with the open binary file.

    Raises:
        OSError: If the disk is full or read-only; an existing file is left as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_model(model: BaseAlgorithm, path: Path, normalizer: Path) -> None:
    """Saves a model and, where it trains on a VecNormalize, the statistics that go with it.

    Args:
        model: What to save.
        path: The model's ``.zip``.
        normalizer: The normalizer's ``.pkl``, written first: a model is never without it.
    """
    statistics = model.get_vec_normalize_env()
    if statistics is not None:
        save_atomically(normalizer, lambda file: save_to_pkl(file, statistics))
    save_atomically(path, lambda file: model.save(file))


class CheckpointCallback(BaseCallback):
    """Saves ``rl_model_N_steps.zip`` every so many steps (SB3's names, RL Zoo finds them).

    Args:
        every: Steps of the environment between two checkpoints, all rows counted.
        folder: Where to write.
        save_replay_buffer: Whether to save an off-policy algorithm's replay buffer too.

    Example:
        >>> model.learn(100_000, callback=CheckpointCallback(10_000, "logs/run"))
    """

    def __init__(
        self, every: int, folder: str | os.PathLike[str], save_replay_buffer: bool = False
    ) -> None:
        super().__init__()
        self.every = every
        self.folder = Path(folder)
        self.save_replay_buffer = save_replay_buffer
        self._next = every

    def _on_training_start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self.save()
        return True

    def save(self) -> Path:
        """Saves a checkpoint of this very step.

        Returns:
            The path of the model.
        """
        steps = self.num_timesteps
        path = self.folder / f"rl_model_{steps}_steps.zip"
        buffer = getattr(self.model, "replay_buffer", None)
        if self.save_replay_buffer and buffer is not None:
            save_atomically(
                self.folder / f"rl_model_replay_buffer_{steps}_steps.pkl",
                lambda file: save_to_pkl(file, buffer),
            )
        save_model(self.model, path, self.folder / f"rl_model_vecnormalize_{steps}_steps.pkl")
        return path
