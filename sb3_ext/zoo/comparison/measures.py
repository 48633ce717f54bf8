"""Computes a comparison's results from the runs' records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sb3_ext.zoo.comparison import curves
from sb3_ext.zoo.comparison.curves import RunCurve
from sb3_ext.zoo.comparison.groups import Group
from sb3_ext.zoo.comparison.results import (
    Comparison,
    Improvement,
    Overall,
    Result,
    Sample,
    World,
)
from sb3_ext.zoo.comparison.statistics import (
    Estimate,
    iqm,
    mann_whitney_p,
    median,
    probability_of_improvement,
)
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.history import History

# The default threshold lies this far on the way from the untrained level to the best result.
THRESHOLD_FRACTION = 0.9
# Episodes of each run that tell the untrained level.
N_UNTRAINED = 10
# Episodes whose mean is a run's result where nothing else was measured.
N_LAST = 100


def compare(
    groups: Sequence[Group], curve_kind: str = "auto", thresholds: dict[str, float] | None = None
) -> Comparison:
    """Computes all of it.

    Args:
        groups: Of runs that came to their end.
        curve_kind: ``evaluation``, ``training``, or ``auto``: evaluations if all runs have them.
        thresholds: Of some worlds, instead of the default.

    Raises:
        ZooError: If a run lacks what is needed.
    """
    kind = _curve_kind([run for group in groups for run in group.runs], curve_kind)
    env_ids = list(dict.fromkeys(group.env_id for group in groups))
    worlds = [
        _world([group for group in groups if group.env_id == env_id], kind, thresholds or {})
        for env_id in env_ids
    ]
    overall, notes = _overall(worlds)
    return Comparison(kind, worlds, overall, notes)


def _curve_kind(runs: Sequence[History], asked: str) -> str:
    def lacking(kind: str) -> list[History]:
        if kind == "evaluation":
            return [run for run in runs if run.evaluations is None]
        return [run for run in runs if run.episodes.empty]

    kinds = ["evaluation", "training"] if asked == "auto" else [asked]
    for kind in kinds:
        if not lacking(kind):
            return kind
    kind = kinds[-1]
    what = "evaluations.npz" if kind == "evaluation" else "finished episode in its monitor.csv"
    raise ZooError(f"{lacking(kind)[0].folder} has no {what}, so that there is no curve to draw")


def _world(groups: list[Group], kind: str, thresholds: dict[str, float]) -> World:
    env_id = groups[0].env_id
    runs = [run for group in groups for run in group.runs]
    curve_of = curves.evaluation_curve if kind == "evaluation" else curves.training_curve
    run_curves = [[curve_of(run) for run in group.runs] for group in groups]
    source, read = _final_reader(runs)
    finals = [_sample(map(read, group.runs), iqm) for group in groups]
    untrained = _untrained(runs, [curve for row in run_curves for curve in row])
    best = max(float(final.estimate.value[0]) for final in finals if final.estimate is not None)
    threshold = thresholds.get(env_id, untrained + THRESHOLD_FRACTION * (best - untrained))
    results = [
        _result(group, row, final, threshold)
        for group, row, final in zip(groups, run_curves, finals, strict=True)
    ]
    scores = {result.label: result.final.values[:, None] for result in results}
    improvements = _improvements(scores)
    return World(env_id, results, untrained, best, threshold, source, improvements)


def _result(group: Group, run_curves: list[RunCurve], final: Sample, threshold: float) -> Result:
    reached = [curves.first_reached(curve, threshold) for curve in run_curves]
    by_steps = curves.over_steps(run_curves)
    return Result(
        group,
        final,
        by_steps,
        curves.over_seconds(by_steps, run_curves),
        _sample((steps for steps, _ in reached), median),
        _sample((seconds for _, seconds in reached), median),
        _sample(map(_steps_per_second, group.runs), iqm),
        _sample(map(_wall_seconds, group.runs), iqm),
    )


def _sample(values: Iterable[float], estimated: Callable[[np.ndarray], Estimate]) -> Sample:
    array = np.array(list(values), dtype=float)
    return Sample(array, None if np.isnan(array).any() else estimated(array))


def _final_reader(runs: list[History]) -> tuple[str, Callable[[History], float]]:
    """The best measurement of the final policy that all runs of a world have."""
    if all("final_mean_return" in run.summary for run in runs):
        n_episodes = {run.summary.get("final_mean_return_episodes") for run in runs}
        n = f"{n_episodes.pop()} episodes" if len(n_episodes) == 1 else "some episodes"
        return f"the final policy over {n} after training", _final_return
    if all(run.evaluations is not None for run in runs):
        return "the last evaluation during training", _last_evaluation
    return f"the last {N_LAST} training episodes", _last_episodes


def _final_return(run: History) -> float:
    return float(run.summary["final_mean_return"])


def _last_evaluation(run: History) -> float:
    return float(curves.evaluation_curve(run).returns[-1])


def _last_episodes(run: History) -> float:
    return float(run.episodes["return"].tail(N_LAST).mean())


def _untrained(runs: list[History], run_curves: list[RunCurve]) -> float:
    first = [run.episodes["return"].head(N_UNTRAINED).mean() for run in runs if len(run.episodes)]
    return float(np.mean(first) if first else min(curve.returns[0] for curve in run_curves))


def _wall_seconds(run: History) -> float:
    if "wall_seconds" in run.summary:
        return float(run.summary["wall_seconds"])
    return float(run.episodes["seconds"].iloc[-1]) if len(run.episodes) else np.nan


def _steps_per_second(run: History) -> float:
    if "steps_per_second" in run.summary:
        return float(run.summary["steps_per_second"])
    if run.episodes.empty:
        return np.nan
    return float(run.episodes["steps"].iloc[-1] / max(run.episodes["seconds"].iloc[-1], 1e-9))


def _improvements(scores: dict[str, np.ndarray]) -> list[Improvement]:
    """Each pair once, the better one first.

    Args:
        scores: ``[n_runs, n_worlds]`` of each label.
    """
    pairs = itertools.combinations(scores, 2)
    return [_improvement(x, y, scores) for x, y in pairs if min(len(scores[x]), len(scores[y])) > 1]


def _improvement(x: str, y: str, scores: dict[str, np.ndarray]) -> Improvement:
    n_worlds = scores[x].shape[1]
    p_value = mann_whitney_p(scores[x][:, 0], scores[y][:, 0]) if n_worlds == 1 else np.nan
    found = probability_of_improvement(scores[x], scores[y])
    if found.value[0] >= 0.5:
        return Improvement(x, y, found, p_value)
    return Improvement(y, x, Estimate(1 - found.value, 1 - found.high, 1 - found.low), p_value)


def _overall(worlds: list[World]) -> tuple[Overall | None, list[str]]:
    """The scores over all worlds, and what is to be said of worlds and runs that are not in."""
    if len(worlds) < 2:
        return None, []
    telling = [world for world in worlds if world.best > world.untrained]
    notes = [
        f"{world.env_id} is left out of the scores over all worlds: no algorithm came above the "
        f"return before learning, {world.untrained:.4g}, there"
        for world in worlds
        if world not in telling
    ]
    columns = [_normalized(world) for world in telling]
    if len(columns) < 2:
        return None, notes
    everywhere = [label for label in columns[0] if all(label in column for column in columns)]
    if not everywhere:
        return None, [*notes, "No algorithm has runs on all worlds: there are no overall scores."]
    scores = {}
    for label in everywhere:
        lengths = [len(column[label]) for column in columns]
        if len(set(lengths)) > 1:
            notes.append(
                f"{label}: the scores over all worlds take the first {min(lengths)} runs of each "
                "world, as there are fewer on some"
            )
        scores[label] = np.stack([column[label][: min(lengths)] for column in columns], axis=1)
    means = {label: iqm(matrix) for label, matrix in scores.items()}
    return Overall(scores, means, _improvements(scores)), notes


def _normalized(world: World) -> dict[str, np.ndarray]:
    scale = world.best - world.untrained
    return {
        result.label: (result.final.values - world.untrained) / scale for result in world.results
    }
