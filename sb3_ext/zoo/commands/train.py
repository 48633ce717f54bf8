"""``zoo.py train``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sb3_ext.zoo.commands import overview
from sb3_ext.zoo.flags import (
    Parser,
    add_common,
    add_experiment,
    add_live,
    boolean,
    limit_blas_threads,
    trial_id,
)


class TrainParser(Parser):
    """Also tells which flags were given: with ``--resume`` only some may be, and no env must."""

    def parse_all(self, argv: Sequence[str]) -> argparse.Namespace:
        args = super().parse_all(argv)
        if args.env is None and args.resume is None:
            self.error("the following arguments are required: --env")
        nothing = argparse.Namespace(**dict.fromkeys(vars(args)))
        given, _ = self.parse_known_args(argv, nothing)
        args.given = [name for name, value in vars(given).items() if value is not None]
        return args


def build_parser() -> TrainParser:
    """The flags."""
    parser = TrainParser(prog="zoo.py train", description=overview())
    add = parser.add_argument
    add_common(parser, needs_env=False)
    add_experiment(parser)
    add_live(parser)
    add(
        "-tb",
        "--tensorboard-log",
        metavar="DIR",
        help="TensorBoard folder (default: <log folder>/tb; '' for none)",
    )
    add(
        "--tb-log-name",
        metavar="NAME",
        help="the run's name in TensorBoard, below the world's (default: <algo>_<n>)",
    )
    add("--study-name", metavar="NAME", help="train with a trial's hyperparameters, of this study")
    add("--trial-id", type=trial_id, metavar="ID", help="which trial: best, or its number")
    add("--storage", metavar="URL", help="where the study is, if not in the log folder")
    add(
        "--resume",
        default=None,
        metavar="RUN",
        help="go on with this run (its folder, its name in the log folder, or a checkpoint in it) "
        "exactly where it was; -n goes on to more steps",
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
        help="steps between evaluations (default: 25000, but 10 to 100 of them; negative: none)",
    )
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
    add(
        "--keep-checkpoints",
        type=int,
        default=10,
        metavar="N",
        help="how many of the newest checkpoints to keep (default: 10; negative: all)",
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
    add(
        "--live-view",
        action="store_true",
        help="watch it learn: frame or observation, action, value, reward and the curve, in a "
        "window, or without a display in the run's live.mp4",
    )
    add("--keys", action="store_true", help="keys in the terminal: p pause, c checkpoint, q stop")
    add(
        "--stop-at",
        type=float,
        default=None,
        metavar="SCORE",
        help="stop once the mean return of an evaluation reaches this",
    )
    add("--track", action="store_true", help="log to Weights & Biases (WANDB_MODE=offline works)")
    add("--wandb-project-name", default="sb3", metavar="NAME", help="its project (default: sb3)")
    add("--wandb-entity", default=None, metavar="NAME", help="its user or team")
    add("-tags", "--wandb-tags", nargs="+", default=[], metavar="TAG", help="the W&B run's tags")
    return parser


def run(args: argparse.Namespace) -> int:
    """Trains, evaluates and saves."""
    recorded = None
    if args.resume is not None:
        from sb3_ext.zoo.recorded import going_on, read_run

        recorded = read_run(args.resume, args.log_folder, "--resume")
        args = going_on(recorded, args, args.given)
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.experiment import train

    return train(args, recorded)
