"""What watches a run while it trains: logs, evaluations, checkpoints, the curve, the bar."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import (
    HumanOutputFormat,
    KVWriter,
    Logger,
    TensorBoardOutputFormat,
)
from torch.utils.tensorboard.writer import SummaryWriter

from callbacks import BeforeUpdateCallback, CurveCallback, EvaluationCallback, ProgressCallback
from sb3_ext.zoo import training_state, workers
from sb3_ext.zoo.asked import asked_callbacks
from sb3_ext.zoo.checkpoints import Checkpoints
from sb3_ext.zoo.clock import Clock
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.hyperparams import Settings
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.live import plays_live
from sb3_ext.zoo.make_env import as_list, named_object
from sb3_ext.zoo.outcome import Watch
from sb3_ext.zoo.preparation import Experiment, is_judged_deterministically
from sb3_ext.zoo.resume import PutBack
from sb3_ext.zoo.runs import Run, Traces, env_name
from sb3_ext.zoo.training_state import TrainingState

# Evaluations are seeded far from the training rows (seed, seed + 1, ...), so that an agent is
# not judged on the very episodes it was trained on.
EVALUATION_SEED = 10_000_000


@dataclass
class Observers:
    """What watches a run.

    Attributes:
        callbacks: All callbacks.
        checkpoints: The one among them that saves, if any does.
        clock: How long the training takes.
        resumptions: What summary.json says of them.
    """

    callbacks: CallbackList
    checkpoints: Checkpoints | None
    clock: Clock
    resumptions: list[dict[str, Any]]

    def state(self) -> TrainingState:
        """The training's state, between two rollouts."""
        model = self.callbacks.model
        return training_state.take(model, self.callbacks.callbacks, self.clock, self.resumptions)


def observe(
    experiment: Experiment,
    run: Run,
    watch: Watch,
    interruption: Interruption,
    traces: Traces,
    files: contextlib.ExitStack,
) -> Observers:
    """Opens a run's logs and makes its callbacks.

    Args:
        experiment: What trains.
        run: Its files.
        watch: Sees how far it is.
        interruption: Holds signals back where they would do harm.
        traces: Is told what is written.
        files: Is given what must be closed.

    Raises:
        ZooError: If one cannot be made.
    """
    args, continuation = experiment.args, experiment.continuation
    _open_logs(experiment, run, interruption, traces)
    files.callback(experiment.model.logger.close)
    clock, resumptions = Clock(), []
    if continuation is not None:
        state = continuation.state
        clock = Clock(state.seconds, state.wall_seconds)
        resumptions = [*state.resumptions, continuation.told]
    evaluation = _evaluation(experiment, run)
    asked = entry_callbacks(experiment.settings)
    callbacks: list[BaseCallback] = [watch, *asked]
    if evaluation is not None:
        files.callback(workers.close, evaluation.eval_env)
        clock.evaluated = lambda: evaluation.seconds
        callbacks.append(evaluation)
    callbacks.append(CurveCallback(run.folder, experiment.title))
    if plays_live(experiment.spec):
        callbacks.append(BeforeUpdateCallback())
    if args.verbose > 0:
        progress = ProgressCallback(bar=True if args.progress else None)
        files.callback(progress.close)
        callbacks.append(progress)
    observers = Observers(CallbackList(callbacks), None, clock, resumptions)
    if args.save_freq is None or args.save_freq > 0:
        every = args.save_freq or max(1, experiment.settings.n_timesteps // 10)
        keep = args.keep_checkpoints if args.keep_checkpoints > 0 else None
        observers.checkpoints = Checkpoints(
            every, run.folder, keep, args.save_replay_buffer, observers.state
        )
        # First: the others have not seen the rollout begin that a state's future begins with.
        callbacks.insert(0, observers.checkpoints)
    callbacks += asked_callbacks(experiment, run, evaluation, observers.checkpoints)
    if continuation is not None:
        continuation.forgetful(asked)
        callbacks.insert(0, PutBack(continuation.state, list(callbacks)))
    return observers


def _open_logs(
    experiment: Experiment, run: Run, interruption: Interruption, traces: Traces
) -> None:
    """Begins monitor.csv and TensorBoard's file, or goes on with them."""
    args, continuation = experiment.args, experiment.continuation
    log, path = training_state.episode_log(experiment.env), run.folder / "monitor.csv"
    if continuation is not None and continuation.state.log is not None:
        log.go_on(path, continuation.state.log)
    else:
        log.open(path)
    folder = Path(args.log_folder) / "tb" if args.tensorboard_log is None else args.tensorboard_log
    formats: list[KVWriter] = [HumanOutputFormat(sys.stdout)] if args.verbose > 1 else []
    if not folder:
        experiment.model.set_logger(Logger(str(run.folder), formats))
        return
    place = Path(folder) / env_name(run.env_id) / (args.tb_log_name or run.name)
    traces.own(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        purge_step = None if continuation is None else continuation.state.steps + 1
        formats.append(_TensorBoard(place, purge_step, interruption))
    except OSError as error:
        raise ZooError(f"-tb/--tensorboard-log: cannot write to {place}: {error}") from error
    experiment.model.set_logger(Logger(str(place), formats))
    if args.verbose > 1:
        print(f"Logging to {place}")


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's; TensorBoard forgets what another file in the folder has from a step on.

    Signals wait: an exception within the lock of TensorBoard's thread would let it sleep for two
    minutes, and whoever closes it.
    """

    def __init__(self, folder: Path, purge_step: int | None, interruption: Interruption) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge_step)
        self._is_closed = False
        self._interruption = interruption

    def write(self, *args: Any, **kwargs: Any) -> None:
        with self._interruption.holding():
            super().write(*args, **kwargs)


def _evaluation(experiment: Experiment, run: Run) -> EvaluationCallback | None:
    args = experiment.args
    if plays_live(experiment.spec) or (args.eval_freq is not None and args.eval_freq <= 0):
        return None
    every = args.eval_freq or evaluation_freq(experiment.settings.n_timesteps)
    is_vector = experiment.builder.form in ("vector", "jax")
    rows = args.n_eval_envs or (args.eval_episodes if is_vector else 1)
    seed = experiment.seed + EVALUATION_SEED
    return EvaluationCallback(
        experiment.builder.evaluation(rows, seed),
        run.folder,
        every=every,
        n_episodes=args.eval_episodes,
        deterministic=is_judged_deterministically(experiment.spec),
        seed=seed,
    )


def evaluation_freq(n_timesteps: int) -> int:
    """Steps between evaluations: RL Zoo's 25,000, but so that there are 10 to 100 of them."""
    return max(1, min(25_000, n_timesteps // 10), n_timesteps // 100)


def entry_callbacks(settings: Settings) -> list[BaseCallback]:
    """The callbacks that an entry names.

    Raises:
        ZooError: If one cannot be made.
    """
    callbacks = []
    for item in as_list(settings.callback or []):
        factory, kwargs = named_object(item, "callback")
        try:
            callback = factory(**kwargs)
        except Exception as error:  # somebody's code: anything may happen
            raise ZooError(f"callback {item!r}: {reason(error)}") from error
        if not isinstance(callback, BaseCallback):
            raise ZooError(f"callback {item!r} makes no callback but a {type(callback).__name__}")
        callbacks.append(callback)
    return callbacks
