"""Worker processes that outlive a signal to their whole process group, but never the trainer."""

from __future__ import annotations

import atexit
import contextlib
import signal
import threading
import weakref
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.zoo.interruption import SIGNALS

# Seconds for worker processes to finish a step and close their envs.
PATIENCE = 10.0


def leave_signals_to_the_trainer() -> None:
    """For worker processes, which end when the trainer hangs up or is gone.

    Ctrl-C reaches every process of a terminal, SIGTERM often every process of a job: a trainer
    whose workers are dead could not finish the step it is in.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def hang_up_at_exit(workers: Any) -> None:
    """Ends worker processes before multiprocessing waits for them.

    It sends them SIGTERM, which they leave to the trainer, and would wait forever for one that
    was not closed.

    Args:
        workers: With ``remotes``: a SubprocVecEnv or an AsyncEval.
    """
    there = weakref.ref(workers)

    def hang_up() -> None:
        for remote in getattr(there(), "remotes", ()):
            remote.close()

    atexit.register(hang_up)


def close(env: VecEnv) -> None:
    """Closes an env, however it is wrapped, whose workers may be dead or in mid-step."""
    inner: Any = env
    while hasattr(inner, "venv"):
        inner = inner.venv
    if hasattr(inner, "processes"):
        close_workers(env, inner.processes)
    else:
        with contextlib.suppress(Exception):  # somebody's farewell; nothing is lost by it
            env.close()


def close_workers(workers: Any, processes: list[Any]) -> None:
    """Closes worker processes; kills those that do not answer.

    A step that was broken off may have left half of an answer in a pipe, and the other half is
    waited for in vain.

    Args:
        workers: What is to be closed.
        processes: Its processes.
    """

    def ask() -> None:
        with contextlib.suppress(Exception):
            workers.close()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    for process in processes:
        if process.is_alive():
            process.kill()
