"""Videos of an agent, or of how it learned: one episode after the other from its checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.vec_env import VecEnv

from callbacks.video import VideoFile
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.at_play import at_play
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.model_choice import Choice, find_model
from sb3_ext.zoo.trajectories import collect
from sb3_ext.zoo.video import default_video, video_file


def record(args: argparse.Namespace) -> int:
    """Records a video (``zoo.py record``).

    Returns:
        The process's exit code.
    """
    for flag in ("n_timesteps", "episodes"):
        if getattr(args, flag) < 1:
            raise ZooError(f"--{flag.replace('_', '-')} must be at least 1")
    registry.import_packages(args.gym_packages)
    spec = registry.find_env(args.env)
    models = _models(args, spec)
    path = Path(args.output) if args.output else _default_path(args, models[0].path)
    file: VideoFile | None = None
    try:
        for model in models:
            file = _play(args, spec, model, path, file, captioned=len(models) > 1)
    except BaseException:
        if file is not None:
            file.close(keep=False)
        raise
    assert file is not None
    file.close()
    if args.verbose > 0:
        print(f"video: {path} ({file.frames} frames)")
    return 0


def _models(args: argparse.Namespace, spec: EnvSpec) -> list[Choice]:
    """The agent's file, or all of a training's in order."""
    if not args.training:
        return [find_model(args, spec)]
    if args.model is not None or args.pretrained is not None:
        other = "--model" if args.model is not None else "--pretrained"
        raise ZooError(f"--training shows a run's checkpoints: it can't go with {other}")
    run = runs.find_run(Path(args.folder), args.algo, spec.id, args.exp_id)
    models = list(run.checkpoints().values())
    if run.model.is_file():
        models.append(run.model)
    if not models:
        raise ZooError(f"{run.folder} has no checkpoint and no model to record")
    return [Choice(model, is_of_a_run=args.exp_id != -1) for model in models]


def _default_path(args: argparse.Namespace, first: Path) -> Path:
    return default_video(args, first, "training" if args.training else first.stem)


def _play(
    args: argparse.Namespace,
    spec: EnvSpec,
    choice: Choice,
    video: Path,
    file: VideoFile | None,
    captioned: bool,
) -> VideoFile:
    with at_play(args, spec, choice, "rgb_array") as playing:
        opened = file if file is not None else video_file(video, playing.fps)
        caption = _caption(choice.path) if captioned else ""

        def add(env: VecEnv) -> None:
            frame: Any = env.render("rgb_array")
            if frame is None:
                raise ZooError(f"{spec.id} draws no pictures (render_mode='rgb_array')")
            opened.add(with_caption(frame, caption) if caption else frame)

        found = collect(
            playing.model,
            playing.env,
            args.episodes,
            playing.deterministic and not args.stochastic,
            add,
            max_steps=args.n_timesteps,
        )
        if args.verbose > 0:
            returns = found["returns"]
            told = f"return {returns.mean():.2f}" if len(returns) else "no episode ended"
            print(f"{choice.path.name}: {told}, {len(found['rewards'])} steps", flush=True)
    return opened


def _caption(model: Path) -> str:
    match = runs.CHECKPOINT.fullmatch(model.name)
    return f"{int(match[1]):,} steps" if match else "final"


def with_caption(frame: np.ndarray, text: str) -> np.ndarray:
    """A frame with a line of text in its upper right corner."""
    frame = np.ascontiguousarray(frame).copy()
    scale = max(0.5, frame.shape[0] / 700)
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(scale * 1.5))
    (width, height), base = cv2.getTextSize(text, font, scale, thick)
    left, top = frame.shape[1] - width - 14, 8
    cv2.rectangle(frame, (left - 6, top), (left + width + 6, top + height + base + 6), (0,) * 3, -1)
    cv2.putText(frame, text, (left, top + height + 3), font, scale, (255,) * 3, thick, cv2.LINE_AA)
    return frame
