"""What commands' flags share: the parser, key:value pairs, the common flags, threads.

Nothing heavy is imported here, so that ``--help`` and a misspelt flag answer at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.literals import read_literal
from sb3_ext.zoo.registry import algorithm_names

# RL Zoo tunes with train's flags and one of these: `zoo.py tune` is meant.
OPTIMIZE_FLAGS = ("-optimize", "--optimize-hyperparameters")
# RL Zoo's other flags for that, which train alone would ignore.
TUNING_FLAGS = (
    "--n-trials",
    "--max-total-trials",
    "--n-jobs",
    "--sampler",
    "--pruner",
    "--n-startup-trials",
    "--n-evaluations",
    "--optimization-log-path",
    "--no-optim-plots",
)


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
                self.error(f"{first} is a flag of `zoo.py tune`")
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


def limit_blas_threads(requested: int) -> None:
    """Tells BLAS what it may take, which it reads when NumPy is imported."""
    cores = os.cpu_count() or 1
    if requested > cores:  # PyTorch crashes on very large numbers
        raise ZooError(f"--num-threads {requested}: this machine has {cores} cores")
    if requested > 0:
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, str(requested))
    # Cycles, as a power of 2, that its threads spin after a product: envs want the cores, too.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")


def where(args: argparse.Namespace) -> str:
    """The flags with which another command finds the same world and the same runs."""
    words = ["--env", args.env]
    if args.log_folder != "logs":
        words += ["--log-folder", args.log_folder]
    if args.gym_packages:
        words += ["--gym-packages", *args.gym_packages]
    return shlex.join(words)


def add_common(
    parser: Parser, *, needs_env: bool = True, takes_algo: bool = True, takes_device: bool = True
) -> None:
    """Adds the flags of every command that makes a world."""
    add = parser.add_argument
    if takes_algo:
        add(
            "--algo",
            default="ppo",
            type=algorithm,
            metavar="NAME",
            help=f"the algorithm: {', '.join(algorithm_names())} (default: ppo)",
        )
    add("--env", required=needs_env, metavar="ID", help="the world, e.g. SimpleAim-v0")
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
        default=-1 if parser.prog.endswith(("train", "tune")) else 0,
        metavar="N",
        help="governs everything random (train: default drawn and printed)",
    )
    if takes_device:
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


def add_model_choice(parser: Parser, what: str) -> None:
    """Adds the flags that name a trained model; ``what`` is done with it."""
    add = parser.add_argument
    add(
        "-f",
        "--folder",
        "--log-folder",
        dest="folder",
        default="logs",
        metavar="DIR",
        help="where runs are (default: logs)",
    )
    add(
        "--model",
        default=None,
        metavar="FILE",
        help=f"{what} this model instead of a run's: .zip, .safetensors, .npz or .onnx",
    )
    add(
        "--pretrained",
        nargs="?",
        const="",
        default=None,
        metavar="NAME",
        help=f"{what} an agent that comes with the world (`zoo.py list` names them)",
    )
    add(
        "--policy-kwargs",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="what an .npz of parameters alone does not tell, e.g. activation_fn:relu",
    )
    add(
        "--exp-id",
        type=int,
        default=0,
        metavar="N",
        help="the run's number (default 0: the newest; -1: no run folder)",
    )
    add("--load-best", action="store_true", help=f"{what} the best model instead of the last")
    add(
        "--load-checkpoint",
        type=int,
        default=None,
        metavar="STEPS",
        help=f"{what} this checkpoint",
    )
    add("--load-last-checkpoint", action="store_true", help=f"{what} the newest checkpoint")


def add_live(parser: Parser) -> None:
    """Adds the flags of worlds that are played live, in a window that is there."""
    add = parser.add_argument
    add("--live", action="store_true", help="press keys in OsuManiaLive-v0 (default: a dry run)")
    add(
        "--offline",
        action="store_true",
        help="say that it's played offline, logged out, unranked, on your own machine",
    )


def add_entry(parser: Parser) -> None:
    """Adds the flags that say where hyperparameters come from."""
    add = parser.add_argument
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


def add_opponent(parser: Parser, default: str) -> None:
    """Adds ``--opponent``: whom an agent plays where it isn't learning."""
    parser.add_argument(
        "--opponent",
        default=None,
        metavar="WHO",
        help="where two teams play, who plays the other one against the agent that is judged or "
        f"watched: random, itself, a model or a run (default: {default})",
    )


def add_experiment(parser: Parser) -> None:
    """Adds the flags of every command that trains: hyperparameters, rows, evaluations, folder."""
    add = parser.add_argument
    add(
        "-n",
        "--n-timesteps",
        type=int,
        default=-1,
        metavar="N",
        help="steps to train for (default: the entry's)",
    )
    add_entry(parser)
    add(
        "--eval-env-kwargs",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="arguments of the evaluation world (default: --env-kwargs)",
    )
    add(
        "--vec-env",
        choices=("auto", "dummy", "subproc", "shm", "vector", "jax"),
        default="auto",
        help="how rows are run; auto: the world's own vector form if it has one, else dummy or, "
        "where its steps are slow, shm; shm: worker processes over shared memory; jax: rollouts "
        "and updates in one jitted program (ppo_jax, functional worlds)",
    )
    add(
        "--workers",
        type=worker_count,
        default=None,
        metavar="N",
        help="worker processes of shm (default: one for each core); 0: auto takes none",
    )
    add("-f", "--log-folder", default="logs", metavar="DIR", help="where runs go (default: logs)")
    add("--eval-episodes", type=int, default=5, metavar="N", help="episodes of an evaluation")
    add("--n-eval-envs", type=int, default=None, metavar="N", help="rows of the evaluation env")
    add_opponent(parser, "random")


def algorithm(name: str) -> str:
    """An algorithm's name, for argparse's ``type``."""
    if name not in algorithm_names():
        suggestion = nearest(name, algorithm_names())
        raise argparse.ArgumentTypeError(
            f"unknown algorithm {name!r}{suggestion} (there are: {', '.join(algorithm_names())})"
        )
    return name


def worker_count(text: str) -> int:
    """A number of processes, for argparse's ``type``."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of processes, got {text!r}")
    return int(text)


def trial_id(text: str) -> str:
    """A trial's number or ``best``, for argparse's ``type``."""
    if text != "best" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected best or a trial's number, got {text!r}")
    return text


def boolean(text: str) -> bool:
    """True or false, for argparse's ``type``."""
    if text.lower() not in ("true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() in ("true", "1")
