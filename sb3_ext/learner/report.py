"""What a Learner says after each iteration, in rlgym-ppo's words."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.learner.metrics import METRICS

__all__ = ["IterationReport", "MetricsReport"]

_SMOOTH = 0.9  # of the mean episode reward, from iteration to iteration

# Their order and grouping in print.
_LINES = (
    ("Policy Reward", "Policy Entropy", "Value Function Loss"),
    (
        "Mean KL Divergence",
        "SB3 Clip Fraction",
        "Policy Update Magnitude",
        "Value Function Update Magnitude",
    ),
    ("Collected Steps per Second", "Overall Steps per Second"),
    (
        "Timestep Collection Time",
        "Timestep Consumption Time",
        "PPO Batch Consumption Time",
        "Total Iteration Time",
    ),
    ("Cumulative Model Updates", "Cumulative Timesteps"),
    ("Timesteps Collected",),
)


class IterationReport(BaseCallback):
    """Records an iteration under rlgym-ppo's names, and prints it.

    An iteration is a rollout and what is learned from it. Its numbers go to the model's logger too,
    and from there to wherever that writes.

    Args:
        verbose: 0 prints nothing.

    Attributes:
        latest: The last iteration's numbers by their names.
        policy_reward: Mean return of the episodes, smoothed over iterations; None before one ended.
        model_updates: Optimizer steps so far.
    """

    def __init__(self, verbose: int = 1) -> None:
        super().__init__(verbose)
        self.latest: dict[str, float] = {}
        self.policy_reward: float | None = None
        self.model_updates = 0
        self._returns: list[float] = []
        self._began = self._collected = 0.0
        self._first = self._updates = 0
        self._before: dict[str, NDArray] = {}

    def _on_rollout_start(self) -> None:
        self._report()
        self._began, self._first = time.perf_counter(), self.num_timesteps

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._returns.append(float(info["episode"]["r"]))
        return True

    def _on_rollout_end(self) -> None:
        self._collected = time.perf_counter()
        model: Any = self.model
        self._updates = model._n_updates
        self._before = {name: x.copy() for name, x in model.actor_critic.parameters().items()}

    def _on_training_end(self) -> None:
        self._report()

    def _report(self) -> None:
        if not self._before:  # nothing has been learned since the last report
            return
        if self._returns:
            mean, old = float(np.mean(self._returns)), self.policy_reward
            self.policy_reward = mean if old is None else _SMOOTH * old + (1 - _SMOOTH) * mean
            self._returns.clear()
        self.latest = self._numbers(time.perf_counter())
        self._before = {}
        for name, value in self.latest.items():
            self.logger.record(name, value)
        self.logger.dump(self.num_timesteps)
        if self.verbose:
            print(self.told(), flush=True)

    def _numbers(self, now: float) -> dict[str, float]:
        model: Any = self.model
        steps, after = self.num_timesteps - self._first, model.actor_critic.parameters()
        collecting, learning = self._collected - self._began, now - self._collected
        n_batches = self._count_batches(steps)
        self.model_updates += n_batches
        logged = self.logger.name_to_value
        moved = {"policy": 0.0, "value": 0.0}
        for name, value in after.items():
            part = "value" if "value" in name else "policy"
            moved[part] += float(np.square(value - self._before[name]).sum())
        nan = float("nan")
        return {
            "Policy Reward": nan if self.policy_reward is None else self.policy_reward,
            "Policy Entropy": -logged.get("train/entropy_loss", nan),
            "Value Function Loss": logged.get("train/value_loss", nan),
            "Mean KL Divergence": logged.get("train/approx_kl", nan),
            "SB3 Clip Fraction": logged.get("train/clip_fraction", nan),
            "Policy Update Magnitude": moved["policy"] ** 0.5,
            "Value Function Update Magnitude": moved["value"] ** 0.5,
            "Collected Steps per Second": steps / max(collecting, 1e-9),
            "Overall Steps per Second": steps / max(collecting + learning, 1e-9),
            "Timestep Collection Time": collecting,
            "Timestep Consumption Time": learning,
            "PPO Batch Consumption Time": learning / n_batches,
            "Total Iteration Time": collecting + learning,
            "Cumulative Model Updates": float(self.model_updates),
            "Cumulative Timesteps": float(self.num_timesteps),
            "Timesteps Collected": float(steps),
        }

    def _count_batches(self, steps: int) -> int:
        """Optimizer steps of the update."""
        model: Any = self.model
        rows = sum(rollout.n_rows for rollout in model._kept) or steps
        per_batch = model.batch_size * model.extensions.accumulate_minibatches
        return max(1, rows // per_batch) * max(1, model._n_updates - self._updates)

    def told(self) -> str:
        """The latest iteration as text."""
        groups = [
            "\n".join(f"{name}: {_number(self.latest[name])}" for name in group) for group in _LINES
        ]
        body, line = "\n\n".join(groups), "-" * 8
        return f"{line}BEGIN ITERATION REPORT{line}\n{body}\n{line}END ITERATION REPORT{line}"


class MetricsReport(BaseCallback):
    """Gathers what was measured in the workers, and lets a metrics logger report it.

    Args:
        metrics_logger: What measured it.
        wandb: The callback that has the W&B run, or None.
    """

    def __init__(self, metrics_logger: Any, wandb: Any = None) -> None:
        super().__init__()
        self._logger, self._wandb = metrics_logger, wandb
        self._gathered: list[Any] = []

    def _on_step(self) -> bool:
        self._gathered += [info[METRICS] for info in self.locals["infos"] if METRICS in info]
        return True

    def _on_rollout_end(self) -> None:
        run = None if self._wandb is None else self._wandb.run
        self._logger._report_metrics(self._gathered, run, self.num_timesteps)
        self._gathered = []


def _number(value: float) -> str:
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.5g}"
