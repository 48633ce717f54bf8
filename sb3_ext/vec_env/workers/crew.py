"""The trainer's side of its worker processes: it starts them, wakes them, hears them, ends them."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from sb3_ext.vec_env.workers import line, nursery
from sb3_ext.vec_env.workers.block import anonymous_file

__all__ = ["Crew", "WorkerError"]

_PATIENCE = 10.0  # seconds for workers to finish a step and close their envs
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_BEGIN = """
import sys
sys.path[:] = {path!r}
from sb3_ext.vec_env.workers.nursery import main
main(*{descriptors!r})
"""


class WorkerError(RuntimeError):
    """A worker process has died, hangs, or raised what can't be raised again here."""


@dataclass
class _Worker:
    """A worker as the trainer knows it.

    Attributes:
        title: For messages.
        orders: Descriptor of the pipe to it.
        answers: Of the pipe from it.
        notes: Of the file in which its interpreter writes what only it can tell.
        since: When it was told to do what it hasn't answered yet; None: it's idle.
    """

    title: str
    orders: int
    answers: int
    notes: int
    since: float | None = None


class Crew:
    """Worker processes and the one that minds them.

    Args:
        titles: A name for each worker, for messages.
        time_limit: Seconds that a worker may take for anything; None: as long as it likes.

    Attributes:
        memory: Descriptor of the file that all of them map.
    """

    def __init__(self, titles: list[str], time_limit: float | None) -> None:
        self.time_limit = time_limit
        self.memory = anonymous_file("sb3_ext")
        self._failure: WorkerError | None = None
        self._ends: dict[int, int] = {}  # of workers, as os.waitpid has it
        self._closed = False
        self._workers: list[_Worker] = []
        self._poll = select.poll()
        theirs: list[tuple[int, int, int]] = []
        for title in titles:
            (orders, to_worker), (from_worker, answers) = os.pipe(), os.pipe()
            worker = _Worker(title, to_worker, from_worker, anonymous_file("sb3_ext-notes"))
            self._workers.append(worker)
            theirs.append((orders, answers, worker.notes))
            self._poll.register(from_worker, select.POLLIN)
        self._index_of = {worker.answers: i for i, worker in enumerate(self._workers)}
        self._control, control = socket.socketpair()
        self._process = _start((control.fileno(), self.memory, *theirs))
        control.close()
        for orders, answers, _ in theirs:
            os.close(orders)
            os.close(answers)

    # Orders and answers

    def tell(self, index: int, order: bytes, content: bytes | None = None) -> None:
        """Gives an idle worker something to do.

        Raises:
            WorkerError: It's dead.
        """
        if self._failure is not None:
            raise self._failure
        worker = self._workers[index]
        assert worker.since is None, f"{worker.title} is at work"
        worker.since = time.monotonic()
        try:
            line.say(worker.orders, order, content)
        except BrokenPipeError:
            self._fail_by_death(index)

    def hear_some(self) -> dict[int, Any]:
        """Waits until workers that were told something have answered: what each says, or None.

        Raises:
            WorkerError: One of them is dead, or takes longer than the time limit.
            Exception: What a worker has raised.
        """
        heard = {}
        for index, is_error, content in self._answers():
            if is_error:
                raise _as_exception(self._workers[index].title, *content)
            heard[index] = content
        return heard

    def hear(self, indices: Iterable[int]) -> list[Any]:
        """Waits until these workers, all that are at work, have answered.

        Raises as :meth:`hear_some`.
        """
        heard: dict[int, Any] = {}
        wanted = list(indices)
        while len(heard) < len(wanted):
            heard.update(self.hear_some())
        return [heard[index] for index in wanted]

    def settle(self) -> None:
        """Waits until all workers are idle; whatever they answer is forgotten.

        Raises:
            WorkerError: One of them is dead, takes longer than the time limit, or all are closed.
        """
        if self._failure is not None:
            raise self._failure
        while any(worker.since is not None for worker in self._workers):
            self._answers()

    def _answers(self) -> list[tuple[int, bool, Any]]:
        if self._failure is not None:
            raise self._failure
        at_work = [worker.since for worker in self._workers if worker.since is not None]
        if not at_work:
            raise RuntimeError("no worker has anything to do: step_async(actions) comes first")
        patience = None
        if self.time_limit is not None:
            patience = max(0.0, 1e3 * (min(at_work) + self.time_limit - time.monotonic()))
        ready = self._poll.poll(patience)
        if not ready:
            self._fail_by_hanging()
        return [self._answer(self._index_of[pipe]) for pipe, _ in ready]

    def _answer(self, index: int) -> tuple[int, bool, Any]:
        worker = self._workers[index]
        try:
            code = line.hear(worker.answers)
            content = None if code == line.DONE else line.hear_rest(worker.answers)
        except EOFError:
            self._fail_by_death(index)
        worker.since = None
        return index, code == line.ERROR, None if content is None else pickle.loads(content)

    # What can go wrong

    def _fail_by_death(self, index: int) -> NoReturn:
        worker = self._workers[index]
        self._hear_of_ends(time.monotonic() + 1.0, index)
        status, how = self._ends.get(index), "has died"
        if status is not None and os.WIFSIGNALED(status):
            number = signal.Signals(os.WTERMSIG(status))
            how = f"was killed by {number.name}"
            if number == signal.SIGKILL:
                how += ", perhaps for lack of memory"
        elif status is not None:
            how = f"has ended with exit code {os.WEXITSTATUS(status)}"
        self._fail(f"{worker.title} {how}", worker)

    def _fail_by_hanging(self) -> NoReturn:
        late = min(
            (worker for worker in self._workers if worker.since is not None),
            key=lambda worker: worker.since or 0.0,
        )
        self._control.send(nursery.DUMP)
        time.sleep(0.2)  # for it to write down where it is
        self._control.send(nursery.END)
        self._fail(
            f"{late.title} has not answered for {self.time_limit:g} s: an env hangs, or needs a "
            "longer time_limit",
            late,
        )

    def _fail(self, message: str, worker: _Worker) -> NoReturn:
        self._failure = WorkerError(message)
        notes = os.pread(worker.notes, 1 << 16, 0).decode(errors="replace")
        if notes:
            self._failure.add_note(f"\n{worker.title}:\n{notes}")
        raise self._failure

    def _hear_of_ends(self, deadline: float, awaited: int | None = None) -> None:
        """Notes how workers have ended, until that one or all of them have, or it's late."""
        size = nursery.REPORT.size
        while awaited not in self._ends and len(self._ends) < len(self._workers):
            self._control.settimeout(max(1e-3, deadline - time.monotonic()))
            try:
                report = self._control.recv(size, socket.MSG_WAITALL)
            except OSError:  # it's late
                return
            if len(report) < size:  # nobody is left to tell
                return
            index, status = nursery.REPORT.unpack(report)
            self._ends[index] = status

    # The end

    def close(self) -> None:
        """Ends all workers; those that take longer than some seconds are killed."""
        if self._closed:
            return
        self._closed = True
        for worker in self._workers:  # the end of a line is the order to end
            os.close(worker.orders)
            os.close(worker.answers)
        try:
            patience = _PATIENCE if self._failure is None else 1.0
            self._hear_of_ends(time.monotonic() + patience)
        finally:
            self._kill()
            for worker in self._workers:
                os.close(worker.notes)
            os.close(self.memory)
            self._failure = WorkerError("the workers have been closed")

    def _kill(self) -> None:
        """Ends what is left; the process that minds the workers ends after them."""
        with contextlib.suppress(OSError):  # it has ended already
            self._control.send(nursery.END)
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:  # a process that even SIGKILL doesn't reach
            self._process.kill()
            self._process.wait()
        self._control.close()


def _start(descriptors: tuple[Any, ...]) -> subprocess.Popen[bytes]:
    control, memory, *workers = descriptors
    return subprocess.Popen(
        [
            sys.executable,
            *(f"-W{option}" for option in sys.warnoptions),
            "-c",
            _BEGIN.format(path=sys.path, descriptors=descriptors),
        ],
        stdin=subprocess.DEVNULL,
        pass_fds=[control, memory, *(descriptor for three in workers for descriptor in three)],
        env=dict.fromkeys(_THREADS, "1") | dict(os.environ),
    )


def _as_exception(title: str, name: str, message: str, trace: str, whole: bytes | None) -> Any:
    """What a worker has raised, with its traceback as a note."""
    error: BaseException = WorkerError(f"{title}: {name}: {message}")
    if whole is not None:
        with contextlib.suppress(Exception):  # its class may want other arguments than it has
            error = pickle.loads(whole)
    error.add_note(f"\n{title}:\n{trace}")
    return error
