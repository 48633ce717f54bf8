"""One training run, from a line of arguments to a folder with everything that came of it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
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
from stable_baselines3.common.vec_env import VecEnv

from callbacks import CheckpointCallback, CurveCallback, EvaluationCallback, ProgressCallback
from callbacks.checkpoint import save_model
from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.agents import load_for_playing, make_agent
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.evaluate import Score, evaluate
from sb3_ext.zoo.fingerprint import parameters_hash, versions
from sb3_ext.zoo.hyperparams import Entry, Settings, find_entry, resolve
from sb3_ext.zoo.make_env import EnvBuilder, as_list, choose_form, named_object

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

    def close(self) -> None:
        """Closes the training env, whose workers may be gone after Ctrl-C."""
        with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
            self.env.close()


def train(args: argparse.Namespace) -> int:
    """Trains, evaluates and saves (``zoo.py train``).

    Returns:
        The process's exit code: 0, or 130 after Ctrl-C.
    """
    start = time.perf_counter()
    experiment = prepare(args)
    run = runs.create_run(Path(args.log_folder), args.algo, experiment.spec.id, unique=args.uuid)
    with _writing_to(run), contextlib.closing(experiment):
        evaluation, callback = _begin(experiment, run)
        interrupted, learning_seconds = _learn(experiment, evaluation, callback)
        _save_final(experiment, run)
        scores: dict[str, Score] = {}
        if not interrupted:
            try:
                scores = _final_scores(experiment, run)
            except KeyboardInterrupt:  # the agent is trained and saved: only its score is missing
                interrupted = True
        return _finish(experiment, run, scores, interrupted, start, learning_seconds)


@contextlib.contextmanager
def _writing_to(run: runs.Run) -> Iterator[None]:
    """A failing disk is one clear line."""
    try:
        yield
    except OSError as error:
        place = error.filename or run.folder
        raise ZooError(f"cannot write to {place}: {error.strerror or error}") from error


def _finish(
    experiment: Experiment,
    run: runs.Run,
    scores: dict[str, Score],
    interrupted: bool,
    start: float,
    learning_seconds: float,
) -> int:
    """Writes summary.json and reports; returns the exit code."""
    args, steps = experiment.args, experiment.model.num_timesteps
    summary: dict[str, Any] = {
        "algo": args.algo,
        "env": experiment.spec.id,
        "preset": args.preset,
        "seed": experiment.seed,
        "steps": steps,
        "n_envs": experiment.settings.n_envs,
        "vec_env": experiment.builder.form,
        "wall_seconds": time.perf_counter() - start,
        "learning_seconds": learning_seconds,
        "steps_per_second": steps / learning_seconds,
        "interrupted": interrupted,
    }
    for name, score in scores.items():
        summary |= score.as_summary(name)
    summary["parameters_sha256"] = parameters_hash(experiment.model)
    summary["versions"] = versions()
    runs.write_json(run.summary, summary)
    _report(run, summary, scores, args)
    return 130 if interrupted else 0


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
    form, reason = choose_form(args.vec_env, spec, settings)
    builder = EnvBuilder(spec, settings, form, settings.env_kwargs | (args.env_kwargs or {}))
    pretrained = _pretrained(args)

    seed = args.seed if args.seed >= 0 else int(np.random.SeedSequence().generate_state(1)[0] >> 2)
    set_random_seed(seed)
    notices = [entry.notice] if entry.notice else []
    notices += [f"rows: {form} ({reason})"] if reason else []
    notices += [_set_threads(args.num_threads, settings)]
    # ARS steps one env itself and hands the others to worker processes of its own.
    n_envs = 1 if args.algo == "ars" else settings.n_envs
    normalizer = runs.normalizer_of(pretrained) if pretrained and settings.normalize else None
    env = builder.train(n_envs, seed, normalizer)
    try:
        model = make_agent(args, algorithm, settings, env, seed, pretrained)
    except ZooError:
        env.close()
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
    if args.seed >= 2**32:
        raise ZooError(f"--seed must be below 2**32, not {args.seed}")


def _pretrained(args: argparse.Namespace) -> Path | None:
    if not args.trained_agent:
        return None
    path = Path(args.trained_agent)
    if path.suffix != ".zip" or not path.is_file():
        raise ZooError(f"-i/--trained-agent: {args.trained_agent!r} is no model (.zip) that exists")
    return path


def _set_threads(requested: int, settings: Settings) -> str:
    """Small networks run several times slower on PyTorch's default of all cores than on one."""
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
    print(f"{experiment.args.algo} on {experiment.spec.id}, seed {experiment.seed} -> {run.folder}")
    print(f"hyperparameters: {experiment.entry.source}, entry {experiment.entry.key!r}")
    for key, value in experiment.settings.saved.items():
        print(f"  {key}: {' '.join(str(value).split())}")
    for notice in experiment.notices:
        print(notice)
    sys.stdout.flush()


def _begin(experiment: Experiment, run: runs.Run) -> tuple[EvaluationCallback | None, CallbackList]:
    """Opens the run's files and builds its callbacks; where that fails, no run is left behind."""
    try:
        _write_parameters(experiment, run)
        _log_episodes(experiment.env, run)
        _set_logger(experiment, run)
        evaluation = _evaluation(experiment, run)
        callback = _callbacks(experiment, run, evaluation)
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    _announce(experiment, run)
    return evaluation, callback


def _learn(
    experiment: Experiment, evaluation: EvaluationCallback | None, callback: CallbackList
) -> tuple[bool, float]:
    """Runs ``model.learn``.

    Returns:
        Whether it was interrupted, and seconds of learning without the evaluations.
    """
    args, model = experiment.args, experiment.model
    kwargs: dict[str, Any] = {}
    if args.log_interval != -1:
        kwargs["log_interval"] = args.log_interval if args.log_interval > -1 else None
    if args.algo == "ars" and experiment.settings.n_envs > 1:
        kwargs["async_eval"] = _async_evaluation(experiment)

    start = time.perf_counter()
    interrupted = False
    try:
        with _terminated_like_interrupted():
            model.learn(experiment.settings.n_timesteps, callback=callback, **kwargs)
    except KeyboardInterrupt:
        interrupted = True
        callback.on_training_end()
    finally:
        if evaluation is not None:
            evaluation.eval_env.close()
        model.logger.close()
    evaluating = evaluation.seconds if evaluation is not None else 0.0
    return interrupted, max(time.perf_counter() - start - evaluating, 1e-9)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM (a job scheduler's farewell) saves the model just as Ctrl-C does."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _log_episodes(env: VecEnv, run: runs.Run) -> None:
    inner: Any = env
    while not isinstance(inner, EpisodeLog):
        inner = inner.venv
    inner.open(run.folder / "monitor.csv")


def _set_logger(experiment: Experiment, run: runs.Run) -> None:
    args = experiment.args
    formats = ["stdout"] if args.verbose > 1 else []
    folder = Path(args.log_folder) / "tb" if args.tensorboard_log is None else args.tensorboard_log
    if folder:
        formats.append("tensorboard")
        path = str(Path(folder) / experiment.spec.id / run.name)
    else:
        path = str(run.folder)
    experiment.model.set_logger(configure(path, formats))


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


def _callbacks(
    experiment: Experiment, run: runs.Run, evaluation: EvaluationCallback | None
) -> CallbackList:
    args = experiment.args
    callbacks: list[BaseCallback] = []
    for item in as_list(experiment.settings.callback or []):
        factory, kwargs = named_object(item, "callback")
        try:
            callbacks.append(factory(**kwargs))
        except (TypeError, ValueError) as error:
            raise ZooError(f"callback {item!r}: {error}") from error
    if args.save_freq is None or args.save_freq > 0:
        every = args.save_freq or max(1, experiment.settings.n_timesteps // 10)
        callbacks.append(CheckpointCallback(every, run.folder, args.save_replay_buffer))
    if evaluation is not None:
        callbacks.append(evaluation)
    callbacks.append(CurveCallback(run.folder, f"{args.algo} on {experiment.spec.id}"))
    if args.verbose > 0:
        callbacks.append(ProgressCallback(bar=True if args.progress else None))
    return CallbackList(callbacks)


def _async_evaluation(experiment: Experiment) -> Any:
    """ARS evaluates its candidates in worker processes when it has several envs."""
    from sb3_contrib.common.vec_env import AsyncEval

    def one_env(seed: int) -> Any:
        return lambda: experiment.builder.train(1, seed)

    seeds = [experiment.seed + i for i in range(experiment.settings.n_envs)]
    return AsyncEval([one_env(seed) for seed in seeds], experiment.model.policy)


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
    builder = experiment.builder
    if builder.form == "subproc":  # as many processes as rows would cost more than it gains
        builder = EnvBuilder(builder.spec, builder.settings, "dummy", builder.env_kwargs)
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
