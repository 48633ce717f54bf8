"""One process's trials, beside others of the same study, any of which may be killed."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import pstdev

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sb3_ext.zoo.errors import reason
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.tuning.objective import IS_ENTRY, RETURNS, Objective

# What a trial keeps of who runs it, and of how it ended.
WORKER, ERROR, DEATHS, RETRY_OF = "worker", "error", "deaths", "retry_of"
INTERRUPTED, DIED = "interrupted", "its process died"
# Seconds between two signs of life of a running trial, and without one until it counts as dead:
# that is how processes on other machines are known to live.
HEARTBEAT, HEARTBEAT_PATIENCE = 30.0, 300.0
# A trial whose process dies is run again so many times: it may be what kills it.
MOST_RETRIES = 2
# The states that RL Zoo counts for --max-total-trials.
COUNTED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass
class Worker:
    """Runs trials of a study until there are enough.

    Attributes:
        study: With sampler and pruner.
        storage: The study's.
        objective: What a trial is.
        claim: Whether this process may run one more trial.
        max_total_trials: Of all processes, failed ones not counted; None: no limit.
        interruption: Signals to heed.
        tell: Is given a line per finished trial.
    """

    study: optuna.Study
    storage: BaseStorage
    objective: Objective
    claim: Callable[[], bool]
    max_total_trials: int | None
    interruption: Interruption
    tell: Callable[[str], None]

    def run(self) -> None:
        """Runs them.

        Raises:
            KeyboardInterrupt: If interrupted; the trial that was running is queued again.
        """
        # Trainings leave cycles of large arrays; what is there now is not looked through for them.
        gc.collect()
        gc.freeze()
        try:
            while not self._enough() and self.claim():
                if self.interruption.received:
                    raise KeyboardInterrupt
                requeue_dead(self.study, self.storage)
                trial = self.study.ask()
                if self._is_surplus(trial.number):
                    _put_back(self.study, self.storage, trial.number)
                    return
                self._run(trial)
        finally:
            gc.unfreeze()

    def _enough(self) -> bool:
        limit = self.max_total_trials
        return limit is not None and len(self._counted()) >= limit

    def _is_surplus(self, number: int) -> bool:
        """Whether others were quicker: two processes may have begun the last trial at once."""
        if self.max_total_trials is None:
            return False
        rank = sum(trial.number <= number for trial in self._counted())
        return rank > self.max_total_trials

    def _counted(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=COUNTED)

    def _run(self, trial: optuna.Trial) -> None:
        start = time.monotonic()
        try:
            with _heartbeat(trial), _quiet(self.objective.args.verbose):
                state, value = self._attempt(trial)
            told = self.study.tell(trial, value, state, skip_if_finished=True)
        except KeyboardInterrupt:
            _requeue(self.study, self.storage, trial.number, INTERRUPTED)
            raise
        except UpdateFinishedTrialError:
            told = None
        if told is None or told.state != state:
            self.tell(f"trial {trial.number}: another process took it for dead; not counted")
        else:
            self.tell(self._line(told, time.monotonic() - start))

    def _attempt(self, trial: optuna.Trial) -> tuple[TrialState, float | None]:
        try:
            with self.interruption.answering():
                return TrialState.COMPLETE, self.objective(trial)
        except optuna.TrialPruned:
            return TrialState.PRUNED, None
        except UpdateFinishedTrialError:
            raise
        except (Exception, SystemExit) as error:  # the world's or the hyperparameters' fault
            trial.set_user_attr(ERROR, reason(error))
            return TrialState.FAIL, None

    def _line(self, trial: FrozenTrial, seconds: float) -> str:
        best = best_trial(self.study)
        so_far = "" if best is None else f"; best {best.value:.2f} (trial {best.number})"
        return f"trial {trial.number}: {told_of(trial)}, {seconds:.1f} s{so_far}"


def told_of(trial: FrozenTrial) -> str:
    """How a trial ended, in a few words."""
    if trial.state == TrialState.COMPLETE:
        returns = trial.user_attrs.get(RETURNS, [])
        spread = f" ± {pstdev(returns):.2f} over {len(returns)} seeds" if len(returns) > 1 else ""
        return f"{trial.value:.2f}{spread}"
    if trial.state == TrialState.PRUNED:
        step, value = max(trial.intermediate_values.items())
        return f"pruned at {value:.2f} (evaluation {step})"
    if trial.state == TrialState.FAIL:
        return f"failed ({trial.user_attrs.get(ERROR, 'unknown')})"
    return trial.state.name.lower()


def best_trial(study: optuna.Study) -> FrozenTrial | None:
    """The finished trial with the highest score; None without any."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(trials, key=lambda trial: trial.value or 0.0, default=None)


def requeue_dead(study: optuna.Study, storage: BaseStorage) -> None:
    """Fails the trials whose process is gone, and queues their parameters again."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if is_dead(trial):
            _requeue(study, storage, trial.number, DIED)


def is_dead(trial: FrozenTrial) -> bool:
    """Whether nobody runs a trial any more that is marked as running.

    On this machine its process is looked for; elsewhere it counts as dead after five minutes
    without a sign of life, where clocks are taken to agree within that.
    """
    worker = trial.user_attrs.get(WORKER)
    if worker is None:  # killed, or not yet there, between asking for the trial and signing it
        assert trial.datetime_start is not None
        return time.time() - trial.datetime_start.timestamp() > HEARTBEAT_PATIENCE
    if worker["machine"] == machine() and not _exists(worker["pid"]):
        return True
    return time.time() - worker["alive"] > HEARTBEAT_PATIENCE


def machine() -> str:
    """Where process ids mean the same: a host, and on Linux a container of it."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _exists(pid: int) -> bool:
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] != "Z"  # ended, and its parent has not noticed


def _requeue(study: optuna.Study, storage: BaseStorage, number: int, error: str) -> None:
    trial = study.get_trials(deepcopy=False)[number]
    deaths = trial.user_attrs.get(DEATHS, 0) + (error == DIED)
    try:
        storage.set_trial_user_attr(_id(study, storage, number), ERROR, error)
        study.tell(number, state=TrialState.FAIL)
    except (UpdateFinishedTrialError, ValueError):
        return  # somebody else has just done it
    if trial.params and deaths <= MOST_RETRIES:
        attributes = {DEATHS: deaths, RETRY_OF: number}
        if IS_ENTRY in trial.user_attrs:
            attributes[IS_ENTRY] = trial.user_attrs[IS_ENTRY]
        study.enqueue_trial(trial.params, user_attrs=attributes)


def _put_back(study: optuna.Study, storage: BaseStorage, number: int) -> None:
    """A trial that nothing was done for waits for whoever wants more trials."""
    storage.set_trial_state_values(_id(study, storage, number), state=TrialState.WAITING)


def _id(study: optuna.Study, storage: BaseStorage, number: int) -> int:
    study_id = storage.get_study_id_from_name(study.study_name)
    return storage.get_trial_id_from_study_id_trial_number(study_id, number)


@contextlib.contextmanager
def _heartbeat(trial: optuna.Trial) -> Iterator[None]:
    """Signs a trial as this process's, again and again while it runs."""
    over = threading.Event()

    def sign() -> None:
        signature = {"machine": machine(), "pid": os.getpid(), "alive": time.time()}
        trial.set_user_attr(WORKER, signature)

    def beat() -> None:
        while not over.wait(HEARTBEAT):
            with contextlib.suppress(Exception):  # the next one may succeed
                sign()

    sign()
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _quiet(verbose: int) -> Iterator[None]:
    """Other packages' warnings, once a trial, are noise; ``--verbose 2`` shows them."""
    with warnings.catch_warnings():
        if verbose < 2:
            warnings.simplefilter("ignore")
        yield
