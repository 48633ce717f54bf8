"""The command line: dispatch, and what an error looks like. Flags are in ``commands/``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from sb3_ext.zoo.commands import SUMMARIES
from sb3_ext.zoo.errors import RunError, ZooError, nearest, reason
from sb3_ext.zoo.flags import OPTIMIZE_FLAGS
from sb3_ext.zoo.streams import patient_output

# A missing one means a Python without our installation, not a fault of ours.
BASE_PACKAGES = ("gymnasium", "numpy", "sb3_contrib", "stable_baselines3", "torch", "yaml")


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
    if command == "train" and not set(arguments).isdisjoint(OPTIMIZE_FLAGS):
        command = "tune"
        arguments = [argument for argument in arguments if argument not in OPTIMIZE_FLAGS]
    if command not in SUMMARIES:
        print(
            f"zoo.py: error: unknown command {command!r}{nearest(command, SUMMARIES)}"
            f" (there are: {', '.join(SUMMARIES)})",
            file=sys.stderr,
        )
        return 2
    module = import_module(f"sb3_ext.zoo.commands.{command}")
    if not arguments and command != "list":
        module.build_parser().print_help()
        return 2
    try:
        args = module.build_parser().parse_all(arguments)
    except SystemExit as stop:  # argparse's way of ending
        return int(stop.code or 0)
    try:
        return module.run(args)
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
