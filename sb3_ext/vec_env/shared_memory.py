"""Envs in worker processes that share one block of memory, as a stable-baselines3 ``VecEnv``."""

import contextlib
import os
import pickle
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from sb3_ext.vec_env.episodes import name_of
from sb3_ext.vec_env.gymnasium import check_spaces
from sb3_ext.vec_env.rows import refuse_unless
from sb3_ext.vec_env.workers import line, pickling
from sb3_ext.vec_env.workers.block import Block
from sb3_ext.vec_env.workers.crew import Crew, WorkerError
from sb3_ext.vec_env.workers.members import News

__all__ = ["Ready", "SharedMemoryVecEnv", "WorkerError"]


class Ready(NamedTuple):
    """Rows that have been stepped, m of n, each field in their order."""

    rows: NDArray[np.intp]  # [m]
    observations: Any  # [m, ...] or a dict of such
    rewards: NDArray[np.float32]  # [m]
    dones: NDArray[np.bool_]  # [m]
    infos: list[dict[str, Any]]  # m of them


class _Seat(NamedTuple):
    """Where a row's env is.

    Attributes:
        worker: Its worker.
        member: Its number among the worker's envs.
        first: Its first row.
    """

    worker: int
    member: int
    first: int


class SharedMemoryVecEnv(VecEnv):
    """Envs in worker processes, several per worker, over one shared block.

    Rollouts equal those of ``DummyVecEnv`` with monitored envs and the same seeds: every row counts
    as monitored, so ``Monitor`` (which would bring torch into each worker) isn't needed. An info
    is an empty dict where the env has nothing to say.

    Workers are fresh interpreters that import neither torch nor the main script. Builders may be
    lambdas, and what is registered with Gymnasium here is known there. A builder may also return a
    Gymnasium ``VectorEnv`` in autoreset mode ``SAME_STEP``, each of whose rows is one here.

    An exception in an env is raised here, with the worker's traceback as a note, and ``reset()``
    goes on after it. A worker that has died or hangs is a :class:`WorkerError`, within a second of
    its death or at the time limit; then only ``close()`` is left.

    Args:
        env_fns: Build the envs, in the workers.
        n_workers: Processes; None: one for each core, but no more than builders.
        time_limit: Seconds that a worker may take for anything, be it a step of its envs or
            building them; None: as long as it likes.

    Raises:
        ValueError: No builders, a number of workers that makes no sense, or envs whose spaces
            differ.
        TypeError: A space isn't stable-baselines3's.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], gym.Env | gym.vector.VectorEnv]],
        n_workers: int | None = None,
        time_limit: float | None = 120.0,
    ) -> None:
        if os.name != "posix":
            raise NotImplementedError(
                "SharedMemoryVecEnv needs a POSIX system (Linux, macOS): use SubprocVecEnv"
            )
        if not env_fns:
            raise ValueError("SharedMemoryVecEnv needs at least one env: env_fns is empty")
        if n_workers is not None and n_workers < 1:
            raise ValueError(f"n_workers must be at least 1, not {n_workers}")
        if time_limit is not None and not time_limit > 0:
            raise ValueError(f"time_limit must be positive, or None, not {time_limit}")
        n_workers = min(n_workers or n_cores(), len(env_fns))
        parts = np.array_split(np.arange(len(env_fns)), n_workers)
        known = _registered()
        builders = [pickling.dumps((known, [env_fns[i] for i in part])) for part in parts]
        self._crew = Crew([_title(k, part) for k, part in enumerate(parts)], time_limit)
        self._end = weakref.finalize(self, self._crew.close)
        try:
            self._attach(self._ask_each(line.BUILD, builders))
        except BaseException:
            self._end()
            raise

    def _attach(self, built: list[list[tuple[int, bool, Any, Any]]]) -> None:
        """Lays out the block for what workers have built: rows, may_be_inactive, spaces of each."""
        _, _, *wanted = built[0][0]
        self.may_be_inactive = any(env[1] for part in built for env in part)
        self._is_asked = False
        self._seats: list[_Seat] = []  # of each row
        self._rows: list[NDArray[np.intp]] = []  # of each worker
        for worker, members in enumerate(built):
            start = len(self._seats)
            for member, (n_rows, _, *spaces) in enumerate(members):
                if spaces != wanted:
                    raise ValueError(
                        f"the env of row {len(self._seats)} has the spaces {spaces}, that of row 0 "
                        f"{wanted}: they must be the same"
                    )
                self._seats += [_Seat(worker, member, len(self._seats))] * n_rows
            self._rows.append(np.arange(start, len(self._seats)))
        n, (observation_space, action_space) = len(self._seats), wanted
        check_spaces(observation_space, action_space)
        given = [pickle.dumps((wanted, n, int(rows[0]))) for rows in self._rows]
        self._ask_each(line.ATTACH, given)
        self._block = Block(self._crew.memory, observation_space, action_space, n)
        self._acted = np.ones(n, bool)  # rows in whose step somebody has acted
        self._sent: dict[int, NDArray[np.intp]] = {}  # by worker
        self._start_time = time.time()
        self._returns, self._lengths = np.zeros(n), np.zeros(n, np.int64)
        super().__init__(n, observation_space, action_space)

    # Stepping

    def reset(self) -> VecEnvObs:
        """Reset every row and return the observations, ``[n_envs, ...]`` (a dict of such)."""
        self._sent.clear()
        self._crew.settle()
        given = [
            pickling.dumps([values[rows[0] : rows[-1] + 1] for values in (self._seeds, options)])
            for options in [self._options]
            for rows in self._rows
        ]
        for news in self._ask_each(line.RESET, given):
            for row, _, reset_info in news:
                self.reset_infos[row] = reset_info
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        return _rows_of(self._block.observations, ...)

    def active_rows(self) -> NDArray[np.bool_]:
        """Rows on whose newest observation somebody must act, bool ``[n_envs]``.

        Of rows that are under way it says what they acted on.
        """
        self._is_asked = True
        return self.present_rows()

    def present_rows(self) -> NDArray[np.bool_]:
        """The same for those who only look: they needn't leave the others out."""
        active = self._block.active.copy()
        for rows in self._sent.values():
            active[rows] = self._acted[rows]
        return active

    def step_async(self, actions: np.ndarray) -> None:
        """Wake the workers with the actions ``[n_envs, ...]``; ``step_wait`` waits for them.

        Raises:
            UnknownMaskError: Rows may be inactive, and nobody has ever asked which are.
            WorkerError: A worker has died.
        """
        self._refuse_if_sent("step")
        if self.may_be_inactive:
            refuse_unless(self._is_asked)
            self._acted[:] = self._block.active
        self._crew.settle()  # an earlier step may have been broken off
        self._block.actions[...] = np.asarray(actions).reshape(self._block.actions.shape)
        for worker in range(len(self._rows)):
            self._crew.tell(worker, line.STEP)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the step.

        Returns:
            Observations ``[n_envs, ...]``, rewards ``[n_envs]`` in float32, dones ``[n_envs]``
            and a list of one info dict per row.

        Raises:
            WorkerError: A worker has died, or hangs.
            Exception: What an env has raised.
        """
        # While the workers are at work: after their answers it would keep them waiting.
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self._lengths += self._acted
        news = self._crew.hear(range(len(self._rows)))
        block = self._block  # not before: an exception would hold it, and so its file
        self._returns += block.rewards
        for part in news:
            if part is not None:
                self._tell_infos(part, infos)
        rewards, dones = block.rewards.astype(np.float32), block.dones.copy()
        return _rows_of(block.observations, ...), rewards, dones, infos

    # Whoever is ready first

    def send(self, rows: Iterable[int], actions: np.ndarray) -> None:
        """Wake the workers of some rows only.

        Args:
            rows: m rows, none of which is under way; all rows of a vector env in a worker together.
            actions: ``[m, ...]``.

        Raises:
            ValueError: A row is under way already, or some rows of a vector env are missing.
        """
        chosen = np.asarray(rows, np.intp)
        if self.may_be_inactive:
            refuse_unless(self._is_asked)
        wanted = np.zeros(self.num_envs, bool)
        wanted[chosen] = True
        workers = sorted({self._seats[row].worker for row in chosen.tolist()})
        for worker in workers:
            if worker in self._sent:
                raise ValueError(f"rows {self._sent[worker].tolist()} are under way: recv() first")
            if not wanted[self._rows[worker]].all():
                self._check_whole(self._rows[worker], wanted)
        self._block.actions[chosen] = actions
        for worker in workers:
            own = self._rows[worker]
            woken = own[wanted[own]]
            self._block.wanted[own] = wanted[own]  # others may not have read theirs yet
            self._acted[woken] = self._block.active[woken]
            self._crew.tell(worker, line.STEP if len(woken) == len(own) else line.STEP_WANTED)
            self._sent[worker] = woken

    def recv(self, min_rows: int = 1) -> Ready:
        """Wait until so many rows, of those that were sent, have been stepped.

        Args:
            min_rows: At least so many, or all that are under way if they are fewer.

        Raises:
            ValueError: None are under way.
            WorkerError: A worker has died, or hangs.
            Exception: What an env has raised.
        """
        if not self._sent:
            raise ValueError("no row is under way: send() some first")
        min_rows = min(min_rows, sum(map(len, self._sent.values())))
        ready: list[NDArray[np.intp]] = []
        told: list[News] = []
        try:
            while sum(map(len, ready)) < min_rows:
                for worker, news in self._crew.hear_some().items():
                    ready.append(self._sent.pop(worker))
                    told += news or []
        except BaseException:  # what is under way is for nobody: reset() goes on
            self._sent.clear()
            raise
        rows = np.concatenate(ready)
        block = self._block
        rewards = block.rewards[rows]
        self._returns[rows] += rewards
        self._lengths[rows] += self._acted[rows]
        infos: dict[int, dict[str, Any]] = {row: {} for row in rows.tolist()}
        self._tell_infos(told, infos)
        return Ready(
            rows,
            _rows_of(block.observations, rows),
            rewards.astype(np.float32),
            block.dones[rows],
            list(infos.values()),
        )

    def _tell_infos(self, news: list[News], infos: Any) -> None:
        for row, info, reset_info in news:
            infos[row] = info
            if reset_info is not None:
                self.reset_infos[row] = reset_info
            if self._block.dones[row]:
                statistics = {
                    "r": round(float(self._returns[row]), 6),
                    "l": int(self._lengths[row]),
                    "t": round(time.time() - self._start_time, 6),
                }
                info.setdefault("episode", statistics)  # the env may have a Monitor
                self._returns[row] = 0.0
                self._lengths[row] = 0

    def _check_whole(self, rows: NDArray[np.intp], wanted: NDArray[np.bool_]) -> None:
        for row in rows.tolist():
            first = self._seats[row].first
            if wanted[row] != wanted[first]:
                raise ValueError(
                    f"rows {first} and {row} belong to one vector env: send them together"
                )

    @property
    def env_of_row(self) -> NDArray[np.intp]:
        """The first row of each row's env: rows of one env step together."""
        return np.array([seat.first for seat in self._seats])

    def _refuse_if_sent(self, what: str) -> None:
        if self._sent:
            under_way = np.concatenate(list(self._sent.values())).tolist()
            raise RuntimeError(f"{what}: rows {under_way} are under way, recv() them first")

    # Attributes and methods

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Get an attribute of the rows' envs.

        Raises:
            AttributeError: There is no such attribute.
        """
        return self._ask("get_attr", indices, attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the rows' envs; a vector env's is that of all its rows."""
        self._ask("set_attr", indices, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs
    ) -> list[Any]:
        """Call a method of the rows' envs, a vector env's once for all its rows.

        Raises:
            AttributeError: There is no such method.
            Exception: What it raises.
        """
        answers = self._ask("call", indices, method_name, method_args, method_kwargs)
        return self._each_its_own(answers, indices)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether the rows' envs have this wrapper; always so for ``Monitor``."""
        if wrapper_class is Monitor:
            return [True for _ in self._get_indices(indices)]
        # By its name: a worker needn't import what none of its envs has.
        return self._ask("is_wrapped", indices, name_of(wrapper_class))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The envs' frames, ``[height, width, 3]`` each; None without ``rgb_array``."""
        if self.render_mode != "rgb_array":
            warnings.warn(
                f"images need render_mode 'rgb_array', this one is {self.render_mode!r}",
                stacklevel=2,
            )
            return [None] * self.num_envs
        return [frame for frames in self._ask("render", self._firsts) for frame in frames]

    def snapshot(self) -> dict[str, Any] | None:
        """All rows' episodes under way, or None if an env can't tell them."""
        told = self._ask("snapshot", self._firsts)
        if None in told:
            return None
        returns, lengths = self._returns.copy(), self._lengths.copy()
        return {"envs": told, "returns": returns, "lengths": lengths}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on within the episodes of :meth:`snapshot`, with any number of workers.

        Raises:
            ValueError: It is of other envs.
        """
        if len(self._firsts) != len(snapshot["envs"]):
            raise ValueError(
                f"these are the episodes of {len(snapshot['envs'])} envs, here are "
                f"{len(self._firsts)}"
            )
        for first, told in zip(self._firsts, snapshot["envs"], strict=True):
            self._ask("restore", first, told)
        self._returns, self._lengths = snapshot["returns"].copy(), snapshot["lengths"].copy()

    @property
    def _firsts(self) -> list[int]:
        """The first row of each env."""
        return sorted({seat.first for seat in self._seats})

    def _ask(self, name: str, indices: VecEnvIndices, *arguments: Any) -> list[Any]:
        """Call a method of the rows' envs as their workers know them: one answer per row."""
        self._refuse_if_sent(name)
        self._crew.settle()
        seats = [self._seats[row] for row in self._get_indices(indices)]
        asked: dict[int, dict[_Seat, None]] = {}
        for seat in seats:
            asked.setdefault(seat.worker, {})[seat] = None
        for worker, theirs in asked.items():
            order = (name, [seat.member for seat in theirs], arguments)
            self._crew.tell(worker, line.CALL, pickling.dumps(order))
        heard = zip(asked.values(), self._crew.hear(asked), strict=True)
        answers = {
            seat: answer
            for theirs, told in heard
            for seat, answer in zip(theirs, told, strict=True)
        }
        return [answers[seat] for seat in seats]

    def _each_its_own(self, answers: list[Any], indices: VecEnvIndices) -> list[Any]:
        """Of answers that list all rows of an env, each row's."""
        rows = self._get_indices(indices)
        return [
            answer[row - self._seats[row].first] for row, answer in zip(rows, answers, strict=True)
        ]

    def _ask_each(self, order: bytes, contents: list[bytes]) -> list[Any]:
        for worker, content in enumerate(contents):
            self._crew.tell(worker, order, content)
        return self._crew.hear(range(len(contents)))

    def close(self) -> None:
        """Close the envs and end the workers; those that don't within seconds are killed."""
        self._end()
        self.__dict__.pop("_block", None)  # with its descriptor of the file


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _registered() -> list[bytes]:
    """The specs that Gymnasium knows here and not in a fresh interpreter, each pickled."""
    specs = []
    for spec in gym.registry.values():
        if not str(spec.entry_point or spec.vector_entry_point).startswith("gymnasium."):
            with contextlib.suppress(Exception):  # then a worker can't make it
                specs.append(pickling.dumps(spec))
    return specs


def _title(worker: int, builders: NDArray[np.intp]) -> str:
    first, last = builders[0], builders[-1]
    which = f"env {first}" if first == last else f"envs {first} to {last}"
    return f"worker {worker} ({which})"


def _rows_of(observations: Any, rows: Any) -> Any:
    """Copies of some rows' observations."""
    if isinstance(observations, dict):
        return {key: np.array(part[rows]) for key, part in observations.items()}
    return np.array(observations[rows])
