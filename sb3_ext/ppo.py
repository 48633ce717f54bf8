"""Proximal policy optimization (Schulman et al. 2017, https://arxiv.org/abs/1707.06347).

The algorithm, once::

    while num_timesteps < total_timesteps:
        collect_rollouts    n_steps of every env with the current policy; GAE
        train               n_epochs over the rollout in minibatches: loss, gradient, step

behind stable-baselines3's interface. The network, its gradient and its optimizer are a backend's.
"""

import contextlib
import copy
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common import policies as sb3_policies
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.utils import (
    FloatSchedule,
    explained_variance,
    get_device,
    get_system_info,
    obs_as_tensor,
    safe_mean,
)
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.backends import BACKENDS, create
from sb3_ext.backends.base import (
    ActorCritic,
    Batch,
    Rates,
    UpdateSettings,
    UpdateStats,
    take,
)
from sb3_ext.backends.choice import for_run
from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.options import NeedsBackendError, NeedsTorchError
from sb3_ext.backends.sb3_format import sb3_policy_kwargs
from sb3_ext.collectors import Step, lockstep, ready_first
from sb3_ext.functional import noise
from sb3_ext.functional.advantages import normalize
from sb3_ext.functional.losses import Coefficients
from sb3_ext.policy import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
    env_actions,
    make_policy,
    sb3_policy,
)
from sb3_ext.portable.model_file import ModelFile, is_model_file, load_model, save_model
from sb3_ext.rollout_buffer import (
    RolloutBuffer,
    StepLocals,
    all_finite,
    as_one_step,
    check_finite,
    check_finite_ends,
    our_buffer,
    rows_of,
    rows_of_samples,
    stack,
    truncated,
)
from sb3_ext.schedules import as_schedule, clamp_progress, from_string
from sb3_ext.vec_env.jax_world import NeedsEnvError, culprit, jax_world

__all__ = ["PPO", "JaxPPO", "MlxPPO", "NumpyPPO", "PPOExtensions", "TorchPPO"]


class PPO(BaseAlgorithm):
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

    policy_aliases: ClassVar[dict[str, type[sb3_policies.BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    own_backend: ClassVar[str | None] = None
    policy: Any
    actor_critic: ActorCritic

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

    def _make_buffer(self) -> None:
        sizes: Any = {
            "buffer_size": self.n_steps,
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "gamma": self.gamma,
            "gae_lambda": self.gae_lambda,
            "n_envs": self.n_envs,
        }
        cls = our_buffer(self.rollout_buffer_class)
        if cls is None and not hasattr(self.rollout_buffer_class, "compute_returns_and_advantage"):
            name = getattr(self.rollout_buffer_class, "__qualname__", self.rollout_buffer_class)
            raise ValueError(f"rollout_buffer_class={name} is no rollout buffer")
        self.rollout_buffer_class = cls or self.rollout_buffer_class
        # Another class is filled from ours at the end of each rollout.
        options = self.rollout_buffer_kwargs
        self._collected = RolloutBuffer(**sizes) if cls is None else cls(**sizes, **options)
        self.rollout_buffer: Any = self._collected
        if cls is None:
            theirs: Any = self.rollout_buffer_class
            self.rollout_buffer = theirs(**sizes, device=self.device, **options)

    def _make_policy(self) -> None:
        own, name = self.own_backend, self.backend
        if own is not None and name not in ("auto", own):
            raise ValueError(f"{type(self).__name__} is the {own} backend, not {name!r}")
        name = own or name
        if name not in ("auto", *BACKENDS):
            raise ValueError(f"unknown backend {name!r}: choose auto, {', '.join(BACKENDS)}")
        reason = ""
        if name == "auto":  # learn() may change its mind, when it knows how long the run is
            reason = self._build_what_suits()
        else:
            self._build(name)
        if self.verbose >= 1:
            print(f"Using the {self.actor_critic.name} backend{reason}")

    def _build_what_suits(self) -> str:
        """NumPy, or what it has to be or is faster; returns what is said of that."""
        if jax_world(self.env) is not None:
            self._build("jax")
            return ", for a JaxWorldVecEnv"
        try:
            self._build("numpy")
        except NeedsBackendError as error:
            backend, reason = error.backend, error.what
        else:
            spec = self.actor_critic.spec
            if not (spec.images and spec.is_canonical):
                return ""
            backend, reason = "torch", "images"
        self._build(backend)
        return f", for {reason}"

    def _reconsider(self, total_timesteps: int) -> None:
        """Under ``"auto"``: hand a long run's network to a backend that has to compile first."""
        if self.backend != "auto" or self.own_backend or self.actor_critic.name != "numpy":
            return
        if not self.actor_critic.spec.is_canonical:
            return
        name, reason = for_run(total_timesteps * self.n_epochs // self.batch_size)
        if name == "numpy":
            return
        old = self.actor_critic
        self.actor_critic = create(name, old.spec, old.parameters())
        self.actor_critic.load_optimizer_state(old.optimizer_state())
        self.policy.use(self.actor_critic)
        if self.verbose >= 1:
            print(f"Using the {name} backend: {reason}")

    def _build(self, backend: str) -> None:
        if backend != "torch":
            if self.rollout_buffer is not self._collected:
                name = type(self.rollout_buffer).__qualname__
                ours = "one derived from sb3_ext.rollout_buffer.RolloutBuffer, or "
                raise NeedsTorchError(f"rollout_buffer_class={name}", ours)
            if torch.device(self._asked_device.replace("auto", "cpu")).type != "cpu":
                raise NeedsTorchError(f"device={self._asked_device!r}", "device='cpu', or ")
        self.device = get_device(self._asked_device if backend == "torch" else "cpu")
        self.policy, self.actor_critic = make_policy(
            self.policy_class,
            self.observation_space,
            self.action_space,
            self.lr_schedule,
            backend=backend,
            extensions=self.extensions,
            noise_seed=self._noise_seed,
            device=self.device,
            use_sde=self.use_sde,
            **self.policy_kwargs,
        )

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed all generators, as SB3 does, and the noise streams."""
        super().set_random_seed(seed)
        if seed is not None:
            self._noise_seed = int(seed) % 2**63
            if isinstance(self.__dict__.get("policy"), ActorCriticPolicy):
                self.policy.set_noise_seed(self._noise_seed)
        elif self._noise_seed < 0:
            # SB3 without a seed obeys the global generator, which RL Zoo seeds.
            self._noise_seed = int(np.random.randint(2**31))  # noqa: NPY002

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
        steps = self._begin(env, n_rollout_steps)
        if self._ahead is not None and jax_world(env) is env and _is_nobody(callback):
            dones = self._skip(env, callback, rollout_buffer)
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

    def _skip(self, env: Any, callback: BaseCallback, buffer: RolloutBuffer) -> NDArray:
        """All steps of a rollout collected ahead at once, as nobody looks; the last one's dones."""
        rollout = self._ahead.collected.rollout
        done = rollout.transitions.terminated | rollout.transitions.truncated
        n_steps = len(done)
        buffer.observations[:] = rollout.obs.reshape(buffer.observations.shape)
        buffer.actions[:] = self._ahead.actions.reshape(buffer.actions.shape)
        buffer.rewards[:] = rollout.transitions.reward
        buffer.episode_starts[0], buffer.episode_starts[1:] = self._last_episode_starts, done[:-1]
        buffer.pos, buffer.full = n_steps, True
        assert self.ep_info_buffer is not None
        self.ep_info_buffer.extend(env.skip())
        self.num_timesteps += n_steps * env.num_envs
        self._noise_step += n_steps
        callback.n_calls += n_steps
        callback.num_timesteps = self.num_timesteps
        self._last_obs, self._last_episode_starts = self._ahead.collected.last_obs, done[-1]
        return done[-1]

    def _ours_for(self, buffer: Any) -> RolloutBuffer:
        """Where a rollout is collected: in the buffer itself, if it's one of ours."""
        return buffer if isinstance(buffer, RolloutBuffer) else self._collected

    def _begin(self, env: VecEnv, n_steps: int) -> Generator[Step]:
        """The steps of a rollout, as they come about."""
        min_rows = self.extensions.min_inference_size
        if min_rows is None:
            act = self._begin_acting(env, n_steps)
            return lockstep(self, env, n_steps, act, _prepared(self.policy, env.num_envs))
        act, to_env = self._acting_at_any_pace(n_steps), partial(env_actions, self.policy)
        return ready_first(self, env, n_steps * env.num_envs, act, to_env, min_rows)

    def _begin_acting(self, env: VecEnv, n_steps: int) -> Any:
        """A function of (step, observations) that acts; its noise is drawn here, as one block.

        In place of the step it takes (steps, rows) of some rows.
        """
        draws = np.arange(n_steps) // (every := self._steps_per_draw(n_steps))
        block = self._draw(int(draws[-1]) + 1)
        self._ahead = self._run_ahead(env, block, draws)
        if self._ahead is not None:
            return self._ahead.action
        act: Any = self.actor_critic.actor(block)
        return act if every == 1 else lambda at, obs: act(_drawn(at, every), obs)

    def _acting_at_any_pace(self, n_steps: int) -> Any:
        """A function of (steps that rows have taken, rows) and observations that acts."""
        every = self._steps_per_draw(n_steps)
        n_draws = (n_steps - 1) // every + 1
        actor: Any = self.actor_critic.actor(self._draw(n_draws))

        def act(at: tuple[NDArray, NDArray], obs: Any) -> NDArray:
            nonlocal n_draws, actor
            if at[0].max() // every >= n_draws:  # a row is far ahead of the others
                n_draws *= 2
                actor = self.actor_critic.actor(self._draw(n_draws))
            return actor(_drawn(at, every), obs)

        return act

    def _steps_per_draw(self, n_steps: int) -> int:
        if not self.use_sde:
            return 1
        return self.sde_sample_freq if self.sde_sample_freq > 0 else n_steps

    def _draw(self, n_draws: int) -> NDArray:
        """The noise of a rollout that begins now, ``[n_draws, n_envs, ...]``."""
        spec = self.actor_critic.spec
        stream = noise.EXPLORATION if self.use_sde else noise.ACTION
        at = (self._noise_seed, stream, self._noise_step)
        return noise.draw(spec.distribution.noise_kind, *at, n_draws, self.n_envs, spec.noise_shape)

    def _run_ahead(self, env: VecEnv, block: NDArray, draws: NDArray) -> Any:
        """Collect and learn in one program where the env allows it (:mod:`sb3_ext.fused`)."""
        world = jax_world(env)
        if world is None or self.actor_critic.name != "jax":
            return None
        from sb3_ext.fused import FusedProgram

        world.play_out()
        if self._program is None or not self._program.serves(self.actor_critic, world.world_env):
            backend: Any = self.actor_critic
            self._program = FusedProgram(backend, world.world_env, self.gamma, self.gae_lambda)
        n_rows = len(draws) * env.num_envs
        after = self.num_timesteps + n_rows
        settings = self._update_settings(clamp_progress(1.0 - after / self._total_timesteps))
        alone = self.extensions.n_rollouts_kept == 1 and self._normalization() != "rollout"
        order = partial(noise.permutation, self._noise_seed, self._noise_update, n=n_rows)
        return self._program.run(block, draws, settings if alone else None, order)

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

    # Files

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def _excluded_save_params(self) -> list[str]:
        ours = ["_kept", "_collected", "_asked_device", "_present", "_ahead", "_program"]
        return [*super()._excluded_save_params(), *ours, "actor_critic"]

    def save(self, path: Any, exclude: Any = None, include: Any = None) -> None:
        """Save as SB3 does; ``stable_baselines3.PPO.load`` opens the file too.

        A path that ends in ``.safetensors`` or ``.npz`` gets numbers and a description, and no
        pickle, see docs/export.md. There ``include=["policy.optimizer"]`` adds the optimizer's
        moments, and ``exclude`` names arguments that shall be the default again.

        Raises:
            ModelFileError: such a file can't hold the model; a ValueError that says what of it.
        """
        if is_model_file(path):
            save_model(self, path, exclude or (), include or ())
            return
        twin = copy.copy(self)  # with the names that SB3 knows
        twin.policy_class = sb3_policy(self.policy_class)
        if self.rollout_buffer_class is RolloutBuffer:
            twin.rollout_buffer_class = None
        twin.policy_kwargs = sb3_policy_kwargs(self.policy_kwargs)
        twin.extensions = self.extensions.changed()
        BaseAlgorithm.save(twin, path, exclude, include)

    def snapshot(self) -> dict[str, Any]:
        """What files leave out of it and a training that goes on exactly needs."""
        drawn = None
        if isinstance(self.policy, ActorCriticPolicy):
            drawn = self.policy.noise_drawn
        return {"kept": list(self._kept), "noise_drawn": drawn}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from :meth:`snapshot`, after ``load``."""
        self._kept = deque(snapshot["kept"], maxlen=self.extensions.n_rollouts_kept)
        if snapshot["noise_drawn"] is not None:
            self.policy.noise_drawn = snapshot["noise_drawn"]

    @classmethod
    def load(
        cls,
        path: Any,
        env: Any = None,
        device: Any = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """As SB3's; nothing of a ``.safetensors`` or an ``.npz`` is executed.

        Raises:
            ModelFileError: the file is damaged or tampered with; a ValueError that says where.
        """
        if not is_model_file(path):
            return super().load(
                path, env, device, custom_objects, print_system_info, force_reset, **kwargs
            )
        if not force_reset:
            raise ValueError(f"{path} holds no episode to go on with: force_reset=True")
        if print_system_info:
            get_system_info()
        return load_model(cls, path, env, device, (custom_objects or {}), **kwargs)

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: Any = "auto"
    ) -> None:
        """As SB3's; of a ``.safetensors`` or an ``.npz`` it takes the canonical parameters."""
        path = load_path_or_dict
        if is_model_file(path):
            found, known = ModelFile.read(path).parameters, self.actor_critic.parameters()
            if not exact_match:
                found = {name: found.get(name, value) for name, value in known.items()}
            self.actor_critic.load_parameters(found)
            return
        super().set_parameters(load_path_or_dict, exact_match, device)


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


def _drawn(at: Any, every: int) -> Any:
    """Which draw of noise a step takes, or (steps, rows) of some rows."""
    return (at[0] // every, at[1]) if isinstance(at, tuple) else at // every


def _prepared(policy: Any, n_envs: int) -> Any:
    """``env_actions`` for a rollout: limits of the actions' shape spare NumPy the broadcasting."""
    space = policy.action_space
    if not isinstance(space, spaces.Box) or policy.squash_output:
        return partial(env_actions, policy)
    shape = (n_envs, *space.shape)
    low, high = (np.broadcast_to(limit, shape).copy() for limit in (space.low, space.high))
    return lambda actions: np.minimum(np.maximum(actions.reshape(shape), low), high)
