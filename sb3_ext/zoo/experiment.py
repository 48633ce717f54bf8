"""One training run, from a line of arguments to a folder with everything that came of it."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import save_to_pkl

from callbacks.checkpoint import model_files, save_together
from sb3_ext.zoo import runs, workers
from sb3_ext.zoo.checkpoints import MEMBER
from sb3_ext.zoo.errors import RunError, ZooError, reason
from sb3_ext.zoo.evaluate import Score
from sb3_ext.zoo.fingerprint import is_finite, machine, parameters_hash, versions
from sb3_ext.zoo.flags import where
from sb3_ext.zoo.hyperparams import Entry
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.observers import Observers, observe
from sb3_ext.zoo.outcome import Outcome, Watch
from sb3_ext.zoo.preparation import Experiment, prepare
from sb3_ext.zoo.recorded import Recorded
from sb3_ext.zoo.resume import continuation_of
from sb3_ext.zoo.scores import final_scores
from sb3_ext.zoo.streams import held_warnings

# Arguments of one command, not of the run.
NOT_THE_RUNS = ("given", "resume", "run")


@dataclass
class Training:
    """A run that has begun.

    Attributes:
        run: Its files.
        watch: Sees how far it is.
        observers: The callbacks, and what they know.
        files: TensorBoard, the evaluation env and the progress bar, to be closed.
        outcome: Why it broke off, if it did.
    """

    run: runs.Run
    watch: Watch
    observers: Observers
    files: contextlib.ExitStack
    outcome: Outcome = field(default_factory=Outcome)


def train(args: argparse.Namespace, recorded: Recorded | None = None) -> int:
    """Trains, evaluates, saves and reports (``zoo.py train``).

    Args:
        args: The command line.
        recorded: The run to go on with (``--resume``).

    Returns:
        The process's exit code: 0, or 130 after Ctrl-C.

    Raises:
        ZooError: If it cannot begin; nothing is left behind.
        RunError: If it fails later; what it has so far is kept.
    """
    run, summary = carry_out(args, recorded)
    if args.verbose > 0:
        report(run, summary, args)
    return 130 if summary["interrupted"] else 0


def carry_out(
    args: argparse.Namespace, recorded: Recorded | None = None, entry: Entry | None = None
) -> tuple[runs.Run, dict[str, Any]]:
    """Trains, evaluates and saves.

    Args:
        args: The command line.
        recorded: The run to go on with.
        entry: Hyperparameters; None takes the run's, or looks them up.

    Returns:
        The run's files and what its summary.json says.

    Raises:
        ZooError: If it cannot begin; nothing is left behind.
        RunError: If it fails later; what it has so far is kept.
    """
    with Interruption() as interruption, contextlib.ExitStack() as claims:
        release_warnings = claims.enter_context(held_warnings())
        continuation = None
        with interruption.answering():
            if recorded is not None:
                claims.enter_context(runs.claimed(runs.Run(recorded.folder, recorded.env_id)))
                continuation = continuation_of(recorded)
                entry = continuation.entry
            experiment = prepare(args, entry, continuation)
        try:
            training = _trained(experiment, interruption, release_warnings, claims)
            release_warnings()
            _save(experiment, training)
            scores: dict[str, Score] = {}
            if not training.outcome.broke_off:
                # From here on only the score can be missing.
                with training.outcome.attempt(), interruption.answering():
                    scores = final_scores(experiment, training.run)
            return training.run, _summarize(experiment, training, scores)
        finally:
            workers.close(experiment.env)


def _trained(
    experiment: Experiment,
    interruption: Interruption,
    when_it_works: Callable[[], None],
    claims: contextlib.ExitStack,
) -> Training:
    """Begins a run and learns; where nothing comes of it, no run is left behind."""
    traces, files = runs.Traces(), contextlib.ExitStack()
    try:
        with interruption.answering():
            training = _begin(experiment, interruption, when_it_works, traces, files, claims)
            _announce(experiment, training.run)
        with training.outcome.attempt(), interruption.answering():
            _learn(experiment, training)
        training.outcome.interrupted |= interruption.received
        _check_it_works(experiment, training)
    except BaseException:
        with contextlib.suppress(Exception):
            files.close()
        if experiment.continuation is None:
            traces.clear()
        raise
    return training


def _check_it_works(experiment: Experiment, training: Training) -> None:
    outcome, watch = training.outcome, training.watch
    if outcome.error is not None and not watch.works:
        if isinstance(outcome.error, ZooError):
            raise outcome.error
        raise ZooError(
            f"cannot train {experiment.title}: {reason(outcome.error)} (--verbose 2 shows where)"
        ) from outcome.error
    if outcome.interrupted and watch.steps == 0:
        raise KeyboardInterrupt


def _save(experiment: Experiment, training: Training) -> None:
    """Saves the agent, and ends the callbacks of a training that broke off."""
    outcome, observers = training.outcome, training.observers
    if outcome.broke_off and observers.checkpoints is not None:
        with outcome.attempt():
            observers.checkpoints.broke_off()
    with outcome.attempt():
        if outcome.error is None or is_finite(experiment.model):
            _save_final(experiment, training)
    if outcome.broke_off:
        for callback in observers.callbacks.callbacks:
            if callback is not observers.checkpoints:
                with outcome.attempt():
                    callback.on_training_end()
    with outcome.attempt():
        training.files.close()


def _save_final(experiment: Experiment, training: Training) -> None:
    model, run, observers = experiment.model, training.run, training.observers
    is_over = not training.outcome.broke_off and _is_over(experiment)
    # A model that was broken off at any moment is none to go on from exactly.
    members = {MEMBER: observers.state().dumped()} if is_over else None
    files = model_files(model, run.model, run.normalizer, members)
    buffer = getattr(model, "replay_buffer", None)
    if experiment.args.save_replay_buffer and buffer is not None:
        path = run.folder / "replay_buffer.pkl"
        files = {path: lambda file: save_to_pkl(file, buffer), **files}
    save_together(files)


def _is_over(experiment: Experiment) -> bool:
    """Whether all steps are taken."""
    model = experiment.model
    return bool(model.num_timesteps >= model._total_timesteps)


def _summarize(
    experiment: Experiment, training: Training, scores: dict[str, Score]
) -> dict[str, Any]:
    """Writes summary.json; an error that broke the training off is raised now."""
    args, steps, outcome = experiment.args, experiment.model.num_timesteps, training.outcome
    clock = training.observers.clock
    summary: dict[str, Any] = {
        "algo": args.algo,
        "env": experiment.spec.id,
        "preset": args.preset,
        "seed": experiment.seed,
        "steps": steps,
        "n_envs": experiment.settings.n_envs,
        "vec_env": experiment.builder.form,
        "wall_seconds": clock.wall_seconds,
        "learning_seconds": clock.learning_seconds,
        "steps_per_second": steps / max(clock.learning_seconds, 1e-9),
        "interrupted": outcome.interrupted,
        "stopped_early": not outcome.broke_off and not _is_over(experiment),
    }
    if training.observers.resumptions:
        summary["resumed"] = training.observers.resumptions
    if outcome.error is not None:
        summary["error"] = f"{type(outcome.error).__name__}: {outcome.error}"
    for name, score in scores.items():
        summary |= score.as_summary(name)
    summary["parameters_sha256"] = parameters_hash(experiment.model)
    summary["versions"] = versions()
    summary["machine"] = machine()
    with outcome.attempt():
        runs.write_json(training.run.summary, summary)
    if outcome.error is not None:
        raise RunError(
            f"{experiment.title} failed after {steps:,} steps: {_told(outcome.error)}; what it "
            f"has so far is in {training.run.folder}, "
            + outcome.write_error(training.run.folder / "error.log")
        ) from outcome.error
    return summary


def _told(error: BaseException) -> str:
    if isinstance(error, EOFError | ConnectionError):
        return f"{type(error).__name__}: a worker process has ended"
    return f"{type(error).__name__}: {reason(error).removeprefix(type(error).__name__ + ': ')}"


def _write_parameters(experiment: Experiment, run: runs.Run) -> None:
    ours = {key: value for key, value in vars(experiment.args).items() if key not in NOT_THE_RUNS}
    runs.write_yaml(run.parameters / "config.yml", experiment.settings.saved)
    runs.write_yaml(run.parameters / "args.yml", ours | {"seed": experiment.seed})
    with open(run.parameters / "command.txt", "a", encoding="utf-8") as file:
        file.write(" ".join(sys.orig_argv) + "\n")  # a run that is gone on with has several


def _announce(experiment: Experiment, run: runs.Run) -> None:
    if experiment.args.verbose < 1:
        return
    print(f"{experiment.title}, seed {experiment.seed} -> {run.folder}")
    print(f"hyperparameters: {experiment.entry.source}, entry {experiment.entry.key!r}")
    for key, value in experiment.settings.saved.items():
        print(f"  {key}: {' '.join(str(value).split())}")
    for notice in experiment.notices:
        print(notice)
    if experiment.continuation is not None:
        experiment.continuation.announce(experiment.settings.n_timesteps)
    sys.stdout.flush()


def _begin(
    experiment: Experiment,
    interruption: Interruption,
    when_it_works: Callable[[], None],
    traces: runs.Traces,
    files: contextlib.ExitStack,
    claims: contextlib.ExitStack,
) -> Training:
    """Opens the run's files and builds its callbacks; notes both for the case that it fails."""
    args, continuation = experiment.args, experiment.continuation
    if continuation is not None:
        run = continuation.run
        continuation.clean()
    else:
        folder, env_id = Path(args.log_folder), experiment.spec.id
        run = runs.create_run(folder, args.algo, env_id, unique=args.uuid, traces=traces)
        claims.enter_context(runs.claimed(run))
    _write_parameters(experiment, run)
    watch = Watch(interruption, when_it_works)
    observers = observe(experiment, run, watch, interruption, traces, files)
    return Training(run, watch, observers, files)


def _learn(experiment: Experiment, training: Training) -> None:
    """Runs ``model.learn``, and takes the time of it without the evaluations."""
    args, model, observers = experiment.args, experiment.model, training.observers
    total = experiment.settings.n_timesteps
    kwargs: dict[str, Any] = {}
    if args.log_interval != -1:
        kwargs["log_interval"] = args.log_interval if args.log_interval > -1 else None
    if experiment.continuation is not None:  # SB3 counts from here on
        total -= model.num_timesteps
        kwargs["reset_num_timesteps"] = False
    with observers.clock.learning(), contextlib.ExitStack() as stack:
        if args.algo == "ars" and experiment.settings.n_envs > 1:
            kwargs["async_eval"] = candidates = _async_evaluation(experiment)
            stack.callback(workers.close_workers, candidates, candidates.processes)
        model.learn(total, callback=observers.callbacks, **kwargs)


def _async_evaluation(experiment: Experiment) -> Any:
    """ARS evaluates its candidates in worker processes when it has several envs."""
    from sb3_contrib.common.vec_env import AsyncEval

    builder = experiment.builder.in_one_process()  # workers may have none of their own

    def one_env(seed: int) -> Any:
        return lambda: builder.train(1, seed)

    seeds = [experiment.seed + i for i in range(experiment.settings.n_envs)]
    candidates = AsyncEval([one_env(seed) for seed in seeds], experiment.model.policy)
    workers.hang_up_at_exit(candidates)
    return candidates


def report(run: runs.Run, summary: dict[str, Any], args: argparse.Namespace) -> None:
    if summary["interrupted"]:
        print(f"interrupted after {summary['steps']:,} steps; the model and the curve are saved")
    else:
        print(
            f"{summary['steps']:,} steps in {summary['wall_seconds']:.0f} s "
            f"({summary['steps_per_second']:,.0f} steps/s while learning)"
        )
    for name in ("final", "best") if run.best_model.is_file() else ("final",):
        if f"{name}_mean_return" in summary:
            mean, std, n = (summary[f"{name}_mean_return{x}"] for x in ("", "_std", "_episodes"))
            print(f"{name + ' policy:':<13} return {mean:.2f} ± {std:.2f} over {n} episodes")
    print(f"run folder:   {run.folder} (summary.json, curve.png, models, logs)")
    if summary["stopped_early"]:
        print("a callback stopped it before its last step")
    if (summary["interrupted"] or summary["stopped_early"]) and run.checkpoints():
        print(f"go on:        python zoo.py --resume {shlex.quote(str(run.folder))}")
    print(f"watch it:     python zoo.py enjoy --algo {args.algo} {where(args)}")
