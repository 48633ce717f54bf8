"""Runs a grid's cells as processes, so many at a time, whatever becomes of each."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from sb3_ext.zoo.comparison.grid import Cell, Grid
from sb3_ext.zoo.comparison.progress import GridProgress
from sb3_ext.zoo.interruption import Interruption

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
XLA_ON_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
WORKER = "sb3_ext.zoo.comparison.worker"
# Seconds between two looks at the processes.
PAUSE = 0.1
WRONG_INPUT = 2


@dataclass(frozen=True)
class Failure:
    """A run that did not come to its end.

    Attributes:
        cell: Which.
        reason: Why, in one line.
        log: What it printed.
        code: Its exit code, negative for a signal's number.
    """

    cell: Cell
    reason: str
    log: Path
    code: int


@dataclass
class Course:
    """How it went.

    Attributes:
        failures: The runs that failed.
        interrupted: Whether it was broken off by a signal.
    """

    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False


class Runner:
    """Runs cells until all have ended; one that fails does not stop the others.

    A run that is refused as wrong input would be refused with any seed: the algorithm's further
    runs on that world are not begun.

    Args:
        grid: Their folder.
        cells: In this order.
        n_jobs: At most so many at a time.
        progress: Is told what begins and ends.
    """

    def __init__(self, grid: Grid, cells: list[Cell], n_jobs: int, progress: GridProgress) -> None:
        self._grid = grid
        self._waiting = deque(cells)
        self._n_jobs = n_jobs
        self._progress = progress
        self._running: dict[Cell, subprocess.Popen[bytes]] = {}
        # Which of those that run go on where a killed one was.
        self._going_on: set[Cell] = set()
        self._course = Course()

    def run(self) -> Course:
        """Runs them; a signal interrupts those that run, and what they have is saved."""
        with Interruption() as interruption:
            try:
                with interruption.answering():
                    while self._waiting or self._running:
                        self._fill()
                        time.sleep(PAUSE)
                        self._progress.look(self._running)
                        self._collect()
            except KeyboardInterrupt:
                self._course.interrupted = True
            finally:
                self._end()
        return self._course

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._n_jobs:
            cell = self._waiting.popleft()
            self._grid.wait_for(cell)
            unfinished = self._grid.resumable(cell)
            if unfinished is None:
                self._grid.clear(cell)
                self._running[cell] = self._start(cell, self._grid.command(cell))
            else:
                self._going_on.add(cell)
                self._running[cell] = self._start(cell, self._grid.resumption(unfinished))
            self._progress.began(cell, goes_on=unfinished is not None)

    def _start(self, cell: Cell, command: list[str]) -> subprocess.Popen[bytes]:
        log = self._grid.log(cell)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", WORKER, str(self._grid.lock(cell)), *command],
                stdin=subprocess.PIPE,  # its end tells the run that it is alone
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(self._grid.plan.n_threads),
            )

    def _collect(self) -> None:
        for cell, process in list(self._running.items()):
            if process.poll() is None:
                continue
            del self._running[cell]
            _hang_up(process)
            self._grid.lock(cell).unlink(missing_ok=True)
            run = self._grid.finished(cell)
            if run is not None:
                self._progress.finished(cell, run)
            elif process.returncode == WRONG_INPUT and cell in self._going_on:
                self._grid.clear(cell)  # it cannot go on: it begins anew
                self._waiting.appendleft(cell)
            else:
                self._fail(cell, process.returncode)
            self._going_on.discard(cell)

    def _fail(self, cell: Cell, code: int) -> None:
        log = self._grid.log(cell)
        failures = [Failure(cell, _reason(code, log), log, code)]
        if code == WRONG_INPUT:
            siblings = [c for c in self._waiting if (c.algo, c.env_id) == (cell.algo, cell.env_id)]
            for sibling in siblings:
                self._waiting.remove(sibling)
                why = f"not begun, as seed {cell.seed} was refused"
                failures.append(Failure(sibling, why, log, code))
        for failure in failures:
            self._course.failures.append(failure)
            self._progress.failed(failure)

    def _end(self) -> None:
        """Interrupts what still runs, and waits until it is saved."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()
            _hang_up(process)


def _environment(n_threads: int) -> dict[str, str]:
    """A run finds the modules that this process finds, and keeps to its threads."""
    environment = os.environ | dict.fromkeys(BLAS_THREADS, str(n_threads))
    if n_threads == 1:
        flags = (os.environ.get("XLA_FLAGS", ""), XLA_ON_ONE_THREAD)
        environment["XLA_FLAGS"] = " ".join(filter(None, flags))
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def _reason(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    text = log.read_text(encoding="utf-8", errors="replace")
    told = re.findall(r"^zoo\.py train: error: (.*)$", text, re.MULTILINE)
    if told:
        return str(told[-1])
    if code == 130:
        return "interrupted by a signal"
    lines = text.strip().splitlines()
    return f"exit code {code}" + (f": {lines[-1]}" if lines else "")
