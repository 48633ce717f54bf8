"""Where the song is, between two states and behind their delays."""

from __future__ import annotations

import math
from collections import deque

_WINDOW = 3.0  # s of states that are looked back on
_JUMP = 200.0  # ms by which a song that only plays on is never off
_STANDING = 0.3  # s without progress after which a song stands


class SongTime:
    """Follows a song's time by what states said of it.

    A state is late by as long as its server took, so that of several the one that puts the song
    furthest ahead is the one to believe. A song that begins anew, is sought in or paused is
    followed from there.
    """

    def __init__(self) -> None:
        self._offsets: deque[tuple[float, float]] = deque()  # when, and song time less real time
        self._rate = 1.0
        self._newest: float | None = None
        self._risen = -math.inf  # when the song's time rose for the last time
        self._seen = -math.inf

    def update(self, time: float, rate: float, received: float) -> None:
        """Takes a state.

        Args:
            time: The song's, ms.
            rate: Song time over real time.
            received: When it came, s.
        """
        offset = time - 1000.0 * rate * received
        jumped = self._offsets and abs(offset - self._best()) > _JUMP * rate
        standing = received - self._risen > _STANDING  # till now
        if rate != self._rate or jumped or standing:
            self._offsets.clear()
        self._rate = rate
        self._offsets.append((received, offset))
        while received - self._offsets[0][0] > _WINDOW:
            self._offsets.popleft()
        if self._newest is None or time != self._newest:
            self._risen = received
        self._newest, self._seen = time, received

    def at(self, now: float) -> float:
        """The song's time at a moment, ms; not a number before there was a state."""
        if self._newest is None:
            return math.nan
        if self._seen - self._risen > _STANDING:
            return self._newest
        return self._best() + 1000.0 * self._rate * now

    def stands_for(self, now: float) -> float:
        """For how long the song's time hasn't changed, s."""
        return now - self._risen

    def _best(self) -> float:
        return max(offset for _, offset in self._offsets)
