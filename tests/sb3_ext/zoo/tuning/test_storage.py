"""A study survives those who work on it, whenever they are killed."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.tuning import storage as storage_module
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.storage import (
    PLAN,
    Place,
    create_study,
    describe_study,
    find_place,
    load_study,
    masked,
    open_storage,
)
from sb3_ext.zoo.tuning.worker import (
    DEATHS,
    ERROR,
    HEARTBEAT_PATIENCE,
    IS_ENTRY,
    MOST_RETRIES,
    RETRY_OF,
    WORKER,
    is_dead,
    machine,
    requeue_dead,
)

PLANNED = Plan("ppo", "A-v0", {"n_timesteps": 1}, [], None, 1, 1, 1, 1, 1, None)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(params=["journal", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    location = {
        "journal": str(tmp_path / "a" / "s.journal"),
        "sqlite": f"sqlite:///{tmp_path}/s.db",
    }[request.param]
    return Place(location, "s", tmp_path / "s", given=True)


def opened(place: Place) -> tuple[optuna.Study, BaseStorage]:
    study = create_study(place)
    assert study is not None
    describe_study(study, PLANNED, None)
    storage = open_storage(place.storage, create=False)
    assert storage is not None
    return study, storage


def running(study: optuna.Study, worker: dict[str, Any] | None, **attributes: Any) -> int:
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
    for key, value in attributes.items():
        trial.set_user_attr(key, value)
    return trial.number


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def here(pid: int, seconds_ago: float = 0.0) -> dict[str, Any]:
    return {"machine": machine(), "pid": pid, "alive": time.time() - seconds_ago}


def test_a_study_is_made_once_and_found_with_its_plan(place: Place) -> None:
    assert load_study(place) is None
    opened(place)
    assert create_study(place) is None
    found = load_study(place)
    assert found is not None
    assert found[1] == PLANNED


def test_looking_for_a_study_makes_nothing(place: Place, tmp_path: Path) -> None:
    assert load_study(place) is None
    assert list(tmp_path.iterdir()) == []


def test_a_trial_of_a_dead_process_is_failed_and_queued_again(place: Place) -> None:
    study, storage = opened(place)
    number = running(study, here(dead_process()), **{IS_ENTRY: True})
    requeue_dead(study, storage)
    requeue_dead(study, storage)  # as another process may, too
    dead, again = study.trials
    assert (dead.number, dead.state) == (number, TrialState.FAIL)
    assert dead.user_attrs[ERROR] == "its process died"
    assert again.state == TrialState.WAITING
    assert again.user_attrs == {DEATHS: 1, RETRY_OF: number, IS_ENTRY: True}
    retried = study.ask()
    assert retried.number == again.number
    assert retried.suggest_float("x", 0, 1) == dead.params["x"]
    assert retried.suggest_categorical("kind", ["a", "b"]) == dead.params["kind"]


def test_a_trial_that_kills_its_process_is_given_up(place: Place) -> None:
    study, storage = opened(place)
    running(study, here(dead_process()), **{DEATHS: MOST_RETRIES})
    requeue_dead(study, storage)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_trials_of_the_living_are_left_alone(place: Place) -> None:
    study, storage = opened(place)
    running(study, here(os.getpid()))
    running(study, {"machine": "elsewhere", "pid": 1, "alive": time.time() - 100})
    running(study, None)
    requeue_dead(study, storage)
    assert {trial.state for trial in study.trials} == {TrialState.RUNNING}


def test_signs_of_life_stand_for_processes_elsewhere_and_numbers_used_again(place: Place) -> None:
    study, _ = opened(place)
    old = HEARTBEAT_PATIENCE + 10
    running(study, {"machine": "elsewhere", "pid": 1, "alive": time.time() - old})
    running(study, here(os.getpid(), old))
    assert [is_dead(trial) for trial in study.trials] == [True, True]


def test_a_trial_that_nobody_signed_is_dead_after_a_while(place: Place) -> None:
    study, _ = opened(place)
    running(study, None)
    trial: FrozenTrial = study.trials[0]
    assert not is_dead(trial)
    assert trial.datetime_start is not None
    trial.datetime_start = trial.datetime_start.fromtimestamp(time.time() - 400)
    assert is_dead(trial)


def test_an_ended_process_that_nobody_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()  # until it has closed it, which is near its end
        end = time.monotonic() + 10
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING, user_attrs={WORKER: here(process.pid)}
        )
        while not is_dead(trial):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_half_a_line_is_cut_off_by_the_next_who_writes(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "s.journal"), "s", tmp_path, given=True)
    study, _ = opened(place)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    path = Path(place.storage)
    whole = path.read_bytes()
    for torn in (b'{"op_code":4,"wor', b"{", b'{"op_code":5,"worker_id":"a"}'):
        path.write_bytes(whole + torn)
        found = load_study(place)
        assert found is not None
        found[0].add_trial(optuna.trial.create_trial(value=2.0))
        assert [trial.value for trial in study.trials] == [1.0, 2.0]
        for line in path.read_bytes().splitlines():
            json.loads(line)
        path.write_bytes(whole)
        study = load_study(place)[0]  # type: ignore[index]


def test_a_lock_that_somebody_was_killed_with_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "LOCK_PATIENCE", 3)
    place = Place(str(tmp_path / "s.journal"), "s", tmp_path, given=True)
    study, _ = opened(place)
    Path(f"{place.storage}.lock").touch()
    found = load_study(place)
    assert found is not None
    found[0].add_trial(optuna.trial.create_trial(value=1.0))
    assert len(study.trials) == 1


def test_a_relative_journal_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, _ = opened(Place("s.journal", "s", tmp_path, given=True))
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert list((tmp_path / "b").iterdir()) == []


def test_a_foreign_study_is_refused(place: Place) -> None:
    storage = open_storage(place.storage, create=True)
    optuna.create_study(study_name="s", storage=storage).add_trial(
        optuna.trial.create_trial(value=1.0)
    )
    with pytest.raises(ZooError, match="was not begun by"):
        load_study(place)


def test_a_study_whose_maker_was_killed_can_be_described(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "CREATION_PATIENCE", 0.2)
    create_study(place)
    found = load_study(place)
    assert found is not None
    assert found[1] is None
    describe_study(found[0], PLANNED, {"x": 0.5})
    assert load_study(place)[1] == PLANNED  # type: ignore[index]
    assert found[0].user_attrs[PLAN]["env"] == "A-v0"


@pytest.mark.parametrize("text", ["no journal\n", "no journal", "[1]\n", '{"a": 1}\n'])
def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ZooError, match=r"notes\.txt: is no journal"):
        open_storage(str(path), create=True)
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nosuch://x", "nosuch"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:////no/such/folder/x.db", "unable to open"),
        ("/dev/null/x.journal", "/dev/null"),
    ],
)
def test_a_storage_that_cannot_be_used_says_why(location: str, message: str) -> None:
    with pytest.raises(ZooError, match=message):
        open_storage(location, create=True)


def test_a_database_may_be_made_by_several_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def make(i: int) -> bool:
        barrier.wait()
        return open_storage(f"sqlite:///{tmp_path}/{i // 4}.db", create=True) is not None

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(make, range(16)))


def test_passwords_are_not_shown() -> None:
    assert masked("mysql://me:secret@host/db") == "mysql://me:***@host/db"
    assert masked("sqlite:///a:b@c.db") == "sqlite:///a:b@c.db"
    assert (
        str(Place("postgresql+x://u:p@h/d", "s", Path(), given=True)) == "postgresql+x://u:***@h/d"
    )


def test_new_studies_are_numbered(tmp_path: Path) -> None:
    home = tmp_path / "tune" / "ppo" / "A-v0"
    home.mkdir(parents=True)
    for name in ("study_2", "study_10", "mine", "study_x"):
        (home / f"{name}.journal").touch()
    place = find_place(None, None, str(tmp_path), "ppo", "A-v0")
    assert place.study_name == "study_11"
    assert place.storage == str(home / "study_11.journal")
    assert find_place(None, None, str(tmp_path), "ppo", "B-v0").study_name == "study_1"


def test_new_studies_are_numbered_in_a_database_too(place: Place, tmp_path: Path) -> None:
    storage = open_storage(place.storage, create=True)
    optuna.create_study(study_name="study_4", storage=storage)
    assert find_place(place.storage, None, "logs", "ppo", "A-v0").study_name == "study_5"


@pytest.mark.parametrize("name", ["a/b", "..", "", " ", "a\\b", ".hidden", "a\nb"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(ZooError, match="--study-name"):
        find_place(None, name, "logs", "ppo", "A-v0")
