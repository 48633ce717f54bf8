"""Opens a study: finds it or makes it, once its entry has been built and stepped."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import optuna

from sb3_ext.zoo import registry
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.preparation import chosen_seed
from sb3_ext.zoo.tuning.apply import target_file
from sb3_ext.zoo.tuning.objective import Objective
from sb3_ext.zoo.tuning.plan import Plan, check_same, plan_of
from sb3_ext.zoo.tuning.samplers import make_pruner, make_sampler
from sb3_ext.zoo.tuning.storage import (
    Place,
    create_study,
    describe_study,
    find_place,
    known_studies,
    load_study,
)

# Flags of counts: the least they may be.
LEAST = {
    "n_timesteps": 1,
    "n_seeds": 1,
    "n_evaluations": 1,
    "n_trials": 0,
    "max_total_trials": 1,
    "n_startup_trials": 0,
    "eval_episodes": 1,
    "final_eval_episodes": 1,
    "n_eval_envs": 1,
}


@dataclass(frozen=True)
class Tuning:
    """A study that is open, and ready to be worked on.

    Attributes:
        args: The command line.
        place: Where the study is.
        plan: What its trials are.
        study: The study, with sampler and pruner.
        objective: One trial of it.
        notices: What the user should know.
    """

    args: argparse.Namespace
    place: Place
    plan: Plan
    study: optuna.Study
    objective: Objective
    notices: list[str]


def open_tuning(args: argparse.Namespace, interruption: Interruption) -> Tuning:
    """Finds the study of a command line, or makes it.

    Raises:
        ZooError: If anything the user gave does not fit; nothing is left behind.
    """
    _check(args)
    spec = registry.find_env(args.env)
    registry.load_algorithm(args.algo)
    while True:
        place = find_place(args.storage, args.study_name, args.log_folder, args.algo, spec.id)
        found = load_study(place)
        if found is not None and args.study_name is None:
            continue  # a new one was meant, and another process has just taken this name
        if found is None and args.n_trials == 0:
            raise ZooError(
                f"--n-trials 0: no study {place.study_name!r} in {place} {known_studies(place)}"
            )
        stored = found[1] if found is not None else None
        plan = plan_of(args, spec, stored)
        if stored is not None:
            check_same(stored, args, plan, place.study_name)
            plan = stored
        if args.optimization_log_path is not None:
            _check_folder("--optimization-log-path", args.optimization_log_path)
        _check_folder("--log-folder", args.log_folder)
        if args.apply is not None:
            target_file(plan.algo, plan.env, plan.values, args.apply)
        objective = Objective(plan, args, interruption)
        with interruption.holding():
            study = create_study(place) if found is None else found[0]
            if study is None:
                continue  # another process has just made it
            if stored is None:
                describe_study(study, plan, objective.space.nearest())
        notices = objective.notices + equip(study, args, plan)
        return Tuning(args, place, plan, study, objective, notices)


def equip(study: optuna.Study, args: argparse.Namespace, plan: Plan) -> list[str]:
    """Gives a study its sampler and its pruner; says where they are others than asked for."""
    study.sampler, notice = make_sampler(args.sampler, plan.seed, args.n_startup_trials)
    study.pruner = make_pruner(args.pruner, args.n_startup_trials, plan.n_evaluations)
    return [notice] if notice else []


def _check(args: argparse.Namespace) -> None:
    """Checks what needs no look at anything else, and makes numbers complete."""
    for name, least in LEAST.items():
        value = getattr(args, name)
        if value is not None and value < least:
            raise ZooError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    if args.n_jobs == -1:
        args.n_jobs = os.cpu_count() or 1
    if args.n_jobs < 1:
        raise ZooError(f"--n-jobs must be at least 1, or -1 for all cores, not {args.n_jobs}")
    if args.seed is not None and args.seed < 0:
        args.seed = None
    if args.seed is not None:
        chosen_seed(args.seed)
    if args.n_jobs > 1 and args.num_threads < 1:
        args.num_threads = 1  # the processes share the cores
    registry.import_packages(args.gym_packages)


def _check_folder(flag: str, folder: str) -> None:
    """Checks that a folder can be made and written, without making it."""
    path = Path(folder).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ZooError(f"{flag}: cannot write to {folder!r}")
