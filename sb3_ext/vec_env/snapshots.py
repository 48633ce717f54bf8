"""The episodes that are under way in a VecEnv, so that a training can go on within them.

An env that can tell them has ``snapshot()``, which returns something that pickles, and
``restore(snapshot)``, which goes on exactly there: our functional worlds do. stable-baselines3's
and Gymnasium's own wrappers around it are known here. Where anything else stands between, there is
no snapshot: a training that goes on begins with fresh episodes.
"""

from __future__ import annotations

from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.vec_env.episodes import Snapshot, TellsEpisodes, layers_of, name_of, set_layers
from sb3_ext.vec_env.rows import RowVecNormalize

__all__ = ["Snapshot", "TellsEpisodes", "restore", "snapshot"]

# What wrappers remember of the episode under way, by exactly their class: a derived one may
# remember more. VecNormalize's statistics outlive episodes and are not here; EpisodeLog's file
# neither.
_VEC_WRAPPERS: dict[str, tuple[str, ...]] = {
    name_of(EpisodeLog): (),
    name_of(VecFrameStack): ("stacked_obs",),
    name_of(VecMonitor): ("episode_count", "episode_lengths", "episode_returns"),
    name_of(VecNormalize): ("returns",),
    name_of(RowVecNormalize): ("returns",),
    name_of(VecTransposeImage): (),
}


def snapshot(env: VecEnv) -> Snapshot | None:
    """The episodes under way in every row, or None if something between can't tell."""
    layers, base = layers_of(env, "venv", _VEC_WRAPPERS)
    if layers is None:
        return None
    if isinstance(base, DummyVecEnv | SubprocVecEnv):
        if not base.has_attr("snapshot_episode"):
            return None
        rows = base.env_method("snapshot_episode")
        return None if None in rows else Snapshot(layers, rows)
    told = base.snapshot() if hasattr(base, "snapshot") else None
    return None if told is None else Snapshot(layers, told)


def restore(env: VecEnv, taken: Snapshot) -> None:
    """Goes on within the episodes of a snapshot, in an env that is built alike."""
    _, base = layers_of(env, "venv", _VEC_WRAPPERS)
    set_layers(env, "venv", taken.layers)
    if isinstance(base, DummyVecEnv | SubprocVecEnv):
        for row, told in enumerate(taken.base):
            base.env_method("restore_episode", told, indices=row)
    else:
        base.restore(taken.base)
