"""The grid of runs, every algorithm on every world with every seed, and what of it is done."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.commands import train
from sb3_ext.zoo.commands.compare import SET_BY_THE_GRID
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.yaml_files import read_mapping

# Arguments of train that do not change what is trained.
OF_NO_CONSEQUENCE = {*SET_BY_THE_GRID, "env", "verbose", "num_threads", "gym_packages"}
# Seconds for the runs of a killed grid to save what they have.
PATIENCE = 60.0
LONGEST_NAME = 60


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        algo: The algorithm's name.
        env_id: The world.
        seed: The run's seed.
    """

    algo: str
    env_id: str
    seed: int

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.algo} on {self.env_id}, seed {self.seed}"

    @property
    def tensorboard_name(self) -> str:
        """The run's name below its world's in TensorBoard."""
        return f"{self.algo}_seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """What is to be run, all of it checked.

    Attributes:
        cells: The runs, seeds outermost, so that the algorithms come on alike.
        env_arguments: For each world, what ``--env`` named: it may begin with ``package:``.
        flags: Flags of train for all runs, as they were given.
        settings: The same as train understands them, without those that have their default.
        configs: The hyperparameters of each algorithm and world, as a run's config.yml has them.
        n_threads: Of each run.
    """

    cells: list[Cell]
    env_arguments: dict[str, str]
    flags: list[str]
    settings: dict[str, Any]
    configs: dict[tuple[str, str], dict[str, Any]]
    n_threads: int = 1

    @property
    def env_ids(self) -> list[str]:
        """The worlds."""
        return list(self.env_arguments)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of train that change what is trained, as far as they aren't the defaults."""
    defaults = vars(train.build_parser().parse_args(["--env", "any"]))
    return {
        key: plain(value)
        for key, value in vars(args).items()
        if key not in OF_NO_CONSEQUENCE and value != defaults.get(key)
    }


def plain(value: Any) -> Any:
    """A value as it comes back from a file: lists for tuples, text for what is no plain value."""
    return json.loads(json.dumps(value, default=str))


class Grid:
    """A comparison's folder with its runs.

    Args:
        folder: Where the runs are, laid out as below ``logs``.
        plan: What is to be run.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan

    @property
    def description(self) -> Path:
        """What tells, at the next start, that this comparison is that of the command."""
        return self.folder / "grid.json"

    @property
    def tensorboard(self) -> Path:
        """The folder for ``tensorboard --logdir``."""
        return self.folder / "tb"

    def log(self, cell: Cell) -> Path:
        """What a run prints."""
        name = f"{cell.tensorboard_name}.txt"
        return self.folder / "output" / runs.env_name(cell.env_id) / name

    def lock(self, cell: Cell) -> Path:
        """Held by a run as long as it lives."""
        return self.log(cell).with_suffix(".lock")

    def command(self, cell: Cell) -> list[str]:
        """The arguments of the command line that is a run."""
        named = {flag.partition("=")[0] for flag in self.plan.flags}
        # Runs side by side share the cores: none takes worker processes by itself.
        alone = [] if named & {"--vec-env", "--workers"} else ["--workers", "0"]
        return [
            *("train", *alone, *self.plan.flags, "--num-threads", str(self.plan.n_threads)),
            *("--algo", cell.algo, "--env", self.plan.env_arguments[cell.env_id]),
            *("--seed", str(cell.seed), "--log-folder", str(self.folder)),
            *("--tensorboard-log", str(self.tensorboard)),
            *("--tb-log-name", cell.tensorboard_name),
        ]

    def open(self) -> None:
        """Makes the folder.

        Raises:
            ZooError: If it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {"envs": self.plan.env_ids, "settings": self.plan.settings}
            runs.write_json(self.description, content)
        except OSError as error:
            raise ZooError(
                f"-o/--output: cannot write to {str(self.folder)!r} ({error.strerror})"
            ) from error

    def exclusively(self) -> FileLock:
        """A lock that one process at a time holds, and that ends with it.

        Raises:
            ZooError: If another one holds it.
        """
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ZooError(
                f"{self.folder}: this comparison is running already, in another process"
            ) from error
        return lock

    def finished(self, cell: Cell) -> runs.Run | None:
        """A run of this grid that came to its end, or None."""
        for run, seed in self._runs(cell):
            if seed == cell.seed and _is_whole(run):
                return run
        return None

    def wait_for(self, cell: Cell) -> None:
        """Lets a run save what it has that a killed grid has left alone.

        Raises:
            ZooError: If that takes too long.
        """
        lock = self.lock(cell)
        if not lock.exists():
            return
        try:
            with FileLock(lock, timeout=PATIENCE):
                lock.unlink(missing_ok=True)
        except Timeout as error:
            raise ZooError(
                f"{cell.title} is still running, left by a compare that was killed"
            ) from error

    def resumable(self, cell: Cell) -> runs.Run | None:
        """A run that was broken off and can go on just as it would have, or None.

        Without its replay buffer, which a killed run has not saved, an off-policy algorithm would
        go on otherwise.
        """
        if hasattr(registry.load_algorithm(cell.algo), "load_replay_buffer"):
            return None
        for run, seed in self._runs(cell):
            if seed == cell.seed and not _is_whole(run) and run.checkpoints():
                return run
        return None

    def resumption(self, run: runs.Run) -> list[str]:
        """The arguments of the command line that goes on with a run."""
        return ["train", "--resume", str(run.folder), "--num-threads", str(self.plan.n_threads)]

    def clear(self, cell: Cell) -> None:
        """Removes what a run left that did not come to its end."""
        for run, seed in self._runs(cell):
            if seed is None or (seed == cell.seed and not _is_whole(run)):
                shutil.rmtree(run.folder)
        shutil.rmtree(
            self.tensorboard / runs.env_name(cell.env_id) / cell.tensorboard_name,
            ignore_errors=True,
        )

    def is_empty(self) -> bool:
        """Whether nothing at all has come of the grid."""
        return not any(self._runs(cell) for cell in self.plan.cells)

    def difference(self) -> str:
        """In what a comparison that the folder holds differs from this; empty if in nothing."""
        try:
            described = json.loads(self.description.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return f"{self.description} cannot be read: {reason(error)}"
        if described.get("envs") != self.plan.env_ids:
            return f"it compares on {', '.join(described.get('envs', []))}"
        there, here = described.get("settings", {}), self.plan.settings
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                return f"{key}: {_told(there, key)} there, {_told(here, key)} here"
        for cell in self.plan.cells:
            run = self.finished(cell)
            config = self.plan.configs[cell.algo, cell.env_id]
            if run is not None and plain(read_mapping(run.parameters / "config.yml")) != config:
                return f"{run.folder} was trained with other hyperparameters of {cell.algo}"
        return ""

    def _runs(self, cell: Cell) -> list[tuple[runs.Run, int | None]]:
        """The runs of a cell's algorithm and world, and their seeds: None if it was not written."""
        found: list[tuple[runs.Run, int | None]] = []
        for number in runs.run_numbers(self.folder, cell.algo, cell.env_id):
            run = runs.find_run(self.folder, cell.algo, cell.env_id, number)
            arguments = run.parameters / "args.yml"
            found.append((run, read_mapping(arguments)["seed"] if arguments.is_file() else None))
        return found


def _told(settings: dict[str, Any], key: str) -> str:
    return str(settings[key]) if key in settings else "the default"


def _is_whole(run: runs.Run) -> bool:
    if not run.summary.is_file():
        return False
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    return "error" not in summary and not summary["interrupted"]


def open_grid(plan: Plan, output: str | None, parent: Path) -> Grid:
    """The grid's folder: the one that was asked for, one with the same comparison, or a new one.

    Args:
        plan: What is to be run.
        output: The folder that was asked for.
        parent: Where folders are looked for and made otherwise.

    Raises:
        ZooError: If the folder that was asked for holds something else.
    """
    if output is not None:
        grid = Grid(Path(output), plan)
        if grid.description.is_file():
            difference = grid.difference()
            if difference:
                raise ZooError(
                    f"-o/--output: {output!r} holds another comparison ({difference}); choose "
                    "another folder"
                )
        else:
            check_new(grid.folder)
        return grid
    name = "+".join(map(runs.env_name, plan.env_ids))
    name = name if len(name) <= LONGEST_NAME else f"{len(plan.env_ids)}_worlds"
    for folder in numbered(parent, name):
        grid = Grid(folder, plan)
        if grid.description.is_file() and not grid.difference():
            return grid
    return Grid(next_folder(parent, name), plan)


def check_new(folder: Path) -> None:
    """Checks that a folder can be a new comparison's.

    Raises:
        ZooError: If something stands in its place.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ZooError(
            f"-o/--output: {str(folder)!r} exists and holds no comparison; choose another folder"
        )


def numbered(parent: Path, name: str) -> list[Path]:
    """The folders ``<name>_<n>``, newest first."""
    found = [
        (int(path.name.removeprefix(f"{name}_")), path)
        for path in parent.glob(f"{name}_*")
        if path.name.removeprefix(f"{name}_").isdigit()
    ]
    return [path for _, path in sorted(found, reverse=True)]


def next_folder(parent: Path, name: str) -> Path:
    """The folder ``<name>_<n>`` after the newest."""
    newest = numbered(parent, name)
    number = int(newest[0].name.removeprefix(f"{name}_")) if newest else 0
    return parent / f"{name}_{number + 1}"
