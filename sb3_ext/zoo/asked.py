"""Callbacks that flags of the command line ask for: the live view, keys, early stop, W&B."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, EvalCallback

from callbacks import KeysCallback, LiveViewCallback, SolvedCallback, WandbCallback
from sb3_ext.zoo.checkpoints import Checkpoints
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.live import view_window
from sb3_ext.zoo.preparation import Experiment
from sb3_ext.zoo.runs import Run


def asked_callbacks(
    experiment: Experiment,
    run: Run,
    evaluation: EvalCallback | None,
    checkpoints: Checkpoints | None,
) -> list[BaseCallback]:
    """Makes them.

    Args:
        experiment: What trains.
        run: Its files.
        evaluation: The periodic evaluation, which comes before these.
        checkpoints: Those that the key ``c`` asks for one more of, or None.

    Raises:
        ZooError: If one cannot be made.
    """
    args = experiment.args
    callbacks: list[BaseCallback] = []
    if args.live_view:
        title = f"{experiment.title} ({run.folder.name})"
        window = view_window(experiment.spec)
        callbacks.append(LiveViewCallback(run.folder / "live.mp4", window=window, title=title))
    if args.keys:
        callbacks.append(KeysCallback(_checkpoint(experiment, run, checkpoints)))
    if args.stop_at is not None:
        if math.isnan(args.stop_at):
            raise ZooError("--stop-at must be a number")
        solved = SolvedCallback(args.stop_at, evaluation=evaluation)
        solved.verbose = args.verbose
        callbacks.append(solved)
    if args.track:
        callbacks.append(_wandb(experiment, run))
    return callbacks


def _checkpoint(
    experiment: Experiment, run: Run, checkpoints: Checkpoints | None
) -> Callable[[], Any]:
    if checkpoints is not None:
        return checkpoints.ask
    model = experiment.model
    return lambda: model.save(run.folder / f"rl_model_{model.num_timesteps}_steps")


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
