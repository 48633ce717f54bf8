"""Proximal policy optimization (Schulman et al. 2017, https://arxiv.org/abs/1707.06347).

The algorithm, once::

    while num_timesteps < total_timesteps:
        collect_rollouts    n_steps of every env with the current policy; GAE
        train               n_epochs over the rollout in minibatches: loss, gradient, step

behind stable-baselines3's interface. The network, its gradient and its optimizer are a backend's.
"""

import contextlib
import sys
import time
import warnings
from collections import deque
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.utils import (
    FloatSchedule,
    explained_variance,
    obs_as_tensor,
    safe_mean,
)
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext import acting, ahead
from sb3_ext.algorithm import BackendAlgorithm
from sb3_ext.backends.base import (
    Batch,
    Rates,
    UpdateSettings,
    UpdateStats,
    take,
)
from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.functional import noise
from sb3_ext.functional.advantages import normalize
from sb3_ext.functional.losses import Coefficients
from sb3_ext.rollout_buffer import (
    RolloutBuffer,
    StepLocals,
    all_finite,
    as_one_step,
    check_finite,
    check_finite_ends,
    rows_of,
    rows_of_samples,
    stack,
    truncated,
)
from sb3_ext.schedules import as_schedule, clamp_progress, from_string
from sb3_ext.vec_env.jax_world import NeedsEnvError, culprit, jax_world

__all__ = ["PPO", "JaxPPO", "MlxPPO", "NumpyPPO", "PPOExtensions", "TorchPPO"]


class PPO(BackendAlgorithm):
    """PPO with stable-baselines3's arguments, defaults, callbacks, log keys and files.

    Args:
        policy: ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"``, or one of SB3's three
            classes of these names.
        env: An env id, env or vec env; None for a model that only predicts.
        learning_rate: Number, ``"lin_3e-4"`` or a function of the remaining progress (1 to 0).
        n_steps: Steps per env and rollout.
        batch_size: Rows of a minibatch.
        n_epochs: Passes over a rollout.
        gamma: Discount factor.
        gae_lambda: lambda of generalized advantage estimation.
        clip_range: How far the probability ratio may leave 1; number or schedule.
        clip_range_vf: How far a value may leave the old one; None: no limit.
        normalize_advantage: Normalize advantages within each minibatch.
        ent_coef: Weight of the entropy.
        vf_coef: Weight of the value loss.
        max_grad_norm: Norm to which the gradient is clipped.
        use_sde: Generalized state-dependent exploration (Box actions).
        sde_sample_freq: Steps between new exploration matrices; -1: once per rollout.
        rollout_buffer_class: A subclass of ``sb3_ext.rollout_buffer.RolloutBuffer``.
        rollout_buffer_kwargs: Its further arguments.
        target_kl: End an update when the approximate KL exceeds 1.5 times this; None: never.
        stats_window_size: Episodes over which the logged episode means are taken.
        tensorboard_log: Folder; None: no TensorBoard.
        policy_kwargs: As SB3's; classes may be given by name (``activation_fn="relu"``). Or
            ``network`` and ``network_kwargs``: a network of your own, see docs/networks.md.
        verbose: 0 nothing, 1 info, 2 debug.
        seed: Governs everything; None: drawn from ``np.random``.
        device: A torch device as SB3 has it; must be one on which the backend runs.
        backend: ``"numpy"``, ``"torch"``, ``"jax"``, ``"mlx"``, or ``"auto"``: the one that suits
            best, see :mod:`sb3_ext.backends.choice`.
        extensions: What SB3's PPO doesn't have, see :class:`PPOExtensions`.

    Raises:
        ValueError: an option that the backend can't honor, by name, with what to use instead.
    """

    def __init__(
        self,
        policy: str | type,
        env: Any,
        learning_rate: Any = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Any = 0.2,
        clip_range_vf: Any = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type | None = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: Any = "auto",
        _init_setup_model: bool = True,
        *,
        backend: str = "auto",
        extensions: Any = None,
    ) -> None:
        super().__init__(
            policy=policy,
            env=env,
            learning_rate=_read_schedule(learning_rate),
            policy_kwargs=policy_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            support_multi_env=True,
            seed=seed,
            use_sde=use_sde,
            sde_sample_freq=sde_sample_freq,
            supported_action_spaces=(
                spaces.Box,
                spaces.Discrete,
                spaces.MultiDiscrete,
                spaces.MultiBinary,
            ),
        )
        self.n_steps, self.batch_size, self.n_epochs = n_steps, batch_size, n_epochs
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.clip_range = _read_schedule(clip_range)
        self.clip_range_vf = _read_schedule(clip_range_vf)
        self.normalize_advantage = normalize_advantage
        self.ent_coef, self.vf_coef, self.max_grad_norm = ent_coef, vf_coef, max_grad_norm
        self.rollout_buffer_class = rollout_buffer_class
        self.rollout_buffer_kwargs = rollout_buffer_kwargs or {}
        self.target_kl = target_kl
        self.backend = backend
        self._asked_device = str(device)
        self.extensions = extensions
        # Positions in the noise streams. They never go back, so that no noise is used twice.
        self._noise_seed = -1  # not known yet
        self._noise_step = 0
        self._noise_update = 0
        self._check_sizes()
        if _init_setup_model:
            self._setup_model()

    def _check_sizes(self) -> None:
        if self.normalize_advantage:
            assert self.batch_size > 1, "`batch_size` must be > 1 to normalize advantages"
        if self.env is None:
            return
        n = self.env.num_envs * self.n_steps
        assert n > 1 or not self.normalize_advantage, (
            f"`n_steps * n_envs` must be > 1 to normalize advantages, not {n}"
        )
        if n % self.batch_size:
            warnings.warn(
                f"a rollout of n_steps * n_envs = {n} transitions is no multiple of "
                f"batch_size={self.batch_size}: after every {n // self.batch_size} whole "
                f"minibatches comes a truncated one of {n % self.batch_size}",
                stacklevel=3,
            )

    def _setup_model(self) -> None:
        """Build what follows from the arguments; also called on a loaded model's attributes."""
        self.extensions = PPOExtensions.of(self.extensions)
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._make_buffer()
        self._make_policy()
        self.clip_range = FloatSchedule(self.clip_range)
        if self.clip_range_vf is not None:
            if isinstance(self.clip_range_vf, float | int):
                assert self.clip_range_vf > 0, "`clip_range_vf` must be positive, or None"
            self.clip_range_vf = FloatSchedule(self.clip_range_vf)
        # A loaded model may bring rollouts along: save(include=["_kept"]).
        kept = self.__dict__.get("_kept", ())
        self._kept: deque[Batch] = deque(kept, maxlen=self.extensions.n_rollouts_kept)
        self._present: NDArray | None = None  # rows in which somebody is; None: in all
        self._ahead: Any = None  # a rollout that was collected in one program
        self._program: Any = None

    def learn(
        self,
        total_timesteps: int,
        callback: Any = None,
        log_interval: int = 1,
        tb_log_name: str = "PPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Train for ``total_timesteps`` steps over all envs, rounded up to whole rollouts."""
        assert self.env is not None, "learn() needs an env: set_env() gives one"
        self._reconsider(total_timesteps)
        iteration = 0
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar
        )
        callback.on_training_start(StepLocals(locals(), self._locals_makers()), globals())
        while self.num_timesteps < total_timesteps:
            if not self.collect_rollouts(self.env, callback, self.rollout_buffer, self.n_steps):
                break
            iteration += 1
            self._update_current_progress_remaining(self.num_timesteps, total_timesteps)
            if log_interval is not None and iteration % log_interval == 0:
                self.dump_logs(iteration)
            self.train()
        callback.on_training_end()
        return self

    # Collecting

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer with ``n_rollout_steps`` steps of every env, and its advantages.

        Returns:
            False if a callback asked to stop.

        Raises:
            FloatingPointError: an observation or reward isn't finite; it says which, and when.
        """
        assert self._last_obs is not None, "collect_rollouts needs learn(), or an env reset by it"
        self.policy.set_training_mode(False)
        given, rollout_buffer = rollout_buffer, self._ours_for(rollout_buffer)
        rollout_buffer.reset()
        truncations: list[tuple[int, Any]] = []  # (transition, terminal observation)
        # First: a checkpoint that is taken here finds nothing of the rollout begun.
        callback.on_rollout_start()
        steps = acting.begin(self, env, n_rollout_steps)
        if self._ahead is not None and jax_world(env) is env and _is_nobody(callback):
            dones = ahead.skip(self, env, callback, rollout_buffer)
            values = self._finish_rollout(rollout_buffer, [], dones)
            if given is not rollout_buffer:
                rollout_buffer.copy_into(given, values, dones)
            callback.on_rollout_end()
            return True
        with contextlib.closing(steps):  # nobody is left on his way, whatever happens
            for n_steps, step in enumerate(steps):  # noqa: B007 (a callback's local)
                (rows, active, starts, obs, actions, clipped_actions,
                 new_obs, rewards, dones, infos) = step  # fmt: skip
                self.num_timesteps += len(dones) if active is None else int(active.sum())
                self._show(callback, locals())
                if not self._goes_on(callback):
                    return False
                self._update_info_buffer(infos, dones)
                rollout_buffer.put(obs, actions, rewards, starts, active, rows)
                if np.count_nonzero(dones):
                    truncations += truncated(rollout_buffer.newest, dones, infos)
        dones = self._last_episode_starts  # type: ignore[assignment]
        values = self._finish_rollout(rollout_buffer, truncations, dones)
        if given is not rollout_buffer:
            rollout_buffer.copy_into(given, values, dones)
        log_probs = torch.as_tensor(rollout_buffer.log_probs[-1].copy())
        obs_tensor = obs_as_tensor(obs, self.device)
        self._show(callback, locals())
        callback.on_rollout_end()
        return True

    def _ours_for(self, buffer: Any) -> RolloutBuffer:
        """Where a rollout is collected: in the buffer itself, if it's one of ours."""
        return buffer if isinstance(buffer, RolloutBuffer) else self._collected

    def _goes_on(self, callback: BaseCallback) -> bool:
        if self._ahead is None:
            return callback.on_step()
        try:
            return callback.on_step()
        except NeedsEnvError as error:
            raise ValueError(
                f"{culprit(error)}: {error}; use another form of the env (--vec-env vector)"
            ) from error

    def _step(self, env: VecEnv, actions: NDArray) -> Any:
        try:
            return env.step(actions)
        except Exception as error:
            if not all_finite(self._last_obs):  # what the env was given came from this
                raise FloatingPointError(
                    f"an observation is not finite at step {self.num_timesteps}"
                ) from error
            raise

    def _show(self, callback: BaseCallback, seen: dict[str, Any]) -> None:
        """Give callbacks their locals; the costly ones are made when looked at (StepLocals)."""
        if not isinstance(callback.locals, StepLocals):  # learn() hasn't been here to prepare it
            makers = self._locals_makers()
            seen |= {name: make(seen) for name, make in makers.items() if name not in seen}
        callback.update_locals(seen)

    def _locals_makers(self) -> dict[str, Any]:
        """What SB3 computes at every step, for those who look at it."""

        def predictions(seen: Any) -> Any:
            return self.actor_critic.evaluate(seen["obs"], seen["actions"])

        return {
            "values": lambda seen: torch.as_tensor(predictions(seen).values[:, None]),
            "log_probs": lambda seen: torch.as_tensor(predictions(seen).log_prob),
            "obs_tensor": lambda seen: obs_as_tensor(seen["obs"], self.device),
        }

    def _finish_rollout(
        self, buffer: RolloutBuffer, truncations: list[tuple[int, Any]], dones: NDArray
    ) -> torch.Tensor:
        """Values, log-probabilities and advantages of the whole rollout, each in one batch."""
        now = self.num_timesteps
        buffer.full = True
        check_finite("observation", buffer.observations, now, buffer)
        check_finite("observation", as_one_step(self._last_obs), now)
        check_finite("reward", buffer.rewards, now, buffer)
        if self._ahead is not None:
            last_values = self._ahead.finish(buffer)
            check_finite("advantage", buffer.advantages, now)
            return torch.as_tensor(last_values[:, None])
        backend, rows = self.actor_critic, rows_of(buffer)
        predictions = None if buffer.active is not None else backend.acted_predictions()
        predictions = predictions or backend.evaluate(rows.obs, rows.actions)
        buffer.store_predictions(predictions.values, predictions.log_prob)
        if truncations:  # what lies beyond a time limit is worth gamma V(terminal observation)
            slots, observations = zip(*truncations, strict=True)
            check_finite_ends(truncations, buffer, now)
            worth = backend.values(stack(observations))
            buffer.rewards.reshape(-1)[list(slots)] += self.gamma * worth
        last_values = self._values_beyond()
        buffer.compute_returns_and_advantage(last_values, dones)
        check_finite("advantage", buffer.advantages, now, buffer)
        return torch.as_tensor(last_values[:, None])

    def _values_beyond(self) -> NDArray:
        """V of what rows saw last, ``[n_envs]``; 0 where nobody is."""
        if self._present is None or self._present.all():
            return self.actor_critic.values(self._last_obs)
        values = np.zeros(len(self._present), np.float32)
        rows = np.flatnonzero(self._present)
        values[rows] = self.actor_critic.values(take(self._last_obs, rows))
        return values

    # Learning

    def train(self) -> None:
        """Update the network from ``self.rollout_buffer``.

        Raises:
            FloatingPointError: a gradient isn't finite; the network stays at its last good step.
        """
        assert self.rollout_buffer.full, "train() needs a full rollout buffer"
        self.policy.set_training_mode(True)
        settings = self._update_settings(self._current_progress_remaining)
        for group in self.policy.optimizer.param_groups:  # what files say of it
            group["lr"] = settings.learning_rate.policy
        update = self._noise_update
        self._noise_update += 1
        rows: Any
        if isinstance(self.rollout_buffer, RolloutBuffer):
            rows = self._rows_to_learn_from()
            order = partial(noise.permutation, self._noise_seed, update, n=rows.n_rows)
        else:
            rows, order = self._rows_of_epoch, None
        try:
            stats = self._ahead.take_over(rows, settings) if self._ahead is not None else None
            stats = stats or self.actor_critic.update(rows, settings, order)
        except FloatingPointError as error:
            raise FloatingPointError(
                f"{error} in update {self._noise_update} at step {self.num_timesteps}"
            ) from None
        self._n_updates += stats.n_epochs
        if stats.stopped_kl is not None and self.verbose >= 1:
            print(
                f"Early stopping at step {stats.n_epochs - 1} "
                f"due to reaching max kl: {stats.stopped_kl:.2f}"
            )
        self._log_update(stats, settings)

    def _update_settings(self, progress: float) -> UpdateSettings:
        """An update's numbers: the schedules at the remaining progress."""
        ours = self.extensions
        rate, value_rate, value_norm = self.lr_schedule(progress), None, None
        if ours.value_learning_rate is not None:
            value_rate = as_schedule(ours.value_learning_rate, "value_learning_rate")(progress)
            value_norm = ours.value_max_grad_norm or self.max_grad_norm
        return UpdateSettings(
            coefs=Coefficients(
                self.clip_range(progress),
                None if self.clip_range_vf is None else self.clip_range_vf(progress),
                self.ent_coef,
                self.vf_coef,
            ),
            learning_rate=Rates(rate, value_rate),
            max_grad_norm=Rates(self.max_grad_norm, value_norm),
            batch_size=self.batch_size,
            n_epochs=self.n_epochs,
            target_kl=self.target_kl,
            normalize_minibatch=self._normalization() == "minibatch",
            accumulate=ours.accumulate_minibatches,
            drop_incomplete=ours.drop_incomplete,
        )

    def _normalization(self) -> str:
        given = self.extensions.advantage_normalization
        return given or ("minibatch" if self.normalize_advantage else "off")

    def _rows_to_learn_from(self) -> Batch:
        """The newest rollouts' transitions as rows."""
        rows = rows_of(self.rollout_buffer)
        if self.extensions.n_rollouts_kept > 1:
            self._kept.append(Batch.joined([rows]))
            rows = Batch.joined(list(self._kept))
        if self._normalization() == "rollout":
            rows = rows._replace(advantages=normalize(rows.advantages))
        return rows

    def _rows_of_epoch(self, epoch: int) -> Batch:
        """From somebody else's buffer, in the order that it chooses for each epoch."""
        return Batch.joined(
            [
                rows_of_samples(part, self.action_space)
                for part in self.rollout_buffer.get(self.batch_size)
            ]
        )

    # Logging

    def _log_update(self, stats: UpdateStats, settings: UpdateSettings) -> None:
        record, buffer = self.logger.record, self.rollout_buffer
        values, returns = buffer.values.flatten(), buffer.returns.flatten()
        if isinstance(buffer, RolloutBuffer):
            values, returns = buffer.counted(buffer.values), buffer.counted(buffer.returns)
        record("train/learning_rate", settings.learning_rate.policy)
        if settings.learning_rate.value is not None:
            record("train/value_learning_rate", settings.learning_rate.value)
        record("train/entropy_loss", stats.entropy_loss)
        record("train/policy_gradient_loss", stats.policy_loss)
        record("train/value_loss", stats.value_loss)
        record("train/approx_kl", stats.approx_kl)
        record("train/clip_fraction", stats.clip_fraction)
        record("train/loss", stats.loss)
        record("train/explained_variance", explained_variance(values, returns))
        if (log_std := getattr(self.policy, "log_std", None)) is not None:
            record("train/std", torch.exp(log_std).mean().item())
        record("train/n_updates", self._n_updates, exclude="tensorboard")
        record("train/clip_range", settings.coefs.clip_range)
        if settings.coefs.clip_range_vf is not None:
            record("train/clip_range_vf", settings.coefs.clip_range_vf)

    def dump_logs(self, iteration: int = 0) -> None:
        """Write what was logged, with the episodes' means and the times."""
        assert self.ep_info_buffer is not None
        assert self.ep_success_buffer is not None
        record = self.logger.record
        elapsed = max((time.time_ns() - self.start_time) / 1e9, sys.float_info.epsilon)
        if iteration > 0:
            record("time/iterations", iteration, exclude="tensorboard")
        if len(self.ep_info_buffer) > 0 and len(self.ep_info_buffer[0]) > 0:
            for name, key in (("ep_rew_mean", "r"), ("ep_len_mean", "l")):
                record(f"rollout/{name}", safe_mean([info[key] for info in self.ep_info_buffer]))
        fps = int((self.num_timesteps - self._num_timesteps_at_start) / elapsed)
        record("time/fps", fps)
        record("time/time_elapsed", int(elapsed), exclude="tensorboard")
        record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        if len(self.ep_success_buffer) > 0:
            record("rollout/success_rate", safe_mean(self.ep_success_buffer))
        self.logger.dump(step=self.num_timesteps)

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: Any = None) -> None:
        if any(infos):  # most steps of most envs have nothing to say
            super()._update_info_buffer(infos, dones)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        """Clamped: a rollout may overshoot the total, a rate may not go below 0."""
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        self._current_progress_remaining = clamp_progress(self._current_progress_remaining)


class NumpyPPO(PPO):
    """PPO on the NumPy backend."""

    own_backend = "numpy"


class TorchPPO(PPO):
    """PPO on the Torch backend: its policy is SB3's own."""

    own_backend = "torch"


class JaxPPO(PPO):
    """PPO on the JAX backend."""

    own_backend = "jax"


class MlxPPO(PPO):
    """PPO on the MLX backend."""

    own_backend = "mlx"


def _read_schedule(value: Any) -> Any:
    return from_string(value) if isinstance(value, str) else value


def _is_nobody(callback: BaseCallback) -> bool:
    """Whether it's what SB3 makes of ``callback=None``."""
    return type(callback) is ConvertCallback and callback.callback is None
