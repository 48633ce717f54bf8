"""``zoo.py tune``: a study from the command line to its report."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Iterator

import optuna
from optuna.exceptions import OptunaError
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from sb3_ext.zoo.errors import RunError, reason
from sb3_ext.zoo.flags import where
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.streams import held_warnings
from sb3_ext.zoo.tuning.apply import target_file, write_entry
from sb3_ext.zoo.tuning.objective import HYPERPARAMETERS, IS_ENTRY
from sb3_ext.zoo.tuning.opening import Tuning, open_tuning
from sb3_ext.zoo.tuning.pictures import draw_pictures
from sb3_ext.zoo.tuning.processes import run_trials, teller
from sb3_ext.zoo.tuning.report import entry_text, table, write_report
from sb3_ext.zoo.tuning.storage import Place, open_storage
from sb3_ext.zoo.tuning.worker import best_trial, requeue_dead


def tune(args: argparse.Namespace) -> int:
    """Searches hyperparameters.

    Returns:
        The exit code: 0, or 130 after Ctrl-C.

    Raises:
        ZooError: If it cannot begin; nothing is left behind.
        RunError: If no trial came to its end, or the storage failed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Interruption() as interruption, held_warnings() as release_warnings:
        with interruption.answering():
            tuning = open_tuning(args, interruption)
        release_warnings()
        _announce(tuning)
        interrupted = False
        with _storage_failures(tuning.place):
            try:
                run_trials(tuning, interruption)
            except KeyboardInterrupt:
                interrupted = True
            return _report(tuning, interrupted)


@contextlib.contextmanager
def _storage_failures(place: Place) -> Iterator[None]:
    """A storage that fails after the beginning: a full disk, a database that went away."""
    try:
        yield
    except (OptunaError, SQLAlchemyError, OSError) as error:
        raise RunError(f"the study in {place} broke off: {reason(error)}") from error


def _announce(tuning: Tuning) -> None:
    args, plan = tuning.args, tuning.plan
    if args.verbose < 1:
        return
    trials = tuning.study.get_trials(deepcopy=False)
    begun = sum(trial.state != TrialState.WAITING for trial in trials)
    so_far = f", {begun} trials so far" if begun else ""
    print(f"{plan.algo} on {plan.env}: {tuning.study.study_name} in {tuning.place}{so_far}")
    print(
        f"sampler {args.sampler}, pruner {args.pruner}; {plan.n_seeds} "
        f"training{'s' * (plan.n_seeds > 1)} of {tuning.objective.n_timesteps:,} steps a trial, "
        f"{plan.n_evaluations} evaluations each; seed {plan.seed}"
    )
    for key in plan.pinned:
        print(f"  {key}: {plan.values[key]} (fixed by -params)")
    for notice in tuning.notices:
        print(notice)
    sys.stdout.flush()


def _report(tuning: Tuning, interrupted: bool) -> int:
    """Prints the table and writes the files; returns the exit code."""
    args, plan, study, place = tuning.args, tuning.plan, tuning.study, tuning.place
    storage = open_storage(place.storage, create=False)
    if storage is not None:
        requeue_dead(study, storage)
    tell = teller(args.verbose)
    for line in table(study, plan):
        tell(line)
    best = best_trial(study)
    written = write_report(study, plan, place.folder)
    if best is None:
        if interrupted:
            return 130
        raise RunError(
            f"no trial of {study.study_name} came to its end; {written[0]} says what happened"
        )
    if not (args.no_optim_plots or interrupted):
        pictures, notices = draw_pictures(study, place.folder)
        written += pictures
        for notice in notices:
            tell(notice)
    tell(f"\n{place.folder}: {', '.join(path.name for path in written)}")
    tell(f"the best, trial {best.number}:")
    tell(entry_text(plan.env, best.user_attrs[HYPERPARAMETERS]).rstrip())
    if args.apply is not None:
        tell(_apply(tuning, best, interrupted))
    tell(f"train with it: {_command(tuning)} --trial-id best")
    if interrupted:
        tell(f"interrupted; go on: {_command(tuning, 'tune')}")
    return 130 if interrupted else 0


def _apply(tuning: Tuning, best: FrozenTrial, interrupted: bool) -> str:
    """Writes the best entry into the files; says what was done."""
    plan = tuning.plan
    if interrupted:
        return "--apply: nothing written, as the study was interrupted"
    if best.user_attrs.get(IS_ENTRY):
        return "--apply: nothing written, as the entry itself is the best"
    values = best.user_attrs[HYPERPARAMETERS]
    path, key = target_file(plan.algo, plan.env, values, tuning.args.apply)
    write_entry(path, key, values)
    return f"applied: {path}, entry {key!r}"


def _command(tuning: Tuning, command: str = "") -> str:
    """A command line that names the study."""
    args, plan = tuning.args, tuning.plan
    words = ["python zoo.py", command, f"--algo {plan.algo}", where(args)]
    words += [f"--study-name {shlex.quote(tuning.study.study_name)}"]
    if args.storage is not None:
        words.append(f"--storage {shlex.quote(str(tuning.place))}")
    return " ".join(filter(None, words))
