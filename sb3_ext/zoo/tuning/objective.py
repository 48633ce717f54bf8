"""One trial: trains on every seed, evaluates on the way, and reports to the pruner."""

from __future__ import annotations

import argparse
import gc
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from callbacks import EvaluationCallback
from sb3_ext.zoo import registry, workers
from sb3_ext.zoo.agents import make_agent
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.evaluate import evaluate
from sb3_ext.zoo.fingerprint import is_finite
from sb3_ext.zoo.hyperparams import Entry, Settings, resolve
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.observers import EVALUATION_SEED, entry_callbacks
from sb3_ext.zoo.opponents import AT_RANDOM, rival
from sb3_ext.zoo.preparation import is_judged_deterministically, set_threads
from sb3_ext.zoo.scores import FINAL_EVALUATION_SEED
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.spaces import search_space

# What a trial keeps in its user attributes beside what Optuna keeps of it.
HYPERPARAMETERS = "hyperparams"  # its whole entry, plain values
RETURNS = "returns"  # of the final policies, one mean per seed
IS_ENTRY = "entry"  # whether it is the plan's entry itself instead of a draw


class Objective:
    """A plan, ready to be carried out.

    Args:
        plan: How trials are trained and judged.
        args: The command line: device, threads, verbosity, form of the rows.
        interruption: Signals to heed.
        abandoned: Says whether nobody waits for this process's trials any more.

    Raises:
        ZooError: If the plan's own entry cannot be built and stepped here, or has no search space.
    """

    def __init__(
        self,
        plan: Plan,
        args: argparse.Namespace,
        interruption: Interruption,
        abandoned: Callable[[], bool] = lambda: False,
    ) -> None:
        self.plan, self.args = plan, args
        self._interruption, self._abandoned = interruption, abandoned
        self._spec = registry.find_env(plan.env)
        self._algorithm = registry.load_algorithm(plan.algo)
        settings = self._settings(plan.values, "the entry")
        self.n_timesteps = settings.n_timesteps
        self.notices = [set_threads(args.num_threads, settings)]
        form, why = choose_form(args.vec_env, self._spec, settings, plan.algo)
        self.notices += [f"rows: {form} ({why})"] if why else []
        action_space = self._rehearse(settings)
        self.space = search_space(plan, settings, action_space)

    def __call__(self, trial: optuna.Trial) -> float:
        """The mean over seeds of the final policy's mean return.

        Raises:
            optuna.TrialPruned: If the pruner gives it up.
            Exception: Whatever fails in a training.
        """
        is_entry = trial.user_attrs.get(IS_ENTRY, False)
        with self._interruption.holding():
            drawn = self.space.draw(trial)
            values = self.plan.values if is_entry else self.plan.values | drawn
            trial.set_user_attr(HYPERPARAMETERS, values)
        settings = self._settings(values, f"trial {trial.number}")
        returns: list[float] = []
        for seed in self.plan.seeds:
            returns.append(self._trained(trial, settings, seed, returns))
            with self._interruption.holding():
                trial.set_user_attr(RETURNS, returns)
        return fmean(returns)

    def _settings(self, values: dict[str, Any], source: str) -> Settings:
        entry = Entry(values, self.plan.env, source)
        return resolve(entry, self._algorithm, self.plan.algo)

    def _builder(self, settings: Settings) -> EnvBuilder:
        form, _ = choose_form(self.args.vec_env, self._spec, settings, self.plan.algo)
        kwargs, workers = settings.env_kwargs, self.args.workers or None
        against = rival(self.args, self._spec, AT_RANDOM)
        judged = self.plan.eval_env_kwargs or settings.judged_kwargs(kwargs)
        return EnvBuilder(self._spec, settings, form, kwargs, workers, against, judged)

    def _training_env(self, settings: Settings, seed: int) -> VecEnv:
        # ARS steps one env.
        n_envs = 1 if self.plan.algo == "ars" else settings.n_envs
        return self._builder(settings).train(n_envs, seed)

    def _rehearse(self, settings: Settings) -> Any:
        """Builds everything once and takes a step: what fails here would fail in every trial."""
        env = self._training_env(settings, self.plan.seed)
        try:
            make_agent(self.args, self._algorithm, settings, env, self.plan.seed, None)
            entry_callbacks(settings)
            self._evaluation_env(settings, self.plan.seed).close()
            env.reset()
            env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))
            return env.action_space
        except ZooError:
            raise
        except Exception as error:  # somebody's world: anything may happen
            raise ZooError(f"cannot step {self.plan.env}: {reason(error)}") from error
        finally:
            workers.close(env)

    def _evaluation_env(self, settings: Settings, seed: int) -> VecEnv:
        builder = self._builder(settings).in_one_process()
        default = self.plan.eval_episodes if builder.form in ("vector", "jax") else 1
        rows = self.plan.n_eval_envs or default
        return builder.evaluation(rows, seed + EVALUATION_SEED)

    def _trained(
        self, trial: optuna.Trial, settings: Settings, seed: int, returns: list[float]
    ) -> float:
        """Trains on one seed; the mean return of the final policy.

        Args:
            trial: Is reported to.
            settings: Its hyperparameters.
            seed: As ``zoo.py train --seed``, which trains the same agent.
            returns: What its other seeds came to.
        """
        progress = _Progress(trial, self.plan, returns, self._interruption)
        set_random_seed(seed)
        env = self._training_env(settings, seed)
        evaluation_env = None
        try:
            model = make_agent(self.args, self._algorithm, settings, env, seed, None)
            evaluation_env = self._evaluation_env(settings, seed)
            callback = TrialEvaluation(
                evaluation_env,
                self._folder(trial, seed),
                progress,
                settings.n_timesteps,
                self._must_stop,
                n_episodes=self.plan.eval_episodes,
                deterministic=is_judged_deterministically(self._spec),
                seed=seed + EVALUATION_SEED,
            )
            callbacks = CallbackList([*entry_callbacks(settings), callback])
            model.learn(settings.n_timesteps, callback=callbacks)
            return self._judged(model, settings, seed, progress)
        finally:
            workers.close(env)
            if evaluation_env is not None:
                workers.close(evaluation_env)
            gc.collect()

    def _judged(
        self, model: BaseAlgorithm, settings: Settings, seed: int, progress: _Progress
    ) -> float:
        if not is_finite(model):
            raise FloatingPointError("the agent's parameters are no numbers any more")
        n_episodes = self.plan.final_eval_episodes
        builder = self._builder(settings).in_one_process()
        rows = min(n_episodes, 100 if builder.form == "vector" else 8)
        env = builder.evaluation(rows, seed + FINAL_EVALUATION_SEED)
        try:
            trained_on = model.get_env()
            assert trained_on is not None
            sync_envs_normalization(trained_on, env)
            deterministic = is_judged_deterministically(self._spec)
            score = evaluate(model, env, n_episodes, deterministic).mean
        finally:
            workers.close(env)
        progress.report(self.plan.n_evaluations, score)
        return score

    def _must_stop(self) -> bool:
        return self._interruption.received or self._abandoned()

    def _folder(self, trial: optuna.Trial, seed: int) -> Path | None:
        if self.args.optimization_log_path is None:
            return None
        folder = Path(self.args.optimization_log_path) / f"trial_{trial.number}"
        if self.plan.n_seeds > 1:
            folder /= f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class TrialEvaluation(EvaluationCallback):
    """Evaluates at even distances, and reports.

    Args:
        env: The evaluation env.
        folder: Where evaluations and the best model go; None keeps neither.
        progress: Is reported to.
        n_timesteps: Of the whole training.
        must_stop: Asked at every step.
        **options: Of the evaluation.
    """

    def __init__(
        self,
        env: VecEnv,
        folder: Path | None,
        progress: _Progress,
        n_timesteps: int,
        must_stop: Callable[[], bool],
        **options: Any,
    ) -> None:
        super().__init__(env, folder, every=1, **options)
        self._progress, self._must_stop = progress, must_stop
        n = progress.plan.n_evaluations
        self._due = [n_timesteps * i // n for i in range(1, n)]
        self._n_done = 0

    def _on_step(self) -> bool:
        if self._must_stop():
            raise KeyboardInterrupt
        due = sum(self.num_timesteps >= steps for steps in self._due)
        if due == self._n_done:
            return True
        self._n_done = due
        goes_on = super()._on_step()
        self._progress.report(due, float(self.last_mean_reward))
        return goes_on


class _Progress:
    """Reports a trial's evaluations to its pruner, counted over its seeds.

    Evaluation ``i`` of seed ``s`` is step ``s * n_evaluations + i``, of every trial; its value is
    the mean over the seeds that are done and this one as it is.
    """

    def __init__(
        self, trial: optuna.Trial, plan: Plan, returns: list[float], interruption: Interruption
    ) -> None:
        self.trial, self.plan = trial, plan
        self._returns, self._interruption = list(returns), interruption

    def report(self, evaluation: int, mean_return: float) -> None:
        """Reports one evaluation.

        Raises:
            optuna.TrialPruned: If the pruner gives the trial up.
            FloatingPointError: If the return is not a number.
        """
        if not math.isfinite(mean_return):
            raise FloatingPointError(f"the mean return is {mean_return}")
        step = len(self._returns) * self.plan.n_evaluations + evaluation
        with self._interruption.holding():  # a storage broken off half-way may be damaged
            self.trial.report(fmean([*self._returns, mean_return]), step)
            is_last = step == self.plan.n_seeds * self.plan.n_evaluations
            pruned = not is_last and self.trial.should_prune()
        if pruned:
            raise optuna.TrialPruned
