"""A process's trials: whatever happens in one, or to one, the next is begun."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from optuna.trial import TrialState

from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.tuning.objective import Objective
from sb3_ext.zoo.tuning.storage import Place, create_study, open_storage
from sb3_ext.zoo.tuning.worker import ERROR, Worker

COMPLETE, PRUNED, FAIL, WAITING = (
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.WAITING,
)


class Task:
    """Something to do in a trial, in the place of a training."""

    args = argparse.Namespace(verbose=0)

    def __init__(self, *steps: Callable[[optuna.Trial], Any]) -> None:
        self.steps = list(steps)

    def __call__(self, trial: optuna.Trial) -> float:
        trial.suggest_float("x", 0, 1)
        return float(self.steps.pop(0)(trial))


def fails(error: BaseException) -> Callable[[optuna.Trial], float]:
    def step(trial: optuna.Trial) -> float:
        raise error

    return step


def gives(value: float) -> Callable[[optuna.Trial], float]:
    return lambda trial: value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return Place(str(tmp_path / "s.journal"), "s", tmp_path, given=True)


def work(
    place: Place, *steps: Callable[[optuna.Trial], Any], limit: int | None = None
) -> tuple[optuna.Study, list[str]]:
    study = create_study(place) or optuna.load_study(
        study_name="s", storage=open_storage(place.storage, create=False)
    )
    storage = open_storage(place.storage, create=False)
    assert storage is not None
    lines: list[str] = []
    left = iter(steps)
    claim = (lambda: next(left, None) is not None) if limit is None else (lambda: True)
    objective = cast(Objective, Task(*steps))
    with Interruption() as interruption:
        Worker(study, storage, objective, claim, limit, interruption, lines.append).run()
    return study, lines


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]


def reports_and_is_pruned(trial: optuna.Trial) -> float:
    trial.report(0.25, 3)
    raise optuna.TrialPruned


def test_every_end_is_recorded_and_told(place: Place) -> None:
    study, lines = work(
        place,
        gives(2.0),
        fails(ValueError("two\nlines")),
        fails(SystemExit(3)),
        reports_and_is_pruned,
        gives(3.0),
        fails(FloatingPointError("nan")),
    )
    assert states(study) == [COMPLETE, FAIL, FAIL, PRUNED, COMPLETE, FAIL]
    assert study.trials[1].user_attrs[ERROR] == "two lines"
    told = [line.partition(",")[0] for line in lines]
    assert told == [
        "trial 0: 2.00",
        "trial 1: failed (two lines)",
        "trial 2: failed (SystemExit: 3)",
        "trial 3: pruned at 0.25 (evaluation 3)",
        "trial 4: 3.00",
        "trial 5: failed (FloatingPointError: nan)",
    ]
    assert lines[3].endswith("best 2.00 (trial 0)")
    assert lines[4].endswith("best 3.00 (trial 4)")


def test_an_interrupted_trial_is_queued_again(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt):
        work(place, gives(1.0), fails(KeyboardInterrupt()), gives(3.0))
    study, _ = work(place, gives(5.0))
    assert states(study) == [COMPLETE, FAIL, COMPLETE]
    assert study.trials[2].params == study.trials[1].params


@pytest.mark.parametrize("ends", [gives(9.0), fails(ValueError("late")), reports_and_is_pruned])
def test_a_trial_that_was_taken_for_dead_ends_nothing(
    place: Place, ends: Callable[[optuna.Trial], float]
) -> None:
    def taken(trial: optuna.Trial) -> float:
        trial.study.tell(trial.number, state=FAIL)  # as another process would
        return ends(trial)

    study, lines = work(place, taken, gives(1.0))
    assert states(study) == [FAIL, COMPLETE]
    assert lines[0] == "trial 0: another process took it for dead; not counted"


def test_failed_trials_do_not_count_for_the_total(place: Place) -> None:
    study, _ = work(place, gives(1.0), fails(ValueError()), reports_and_is_pruned, limit=2)
    assert states(study) == [COMPLETE, FAIL, PRUNED]
    work(place, limit=2)
    assert len(study.trials) == 3


def test_the_last_trial_is_begun_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the count and the beginning, another process begins one."""
    ask = optuna.Study.ask

    def ask_second(study: optuna.Study) -> optuna.Trial:
        study.add_trial(optuna.trial.create_trial(value=0.5))
        return ask(study)

    monkeypatch.setattr(optuna.Study, "ask", ask_second)
    study, lines = work(place, limit=1)
    assert states(study) == [COMPLETE, WAITING]
    assert lines == []
    monkeypatch.undo()
    study, _ = work(place, gives(4.0), limit=2)
    assert states(study) == [COMPLETE, COMPLETE], "it waited for whoever wants more"
