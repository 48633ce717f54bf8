"""A run's folder, laid out as RL Zoo lays it out: ``logs/<algo>/<env>_<n>/``."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from callbacks.checkpoint import CHECKPOINT, checkpoints_in, save_atomically
from sb3_ext.portable.model_file import is_model_file
from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.model_files import read_model_file
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping


def env_name(env_id: str) -> str:
    """What a world's files and folders are named after, as in RL Zoo: ``ALE-Pong-v5``."""
    return env_id.replace("/", "-")


@dataclass(frozen=True)
class Run:
    """The files of one run.

    Attributes:
        folder: ``logs/<algo>/<env>_<n>``.
        env_id: The world it trained on.
    """

    folder: Path
    env_id: str

    @property
    def name(self) -> str:
        """``<algo>_<n>``: the run's name in TensorBoard, beside other algorithms' runs."""
        number = self.folder.name.removeprefix(f"{env_name(self.env_id)}_")
        return f"{self.folder.parent.name}_{number}"

    @property
    def model(self) -> Path:
        """The final model."""
        return self.folder / f"{env_name(self.env_id)}.zip"

    @property
    def best_model(self) -> Path:
        """The model of the best evaluation."""
        return self.folder / "best_model.zip"

    @property
    def parameters(self) -> Path:
        """The subfolder with config, args, command and the final normalizer."""
        return self.folder / env_name(self.env_id)

    @property
    def normalizer(self) -> Path:
        """The final model's VecNormalize statistics, where it was trained with them."""
        return self.parameters / "vecnormalize.pkl"

    @property
    def summary(self) -> Path:
        """What came of the run, as JSON."""
        return self.folder / "summary.json"

    def checkpoints(self) -> dict[int, Path]:
        """The checkpoints by their number of steps, oldest first."""
        return checkpoints_in(self.folder)


def normalizer_of(model: Path) -> Path | None:
    """The file of the normalizer that was saved with a model, or None.

    Args:
        model: A ``.zip``: final, best or checkpoint, from a run of ours or of RL Zoo's; or a
            ``.safetensors`` or ``.npz``, which may hold its normalizer itself.
    """
    if is_model_file(model) and (content := read_model_file(model)).description is not None:
        # A file that executes nothing leads to no pickle that might.
        return None if content.normalizer is None else model
    checkpoint = CHECKPOINT.fullmatch(model.name)
    candidates = []
    if checkpoint:
        candidates.append(model.with_name(f"rl_model_vecnormalize_{checkpoint[1]}_steps.pkl"))
    candidates.append(model.with_name(f"{model.stem}_vecnormalize.pkl"))
    candidates.append(model.parent / model.stem / "vecnormalize.pkl")
    # RL Zoo keeps one normalizer a run, in the only subfolder that has one.
    candidates += sorted(model.parent.glob("*/vecnormalize.pkl"))
    return next((path for path in candidates if path.is_file()), None)


def parameters_of(model: Path) -> Path | None:
    """The subfolder with the config of the run that a model belongs to, or None for a lone file."""
    named = model.parent / model.stem
    if (named / "config.yml").is_file():
        return named
    found = sorted(path.parent for path in model.parent.glob("*/config.yml"))
    return found[0] if found else None


def check_no_normalizer(model: Path) -> None:
    """Where no normalizer lies beside a model: checks that there never was one.

    Raises:
        ZooError: If the config of the model's run asks for one, or is damaged.
    """
    folder = parameters_of(model)
    if folder is None:
        return
    if read_mapping(folder / "config.yml", ForeignLoader).get("normalize"):
        raise ZooError(
            f"{model} was trained with a normalizer ({folder / 'config.yml'}: normalize), and "
            f"{folder / 'vecnormalize.pkl'} is missing: without it the agent sees other numbers"
        )


@contextlib.contextmanager
def claimed(run: Run) -> Iterator[None]:
    """Keeps others from going on with a run while this process trains it.

    Raises:
        ZooError: If another does.
    """
    lock = FileLock(run.parameters / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ZooError(f"{run.folder} is being trained by another process") from error
    except OSError as error:
        raise ZooError(f"{run.folder} cannot be written to ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


class Traces:
    """What a start writes, so that a failed one leaves everything as it was."""

    def __init__(self) -> None:
        self._missing: list[Path] = []
        self._owned: dict[Path, set[Path]] = {}

    def expect(self, folder: Path) -> None:
        """Notes, before it is made, which folders on the way to this one are not there."""
        self._missing += [path for path in (folder, *folder.parents) if not path.exists()]

    def own(self, folder: Path, *, made: bool = False) -> None:
        """Notes a folder in which all that is new is the start's: everything if it made it."""
        self.expect(folder)
        self._missing += [folder] if made else []
        self._owned[folder] = set() if made else set(folder.glob("*"))

    def clear(self) -> None:
        """Removes what is new; folders in which another run has begun meanwhile stay."""
        for folder, before in self._owned.items():
            for path in set(folder.glob("*")) - before:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        for folder in sorted(self._missing, key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):
                folder.rmdir()


def create_run(
    log_folder: Path,
    algo: str,
    env_id: str,
    *,
    unique: bool = False,
    traces: Traces | None = None,
) -> Run:
    """Makes the folder of a new run, numbered after the newest.

    Args:
        log_folder: Usually ``logs``.
        algo: The algorithm's name.
        env_id: The world.
        unique: Whether to append a UUID, as RL Zoo's ``--uuid``.
        traces: Where to note what is written.

    Raises:
        ZooError: If the folder cannot be written.
    """
    traces = traces or Traces()
    suffix = f"_{uuid.uuid4()}" if unique else ""
    try:
        traces.expect(log_folder / algo)
        (log_folder / algo).mkdir(parents=True, exist_ok=True)
        number = max(run_numbers(log_folder, algo, env_id), default=0) + 1
        while True:
            folder = log_folder / algo / f"{env_name(env_id)}_{number}{suffix}"
            try:
                folder.mkdir()
                break
            except FileExistsError:  # another run was started at the same moment
                number += 1
        traces.own(folder, made=True)
        run = Run(folder, env_id)
        run.parameters.mkdir()
    except OSError as error:
        raise ZooError(
            f"cannot write to the log folder {str(log_folder)!r} ({error.strerror}); "
            "choose another with --log-folder"
        ) from error
    return run


def run_numbers(log_folder: Path, algo: str, env_id: str) -> list[int]:
    """The numbers of an algorithm's runs on a world."""
    pattern = re.compile(re.escape(env_name(env_id)) + r"_(\d+)(_[0-9a-f-]{36})?")
    names = (path.name for path in (log_folder / algo).glob("*_*") if path.is_dir())
    return sorted(int(match[1]) for match in map(pattern.fullmatch, names) if match)


def find_run(log_folder: Path, algo: str, env_id: str, number: int = 0) -> Run:
    """An existing run.

    Args:
        log_folder: Usually ``logs``.
        algo: The algorithm's name.
        env_id: The world.
        number: The run's number; 0 is the newest; -1 looks in ``<log_folder>/<algo>`` itself.

    Raises:
        ZooError: If there is no such run; it says what there is.
    """
    if number == -1:
        return Run(log_folder / algo, env_id)
    numbers = run_numbers(log_folder, algo, env_id)
    if not numbers:
        trained = sorted(
            {
                match[1]
                for path in (log_folder / algo).glob("*_*")
                if (match := re.fullmatch(r"(.+?)_\d+.*", path.name))
            }
        )
        hint = f"{algo} has runs of: {', '.join(trained)}" if trained else "nothing trained yet"
        raise ZooError(
            f"no run of --algo {algo} --env {env_id} in {str(log_folder)!r} "
            f"({hint}){nearest(env_id, trained)}"
        )
    chosen = number or numbers[-1]
    if chosen not in numbers:
        raise ZooError(
            f"no run number {chosen} of --algo {algo} --env {env_id} in {str(log_folder)!r} "
            f"(there are: {', '.join(map(str, numbers))})"
        )
    name = f"{env_name(env_id)}_{chosen}"
    exact, with_uuid = log_folder / algo / name, sorted((log_folder / algo).glob(f"{name}_*"))
    return Run(exact if exact.is_dir() else with_uuid[0], env_id)


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """Writes plain YAML that any safe loader reads."""
    text = yaml.safe_dump(_plain(content), sort_keys=True, allow_unicode=True)
    save_atomically(path, lambda file: file.write(text.encode()))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all."""
    text = json.dumps(content, indent=2) + "\n"
    save_atomically(path, lambda file: file.write(text.encode()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
