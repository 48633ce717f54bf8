"""``zoo.py train``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.commands import overview
from sb3_ext.zoo.flags import Parser, StoreDict, add_common, boolean, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="zoo.py train", description=overview())
    add = parser.add_argument
    add_common(parser)
    add(
        "-n",
        "--n-timesteps",
        type=int,
        default=-1,
        metavar="N",
        help="steps to train for (default: the entry's)",
    )
    add("--preset", metavar="NAME", help="use the entry ENV@NAME of the hyperparameter files")
    add(
        "-conf",
        "--conf-file",
        metavar="FILE",
        help="YAML or Python file, or package, with the hyperparameters; must contain the env",
    )
    add(
        "-params",
        "--hyperparams",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="override hyperparameters, e.g. learning_rate:lin_3e-4 n_envs:8",
    )
    add(
        "--eval-env-kwargs",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="arguments of the evaluation world (default: --env-kwargs)",
    )
    add(
        "--vec-env",
        choices=("auto", "dummy", "subproc", "vector"),
        default="auto",
        help="how rows are run; auto: the world's own vector form if it has one, else dummy",
    )
    add("-f", "--log-folder", default="logs", metavar="DIR", help="where runs go (default: logs)")
    add(
        "-tb",
        "--tensorboard-log",
        metavar="DIR",
        help="TensorBoard folder (default: <log folder>/tb; '' for none)",
    )
    add("-i", "--trained-agent", default="", metavar="FILE", help="start from this model's weights")
    add(
        "--truncate-last-trajectory",
        type=boolean,
        default=True,
        metavar="BOOL",
        help="with -i and HER: truncate the loaded replay buffer's last trajectory",
    )
    add(
        "--eval-freq",
        type=int,
        default=None,
        metavar="N",
        help="steps between evaluations (default: 25000 or a tenth of the run; negative: none)",
    )
    add("--eval-episodes", type=int, default=5, metavar="N", help="episodes of an evaluation")
    add("--n-eval-envs", type=int, default=None, metavar="N", help="rows of the evaluation env")
    add(
        "--final-eval-episodes",
        type=int,
        default=100,
        metavar="N",
        help="episodes of the evaluation after training (default: 100; 0: none)",
    )
    add(
        "--save-freq",
        type=int,
        default=None,
        metavar="N",
        help="steps between checkpoints (default: a tenth of the run; negative: none)",
    )
    add("--save-replay-buffer", action="store_true", help="save the replay buffer too")
    add(
        "--log-interval",
        type=int,
        default=-1,
        metavar="N",
        help="updates between log entries (-1: the algorithm's default, -2: none)",
    )
    add("-uuid", "--uuid", action="store_true", help="append a unique id to the run's folder")
    add("-P", "--progress", action="store_true", help="show the bar though this is no terminal")
    return parser


def run(args: argparse.Namespace) -> int:
    """Trains, evaluates and saves."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.experiment import train

    return train(args)
