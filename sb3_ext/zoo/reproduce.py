"""Training a run again from its folder alone, and comparing what comes of it."""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

from sb3_ext.zoo.checkpoints import read_state
from sb3_ext.zoo.commands.train import build_parser
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.experiment import carry_out
from sb3_ext.zoo.hyperparams import Entry
from sb3_ext.zoo.recorded import Recorded, merged
from sb3_ext.zoo.runs import env_name

# What a run may leave undone without another result.
NOT_NEEDED = {
    "final_eval_episodes": 0,
    "keys": False,
    "live_view": False,
    "save_freq": -1,
    "save_replay_buffer": False,
    "tensorboard_log": "",
    "track": False,
    "uuid": False,
}


def reproduce(recorded: Recorded, args: argparse.Namespace) -> int:
    """Trains a run again (``zoo.py reproduce``).

    Args:
        recorded: The run.
        args: The command line.

    Returns:
        The process's exit code: 0 if the parameters are equal, 1 if not, 130 after Ctrl-C.

    Raises:
        ZooError: If the run did not come to its end, or cannot be begun again.
    """
    before = _summary(recorded)
    told = _history(before)
    if args.verbose > 0:
        for line in told:
            print(f"that run {line}")
    again = merged(recorded, build_parser().parse_all(["--env", str(before["env"])]), [])
    vars(again).update(NOT_NEEDED)
    for name in ("num_threads", "progress", "verbose"):
        setattr(again, name, getattr(args, name))
    entry = Entry(recorded.config, recorded.env_id, str(recorded.config_file))
    with tempfile.TemporaryDirectory(prefix="reproduce-") as spare:
        again.log_folder = args.keep or spare
        run, after = carry_out(again, entry=entry)
    if after["interrupted"]:
        return 130
    if args.keep and args.verbose > 0:
        print(f"trained again in {run.folder}")
    if after["parameters_sha256"] == before["parameters_sha256"]:
        print(f"equal, bit for bit: {before['parameters_sha256']} after {before['steps']:,} steps")
        return 0
    print(
        f"different: {before['parameters_sha256']} after {before['steps']:,} steps, and trained "
        f"again {after['parameters_sha256']} after {after['steps']:,}"
    )
    causes = [*told, *differences(before, after)]
    for cause in causes or ["nothing that is recorded: the world or the device may be at random"]:
        print(f"  what differs: {cause}")
    return 1


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What two summaries tell of versions, machine and rows that is not the same in both."""
    found = []
    for group in ("versions", "machine"):
        then, now = before.get(group) or {}, after.get(group) or {}
        if not then:
            found.append(f"the run does not tell its {group}")
        for name in sorted(then.keys() | now.keys() if then else ()):
            if then.get(name) != now.get(name):
                found.append(f"{name} was {then.get(name, 'absent')}, is {now.get(name, 'absent')}")
    for name in ("seed", "n_envs", "vec_env"):
        if before.get(name) != after.get(name):
            found.append(f"{name} was {before.get(name)}, is {after.get(name)}")
    return found


def _summary(recorded: Recorded) -> dict[str, Any]:
    path = recorded.folder / "summary.json"
    if not path.is_file():
        raise ZooError(
            f"{recorded.folder} has no summary.json: it did not come to its end (--resume goes on "
            "with it), or is RL Zoo's own"
        )
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        model = recorded.folder / f"{env_name(recorded.env_id)}.zip"
        # It may have been the evaluation afterwards that was interrupted.
        ended = "error" not in summary and (
            not summary["interrupted"] or (model.is_file() and read_state(model) is not None)
        )
        known = {name: summary[name] for name in ("env", "parameters_sha256", "steps")}
    except Exception as error:  # a damaged file may hold anything
        raise ZooError(f"{path} is damaged ({reason(error)})") from error
    if not ended:
        raise ZooError(
            f"{recorded.folder} broke off after {known['steps']} steps, at a moment that does not "
            "come again: --resume goes on with it"
        )
    return summary


def _history(summary: dict[str, Any]) -> list[str]:
    """What an uninterrupted training would have done otherwise."""
    return [
        f"went on at step {each['steps']}: {why}"
        for each in summary.get("resumed", [])
        for why in each["inexact"]
    ]
