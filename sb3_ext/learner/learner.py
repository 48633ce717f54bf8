"""rlgym-ppo's Learner: its keywords, translated to PPO, its callbacks and workers."""

import contextlib
import json
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from callbacks import KeysCallback, WandbCallback
from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.learner import checkpoints
from sb3_ext.learner.arguments import check_range, check_within, count, counts
from sb3_ext.learner.matches import MatchBuilder
from sb3_ext.learner.report import IterationReport, MetricsReport
from sb3_ext.ppo import PPO
from sb3_ext.vec_env import SharedMemoryVecEnv
from sb3_ext.vec_env.rows import RowVecNormalize, active_rows
from sb3_ext.vec_env.shared_memory import n_cores

__all__ = ["Learner"]

_CLIP_OBS, _CLIP_REWARD, _MAX_GRAD_NORM = 5.0, 10.0, 0.5
_DEFAULT_FOLDER = "data/checkpoints/rlgym-ppo-run"


class Learner:
    """Trains PPO on matches in worker processes, by the keywords of rlgym-ppo's ``Learner``.

    ``Learner(build_env, n_proc=32, ppo_batch_size=50_000, ts_per_iteration=50_000).learn()`` needs
    no more than another import. docs/from-rlgym-ppo.md tells each difference.

    Args:
        env_create_function: Builds a match: an environment of RLGym 2 or 1, PettingZoo's parallel
            form, Gymnasium or old Gym.
        metrics_logger: A :class:`~sb3_ext.learner.MetricsLogger`, or None.
        n_proc: Matches, on as many workers as there are cores.
        min_inference_size: Rows to wait for before acting; at or above all rows, all of them.
        render: Whether the first match draws itself.
        render_delay: Seconds to wait after each picture.
        timestep_limit: Steps, all agents' counted, after which ``learn()`` returns.
        exp_buffer_size: Steps that an update learns from: the newest rollouts that fit.
        ts_per_iteration: Steps of a rollout, rounded up to whole steps of all rows.
        standardize_returns: Divide rewards by the running deviation of the discounted return.
        standardize_obs: Standardize each feature of the observations by its own statistics.
        max_returns_per_stats_increment: Without effect: every step counts for the statistics.
        steps_per_obs_stats_increment: Likewise.
        policy_layer_sizes: Hidden layers of the policy.
        critic_layer_sizes: Of the value function.
        continuous_var_range: Limits of the standard deviation of continuous actions.
        ppo_epochs: Passes over the experience.
        ppo_batch_size: Rows of an optimizer step.
        ppo_minibatch_size: Rows of a gradient; those of a batch are accumulated. None: the batch.
        ppo_ent_coef: Weight of the entropy.
        ppo_clip_range: How far the probability ratio may leave 1.
        gae_lambda: lambda of generalized advantage estimation.
        gae_gamma: Discount factor.
        policy_lr: Learning rate of the policy.
        critic_lr: Of the value function.
        log_to_wandb: Whether to log to Weights & Biases.
        load_wandb: Whether a loaded checkpoint goes on with its W&B run.
        wandb_run: A W&B run that is there already; it's not ended here.
        wandb_project_name: Of a new run.
        wandb_group_name: Of a new run.
        wandb_run_name: Of a new run.
        checkpoints_save_folder: Where checkpoints go; None: data/checkpoints/rlgym-ppo-run.
        add_unix_timestamp: Whether that name gets the time.
        checkpoint_load_folder: Go on from this checkpoint, or from the newest in this folder;
            "latest": from the newest of what was saved under ``checkpoints_save_folder``; None:
            from none.
        save_every_ts: Steps between two checkpoints.
        instance_launch_delay: Without effect: no game is launched.
        random_seed: Governs everything random.
        n_checkpoints_to_keep: How many of the newest.
        shm_buffer_size: Without effect: memory is as large as the observations need.
        device: As stable-baselines3 has it.
        backend: As :class:`~sb3_ext.PPO` has it.
        max_agents: Rows of a match; None: the agents of its first episode.
        n_workers: Worker processes; None: one for each core.
        callback: A callback of one's own, or several.
        verbose: 0 prints no report.

    Attributes:
        model: The PPO.
        env: Its rows.
        checkpoints_folder: Where checkpoints go.

    Raises:
        ValueError: An argument makes no sense.
        FileNotFoundError: There is no such checkpoint.
    """

    def __init__(
        self,
        env_create_function: Callable[[], Any],
        metrics_logger: Any = None,
        n_proc: int = 8,
        min_inference_size: int = 80,
        render: bool = False,
        render_delay: float = 0,
        timestep_limit: int = 5_000_000_000,
        exp_buffer_size: int = 100_000,
        ts_per_iteration: int = 50_000,
        standardize_returns: bool = True,
        standardize_obs: bool = True,
        max_returns_per_stats_increment: int = 150,
        steps_per_obs_stats_increment: int = 5,
        policy_layer_sizes: Sequence[int] = (256, 256, 256),
        critic_layer_sizes: Sequence[int] = (256, 256, 256),
        continuous_var_range: tuple[float, float] = (0.1, 1.0),
        ppo_epochs: int = 10,
        ppo_batch_size: int = 50_000,
        ppo_minibatch_size: int | None = None,
        ppo_ent_coef: float = 0.005,
        ppo_clip_range: float = 0.2,
        gae_lambda: float = 0.95,
        gae_gamma: float = 0.99,
        policy_lr: float = 3e-4,
        critic_lr: float = 3e-4,
        log_to_wandb: bool = False,
        load_wandb: bool = True,
        wandb_run: Any = None,
        wandb_project_name: str | None = None,
        wandb_group_name: str | None = None,
        wandb_run_name: str | None = None,
        checkpoints_save_folder: str | None = None,
        add_unix_timestamp: bool = True,
        checkpoint_load_folder: str | None = "latest",
        save_every_ts: int = 1_000_000,
        instance_launch_delay: float | None = None,
        random_seed: int = 123,
        n_checkpoints_to_keep: int = 5,
        shm_buffer_size: int = 8192,
        device: Any = "auto",
        *,
        backend: str = "auto",
        max_agents: int | None = None,
        n_workers: int | None = None,
        callback: BaseCallback | list[BaseCallback] | None = None,
        verbose: int = 1,
    ) -> None:
        n_proc = count(n_proc=n_proc)
        min_inference_size = count(min_inference_size=min_inference_size)
        self.timestep_limit = count(timestep_limit=timestep_limit)
        exp_buffer_size = count(exp_buffer_size=exp_buffer_size)
        ts_per_iteration = count(ts_per_iteration=ts_per_iteration)
        ppo_epochs = count(ppo_epochs=ppo_epochs)
        ppo_batch_size = count(ppo_batch_size=ppo_batch_size)
        save_every_ts = count(save_every_ts=save_every_ts)
        n_checkpoints_to_keep = count(n_checkpoints_to_keep=n_checkpoints_to_keep)
        random_seed = count(0, random_seed=random_seed)
        layers = {
            "pi": counts(policy_layer_sizes=policy_layer_sizes),
            "vf": counts(critic_layer_sizes=critic_layer_sizes),
        }
        check_range(continuous_var_range)
        check_within(0.0, 1.0, gae_gamma=gae_gamma, gae_lambda=gae_lambda)
        check_within(0.0, policy_lr=policy_lr, critic_lr=critic_lr, ppo_clip_range=ppo_clip_range)
        check_within(-math.inf, ppo_ent_coef=ppo_ent_coef)
        minibatch = (
            ppo_batch_size
            if ppo_minibatch_size is None
            else count(ppo_minibatch_size=ppo_minibatch_size)
        )
        if ppo_batch_size % minibatch:
            raise ValueError(
                f"ppo_minibatch_size={minibatch} must divide ppo_batch_size={ppo_batch_size}"
            )
        n_kept = max(1, exp_buffer_size // ts_per_iteration)
        if ppo_batch_size > n_kept * ts_per_iteration:
            raise ValueError(
                f"ppo_batch_size={ppo_batch_size} is never filled: {n_kept} rollouts of "
                f"ts_per_iteration={ts_per_iteration} are kept (exp_buffer_size={exp_buffer_size})"
            )
        folder = Path(checkpoints_save_folder or _DEFAULT_FOLDER)
        loaded = checkpoints.find_checkpoint(checkpoint_load_folder, folder)
        stamp = f"-{time.time_ns()}" if add_unix_timestamp else ""
        self.checkpoints_folder = folder.with_name(folder.name + stamp)
        self._book: dict[str, Any] = {}
        if loaded is not None:
            self._book = json.loads((loaded / checkpoints.BOOK_KEEPING).read_text(encoding="utf-8"))
        self._wandb: WandbCallback | None = None
        if log_to_wandb or wandb_run is not None:
            self._wandb = self._wandb_callback(
                wandb_run,
                load_wandb,
                project=wandb_project_name,
                group=wandb_group_name,
                name=wandb_run_name,
            )
        builders = [
            MatchBuilder(
                env_create_function,
                metrics_logger,
                max_agents,
                random_seed + i,
                (render_delay or 0.0) if render and i == 0 else None,
            )
            for i in range(n_proc)
        ]
        rows = SharedMemoryVecEnv(builders, n_workers or min(n_cores(), n_proc))
        try:
            self.env = _standardized(rows, standardize_obs, standardize_returns, gae_gamma, loaded)
            self.model = self._model(
                loaded,
                learning_rate=policy_lr,
                n_steps=math.ceil(ts_per_iteration / rows.num_envs),
                batch_size=minibatch,
                n_epochs=ppo_epochs,
                gamma=gae_gamma,
                gae_lambda=gae_lambda,
                clip_range=ppo_clip_range,
                ent_coef=ppo_ent_coef / _averaged_over(rows.action_space),
                vf_coef=1.0,
                policy_kwargs={"net_arch": layers, "activation_fn": "relu"},
                extensions=_extensions(
                    rows,
                    value_learning_rate=critic_lr,
                    accumulate_minibatches=ppo_batch_size // minibatch,
                    n_rollouts_kept=n_kept,
                    min_inference_size=min_inference_size,
                    std_range=continuous_var_range,
                ),
                seed=random_seed,
                device=device,
                backend=backend,
            )
        except BaseException:
            rows.close()
            raise
        self._report = IterationReport(verbose)
        if loaded is not None:
            self._tell(f"goes on from {loaded} (checkpoint_load_folder=None begins anew)")
        self._report.policy_reward = self._book.get("policy_average_reward")
        self._report.model_updates = int(self._book.get("cumulative_model_updates", 0))
        self.checkpoints = checkpoints.Checkpoints(
            save_every_ts, self.checkpoints_folder, n_checkpoints_to_keep, self._bookkeeping
        )
        own = callback if isinstance(callback, list) else [callback] if callback else []
        self._callbacks = [
            *([MetricsReport(metrics_logger, self._wandb)] if metrics_logger is not None else []),
            *own,
            self._report,
            self.checkpoints,
            *([self._wandb] if self._wandb is not None else []),  # last: it ends the W&B run
            KeysCallback(self.checkpoints.save),
        ]

    @property
    def cumulative_timesteps(self) -> int:
        """Steps so far, all agents' counted."""
        return self.model.num_timesteps

    def learn(self) -> None:
        """Trains until ``timestep_limit``; saves the last step, whatever ends it, and cleans up.

        Raises:
            Exception: What an environment has raised, with its worker's traceback.
            SystemExit: SIGTERM or SIGHUP has come.
        """
        left = self.timestep_limit - self.model.num_timesteps
        silent: Any = None
        if left <= 0:
            self._tell(f"nothing left to do: {self.model.num_timesteps:,} steps are the limit")
        try:
            if left > 0:
                callbacks = CallbackList(self._callbacks)
                with _signals_as_exceptions():
                    self.model.learn(left, callbacks, silent, reset_num_timesteps=False)
        except BaseException:
            for each in self._callbacks:
                with contextlib.suppress(Exception):  # what has happened is to be seen
                    each.on_training_end()
            raise
        finally:
            self.cleanup()
            if there := checkpoints.steps_in(self.checkpoints_folder):
                self._tell(f"newest checkpoint: {self.checkpoints_folder / str(there[-1])}")

    def _tell(self, what: str) -> None:
        if self._report.verbose:
            print(what)

    def save(self) -> Path:
        """Saves a checkpoint of this step; returns its folder."""
        self.checkpoints.init_callback(self.model)
        self.checkpoints.num_timesteps = self.model.num_timesteps
        return self.checkpoints.save().parent

    def cleanup(self) -> None:
        """Ends the workers; a second call does nothing."""
        self.env.close()

    def _model(self, loaded: Path | None, **arguments: Any) -> PPO:
        with _own_batches():
            if loaded is None:
                return PPO("MlpPolicy", self.env, **arguments)
            asked = arguments.pop("policy_kwargs")["net_arch"]
            model = PPO.load(loaded / checkpoints.MODEL, self.env, **arguments)
        layers = model.policy_kwargs["net_arch"]
        if layers != asked:
            raise ValueError(
                f"{loaded} has policy_layer_sizes={layers['pi']} and critic_layer_sizes="
                f"{layers['vf']}, not {asked['pi']} and {asked['vf']}: "
                "checkpoint_load_folder=None begins anew"
            )
        return model

    def _wandb_callback(self, run: Any, goes_on: bool, **named: Any) -> WandbCallback:
        before = self._book.get("wandb") or {} if goes_on else {}
        named = {key: value or before.get(key) for key, value in named.items()}
        named["project"] = named["project"] or "rlgym-ppo"
        return WandbCallback(**named, run_id=before.get("id"), run=run)

    def _bookkeeping(self) -> dict[str, Any]:
        report = self._report
        told: dict[str, Any] = {
            "cumulative_model_updates": report.model_updates,
            "policy_average_reward": report.policy_reward,
        }
        run = None if self._wandb is None else self._wandb.run
        if run is not None:
            names = ("id", "project", "group", "name")
            told["wandb"] = {name: getattr(run, name, None) for name in names}
        if isinstance(self.env, VecNormalize):
            deviation = float(np.sqrt(self.env.ret_rms.var + self.env.epsilon))
            told["reward_running_stats"] = {
                "mean": float(self.env.ret_rms.mean),
                "std": deviation,
                "count": float(self.env.ret_rms.count),
            }
        return told


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """SIGTERM and SIGHUP end the training as Ctrl-C does, unless somebody else has taken them."""

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    in_charge = threading.current_thread() is threading.main_thread()
    taken = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if in_charge and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in taken:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _standardized(
    rows: VecEnv, obs: bool, returns: bool, gamma: float, loaded: Path | None
) -> VecEnv:
    """The rows, standardized; with a checkpoint's statistics."""
    if not (obs or returns):
        return rows
    cls = VecNormalize if active_rows(rows) is None else RowVecNormalize
    limits = {"clip_obs": _CLIP_OBS, "clip_reward": _CLIP_REWARD, "gamma": gamma}
    normalizer = cls(rows, norm_obs=obs, norm_reward=returns, **limits)  # type: ignore[arg-type]
    if loaded is not None and (loaded / checkpoints.NORMALIZER).is_file():
        known = VecNormalize.load(str(loaded / checkpoints.NORMALIZER), rows)
        normalizer.ret_rms = known.ret_rms
        if obs and hasattr(known, "obs_rms"):
            normalizer.obs_rms = known.obs_rms
    return normalizer


def _extensions(rows: VecEnv, **arguments: Any) -> PPOExtensions:
    size = arguments.pop("min_inference_size")
    std_range = arguments.pop("std_range")
    if isinstance(rows.action_space, spaces.Box):
        arguments |= {"std": "state", "std_range": tuple(std_range), "mean": "tanh"}
    return PPOExtensions(
        **arguments,
        value_max_grad_norm=_MAX_GRAD_NORM,
        advantage_normalization="off",
        drop_incomplete=True,
        min_inference_size=size if size < rows.num_envs else None,
    )


def _averaged_over(space: spaces.Space) -> int:
    """rlgym-ppo takes the mean of a Gaussian's entropies over the actions; PPO their sum."""
    return int(np.prod(space.shape or 1)) if isinstance(space, spaces.Box) else 1


@contextlib.contextmanager
def _own_batches() -> Iterator[None]:
    """Batches that don't fill are left out here: PPO needn't warn of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "a rollout of n_steps", UserWarning)
        yield
