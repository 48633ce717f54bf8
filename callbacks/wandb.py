"""Sends what stable-baselines3 logs to Weights & Biases, online or offline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure, Image, KVWriter, Video


class WandbCallback(BaseCallback):
    """Logs to a W&B run under SB3's tags, over SB3's steps.

    Needs the extra: ``pip install 'sb3-ext[wandb]'``. ``WANDB_MODE=offline`` writes to a folder
    that ``wandb sync`` sends later.

    Args:
        project: The project's name.
        entity: User or team; None: the account's default.
        name: The run's name.
        config: What to keep with the run: hyperparameters, arguments.
        folder: Where W&B writes its own files; None: ``./wandb``.
        run_id: Goes on with this run, if there is one.
        tags: Of the run.
        group: Of runs that belong together.
        run: A run that is there already, instead of all this; it isn't ended here.

    Attributes:
        run: The W&B run, once training has begun.

    Raises:
        ImportError: wandb isn't installed; the message names the extra.

    Example:
        >>> model.learn(100_000, callback=WandbCallback("my-project", config={"lr": 3e-4}))
    """

    def __init__(
        self,
        project: str,
        entity: str | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        folder: str | os.PathLike[str] | None = None,
        run_id: str | None = None,
        tags: tuple[str, ...] = (),
        group: str | None = None,
        run: Any = None,
    ) -> None:
        super().__init__()
        try:
            import wandb
        except ImportError as error:
            raise ImportError("logging to W&B needs wandb: pip install 'sb3-ext[wandb]'") from error
        self._init = wandb.init
        self._arguments: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "name": name,
            "config": dict(config or {}),
            # Absolute: who writes it is a process of W&B's, with a working directory of its own.
            "dir": None if folder is None else os.path.abspath(folder),
            "id": run_id,
            "resume": "allow" if run_id else None,
            "tags": list(tags),
            "group": group,
        }
        self.run: Any = run
        self._is_ours = run is None
        self._writer: _Writer | None = None

    def _on_training_start(self) -> None:
        if self.run is None:
            self.run = self._init(**self._arguments)
        self._writer = _Writer(self.run)
        self.logger.output_formats.append(self._writer)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self._writer is not None and self._writer in self.logger.output_formats:
            self._writer.write(dict(self.logger.name_to_value), {}, self.num_timesteps)
            self.logger.output_formats.remove(self._writer)
        if self.run is not None and self._is_ours:
            self.run.finish()
            self.run = None


class _Writer(KVWriter):
    """One of SB3's log formats."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        values = {
            key: _plain(value)
            for key, value in key_values.items()
            if "wandb" not in (key_excluded.get(key) or ())
            and not isinstance(value, Figure | Image | Video | str)
        }
        if values:
            self._run.log(values, step=step)

    def close(self) -> None:
        """Nothing to close: the run belongs to the callback."""


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
