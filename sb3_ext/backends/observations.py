"""From what an env says to what a network reads: one-hot vectors, images in [0, 1], float rows.

Pure NumPy (or jax.numpy): every backend hands its network the result. The rules are
stable-baselines3's, and so is the test of what counts as an image, so that one zip file means one
network.
"""

from typing import Any

import numpy as np
from gymnasium import spaces

__all__ = ["encode", "encoded_size", "is_image", "refuse_many_axes"]


def is_image(space: spaces.Space, already_normalized: bool = False) -> bool:
    """Whether a space is an image: a uint8 Box of three axes with limits 0 and 255.

    Args:
        space: Any space.
        already_normalized: Accept any Box of three axes.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return False
    if already_normalized:
        return True
    return bool(space.dtype == np.uint8 and np.all(space.low == 0) and np.all(space.high == 255))


def encoded_size(space: spaces.Space) -> int:
    """Length of an observation's row when it is flattened and, if discrete, one-hot."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        refuse_many_axes(space)
        return int(np.sum(space.nvec))
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return int(np.prod(space.shape))
    raise NotImplementedError(f"no network reads a {type(space).__name__} observation")


def refuse_many_axes(space: spaces.Space) -> None:
    """As SB3, for MultiDiscrete and MultiBinary.

    Raises:
        NotImplementedError: the space has more than one axis.
    """
    if space.shape is not None and len(space.shape) > 1:
        raise NotImplementedError(f"{space} has several axes: flatten it")


def encode(
    space: spaces.Space,
    obs: Any,
    normalize_images: bool = True,
    dtype: type | np.dtype = np.float32,
    xp: Any = np,
) -> Any:
    """Encode a batch of observations.

    Args:
        space: The observation space of one row.
        obs: ``[B, ...]``, or a dict of such for a Dict space.
        normalize_images: Divide images by 255.
        dtype: Of the result.
        xp: The array module, numpy or jax.numpy.

    Returns:
        ``[B, n]``; ``[B, C, H, W]`` for a Box of three axes; a dict of such for a Dict space.
    """
    if isinstance(space, spaces.Dict):
        return {
            key: encode(part, obs[key], normalize_images, dtype, xp)
            for key, part in space.spaces.items()
        }
    if isinstance(space, spaces.Discrete):
        return _one_hot(xp.asarray(obs).reshape(-1) - int(space.start), int(space.n), dtype)
    if isinstance(space, spaces.MultiDiscrete):
        nvec = space.nvec.reshape(-1)
        columns = xp.asarray(obs).reshape(-1, len(nvec)) - space.start.reshape(-1)
        return xp.concatenate(
            [_one_hot(columns[:, k], int(n), dtype) for k, n in enumerate(nvec)], axis=1
        )
    rows = xp.asarray(obs).astype(dtype, copy=False)
    if isinstance(space, spaces.Box) and len(space.shape) == 3:
        return rows * dtype(1 / 255) if normalize_images and is_image(space) else rows  # type: ignore[operator]
    return rows.reshape(len(rows), -1)


def _one_hot(index: Any, n: int, dtype: type | np.dtype) -> Any:
    return (index.astype(np.int32)[:, None] == np.arange(n, dtype=np.int32)).astype(dtype)
