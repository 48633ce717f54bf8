"""The hyperparameters of a study's trial, for ``zoo.py train --study-name NAME --trial-id N``."""

from __future__ import annotations

import argparse

import optuna
from gymnasium.envs.registration import EnvSpec
from optuna.trial import FrozenTrial

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, find_entry
from sb3_ext.zoo.preparation import is_atari
from sb3_ext.zoo.registry import OWN_ALGORITHMS
from sb3_ext.zoo.tuning.objective import HYPERPARAMETERS
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.spaces import from_rl_zoo
from sb3_ext.zoo.tuning.storage import PLAN, find_place, known_studies, open_storage
from sb3_ext.zoo.tuning.worker import best_trial, told_of


def trial_entry(args: argparse.Namespace, spec: EnvSpec) -> Entry:
    """The entry that a trial was trained with; the study may be RL Zoo's.

    Args:
        args: The command line of ``train``.
        spec: The world.

    Raises:
        ZooError: If there is no such study or trial, or it is of another algorithm or world.
    """
    if args.study_name is None or args.trial_id is None:
        raise ZooError(
            "a trial is named by --study-name NAME and --trial-id N (or best), with --storage URL "
            "where it is not in the log folder"
        )
    for flag in ("preset", "conf_file"):
        if getattr(args, flag) is not None:
            raise ZooError("a trial's hyperparameters are complete: leave --preset and -conf out")
    place = find_place(args.storage, args.study_name, args.log_folder, args.algo, spec.id)
    storage = open_storage(place.storage, create=False)
    if storage is None or args.study_name not in optuna.get_all_study_names(storage):
        raise ZooError(f"no study {args.study_name!r} in {place} {known_studies(place)}")
    study = optuna.load_study(study_name=args.study_name, storage=storage)
    trial = _chosen(study, args.trial_id)
    return Entry(
        values=_values(args, spec, study, trial),
        key=f"trial {trial.number} of {study.study_name}",
        source=str(place),
        notice=f"trial {trial.number} in the study: {told_of(trial)}",
    )


def _chosen(study: optuna.Study, trial_id: str) -> FrozenTrial:
    trials = study.get_trials(deepcopy=False)
    if trial_id == "best":
        best = best_trial(study)
        if best is None:
            raise ZooError(f"no trial of {study.study_name!r} was finished ({len(trials)} begun)")
        return best
    if int(trial_id) >= len(trials):
        known = f"it has 0 to {len(trials) - 1}" if trials else "it has none"
        raise ZooError(f"--trial-id {trial_id}: no such trial of {study.study_name!r} ({known})")
    return trials[int(trial_id)]


def _values(
    args: argparse.Namespace, spec: EnvSpec, study: optuna.Study, trial: FrozenTrial
) -> dict[str, object]:
    attribute = study.user_attrs.get(PLAN)
    if attribute is None:
        return _rl_zoo_values(args, spec, trial)
    plan = Plan.from_attribute(attribute)
    ppos = {"ppo", *OWN_ALGORITHMS}  # the same hyperparameters in all
    if plan.env != spec.id or not (plan.algo == args.algo or {plan.algo, args.algo} <= ppos):
        raise ZooError(
            f"the study {study.study_name!r} is of --algo {plan.algo} --env {plan.env}, not "
            f"--algo {args.algo} --env {spec.id}"
        )
    if HYPERPARAMETERS not in trial.user_attrs:
        raise ZooError(f"trial {trial.number} of {study.study_name!r} has no hyperparameters yet")
    return dict(trial.user_attrs[HYPERPARAMETERS])


def _rl_zoo_values(
    args: argparse.Namespace, spec: EnvSpec, trial: FrozenTrial
) -> dict[str, object]:
    """RL Zoo keeps what Optuna drew, and converts it anew."""
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER

    entry = find_entry(args.algo, spec.id, is_atari=is_atari(spec))
    name = "ppo" if args.algo in OWN_ALGORITHMS else args.algo
    try:
        converted = HYPERPARAMS_CONVERTER[name](trial.params)
    except KeyError as error:
        raise ZooError(
            f"trial {trial.number} is not one of --algo {args.algo}: no {error}"
        ) from error
    return entry.values | from_rl_zoo(converted, trial.params, entry.values)
