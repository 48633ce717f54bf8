"""The random numbers of the worlds: a pure function of (seed, stream, index, row).

Uniforms in [0, 1), float32, from NumPy's own counter-based generator Philox4x64. The `width`
numbers of row `row` at index `index` are

    key = [seed + row, stream]
    counter = [index * blocks, 0, 0, 0]        blocks = ceil(width / 8)
    Generator(Philox(key=key, counter=counter)).random(width, dtype=float32)

because one counter block holds four 64-bit words, and so eight float32. Row i of a vector
environment seeded s thus draws what a single environment seeded s + i draws, as in Gymnasium's
SyncVectorEnv and stable-baselines3's DummyVecEnv; and consecutive indices are one longer draw,
which is what makes them cheap to draw ahead. Seeds are taken modulo 2**64.

There are two streams. RESET is indexed by the episodes that the row has begun since it was seeded
(the seeded reset takes index 0), STEP by the steps that it has taken since it was seeded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESET = 0
"""Stream of the first states, indexed by episode."""

STEP = 1
"""Stream of the transitions, indexed by step."""

_PER_BLOCK = 8  # float32 numbers in one counter block
_EPISODES_AHEAD = 32
_STEPS_AHEAD = 64
_WORD = 2**64 - 1

Floats = NDArray[np.float32]


class Philox:
    """One Philox generator that is re-keyed for every draw.

    Assigning a bit generator's state costs a tenth of constructing one.
    """

    def __init__(self) -> None:
        self._generator = np.random.Generator(np.random.Philox())
        self._key = np.zeros(2, np.uint64)
        self._counter = np.zeros(4, np.uint64)
        self._state = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": self._key},
            "buffer": np.zeros(4, np.uint64),
            "buffer_pos": 4,  # nothing buffered: the next number starts a block
            "has_uint32": 0,
            "uinteger": 0,
        }

    def uniforms(self, seed: int, stream: int, first: int, count: int, width: int) -> Floats:
        """Draws the numbers of `count` consecutive indices.

        Args:
            seed: The row's own seed, `seed + row`.
            stream: RESET or STEP.
            first: The first index.
            count: How many indices.
            width: Numbers per index.

        Returns:
            Uniforms in [0, 1), `[count, width]`; row k belongs to index `first + k`.
        """
        blocks = -(-width // _PER_BLOCK)
        self._key[0] = seed & _WORD
        self._key[1] = stream
        self._counter[0] = first * blocks
        self._generator.bit_generator.state = self._state
        drawn = self._generator.random((count, blocks * _PER_BLOCK), dtype=np.float32)
        return drawn[:, :width]


class ResetNoise:
    """Each row's numbers for its next episode, drawn some episodes ahead.

    Args:
        n_rows: How many rows.
        width: Numbers per episode.
    """

    def __init__(self, n_rows: int, width: int) -> None:
        self._philox = Philox()
        self._seeds = [0] * n_rows
        self._first = np.zeros(n_rows, np.int64)  # episode at the cache's start
        self._position = np.zeros(n_rows, np.int64)
        self._cache = np.empty((n_rows, _EPISODES_AHEAD, width), np.float32)
        self._upcoming = np.empty((width, n_rows), np.float32).T

    @property
    def upcoming(self) -> Floats:
        """Uniforms of each row's next episode, `[n_rows, width]` in Fortran order.

        It's this object's own memory: `advance` writes into it.
        """
        return self._upcoming

    def seed(self, row: int, seed: int) -> None:
        """Starts a row's stream anew at episode 0."""
        self._seeds[row] = seed
        self._first[row] = 0
        self._fill(row)
        self._upcoming[row] = self._cache[row, 0]

    def places(self) -> list[tuple[int, int]]:
        """Each row's seed, and the episode whose numbers are its next ones."""
        episodes = (self._first + self._position).tolist()
        return list(zip(self._seeds, episodes, strict=True))

    def place(self, places: list[tuple[int, int]]) -> None:
        """Puts every row where :meth:`places` found it."""
        for row, (seed, episode) in enumerate(places):
            self._seeds[row] = seed
            self._first[row] = episode
            self._fill(row)
            self._upcoming[row] = self._cache[row, 0]

    def advance(self, rows: NDArray[np.intp]) -> None:
        """Moves some rows, given by their indices `[k]`, on to their next episode."""
        self._position[rows] += 1
        for row in rows[self._position[rows] == _EPISODES_AHEAD].tolist():
            self._first[row] += _EPISODES_AHEAD
            self._fill(row)
        self._upcoming[rows] = self._cache[rows, self._position[rows]]

    def ahead(self, count: int) -> Floats:
        """Uniforms of each row's next `count` episodes, `[n_rows, count, width]`; moves nothing."""
        width = self._cache.shape[-1]
        found = np.empty((len(self._seeds), count, width), np.float32)
        for row, seed in enumerate(self._seeds):
            position = self._position[row]
            if position + count <= _EPISODES_AHEAD:
                found[row] = self._cache[row, position : position + count]
            else:
                first = int(self._first[row] + position)
                found[row] = self._philox.uniforms(seed, RESET, first, count, width)
        return found

    def _fill(self, row: int) -> None:
        width = self._cache.shape[-1]
        self._cache[row] = self._philox.uniforms(
            self._seeds[row], RESET, int(self._first[row]), _EPISODES_AHEAD, width
        )
        self._position[row] = 0


class StepNoise:
    """All rows' numbers for the next step, drawn some steps ahead.

    Rows step together, so the cache has one position for all of them; rows that were seeded at
    different times differ in the step at which their own count began.

    Args:
        n_rows: How many rows.
        width: Numbers per step; 0 draws nothing.
    """

    def __init__(self, n_rows: int, width: int) -> None:
        self._philox = Philox()
        self._width = width
        self._seeds = [0] * n_rows
        self._position = 0  # within the cache
        self._first = [0] * n_rows  # each row's own step at the cache's start; below 0: not seeded
        # [step, number, row]: a step's slice, transposed, is [n_rows, width] in Fortran order.
        self._cache = np.empty((_STEPS_AHEAD if width else 1, width, n_rows), np.float32)

    def seed(self, row: int, seed: int) -> None:
        """Starts a row's stream anew at step 0."""
        if self._width:
            self._seeds[row] = seed
            self._first[row] = -self._position
            self._fill(row, self._position)

    def places(self) -> list[tuple[int, int]]:
        """Each row's seed, and the step whose numbers are its next ones."""
        return [
            (s, first + self._position) for s, first in zip(self._seeds, self._first, strict=True)
        ]

    def place(self, places: list[tuple[int, int]]) -> None:
        """Puts every row where :meth:`places` found it."""
        self._position = 0
        self._seeds = [seed for seed, _ in places]
        self._first = [step for _, step in places]
        if self._width:
            self._cache = np.empty_like(self._cache)  # a caller may hold the last step's slice
            for row in range(len(places)):
                self._fill(row, 0)

    def take(self) -> Floats:
        """This step's uniforms, `[n_rows, width]` in Fortran order, and moves on to the next."""
        if not self._width:
            return self._cache[0].T
        if self._position == _STEPS_AHEAD:
            self._position = 0
            # A new array, because a caller may still hold the last step's slice.
            self._cache = np.empty_like(self._cache)
            for row in range(len(self._seeds)):
                self._first[row] += _STEPS_AHEAD
                self._fill(row, 0)
        noise = self._cache[self._position].T
        self._position += 1
        return noise

    def _fill(self, row: int, start: int) -> None:
        """Draws a row's numbers from the cache's position `start` to its end."""
        self._cache[start:, :, row] = self._philox.uniforms(
            self._seeds[row],
            STEP,
            self._first[row] + start,
            _STEPS_AHEAD - start,
            self._width,
        )
