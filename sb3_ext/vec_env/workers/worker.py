"""A worker's life: it builds its envs, steps them when woken, and ends when the line goes dead."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from typing import Any

import cloudpickle
import gymnasium as gym

from sb3_ext.vec_env.workers import line
from sb3_ext.vec_env.workers.block import Block
from sb3_ext.vec_env.workers.members import Member, News, member_of

__all__ = ["work"]

Answer = tuple[bytes, bytes | None]


def work(orders: int, answers: int, memory: int, notes: int) -> None:
    """Does what it is told until it's told to stop, or nobody is there any more.

    Args:
        orders: Descriptor of the pipe from the VecEnv.
        answers: Of the pipe to it.
        memory: Of the shared block's file.
        notes: Of the file for what only the interpreter can tell: a crash, or where a hang is.
    """
    faulthandler.enable(notes)
    faulthandler.register(signal.SIGUSR1, notes)
    _be_polite()
    rows = _Rows(memory)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            order = line.hear(orders)
            try:
                answer = rows.obey(order, orders)
            except BaseException as error:  # SystemExit from somebody's env, too
                answer = line.ERROR, _told(error)
            line.say(answers, *answer)
    rows.close()


def _be_polite() -> None:
    """Makes this process one that a wake-up never puts in another's place.

    Linux may wake a worker on the trainer's core, before the trainer has woken the next: both
    would wait for a whole step.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):  # forbidden in some containers
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class _Rows:
    """All members of a worker."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._members: list[Member] = []
        self._block: Block

    def obey(self, order: bytes, orders: int) -> Answer:
        """The answer to an order."""
        if order == line.STEP:
            return self._step(self._members)
        if order == line.STEP_WANTED:
            wanted = self._block.wanted
            return self._step([member for member in self._members if wanted[member.first]])
        given = pickle.loads(line.hear_rest(orders))
        if order == line.BUILD:
            return line.ANSWER, self._build(*given)
        if order == line.ATTACH:
            self._attach(*given)
            return line.DONE, None
        if order == line.RESET:
            return line.NEWS, _pickled(self._reset(*given))
        name, members, arguments = given
        return line.ANSWER, _pickled([getattr(self._members[m], name)(*arguments) for m in members])

    def _build(self, specs: list[bytes], builders: list[Any]) -> bytes:
        for builder in builders:
            try:
                env = builder()
            except gym.error.UnregisteredEnv:
                if not specs:
                    raise
                _register(specs)  # only now: some may bring large packages along
                specs = []
                env = builder()
            self._members.append(member_of(env))
        return _pickled([(m.n_rows, m.may_be_inactive, *m.spaces) for m in self._members])

    def _attach(self, spaces: tuple[Any, Any], n_rows: int, first: int) -> None:
        self._block = Block(self._memory, *spaces, n_rows)
        for member in self._members:
            member.attach(self._block, first)
            first += member.n_rows

    def _reset(self, seeds: list[Any], options: list[Any]) -> list[News]:
        news, start = [], 0
        for member in self._members:
            own = slice(start, start := start + member.n_rows)
            news += member.reset(seeds[own], options[own])
        return news

    def _step(self, members: list[Member]) -> Answer:
        news: list[News] = []
        for member in members:
            member.step(news)
        return (line.NEWS, _pickled(news)) if news else (line.DONE, None)

    def close(self) -> None:
        """Closes every env, whatever the others say."""
        for member in self._members:
            try:
                member.close()
            except Exception:
                traceback.print_exc(file=sys.stderr)


def _register(specs: list[bytes]) -> None:
    for pickled in specs:
        with contextlib.suppress(Exception):  # something that only the trainer has
            spec = pickle.loads(pickled)
            gym.registry.setdefault(spec.id, spec)


def _pickled(content: Any) -> bytes:
    try:
        return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    except Exception:  # something local to the env: slower, but it knows more
        return cloudpickle.dumps(content)


def _told(error: BaseException) -> bytes:
    """An exception as (name, message, traceback, itself pickled or None)."""
    trace = "".join(traceback.format_exception(error))
    try:
        whole = cloudpickle.dumps(error) if isinstance(error, Exception) else None
    except Exception:
        whole = None
    return pickle.dumps((type(error).__name__, str(error), trace, whole))
