"""One command from nothing to something to look at: train, evaluate, curve, trajectories, demo."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo import registry, trajectories
from sb3_ext.zoo.at_play import AtPlay, at_play
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.experiment import carry_out, report
from sb3_ext.zoo.model_choice import Choice
from sb3_ext.zoo.runs import Run
from sb3_ext.zoo.video import has_display, video_file


def pipeline(args: argparse.Namespace) -> int:
    """Runs all of it into one run's folder (``zoo.py pipeline``).

    Returns:
        The process's exit code: 0, or 130 after Ctrl-C.
    """
    if args.sim_duration <= 0 or args.episodes < 1:
        raise ZooError("--sim-duration must be positive and --episodes at least 1")
    if args.gui and not has_display():
        raise ZooError("--gui: there is no display to open a window on; leave it out for a video")
    registry.import_packages(args.gym_packages)
    if args.hz is not None:
        _check_rate(args.env)
        args.env_kwargs = {**(args.env_kwargs or {}), "hz": args.hz}
    if args.gpu:
        args.device = _gpu(args.algo)
    run, summary = carry_out(args)
    if args.verbose > 0:
        report(run, summary, args)
    if summary["interrupted"]:
        return 130
    # The run's seed, so that the demonstration is the same each time.
    args.seed, args.policy_kwargs = summary["seed"], None
    arrays = _trajectories(args, run)
    _demo(args, run)
    if args.verbose > 0:
        print(f"trajectories: {run.folder / 'trajectories.npz'} ({len(arrays['rewards'])} steps)")
    return 0


def _check_rate(env_id: str) -> None:
    """Raises ZooError for a world that has no control rate to set."""
    import gymnasium as gym

    entry = registry.find_env(env_id).entry_point
    creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    if "hz" not in inspect.signature(creator).parameters:  # type: ignore[arg-type]
        raise ZooError(f"--hz: {env_id} has no control rate to set")


def _gpu(algo: str) -> str:
    """The device that ``--gpu`` means for an algorithm.

    Raises:
        ZooError: If it has none here.
    """
    if algo == "ppo_numpy":
        raise ZooError("--gpu: ppo_numpy runs on the CPU; use ppo_jax or ppo_torch")
    if algo == "ppo_jax":
        import jax

        if jax.default_backend() == "cpu":
            raise ZooError(
                "--gpu: JAX sees no GPU here: pip install 'jax[cuda13]', or leave it out"
            )
        return "cpu"  # JAX chooses its device itself; SB3's tensors stay where they are
    if algo == "ppo_mlx":
        import mlx.core

        if not mlx.core.metal.is_available():
            raise ZooError("--gpu: MLX sees no Metal GPU here")
        return "cpu"
    import torch

    for device in ("cuda", "mps"):
        if getattr(torch, device).is_available():
            return device
    raise ZooError("--gpu: PyTorch sees no GPU here")


def _trajectories(args: argparse.Namespace, run: Run) -> dict[str, np.ndarray]:
    """Plays episodes, saves them, and lets the world report on them if it can."""
    spec = registry.find_env(args.env)
    with at_play(args, spec, Choice(run.model, is_of_a_run=True), None) as playing:
        world: Any = playing.env.unwrapped.envs[0].unwrapped  # type: ignore[attr-defined]
        records: list[dict[str, Any]] = []

        def note(env: VecEnv) -> None:
            if hasattr(world, "trajectory_record"):
                records.append(world.trajectory_record())

        arrays = trajectories.collect(
            playing.model, playing.env, args.episodes, playing.deterministic, note
        )
        if records:
            arrays |= {key: np.stack([r[key] for r in records]) for key in records[0]}
        trajectories.save(run.folder / "trajectories.npz", arrays)
        if hasattr(world, "write_report"):
            paths = world.write_report(run.folder, arrays, _policy(playing))
            if args.verbose > 0:
                print("report:       " + ", ".join(Path(path).name for path in paths))
    return arrays


def _policy(playing: AtPlay) -> Any:
    """A function of observations ``[n, ...]`` to actions ``[n, ...]``."""
    normalizer = playing.env if hasattr(playing.env, "normalize_obs") else None

    def act(obs: np.ndarray) -> np.ndarray:
        seen = obs if normalizer is None else normalizer.normalize_obs(obs)
        return playing.model.predict(seen, deterministic=playing.deterministic)[0]

    return act


def _demo(args: argparse.Namespace, run: Run) -> None:
    """Shows the agent for so many seconds: in a window with ``--gui``, else in a video."""
    spec = registry.find_env(args.env)
    path = run.folder / "demo.mp4"
    mode = "human" if args.gui else "rgb_array"
    if mode not in _render_modes(spec):
        if args.verbose > 0:
            print(f"no demo: {spec.id} has no render_mode {mode!r}")
        return
    with at_play(args, spec, Choice(run.model, is_of_a_run=True), mode) as playing:
        n_steps = max(1, round(args.sim_duration * playing.fps))
        if args.gui:
            _play(playing, n_steps, lambda env: None)
            return
        with video_file(path, playing.fps) as file:

            def add(env: VecEnv) -> None:
                frame = env.render("rgb_array")
                if frame is not None:
                    file.add(frame)

            _play(playing, n_steps, add)
    if args.verbose > 0:
        print(f"demo:         {path}")


def _render_modes(spec: Any) -> list[str]:
    import gymnasium as gym

    creator = spec.entry_point
    if isinstance(creator, str):
        creator = gym.envs.registration.load_env_creator(creator)
    return list((getattr(creator, "metadata", None) or {}).get("render_modes", []))


def _play(playing: AtPlay, n_steps: int, each_step: Any) -> None:
    trajectories.collect(
        playing.model,
        playing.env,
        n_steps,  # more episodes than there can be
        playing.deterministic,
        each_step,
        max_steps=n_steps,
    )
