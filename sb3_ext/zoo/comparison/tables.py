"""The report's figures as tables: for the CSV files, and in words for the page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from sb3_ext.zoo.comparison.curves import Curve
from sb3_ext.zoo.comparison.results import Comparison, Result
from sb3_ext.zoo.comparison.statistics import Estimate


def csv_tables(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """The CSV files by their stems."""
    tables = {
        "runs": _runs(comparison),
        "finals": _finals(comparison),
        "curves": _curves(comparison, over_time=False),
    }
    over_time = _curves(comparison, over_time=True)
    if len(over_time):
        tables["curves_wall_time"] = over_time
    improvements = _improvements(comparison)
    if len(improvements):
        tables["probability_of_improvement"] = improvements
    return tables


def _runs(comparison: Comparison) -> pd.DataFrame:
    """One row a run."""
    return pd.DataFrame(
        [
            {
                "env": world.env_id,
                "label": result.label,
                "algo": run.algo,
                "seed": run.seed,
                "final_return": result.final.values[i],
                "best_return": run.summary.get("best_mean_return"),
                "steps_to_threshold": result.steps_to_threshold.values[i],
                "seconds_to_threshold": result.seconds_to_threshold.values[i],
                "steps": run.summary.get("steps"),
                "steps_per_second": result.steps_per_second.values[i],
                "wall_seconds": result.wall_seconds.values[i],
                "folder": str(run.folder),
            }
            for world in comparison.worlds
            for result in world.results
            for i, run in enumerate(result.group.runs)
        ]
    )


def _finals(comparison: Comparison) -> pd.DataFrame:
    """One row an algorithm and world."""
    rows = []
    for world in comparison.worlds:
        for result in world.results:
            row = {"env": world.env_id, "label": result.label, "n_runs": result.n_runs}
            row |= _columns("final_iqm", result.final_iqm)
            finals = result.final.values
            row |= {
                "final_mean": finals.mean(),
                "final_median": np.median(finals),
                "final_std": finals.std(ddof=1) if result.n_runs > 1 else np.nan,
                "final_min": finals.min(),
                "final_max": finals.max(),
                "threshold": world.threshold,
                "n_reached": int(np.isfinite(result.steps_to_threshold.values).sum()),
            }
            row |= _columns("steps_to_threshold_median", result.steps_to_threshold.estimate)
            row |= _columns("seconds_to_threshold_median", result.seconds_to_threshold.estimate)
            row |= _columns("steps_per_second_iqm", result.steps_per_second.estimate)
            row |= _columns("wall_seconds_iqm", result.wall_seconds.estimate)
            rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    return {
        name: float(estimate.value[0]),
        f"{name}_low": float(estimate.low[0]),
        f"{name}_high": float(estimate.high[0]),
    }


def _curves(comparison: Comparison, *, over_time: bool) -> pd.DataFrame:
    tables = [
        _curve(world.env_id, result, curve, "seconds" if over_time else "steps")
        for world in comparison.worlds
        for result in world.results
        if (curve := result.by_seconds if over_time else result.by_steps) is not None
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _curve(env_id: str, result: Result, curve: Curve, axis: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "env": env_id,
            "label": result.label,
            "n_runs": result.n_runs,
            axis: curve.x,
            "return_iqm": curve.returns.value,
            "return_low": curve.returns.low,
            "return_high": curve.returns.high,
        }
    )


def _improvements(comparison: Comparison) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"env": env_id, "x": pair.x, "y": pair.y}
            | _columns("probability_x_above_y", pair.probability)
            | {"p_value": pair.p_value}
            for env_id, pairs in comparison.improvements
            for pair in pairs
        ]
    )


def figure(value: float, digits: int = 4) -> str:
    """A number as a reader wants it: with so many digits, thousands apart."""
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "never"
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}"


def interval(estimate: Estimate | None, digits: int = 4) -> str:
    """An estimate's interval, or nothing where there is none."""
    if estimate is None or math.isnan(float(estimate.low[0])):
        return ""
    low, high = float(estimate.low[0]), float(estimate.high[0])
    return f"{figure(low, digits)} to {figure(high, digits)}"
