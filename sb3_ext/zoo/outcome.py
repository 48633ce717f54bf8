"""How a training went: finished, interrupted or failed, and whether there is anything to keep."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.zoo.interruption import Interruption


@dataclass
class Outcome:
    """Why a training broke off, if it did.

    Attributes:
        interrupted: By a signal.
        error: The first exception.
    """

    interrupted: bool = False
    error: BaseException | None = None

    @property
    def broke_off(self) -> bool:
        """Whether the training did not come to its end."""
        return self.interrupted or self.error is not None

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of the work after whose failure the rest is still done."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True
        except (Exception, SystemExit) as error:  # a world or a callback may try to exit
            self.error = self.error or error

    def write_error(self, path: Path) -> str:
        """Writes the traceback; says where it is."""
        assert self.error is not None
        try:
            path.write_text("".join(traceback.format_exception(self.error)), encoding="utf-8")
        except OSError:
            return "its traceback could not be written"
        return f"the traceback is in {path}"


class Watch(BaseCallback):
    """Sees how far a training has come; stops one whose interruption got lost.

    A KeyboardInterrupt that is raised in a destructor, or in somebody's ``except:``, ends there.

    Args:
        interruption: The process's signals.
        when_it_works: Called once the first update is through.
    """

    def __init__(self, interruption: Interruption, when_it_works: Callable[[], None]) -> None:
        super().__init__()
        self._interruption = interruption
        self._when_it_works = when_it_works
        self._first_step = self._first_update = 0
        self._updating = self._has_learned = False

    @property
    def steps(self) -> int:
        """Steps of this training, all rows counted."""
        return self.num_timesteps - self._first_step

    @property
    def works(self) -> bool:
        """Whether steps were taken, and the first update, if it was begun, is through.

        Hyperparameters that no update can work with show in the first one.
        """
        return self.steps > 0 and (self._has_learned or not self._updating)

    def _on_training_start(self) -> None:
        self._first_step, self._first_update = self.num_timesteps, self.model._n_updates

    def _on_rollout_start(self) -> None:
        self._updating = False
        if not self._has_learned and self.model._n_updates > self._first_update:
            self._has_learned = True
            self._when_it_works()

    def _on_rollout_end(self) -> None:
        self._updating = True

    def _on_training_end(self) -> None:
        self._updating = False

    def _on_step(self) -> bool:
        return not self._interruption.received
