"""One training run, from a line of arguments to a folder with everything that came of it."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_wrapper

from callbacks import CheckpointCallback, CurveCallback, EvaluationCallback, ProgressCallback
from callbacks.checkpoint import save_model
from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.zoo import registry, runs, workers
from sb3_ext.zoo.agents import load_for_playing, make_agent
from sb3_ext.zoo.errors import RunError, ZooError, reason
from sb3_ext.zoo.evaluate import Score, evaluate
from sb3_ext.zoo.fingerprint import is_finite, parameters_hash, versions
from sb3_ext.zoo.hyperparams import Entry, Settings, find_entry, resolve
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.make_env import EnvBuilder, as_list, choose_form, named_object
from sb3_ext.zoo.outcome import Outcome, Watch
from sb3_ext.zoo.streams import held_warnings

# Evaluations are seeded far from the training rows (seed, seed + 1, ...), so that an agent is
# not judged on the very episodes it was trained on.
EVALUATION_SEED = 10_000_000
FINAL_EVALUATION_SEED = 20_000_000


@dataclass
class Experiment:
    """What a training run needs, all of it checked before a file is written.

    Attributes:
        args: The command line.
        spec: The world.
        entry: Where its hyperparameters were found.
        settings: The hyperparameters.
        builder: Makes its environments.
        model: The agent.
        seed: Governs everything.
    """

    args: argparse.Namespace
    spec: EnvSpec
    entry: Entry
    settings: Settings
    builder: EnvBuilder
    model: BaseAlgorithm
    env: VecEnv
    seed: int
    notices: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What trains where, for messages and pictures."""
        return f"{self.args.algo} on {self.spec.id}"


@dataclass
class Training:
    """A run that has begun.

    Attributes:
        run: Its files.
        watch: Sees how far it is.
        evaluation: The periodic evaluation, if there is one.
        callbacks: All callbacks.
        files: TensorBoard, the evaluation env and the progress bar, to be closed.
        outcome: Why it broke off, if it did.
        seconds: Spent learning, without the evaluations.
    """

    run: runs.Run
    watch: Watch
    evaluation: EvaluationCallback | None
    callbacks: CallbackList
    files: contextlib.ExitStack
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0


def train(args: argparse.Namespace) -> int:
    """Trains, evaluates and saves (``zoo.py train``).

    Returns:
        The process's exit code: 0, or 130 after Ctrl-C.

    Raises:
        ZooError: If it cannot begin; nothing is left behind.
        RunError: If it fails later; what it has so far is kept.
    """
    start = time.perf_counter()
    with Interruption() as interruption, held_warnings() as release_warnings:
        with interruption.answering():
            experiment = prepare(args)
        try:
            training = _trained(experiment, interruption, release_warnings)
            release_warnings()
            _save(experiment, training)
            scores: dict[str, Score] = {}
            if not training.outcome.broke_off:
                # From here on only the score can be missing.
                with training.outcome.attempt(), interruption.answering():
                    scores = _final_scores(experiment, training.run)
            return _finish(experiment, training, scores, time.perf_counter() - start)
        finally:
            workers.close(experiment.env)


def _trained(
    experiment: Experiment, interruption: Interruption, when_it_works: Callable[[], None]
) -> Training:
    """Begins a run and learns; where nothing comes of it, no run is left behind."""
    traces, files = runs.Traces(), contextlib.ExitStack()
    try:
        watch = Watch(interruption, when_it_works)
        with interruption.answering():
            training = _begin(experiment, watch, traces, files)
            _announce(experiment, training.run)
        with training.outcome.attempt(), interruption.answering():
            _learn(experiment, training)
        training.outcome.interrupted |= interruption.received
        _check_it_works(experiment, training)
    except BaseException:
        with contextlib.suppress(Exception):
            files.close()
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
    outcome = training.outcome
    with outcome.attempt():
        if outcome.error is None or is_finite(experiment.model):
            _save_final(experiment, training.run)
    if outcome.broke_off:
        for callback in training.callbacks.callbacks:
            with outcome.attempt():
                callback.on_training_end()
    with outcome.attempt():
        training.files.close()


def _finish(
    experiment: Experiment, training: Training, scores: dict[str, Score], wall_seconds: float
) -> int:
    """Writes summary.json and reports; returns the exit code."""
    args, steps, outcome = experiment.args, experiment.model.num_timesteps, training.outcome
    summary: dict[str, Any] = {
        "algo": args.algo,
        "env": experiment.spec.id,
        "preset": args.preset,
        "seed": experiment.seed,
        "steps": steps,
        "n_envs": experiment.settings.n_envs,
        "vec_env": experiment.builder.form,
        "wall_seconds": wall_seconds,
        "learning_seconds": training.seconds,
        "steps_per_second": steps / training.seconds,
        "interrupted": outcome.interrupted,
    }
    if outcome.error is not None:
        summary["error"] = f"{type(outcome.error).__name__}: {outcome.error}"
    for name, score in scores.items():
        summary |= score.as_summary(name)
    summary["parameters_sha256"] = parameters_hash(experiment.model)
    summary["versions"] = versions()
    with outcome.attempt():
        runs.write_json(training.run.summary, summary)
    if outcome.error is not None:
        raise RunError(
            f"{experiment.title} failed after {steps:,} steps: {_told(outcome.error)}; what it "
            f"has so far is in {training.run.folder}, "
            + outcome.write_error(training.run.folder / "error.log")
        ) from outcome.error
    _report(training.run, summary, scores, args)
    return 130 if outcome.interrupted else 0


def _told(error: BaseException) -> str:
    if isinstance(error, EOFError | ConnectionError):
        return f"{type(error).__name__}: a worker process has ended"
    return f"{type(error).__name__}: {reason(error).removeprefix(type(error).__name__ + ': ')}"


def prepare(args: argparse.Namespace) -> Experiment:
    """Looks everything up, builds env and model, writes nothing.

    Raises:
        ZooError: If anything the user gave does not fit.
    """
    _check_numbers(args)
    registry.import_packages(args.gym_packages)
    spec = registry.find_env(args.env)
    algorithm = registry.load_algorithm(args.algo)
    entry = find_entry(
        args.algo, spec.id, preset=args.preset, config=args.conf_file, is_atari=is_atari(spec)
    )
    settings = resolve(entry, algorithm, args.algo, args.hyperparams)
    if args.n_timesteps != -1:
        settings.n_timesteps = args.n_timesteps
    form, reason = choose_form(args.vec_env, spec, settings, args.algo)
    builder = EnvBuilder(spec, settings, form, settings.env_kwargs | (args.env_kwargs or {}))
    pretrained = _pretrained(args)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    notices = [entry.notice] if entry.notice else []
    notices += [f"rows: {form} ({reason})"] if reason else []
    notices += [set_threads(args.num_threads, settings)]
    # ARS steps one env itself and hands the others to worker processes of its own.
    n_envs = 1 if args.algo == "ars" else settings.n_envs
    normalizer, notice = _normalizer(args, settings, pretrained)
    notices += [notice] if notice else []
    env = builder.train(n_envs, seed, normalizer)
    try:
        if normalizer is not None:
            _take_options(settings, env)
        model = make_agent(args, algorithm, settings, env, seed, pretrained)
    except BaseException:
        workers.close(env)
        raise
    return Experiment(args, spec, entry, settings, builder, model, env, seed, notices)


def is_atari(spec: EnvSpec) -> bool:
    """Whether RL Zoo's ``atari`` entry is meant for this world."""
    return "AtariEnv" in str(spec.entry_point)


def is_judged_deterministically(spec: EnvSpec) -> bool:
    """RL Zoo judges Atari and MiniGrid agents by their sampled actions, all others by the mode."""
    return not (is_atari(spec) or "minigrid" in str(spec.entry_point))


def _check_numbers(args: argparse.Namespace) -> None:
    if args.n_timesteps != -1 and args.n_timesteps < 1:
        raise ZooError(f"-n/--n-timesteps must be at least 1, not {args.n_timesteps}")
    for flag, least in (("eval_episodes", 1), ("final_eval_episodes", 0), ("n_eval_envs", 1)):
        value = getattr(args, flag)
        if value is not None and value < least:
            raise ZooError(f"--{flag.replace('_', '-')} must be at least {least}, not {value}")
    if args.log_interval == 0:
        raise ZooError("--log-interval must be at least 1, -1 (the default) or -2 (none), not 0")


def chosen_seed(requested: int) -> int:
    """The seed that was asked for, or one that is drawn.

    Raises:
        ZooError: If it is too large.
    """
    if requested >= 2**32:
        raise ZooError(f"--seed must be below 2**32, not {requested}")
    return requested if requested >= 0 else int(np.random.SeedSequence().generate_state(1)[0] >> 2)


def _normalizer(
    args: argparse.Namespace, settings: Settings, pretrained: Path | None
) -> tuple[Path | None, str]:
    """The statistics that the model to start from was trained with, and what to say of them."""
    if pretrained is None:
        return None, ""
    found = runs.normalizer_of(pretrained)
    if "normalize" in (args.hyperparams or {}) and settings.normalize is None:
        return None, f"left aside, as normalize is off: {found}" if found else ""
    if found is not None:
        return found, f"goes on with the normalizer {found} and its options"
    runs.check_no_normalizer(pretrained)
    fresh = f"{pretrained} has no normalizer: beginning with a fresh one"
    return None, fresh if settings.normalize is not None else ""


def _take_options(settings: Settings, env: VecEnv) -> None:
    """A loaded normalizer's options are the entry's from now on: evaluations must have them too."""
    normalizer = unwrap_vec_wrapper(env, VecNormalize)
    names = set(inspect.signature(VecNormalize).parameters) - {"venv", "training"}
    options = {name: getattr(normalizer, name) for name in names if hasattr(normalizer, name)}
    settings.normalize, settings.saved["normalize"] = options, options


def _pretrained(args: argparse.Namespace) -> Path | None:
    if not args.trained_agent:
        return None
    path = Path(args.trained_agent)
    if path.suffix != ".zip" or not path.is_file():
        raise ZooError(f"-i/--trained-agent: {args.trained_agent!r} is no model (.zip) that exists")
    return path


def set_threads(requested: int, settings: Settings) -> str:
    """Small networks run several times slower on PyTorch's default of all cores than on one.

    Args:
        requested: Threads; below 1 to choose them for the policy.
        settings: With the policy.

    Returns:
        What was chosen, for the user.
    """
    threads = requested
    if requested < 1:
        convolutional = "Mlp" not in str(settings.algorithm["policy"])
        threads = os.cpu_count() or 1 if convolutional else 1
    torch.set_num_threads(threads)
    reason = "" if requested > 0 else " (chosen for the policy; --num-threads N to change)"
    return f"PyTorch threads: {threads}{reason}"


def _write_parameters(experiment: Experiment, run: runs.Run) -> None:
    arguments = {key: value for key, value in vars(experiment.args).items() if key != "run"}
    arguments["seed"] = experiment.seed
    runs.write_yaml(run.parameters / "config.yml", experiment.settings.saved)
    runs.write_yaml(run.parameters / "args.yml", arguments)
    command = " ".join(sys.orig_argv) + "\n"
    (run.parameters / "command.txt").write_text(command, encoding="utf-8")


def _announce(experiment: Experiment, run: runs.Run) -> None:
    if experiment.args.verbose < 1:
        return
    print(f"{experiment.title}, seed {experiment.seed} -> {run.folder}")
    print(f"hyperparameters: {experiment.entry.source}, entry {experiment.entry.key!r}")
    for key, value in experiment.settings.saved.items():
        print(f"  {key}: {' '.join(str(value).split())}")
    for notice in experiment.notices:
        print(notice)
    sys.stdout.flush()


def _begin(
    experiment: Experiment, watch: Watch, traces: runs.Traces, files: contextlib.ExitStack
) -> Training:
    """Opens the run's files and builds its callbacks; notes both for the case that it fails."""
    args = experiment.args
    folder = Path(args.log_folder)
    run = runs.create_run(folder, args.algo, experiment.spec.id, unique=args.uuid, traces=traces)
    _write_parameters(experiment, run)
    _log_episodes(experiment.env, run)
    _set_logger(experiment, run, traces)
    files.callback(experiment.model.logger.close)
    evaluation = _evaluation(experiment, run)
    if evaluation is not None:
        files.callback(workers.close, evaluation.eval_env)
    callbacks: list[BaseCallback] = [watch, *entry_callbacks(experiment.settings)]
    callbacks += _own_callbacks(experiment, run, evaluation)
    if args.verbose > 0:
        progress = ProgressCallback(bar=True if args.progress else None)
        files.callback(progress.close)
        callbacks.append(progress)
    return Training(run, watch, evaluation, CallbackList(callbacks), files)


def _learn(experiment: Experiment, training: Training) -> None:
    """Runs ``model.learn``, and takes the time of it without the evaluations."""
    args, model = experiment.args, experiment.model
    kwargs: dict[str, Any] = {}
    if args.log_interval != -1:
        kwargs["log_interval"] = args.log_interval if args.log_interval > -1 else None
    start = time.perf_counter()
    try:
        with contextlib.ExitStack() as stack:
            if args.algo == "ars" and experiment.settings.n_envs > 1:
                kwargs["async_eval"] = candidates = _async_evaluation(experiment)
                stack.callback(workers.close_workers, candidates, candidates.processes)
            model.learn(experiment.settings.n_timesteps, callback=training.callbacks, **kwargs)
    finally:
        evaluating = training.evaluation.seconds if training.evaluation is not None else 0.0
        training.seconds = max(time.perf_counter() - start - evaluating, 1e-9)


def _log_episodes(env: VecEnv, run: runs.Run) -> None:
    inner: Any = env
    while not isinstance(inner, EpisodeLog):
        inner = inner.venv
    inner.open(run.folder / "monitor.csv")


def _set_logger(experiment: Experiment, run: runs.Run, traces: runs.Traces) -> None:
    args = experiment.args
    formats = ["stdout"] if args.verbose > 1 else []
    folder = Path(args.log_folder) / "tb" if args.tensorboard_log is None else args.tensorboard_log
    if folder:
        formats.append("tensorboard")
        path = str(Path(folder) / experiment.spec.id / (args.tb_log_name or run.name))
        traces.own(Path(path))
    else:
        path = str(run.folder)
    try:
        experiment.model.set_logger(configure(path, formats))
    except OSError as error:
        raise ZooError(f"-tb/--tensorboard-log: cannot write to {path}: {error}") from error


def _evaluation(experiment: Experiment, run: runs.Run) -> EvaluationCallback | None:
    args = experiment.args
    if args.eval_freq is not None and args.eval_freq <= 0:
        return None
    every = args.eval_freq or max(1, min(25_000, experiment.settings.n_timesteps // 10))
    env_kwargs = args.eval_env_kwargs or experiment.builder.env_kwargs
    builder = EnvBuilder(experiment.spec, experiment.settings, experiment.builder.form, env_kwargs)
    rows = args.n_eval_envs or (args.eval_episodes if builder.form == "vector" else 1)
    return EvaluationCallback(
        builder.evaluation(rows, experiment.seed + EVALUATION_SEED),
        run.folder,
        every=every,
        n_episodes=args.eval_episodes,
        deterministic=is_judged_deterministically(experiment.spec),
    )


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


def _own_callbacks(
    experiment: Experiment, run: runs.Run, evaluation: EvaluationCallback | None
) -> list[BaseCallback]:
    args = experiment.args
    callbacks: list[BaseCallback] = []
    if args.save_freq is None or args.save_freq > 0:
        every = args.save_freq or max(1, experiment.settings.n_timesteps // 10)
        callbacks.append(CheckpointCallback(every, run.folder, args.save_replay_buffer))
    if evaluation is not None:
        callbacks.append(evaluation)
    return [*callbacks, CurveCallback(run.folder, experiment.title)]


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


def _save_final(experiment: Experiment, run: runs.Run) -> None:
    save_model(experiment.model, run.model, run.normalizer)
    if experiment.args.save_replay_buffer and hasattr(experiment.model, "save_replay_buffer"):
        experiment.model.save_replay_buffer(run.folder / "replay_buffer.pkl")


def _final_scores(experiment: Experiment, run: runs.Run) -> dict[str, Score]:
    """Evaluates the final and the best policy; the best alone tells little of the last updates."""
    n_episodes = experiment.args.final_eval_episodes
    if n_episodes == 0:
        return {}
    scores = {"final": _score(experiment, experiment.model, run.model, n_episodes)}
    if run.best_model.is_file():
        best = load_for_playing(type(experiment.model), run.best_model, experiment.args.device)
        scores["best"] = _score(experiment, best, run.best_model, n_episodes)
    else:
        scores["best"] = scores["final"]
    return scores


def _score(experiment: Experiment, model: BaseAlgorithm, path: Path, n_episodes: int) -> Score:
    rows = min(n_episodes, 100 if experiment.builder.form == "vector" else 8)
    normalizer = runs.normalizer_of(path) if experiment.settings.normalize is not None else None
    # As many processes as rows would cost more than they gain.
    builder = experiment.builder.in_one_process()
    env = builder.evaluation(rows, experiment.seed + FINAL_EVALUATION_SEED, normalizer=normalizer)
    try:
        deterministic = is_judged_deterministically(experiment.spec)
        return evaluate(model, env, n_episodes, deterministic)
    finally:
        env.close()


def _report(
    run: runs.Run, summary: dict[str, Any], scores: dict[str, Score], args: argparse.Namespace
) -> None:
    if args.verbose < 1:
        return
    if summary["interrupted"]:
        print(f"interrupted after {summary['steps']:,} steps; the model and the curve are saved")
    else:
        print(
            f"{summary['steps']:,} steps in {summary['wall_seconds']:.0f} s "
            f"({summary['steps_per_second']:,.0f} steps/s while learning)"
        )
    for name, score in scores.items():
        print(f"{name + ' policy:':<13} return {score}")
    print(f"run folder:   {run.folder} (summary.json, curve.png, models, logs)")
    log_folder = "" if args.log_folder == "logs" else f" --log-folder {args.log_folder}"
    print(f"watch it:     python zoo.py enjoy --algo {args.algo} --env {run.env_id}{log_folder}")
