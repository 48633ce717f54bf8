"""Random numbers as a pure function of (seed, stream, step, row): Philox, drawn in blocks.

Word ``k`` of row ``i`` at step ``t`` is word ``t * width + k`` of the counter-based generator
Philox4x64 under the key ``(seed, stream << 32 | i)``. So the noise of a rollout is one block; a
rollout that is resumed at step t gets what the uninterrupted one would have got; row i of many
equals row i of few; and every backend is fed the same numbers.

One 64-bit word makes one number. There is no rejection, hence no word out of step.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ACTION",
    "EXPLORATION",
    "INITIAL",
    "MINIBATCH",
    "PREDICT",
    "draw",
    "generator",
    "permutation",
]

ACTION = 1
"""Stream of the actions of a rollout, indexed by vector step."""
EXPLORATION = 2
"""Stream of gSDE's exploration matrices, indexed by the vector step at which they are drawn."""
MINIBATCH = 3
"""Stream of the order of minibatches, indexed by update."""
PREDICT = 4
"""Stream of ``predict(deterministic=False)``, indexed by call."""
INITIAL = 5
"""Stream of the initial parameters."""

_WORD = 2**64 - 1
_WORDS_PER_COUNT = 4  # one value of the counter yields four words


def draw(
    kind: str,
    seed: int,
    stream: int,
    first_step: int,
    n_steps: int,
    n_rows: int,
    shape: tuple[int, ...],
    dtype: type | np.dtype = np.float32,
) -> NDArray:
    """The noise of ``n_steps`` consecutive steps of ``n_rows`` rows.

    Args:
        kind: ``"normal"``, ``"gumbel"`` or ``"logistic"``; see :func:`_transform`.
        seed: Any Python integer, taken modulo 2**64.
        stream: One of this module's constants.
        first_step: Index of the first step since the stream began.
        n_steps: How many steps.
        n_rows: How many rows.
        shape: Of one row's noise at one step.
        dtype: Of the result.

    Returns:
        ``[n_steps, n_rows, *shape]``.
    """
    width = int(np.prod(shape, dtype=np.int64))
    raw = np.empty((n_rows, n_steps * width), np.uint64)
    for row in range(n_rows):
        raw[row] = _words(seed, stream << 32 | row, first_step * width, n_steps * width)
    noise = _transform(kind, raw).astype(dtype, copy=False).reshape(n_rows, n_steps, *shape)
    return np.ascontiguousarray(noise.swapaxes(0, 1))


def generator(seed: int, stream: int, counter: int = 0) -> np.random.Generator:
    """A generator of its own for what is drawn once, such as initial parameters."""
    key = np.array([seed & _WORD, stream << 32], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def permutation(seed: int, update: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order in which epoch ``epoch`` of update ``update`` visits ``n`` transitions."""
    key = np.array([seed & _WORD, MINIBATCH << 32], np.uint64)
    counter = np.array([0, 0, epoch, update], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter)).permutation(n)


def _words(seed: int, stream: int, first: int, count: int) -> NDArray[np.uint64]:
    """Words ``first`` to ``first + count`` of the generator under (seed, stream)."""
    skip = first % _WORDS_PER_COUNT
    key = np.array([seed & _WORD, stream], np.uint64)
    counter = np.array([first // _WORDS_PER_COUNT, 0, 0, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(skip + count)[skip:]


def _uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """32 bits as the middles of 2**32 equal parts of (0, 1): never 0, never 1."""
    return (bits.astype(np.float64) + 0.5) * 2.0**-32


def _transform(kind: str, raw: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words to numbers, with u and v the uniforms in a word's upper and lower half.

    * ``normal``: ``sqrt(-2 log u) cos(2 pi v)`` (Box and Muller), |z| < 6.8
    * ``gumbel``: ``-log(-log u)``; ``argmax(logits + gumbel)`` is a categorical sample
    * ``logistic``: ``log(u / (1 - u))``; ``logit + logistic > 0`` is a Bernoulli sample
    """
    u = _uniform(raw >> np.uint64(32))
    if kind == "normal":
        v = _uniform(raw & np.uint64(0xFFFFFFFF))
        return np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v)
    if kind == "gumbel":
        return -np.log(-np.log(u))
    if kind == "logistic":
        return np.log(u) - np.log1p(-u)
    raise ValueError(f"unknown noise {kind!r}: choose normal, gumbel or logistic")
