"""The rollout: what was collected since the last update, in SB3's names and shapes."""

from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.base import Batch
from sb3_ext.functional.advantages import gae, gae_of_segments

__all__ = [
    "RolloutBuffer",
    "StepLocals",
    "all_finite",
    "as_network_actions",
    "as_one_step",
    "check_finite",
    "check_finite_ends",
    "our_buffer",
    "rows_of",
    "rows_of_samples",
    "samples_of",
    "stack",
    "truncated",
]


class RolloutBuffer:
    """Transitions of rows that step together, each field ``[n_steps, n_envs, ...]``.

    Fields: ``observations`` (a dict of arrays for a Dict space), ``actions`` (as the distribution
    knows them: before clipping, counted from 0), ``rewards`` (of a truncated episode's last step
    with ``gamma V(terminal observation)`` added), ``episode_starts``, ``values``, ``log_probs``,
    ``advantages``, ``returns``. They are allocated once and stay where they are.

    Args:
        buffer_size: n_steps.
        observation_space: Of one row.
        action_space: Of one row.
        device: Accepted as SB3 has it; the arrays are NumPy's, so it must be a CPU.
        gae_lambda: lambda of GAE.
        gamma: Discount factor.
        n_envs: Rows.

    Attributes:
        active: ``[n_steps, n_envs]`` of bool: transitions that count; None: all of them do. The
            last active transition of a row that goes away must be an episode's end.
        rows: ``[n_steps * n_envs]``: which row each transition is of, where every row went at its
            own pace and they lie one after the other as they came; None: a column is a row.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: Any = "cpu",
        gae_lambda: float = 1.0,
        gamma: float = 0.99,
        n_envs: int = 1,
    ) -> None:
        if str(device) not in ("cpu", "auto"):
            raise ValueError(f"a rollout lies in NumPy arrays, device={device!r} is impossible")
        self.buffer_size, self.n_envs = buffer_size, n_envs
        self.observation_space, self.action_space = observation_space, action_space
        self.gae_lambda, self.gamma = gae_lambda, gamma
        self.action_dim = int(np.prod(_shape(action_space)))
        shape = (buffer_size, n_envs)
        self.observations = _zeros(observation_space, shape)
        self.actions = np.zeros((*shape, self.action_dim), action_space.dtype)
        names = "rewards episode_starts values log_probs advantages returns"
        for name in names.split():
            setattr(self, name, np.zeros(shape, np.float32))
        self.rewards: NDArray[np.float32]
        self.episode_starts: NDArray[np.float32]
        self.values: NDArray[np.float32]
        self.log_probs: NDArray[np.float32]
        self.advantages: NDArray[np.float32]
        self.returns: NDArray[np.float32]
        self.active: NDArray[np.bool_] | None = None
        self.rows: NDArray[np.intp] | None = None
        self.pos, self.full = 0, False

    def reset(self) -> None:
        """Begin a new rollout; the old numbers stay until they are overwritten."""
        self.pos, self.full, self.active, self.rows = 0, False, None, None

    def size(self) -> int:
        """Steps stored."""
        return self.pos

    def put(
        self,
        obs: Any,
        actions: NDArray,
        rewards: NDArray,
        episode_starts: NDArray,
        active: NDArray[np.bool_] | None = None,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        """Store a step; values and log-probabilities may follow later.

        Args:
            obs: What the actions were chosen from.
            actions: ``[m, ...]``.
            rewards: ``[m]``.
            episode_starts: ``[m]``, whether ``obs`` begins an episode.
            active: ``[m]``, whether the transition counts; None: all of them do.
            rows: ``[m]``, of which rows; None: of all n_envs.
        """
        if rows is not None:
            active = np.ones(len(rows), bool) if active is None else active
            self._append(rows, active, obs, actions, rewards, episode_starts)
            return
        t = self.pos
        if isinstance(self.observations, dict):
            for key, stored in self.observations.items():
                stored[t] = np.asarray(obs[key]).reshape(stored.shape[1:])
        else:
            stored = self.observations[t]
            stored[...] = obs if obs.shape == stored.shape else np.reshape(obs, stored.shape)
        self.actions[t] = actions.reshape(self.n_envs, self.action_dim)
        self.rewards[t] = rewards
        self.episode_starts[t] = episode_starts
        if active is not None:
            if self.active is None:
                self.active = np.zeros((self.buffer_size, self.n_envs), bool)
            self.active[t] = active
        self.pos = t + 1
        self.full = self.pos == self.buffer_size

    def _append(
        self,
        rows: NDArray[np.intp],
        active: NDArray[np.bool_],
        obs: Any,
        actions: NDArray,
        rewards: NDArray,
        episode_starts: NDArray,
    ) -> None:
        """Store those that count after all that came before."""
        capacity = self.values.size
        if self.rows is None or self.active is None:
            self.rows = np.zeros(capacity, np.intp)
            self.active = np.zeros((self.buffer_size, self.n_envs), bool)
        counted = np.flatnonzero(active)
        first = int(np.count_nonzero(self.active))
        new = slice(first, first + len(counted))
        pairs = [
            (self.actions, actions),
            (self.rewards, rewards),
            (self.episode_starts, episode_starts),
        ]
        if isinstance(self.observations, dict):
            pairs += [(stored, obs[key]) for key, stored in self.observations.items()]
        else:
            pairs.append((self.observations, obs))
        for stored, values in pairs:
            place = stored.reshape(capacity, *stored.shape[2:])[new]
            place[...] = np.asarray(values)[counted].reshape(place.shape)
        self.rows[new] = rows[counted]
        self.active.reshape(-1)[new] = True
        self.pos = new.stop // self.n_envs
        self._newest = np.full(len(rows), -1)
        self._newest[counted] = np.arange(new.start, new.stop)

    @property
    def newest(self) -> NDArray[np.intp]:
        """Which transition each of the last step's rows is, ``[m]``; -1 where it isn't stored."""
        if self.rows is not None:
            return self._newest
        return np.arange((self.pos - 1) * self.n_envs, self.pos * self.n_envs)

    def add(
        self,
        obs: Any,
        action: NDArray,
        reward: NDArray,
        episode_start: NDArray,
        value: Any,
        log_prob: Any,
    ) -> None:
        """Store one step with SB3's arguments; value and log_prob may be CPU tensors."""
        self.values[self.pos] = np.asarray(value).reshape(self.n_envs)
        self.log_probs[self.pos] = np.asarray(log_prob).reshape(self.n_envs)
        self.put(obs, np.asarray(action), reward, episode_start)

    def store_predictions(self, values: NDArray, log_probs: NDArray) -> None:
        """Values and log-probabilities of the transitions that count, in the order of `rows_of`."""
        chosen = slice(None) if self.active is None else np.flatnonzero(self.active)
        self.values.reshape(-1)[chosen] = values
        self.log_probs.reshape(-1)[chosen] = log_probs

    def compute_returns_and_advantage(self, last_values: Any, dones: NDArray) -> None:
        """Fill ``advantages`` and ``returns`` (see ``functional/advantages.py``).

        Args:
            last_values: V of the observation after the last step, ``[n_envs]`` or ``[n_envs, 1]``.
            dones: Whether the last step ended the row's episode, ``[n_envs]``.
        """
        last = np.asarray(last_values, np.float32).reshape(self.n_envs)
        constants = (self.gamma, self.gae_lambda)
        if self.active is None:
            ends = np.concatenate([self.episode_starts[1:], np.asarray(dones, np.float32)[None]])
            self.advantages[:] = gae(self.rewards, self.values, ends, last, *constants)
        else:
            paths = self._paths()
            starts, flat_ends = self.episode_starts.reshape(-1), np.zeros(self.values.size, bool)
            for row, path in paths.items():
                flat_ends[path[:-1]] = starts[path[1:]]
                flat_ends[path[-1]] = dones[row]
            self.advantages[:] = gae_of_segments(
                self.rewards.reshape(-1),
                self.values.reshape(-1),
                flat_ends,
                list(paths.values()),
                last[list(paths)],
                *constants,
            ).reshape(self.advantages.shape)
        np.add(self.advantages, self.values, out=self.returns)

    def _paths(self) -> dict[int, NDArray[np.intp]]:
        """Of each row that has any, the transitions that count, as they came."""
        assert self.active is not None
        counted = np.flatnonzero(self.active)
        rows = counted % self.n_envs if self.rows is None else self.rows[counted]
        paths = {row: counted[rows == row] for row in range(self.n_envs)}
        return {row: path for row, path in paths.items() if len(path)}

    def row_of(self, slot: int) -> int:
        """The row that a transition is of."""
        return slot % self.n_envs if self.rows is None else int(self.rows[slot])

    def counted(self, column: NDArray) -> NDArray:
        """A column's entries that count, one after the other."""
        return column.reshape(-1) if self.active is None else column[self.active]

    def copy_into(self, other: Any, last_values: Any, dones: NDArray) -> None:
        """Fill a buffer of another class, step by step, as SB3 fills its own.

        Raises:
            ValueError: Some transitions don't count, or rows went at their own pace.
        """
        import torch

        if self.active is not None:
            raise ValueError(
                f"rollout_buffer_class={type(other).__qualname__} holds rows in lockstep with "
                "somebody in each; use RolloutBuffer, or another env and no min_inference_size"
            )

        other.reset()
        for t in range(self.pos):
            obs = self.observations
            other.add(
                {key: part[t] for key, part in obs.items()} if isinstance(obs, dict) else obs[t],
                self.actions[t],
                self.rewards[t],
                self.episode_starts[t],
                torch.as_tensor(self.values[t].copy()),
                torch.as_tensor(self.log_probs[t].copy()),
            )
        other.compute_returns_and_advantage(last_values=last_values, dones=dones)

    def get(self, batch_size: int | None = None) -> Iterator[Any]:
        """Minibatches in random order, as SB3's named tuples of tensors."""
        rows = rows_of(self)
        order = np.random.permutation(rows.n_rows)  # noqa: NPY002 (SB3's generator)
        size = batch_size or rows.n_rows
        for start in range(0, rows.n_rows, size):
            yield samples_of(rows.take(order[start : start + size]))


def _shape(space: spaces.Space) -> tuple[int, ...]:
    if isinstance(space, spaces.Discrete):
        return (1,)
    if space.shape is None:
        raise NotImplementedError(f"no rollout holds a {type(space).__name__} space")
    return space.shape


def _zeros(space: spaces.Space, shape: tuple[int, ...]) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _zeros(part, shape) for key, part in space.spaces.items()}
    return np.zeros((*shape, *_shape(space)), space.dtype)


def rows_of(buffer: Any) -> Batch:
    """A buffer's transitions as rows, those that count.

    The buffer is ours or SB3's own, before or after SB3 has flattened it.
    """
    n = buffer.values.size
    obs = buffer.observations
    flat: Any
    if isinstance(obs, dict):
        parts = buffer.observation_space.spaces
        flat = {key: x.reshape(n, *_shape(parts[key])) for key, x in obs.items()}
    else:
        flat = obs.reshape(n, *_shape(buffer.observation_space))
    columns = (buffer.log_probs, buffer.values, buffer.advantages, buffer.returns)
    actions = as_network_actions(buffer.actions.reshape(n, -1), buffer.action_space)
    rows = Batch(flat, actions, *(column.reshape(n) for column in columns))
    active = getattr(buffer, "active", None)
    return rows if active is None else rows.take(np.flatnonzero(active))


def rows_of_samples(samples: Any, action_space: spaces.Space) -> Batch:
    """A minibatch as SB3's buffers give it, tensors ``[B, ...]``, in our arrays."""
    obs = samples.observations
    columns = (samples.old_log_prob, samples.old_values, samples.advantages, samples.returns)
    return Batch(
        {key: x.cpu().numpy() for key, x in obs.items()}
        if isinstance(obs, dict)
        else obs.cpu().numpy(),
        as_network_actions(samples.actions.cpu().numpy(), action_space),
        *(column.cpu().numpy() for column in columns),
    )


def samples_of(rows: Batch) -> Any:
    """Rows as SB3's named tuple of CPU tensors: what :func:`rows_of_samples` reads."""
    import torch
    from stable_baselines3.common.type_aliases import (
        DictRolloutBufferSamples,
        RolloutBufferSamples,
    )

    obs: Any = rows.obs
    tensors: Any = (
        {key: torch.as_tensor(x) for key, x in obs.items()}
        if isinstance(obs, dict)
        else torch.as_tensor(obs)
    )
    samples: Any = DictRolloutBufferSamples if isinstance(obs, dict) else RolloutBufferSamples
    actions = rows.actions.reshape(rows.n_rows, -1).astype(np.float32)
    columns = (rows.old_values, rows.old_log_prob, rows.advantages, rows.returns)
    return samples(tensors, torch.as_tensor(actions), *map(torch.as_tensor, columns))


def as_network_actions(actions: NDArray, space: spaces.Space) -> NDArray:
    """Stored actions as the distributions take them, ``[B]`` or ``[B, n]``."""
    actions = actions.reshape(len(actions), -1)
    if isinstance(space, spaces.Discrete):
        return actions[:, 0].astype(np.int64, copy=False)
    if isinstance(space, spaces.MultiDiscrete):
        return actions.astype(np.int64, copy=False)
    return actions.astype(np.float32, copy=False)


class StepLocals(dict[str, Any]):
    """A callback's ``locals``: what costs something is computed when a callback asks for it.

    SB3 computes a value and a log-probability for every step. Few callbacks ever look at them, so
    here they are made at the first look and forgotten at the next step.

    Args:
        known: What is there from the beginning.
        makers: What can be made, by name, from the locals.
    """

    def __init__(
        self, known: dict[str, Any], makers: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    ) -> None:
        super().__init__(known)
        self.makers = makers

    def update(self, *args: Any, **kwargs: Any) -> None:
        """A new step: forget what was made for the last one."""
        for name in self.makers:
            self.pop(name, None)
        super().update(*args, **kwargs)

    def __missing__(self, name: str) -> Any:
        if name not in self.makers:
            raise KeyError(name)
        self[name] = value = self.makers[name](self)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """As dict's, and it makes what can be made."""
        return self[name] if name in self else default  # noqa: SIM401 (it would call itself)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.makers

    # A copy has everything: dict(locals), {**locals} and locals.copy() go through these.

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        yield from [name for name in self.makers if not super(StepLocals, self).__contains__(name)]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Any:
        """All names."""
        return KeysView(self)

    def values(self) -> Any:
        """All values."""
        return ValuesView(self)

    def items(self) -> Any:
        """All names with their values."""
        return ItemsView(self)

    def copy(self) -> dict[str, Any]:
        """A plain dict of all of them."""
        return {name: self[name] for name in list(self)}


def our_buffer(cls: type | None) -> type[RolloutBuffer] | None:
    """Our class for None or SB3's own; one derived from ours stays; None: it's somebody else's."""
    theirs = ("RolloutBuffer", "DictRolloutBuffer")
    if cls is None or (cls.__name__ in theirs and cls.__module__.startswith("stable_baselines3.")):
        return RolloutBuffer
    return cls if issubclass(cls, RolloutBuffer) else None


def as_one_step(obs: Any) -> Any:
    """Observations of all rows with a leading axis of one step."""
    if isinstance(obs, dict):
        return {key: part[None] for key, part in obs.items()}
    return obs[None]


def stack(observations: Any) -> Any:
    """Single observations as a batch."""
    if isinstance(observations[0], dict):
        return {key: np.stack([o[key] for o in observations]) for key in observations[0]}
    return np.stack(observations)


def all_finite(array: Any) -> bool:
    """Whether no number of an array, or of a dict of arrays, is NaN or infinite."""
    if isinstance(array, dict):
        return all(map(all_finite, array.values()))
    array = np.asarray(array)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def truncated(
    slots: NDArray[np.intp], dones: NDArray, infos: list[dict[str, Any]]
) -> list[tuple[int, Any]]:
    """Transitions at which a time limit has cut an episode off, with what was seen last.

    Args:
        slots: Which transition each row's step is, ``[m]``.
        dones: ``[m]``.
        infos: m of them.
    """
    return [
        (int(slots[k]), infos[k]["terminal_observation"])
        for k in np.flatnonzero(dones)
        if infos[k].get("TimeLimit.truncated", False)
        and infos[k].get("terminal_observation") is not None
    ]


def check_finite(
    source: str, numbers: Any, num_timesteps: int, buffer: RolloutBuffer | None = None
) -> None:
    """Stop at a NaN or an infinity.

    Args:
        source: What the numbers are.
        numbers: ``[n_steps, n_envs, ...]`` or a dict of such; the last step is the newest.
        num_timesteps: Env steps taken so far.
        buffer: Knows which row a number is of; None: its column is.

    Raises:
        FloatingPointError: it names the source, the env and the step.
    """
    for array in numbers.values() if isinstance(numbers, dict) else [numbers]:
        if all_finite(array):
            continue
        step, row = np.argwhere(~np.isfinite(array))[0, :2]
        at = num_timesteps - (array.shape[0] - 1 - step) * array.shape[1]
        if buffer is not None:
            row = buffer.row_of(int(step * array.shape[1] + row))
        raise FloatingPointError(f"the {source} of env {row} is not finite at step {at}")


def check_finite_ends(
    truncations: list[tuple[int, Any]], buffer: RolloutBuffer, num_timesteps: int
) -> None:
    """The same of the observations that truncated episodes ended with, by transition.

    Raises:
        FloatingPointError: it names the env and the step.
    """
    for slot, obs in truncations:
        if not all_finite(obs):
            step = slot // buffer.n_envs
            at = num_timesteps - (buffer.buffer_size - 1 - step) * buffer.n_envs
            raise FloatingPointError(
                f"the terminal observation of env {buffer.row_of(slot)} is not finite at step {at}"
            )
