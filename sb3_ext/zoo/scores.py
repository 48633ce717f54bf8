"""How good the policies are that a run has left."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext.zoo import runs
from sb3_ext.zoo.agents import load_for_playing
from sb3_ext.zoo.evaluate import Score, evaluate
from sb3_ext.zoo.live import plays_live
from sb3_ext.zoo.preparation import Experiment, is_judged_deterministically

# Far from the seeds of the training rows and of the evaluations on the way.
FINAL_EVALUATION_SEED = 20_000_000


def final_scores(experiment: Experiment, run: runs.Run) -> dict[str, Score]:
    """Evaluates the final and the best policy; the best alone tells little of the last updates.

    Returns:
        Scores by ``final`` and ``best``; none where none are asked for or can be had.
    """
    n_episodes = experiment.args.final_eval_episodes
    if n_episodes == 0 or plays_live(experiment.spec):
        return {}
    scores = {"final": _score(experiment, experiment.model, run.model, n_episodes)}
    if run.best_model.is_file():
        best = load_for_playing(type(experiment.model), run.best_model, experiment.args.device)
        scores["best"] = _score(experiment, best, run.best_model, n_episodes)
    else:
        scores["best"] = scores["final"]
    return scores


def _score(experiment: Experiment, model: BaseAlgorithm, path: Path, n_episodes: int) -> Score:
    rows = min(n_episodes, 100 if experiment.builder.form == "vector" else 8)
    normalizer = runs.normalizer_of(path) if experiment.settings.normalize is not None else None
    # As many processes as rows would cost more than they gain.
    builder = experiment.builder.in_one_process()
    env = builder.evaluation(rows, experiment.seed + FINAL_EVALUATION_SEED, normalizer=normalizer)
    try:
        deterministic = is_judged_deterministically(experiment.spec)
        return evaluate(model, env, n_episodes, deterministic)
    finally:
        env.close()
