"""What episodes came to besides their return: named numbers from their last infos, in the logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback


class ResultsCallback(BaseCallback):
    """Logs the mean of numbers in the infos with which the episodes of a rollout ended.

    Args:
        names: Keys of the infos. A number is logged as ``results/<name>``, each number of a
            dict as ``results/<name>/<key>``. A key that isn't there is passed over.

    Example:
        >>> model.learn(100_000, callback=ResultsCallback(["accuracy", "judgements"]))
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if isinstance(names, str):
            raise TypeError(f"names must be a list of keys, got the text {names!r}")
        self.names = list(names)
        self._found: dict[str, list[float]] = {}

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" not in info:
                continue
            for name in self.names:
                self._take(name, info.get(name))
        return True

    def _take(self, name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                self._take(f"{name}/{key}", part)
        elif isinstance(value, int | float | np.number | np.bool_):
            self._found.setdefault(name, []).append(float(value))

    def _on_rollout_end(self) -> None:
        for name, values in self._found.items():
            self.logger.record(f"results/{name}", float(np.mean(values)))
        self._found = {}
