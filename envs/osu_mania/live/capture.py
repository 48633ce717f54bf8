"""The note area of the game's window as small grey frames."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import mss
import numpy as np
from mss.exception import ScreenShotError
from numpy.typing import NDArray

from envs.osu_mania.live.desktop import Area
from envs.osu_mania.live.errors import LiveError, StoppedError


class Capture:
    """Takes pictures of a part of the screen.

    Args:
        frame_size: Height and width of the small frames, px.

    Attributes:
        notes: How mss takes them; on X11 it tells whether through shared memory.

    Raises:
        LiveError: There is no screen.
    """

    def __init__(self, frame_size: Sequence[int]) -> None:
        self._size = (int(frame_size[1]), int(frame_size[0]))
        try:
            self._screen = mss.MSS()
        except ScreenShotError as error:
            raise LiveError(f"the screen can't be captured: {error}") from error
        self._shot: NDArray[np.uint8] | None = None

    @property
    def notes(self) -> list[str]:
        """What mss has to say about how it captures."""
        return list(self._screen.performance_status)

    def frame(self, area: Area) -> NDArray[np.uint8]:
        """A grey frame of an area, made small by averaging, `[height, width]`.

        Raises:
            StoppedError: The area can't be captured.
        """
        try:
            shot = self._screen.grab(area._asdict())
        except ScreenShotError as error:
            raise StoppedError(f"the note area can't be captured: {error}") from error
        self._shot = np.asarray(shot)
        grey = cv2.cvtColor(self._shot, cv2.COLOR_BGRA2GRAY)
        small = cv2.resize(grey, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def picture(self) -> NDArray[np.uint8] | None:
        """What the last frame was made of, in color, `[height, width, 3]`; None at first."""
        if self._shot is None:
            return None
        return np.asarray(cv2.cvtColor(self._shot, cv2.COLOR_BGRA2RGB), np.uint8)

    def close(self) -> None:
        """Gives the screen back."""
        self._screen.close()
