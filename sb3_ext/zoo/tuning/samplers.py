"""Optuna's samplers and pruners under RL Zoo's names, seeded so that a study can be repeated."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from sb3_ext.zoo.errors import reason


class TrialSeededSampler(BaseSampler):
    """A sampler whose draws depend on a seed, the trial's number and the trials so far only.

    Processes that share a study, and with it a seed, would draw the same trials otherwise; and a
    study that is gone on with would begin its draws again.

    Args:
        build: Makes the sampler from a seed.
        seed: The study's.
    """

    def __init__(self, build: Callable[[int], BaseSampler], seed: int) -> None:
        self._build, self._seed = build, seed
        self._sampler = build(seed)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        seeds = np.random.SeedSequence([self._seed, trial.number])
        self._sampler = self._build(int(seeds.generate_state(1)[0]))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        self._sampler.after_trial(study, trial, state, values)


def make_sampler(name: str, seed: int, n_startup_trials: int) -> tuple[BaseSampler, str]:
    """The sampler of a name, and what to say where it is another.

    Args:
        name: ``tpe``, ``random``, ``cmaes`` or ``auto``.
        seed: The study's.
        n_startup_trials: Random trials before the first drawn by what is known.
    """
    notice = ""
    if name == "auto":
        build, notice = _auto(n_startup_trials)
    else:
        build = _builder(name, n_startup_trials)
    return TrialSeededSampler(build, seed), notice


def _builder(name: str, n_startup_trials: int) -> Callable[[int], BaseSampler]:
    def tpe(seed: int) -> BaseSampler:
        return TPESampler(
            n_startup_trials=n_startup_trials,
            multivariate=True,
            constant_liar=True,  # trials that others are at count as bad: not drawn twice
            warn_independent_sampling=False,
            seed=seed,
        )

    def cmaes(seed: int) -> BaseSampler:
        return CmaEsSampler(
            n_startup_trials=n_startup_trials,
            with_margin=True,  # or whole numbers get stuck on one value
            warn_independent_sampling=False,  # what is chosen from names is drawn at random
            seed=seed,
        )

    return _quietly({"tpe": tpe, "cmaes": cmaes, "random": RandomSampler}[name])


def _auto(n_startup_trials: int) -> tuple[Callable[[int], BaseSampler], str]:
    """OptunaHub's AutoSampler, which is downloaded; TPE where that fails."""
    try:
        hub = importlib.import_module("optunahub")
        auto = hub.load_module("samplers/auto_sampler").AutoSampler
    except Exception as error:  # not installed, no network, ...
        why = "optunahub is not installed" if isinstance(error, ImportError) else reason(error)
        return _builder("tpe", n_startup_trials), f"--sampler auto is not to be had ({why}): tpe"
    return _quietly(lambda seed: auto(seed=seed)), ""


def _quietly(build: Callable[[int], BaseSampler]) -> Callable[[int], BaseSampler]:
    """Optuna warns of what may change in a later version of Optuna: no concern of a user's."""

    def quiet(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build(seed)

    return quiet


def make_pruner(name: str, n_startup_trials: int, n_evaluations: int) -> BasePruner:
    """The pruner of a name, with RL Zoo's arguments.

    Args:
        name: ``median``, ``halving`` or ``none``.
        n_startup_trials: Trials before the first that the median pruner may give up.
        n_evaluations: Evaluations of a training.
    """
    if name == "median":
        return MedianPruner(n_startup_trials=n_startup_trials, n_warmup_steps=n_evaluations // 3)
    if name == "halving":
        return SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=4, min_early_stopping_rate=0
        )
    return NopPruner()
