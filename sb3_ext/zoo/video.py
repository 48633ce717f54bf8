"""Frames into a video file, one at a time: an hour of play needs no more memory than a second."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from sb3_ext.zoo.errors import ZooError


class VideoFile:
    """Writes frames to an ``.mp4``; the file appears, whole, when the last frame is in.

    Args:
        path: Where to.
        fps: Frames per second.

    Raises:
        ZooError: If the ending is not .mp4, or the folder cannot be written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() != ".mp4":
            raise ZooError(f"video {str(path)!r}: only .mp4 can be written")
        self.path = path
        self.fps = fps
        self.frames = 0
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
        self._writer: Any = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(f"video {str(path)!r}: {error.strerror}") from error

    def add(self, frame: np.ndarray) -> None:
        """Appends a frame, ``[height, width, 3]`` uint8."""
        if self._writer is None:
            from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

            height, width = frame.shape[:2]
            self._writer = FFMPEG_VideoWriter(str(self._temporary), (width, height), self.fps)
        self._writer.write_frame(frame)
        self.frames += 1

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is None:
            return
        self._writer.close()
        if error is None or isinstance(error, KeyboardInterrupt):
            os.replace(self._temporary, self.path)
        else:
            self._temporary.unlink(missing_ok=True)


def has_display() -> bool:
    """Whether a window could be opened: there is a display server, and it answers."""
    if os.environ.get("SDL_VIDEODRIVER") in ("dummy", "offscreen"):
        return False
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return False
        import pygame

        try:
            pygame.display.init()
            return pygame.display.get_driver() in ("x11", "wayland")
        except pygame.error:
            return False
        finally:
            pygame.display.quit()
    return True
