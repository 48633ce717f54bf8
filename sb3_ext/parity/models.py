"""Whole PPOs, ours and stable-baselines3's, as sides of a replay."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import FloatSchedule, obs_as_tensor

from sb3_ext import acting
from sb3_ext.backends.base import Batch, Rates, UpdateSettings, take
from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.options import custom_spec
from sb3_ext.backends.torch_backend import TorchActorCritic
from sb3_ext.functional.losses import Coefficients, Predictions
from sb3_ext.parity.steps import BackendSide, State, Trace, predicted_terms, terms_after
from sb3_ext.ppo import PPO
from sb3_ext.rollout_buffer import (
    RolloutBuffer,
    StepLocals,
    as_network_actions,
    rows_of,
    samples_of,
)

__all__ = ["Model", "OurModel", "Rollout", "Sb3Model", "as_model"]

_ROWS_AT_ONCE = 256  # images in a forward pass


@dataclass(frozen=True)
class Rollout:
    """What the reference has collected, and from where its noise came.

    Attributes:
        collected: Its transitions, step by step, ``[n_steps * n_envs, ...]``.
        rows: What is learned from; with ``n_rollouts_kept`` older ones stand before.
        buffer: Where it lies, ours or SB3's.
        last_values: V of the observations after the last step, ``[n_envs]``.
        last_dones: Whether the last step ended an episode, ``[n_envs]``.
        noise: (seed, step) at which its noise began; None: it was torch's.
    """

    collected: Batch
    rows: Batch
    buffer: Any
    last_values: NDArray
    last_dones: NDArray
    noise: tuple[int, int] | None

    @property
    def n_steps(self) -> int:
        """Steps of each env."""
        return self.buffer.buffer_size

    def observations(self, step: int) -> Any:
        """What the envs showed at one step, ``[n_envs, ...]``."""
        n = self.buffer.n_envs
        return take(self.collected.obs, slice(step * n, (step + 1) * n))


class Model(ABC):
    """A PPO that can collect, and be held against another.

    Args:
        ppo: The model.
        name: For messages.

    Attributes:
        side: Its network and optimizer.
    """

    side: BackendSide

    def __init__(self, ppo: Any, name: str) -> None:
        self.ppo, self.name = ppo, name
        self._callback: BaseCallback | None = None

    # Collecting

    def begin(self, total_timesteps: int | None) -> None:
        """Reset the env as ``learn(total_timesteps)`` does; None: a saved model goes on."""
        ppo = self.ppo
        ppo.set_logger(Logger(None, []))  # learn() would make one that has a folder
        total = ppo.num_timesteps if total_timesteps is None else total_timesteps
        _, self._callback = ppo._setup_learn(total, None, total_timesteps is not None)
        if isinstance(ppo, PPO):
            self._callback.on_training_start(StepLocals({}, ppo._locals_makers()), {})

    def collect(self) -> Rollout:
        """Play one rollout."""
        ppo, noise = self.ppo, self._noise()
        ppo.collect_rollouts(ppo.env, self._callback, ppo.rollout_buffer, ppo.n_steps)
        collected = Batch.joined([rows_of(ppo.rollout_buffer)])  # a copy
        return Rollout(
            collected,
            self._to_learn_from(collected),
            ppo.rollout_buffer,
            self.values(ppo._last_obs),
            np.asarray(ppo._last_episode_starts),
            noise,
        )

    def _to_learn_from(self, collected: Batch) -> Batch:
        return collected

    def _noise(self) -> tuple[int, int] | None:
        return None

    # At a place in training

    def at(self, num_timesteps: int, total_timesteps: int | None) -> None:
        """Let schedules be where they are after so many steps; None: as the model was saved."""
        self.ppo.num_timesteps = num_timesteps
        if total_timesteps is not None:
            self.ppo._update_current_progress_remaining(num_timesteps, total_timesteps)

    @abstractmethod
    def settings(self) -> UpdateSettings:
        """How it would learn now."""

    def constants(self) -> dict[str, Any]:
        """Everything that it learns with now, by name."""
        settings, ppo = self.settings(), self.ppo
        coefs = settings.coefs._asdict()
        return coefs | {
            "learning_rate": settings.learning_rate.policy,
            "value_learning_rate": settings.learning_rate.value,
            "max_grad_norm": settings.max_grad_norm.policy,
            "value_max_grad_norm": settings.max_grad_norm.value,
            "batch_size": settings.batch_size,
            "n_epochs": settings.n_epochs,
            "target_kl": settings.target_kl,
            "normalize_advantage": settings.normalize_minibatch,
            "gamma": ppo.gamma,
            "gae_lambda": ppo.gae_lambda,
        }

    # A rollout, seen by this model

    @abstractmethod
    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""

    @abstractmethod
    def likely_actions(self, obs: Any) -> NDArray:
        """The most likely actions, ``[B, ...]``, before clipping."""

    def sampled_actions(self, rollout: Rollout, env: Any) -> NDArray | None:
        """What it would have done with the rollout's noise; None: it draws noise of its own."""
        return None

    def advantages(self, rollout: Rollout) -> tuple[NDArray, NDArray]:
        """Advantages and returns from the rollout's rewards and values, ``[n_steps * n_envs]``."""
        ppo, theirs = self.ppo, rollout.buffer
        own: Any = type(ppo.rollout_buffer)
        buffer = own(
            theirs.buffer_size,
            ppo.observation_space,
            ppo.action_space,
            gamma=theirs.gamma,
            gae_lambda=theirs.gae_lambda,
            n_envs=theirs.n_envs,
            **ppo.rollout_buffer_kwargs,
        )
        for field in ("rewards", "episode_starts", "values"):
            getattr(buffer, field)[:] = getattr(theirs, field)
        last_values = torch.as_tensor(rollout.last_values[:, None])
        buffer.compute_returns_and_advantage(last_values=last_values, dones=rollout.last_dones)
        return buffer.advantages.reshape(-1), buffer.returns.reshape(-1)


class OurModel(Model):
    """Our PPO, in any backend."""

    ppo: PPO

    def __init__(self, ppo: PPO, name: str) -> None:
        super().__init__(ppo, name)
        self.side = BackendSide(ppo.actor_critic, name)

    def _to_learn_from(self, collected: Batch) -> Batch:
        own = isinstance(self.ppo.rollout_buffer, RolloutBuffer)
        return Batch.joined([self.ppo._rows_to_learn_from()]) if own else collected

    def _noise(self) -> tuple[int, int] | None:
        return self.ppo._noise_seed, self.ppo._noise_step

    def settings(self) -> UpdateSettings:
        """Schedules at the current progress."""
        return self.ppo._update_settings(self.ppo._current_progress_remaining)

    def values(self, obs: Any) -> NDArray:
        """V(obs)."""
        return self.ppo.actor_critic.values(obs)

    def likely_actions(self, obs: Any) -> NDArray:
        """The distribution's mode."""
        backend = self.ppo.actor_critic
        backend.set_training_mode(False)
        return np.concatenate([backend.act(part, None) for part in _parts(obs)])

    def sampled_actions(self, rollout: Rollout, env: Any) -> NDArray | None:
        """With the rollout's own noise, unless the policy draws its own."""
        if rollout.noise is None or getattr(self.ppo.actor_critic, "_asks_policy", False):
            return None
        self.ppo._noise_seed, self.ppo._noise_step = rollout.noise
        act = acting.begin_acting(self.ppo, env, rollout.n_steps)
        steps = range(rollout.n_steps)
        return np.concatenate([np.array(act(k, rollout.observations(k))) for k in steps])


class Sb3Model(Model):
    """stable-baselines3's PPO or a class derived from it; learning is its own ``train()``."""

    side: "Sb3Side"

    def __init__(self, ppo: stable_baselines3.PPO, name: str) -> None:
        super().__init__(ppo, name)
        self.side = Sb3Side(ppo, name)

    def settings(self) -> UpdateSettings:
        """Schedules at the current progress."""
        ppo = self.ppo
        progress = ppo._current_progress_remaining
        clip_range_vf = None if ppo.clip_range_vf is None else ppo.clip_range_vf(progress)
        return UpdateSettings(
            coefs=Coefficients(ppo.clip_range(progress), clip_range_vf, ppo.ent_coef, ppo.vf_coef),
            learning_rate=Rates(ppo.lr_schedule(progress)),
            max_grad_norm=Rates(ppo.max_grad_norm),
            batch_size=ppo.batch_size,
            n_epochs=ppo.n_epochs,
            target_kl=ppo.target_kl,
            normalize_minibatch=ppo.normalize_advantage,
        )

    def values(self, obs: Any) -> NDArray:
        """V(obs)."""
        with torch.no_grad():
            values = self.ppo.policy.predict_values(obs_as_tensor(obs, self.ppo.device))
        return values.cpu().numpy().reshape(-1)

    def likely_actions(self, obs: Any) -> NDArray:
        """The distribution's mode."""
        ppo, found = self.ppo, []
        ppo.policy.set_training_mode(False)
        for part in _parts(obs):
            with torch.no_grad():
                actions = ppo.policy._predict(obs_as_tensor(part, ppo.device), deterministic=True)
            found.append(as_network_actions(actions.cpu().numpy(), ppo.action_space))
        return np.concatenate(found)


class Sb3Side(BackendSide):
    """SB3's network and optimizer; a step is a ``train()`` with one minibatch, looked at closely.

    Args:
        ppo: The model.
        name: For messages.
    """

    backend: TorchActorCritic

    def __init__(self, ppo: stable_baselines3.PPO, name: str) -> None:
        policy: Any = ppo.policy
        spec = custom_spec(ppo.observation_space, ppo.action_space, PPOExtensions())
        super().__init__(TorchActorCritic(spec, None, policy), name)
        self.ppo, self.policy = ppo, policy

    def _tensors(self, rows: Batch) -> tuple[Any, Any]:
        """Observations and actions as SB3's ``train`` has them."""
        obs = obs_as_tensor(rows.obs, self.ppo.device)
        dtype = torch.long if rows.actions.dtype.kind == "i" else torch.float32
        return obs, torch.as_tensor(rows.actions, dtype=dtype, device=self.ppo.device)

    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """By the policy's ``evaluate_actions``."""
        n, parts = len(actions), []
        nothing = np.empty(n, np.float32)
        rows = Batch(obs, actions, nothing, nothing, nothing, nothing)
        self.policy.set_training_mode(False)
        for start in range(0, n, _ROWS_AT_ONCE):
            with torch.no_grad():
                part = rows.take(slice(start, start + _ROWS_AT_ONCE))
                parts.append(_predictions(self.policy.evaluate_actions(*self._tensors(part))))
        columns = zip(*parts, strict=True)
        return Predictions(*(None if c[0] is None else np.concatenate(c) for c in columns))

    def step(self, rows: Batch, settings: UpdateSettings) -> Trace:
        """Let ``train()`` take one step, and note what passes by."""
        assert settings.accumulate == 1 and settings.learning_rate.value is None
        names = {parameter: name for name, parameter in self.backend.names.items()}
        gradient: dict[str, NDArray] = {}
        seen: list[Predictions] = []

        def keep(parameter: torch.Tensor) -> None:
            assert parameter.grad is not None
            gradient[names[parameter]] = parameter.grad.cpu().numpy().copy()

        def evaluate_actions(*args: Any, **kwargs: Any) -> Any:
            result = type(self.policy).evaluate_actions(self.policy, *args, **kwargs)
            seen.append(_predictions(result))
            return result

        hooks = [p.register_post_accumulate_grad_hook(keep) for p in names if p.requires_grad]
        self.policy.evaluate_actions = evaluate_actions
        try:
            with _told(self.ppo, settings, rows):
                self.ppo.train()
        finally:
            del self.policy.evaluate_actions
            for hook in hooks:
                hook.remove()
        return self._trace(rows, seen, gradient)

    def _trace(self, rows: Batch, seen: list[Predictions], gradient: dict[str, NDArray]) -> Trace:
        terms = predicted_terms(seen[0], rows) if seen else {}
        logged = self.ppo.logger.name_to_value
        for term, key in _LOGGED.items():
            if key in logged:
                terms[term] = {"": np.asarray(logged[key])}
        terms["kl_stop"] = {"": np.asarray(not gradient)}
        if not gradient:
            return Trace(terms)
        # A parameter without a part in the loss has no gradient.
        terms["gradient"] = {
            name: gradient.get(name, np.zeros(p.shape, np.float32))
            for name, p in self.backend.names.items()
        }
        clipped = [p.grad for p in self.backend.names.values() if p.grad is not None]
        terms["grad_norm"] = {"": _norm(terms["gradient"].values())}
        terms["clipped_norm"] = {"": _norm(p.cpu().numpy() for p in clipped)}
        after = State(*self.state())
        return Trace(terms | terms_after(after), after)


_LOGGED = {
    "policy_loss": "train/policy_gradient_loss",
    "value_loss": "train/value_loss",
    "entropy_loss": "train/entropy_loss",
    "loss": "train/loss",
    "approx_kl": "train/approx_kl",
    "clip_fraction": "train/clip_fraction",
}


class _OneMinibatch:
    """What ``train()`` asks of a rollout buffer."""

    def __init__(self, rows: Batch) -> None:
        self.rows, self.values, self.returns = rows, rows.old_values, rows.returns

    def get(self, batch_size: int | None = None) -> Iterator[Any]:
        yield samples_of(self.rows)


@contextmanager
def _told(ppo: Any, settings: UpdateSettings, rows: Batch) -> Iterator[None]:
    """SB3's PPO with these settings and one minibatch for a rollout, and as it was afterwards."""
    coefs = settings.coefs
    clip_range_vf = None if coefs.clip_range_vf is None else FloatSchedule(coefs.clip_range_vf)
    changes = {
        "lr_schedule": FloatSchedule(settings.learning_rate.policy),
        "clip_range": FloatSchedule(coefs.clip_range),
        "clip_range_vf": clip_range_vf,
        "ent_coef": coefs.ent_coef,
        "vf_coef": coefs.vf_coef,
        "max_grad_norm": settings.max_grad_norm.policy,
        "target_kl": settings.target_kl,
        "normalize_advantage": settings.normalize_minibatch,
        "batch_size": settings.batch_size,
        "n_epochs": 1,
        "verbose": 0,
        "rollout_buffer": _OneMinibatch(rows),
    }
    before = {name: getattr(ppo, name) for name in changes}
    vars(ppo).update(changes)
    try:
        yield
    finally:
        vars(ppo).update(before)


def _predictions(result: tuple[Any, Any, Any]) -> Predictions:
    values, log_prob, entropy = (None if x is None else x.detach().cpu().numpy() for x in result)
    assert values is not None and log_prob is not None
    return Predictions(log_prob, entropy, values.reshape(-1))


def _norm(arrays: Any) -> NDArray:
    return np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in arrays))


def _parts(obs: Any) -> Iterator[Any]:
    """Observations, some at a time."""
    n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
    return (take(obs, slice(i, i + _ROWS_AT_ONCE)) for i in range(0, n, _ROWS_AT_ONCE))


def as_model(ppo: Any, name: str = "") -> Model:
    """A PPO as a side of a replay.

    Args:
        ppo: Ours, or stable-baselines3's, or one derived from either.
        name: For messages; the class's by default.

    Raises:
        TypeError: it is something else.
    """
    name = name or type(ppo).__name__
    if isinstance(ppo, PPO):
        return OurModel(ppo, name)
    if isinstance(ppo, stable_baselines3.PPO):
        return Sb3Model(ppo, name)
    raise TypeError(f"{type(ppo).__name__} is neither sb3_ext's PPO nor stable-baselines3's")
