"""What a study came to: a table, the best entry as YAML, all trials as CSV."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import pstdev
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from callbacks import save_atomically
from sb3_ext.zoo.tuning.objective import HYPERPARAMETERS, IS_ENTRY, RETURNS
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.worker import ERROR, best_trial

ROWS = 10
WIDEST_CELL = 40


def write_report(study: optuna.Study, plan: Plan, folder: Path) -> list[Path]:
    """Writes ``trials.csv`` and, where a trial was finished, ``best.yml``.

    Args:
        study: The study.
        plan: What its trials vary.
        folder: Where to.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = study.trials_dataframe().drop(columns="user_attrs_worker", errors="ignore")
    table = trials.to_csv(index=False).encode()
    save_atomically(folder / "trials.csv", lambda file: file.write(table))
    best = best_trial(study)
    if best is None:
        return [folder / "trials.csv"]
    text = best_entry(study, plan, best)
    save_atomically(folder / "best.yml", lambda file: file.write(text.encode()))
    return [folder / "best.yml", folder / "trials.csv"]


def best_entry(study: optuna.Study, plan: Plan, best: FrozenTrial) -> str:
    """The best trial as a file of hyperparameters, which ``-conf`` reads."""
    head = (
        f"# Trial {best.number} of {study.study_name}: mean return {best.value:.2f} of "
        f"{plan.algo} over {plan.n_seeds} seed{'s' * (plan.n_seeds > 1)} and "
        f"{plan.final_eval_episodes} episodes each.\n"
    )
    return head + entry_text(plan.env, best.user_attrs[HYPERPARAMETERS])


def entry_text(key: str, values: dict[str, Any]) -> str:
    """An entry as hyperparameter files write it."""
    return yaml.safe_dump({key: values}, sort_keys=True, allow_unicode=True, width=1000)


def table(study: optuna.Study, plan: Plan) -> list[str]:
    """The best trials with what was varied, best first, under a count of all."""
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name.lower() for trial in trials)
    lines = [f"{study.study_name}: {len(trials)} trials ({_listed(counts)})"]
    lines += _failures(trials)
    finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    finished.sort(key=lambda trial: -(trial.value or 0.0))
    if not finished:
        return lines
    shown = [trial.user_attrs[HYPERPARAMETERS] for trial in finished[:ROWS]]
    varied = sorted(
        {
            key
            for trial in finished
            for key, value in trial.user_attrs[HYPERPARAMETERS].items()
            if value != finished[0].user_attrs[HYPERPARAMETERS].get(key)
        }
        - {"n_timesteps"}
    )
    head = ["trial", "mean return", *(["± seeds"] if plan.n_seeds > 1 else []), *varied]
    rows = [head]
    for trial, values in zip(finished, shown, strict=False):
        is_entry = trial.user_attrs.get(IS_ENTRY, False)
        row = [f"{trial.number}{' (the entry)' if is_entry else ''}", f"{trial.value:.2f}"]
        row += [f"{pstdev(trial.user_attrs[RETURNS]):.2f}"] if plan.n_seeds > 1 else []
        rows.append(row + [_cell(values.get(key)) for key in varied])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return lines


def _listed(counts: Counter[str]) -> str:
    words = {"fail": "failed"}
    return ", ".join(f"{count} {words.get(name, name)}" for name, count in counts.most_common())


def _failures(trials: list[FrozenTrial]) -> list[str]:
    errors = Counter(
        trial.user_attrs.get(ERROR, "unknown") for trial in trials if trial.state == TrialState.FAIL
    )
    return [f"failed {count}x: {error}" for error, count in errors.most_common(3)]


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(str(value).split())
    text = text.removeprefix("dict(").removesuffix(")") if text.startswith("dict(") else text
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 3] + "..."
