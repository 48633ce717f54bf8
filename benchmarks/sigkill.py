"""Kills trainings with SIGKILL at random moments, and goes on with each until it is through.

    python benchmarks/sigkill.py --kills 200

Every run saves a checkpoint after every rollout. After each kill ``zoo.py enjoy`` must play the
newest checkpoint, and ``zoo.py --resume`` goes on with the run. A run that came to its end, however
often it was killed, must equal one that was never interrupted: parameters, episodes, evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from callbacks.checkpoint import checkpoints_in
from sb3_ext.zoo import enjoy, experiment  # noqa: F401  (before the first fork)
from sb3_ext.zoo.checkpoints import read_state
from sb3_ext.zoo.cli import main as zoo

ENV = "TargetReach-v0"
ROLLOUT = 512
TRAINING = (
    "--env", ENV, "--save-freq", str(ROLLOUT), "--keep-checkpoints", "3", "--eval-freq", "4000",
    "--eval-episodes", "4", "--final-eval-episodes", "0",
    "-params", "n_envs:8", f"n_steps:{ROLLOUT // 8}", "n_epochs:2", "normalize:True",
)  # fmt: skip


def main() -> None:
    """Kills until the count is reached, and reports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--algo", default="ppo_numpy")
    parser.add_argument("-n", "--n-timesteps", type=int, default=60_000, help="of each run")
    parser.add_argument("--longest", type=float, default=0.6, help="s from a checkpoint to a kill")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, counts, seed = random.Random(args.seed), Counter[str](), args.seed
    with tempfile.TemporaryDirectory(prefix="sigkill-") as folder:
        os.chdir(folder)
        while counts["kills"] < args.kills:
            seed += 1
            command = ["--algo", args.algo, "--seed", str(seed), "-n", str(args.n_timesteps)]
            killed, whole = Path(f"killed_{seed}"), Path(f"whole_{seed}")
            until_it_ends(killed, [*command, *TRAINING], args, rng, counts)
            if wait(start("-f", str(whole), *command, *TRAINING)) != 0:
                fail("the uninterrupted run failed")
            if records(newest(killed)) != records(newest(whole)):
                fail(f"seed {seed}: the killed run and the uninterrupted one differ")
            counts["runs that equal an uninterrupted one"] += 1
            print(", ".join(f"{name}: {count}" for name, count in counts.items()), flush=True)


def until_it_ends(
    folder: Path, command: list[str], args: argparse.Namespace, rng: random.Random, counts: Counter
) -> None:
    """Kills a run again and again, as long as there are kills left, until it ends."""
    process = start("-f", str(folder), *command)
    known = -1
    while True:
        known, code = wait_for_a_checkpoint(process, folder, known)
        if code is None and counts["kills"] < args.kills:
            time.sleep(rng.uniform(0, args.longest))
            code = poll(process)
        elif code is None:
            code = wait(process)
        if code is not None:
            if code != 0:
                fail(f"a training ended with {code}")
            return
        os.killpg(process, signal.SIGKILL)
        if wait(process) == 0:  # it was through in that moment
            return
        counts["kills"] += 1
        run = newest(folder)
        counts["in the middle of a write"] += any(run.rglob("*.tmp"))
        played = start("enjoy", "-f", str(folder), *command[:2], "--env", ENV, *PLAYING)
        if wait(played) != 0:
            fail(f"{run}: its newest checkpoint does not play")
        counts["newest checkpoints that play"] += 1
        state = read_state(list(checkpoints_in(run).values())[-1])
        if state is None:
            fail(f"{run}: its newest checkpoint holds no training state")
        if (run / "summary.json").is_file():  # all was written
            return
        known = max(checkpoints_in(run))
        process = start("--resume", str(run))


PLAYING = ("--load-last-checkpoint", "--no-render", "-n", "60", "--verbose", "0")


def start(*arguments: str) -> int:
    """``zoo.py`` in a process of its own; forked, so that it need not import everything anew."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(zoo(list(arguments)))
    return process


def poll(process: int) -> int | None:
    """The exit code, or None while it runs; a signal's number is negative."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def wait(process: int) -> int:
    """The exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def wait_for_a_checkpoint(process: int, folder: Path, known: int) -> tuple[int, int | None]:
    """Waits until a run has a newer checkpoint than the known one, or ends."""
    while (code := poll(process)) is None:
        run = newest(folder)
        steps = max(checkpoints_in(run), default=-1) if run is not None else -1
        if steps > known:
            return steps, None
        time.sleep(0.005)
    return known, code


def newest(folder: Path) -> Any:
    """The newest run below a log folder, or None."""
    runs = [path for path in folder.glob(f"*/{ENV}_*")]
    return max(runs, key=lambda path: int(path.name.rpartition("_")[2]), default=None)


def records(run: Path) -> dict[str, Any]:
    """What must be equal."""
    with np.load(run / "evaluations.npz") as file:
        evaluations = {name: file[name].tolist() for name in file.files}
    rows = (run / "monitor.csv").read_text().splitlines()[2:]
    return {
        "parameters": json.loads((run / "summary.json").read_text())["parameters_sha256"],
        "episodes": [row.split(",")[:2] for row in rows],
        "evaluations": evaluations,
    }


def fail(message: str) -> Any:
    """Ends, with what the processes have printed last."""
    print(Path("log.txt").read_text()[-3000:])
    sys.exit(f"FAILED: {message}")


if __name__ == "__main__":
    main()
