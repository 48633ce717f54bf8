"""Frames into a video file, one at a time: an hour of play needs no more memory than a second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

# One palette for the whole picture, made of the colors that occur.
_TO_GIF = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none"


class VideoFile:
    """Writes frames to an ``.mp4`` or ``.gif``; the file appears, whole, when the last one is in.

    Args:
        path: Where to; its folder is made.
        fps: Frames per second.

    Raises:
        ValueError: The ending is neither .mp4 nor .gif.
        OSError: The folder can't be written.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in (".mp4", ".gif"):
            raise ValueError(f"video {str(path)!r}: only .mp4 and .gif can be written")
        self.fps = fps
        self.frames = 0
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.mp4")
        self._writer: Any = None
        self._size = (0, 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, frame: np.ndarray) -> None:
        """Appends a frame, ``[height, width, 3]`` uint8; all must be of one size."""
        height, width = frame.shape[:2]
        if self._writer is None:
            from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

            self._size = (width, height)
            self._writer = FFMPEG_VideoWriter(str(self._temporary), self._size, self.fps)
        if (width, height) != self._size:
            raise ValueError(f"a frame of {width}x{height} in a video of {self._size}")
        self._writer.write_frame(np.ascontiguousarray(frame))
        self.frames += 1

    def close(self, keep: bool = True) -> None:
        """Puts the file in its place; with ``keep=False``, or without a frame, there is none."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        try:
            if keep and self.path.suffix.lower() == ".gif":
                self._make_gif()
            elif keep:
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _make_gif(self) -> None:
        from imageio_ffmpeg import get_ffmpeg_exe

        made = self._temporary.with_suffix(".gif")
        source = str(self._temporary)
        command = [get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", source, "-vf", _TO_GIF]
        try:
            subprocess.run([*command, str(made)], check=True, stdin=subprocess.DEVNULL)
            os.replace(made, self.path)
        finally:
            made.unlink(missing_ok=True)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(keep=error is None or isinstance(error, KeyboardInterrupt))


def has_display() -> bool:
    """Whether a window could be opened: there is a display server, and it answers."""
    if os.environ.get("SDL_VIDEODRIVER") in ("dummy", "offscreen"):
        return False
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            return False
        import pygame

        if pygame.display.get_init():  # somebody's window is open
            return pygame.display.get_driver() in ("x11", "wayland")
        try:
            pygame.display.init()
            return pygame.display.get_driver() in ("x11", "wayland")
        except pygame.error:
            return False
        finally:
            pygame.display.quit()
    return True
