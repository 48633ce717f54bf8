"""Watching an agent play: in a window, in a video where there is no display, or in figures."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.zoo import registry
from sb3_ext.zoo.at_play import AtPlay, at_play
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.model_choice import find_model
from sb3_ext.zoo.model_files import ONNX
from sb3_ext.zoo.video import default_video, has_display, video_file


def enjoy(args: argparse.Namespace) -> int:
    """Plays a trained agent (``zoo.py enjoy``).

    Returns:
        The process's exit code.
    """
    if args.n_timesteps < 1 or args.n_envs < 1:
        raise ZooError("-n/--n-timesteps and --n-envs must be at least 1")
    if args.stochastic and str(args.model).endswith(ONNX):
        raise ZooError("--stochastic: an .onnx file holds the most likely action alone")
    registry.import_packages(args.gym_packages)
    spec = registry.find_env(args.env)
    choice = find_model(args, spec)
    video = _video_path(args, choice.path)
    mode = None if args.no_render and video is None else "rgb_array" if video else "human"
    if mode == "human" and args.n_envs > 1:
        raise ZooError("a window shows one row: use --n-envs 1, --no-render or --video FILE")
    with at_play(args, spec, choice, mode, args.n_envs) as playing:
        if args.norm_reward:
            _normalize_rewards(playing.env)
        if args.reward_log:
            _log_rewards(playing.env, Path(args.reward_log))
        if args.verbose > 0:
            print(f"playing {playing.told}")
        returns, lengths = play(playing, args, video)
    if args.verbose > 0 and returns:
        print(f"{len(returns)} episodes")
        print(f"mean return: {np.mean(returns):.2f} ± {np.std(returns):.2f}")
        print(f"mean length: {np.mean(lengths):.1f} ± {np.std(lengths):.1f}")
    return 0


def play(
    playing: AtPlay, args: argparse.Namespace, video: Path | None
) -> tuple[list[float], list[int]]:
    """Plays so many steps and prints each episode's return.

    Returns:
        Returns and lengths of the episodes that ended.
    """
    model, env = playing.model, playing.env
    deterministic = not args.stochastic and (args.deterministic or playing.deterministic)
    returns: list[float] = []
    lengths: list[int] = []
    state = None
    starts = np.ones(env.num_envs, dtype=bool)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        file = stack.enter_context(video_file(video, playing.fps)) if video else None
        if video:
            stack.callback(lambda: print(f"video: {video}"))
        observation: Any = env.reset()
        for _ in tqdm(range(args.n_timesteps), disable=not args.progress):
            if file is not None:  # in a window, worlds draw themselves as they step
                # Before the step: after an episode's last one its rows show the next.
                frame = env.render("rgb_array")
                assert frame is not None
                file.add(frame)
            action, state = model.predict(
                observation,
                state=state,
                episode_start=starts,
                deterministic=deterministic,
            )
            observation, _, starts, infos = env.step(action)
            for info in infos:
                if "episode" in info:
                    returns.append(float(info["episode"]["r"]))
                    lengths.append(int(info["episode"]["l"]))
                    if args.verbose > 0:
                        print(
                            f"episode {len(returns)}: return {returns[-1]:.2f}, "
                            f"length {lengths[-1]}",
                            flush=True,
                        )
    return returns, lengths


def _video_path(args: argparse.Namespace, model: Path) -> Path | None:
    if args.video is not None:
        return Path(args.video)
    if args.no_render or has_display():
        return None
    path = default_video(args, model, model.stem)
    print(f"no display to open a window on: recording {path} instead (--no-render for none)")
    return path


def _normalize_rewards(env: VecEnv) -> None:
    from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_wrapper

    normalizer = unwrap_vec_wrapper(env, VecNormalize)
    if isinstance(normalizer, VecNormalize):
        normalizer.norm_reward = True


def _log_rewards(env: VecEnv, folder: Path) -> None:
    inner: Any = env
    while not isinstance(inner, EpisodeLog):
        inner = inner.venv
    try:
        inner.open(folder / "monitor.csv")
    except OSError as error:
        raise ZooError(f"--reward-log {folder}: {error.strerror or error}") from error
