"""Video files, with the command line's errors."""

from __future__ import annotations

import argparse
from pathlib import Path

from callbacks.video import VideoFile, has_display
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.runs import env_name

__all__ = ["default_video", "has_display", "video_file"]


def video_file(path: Path, fps: float) -> VideoFile:
    """A video to write to.

    Raises:
        ZooError: If the ending is not .mp4 or .gif, or the folder cannot be written.
    """
    try:
        return VideoFile(path, fps)
    except (ValueError, OSError) as error:
        text = reason(error)
        raise ZooError(
            text if text.startswith("video ") else f"video {str(path)!r}: {text}"
        ) from None


def default_video(args: argparse.Namespace, model: Path, name: str) -> Path:
    """Where a video goes that nobody named: beside the model, or where one is for its agents."""
    if args.pretrained is not None:  # that model lies in the installation
        return Path("videos") / f"{env_name(args.env)}_{name}.mp4"
    return model.parent / "videos" / f"{name}.mp4"
