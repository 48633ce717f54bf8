"""What is drawn for a trial: a search space of our own for our PPOs, RL Zoo's for the others.

Spaces give plain YAML values under the keys of hyperparameter files. Where Optuna draws something
else, because that is the better scale (``one_minus_gamma``), its names are RL Zoo's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import optuna
from gymnasium import spaces
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from stable_baselines3 import HerReplayBuffer

from sb3_ext import schedules
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Settings
from sb3_ext.zoo.literals import read_literal, write_literal
from sb3_ext.zoo.registry import OWN_ALGORITHMS
from sb3_ext.zoo.tuning.plan import Plan, mapping_of, plain_value

TOWERS = {"tiny": [64], "small": [64, 64], "medium": [256, 256]}
ACTIVATIONS = {"tanh": "nn.Tanh", "relu": "nn.ReLU"}
# SB3's defaults, where an entry leaves a key out.
DEFAULTS = {
    "learning_rate": 3e-4,
    "n_steps": 2048,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
}
# A training needs some updates to tell settings apart, and an update some steps.
FEWEST_UPDATES = 10
SMALLEST_ROLLOUT = 128
LARGEST_N_STEPS_POW = 12
# Optuna's name -> the hyperparameter that it makes.
KEYS = {
    "learning_rate": "learning_rate",
    "schedule": "learning_rate",
    "n_steps_pow": "n_steps",
    "batch_size_pow": "batch_size",
    "n_epochs": "n_epochs",
    "one_minus_gamma": "gamma",
    "one_minus_gae_lambda": "gae_lambda",
    "clip_range": "clip_range",
    "ent_coef": "ent_coef",
    "vf_coef": "vf_coef",
    "max_grad_norm": "max_grad_norm",
    "net_arch": "policy_kwargs",
    "activation_fn": "policy_kwargs",
}


class SearchSpace(Protocol):
    """Draws hyperparameters."""

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """The hyperparameters of a trial: those of the plan's entry that it varies."""

    def nearest(self) -> dict[str, Any] | None:
        """The plan's own entry as Optuna's parameters, as near as they come; None: unknown."""


def search_space(plan: Plan, settings: Settings, action_space: spaces.Space[Any]) -> SearchSpace:
    """The search space of a plan.

    Args:
        plan: What is varied.
        settings: Its entry, resolved.
        action_space: The world's; some spaces need its size.

    Raises:
        ZooError: If nobody has one for the algorithm.
    """
    if plan.algo in OWN_ALGORITHMS:
        return PPOSpace(plan, settings)
    return RLZooSpace(plan, settings, action_space)


class PPOSpace:
    """PPO's arguments, none of them an extension of ours: what is found serves SB3's PPO as well.

    Rollouts are powers of two times ``n_envs``, minibatches divide them, and trials train for the
    last whole rollout within the plan's steps.

    Attributes:
        distributions: What Optuna draws, by its name, without what the plan has pinned.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.plan = plan
        self.n_envs, self.n_timesteps = settings.n_envs, settings.n_timesteps
        lowest = max(0, math.ceil(math.log2(SMALLEST_ROLLOUT / self.n_envs)))
        highest = int(math.log2(max(1, self.n_timesteps / (FEWEST_UPDATES * self.n_envs))))
        highest = max(lowest, min(highest, LARGEST_N_STEPS_POW))
        everything: dict[str, BaseDistribution] = {
            "learning_rate": FloatDistribution(1e-5, 5e-3, log=True),
            "schedule": CategoricalDistribution(("const", "lin")),
            "n_steps_pow": IntDistribution(lowest, highest),
            "batch_size_pow": IntDistribution(5, 10),
            "n_epochs": IntDistribution(1, 20, log=True),
            "one_minus_gamma": FloatDistribution(1e-4, 0.2, log=True),
            "one_minus_gae_lambda": FloatDistribution(1e-3, 0.2, log=True),
            "clip_range": FloatDistribution(0.1, 0.4),
            "ent_coef": FloatDistribution(1e-6, 0.1, log=True),
            "vf_coef": FloatDistribution(0.2, 1.0),
            "max_grad_norm": FloatDistribution(0.3, 5.0, log=True),
            "net_arch": CategoricalDistribution(tuple(TOWERS)),
            "activation_fn": CategoricalDistribution(tuple(ACTIVATIONS)),
        }
        self.distributions = {
            name: distribution
            for name, distribution in everything.items()
            if KEYS[name] not in plan.pinned
        }
        if not self.distributions:
            raise ZooError("-params fixes every hyperparameter: nothing is left to tune")

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        return self.entry(
            {
                name: _suggest(trial, name, distribution)
                for name, distribution in self.distributions.items()
            }
        )

    def entry(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's parameters as hyperparameters."""
        found: dict[str, Any] = {}
        if "learning_rate" in parameters:
            rate = _rounded(parameters["learning_rate"])
            constant = parameters["schedule"] == "const"
            found["learning_rate"] = rate if constant else f"{parameters['schedule']}_{rate}"
        if "n_steps_pow" in parameters:
            found["n_steps"] = 2 ** parameters["n_steps_pow"]
        rollout = self.n_envs * int(float(found.get("n_steps", self._value("n_steps"))))
        if "batch_size_pow" in parameters:
            found["batch_size"] = math.gcd(2 ** parameters["batch_size_pow"], rollout)
        for key in ("gamma", "gae_lambda"):
            if f"one_minus_{key}" in parameters:
                found[key] = _rounded(1.0 - parameters[f"one_minus_{key}"])
        for key in ("n_epochs", "clip_range", "ent_coef", "vf_coef", "max_grad_norm"):
            if key in parameters:
                found[key] = _rounded(parameters[key])
        if "net_arch" in parameters:
            network = {
                "net_arch": TOWERS[parameters["net_arch"]],
                "activation_fn": read_literal(ACTIVATIONS[parameters["activation_fn"]]),
            }
            kwargs = mapping_of(self.plan.values, "policy_kwargs")
            found["policy_kwargs"] = write_literal(kwargs | network)
        found["n_timesteps"] = max(1, self.n_timesteps // rollout) * rollout
        return found

    def nearest(self) -> dict[str, Any]:
        """The plan's entry as Optuna's parameters; what lies outside of a range, at its edge."""
        kind, rate = _schedule(self._value("learning_rate"))
        network = mapping_of(self.plan.values, "policy_kwargs")
        activation = network.get("activation_fn", "tanh")
        name = str(getattr(activation, "__name__", activation)).lower()
        wanted = {
            "learning_rate": rate,
            "schedule": "const" if kind == "const" else "lin",
            "n_steps_pow": round(math.log2(float(self._value("n_steps")))),
            "batch_size_pow": round(math.log2(float(self._value("batch_size")))),
            "n_epochs": int(float(self._value("n_epochs"))),
            "one_minus_gamma": 1.0 - float(self._value("gamma")),
            "one_minus_gae_lambda": 1.0 - float(self._value("gae_lambda")),
            "clip_range": _schedule(self._value("clip_range"))[1],
            "ent_coef": float(self._value("ent_coef")),
            "vf_coef": float(self._value("vf_coef")),
            "max_grad_norm": float(self._value("max_grad_norm")),
            "net_arch": _nearest_tower(network.get("net_arch", TOWERS["small"])),
            "activation_fn": name if name in ACTIVATIONS else "relu",
        }
        return {
            name: _clipped(wanted[name], distribution)
            for name, distribution in self.distributions.items()
        }

    def _value(self, key: str) -> Any:
        value = self.plan.values.get(key)
        return DEFAULTS[key] if value is None else value


class RLZooSpace:
    """The search space that RL Zoo has for an algorithm.

    Raises:
        ZooError: If it has none.
    """

    def __init__(self, plan: Plan, settings: Settings, action_space: spaces.Space[Any]) -> None:
        from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

        if plan.algo not in HYPERPARAMS_SAMPLER:
            known = sorted({*HYPERPARAMS_SAMPLER, *OWN_ALGORITHMS})
            raise ZooError(
                f"RL Zoo has no search space for --algo {plan.algo} (there is one for: "
                f"{', '.join(known)})"
            )
        self.plan, self.n_envs = plan, settings.n_envs
        self._sampler = HYPERPARAMS_SAMPLER[plan.algo]
        # Of worlds that act by choosing, no sampler asks it.
        self._n_actions = action_space.shape[0] if isinstance(action_space, spaces.Box) else 0
        self._uses_her = settings.algorithm.get("replay_buffer_class") is HerReplayBuffer
        self._her_kwargs = settings.algorithm.get("replay_buffer_kwargs") or {}

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        her = {"using_her_replay_buffer": self._uses_her, "her_kwargs": self._her_kwargs}
        drawn = self._sampler(trial, self._n_actions, self.n_envs, her)
        plain = from_rl_zoo(drawn, trial.params, self.plan.values)
        return {key: value for key, value in plain.items() if key not in self.plan.pinned}

    def nearest(self) -> None:
        """RL Zoo's spaces lead from parameters to hyperparameters only."""
        return None


def from_rl_zoo(
    drawn: Mapping[str, Any], parameters: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """What a sampler or converter of RL Zoo's gives, as an entry's plain values.

    Args:
        drawn: Arguments of the algorithm, objects among them.
        parameters: What Optuna drew.
        values: The entry that they vary; its other ``policy_kwargs`` are kept.
    """
    found = {key: value for key, value in drawn.items() if key != "action_noise"}
    for key in ("noise_type", "noise_std"):
        if key in parameters:
            found[key] = parameters[key]
    if "policy_kwargs" in found:
        found["policy_kwargs"] = mapping_of(dict(values), "policy_kwargs") | found["policy_kwargs"]
    return {key: plain_value(key, value) for key, value in found.items()}


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name}: {distribution}")


def _clipped(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return min(max(value, distribution.low), distribution.high)
    return value


def _rounded(value: float) -> float:
    """Four significant digits: what a file shows is what was trained with."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _schedule(value: Any) -> tuple[str, float]:
    """(kind, initial value) of a number or of a schedule as files write it."""
    schedule = schedules.as_schedule(value)
    kinds = {
        schedules.ConstantSchedule: "const",
        schedules.LinearSchedule: "lin",
        schedules.CosineSchedule: "cosine",
    }
    return kinds[type(schedule)], schedule(1.0)


def _nearest_tower(net_arch: Any) -> str:
    """The name of the tower with the nearest number of units."""
    layers = net_arch.get("pi", []) if isinstance(net_arch, dict) else net_arch
    units = sum(layers) if layers else 0
    return min(TOWERS, key=lambda name: abs(sum(TOWERS[name]) - units))
