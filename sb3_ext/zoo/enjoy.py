"""Watching an agent play: in a window, in a video where there is no display, or in figures."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.utils import check_for_correct_spaces, set_random_seed
from stable_baselines3.common.vec_env import VecEnv
from tqdm import tqdm

from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.agents import load_for_playing
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, Settings, resolve
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.model_files import ONNX, leaves_open
from sb3_ext.zoo.preparation import chosen_seed, is_judged_deterministically
from sb3_ext.zoo.video import has_display, video_file
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping


def enjoy(args: argparse.Namespace) -> int:
    """Plays a trained agent (``zoo.py enjoy``).

    Returns:
        The process's exit code.
    """
    if args.n_timesteps < 1 or args.n_envs < 1:
        raise ZooError("-n/--n-timesteps and --n-envs must be at least 1")
    if args.stochastic and str(args.model).endswith(ONNX):
        raise ZooError("--stochastic: an .onnx file holds the most likely action alone")
    registry.import_packages(args.gym_packages)
    spec = registry.find_env(args.env)
    algorithm = registry.load_algorithm(args.algo)
    path = find_model(args, spec.id)
    settings, env_kwargs = training_settings(
        path, spec.id, algorithm, args.algo, in_a_run=args.model is None and args.exp_id != -1
    )
    normalizer = normalizer_for(path, settings)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)

    video = _video_path(args, path)
    mode = None if args.no_render and video is None else "rgb_array" if video else "human"
    if mode == "human" and args.n_envs > 1:
        raise ZooError("a window shows one row: use --n-envs 1, --no-render or --video FILE")
    form, _ = choose_form("auto" if args.n_envs > 1 else "dummy", spec, settings)
    builder = EnvBuilder(spec, settings, form, env_kwargs | (args.env_kwargs or {}))
    env = builder.evaluation(args.n_envs, seed, normalizer=normalizer, render_mode=mode)
    try:
        model = load_for_playing(algorithm, path, args.device, env, hints(args, settings, path))
        try:
            check_for_correct_spaces(env, model.observation_space, model.action_space)
        except ValueError as error:
            raise ZooError(f"{path} was not trained on {spec.id}: {error}") from error
        if args.norm_reward:
            _normalize_rewards(env)
        if args.reward_log:
            _log_rewards(env, Path(args.reward_log))
        if args.verbose > 0:
            drawn = f", seed {seed}" if args.seed < 0 else ""
            beside = f" with {normalizer}" if normalizer not in (None, path) else ""
            print(f"playing {path}{beside}{drawn}")
        deterministic = not args.stochastic and (
            args.deterministic or path.suffix == ONNX or is_judged_deterministically(spec)
        )
        returns, lengths = play(model, env, args, deterministic, video)
    finally:
        env.close()
    if args.verbose > 0 and returns:
        print(f"{len(returns)} episodes")
        print(f"mean return: {np.mean(returns):.2f} ± {np.std(returns):.2f}")
        print(f"mean length: {np.mean(lengths):.1f} ± {np.std(lengths):.1f}")
    return 0


def find_model(args: argparse.Namespace, env_id: str) -> Path:
    """The file that ``--model``, ``--exp-id`` and the ``--load-*`` flags mean.

    Raises:
        ZooError: If it does not exist; it says what does.
    """
    if args.model is not None:
        path = Path(args.model)
        if not path.is_file():
            raise ZooError(f"--model: there is no file {args.model!r}")
        return path
    run = runs.find_run(Path(args.folder), args.algo, env_id, args.exp_id)
    checkpoints = run.checkpoints()
    if args.load_best:
        path = run.best_model
    elif args.load_checkpoint is not None or args.load_last_checkpoint:
        newest = max(checkpoints, default=0)
        steps = args.load_checkpoint if args.load_checkpoint is not None else newest
        if steps not in checkpoints:
            there = ", ".join(map(str, checkpoints)) or "none"
            raise ZooError(f"{run.folder} has no checkpoint of {steps} steps (there are: {there})")
        path = checkpoints[steps]
    else:
        path = run.model
    if not path.is_file():
        hint = "; --load-last-checkpoint plays its newest checkpoint" if checkpoints else ""
        raise ZooError(f"{run.folder} has no {path.name}{hint}")
    return path


def training_settings(
    model: Path, env_id: str, algorithm: type[Any], algo: str, *, in_a_run: bool
) -> tuple[Settings, dict[str, Any]]:
    """How the world was wrapped when a model was trained, from the files beside it.

    Args:
        model: The file.
        env_id: The world.
        algorithm: The algorithm's class.
        algo: Its name.
        in_a_run: Whether those files must be there; a lone model has none.

    Returns:
        The settings (plain ones for a lone model) and the world's arguments.

    Raises:
        ZooError: If the files are damaged or missing.
    """
    named = model.parent / env_id
    found = named if named.is_dir() else runs.parameters_of(model)
    if found is None and not in_a_run:  # a lone file
        return resolve(Entry({"n_timesteps": 1}, env_id, str(model)), algorithm, algo), {}
    folder = found or named
    config = read_mapping(folder / "config.yml", ForeignLoader)
    settings = resolve(Entry(config, env_id, str(folder / "config.yml")), algorithm, algo)
    env_kwargs = None
    if (folder / "args.yml").exists():  # early versions of RL Zoo wrote none
        env_kwargs = read_mapping(folder / "args.yml", ForeignLoader).get("env_kwargs")
    return settings, settings.env_kwargs | (env_kwargs if isinstance(env_kwargs, dict) else {})


def normalizer_for(model: Path, settings: Settings) -> Path | None:
    """The normalizer that a model was trained with, or None if it was trained without.

    In an ``.onnx`` it is part of the graph: then the world isn't to be normalized.

    Raises:
        ZooError: If it was trained with one that is not there.
    """
    if model.suffix == ONNX:
        settings.normalize = None
        return None
    found = runs.normalizer_of(model)
    if found is not None and found != model and settings.normalize is None:
        print(f"its config names no normalizer, but one lies beside it: using {found}")
    elif found is None and settings.normalize is not None:
        raise ZooError(
            f"{model} was trained with a normalizer, and none lies beside it: without it the "
            "agent would see other numbers than it knows"
        )
    return found


def hints(args: argparse.Namespace, settings: Settings, path: Path) -> dict[str, Any]:
    """What a bare ``.npz`` leaves open, from the command line or the config beside it."""
    if not leaves_open(path, args.policy_kwargs):
        return {}
    kwargs = {**(settings.algorithm.get("policy_kwargs") or {}), **(args.policy_kwargs or {})}
    if "activation_fn" not in kwargs:
        print(f"{path} does not tell its activation: taking tanh (--policy-kwargs activation_fn:X)")
    return {"policy_kwargs": kwargs, "extensions": settings.algorithm.get("extensions")}


def play(
    model: Any,
    env: VecEnv,
    args: argparse.Namespace,
    deterministic: bool,
    video: Path | None,
) -> tuple[list[float], list[int]]:
    """Plays so many steps and prints each episode's return.

    Returns:
        Returns and lengths of the episodes that ended.
    """
    returns: list[float] = []
    lengths: list[int] = []
    state = None
    starts = np.ones(env.num_envs, dtype=bool)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        file = stack.enter_context(video_file(video, _fps(env))) if video else None
        if video:
            stack.callback(lambda: print(f"video: {video}"))
        observation: Any = env.reset()
        for _ in tqdm(range(args.n_timesteps), disable=not args.progress):
            action, state = model.predict(
                observation,
                state=state,
                episode_start=starts,
                deterministic=deterministic,
            )
            observation, _, starts, infos = env.step(action)
            if file is not None:  # in a window, worlds draw themselves as they step
                frame = env.render("rgb_array")
                assert frame is not None
                file.add(frame)
            for info in infos:
                if "episode" in info:
                    returns.append(float(info["episode"]["r"]))
                    lengths.append(int(info["episode"]["l"]))
                    if args.verbose > 0:
                        print(
                            f"episode {len(returns)}: return {returns[-1]:.2f}, "
                            f"length {lengths[-1]}",
                            flush=True,
                        )
    return returns, lengths


def _video_path(args: argparse.Namespace, model: Path) -> Path | None:
    if args.video is not None:
        return Path(args.video)
    if args.no_render or has_display():
        return None
    path = model.parent / "videos" / f"{model.stem}.mp4"
    print(f"no display to open a window on: recording {path} instead (--no-render for none)")
    return path


def _fps(env: VecEnv) -> float:
    metadata = env.get_attr("metadata", 0)[0] if env.has_attr("metadata") else {}
    return float(metadata.get("render_fps", 30))


def _normalize_rewards(env: VecEnv) -> None:
    from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_wrapper

    normalizer = unwrap_vec_wrapper(env, VecNormalize)
    if isinstance(normalizer, VecNormalize):
        normalizer.norm_reward = True


def _log_rewards(env: VecEnv, folder: Path) -> None:
    inner: Any = env
    while not isinstance(inner, EpisodeLog):
        inner = inner.venv
    try:
        inner.open(folder / "monitor.csv")
    except OSError as error:
        raise ZooError(f"--reward-log {folder}: {error.strerror or error}") from error
