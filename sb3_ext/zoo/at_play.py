"""An agent and the world it was trained in, ready to play."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.utils import check_for_correct_spaces, set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.agents import load_for_playing
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, Settings, resolve
from sb3_ext.zoo.live import live_kwargs, live_threads
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.model_choice import Choice
from sb3_ext.zoo.model_files import ONNX, leaves_open
from sb3_ext.zoo.opponents import rival
from sb3_ext.zoo.preparation import chosen_seed, is_judged_deterministically
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping


@dataclass(frozen=True)
class AtPlay:
    """What plays where.

    Attributes:
        model: The agent.
        env: The world, wrapped as it was in training.
        deterministic: Whether it is judged by its most likely actions.
        told: What plays, and with which normalizer and seed where nobody named them.
    """

    model: Any
    env: VecEnv
    deterministic: bool
    told: str

    @property
    def fps(self) -> float:
        """Frames per second at which the world wants to be shown."""
        metadata = self.env.get_attr("metadata", 0)[0] if self.env.has_attr("metadata") else {}
        return float(metadata.get("render_fps", 30))


@contextlib.contextmanager
def at_play(
    args: argparse.Namespace,
    spec: EnvSpec,
    choice: Choice,
    render_mode: str | None,
    n_envs: int = 1,
) -> Iterator[AtPlay]:
    """Opens an agent and rows of its world; closes the world.

    Args:
        args: The command line.
        spec: The world.
        choice: The agent's file.
        render_mode: As Gymnasium has it.
        n_envs: How many rows.

    Raises:
        ZooError: If they do not fit together.
    """
    path, algorithm = choice.path, registry.load_algorithm(args.algo)
    settings, env_kwargs = training_settings(
        path, spec.id, algorithm, args.algo, in_a_run=choice.is_of_a_run
    )
    normalizer = normalizer_for(path, settings)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    if (threads := live_threads(args.num_threads, spec)) > 0:
        torch.set_num_threads(threads)
    is_single = n_envs == 1 and spec.entry_point is not None
    form, _ = choose_form("dummy" if is_single else "auto", spec, settings)
    asked, against = (args.env_kwargs or {}) | live_kwargs(args, spec), rival(args, spec, None)
    if against is not None:  # judged as in training
        env_kwargs = settings.judged_kwargs(env_kwargs)
    builder = EnvBuilder(spec, settings, form, env_kwargs | asked, rival=against)
    env = builder.evaluation(n_envs, seed, normalizer=normalizer, render_mode=render_mode)
    try:
        model = load_for_playing(algorithm, path, args.device, env, hints(args, settings, path))
        try:
            check_for_correct_spaces(env, model.observation_space, model.action_space)
        except ValueError as error:
            raise ZooError(f"{path} was not trained on {spec.id}: {error}") from error
        beside = f" with {normalizer}" if normalizer not in (None, path) else ""
        drawn = f", seed {seed}" if args.seed < 0 else ""
        deterministic = path.suffix == ONNX or is_judged_deterministically(spec)
        yield AtPlay(model, env, deterministic, f"{path}{beside}{drawn}")
    finally:
        env.close()


def training_settings(
    model: Path, env_id: str, algorithm: type[Any], algo: str, *, in_a_run: bool
) -> tuple[Settings, dict[str, Any]]:
    """How the world was wrapped when a model was trained, from the files beside it.

    Args:
        model: The file.
        env_id: The world.
        algorithm: The algorithm's class.
        algo: Its name.
        in_a_run: Whether those files must be there; a lone model has none.

    Returns:
        The settings (plain ones for a lone model) and the world's arguments.

    Raises:
        ZooError: If the files are damaged or missing.
    """
    named = model.parent / runs.env_name(env_id)
    found = named if named.is_dir() else runs.parameters_of(model)
    if found is None and not in_a_run:  # a lone file
        return resolve(Entry({"n_timesteps": 1}, env_id, str(model)), algorithm, algo), {}
    folder = found or named
    config = read_mapping(folder / "config.yml", ForeignLoader)
    settings = resolve(Entry(config, env_id, str(folder / "config.yml")), algorithm, algo)
    env_kwargs = None
    if (folder / "args.yml").exists():  # early versions of RL Zoo wrote none
        env_kwargs = read_mapping(folder / "args.yml", ForeignLoader).get("env_kwargs")
    return settings, settings.env_kwargs | (env_kwargs if isinstance(env_kwargs, dict) else {})


def normalizer_for(model: Path, settings: Settings) -> Path | None:
    """The normalizer that a model was trained with, or None if it was trained without.

    In an ``.onnx`` it is part of the graph: then the world isn't to be normalized.

    Raises:
        ZooError: If it was trained with one that is not there.
    """
    if model.suffix == ONNX:
        settings.normalize = None
        return None
    found = runs.normalizer_of(model)
    if found is not None and found != model and settings.normalize is None:
        print(f"its config names no normalizer, but one lies beside it: using {found}")
    elif found is None and settings.normalize is not None:
        raise ZooError(
            f"{model} was trained with a normalizer, and none lies beside it: without it the "
            "agent would see other numbers than it knows"
        )
    return found


def hints(args: argparse.Namespace, settings: Settings, path: Path) -> dict[str, Any]:
    """What a bare ``.npz`` leaves open, from the command line or the config beside it."""
    if not leaves_open(path, args.policy_kwargs):
        return {}
    kwargs = {**(settings.algorithm.get("policy_kwargs") or {}), **(args.policy_kwargs or {})}
    if "activation_fn" not in kwargs:
        print(f"{path} does not tell its activation: taking tanh (--policy-kwargs activation_fn:X)")
    return {"policy_kwargs": kwargs, "extensions": settings.algorithm.get("extensions")}
