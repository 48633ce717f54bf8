"""Two saved models: what their files hold, and whether both go on alike from the first one."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.utils import check_for_correct_spaces, set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.parity.compare import Ledger
from sb3_ext.parity.contents import Contents, compare_settings, compare_states, settings_of
from sb3_ext.parity.models import as_model
from sb3_ext.parity.replay import Report, replay, rollout_terms
from sb3_ext.zoo import registry, runs, workers
from sb3_ext.zoo.at_play import training_settings
from sb3_ext.zoo.diff.progress import Progress
from sb3_ext.zoo.diff.sides import ModelFile
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.preparation import chosen_seed, set_threads


@dataclass
class FilesReport:
    """What two files hold.

    Attributes:
        settings: Those that differ, as both have them.
        contents: Parameters and optimizer.
        normalizer: How the normalizers differ; empty if they don't.
        policies: How differently the two policies act and judge, in words; empty if not replayed.
        replay: Both going on from the first one's state; None: not replayed.
        notes: Why not, and what else to know.
    """

    settings: dict[str, tuple[str, str]]
    contents: Contents
    normalizer: str = ""
    policies: list[str] = field(default_factory=list)
    replay: Report | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether nothing at all differs."""
        held = self.contents.agree and not self.settings and not self.normalizer
        return held and (self.replay is None or self.replay.agree)


def compare_files(args: argparse.Namespace, a: ModelFile, b: ModelFile) -> FilesReport:
    """Compares settings, parameters, optimizers and normalizers; then replays.

    Raises:
        ZooError: If the models or the world do not fit together.
    """
    _check_spaces(a, b)
    env_id = args.env or a.env_id or b.env_id
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    env = None if env_id is None else _make_env(args, a, env_id, seed)
    try:
        models = [_load(each, env, args.device, seed) for each in (a, b)]
        mine, theirs = (as_model(model).side.state() for model in models)
        contents = compare_states(mine, theirs, args.tolerance)
        report = FilesReport(
            compare_settings(settings_of(a.data), settings_of(b.data)),
            contents,
            _compare_normalizers(a.path, b.path, args.tolerance),
        )
        if env is None:
            report.notes.append("nothing was replayed: --env ID says on which world")
        elif contents.shapes:
            report.notes.append("nothing was replayed: the networks are not the same")
        else:
            report.policies = _policies(models)
            report.notes.append(f"world: {env_id}, seed {seed}")
            report.replay = _replay(args, a, b, models, report.notes)
        return report
    finally:
        if env is not None:
            workers.close(env)


def _check_spaces(a: ModelFile, b: ModelFile) -> None:
    for space in ("observation_space", "action_space"):
        mine, theirs = a.data.get(space), b.data.get(space)
        if mine != theirs:
            name = space.replace("_", " ")
            raise ZooError(
                f"{a.name} and {b.name} are of different worlds: the {name}s are {mine} and "
                f"{theirs}"
            )


def _make_env(args: argparse.Namespace, a: ModelFile, env_id: str, seed: int) -> VecEnv:
    """The world as the first model was trained on it, with its normalizer."""
    spec = registry.find_env(env_id)
    settings, env_kwargs = training_settings(
        a.path, spec.id, a.algorithm.cls, a.algorithm.entries, in_a_run=False
    )
    set_threads(args.num_threads, settings)
    normalizer = runs.normalizer_of(a.path)
    if normalizer is None:
        runs.check_no_normalizer(a.path)
    form, _ = choose_form("auto", spec, settings)
    builder = EnvBuilder(spec, settings, form, env_kwargs | (args.env_kwargs or {}))
    env = builder.train(int(a.data.get("n_envs", 1)), seed, normalizer)
    try:
        check_for_correct_spaces(env, a.data["observation_space"], a.data["action_space"])
    except ValueError as error:
        workers.close(env)
        raise ZooError(f"{a.name} was not trained on {spec.id}: {reason(error)}") from error
    return env


def _load(file: ModelFile, env: VecEnv | None, device: str, seed: int) -> Any:
    try:
        return file.algorithm.cls.load(file.path, env=env, device=device, seed=seed, verbose=0)
    except Exception as error:  # a foreign file may fail anywhere inside a pickle
        name = file.algorithm.name
        raise ZooError(f"{file.path}: not a model of {name} ({reason(error)})") from error


def _compare_normalizers(a: Path, b: Path, tolerance: float) -> str:
    """The first statistic in which the normalizers beside two models differ."""
    found = [runs.normalizer_of(path) for path in (a, b)]
    if found[0] is None or found[1] is None:
        having = [str(path) for path, its in zip((a, b), found, strict=True) if its is not None]
        return f"only {having[0]} has one" if having else ""
    mine, theirs = (_statistics(path) for path in found if path is not None)
    if mine.keys() != theirs.keys():
        return f"they have {', '.join(mine)} and {', '.join(theirs)}"
    ledger = Ledger(tolerance)
    for name, value in mine.items():
        difference = ledger.check(name, {"": value}, {"": theirs[name]})
        if difference is not None:
            return str(difference)
    return ""


def _statistics(path: Path) -> dict[str, Any]:
    try:
        normalizer: Any = load_from_pkl(path)
        observed = getattr(normalizer, "obs_rms", None) or {}
        parts = observed if isinstance(observed, dict) else {"": observed}
        result: dict[str, Any] = {}
        for key, moments in parts.items():
            of = f"observations {key}".strip()
            result |= {f"mean of {of}": moments.mean, f"variance of {of}": moments.var}
        return result | {"variance of returns": np.asarray(normalizer.ret_rms.var)}
    except Exception as error:  # a damaged pickle may fail in any way
        raise ZooError(f"{path}: not a normalizer ({reason(error)})") from error


def _policies(models: list[Any]) -> list[str]:
    """How differently two policies act and judge in the first one's states."""
    a, b = map(as_model, models)
    a.begin(None)
    rollout = a.collect()
    terms = rollout_terms(a, b, rollout)
    n = rollout.collected.n_rows
    mine, theirs = (np.asarray(x, np.float64) for x in terms["rollout log_prob"])
    value, other = (np.asarray(x, np.float64) for x in terms["rollout values"])
    lines = [
        f"over {n:,} steps of A: KL(A || B) is about {float(np.mean(mine - theirs)):.3g} nats, "
        f"values are {float(np.sqrt(np.mean((value - other) ** 2))):.3g} (rms) apart"
    ]
    for term in ("likely actions", "sampled actions"):
        if term in terms:
            lines.append(f"{term} {_apart(*terms[term], a.ppo.action_space)}")
    return lines


def _apart(a: np.ndarray, b: np.ndarray, space: spaces.Space) -> str:
    """How far actions are apart: a distance, or how many where they are choices."""
    if isinstance(space, spaces.Box):
        return f"are at most {float(np.abs(a - b).max(initial=0.0)):.3g} apart"
    n_others = int((a != b).reshape(len(a), -1).any(axis=1).sum())
    return f"differ in {n_others:,} of {len(a):,} steps"


def _replay(
    args: argparse.Namespace, a: ModelFile, b: ModelFile, models: list[Any], notes: list[str]
) -> Report:
    """Both go on from the first one's parameters and optimizer, with its settings."""
    if as_model(models[0]).settings().learning_rate.policy == 0.0:
        for model in models:
            model._current_progress_remaining = 1.0
        notes.append("replayed with the schedules' first values: the learning rate has run out")
    with Progress(models[0], args.updates, args.verbose) as progress:
        try:
            return replay(
                *models,
                names=(f"{a.algorithm.name} (A)", f"{b.algorithm.name} (B)"),
                n_updates=args.updates,
                tolerance=args.tolerance,
                free=args.free,
                own_settings=False,
                seen=progress.step,
            )
        except (FloatingPointError, KeyError, ValueError) as error:
            raise ZooError(f"cannot replay {a.name}: {reason(error)}") from error
