"""Gymnasium's infos of a vector env, a dict of arrays, as one dict per row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

__all__ = ["FINAL_KEYS", "ends_of", "rows_of", "scatter"]

FINAL_KEYS = ("final_obs", "_final_obs", "final_info", "_final_info")
"""Where a vector env in autoreset mode SAME_STEP keeps what an ended episode saw last."""

# Gymnasium stores an env's bool, int and float in these; anything else keeps its NumPy type.
_PYTHON_DTYPES = (np.dtype(bool), np.dtype(np.int64), np.dtype(np.float64))


def rows_of(infos: Mapping[str, Any], n_rows: int) -> list[dict[str, Any]]:
    """A step's infos without the ended episodes', row by row."""
    rows: list[dict[str, Any]] = [{} for _ in range(n_rows)]
    if infos:
        others = {key: value for key, value in infos.items() if key not in FINAL_KEYS}
        scatter(others, rows, np.arange(n_rows), n_rows)
    return rows


def ends_of(
    infos: Mapping[str, Any], ended: np.ndarray, n_rows: int
) -> dict[int, tuple[Any, dict[str, Any]]]:
    """The last observation and the last info of each of these rows.

    Raises:
        ValueError: A row has no last observation.
    """
    final: dict[int, dict[str, Any]] = {i: {} for i in ended.tolist()}
    scatter({key: infos[key] for key in FINAL_KEYS if key in infos}, final, ended, n_rows)
    for i, row in final.items():
        if "final_obs" not in row:
            raise ValueError(
                f"row {i} ended in autoreset mode SAME_STEP without infos['final_obs']: the "
                "terminal observation is lost"
            )
    return {i: (row["final_obs"], row.get("final_info") or {}) for i, row in final.items()}


def scatter(
    infos: Mapping[str, Any],
    into: list[dict[str, Any]] | dict[int, dict[str, Any]],
    rows: np.ndarray,
    n_rows: int,
) -> None:
    """Hand the entries of Gymnasium's dict of arrays to the dicts of these rows.

    ``infos["_key"]``, ``[n_rows]``, says which rows have ``infos["key"]``; without it all have. A
    value that isn't an array over the rows goes to each as it is.
    """
    for key, value in infos.items():
        if key[:1] == "_" and key[1:] in infos:
            continue
        mask = infos.get(f"_{key}")
        having = rows if mask is None else rows[np.asarray(mask, dtype=bool)[rows]]
        column: Iterable[Any]
        if isinstance(value, dict):
            nested: dict[int, dict[str, Any]] = {i: {} for i in having.tolist()}
            scatter(value, nested, having, n_rows)
            column = nested.values()
        elif hasattr(value, "__array__") and np.shape(value)[:1] == (n_rows,):
            taken = np.asarray(value)[having]
            if taken.dtype == object:
                column = deepcopy(taken.tolist())
            else:
                python = taken.ndim == 1 and taken.dtype in _PYTHON_DTYPES
                column = taken.tolist() if python else taken
        else:
            column = [value] * len(having)
        for i, item in zip(having.tolist(), column, strict=True):
            into[i][key] = item
