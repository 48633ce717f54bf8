"""How a run was started, from the files in its folder: to go on with it, or to do it again.

Nothing heavy is imported here: the number of BLAS threads must be known before NumPy is.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.runs import env_name
from sb3_ext.zoo.yaml_files import read_mapping

# What may be given anew when a run goes on; everything else belongs to the run.
MAY_CHANGE = (
    "device",
    "final_eval_episodes",
    "gym_packages",
    "keep_checkpoints",
    "keys",
    "live_view",
    "log_folder",
    "log_interval",
    "n_timesteps",
    "num_threads",
    "progress",
    "resume",
    "save_freq",
    "save_replay_buffer",
    "stop_at",
    "track",
    "verbose",
    "wandb_entity",
    "wandb_project_name",
    "wandb_tags",
    "workers",
)


@dataclass(frozen=True)
class Recorded:
    """A run's files of how it was started.

    Attributes:
        folder: The run's.
        env_id: The world.
        args: The command line's values, by their names in ``args.yml``.
        config: The hyperparameters.
        model: A file in the folder, where one was named.
    """

    folder: Path
    env_id: str
    args: dict[str, Any]
    config: dict[str, Any]
    model: Path | None = None

    @property
    def config_file(self) -> Path:
        """Where the hyperparameters stand."""
        return self.folder / env_name(self.env_id) / "config.yml"


def read_run(name: str, log_folder: str, flag: str) -> Recorded:
    """Reads a run's files.

    Args:
        name: The run's folder, its name below the log folder, or a model in it.
        log_folder: Where runs are.
        flag: Where the name comes from, for messages.

    Raises:
        ZooError: If there is no such run, or its files are not ours.
    """
    folder, model = _find(name, log_folder, flag)
    files = sorted(folder.glob("*/args.yml"))
    if not files:
        raise ZooError(f"{flag}: {folder} is no run: it has no <world>/args.yml")
    parameters = files[0].parent
    try:
        args = read_mapping(parameters / "args.yml")
    except ZooError as error:
        raise ZooError(f"{flag}: {error}; is it RL Zoo's own? -i starts from its model") from error
    config = read_mapping(parameters / "config.yml")
    env_id = str(args.get("env")).rpartition(":")[2]
    if env_name(env_id) != parameters.name:  # somebody has renamed the folder
        env_id = parameters.name
    return Recorded(folder, env_id, args, config, model)


def _find(name: str, log_folder: str, flag: str) -> tuple[Path, Path | None]:
    for path in (Path(name), Path(log_folder) / name):
        if path.is_dir():
            return path, None
        if path.is_file():
            if path.suffix != ".zip":
                raise ZooError(f"{flag}: {path} is neither a run's folder nor a model (.zip) in it")
            return path.parent, path
    found = [path for path in Path(log_folder).glob(f"*/{name}") if path.is_dir()]
    if len(found) == 1:
        return found[0], None
    if found:
        several = ", ".join(str(path.relative_to(log_folder)) for path in sorted(found))
        raise ZooError(f"{flag}: {name!r} may be any of {several}")
    known = [f"{path.parent.parent.name}/{path.parent.name}" for path in _parameters(log_folder)]
    raise ZooError(
        f"{flag}: there is no run {name!r}, nor is there one of that name in {log_folder!r}"
        f"{nearest(name, known)}"
    )


def _parameters(log_folder: str) -> list[Path]:
    return [path.parent for path in Path(log_folder).glob("*/*/*/args.yml")]


def going_on(
    recorded: Recorded, args: argparse.Namespace, given: Collection[str]
) -> argparse.Namespace:
    """The arguments of a run that goes on: its own, and those of the new ones that may change.

    Args:
        recorded: The run.
        args: The command line that goes on with it.
        given: Which of its arguments the user named.

    Raises:
        ZooError: If another was given, by name.
    """
    for name in given:
        if name not in MAY_CHANGE and getattr(args, name) != recorded.args.get(name):
            raise ZooError(
                f"--{name.replace('_', '-')} belongs to the run that --resume goes on with "
                f"({recorded.args.get(name)!r}); start a new one to change it, with -i from its "
                "weights"
            )
    return merged(recorded, args, [name for name in given if name in MAY_CHANGE])


def merged(
    recorded: Recorded, args: argparse.Namespace, names: Collection[str]
) -> argparse.Namespace:
    """A run's arguments, with some of a command line's; what is in neither has its default."""
    ours = {name: value for name, value in recorded.args.items() if hasattr(args, name)}
    new = {name: getattr(args, name) for name in names}
    whole = argparse.Namespace(**{**vars(args), **ours, **new})
    # Runs may be moved: where it lies now counts.
    whole.log_folder = str(recorded.folder.parent.parent)
    return whole
