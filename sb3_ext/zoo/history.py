"""What a run of ours or of RL Zoo's has left to read: episodes, evaluations, settings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.runs import env_name
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping

# What makes a folder a run.
RECORDS = ("*monitor.csv", "evaluations.npz", "*/config.yml")
RUN_NAME = re.compile(r"(?P<env>.+)_(?P<number>\d+)(_[0-9a-f-]{36})?")


@dataclass(frozen=True)
class Evaluations:
    """A run's periodic evaluations.

    Attributes:
        steps: When each took place, ``[n]``.
        returns: One return per episode, ``[n, n_episodes]``.
        lengths: Steps per episode, ``[n, n_episodes]``.
    """

    steps: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class History:
    """A run's records.

    Attributes:
        folder: Where they were found.
        algo: The algorithm's name.
        env_id: The world.
        seed: The run's seed, where it is known.
        config: Its hyperparameters.
        args: Its command line.
        summary: ``summary.json``; empty for RL Zoo's runs and for runs that did not end.
        episodes: Every training episode in order of its end: ``return``, ``length``, ``seconds``
            since the run began, ``steps`` of all rows together until then, and ``success`` (0 or
            1) where the world tells.
        evaluations: The periodic evaluations, where there are any.
    """

    folder: Path
    algo: str
    env_id: str
    seed: int | None
    config: dict[str, Any]
    args: dict[str, Any]
    summary: dict[str, Any]
    episodes: pd.DataFrame
    evaluations: Evaluations | None

    @property
    def name(self) -> str:
        """Its name in TensorBoard, usually ``<algo>_<n>``; else the folder's."""
        if self.args.get("tb_log_name"):
            return str(self.args["tb_log_name"])
        match = RUN_NAME.fullmatch(self.folder.name)
        return f"{self.algo}_{match['number']}" if match else self.folder.name

    @property
    def flaw(self) -> str:
        """Why this is no whole training; empty if it is one."""
        if "error" in self.summary:
            return f"failed after {self.summary.get('steps', 0):,} steps: {self.summary['error']}"
        if self.summary.get("interrupted"):
            return f"was interrupted after {self.summary.get('steps', 0):,} steps"
        if math.isnan(self.summary.get("final_mean_return", 0.0)):
            return "has diverged: its final return is not a number"
        if not self.summary and not (self.folder / f"{env_name(self.env_id)}.zip").is_file():
            return "has no final model: it was killed, or is still training"
        return ""

    def until(self, steps: int) -> History:
        """The records of the run's first steps."""
        evaluations = self.evaluations
        if evaluations is not None:
            first = evaluations.steps <= steps
            kept = (evaluations.steps, evaluations.returns, evaluations.lengths)
            evaluations = Evaluations(*(array[first] for array in kept)) if first.any() else None
        episodes = self.episodes[self.episodes["steps"] <= steps]
        return replace(self, episodes=episodes, evaluations=evaluations)

    def seconds_at(self, steps: np.ndarray) -> np.ndarray | None:
        """Wall time at which a number of steps was reached, ``[n]``, or None if nothing tells."""
        if len(self.episodes):
            at, seconds = self.episodes["steps"], self.episodes["seconds"]
            return np.interp(steps, np.r_[0, at], np.r_[0.0, seconds])
        if self.summary.get("steps") and self.summary.get("wall_seconds"):
            return steps * (self.summary["wall_seconds"] / self.summary["steps"])
        return None


def find_runs(paths: Iterable[str]) -> list[Path]:
    """The run folders among and below some folders, in order of their names.

    Raises:
        ZooError: If a path is no folder, or has no run in it.
    """
    found: list[Path] = []
    for text in paths:
        path = Path(text)
        if not path.is_dir():
            raise ZooError(f"{text}: no such folder")
        runs = [path] if is_run(path) else _runs_below(path)
        if not runs:
            raise ZooError(
                f"{text}: no run here or below (a run has a monitor.csv or an evaluations.npz)"
            )
        found += runs
    return list(dict.fromkeys(found))


def is_run(folder: Path) -> bool:
    """Whether a folder holds the records of a run."""
    return any(next(folder.glob(pattern), None) is not None for pattern in RECORDS)


def _runs_below(folder: Path) -> list[Path]:
    runs: list[Path] = []
    for child in sorted(folder.iterdir(), key=_natural):
        if child.is_dir() and not child.is_symlink():
            runs += [child] if is_run(child) else _runs_below(child)
    return runs


def _natural(path: Path) -> list[Any]:
    """Sorts ``run_2`` before ``run_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def read_history(folder: Path) -> History:
    """Reads a run's records.

    Raises:
        ZooError: If a file is damaged, or nothing tells which algorithm and world it was.
    """
    config, args = _yaml(folder, "config.yml"), _yaml(folder, "args.yml")
    summary = _read_summary(folder / "summary.json")
    match = RUN_NAME.fullmatch(folder.name)
    env_id = summary.get("env") or args.get("env") or (match["env"] if match else None)
    algo = summary.get("algo") or args.get("algo") or (folder.resolve().parent.name)
    if not env_id:
        raise ZooError(f"{folder}: nothing says which world this run trained on (no args.yml)")
    seed = summary.get("seed", args.get("seed"))
    return History(
        folder=folder,
        algo=str(algo),
        env_id=str(env_id).rpartition(":")[2],
        seed=seed if isinstance(seed, int) and seed >= 0 else None,
        config={str(key): value for key, value in config.items()},
        args={str(key): value for key, value in args.items()},
        summary=summary,
        episodes=read_episodes(folder),
        evaluations=_read_evaluations(folder / "evaluations.npz"),
    )


def _yaml(folder: Path, name: str) -> dict[Any, Any]:
    paths = sorted(folder.glob(f"*/{name}"))
    return read_mapping(paths[0], ForeignLoader) if paths else {}


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ZooError(f"{path}: cannot be read ({reason(error)})") from error
    if not isinstance(summary, dict):
        raise ZooError(f"{path}: expected a mapping, found a {type(summary).__name__}")
    return summary


def read_episodes(folder: Path) -> pd.DataFrame:
    """Reads SB3's monitor files of a run: one for all rows (ours), or one a row (RL Zoo's).

    Returns:
        As :attr:`History.episodes`.

    Raises:
        ZooError: If one is damaged.
    """
    tables = [_read_monitor(path) for path in sorted(folder.glob("*monitor.csv"))]
    table = pd.concat(tables, ignore_index=True) if tables else _no_episodes()
    if len(tables) > 1:
        table = table.sort_values("ended", kind="stable", ignore_index=True)
    episodes = pd.DataFrame(
        {
            "return": table["r"].astype(float),
            "length": table["l"].astype(int),
            "seconds": (table["ended"] - table["began"].min()).astype(float),
            "steps": table["l"].cumsum().astype(int),
        }
    )
    if "is_success" in table:
        episodes["success"] = table["is_success"].astype(float)
    return episodes


def _no_episodes() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=float) for name in ("r", "l", "ended", "began")})


def _read_monitor(path: Path) -> pd.DataFrame:
    try:
        with open(path, encoding="utf-8") as file:
            header = json.loads(file.readline().removeprefix("#"))
            table = pd.read_csv(file)
        table = table[pd.to_numeric(table["t"], errors="coerce").notna()]  # a line half written
        return table.assign(ended=table["t"] + header["t_start"], began=header["t_start"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{path}: not one of SB3's monitor files ({reason(error)})") from error


def _read_evaluations(path: Path) -> Evaluations | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            return Evaluations(file["timesteps"], file["results"], file["ep_lengths"])
    except Exception as error:  # a damaged archive fails in many ways
        raise ZooError(f"{path}: cannot be read ({reason(error)})") from error
