"""A progress bar over minibatches, on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tqdm import tqdm


class Progress:
    """Counts the minibatches of a replay on stderr.

    Args:
        model: The PPO whose updates are replayed.
        n_updates: How many.
        verbose: 0: no bar.
    """

    def __init__(self, model: Any, n_updates: int, verbose: int) -> None:
        rows = model.n_steps * model.n_envs
        total = n_updates * model.n_epochs * -(-rows // model.batch_size)
        disable = None if verbose > 0 else True  # None: unless stderr is a terminal
        self.bar = tqdm(total=total, unit="minibatch", leave=False, disable=disable)

    def step(self) -> None:
        """One more."""
        self.bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
