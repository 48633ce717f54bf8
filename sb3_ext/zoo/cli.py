"""The command line: flags and dispatch, nothing else.

Nothing heavy is imported before the arguments are parsed, so that ``--help`` and a misspelt flag
answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from sb3_ext.zoo.errors import RunError, ZooError, nearest, reason
from sb3_ext.zoo.literals import read_literal
from sb3_ext.zoo.registry import algorithm_names
from sb3_ext.zoo.streams import patient_output

DESCRIPTION = """\
Trains, plays and lists reinforcement learning agents, with RL Zoo's flags and files.

commands:
  train   (default) train an agent:   zoo.py --algo ppo --env SimpleAim-v0
  enjoy   watch a trained agent:      zoo.py enjoy --algo ppo --env SimpleAim-v0
  list    algorithms, worlds, tuned entries and presets

`zoo.py COMMAND --help` shows the flags of a command; those of train follow."""

# RL Zoo's flags for tuning: named here so that the refusal can say what they would be.
TUNING_FLAGS = ("-optimize", "--optimize-hyperparameters")
# A missing one means a Python without our installation, not a fault of ours.
BASE_PACKAGES = ("gymnasium", "numpy", "sb3_contrib", "stable_baselines3", "torch", "yaml")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line and suggest the flag that was meant."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")

    def parse_all(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses; an unknown flag is an error that names the nearest known one."""
        args, unknown = self.parse_known_args(argv)
        if unknown:
            first = unknown[0].partition("=")[0]
            if first in TUNING_FLAGS:
                self.error(f"{first}: hyperparameter optimization is not part of this version")
            flags = [flag for action in self._actions for flag in action.option_strings]
            self.error(f"unknown argument {first!r}{nearest(first, flags)}")
        return args


class StoreDict(argparse.Action):
    """Takes ``key:value`` pairs, as RL Zoo does; values are read as literals, never evaluated.

    A value that is no literal stays a string: ``learning_rate:lin_3e-4`` needs no quotes.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        pairs = dict(getattr(namespace, self.dest) or {})
        for pair in values:
            key, colon, text = pair.partition(":")
            if not colon or not key.isidentifier():
                parser.error(f"argument {option_string}: expected key:value, got {pair!r}")
            pairs[key] = _literal_or_text(parser, option_string, key, text)
        setattr(namespace, self.dest, pairs)


def _literal_or_text(parser: argparse.ArgumentParser, flag: str | None, key: str, text: str) -> Any:
    try:
        value = read_literal(text)
    except ValueError as error:
        if "(" in text or "[" in text or "{" in text:  # meant as Python, but is not
            parser.error(f"argument {flag}: {key}: {error}")
        return text
    # Classes (nn.ReLU) stay text: they are read again where the entry's are, and saved as text.
    return value if _is_plain(value) else text


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: Arguments without the program's name; the process's own by default.

    Returns:
        The exit code: 0, 1 for a training that failed on its way, 2 for wrong input, 130 after
        Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with patient_output():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    command = "train"
    if arguments and not arguments[0].startswith("-"):
        command = arguments.pop(0)
    if command not in COMMANDS:
        print(
            f"zoo.py: error: unknown command {command!r}{nearest(command, COMMANDS)}"
            f" (there are: {', '.join(COMMANDS)})",
            file=sys.stderr,
        )
        return 2
    build_parser, run = COMMANDS[command]
    if not arguments and command != "list":
        build_parser().print_help()
        return 2
    try:
        args = build_parser().parse_all(arguments)
    except SystemExit as stop:  # argparse's way of ending
        return int(stop.code or 0)
    try:
        return run(args)
    except KeyboardInterrupt:
        print(f"zoo.py {command}: interrupted", file=sys.stderr)
        return 130
    except (Exception, SystemExit) as error:  # SystemExit: somebody's module or world
        if getattr(args, "verbose", 1) > 1:
            traceback.print_exception(error)
        print(f"zoo.py {command}: error: {_explained(error)}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2


def _explained(error: BaseException) -> str:
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name in BASE_PACKAGES:
        return (
            f"{error.name} is not installed here; activate the virtual environment, or install "
            "with: pip install -c constraints.txt -e ."
        )
    return f"{reason(error)} (--verbose 2 shows where)"


def _run_train(args: argparse.Namespace) -> int:
    _limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.experiment import train

    return train(args)


def _run_enjoy(args: argparse.Namespace) -> int:
    _limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.enjoy import enjoy

    return enjoy(args)


def _run_list(args: argparse.Namespace) -> int:
    from sb3_ext.zoo.listing import show

    return show(args)


def _limit_blas_threads(requested: int) -> None:
    """Small matrices lose by threads; BLAS reads these variables when NumPy is imported."""
    cores = os.cpu_count() or 1
    if requested > cores:  # PyTorch crashes on very large numbers
        raise ZooError(f"--num-threads {requested}: this machine has {cores} cores")
    threads = str(requested if requested > 0 else 1)
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, threads)


def _train_parser() -> Parser:
    parser = Parser(prog="zoo.py train", description=DESCRIPTION)
    add = parser.add_argument
    _add_common(parser)
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
        type=_boolean,
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


def _enjoy_parser() -> Parser:
    parser = Parser(
        prog="zoo.py enjoy",
        description="Plays a trained agent in a window; without a display it records a video.",
    )
    add = parser.add_argument
    _add_common(parser)
    add(
        "-f",
        "--folder",
        "--log-folder",
        dest="folder",
        default="logs",
        metavar="DIR",
        help="where runs are (default: logs)",
    )
    add("-n", "--n-timesteps", type=int, default=1000, metavar="N", help="steps to play")
    add("--model", default=None, metavar="FILE", help="play this model instead of a run's")
    add(
        "--exp-id",
        type=int,
        default=0,
        metavar="N",
        help="the run's number (default 0: the newest; -1: no run folder)",
    )
    add("--n-envs", type=int, default=1, metavar="N", help="rows to play at once")
    add("--load-best", action="store_true", help="play the best model instead of the last")
    add("--load-checkpoint", type=int, default=None, metavar="STEPS", help="play this checkpoint")
    add("--load-last-checkpoint", action="store_true", help="play the newest checkpoint")
    add("--no-render", action="store_true", help="no window: print the returns")
    actions = parser.add_mutually_exclusive_group().add_argument
    actions("--deterministic", action="store_true", help="most likely actions (default, but Atari)")
    actions("--stochastic", action="store_true", help="sampled actions")
    add("--norm-reward", action="store_true", help="show normalized rewards where trained so")
    add("--reward-log", default="", metavar="DIR", help="write a monitor.csv there")
    add("--video", default=None, metavar="FILE", help="record a video (.mp4, .gif) to this file")
    add("-P", "--progress", action="store_true", help="show a progress bar")
    return parser


def _list_parser() -> Parser:
    return Parser(
        prog="zoo.py list", description="Shows algorithms, worlds, tuned entries and presets."
    )


def _add_common(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "--algo",
        default="ppo",
        type=_algorithm,
        metavar="NAME",
        help=f"the algorithm: {', '.join(algorithm_names())} (default: ppo)",
    )
    add("--env", required=True, metavar="ID", help="the world, e.g. SimpleAim-v0")
    add(
        "--env-kwargs",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="arguments of the world's constructor",
    )
    add(
        "--gym-packages",
        nargs="+",
        default=[],
        metavar="PACKAGE",
        help="packages to import that register worlds",
    )
    add(
        "--seed",
        type=int,
        default=-1 if parser.prog.endswith("train") else 0,
        metavar="N",
        help="governs everything random (train: default drawn and printed)",
    )
    add("--device", default="auto", help="PyTorch device (auto, cpu, cuda, ...)")
    add(
        "--num-threads",
        type=int,
        default=-1,
        metavar="N",
        help="PyTorch and BLAS threads (default: 1 for small networks)",
    )
    add(
        "--verbose",
        type=int,
        default=1,
        metavar="N",
        help="0: quiet, 1: progress, 2: SB3's tables, and the traceback of an error, too",
    )


def _algorithm(name: str) -> str:
    if name not in algorithm_names():
        suggestion = nearest(name, algorithm_names())
        raise argparse.ArgumentTypeError(
            f"unknown algorithm {name!r}{suggestion} (there are: {', '.join(algorithm_names())})"
        )
    return name


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() in ("true", "1")


COMMANDS = {
    "train": (_train_parser, _run_train),
    "enjoy": (_enjoy_parser, _run_enjoy),
    "list": (_list_parser, _run_list),
}
