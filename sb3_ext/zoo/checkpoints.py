"""A run's checkpoints: each holds the training's state, and none of the last seconds is lost."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from callbacks import CheckpointCallback
from callbacks.checkpoint import Content
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.training_state import MEMBER, TrainingState

# Between two moments that are kept in memory: at least so many seconds, and so much of the time.
SECONDS_BETWEEN = 1.0
SHARE_OF_TIME = 0.01


class Checkpoints(CheckpointCallback):
    """Checkpoints to go on from exactly, also after a training that breaks off between two.

    Every second or so the moment between two rollouts is kept in memory as the files it would be;
    :meth:`broke_off` writes the latest. The replay buffer is too large for that: it is written as
    it is then.

    Args:
        every: Steps between two checkpoints, all rows counted.
        folder: The run's.
        keep: How many of the newest to keep; None keeps all.
        save_replay_buffer: Whether to save an off-policy algorithm's replay buffer too.
        state: Gives the training's state.
    """

    def __init__(
        self,
        every: int,
        folder: Path,
        keep: int | None,
        save_replay_buffer: bool,
        state: Callable[[], TrainingState],
    ) -> None:
        super().__init__(every, folder, save_replay_buffer, keep)
        self._state = state
        self._latest: tuple[int, Mapping[Path, Content]] | None = None
        self._next_moment = 0.0
        self._is_asked = self._is_between = False

    def ask(self) -> None:
        """Asks for a checkpoint of the next moment between two rollouts."""
        self._is_asked = True

    def _is_due(self) -> bool:
        return super()._is_due() or (self._is_asked and self.num_timesteps > self._saved)

    def members(self) -> dict[str, bytes]:
        # One that is saved within a rollout is for playing only.
        return {MEMBER: self._state().dumped()} if self._is_between else {}

    def write(self, steps: int, content: Mapping[Path, Content]) -> Path:
        self._is_asked = False
        return super().write(steps, content)

    def _on_rollout_start(self) -> None:
        self._is_between = True
        super()._on_rollout_start()
        self._keep_moment()
        self._is_between = False

    def _keep_moment(self) -> None:
        now = time.perf_counter()
        if self.num_timesteps == self._saved or now < self._next_moment:
            return
        self._latest = self.num_timesteps, self.content()
        taken = time.perf_counter()
        self._next_moment = taken + max(SECONDS_BETWEEN, (taken - now) / SHARE_OF_TIME)

    def _on_training_end(self) -> None:
        if self.is_over:
            self._is_between = True
            super()._on_training_end()
            self._is_between = False
        else:  # a callback has stopped it in the middle of a rollout
            self.broke_off()

    @property
    def is_over(self) -> bool:
        """Whether all steps are taken; after ``learn`` has returned, nothing is half done then."""
        return self.model.num_timesteps >= self.model._total_timesteps

    def broke_off(self) -> None:
        """Writes the latest moment to go on from, instead of ``on_training_end``."""
        if self._latest is not None and self._latest[0] > self._saved:
            self.write(*self._latest)


def read_state(model: Path) -> TrainingState | None:
    """The training's state in a model's file; None if it holds none.

    Raises:
        ZooError: If the file is damaged.
    """
    try:
        with zipfile.ZipFile(model) as archive:
            damaged, names = archive.testzip(), archive.namelist()
            if damaged is not None:
                raise ZooError(f"{model} is damaged ({damaged})")
            if "data" not in names:  # of one that is cut short, a file within it is found
                raise ZooError(f"{model} is damaged, or no model")
            if MEMBER not in names:
                return None
            content = archive.read(MEMBER)
    except ZooError:
        raise
    except Exception as error:  # a damaged file may fail in any way
        raise ZooError(f"{model} is damaged ({reason(error)})") from error
    try:
        return TrainingState.loaded(content)
    except ZooError as error:
        raise ZooError(f"{model}: {error}") from error
