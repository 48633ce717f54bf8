"""What an agent sees of its plays as numbers; `highway` has it as pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.play import DROPPED, HEAD_MISSED, HOLDING, Floats, Play

NEAR = 50.0
FAR_AWAY = 300.0
"""Scales s of the features t / (|t| + s) of a time t, ms."""

FLAGS = 3
"""Per column: its key is down, a hold is held, the hold can't be judged better than a 50."""


def compact_size(keys: int, lookahead: int) -> int:
    """How many features `compact` has."""
    return keys * (4 * lookahead + FLAGS)


def compact(
    object_times: Floats,
    play: Play,
    rate: float,
    lookahead: int,
    times: Floats,
    keys: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Times to the next objects, and what the keys do.

    The features of a row are blocks, each of them column by column: times near, times far, then
    key, holding, broken. A column's times are the start and the end of each of `lookahead` objects,
    the next one first; a note ends as it starts. A time t in ms of real time is shown as
    t / (|t| + 50) for near and t / (|t| + 300) for far.

    Args:
        object_times: The objects' starts and ends, `[m, 2]`.
        play: n rows.
        rate: Song time over real time.
        lookahead: Objects per column.
        times: The song's time that is shown, ms, `[n]`.
        keys: The keys that the player holds, `[n, K]`.

    Returns:
        `[n, keys * (4 * lookahead + 3)]` in [-1, 1].
    """
    n_rows, n_keys = play.next.shape
    block = 2 * n_keys * lookahead
    out = np.empty((n_rows, compact_size(n_keys, lookahead)), np.float32)
    index = (2 * play.next[:, :, None] + np.arange(2 * lookahead)).reshape(n_rows, block)
    exact = object_times.ravel().take(index)
    exact -= times[:, None]
    exact *= 1.0 / rate
    away = exact.astype(np.float32)
    size = np.abs(away)
    np.divide(away, size + np.float32(NEAR), out=out[:, :block])
    size += np.float32(FAR_AWAY)
    np.divide(away, size, out=out[:, block : 2 * block])
    flags = out[:, 2 * block :]
    flags[:, :n_keys] = keys
    flags[:, n_keys : 2 * n_keys] = play.lanes[HOLDING]
    flags[:, 2 * n_keys :] = np.maximum(play.lanes[HEAD_MISSED], play.lanes[DROPPED])
    return out
