"""An agent and the world it was trained in, ready to play."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.utils import check_for_correct_spaces, set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo import registry
from sb3_ext.zoo.agents import load_for_playing
from sb3_ext.zoo.enjoy import hints, normalizer_for, training_settings
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.preparation import chosen_seed, is_judged_deterministically


@dataclass(frozen=True)
class AtPlay:
    """What plays where.

    Attributes:
        model: The agent.
        env: The world, wrapped as it was in training.
        deterministic: Whether it is judged by its most likely actions.
        path: The agent's file.
    """

    model: Any
    env: VecEnv
    deterministic: bool
    path: Path

    @property
    def fps(self) -> float:
        """Frames per second at which the world wants to be shown."""
        metadata = self.env.get_attr("metadata", 0)[0] if self.env.has_attr("metadata") else {}
        return float(metadata.get("render_fps", 30))


@contextlib.contextmanager
def at_play(
    args: argparse.Namespace, spec: EnvSpec, path: Path, render_mode: str | None, in_a_run: bool
) -> Iterator[AtPlay]:
    """Opens an agent and one row of its world; closes the world.

    Args:
        args: The command line.
        spec: The world.
        path: The agent's file.
        render_mode: As Gymnasium has it.
        in_a_run: Whether the files that a run leaves must lie beside it.

    Raises:
        ZooError: If they do not fit together.
    """
    algorithm = registry.load_algorithm(args.algo)
    settings, env_kwargs = training_settings(path, spec.id, algorithm, args.algo, in_a_run=in_a_run)
    normalizer = normalizer_for(path, settings)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    form, _ = choose_form("dummy", spec, settings)
    builder = EnvBuilder(spec, settings, form, env_kwargs | (args.env_kwargs or {}))
    env = builder.evaluation(1, seed, normalizer=normalizer, render_mode=render_mode)
    try:
        model = load_for_playing(algorithm, path, args.device, env, hints(args, settings, path))
        try:
            check_for_correct_spaces(env, model.observation_space, model.action_space)
        except ValueError as error:
            raise ZooError(f"{path} was not trained on {spec.id}: {error}") from error
        yield AtPlay(model, env, is_judged_deterministically(spec), path)
    finally:
        env.close()
