"""The process that workers are forked from: what all of them import, it has imported once.

It's a fresh interpreter, so workers know nothing of the trainer's threads, modules and main
script, and share their libraries' memory. Afterwards it only minds them: it tells of those that
have ended, and ends the others when the trainer is gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import struct
import time

from sb3_ext.vec_env.workers.worker import work

__all__ = ["DUMP", "END", "REPORT", "main"]

END = b"e"  # kill the workers that are left
DUMP = b"d"  # let all of them write down where they are
REPORT = struct.Struct("=ii")  # a worker's index and how it ended, as os.waitpid has it

_PATIENCE = 5.0  # seconds for workers to close their envs when the trainer is gone
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(control: int, memory: int, *workers: tuple[int, int, int]) -> None:
    """Forks the workers and minds them; in a worker it returns when that one's work is done.

    Args:
        control: Descriptor of the trainer's socket.
        memory: Of the shared block's file.
        workers: Of each worker's pipe from the VecEnv, pipe to it, and file for notes.
    """
    # Ctrl-C and a job's SIGTERM reach every process of a group. They are the trainer's business:
    # without its workers it couldn't finish the step it is in. Not SIG_IGN, which what envs start
    # would inherit.
    for number in _SIGNALS:
        signal.signal(number, _leave_it_to_the_trainer)
    gc.freeze()  # the collector would write to, and so unshare, the pages of what is imported
    children: dict[int, int] = {}
    for index, descriptors in enumerate(workers):
        pid = os.fork()
        if pid == 0:
            os.close(control)
            for others in workers[index + 1 :]:
                _close(others)
            work(*descriptors[:2], memory, descriptors[2])
            return
        children[pid] = index
        _close(descriptors)
    os.close(memory)
    _mind(control, children)


def _leave_it_to_the_trainer(*_: object) -> None:
    pass


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _mind(control: int, children: dict[int, int]) -> None:
    """Until no child is left."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _leave_it_to_the_trainer)  # it only has to wake select()
    watched, deadline = [ended, control], None
    _reap(control, children)
    while children:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], patience)
        if ended in ready:
            os.read(ended, 4096)
        order = os.read(control, 1) if control in ready else None
        if order == DUMP:
            _signal(children, signal.SIGUSR1)
        elif order == b"":  # nobody is there
            watched, deadline = [ended], time.monotonic() + _PATIENCE
        if order == END or (deadline is not None and time.monotonic() >= deadline):
            _signal(children, signal.SIGKILL)
            deadline = None
        _reap(control, children)


def _reap(control: int, children: dict[int, int]) -> None:
    """Tells of the children that have ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with contextlib.suppress(OSError):  # nobody may want to know
            os.write(control, REPORT.pack(children.pop(pid), status))


def _signal(children: dict[int, int], number: signal.Signals) -> None:
    for pid in children:
        os.kill(pid, number)
