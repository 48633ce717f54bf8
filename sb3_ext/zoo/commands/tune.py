"""``zoo.py tune``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, add_common, add_experiment, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py tune",
        description="Searches hyperparameters with Optuna; several processes may share a study.",
    )
    add = parser.add_argument
    add_common(parser)
    add_experiment(parser)
    add(
        "--n-trials",
        type=int,
        default=500,
        metavar="N",
        help="trials of this command (default: 500; 0: only report on a study that is there)",
    )
    add(
        "--max-total-trials",
        type=int,
        metavar="N",
        help="go on until the study has so many trials, of all processes; wins over --n-trials",
    )
    add(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes, each on one thread (default: 1; -1: as many as cores)",
    )
    add("--n-seeds", type=int, metavar="N", help="trainings of a trial, scored by their mean")
    add(
        "--sampler",
        choices=("tpe", "random", "cmaes", "auto"),
        default="tpe",
        help="how hyperparameters are drawn (default: tpe; auto is downloaded from OptunaHub)",
    )
    add(
        "--pruner",
        choices=("median", "halving", "none"),
        default="median",
        help="how hopeless trials are given up early (default: median)",
    )
    add(
        "--n-startup-trials",
        type=int,
        default=10,
        metavar="N",
        help="random trials before the first that is drawn by what is known (default: 10)",
    )
    add(
        "--n-evaluations",
        type=int,
        metavar="N",
        help="evaluations of a training (default: one in 100000 steps, and at least 5)",
    )
    add(
        "--final-eval-episodes",
        type=int,
        metavar="N",
        help="episodes of the last evaluation, which is the score (default: 20)",
    )
    add(
        "--storage",
        metavar="URL",
        help="an Optuna URL (sqlite:///tune.db, mysql://...) or a journal's file "
        "(default: <log folder>/tune/<algo>/<env>/<study>.journal)",
    )
    add("--study-name", metavar="NAME", help="go on with this study, or begin it (default: new)")
    add(
        "--optimization-log-path",
        metavar="DIR",
        help="keep every trial's evaluations and best model there",
    )
    add("--no-optim-plots", action="store_true", help="draw no pictures")
    add(
        "--apply",
        nargs="?",
        const="",
        metavar="NAME",
        help="write the best into hyperparams/, as the world's entry or as its preset NAME",
    )
    # None: not said, so that a study that is gone on with keeps what it was begun with.
    parser.set_defaults(seed=None, n_timesteps=None, eval_episodes=None)
    return parser


def run(args: argparse.Namespace) -> int:
    """Searches hyperparameters."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.tuning.tune import tune

    return tune(args)
