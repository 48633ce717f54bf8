"""Watching matches: pictures from above, or RLViser's in 3D."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import TICKS_PER_SECOND

from envs.rocket_league.matches import Matches

_TRAIL_SECONDS = 1.5


class Picture(NamedTuple):
    """What is drawn of a match; lengths in uu.

    Attributes:
        teams: Of each car that is there, `[n]`.
        cars: Positions, `[n, 3]`.
        axes: Forward, right and up, `[n, 3, 3]`.
        boost: Percent, `[n]`.
        demolished: `[n]`.
        ball: Position.
        trail: Where the ball was lately, the oldest first, `[k, 3]`.
        pads: Which boost pads are to be had, `[34]`.
    """

    teams: NDArray[np.int64]
    cars: NDArray[np.float32]
    axes: NDArray[np.float32]
    boost: NDArray[np.float32]
    demolished: NDArray[np.bool_]
    ball: NDArray[np.float32]
    trail: NDArray[np.float32]
    pads: NDArray[np.bool_]


class TopView:
    """Pictures from above, drawn with pygame-ce.

    Args:
        fps: Pictures a second.
    """

    def __init__(self, fps: int) -> None:
        from envs.rendering.screen import Screen

        name = "envs.rendering.rocket_league:RocketLeagueRenderer"
        self._screen = Screen(name, None, "Rocket League", fps)
        self._trails: dict[int, deque[tuple[int, Any]]] = {}

    def frame(self, matches: Matches, match: int) -> NDArray[np.uint8]:
        """A match's picture, `[height, width, 3]`."""
        return self._screen.frame(*self._picture(matches, match))

    def show(self, matches: Matches, match: int) -> None:
        """Shows a match in a window."""
        picture, caption = self._picture(matches, match)
        self._screen.show(picture, caption, (match, int(matches.elapsed[match]), caption))

    def close(self) -> None:
        """Closes the window."""
        self._screen.close()

    def _picture(self, matches: Matches, match: int) -> tuple[Picture, str]:
        scene, tick = matches.scene, int(matches.elapsed[match])
        there = scene.present[match]
        ball = scene.ball[match, 0, 0:3].copy()
        trail = self._trails.setdefault(match, deque())
        while trail and not tick - _TRAIL_SECONDS * TICKS_PER_SECOND <= trail[0][0] < tick:
            trail.popleft()
        picture = Picture(
            scene.teams[there],
            scene.positions[match, there],
            scene.axes[match, there],
            scene.boost[match, there],
            scene.demolished[match, there] > 0,
            ball,
            np.array([place for _, place in trail]).reshape(-1, 3),
            scene.pads[match, 0] > 0,
        )
        trail.append((tick, ball))
        speed = float(np.linalg.norm(scene.ball[match, 0, 7:10])) * 0.036  # cm/s in km/h
        return picture, f"{tick / TICKS_PER_SECOND:6.1f} s    ball {speed:3.0f} km/h"


class RLViserView:
    """RLViser's window, a program of its own that rlviser-py talks to.

    Args:
        fps: Steps a second.
    """

    def __init__(self, fps: int) -> None:
        try:
            from rlgym.rocket_league.rlviser import RLViserRenderer
        except ImportError as error:
            raise ImportError(
                "render_mode='rlviser' needs RLViser in the working directory and rlviser-py: "
                "pip install --no-deps 'rlviser-py==0.6.*'"
            ) from error
        self._renderer = RLViserRenderer(fps)

    def show(self, matches: Matches, match: int) -> None:
        """Shows a match as it is."""
        self._renderer.render(matches.game_state(match), {})

    def close(self) -> None:
        """Closes the window."""
        self._renderer.close()


def open_view(render_mode: str, fps: int) -> Any:
    """What draws in a render mode."""
    return RLViserView(fps) if render_mode == "rlviser" else TopView(fps)
