"""Checkpoints that are whole or absent, each with the normalizer that belongs to it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.save_util import save_to_pkl

# SB3's names, which RL Zoo finds: rl_model_100_steps.zip, rl_model_vecnormalize_100_steps.pkl, ...
CHECKPOINT = re.compile(r"rl_model_(\d+)_steps\.zip")
_BESIDE = re.compile(r"rl_model_(?:vecnormalize|replay_buffer)_(\d+)_steps\.pkl")

Content = bytes | Callable[[BufferedIOBase], object]
"""A file's bytes, or what writes them into an open binary file."""


def save_atomically(path: Path, content: Content) -> None:
    """Writes a file under a temporary name and renames it, so that no half file is ever seen.

    Args:
        path: The file to replace or create; its folder must exist.
        content: Its bytes, or a function that is called with the open binary file.

    Raises:
        OSError: If the disk is full or read-only; an existing file is left as it was.
    """
    save_together({path: content})


def save_together(files: Mapping[Path, Content]) -> None:
    """Writes files that belong together: all under temporary names, then renamed in their order.

    Until the first is renamed nothing has changed; what makes the others count comes last.

    Raises:
        OSError: If the disk is full or read-only; existing files are left as they were.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, content in files.items():
            _write(temporary[path], content, path)
        for path in files:
            os.replace(temporary[path], path)
    finally:
        for leftover in temporary.values():
            leftover.unlink(missing_ok=True)


def _write(temporary: Path, content: Content, path: Path) -> None:
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the name must not reach the disk before the content
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def model_bytes(model: BaseAlgorithm, members: Mapping[str, bytes] | None = None) -> bytes:
    """A model's ``.zip``.

    Args:
        model: What to save.
        members: Further files to put into it, by name; SB3 passes over them.
    """
    file = io.BytesIO()
    model.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        for name, content in (members or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def model_files(
    model: BaseAlgorithm,
    path: Path,
    normalizer: Path,
    members: Mapping[str, bytes] | None = None,
) -> dict[Path, Content]:
    """A model's files, for :func:`save_together`.

    Args:
        model: What to save.
        path: The model's ``.zip``.
        normalizer: For the statistics, where the model trains on a VecNormalize; it comes first:
            a model is never without it.
        members: As :func:`model_bytes` has it.
    """
    files: dict[Path, Content] = {}
    statistics = model.get_vec_normalize_env()
    if statistics is not None:
        file = io.BytesIO()
        save_to_pkl(file, statistics)
        files[normalizer] = file.getvalue()
    return {**files, path: model_bytes(model, members)}


def save_model(
    model: BaseAlgorithm,
    path: Path,
    normalizer: Path,
    members: Mapping[str, bytes] | None = None,
) -> None:
    """Saves a model and, where it trains on a VecNormalize, the statistics that go with it.

    Arguments are :func:`model_files`'s.

    Raises:
        OSError: If the disk is full or read-only; existing files are left as they were.
    """
    save_together(model_files(model, path, normalizer, members))


def checkpoints_in(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder by their number of steps, oldest first."""
    found = {}
    for path in folder.glob("rl_model_*_steps.zip"):
        match = CHECKPOINT.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def files_beside(folder: Path) -> dict[int, list[Path]]:
    """What lies beside checkpoints, by their number of steps: normalizers and replay buffers."""
    found: dict[int, list[Path]] = {}
    for path in folder.glob("rl_model_*_steps.pkl"):
        match = _BESIDE.fullmatch(path.name)
        if match:
            found.setdefault(int(match[1]), []).append(path)
    return found


def remove_checkpoint(path: Path) -> None:
    """Removes a checkpoint and what lies beside it; the model first: it is never without them."""
    match = CHECKPOINT.fullmatch(path.name)
    assert match is not None, f"{path} is no checkpoint"
    path.unlink(missing_ok=True)
    for beside in files_beside(path.parent).get(int(match[1]), []):
        beside.unlink(missing_ok=True)


class CheckpointCallback(BaseCallback):
    """Saves ``rl_model_N_steps.zip`` about every so many steps.

    It waits until the rollout is over and has been learned from: what is saved is a moment from
    which nothing of what the agent has seen is lost.

    Args:
        every: Steps of the environment between two checkpoints, all rows counted.
        folder: Where to write.
        save_replay_buffer: Whether to save an off-policy algorithm's replay buffer too.
        keep: How many of the newest to keep; None keeps all.

    Example:
        >>> model.learn(100_000, callback=CheckpointCallback(10_000, "logs/run"))
    """

    def __init__(
        self,
        every: int,
        folder: str | os.PathLike[str],
        save_replay_buffer: bool = False,
        keep: int | None = None,
    ) -> None:
        super().__init__()
        if keep is not None and keep < 1:
            raise ValueError(f"keep must be at least 1, or None for all, not {keep}")
        self.every = every
        self.folder = Path(folder)
        self.save_replay_buffer = save_replay_buffer
        self.keep = keep
        self._saved = 0

    def _on_training_start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._saved = self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._save_if_due()

    def _on_training_end(self) -> None:
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._is_due():
            self.save()

    def _is_due(self) -> bool:
        return self.num_timesteps // self.every > self._saved // self.every

    def save(self) -> Path:
        """Saves a checkpoint of this very step, and removes those that are too many.

        Returns:
            The path of the model.

        Raises:
            OSError: If the disk is full or read-only; the checkpoints there are stay.
        """
        return self.write(self.num_timesteps, self.content())

    def content(self) -> dict[Path, Content]:
        """The files of a checkpoint of this very step, without the replay buffer."""
        path, normalizer = self._paths(self.num_timesteps)
        return model_files(self.model, path, normalizer, self.members())

    def members(self) -> dict[str, bytes]:
        """What a derived class puts into the model's ``.zip``; SB3 passes over it."""
        return {}

    def write(self, steps: int, content: Mapping[Path, Content]) -> Path:
        """Writes :meth:`content`, and the replay buffer as it is now."""
        files = dict(content)
        buffer = getattr(self.model, "replay_buffer", None)
        if self.save_replay_buffer and buffer is not None:
            path = self.folder / f"rl_model_replay_buffer_{steps}_steps.pkl"
            files = {path: lambda file: save_to_pkl(file, buffer), **files}
        save_together(files)
        self._saved = steps
        self._remove_surplus()
        return self._paths(steps)[0]

    def _paths(self, steps: int) -> tuple[Path, Path]:
        return (
            self.folder / f"rl_model_{steps}_steps.zip",
            self.folder / f"rl_model_vecnormalize_{steps}_steps.pkl",
        )

    def _remove_surplus(self) -> None:
        there = checkpoints_in(self.folder)
        if self.keep is not None:
            # Later ones are another training's, which is not ours to judge.
            ours = [steps for steps in there if steps <= self._saved]
            for steps in ours[: -self.keep]:
                remove_checkpoint(there.pop(steps))
        # Of a process that was killed between two files.
        for steps, paths in files_beside(self.folder).items():
            for path in paths if steps not in there else []:
                with contextlib.suppress(OSError):
                    path.unlink()
