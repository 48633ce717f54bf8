"""Everything that a training's next step depends on and a model's file leaves out.

It is taken, and put back, as a rollout begins: nothing is half done then. Together with the model's
file it makes an interrupted training and an uninterrupted one the same, bit for bit.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_wrapper

from sb3_ext.vec_env.episode_log import EpisodeLog, Position
from sb3_ext.vec_env.snapshots import Snapshot, restore, snapshot
from sb3_ext.zoo.clock import Clock
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.fingerprint import machine, versions

# Its name within a model's file.
MEMBER = "training_state.pkl"
# Callbacks of these packages keep no clock: their numbers mean the same in another process.
CLOCKLESS = ("stable_baselines3", "sb3_contrib", "rl_zoo3")
# gSDE's exploration matrices, in force until new ones are drawn.
MATRICES = ("exploration_mat", "exploration_matrices")


@dataclass(frozen=True)
class TrainingState:
    """A moment between two rollouts.

    Attributes:
        steps: Steps taken so far.
        total: Steps over which the schedules run.
        seconds: Spent learning so far, without the evaluations.
        wall_seconds: Spent in all.
        resumptions: What is said of earlier ones in summary.json.
        versions: What it was made with.
        random: States of the global generators and the action space's.
        model: What the model's file leaves out.
        normalizer: VecNormalize's statistics, if there is one.
        episodes: The episodes under way, or None where the world can't tell them.
        log: How far monitor.csv has come.
        callbacks: What each remembers, by its class and its number among those of this class.
        replay: The replay buffer's place and whether it has gone round, if there is one.
    """

    steps: int
    total: int
    seconds: float
    wall_seconds: float
    resumptions: list[dict[str, Any]]
    versions: dict[str, str]
    random: dict[str, Any]
    model: dict[str, Any]
    normalizer: dict[str, Any] | None
    episodes: Snapshot | None
    log: Position | None
    callbacks: dict[str, dict[str, Any]]
    replay: tuple[int, bool] | None = None

    def dumped(self) -> bytes:
        """As bytes, for the model's file."""
        return pickle.dumps(self, protocol=pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def loaded(content: bytes) -> TrainingState:
        """From :meth:`dumped`.

        Raises:
            ZooError: If it is damaged, or another version's.
        """
        try:
            state = pickle.loads(content)
        except Exception as error:  # a damaged pickle may fail in any way
            raise ZooError(f"its training state is damaged ({reason(error)})") from error
        if not isinstance(state, TrainingState):
            raise ZooError("its training state is damaged")
        return state


def take(
    model: BaseAlgorithm,
    callbacks: Iterable[BaseCallback],
    clock: Clock,
    resumptions: list[dict[str, Any]],
) -> TrainingState:
    """The state of a training that is about to begin a rollout.

    Args:
        model: What trains.
        callbacks: Its callbacks.
        clock: How long it has taken.
        resumptions: For summary.json.
    """
    env = model.get_env()
    assert env is not None
    normalizer = unwrap_vec_wrapper(env, VecNormalize)
    return TrainingState(
        steps=model.num_timesteps,
        total=model._total_timesteps,
        seconds=clock.learning_seconds,
        wall_seconds=clock.wall_seconds,
        resumptions=resumptions,
        versions=versions() | machine(),
        random=_random_states(model),
        model=_model_state(model),
        normalizer=None if normalizer is None else _statistics(normalizer),
        episodes=snapshot(env),
        log=episode_log(env).position,
        callbacks={name: _callback_state(each) for name, each in named(callbacks)},
        replay=replay_place(model),
    )


def put_back(state: TrainingState, model: BaseAlgorithm, callbacks: Iterable[BaseCallback]) -> None:
    """Puts everything back but the env, in the moment in which it was taken."""
    for name, callback in named(callbacks):
        if name in state.callbacks:
            _restore_callback(callback, state.callbacks[name])
    _restore_model(model, state.model)
    _restore_random(model, state.random)


def put_env_back(state: TrainingState, env: VecEnv) -> None:
    """Puts an env's statistics back and, where they could be told, its episodes."""
    normalizer = unwrap_vec_wrapper(env, VecNormalize)
    if isinstance(normalizer, VecNormalize) and state.normalizer is not None:
        for name, value in state.normalizer.items():
            setattr(normalizer, name, value)
    if state.episodes is not None:
        restore(env, state.episodes)


def episode_log(env: VecEnv) -> EpisodeLog:
    """The log of an env that the zoo has built."""
    inner: Any = env
    while not isinstance(inner, EpisodeLog):
        inner = inner.venv
    return inner


# Generators


def _random_states(model: BaseAlgorithm) -> dict[str, Any]:
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002  (SB3 draws from it)
        "torch": torch.get_rng_state().numpy(),
        "actions": model.action_space.np_random.bit_generator.state,
    }
    if torch.cuda.is_initialized():
        states["cuda"] = [generator.numpy() for generator in torch.cuda.get_rng_state_all()]
    return states


def _restore_random(model: BaseAlgorithm, states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(states["torch"]))
    model.action_space.np_random.bit_generator.state = states["actions"]
    if "cuda" in states and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all([torch.from_numpy(each) for each in states["cuda"]])


# The model


def _model_state(model: Any) -> dict[str, Any]:
    logger = model.logger
    pending = [key for key, value in logger.name_to_value.items() if np.isscalar(value)]
    state: dict[str, Any] = {
        # What the last update has logged is written with the next rollout.
        "logged": {key: logger.name_to_value[key] for key in pending},
        "log_counts": {k: n for k, n in logger.name_to_count.items() if k in pending},
        "log_excluded": {key: logger.name_to_excluded[key] for key in pending},
        "matrices": [
            {name: _tensor_out(getattr(each, name)) for name in MATRICES if hasattr(each, name)}
            for each in _explorations(model)
        ],
    }
    if model.action_noise is not None:
        state["action_noise"] = pickle.dumps(vars(model.action_noise))
    if getattr(model, "_last_lstm_states", None) is not None:
        states = model._last_lstm_states
        state["lstm"] = [[_tensor_out(part) for part in pair] for pair in states]
    if hasattr(model, "snapshot"):
        state["own"] = model.snapshot()
    return state


def _restore_model(model: Any, state: dict[str, Any]) -> None:
    logger = model.logger
    for name, key in (("value", "logged"), ("count", "log_counts"), ("excluded", "log_excluded")):
        getattr(logger, f"name_to_{name}").update(state[key])
    for exploration, matrices in zip(_explorations(model), state["matrices"], strict=True):
        for name, matrix in matrices.items():
            setattr(exploration, name, _tensor_in(matrix, model))
    if "action_noise" in state:
        vars(model.action_noise).update(pickle.loads(state["action_noise"]))
    if "lstm" in state:
        pairs = [tuple(_tensor_in(part, model) for part in pair) for pair in state["lstm"]]
        model._last_lstm_states = type(model._last_lstm_states)(*pairs)
    if "own" in state:
        model.restore(state["own"])


def _explorations(model: Any) -> Iterator[StateDependentNoiseDistribution]:
    for module in model.policy.modules():
        exploration = getattr(module, "action_dist", None)
        if isinstance(exploration, StateDependentNoiseDistribution):
            yield exploration


def _tensor_out(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _tensor_in(array: np.ndarray, model: BaseAlgorithm) -> torch.Tensor:
    return torch.from_numpy(array.copy()).to(model.device)


def replay_place(model: Any) -> tuple[int, bool] | None:
    """How far an off-policy algorithm's replay buffer is filled; None if there is none."""
    buffer = getattr(model, "replay_buffer", None)
    return None if buffer is None else (int(buffer.pos), bool(buffer.full))


# The normalizer


def _statistics(normalizer: Any) -> dict[str, Any]:
    names = [name for name in ("obs_rms", "ret_rms") if hasattr(normalizer, name)]
    return {name: getattr(normalizer, name) for name in names}


# Callbacks


def named(callbacks: Iterable[BaseCallback]) -> Iterator[tuple[str, BaseCallback]]:
    """Callbacks with names that another process would give them too."""
    seen: dict[str, int] = {}
    for callback in callbacks:
        name = f"{type(callback).__module__}.{type(callback).__qualname__}"
        seen[name] = seen.get(name, 0) + 1
        yield f"{name}#{seen[name]}", callback


def remembers(callback: BaseCallback) -> bool:
    """Whether a callback goes on where it was; else it only knows how often it was called."""
    return hasattr(callback, "snapshot") or type(callback).__module__.startswith(CLOCKLESS)


def _callback_state(callback: Any) -> dict[str, Any]:
    state: dict[str, Any] = {"n_calls": callback.n_calls}
    if hasattr(callback, "snapshot"):
        state["own"] = callback.snapshot()
    elif remembers(callback):
        state["numbers"] = {k: v for k, v in vars(callback).items() if _is_numeric(v)}
        children = {name: _callback_state(each) for name, each in _children(callback)}
        state["children"] = children
    return state


def _restore_callback(callback: Any, state: dict[str, Any]) -> None:
    callback.n_calls = state["n_calls"]
    if "own" in state:
        callback.restore(state["own"])
    if "numbers" in state:
        vars(callback).update(state["numbers"])
        for name, child in _children(callback):
            if name in state["children"]:
                _restore_callback(child, state["children"][name])


def _children(callback: BaseCallback) -> Iterator[tuple[str, BaseCallback]]:
    for name, value in vars(callback).items():
        if name != "parent" and isinstance(value, BaseCallback):
            yield name, value
        elif name == "callbacks" and isinstance(value, list):
            yield from ((f"{name}{k}", each) for k, each in enumerate(value))


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_numeric, value))
    return isinstance(value, bool | int | float | np.number | np.ndarray)
