"""Agents: built from an entry, started from a file, or loaded to play."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.portable.model_file import is_model_file
from sb3_ext.portable.onnx_model import OnnxModel
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.hyperparams import Settings
from sb3_ext.zoo.model_files import ONNX, own_ppo, read_model_file, told


def make_agent(
    args: argparse.Namespace,
    algorithm: type[Any],
    settings: Settings,
    env: VecEnv,
    seed: int,
    pretrained: Path | None,
) -> BaseAlgorithm:
    """Builds an agent, or loads it to train on.

    Args:
        args: The command line.
        algorithm: The algorithm's class.
        settings: The hyperparameters.
        env: The training env.
        seed: Governs its initialization and its draws.
        pretrained: Start from this file's weights; the network is as the file has it.

    Raises:
        ZooError: If the arguments, the env and the file do not fit together.
    """
    kwargs = dict(settings.algorithm)
    noise = action_noise(settings, env)
    if noise is not None:
        kwargs["action_noise"] = noise
    common = {"env": env, "seed": seed, "verbose": max(0, args.verbose - 1), "device": args.device}
    try:
        if pretrained is None:
            return algorithm(**common, **kwargs)
        for key in ("policy", "policy_kwargs"):  # the file says what the network looks like
            kwargs.pop(key, None)
        model = algorithm.load(pretrained, **common, **kwargs)
        _load_replay_buffer(model, pretrained, args.truncate_last_trajectory)
        return model
    except Exception as error:  # the entry, the world or the file: some do not fit together
        what = f"-i {pretrained}" if pretrained else f"cannot build {args.algo} for {args.env}"
        raise ZooError(f"{what}: {reason(error)}") from error


def load_to_go_on(
    algorithm: type[Any], path: Path, env: VecEnv, args: argparse.Namespace
) -> BaseAlgorithm:
    """Loads a model to train on as if nothing had come between.

    Args:
        algorithm: Its class.
        path: The ``.zip``; it says everything about the agent.
        env: The training env.
        args: The command line: device and verbosity.

    Raises:
        ZooError: If the file does not fit the algorithm or the env.
    """
    options: dict[str, Any] = {"device": args.device, "verbose": max(0, args.verbose - 1)}
    try:
        # Without a reset: the episodes under way go on.
        return algorithm.load(path, env=env, force_reset=False, **options)
    except Exception as error:  # a damaged pickle may fail in any way
        raise ZooError(f"--resume: {path}: {reason(error)}") from error


def _load_replay_buffer(model: BaseAlgorithm, pretrained: Path, truncate: bool) -> None:
    path = pretrained.parent / "replay_buffer.pkl"
    if path.is_file() and hasattr(model, "load_replay_buffer"):
        model.load_replay_buffer(path, truncate_last_traj=truncate)


def action_noise(settings: Settings, env: VecEnv) -> Any:
    """Exploration noise of the off-policy algorithms, as RL Zoo's entries name it.

    Raises:
        ZooError: If the kind is unknown, or actions are not a Box.
    """
    kind = settings.noise_type
    if kind is None:
        return None
    if not isinstance(env.action_space, spaces.Box):
        raise ZooError(f"noise_type needs a Box action space, not {env.action_space}")
    classes = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise}
    if kind.strip() not in classes:
        raise ZooError(f"noise_type {kind!r} is unknown (normal, ornstein-uhlenbeck)")
    size = env.action_space.shape[0]
    return classes[kind.strip()](np.zeros(size), settings.noise_std * np.ones(size))


def load_for_playing(
    algorithm: type[Any],
    path: Path,
    device: str = "auto",
    env: VecEnv | None = None,
    hints: dict[str, Any] | None = None,
) -> Any:
    """Loads a model to act, not to train.

    Args:
        algorithm: Its class.
        path: The ``.zip``, ``.safetensors``, ``.npz`` or ``.onnx``.
        device: As SB3 has it.
        env: What it will play on; an ``.npz`` of parameters alone tells no spaces.
        hints: ``policy_kwargs`` and ``extensions`` for what such a file doesn't tell.

    Returns:
        Something with ``predict``, ``observation_space`` and ``action_space``.

    Raises:
        ZooError: If the file is no model of this algorithm.
    """
    if path.suffix == ONNX:
        with told():
            return OnnxModel.read(path)
    if is_model_file(path):
        content = read_model_file(path)
        more = {"env": env, **(hints or {})} if content.description is None else {}
        with told(str(path)):
            return content.build(own_ppo(algorithm, path), device=device, **more)
    # Schedules are not needed to act, and pickled ones may stem from another Python.
    stubs: dict[str, Any] = {"learning_rate": 0.0, "lr_schedule": _zero, "clip_range": _zero}
    # No replay buffer is needed either; memory is not optimized for one.
    stubs |= {"buffer_size": 1, "optimize_memory_usage": False}
    try:
        return algorithm.load(path, device=device, custom_objects=stubs)
    except Exception as error:  # a foreign file may fail anywhere inside a pickle
        raise ZooError(f"{path}: not a model of {algorithm.__name__} ({reason(error)})") from error


def _zero(progress_remaining: float) -> float:
    return 0.0
