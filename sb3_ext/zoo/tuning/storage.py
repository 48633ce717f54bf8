"""Where a study lives: in a journal file by default, or wherever an Optuna URL says.

Several processes share a study. Whatever two of them might do at once is left to what the storage
does in one piece: a study is created once, a trial is finished once.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sb3_ext.zoo.errors import ZooError, nearest, reason
from sb3_ext.zoo.runs import env_name
from sb3_ext.zoo.tuning.objective import IS_ENTRY
from sb3_ext.zoo.tuning.plan import Plan

PLAN = "zoo"  # the study's attribute with its plan
SUFFIX = ".journal"
# Seconds after which a lock that somebody was killed with is taken from them; a write takes
# thousandths.
LOCK_PATIENCE = 10
# Seconds that whoever has just created a study has to describe it.
CREATION_PATIENCE = 10.0
CREATION_ATTEMPTS = 10  # at a database's tables, while others make them too
DATABASE_TIMEOUT = 60  # seconds that SQLite waits for another process


@dataclass(frozen=True)
class Place:
    """Where a study is, or would be.

    Attributes:
        storage: A database URL, or a journal's path.
        study_name: Its name there.
        folder: Where its table, pictures and best entry go.
        given: Whether the user named the storage.
    """

    storage: str
    study_name: str
    folder: Path
    given: bool

    def __str__(self) -> str:
        return masked(self.storage)


def masked(location: str) -> str:
    """A storage's URL without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", location)


def find_place(
    storage: str | None, study_name: str | None, log_folder: str, algo: str, env_id: str
) -> Place:
    """Where the study of a command line is; without a name, a new one after the newest.

    Args:
        storage: ``--storage``; None is a journal of its own below the log folder.
        study_name: ``--study-name``.
        log_folder: Usually ``logs``.
        algo: The algorithm's name.
        env_id: The world.

    Raises:
        ZooError: If the name cannot be a file's, or the storage cannot be read.
    """
    home = Path(log_folder) / "tune" / algo / env_name(env_id)
    if study_name is not None and not re.fullmatch(r"[\w@+=,-][\w@+=,. -]*", study_name):
        raise ZooError(
            f"--study-name {study_name!r}: may have letters, digits and _ - + = , . @ only"
        )
    if study_name is None:
        names = [path.stem for path in home.glob(f"*{SUFFIX}")] if storage is None else None
        if names is None:
            there = open_storage(str(storage), create=False)
            names = [] if there is None else optuna.get_all_study_names(there)
        numbers = [int(match[1]) for name in names if (match := re.fullmatch(r"study_(\d+)", name))]
        study_name = f"study_{max(numbers, default=0) + 1}"
    place = str(storage) if storage is not None else str(home / f"{study_name}{SUFFIX}")
    return Place(place, study_name, home / study_name, storage is not None)


def open_storage(location: str, *, create: bool) -> BaseStorage | None:
    """Opens a storage.

    Args:
        location: A database URL, or the path of a journal.
        create: Whether to make one where there is none.

    Returns:
        The storage, or None where there is none and none is to be made.

    Raises:
        ZooError: If there is something else, or it cannot be reached or written.
    """
    try:
        if "://" in location:
            return _database(location, create)
        return _journal(Path(location).absolute(), create)
    except ZooError:
        raise
    except Exception as error:  # databases and their drivers fail in their own ways
        raise ZooError(f"cannot use the storage {masked(location)}: {reason(error)}") from error


def _database(url: str, create: bool) -> BaseStorage | None:
    scheme, _, path = url.partition("://")
    options: dict[str, Any] = {}
    if scheme.partition("+")[0] == "sqlite":
        file = path[1:].partition("?")[0]
        if file in ("", ":memory:"):
            raise ZooError(f"--storage {url}: a database in memory would be lost; name a file")
        if not create and not Path(file).is_file():
            return None
        options["connect_args"] = {"timeout": DATABASE_TIMEOUT}
    for _ in range(CREATION_ATTEMPTS - 1):
        try:
            return RDBStorage(url, engine_kwargs=options)
        except SQLAlchemyError as error:
            # Another process is just making the same tables, and Optuna makes them one by one.
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    return RDBStorage(url, engine_kwargs=options)


def _journal(path: Path, create: bool) -> BaseStorage | None:
    if path.exists():
        _check_journal(path)
    elif create:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        return None
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_MendingLock(path)))


def _check_journal(path: Path) -> None:
    with path.open("rb") as file:
        first = file.readline()
    try:
        is_journal = not first or "op_code" in json.loads(first)
    except (ValueError, TypeError):
        is_journal = False
    if not is_journal:
        raise ZooError(f"--storage {path}: is no journal of Optuna's")


class _MendingLock(JournalFileOpenLock):
    """A journal's lock; whoever gets it cuts off half a line that another was killed at.

    Left there, it would be joined with the next line, and the journal could not be read again.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), grace_period=LOCK_PATIENCE)
        self._path = path

    def acquire(self) -> bool:
        super().acquire()
        try:
            self._mend()
        except BaseException:
            self.release()
            raise
        return True

    def _mend(self) -> None:
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0 or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def load_study(place: Place) -> tuple[optuna.Study, Plan | None] | None:
    """The study of a place and its plan; None if there is no study.

    The plan is None where whoever made the study was killed before it could describe it.

    Raises:
        ZooError: If it is not one of ours, or the storage cannot be used.
    """
    storage = open_storage(place.storage, create=False)
    if storage is None or place.study_name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=place.study_name, storage=storage)
    end = time.monotonic() + CREATION_PATIENCE
    while PLAN not in study.user_attrs:
        if study.get_trials(deepcopy=False):
            raise ZooError(
                f"the study {place.study_name!r} in {place} was not begun by `zoo.py tune`: "
                "choose another --study-name"
            )
        if time.monotonic() > end:
            return study, None
        time.sleep(0.1)  # another process has just made it
    return study, Plan.from_attribute(study.user_attrs[PLAN])


def create_study(place: Place) -> optuna.Study | None:
    """Makes a study; None if there is one already.

    Raises:
        ZooError: If the storage cannot be written.
    """
    storage = open_storage(place.storage, create=True)
    try:
        return optuna.create_study(
            study_name=place.study_name, storage=storage, direction="maximize"
        )
    except DuplicatedStudyError:
        return None


def describe_study(study: optuna.Study, plan: Plan, entry: dict[str, Any] | None) -> None:
    """Tells others what a new study is for; its first trial is the plan's own entry.

    Args:
        study: The study.
        plan: How its trials are trained and judged.
        entry: The entry as Optuna's parameters; None where they are not known.
    """
    study.set_user_attr(PLAN, plan.as_attribute())
    if entry is not None:
        study.enqueue_trial(entry, user_attrs={IS_ENTRY: True})


def known_studies(place: Place) -> str:
    """What else there is where a study was not found, as the end of a sentence."""
    if place.given:
        there = open_storage(place.storage, create=False)
        names = [] if there is None else sorted(optuna.get_all_study_names(there))
    else:
        names = sorted(path.stem for path in place.folder.parent.glob(f"*{SUFFIX}"))
    known = f"there are: {', '.join(names)}" if names else "there are none"
    return f"({known}){nearest(place.study_name, names)}"
