"""Whom an agent is judged against, in worlds whose rows play against each other."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.utils import check_for_correct_spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.vec_env.opponent import (
    AgainstOpponent,
    ModelOpponent,
    Opponent,
    RandomOpponent,
    row_teams,
)
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.recorded import read_run

RANDOM, ITSELF = "random", "itself"


@dataclass(frozen=True)
class Rival:
    """Who plays the other team.

    Attributes:
        make: Makes it for an env.
        asked: Whether the user named it: then a world must have two teams.
    """

    make: Callable[[VecEnv], Opponent]
    asked: bool = True

    def against(self, venv: VecEnv) -> VecEnv:
        """The rows of blue, whom the agent plays; all rows of a world without two teams.

        Raises:
            ZooError: It was asked for and there are no two teams, or it doesn't fit.
        """
        teams = row_teams(venv)
        if teams is None or len(set(teams.tolist())) < 2:
            if self.asked:
                raise ZooError("--opponent: the rows of this world don't play against each other")
            return venv
        return AgainstOpponent(venv, self.make(venv))


AT_RANDOM = Rival(lambda venv: RandomOpponent(venv.action_space), asked=False)
"""Judged against random actions, where there are two teams."""


def rival(args: argparse.Namespace, spec: EnvSpec, default: Rival | None) -> Rival | None:
    """What ``--opponent`` means.

    Args:
        args: The command line.
        spec: The world.
        default: Without the flag.

    Returns:
        The rival; None: the agent plays all rows itself.

    Raises:
        ZooError: There is no such agent.
    """
    asked = getattr(args, "opponent", None)
    if asked is None:
        return default
    if asked == ITSELF:
        return None
    if asked == RANDOM:
        return Rival(AT_RANDOM.make)
    path, algo = _find(asked, args)
    return Rival(lambda venv: _load(path, algo, args, spec, venv))


def _find(asked: str, args: argparse.Namespace) -> tuple[Path, str]:
    """An agent's file and its algorithm."""
    path = Path(asked)
    if path.is_file() and path.suffix != ".zip":
        return path, args.algo
    if path.is_file() and runs.parameters_of(path) is None:
        return path, args.algo
    folder = getattr(args, "log_folder", None) or args.folder
    run = read_run(asked, folder, "--opponent")
    files = runs.Run(run.folder, run.env_id)
    checkpoints = files.checkpoints()
    for model in (run.model, files.model, checkpoints.get(max(checkpoints, default=0))):
        if model is not None and model.is_file():
            return model, str(run.args.get("algo", args.algo))
    raise ZooError(f"--opponent: {run.folder} has no model yet")


def _load(
    path: Path, algo: str, args: argparse.Namespace, spec: EnvSpec, venv: VecEnv
) -> ModelOpponent:
    from sb3_ext.zoo.agents import load_for_playing
    from sb3_ext.zoo.at_play import hints, normalizer_for, training_settings
    from sb3_ext.zoo.make_env import load_normalizer

    algorithm = registry.load_algorithm(algo)
    settings, _ = training_settings(path, spec.id, algorithm, algo, in_a_run=False)
    if settings.frame_stack is not None:
        raise ZooError(f"--opponent: {path} was trained on stacked frames: it can't play here")
    told: Any = argparse.Namespace(**{"policy_kwargs": None} | vars(args))
    model = load_for_playing(algorithm, path, args.device, venv, hints(told, settings, path))
    try:
        check_for_correct_spaces(venv, model.observation_space, model.action_space)
    except ValueError as error:
        raise ZooError(f"--opponent: {path} can't play {spec.id}: {error}") from error
    found = normalizer_for(path, settings)
    return ModelOpponent(model, None if found is None else load_normalizer(found, venv))
