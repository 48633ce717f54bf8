"""A song's clock and its click track."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.beatmap import Beatmap

SAMPLE_RATE = 44_100
"""Of the click track, Hz."""

_CLICK = 30.0  # ms
_PITCHES = (880.0, 1320.0)  # Hz, of notes and of holds


class SongClock:
    """The time of a song that plays, ms. Real times are seconds of any clock that runs evenly.

    Args:
        start: The song's time at the beginning, ms.
        rate: Song time over real time.
        now: Real time of the beginning, s.
    """

    def __init__(self, start: float, rate: float, now: float) -> None:
        self._song, self._real, self._rate = start, now, rate
        self.paused = False

    def time(self, now: float) -> float:
        """The song's time at a real time, ms."""
        if self.paused:
            return self._song
        return self._song + 1000.0 * self._rate * (now - self._real)

    def toggle_pause(self, now: float) -> None:
        """Holds the song, or lets it go on."""
        self._song, self._real = self.time(now), now
        self.paused = not self.paused


def click_track(beatmap: Beatmap, start: float, rate: float) -> NDArray[np.int16]:
    """A click for each time at which something is to be pressed, and silence between.

    Args:
        beatmap: The map.
        start: The song's time at which the track begins, ms.
        rate: Song time over real time.

    Returns:
        Mono samples, `[n]`.
    """
    length = int(SAMPLE_RATE * _CLICK / 1000.0)
    seconds = np.arange(length) / SAMPLE_RATE
    fading = np.exp(-seconds * 150.0)
    total = (beatmap.end - start) / rate / 1000.0 + 1.0
    track = np.zeros(int(SAMPLE_RATE * total) + length, np.float64)
    for hold, pitch in enumerate(_PITCHES):
        click = np.sin(2.0 * np.pi * pitch * seconds) * fading
        times = np.unique(beatmap.starts[beatmap.holds == bool(hold)])
        for time in times[times >= start]:
            first = int(SAMPLE_RATE * (time - start) / rate / 1000.0)
            track[first : first + length] += click
    return (np.clip(track, -1.0, 1.0) * 12_000.0).astype(np.int16)
