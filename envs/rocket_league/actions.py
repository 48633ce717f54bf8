"""What a car can be told: tables of controls to choose from, or the controls themselves.

Controls are throttle, steer, pitch, yaw and roll, in -1 to 1, then jump, boost and handbrake, which
are pressed above 0.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from rlgym.rocket_league.action_parsers import LookupTableAction

N_CONTROLS = 8


def lookup_table() -> NDArray[np.float64]:
    """RLGym's table: all that players do on the ground and in the air, `[90, 8]`."""
    return LookupTableAction.make_lookup_table().astype(float)


def ground_table() -> NDArray[np.float64]:
    """Driving without jumps: throttle and steering, with boost or handbrake, `[16, 8]`."""
    rows = [
        (throttle, steer, 0, steer, 0, 0, boost, handbrake)
        for throttle in (-1, 0, 1)
        for steer in (-1, 0, 1)
        for boost, handbrake in ((0, 0), (1, 0), (0, 1))
        if not boost or throttle == 1
        if not handbrake or (steer and throttle)
    ]
    return np.array(rows, float)


TABLES = {"lookup": lookup_table, "ground": ground_table}


class Controls:
    """A row's action as controls.

    Args:
        asked: "lookup", "ground", "continuous" (the controls themselves), a table `[n, 8]`, or
            `"module:name"` of a table or of a function that makes one.

    Attributes:
        space: Of one row's actions.

    Raises:
        ValueError: It's none of these.
    """

    def __init__(self, asked: Any) -> None:
        self.table = None if isinstance(asked, str) and asked == "continuous" else _table(asked)
        if self.table is None:
            self.space: spaces.Space = spaces.Box(-1.0, 1.0, (N_CONTROLS,), np.float32)
        else:
            self.space = spaces.Discrete(len(self.table))

    def of(self, actions: Any, n_rows: int) -> NDArray[np.float64]:
        """The controls of rows, `[n_rows, 8]`.

        Raises:
            ValueError: The actions don't fit.
        """
        if self.table is None:
            controls = np.asarray(actions, np.float64)
            if controls.shape != (n_rows, N_CONTROLS) or not np.isfinite(controls).all():
                raise ValueError(
                    f"actions must be {n_rows} x {N_CONTROLS} finite controls, got shape "
                    f"{controls.shape}"
                )
            return np.clip(controls, -1.0, 1.0)
        chosen = np.asarray(actions)
        is_integer = chosen.dtype.kind in "iu" and chosen.size == n_rows
        if not is_integer or chosen.min() < 0 or chosen.max() >= len(self.table):
            raise ValueError(
                f"actions must be {n_rows} integers from 0 to {len(self.table) - 1}, got {chosen!r}"
            )
        return self.table[chosen.reshape(n_rows)]


def _table(asked: Any) -> NDArray[np.float64]:
    if isinstance(asked, str) and asked in TABLES:
        return TABLES[asked]()
    if isinstance(asked, str) and ":" in asked:
        module, name = asked.split(":", 1)
        try:
            asked = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"actions: there's no {module}:{name} ({error})") from error
    if callable(asked):
        asked = asked()
    table = np.array(asked, float) if not isinstance(asked, str) else np.empty(0)
    if table.ndim != 2 or table.shape[1] != N_CONTROLS or not len(table):
        names = ", ".join(map(repr, (*TABLES, "continuous")))
        raise ValueError(
            f"actions must be {names}, a table [n, {N_CONTROLS}] or 'module:name' of one, not "
            f"{asked!r}"
        )
    return table
