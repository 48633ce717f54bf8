"""What a training needs, looked up and built from a line of arguments; nothing is written yet."""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_wrapper

from sb3_ext.backends.numpy_backend import threads as blas
from sb3_ext.portable.model_file import is_model_file
from sb3_ext.vec_env.shared_memory import n_cores
from sb3_ext.zoo import registry, runs, workers
from sb3_ext.zoo.agents import make_agent
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, Settings, find_entry, resolve
from sb3_ext.zoo.live import NO_EVALUATION, live_kwargs, live_threads, plays_live
from sb3_ext.zoo.make_env import EnvBuilder, choose_form, goes_into_workers
from sb3_ext.zoo.opponents import AT_RANDOM, rival
from sb3_ext.zoo.resume import Continuation
from sb3_ext.zoo.step_cost import choose_vector_workers, choose_workers

_LARGE_PRODUCT = 1 << 25  # multiplications; with twice as many two threads need 0.65 of one's time


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
        notices: What the user should know.
        continuation: The run that this goes on with, if it does.
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
    continuation: Continuation | None = None

    @property
    def title(self) -> str:
        """What trains where, for messages and pictures."""
        return f"{self.args.algo} on {self.spec.id}"


def prepare(
    args: argparse.Namespace,
    entry: Entry | None = None,
    continuation: Continuation | None = None,
) -> Experiment:
    """Looks everything up, builds env and model, writes nothing.

    Args:
        args: The command line.
        entry: A run's own hyperparameters; None looks them up.
        continuation: A run to go on with.

    Raises:
        ZooError: If anything the user gave does not fit.
    """
    _check_numbers(args)
    registry.import_packages(args.gym_packages)
    spec = registry.find_env(args.env)
    algorithm = registry.load_algorithm(args.algo)
    overrides = args.hyperparams if entry is None else None  # a run's hold them already
    entry = entry or _entry(args, spec)
    settings = resolve(entry, algorithm, args.algo, overrides)
    if args.n_timesteps != -1:
        settings.n_timesteps = args.n_timesteps
    if continuation is not None:
        continuation.extended(settings.n_timesteps)
    # ARS steps one env itself and hands the others to worker processes of its own.
    n_envs = 1 if args.algo == "ars" else settings.n_envs
    builder, reason = _builder(args, spec, settings, n_envs)
    form = builder.form
    pretrained = None if continuation is not None else _pretrained(args)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    notices = [entry.notice] if entry.notice else []
    notices += [f"rows: {form} ({reason})"] if reason else []
    notices += [NO_EVALUATION] if plays_live(spec) else []
    notices += [set_threads(live_threads(args.num_threads, spec), settings)]
    normalizer, notice = _normalizer(args, settings, pretrained)
    notices += [notice] if notice else []
    env = builder.train(n_envs, seed, normalizer, _render_mode(args, spec, form))
    try:
        _check_judged(builder, env)
        if normalizer is not None:
            _take_options(settings, env)
        if continuation is not None:
            model = continuation.load(args, algorithm, env, seed)
        else:
            model = make_agent(args, algorithm, settings, env, seed, pretrained)
    except BaseException:
        workers.close(env)
        raise
    return Experiment(args, spec, entry, settings, builder, model, env, seed, notices, continuation)


def _builder(
    args: argparse.Namespace, spec: EnvSpec, settings: Settings, n_envs: int
) -> tuple[EnvBuilder, str]:
    """What makes the rows, and why so; how long a step takes may decide, and is noted in args."""
    form, why = choose_form(args.vec_env, spec, settings, args.algo)
    kwargs = settings.env_kwargs | (args.env_kwargs or {}) | live_kwargs(args, spec)
    workers = args.workers or None
    against, judged = rival(args, spec, AT_RANDOM), args.eval_env_kwargs
    judged = judged or settings.judged_kwargs(kwargs)
    builder = EnvBuilder(spec, settings, form, kwargs, workers, against, judged)
    if args.vec_env == "auto" and (form == "dummy" or goes_into_workers(spec, settings)):
        told = ""
        if workers is not None:
            form, told = "shm", f"--workers {workers}"
        elif args.workers is None:
            form, told = _measured(builder, n_envs)
        why = f"{why}; {told}" if told else why
        if told:
            args.vec_env = form  # a run that goes on mustn't measure again
        builder = replace(builder, form=form)
    _check_workers(args.workers, form, n_envs)
    if form == "shm":  # nor on another machine divide the rows otherwise
        args.workers = workers or min(n_cores(), n_envs)
        builder = replace(builder, workers=args.workers)
    return builder, why


def _check_judged(builder: EnvBuilder, env: VecEnv) -> None:
    """Whether the world in which agents are judged is one that they can play."""
    if builder.judged_kwargs is None or builder.judged_kwargs == builder.env_kwargs:
        return
    judged = builder.in_one_process().evaluation(1, 0)
    try:
        for name in ("observation_space", "action_space"):
            ours, theirs = getattr(env, name), getattr(judged, name)
            if ours != theirs:
                raise ZooError(
                    f"agents would be judged (--eval-env-kwargs, or the entry's eval_env_kwargs) "
                    f"where the {name.replace('_', ' ')} is {theirs}; they are trained on {ours}"
                )
    finally:
        judged.close()


def _measured(builder: EnvBuilder, n_envs: int) -> tuple[str, str]:
    """The form that a step's cost suggests, and what it costs where that has decided."""
    n_timesteps = builder.settings.n_timesteps
    if builder.form == "dummy":
        return choose_workers(builder.one_env(), n_envs, n_timesteps, n_cores())
    return choose_vector_workers(
        lambda form, n: replace(builder, form=form).bare(n), n_envs, n_timesteps, n_cores()
    )


def _check_workers(asked: int | None, form: str, n_envs: int) -> None:
    if asked is None:
        return
    if form == "shm" and asked == 0:
        raise ZooError("--workers 0: --vec-env shm needs at least 1")
    if form != "shm" and asked > 0:
        raise ZooError(f"--workers {asked}: rows are run as {form}, without workers; --vec-env shm")
    if asked > n_envs:
        raise ZooError(
            f"--workers {asked}: there are only {n_envs} rows; -params n_envs:{asked} for more"
        )


def _entry(args: argparse.Namespace, spec: EnvSpec) -> Entry:
    if args.study_name is None and args.trial_id is None and args.storage is None:
        return find_entry(
            args.algo, spec.id, preset=args.preset, config=args.conf_file, is_atari=is_atari(spec)
        )
    from sb3_ext.zoo.tuning.retrain import trial_entry  # Optuna takes its time to import

    return trial_entry(args, spec)


def _render_mode(args: argparse.Namespace, spec: EnvSpec, form: str) -> str | None:
    """``--live-view`` shows frames of worlds that draw some; of others, what the agent sees."""
    if not args.live_view or form == "jax":
        return None
    modes = registry.metadata_of(spec).get("render_modes") or ()
    return "rgb_array" if "rgb_array" in modes else None


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
    if args.keep_checkpoints == 0:
        raise ZooError("--keep-checkpoints must be at least 1, or negative for all, not 0")
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
    if not (path.suffix == ".zip" or is_model_file(path)) or not path.is_file():
        raise ZooError(f"-i/--trained-agent: {args.trained_agent!r} is no model (.zip) that exists")
    return path


def set_threads(requested: int, settings: Settings) -> str:
    """Small networks run several times slower on PyTorch's default of all cores than on one.

    NumPy's updates gain by threads where minibatches and layers are large.

    Args:
        requested: Threads; below 1 to choose them for the policy.
        settings: With the policy.

    Returns:
        What was chosen, for the user.
    """
    threads = numpys = requested
    if requested < 1:
        convolutional = "Mlp" not in str(settings.algorithm["policy"])
        threads = n_cores() if convolutional else 1
        numpys = blas.most() if _product(settings) >= _LARGE_PRODUCT else 1
    torch.set_num_threads(threads)
    blas.set_n_threads(numpys)
    others = "" if numpys == threads else f", NumPy's {numpys}"
    reason = "" if requested > 0 else " (chosen for the policy; --num-threads N to change)"
    return f"PyTorch threads: {threads}{others}{reason}"


def _product(settings: Settings) -> int:
    """Multiplications of a minibatch with the widest hidden layer's weights, were they square."""
    architecture = (settings.algorithm.get("policy_kwargs") or {}).get("net_arch")
    batch = settings.algorithm.get("batch_size")
    widths = re.findall(r"\d+", str(architecture))
    return int(batch or 0) * max(map(int, widths), default=0) ** 2
