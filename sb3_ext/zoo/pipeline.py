"""One command from nothing to something to look at: train, evaluate, curve, trajectories, demo."""

from __future__ import annotations

import argparse
import inspect
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo import registry, trajectories
from sb3_ext.zoo.at_play import AtPlay, at_play
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.experiment import carry_out, report
from sb3_ext.zoo.model_choice import Choice
from sb3_ext.zoo.runs import Run
from sb3_ext.zoo.video import has_display, video_file


def pipeline(args: argparse.Namespace) -> int:
    """Runs all of it into one run's folder (``zoo.py pipeline``).

    Returns:
        The process's exit code: 0, or 130 after Ctrl-C.
    """
    _settle(args)
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


def _settle(args: argparse.Namespace) -> None:
    """Writes what the pipeline's own flags mean into the others.

    Raises:
        ZooError: One of them can't be followed here.
    """
    if not (math.isfinite(args.sim_duration) and args.sim_duration >= 0) or args.episodes < 1:
        raise ZooError("--sim-duration must be 0 (no demo) or more, and --episodes at least 1")
    if args.gui and not has_display():
        args.gui = False
        if args.verbose > 0:
            print("--gui: no display to open a window on; the demo will be a video, demo.mp4")
    registry.import_packages(args.gym_packages)
    if args.hz is not None:
        if "hz" not in _arguments(args.env):
            raise ZooError(f"--hz: {args.env} has no control rate to set")
        args.env_kwargs = {**(args.env_kwargs or {}), "hz": args.hz}
    if args.gpu:
        args.device = _gpu(args.algo)
    if args.sim_duration and not args.gui:
        _check_drawing(args)


def _arguments(env_id: str) -> Collection[str]:
    """What a world's constructor takes."""
    import gymnasium as gym

    entry = registry.find_env(env_id).entry_point
    creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    return inspect.signature(creator).parameters  # type: ignore[arg-type]


def _check_drawing(args: argparse.Namespace) -> None:
    """Draws one picture, rather than find out after the training that it can't be done.

    Raises:
        ZooError: The world cannot be drawn here.
    """
    import gymnasium as gym

    spec = registry.find_env(args.env)
    if "rgb_array" not in _render_modes(spec):
        return
    try:
        kwargs = args.env_kwargs or {}
        env = gym.make(spec, render_mode="rgb_array", disable_env_checker=True, **kwargs)
    except Exception:  # training says what is wrong with it
        return
    try:
        env.reset()
        env.render()
    except Exception as error:  # of somebody's world, or of OpenGL
        message = f"the demo can't be drawn ({reason(error)}); --sim-duration 0 leaves it out"
        raise ZooError(message) from error
    finally:
        env.close()


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
    if not args.sim_duration:
        return
    spec = registry.find_env(args.env)
    path = run.folder / "demo.mp4"
    if "seconds" in _arguments(args.env):  # no time limit of its own cuts it
        args.env_kwargs = {**(args.env_kwargs or {}), "seconds": args.sim_duration}
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
