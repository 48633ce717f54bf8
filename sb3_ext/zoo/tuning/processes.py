"""Runs a command's trials, in this process or in several of its own."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import optuna

from sb3_ext.zoo import registry
from sb3_ext.zoo.errors import reason
from sb3_ext.zoo.interruption import SIGNALS, Interruption
from sb3_ext.zoo.streams import patient_output
from sb3_ext.zoo.tuning.objective import Objective
from sb3_ext.zoo.tuning.opening import Tuning, equip
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.storage import Place, load_study, open_storage
from sb3_ext.zoo.tuning.worker import Worker

# Seconds for processes to leave a trial once they are asked to.
PATIENCE = 30.0
POLL = 0.5  # seconds between two looks at them
# One thread for JAX, which knows no other way; processes share the cores.
XLA_FLAGS = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def run_trials(tuning: Tuning, interruption: Interruption) -> None:
    """Runs the trials that a command line asks for.

    Args:
        tuning: The study.
        interruption: Signals to heed.

    Raises:
        KeyboardInterrupt: If interrupted.
    """
    args = tuning.args
    # --max-total-trials takes precedence, as in RL Zoo.
    n_trials = None if args.max_total_trials is not None else args.n_trials
    if args.n_jobs > 1:
        _work_in_processes(tuning, n_trials, interruption)
        return
    left = itertools.count() if n_trials is None else iter(range(n_trials))
    claim = partial(_is_left, left)
    _worker(args, tuning.place, tuning.study, tuning.objective, claim, interruption).run()


def _is_left(numbers: Iterator[int]) -> bool:
    return next(numbers, None) is not None


def _worker(
    args: argparse.Namespace,
    place: Place,
    study: optuna.Study,
    objective: Objective,
    claim: Callable[[], bool],
    interruption: Interruption,
) -> Worker:
    storage = open_storage(place.storage, create=False)
    assert storage is not None
    tell, limit = teller(args.verbose), args.max_total_trials
    return Worker(study, storage, objective, claim, limit, interruption, tell)


def teller(verbose: int) -> Callable[[str], None]:
    """What prints a line, at once; with ``--verbose 0`` it does not."""
    return partial(print, flush=True) if verbose > 0 else lambda line: None


def _work_in_processes(tuning: Tuning, n_trials: int | None, interruption: Interruption) -> None:
    """Processes, as trainings are Python: threads would wait for one another.

    They are started afresh: a fork would copy the threads of the frameworks half-way.
    """
    context = multiprocessing.get_context("spawn")
    claims = None if n_trials is None else context.Semaphore(n_trials)
    arguments = (tuning.args, tuning.place, tuning.plan, claims, os.getpid())
    processes = [
        context.Process(target=_process, args=arguments) for _ in range(tuning.args.n_jobs)
    ]
    try:
        with _signals_ignored():  # theirs: this process asks them to end
            for process in processes:
                process.start()
        with interruption.answering():
            while any(process.is_alive() for process in processes):
                processes[0].join(POLL)
                processes.append(processes.pop(0))
                if interruption.received:  # and its KeyboardInterrupt got lost
                    raise KeyboardInterrupt
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
        for process in processes:
            if process.pid is not None:
                process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C, nor that the terminal has gone."""
    numbers = [number for number in SIGNALS if number != signal.SIGTERM]
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _process(args: argparse.Namespace, place: Place, plan: Plan, claims: Any, parent: int) -> None:
    """One process of ``--n-jobs``."""
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    with patient_output(), Interruption() as interruption, warnings.catch_warnings():
        if args.verbose < 2:
            warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            registry.import_packages(args.gym_packages)
            with interruption.answering():
                objective = Objective(plan, args, interruption, lambda: os.getppid() != parent)
            found = load_study(place)
            assert found is not None
            equip(found[0], args, plan)
            claim = (
                itertools.repeat(True).__next__
                if claims is None
                else partial(claims.acquire, False)
            )
            _worker(args, place, found[0], objective, claim, interruption).run()
        except KeyboardInterrupt:
            sys.exit(130)
        except (Exception, SystemExit) as error:
            if args.verbose > 1:
                traceback.print_exception(error)
            print(f"zoo.py tune: a process of --n-jobs failed: {reason(error)}", file=sys.stderr)
            sys.exit(1)
