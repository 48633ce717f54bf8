"""Callbacks that flags of the command line ask for: the live view, keys, early stop, W&B."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, EvalCallback

from callbacks import KeysCallback, LiveViewCallback, SolvedCallback, WandbCallback
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.preparation import Experiment
from sb3_ext.zoo.runs import Run


def asked_callbacks(
    experiment: Experiment, run: Run, evaluation: EvalCallback | None, checkpoint: Any
) -> list[BaseCallback]:
    """Makes them.

    Args:
        experiment: What trains.
        run: Its files.
        evaluation: The periodic evaluation, which comes before these.
        checkpoint: Saves one when it's called, or None.

    Raises:
        ZooError: If one cannot be made.
    """
    args = experiment.args
    callbacks: list[BaseCallback] = []
    if args.live_view:
        title = f"{experiment.title} ({run.folder.name})"
        callbacks.append(LiveViewCallback(run.folder / "live.mp4", title=title))
    if args.keys:
        callbacks.append(KeysCallback(checkpoint))
    if args.stop_at is not None:
        callbacks.append(SolvedCallback(args.stop_at, evaluation=evaluation))
    if args.track:
        callbacks.append(_wandb(experiment, run))
    return callbacks


def _wandb(experiment: Experiment, run: Run) -> WandbCallback:
    args = experiment.args
    config = {
        "algo": args.algo,
        "env": experiment.spec.id,
        "seed": experiment.seed,
        "preset": args.preset,
        **experiment.settings.saved,
    }
    try:
        return WandbCallback(
            args.wandb_project_name,
            args.wandb_entity,
            name=f"{experiment.spec.id}__{run.name}",
            config=config,
            folder=run.folder,
            tags=tuple(args.wandb_tags),
        )
    except ImportError as error:
        raise ZooError(f"--track: {reason(error)}") from error
