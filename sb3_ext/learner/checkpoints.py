"""A Learner's checkpoints: a folder for each, named by its number of steps."""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from callbacks.checkpoint import CheckpointCallback, Content

__all__ = ["BOOK_KEEPING", "Checkpoints", "find_checkpoint", "steps_in"]

MODEL, NORMALIZER, BOOK_KEEPING = "model.zip", "vecnormalize.pkl", "BOOK_KEEPING_VARS.json"


class Checkpoints(CheckpointCallback):
    """Writes ``<folder>/<steps>/`` with model, normalizer and bookkeeping.

    The model's ``.zip`` holds policy, value function and their optimizers, and comes last: a folder
    with one is whole. Whatever way training ends, its last step is saved.

    Args:
        every: Steps between two.
        folder: Where they go.
        keep: How many of the newest stay.
        told: What the bookkeeping says beside the number of steps.
    """

    def __init__(
        self, every: int, folder: Path, keep: int, told: Callable[[], Mapping[str, Any]]
    ) -> None:
        super().__init__(every, folder, keep=keep)
        self._told = told

    def _on_training_end(self) -> None:
        if self.num_timesteps != self._saved:
            self.save()

    def content(self) -> dict[Path, Content]:
        """The files of a checkpoint of this very step."""
        book = {"cumulative_timesteps": self.num_timesteps, **self._told()}
        path = self.folder / str(self.num_timesteps) / BOOK_KEEPING
        return {path: json.dumps(book, indent=4).encode() + b"\n", **super().content()}

    def write(self, steps: int, content: Mapping[Path, Content]) -> Path:
        """Writes :meth:`content`."""
        (self.folder / str(steps)).mkdir(parents=True, exist_ok=True)
        return super().write(steps, content)

    def _paths(self, steps: int) -> tuple[Path, Path]:
        folder = self.folder / str(steps)
        return folder / MODEL, folder / NORMALIZER

    def _remove_surplus(self) -> None:
        # Later ones are another training's, which is not ours to judge.
        ours = [steps for steps in steps_in(self.folder) if steps <= self._saved]
        for steps in ours[: -self.keep] if self.keep is not None else []:
            folder = self.folder / str(steps)
            (folder / MODEL).unlink()  # first: it's no checkpoint from here on
            shutil.rmtree(folder)


def steps_in(folder: Path) -> list[int]:
    """The checkpoints in a folder by their number of steps, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(
        int(path.name)
        for path in folder.iterdir()
        if path.name.isdecimal() and (path / MODEL).is_file()
    )


def find_checkpoint(asked: str | None, save_folder: Path) -> Path | None:
    """The checkpoint's folder that ``checkpoint_load_folder`` means.

    Args:
        asked: A checkpoint's folder, one of several checkpoints, "latest", or None.
        save_folder: Where checkpoints go, without a time stamp: "latest" looks there and in those
            with one.

    Returns:
        The folder; None where none is asked for, or "latest" finds none.

    Raises:
        FileNotFoundError: What was named isn't there.
    """
    if not asked:
        return None
    if asked != "latest":
        return _newest(Path(asked), f"checkpoint_load_folder={asked!r}")
    stamped = re.compile(re.escape(save_folder.name) + r"-(\d+)")
    beside = save_folder.parent.iterdir() if save_folder.parent.is_dir() else ()
    runs = {int(found[1]): path for path in beside if (found := stamped.fullmatch(path.name))}
    stamps = [stamp for stamp in sorted(runs) if steps_in(runs[stamp])]
    newest = [_newest(save_folder, "latest")] if steps_in(save_folder) else []
    newest += [_newest(runs[stamp], "latest") for stamp in stamps[-1:]]
    newest.sort(key=_time_of)
    return newest[-1] if newest else None


def _time_of(checkpoint: Path) -> int:
    return (checkpoint / MODEL).stat().st_mtime_ns


def _newest(folder: Path, what: str) -> Path:
    if (folder / MODEL).is_file():
        return folder
    there = steps_in(folder)
    runs = [path for path in folder.iterdir() if steps_in(path)] if folder.is_dir() else []
    if runs and not there:
        raise FileNotFoundError(f"{what}: {folder} holds runs, name one, such as {min(runs)}")
    if not there:
        raise FileNotFoundError(f"{what}: {folder} is no checkpoint, and holds none")
    return folder / str(there[-1])
