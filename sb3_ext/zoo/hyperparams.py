"""Looks up an entry of RL-Zoo-style YAML and turns it into a constructor's arguments.

For ``--algo A --env E`` the exact id is sought in our ``hyperparams/A.yml``, then for our own
algorithms in our ``ppo.yml``, then in RL Zoo's file of the same name; after that an older version
of the same world, then ``atari``, then ``default``. Several entries for one world stand under
``ENV@NAME`` and are chosen with ``--preset NAME``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.zoo.annotations import annotations_of, fitted
from sb3_ext.zoo.errors import ZooError, nearest, reason
from sb3_ext.zoo.literals import read_literal
from sb3_ext.zoo.registry import hyperparameter_files
from sb3_ext.zoo.yaml_files import read_mapping

# Keys that the zoo reads itself; all others are arguments of the algorithm.
ZOO_KEYS = (
    "n_timesteps",
    "n_envs",
    "normalize",
    "frame_stack",
    "env_wrapper",
    "vec_env_wrapper",
    "env_kwargs",
    "monitor_kwargs",
    "callback",
    "noise_type",
    "noise_std",
    "eval_env_kwargs",
)
# Keys whose strings are Python snippets in RL Zoo's files.
SNIPPET_KEYS = (
    "policy_kwargs",
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "rollout_buffer_class",
    "rollout_buffer_kwargs",
    "normalize",
    "monitor_kwargs",
    "env_kwargs",
    "eval_env_kwargs",
    "extensions",
)
SCHEDULE_KEYS = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
SCHEDULE = float | Callable[[float], float] | None
# What the zoo's own keys take; the algorithm's are annotated in its constructor.
ZOO_ANNOTATIONS: dict[str, Any] = {
    "n_timesteps": int,
    "n_envs": int,
    "frame_stack": int | None,
    "normalize": bool | dict | None,
    "env_kwargs": dict | None,
    "monitor_kwargs": dict | None,
    "noise_type": str | None,
    "noise_std": float,
    "eval_env_kwargs": dict | None,
}
# Arguments that the command line sets, so that an entry may not.
RESERVED_KEYS = ("self", "env", "seed", "verbose", "device", "tensorboard_log", "backend")


@dataclass(frozen=True)
class Entry:
    """One entry of a hyperparameter file, as written there.

    Attributes:
        values: The entry's keys and plain YAML values.
        key: Under which key it was found, such as ``SimpleAim-v0`` or ``default``.
        source: The file (or package) it stands in.
        notice: What the user should know about the look-up; empty for an exact hit.
    """

    values: dict[str, Any]
    key: str
    source: str
    notice: str = ""


@dataclass
class Settings:
    """An entry, split into what the zoo does with it and what the algorithm is given.

    Attributes:
        saved: Every key as it will be written to the run's config.yml: plain YAML.
        algorithm: Keyword arguments of the algorithm's constructor.
        eval_env_kwargs: What differs in the world where agents are judged; not RL Zoo's.
    """

    saved: dict[str, Any]
    algorithm: dict[str, Any]
    n_timesteps: int
    n_envs: int = 1
    normalize: dict[str, Any] | None = None
    frame_stack: int | None = None
    env_wrapper: Any = None
    vec_env_wrapper: Any = None
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    monitor_kwargs: dict[str, Any] = field(default_factory=dict)
    callback: Any = None
    noise_type: str | None = None
    noise_std: float = 0.0
    eval_env_kwargs: dict[str, Any] = field(default_factory=dict)

    def judged_kwargs(self, env_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the world where agents are judged.

        Args:
            env_kwargs: Those of the training, in which the command line may have replaced some of
                the entry's: these stay.
        """
        differing = {
            key: value
            for key, value in self.eval_env_kwargs.items()
            if env_kwargs.get(key) == self.env_kwargs.get(key)
        }
        return env_kwargs | differing


def own_folder() -> Path:
    """The folder of our YAML files: beside the packages, in a checkout as in an installed wheel."""
    return Path(__file__).resolve().parents[2] / "hyperparams"


def rl_zoo_folder() -> Path | None:
    """The folder of RL Zoo's YAML files, or None if rl-zoo3 is not installed."""
    spec = importlib.util.find_spec("rl_zoo3")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "hyperparams"


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a file of entries.

    Raises:
        ZooError: If it cannot be read, is no YAML, or does not map env ids to mappings.
    """
    return _checked_entries(read_mapping(path), str(path))


def _checked_entries(content: dict[Any, Any], source: str) -> dict[str, Any]:
    for key, value in content.items():
        if not isinstance(value, dict):
            raise ZooError(f"{source}: the entry {key!r} is not a mapping of hyperparameters")
    return {str(key): value for key, value in content.items()}


def read_config(config: str) -> dict[str, Any]:
    """Reads what ``-conf`` names: a YAML file, a Python file or a package with ``hyperparams``.

    Raises:
        ZooError: If it is none of these.
    """
    path = Path(config)
    if path.suffix in (".yml", ".yaml"):
        return read_yaml(path)
    try:
        entries = dict(_import_config(config, path).hyperparams)
    except (Exception, SystemExit) as error:  # somebody's code: anything may happen
        raise ZooError(
            f"-conf {config!r}: no YAML file and no Python module with a `hyperparams` dictionary "
            f"({reason(error)})"
        ) from error
    return _checked_entries(entries, config)


def _import_config(config: str, path: Path) -> Any:
    if path.suffix != ".py":
        return importlib.import_module(config)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry_files(algo: str) -> list[Path]:
    """The files in which an algorithm's entries are sought, in that order."""
    stems = hyperparameter_files(algo)
    candidates = [own_folder() / f"{stem}.yml" for stem in stems]
    zoo = rl_zoo_folder()
    if zoo is not None:
        candidates.append(zoo / f"{stems[-1]}.yml")
    return [path for path in candidates if path.is_file()]


def find_entry(
    algo: str,
    env_id: str,
    *,
    preset: str | None = None,
    config: str | None = None,
    is_atari: bool = False,
) -> Entry:
    """Looks up the hyperparameters of an algorithm on a world.

    Args:
        algo: The algorithm's name.
        env_id: The world's id.
        preset: A named entry ``ENV@NAME`` instead of the plain one.
        config: What ``-conf`` named: only this is read, and the world must stand in it.
        is_atari: Whether the ``atari`` entry may serve.

    Raises:
        ZooError: If nothing fits; the nearest keys are named.
    """
    if config is not None:
        sources = {config: read_config(config)}
    else:
        sources = {str(path): read_yaml(path) for path in entry_files(algo)}
    key = f"{env_id}@{preset}" if preset else env_id

    for source, entries in sources.items():
        if key in entries:
            return Entry(dict(entries[key]), key, source)
    if preset:
        presets = presets_of(env_id, sources)
        known = f"it has: {', '.join(presets)}" if presets else "it has none"
        raise ZooError(f"no preset {preset!r} for {env_id} with --algo {algo} ({known})")

    fallbacks = [(old, f"using the entry of {old}") for old in _older_versions(env_id, sources)]
    fallbacks += [("atari", "using the 'atari' entry")] if is_atari else []
    if config is None:
        fallbacks += [("default", "using the 'default' entry: nothing is tuned for this world")]
    for fallback, notice in fallbacks:
        for source, entries in sources.items():
            if fallback in entries:
                return Entry(dict(entries[fallback]), fallback, source, f"{env_id}: {notice}")
    known_keys = [name for entries in sources.values() for name in entries]
    raise ZooError(
        f"no hyperparameters for --algo {algo} --env {env_id} in "
        f"{', '.join(sources) or 'any file'}{nearest(env_id, known_keys)}"
    )


def presets_of(env_id: str, sources: dict[str, dict[str, Any]]) -> list[str]:
    """The names of the presets that files hold for a world."""
    prefix = f"{env_id}@"
    names = {
        key[len(prefix) :]
        for entries in sources.values()
        for key in entries
        if key.startswith(prefix)
    }
    return sorted(names)


def _older_versions(env_id: str, sources: dict[str, dict[str, Any]]) -> list[str]:
    """Ids of the same world with a lower version number, newest first."""
    match = re.fullmatch(r"(.+)-v(\d+)", env_id)
    if match is None:
        return []
    name, version = match[1], int(match[2])
    found = []
    for entries in sources.values():
        for key in entries:
            other = re.fullmatch(re.escape(name) + r"-v(\d+)", key)
            if other and int(other[1]) < version:
                found.append((int(other[1]), key))
    return [key for _, key in sorted(set(found), reverse=True)]


def resolve(
    entry: Entry, algorithm: type[Any], algo: str, overrides: dict[str, Any] | None = None
) -> Settings:
    """Checks every key of an entry and turns its values into Python objects.

    Args:
        entry: As :func:`find_entry` gave it.
        algorithm: The algorithm's class; its constructor's arguments are the valid keys.
        algo: Its name, for messages.
        overrides: What ``-params`` set; it wins over the entry.

    Raises:
        ZooError: If a key is unknown or a value cannot be read.
    """
    overrides = overrides or {}
    values = entry.values | overrides
    places = {key: "-params" if key in overrides else _place(entry) for key in values}
    _check_keys(places, algorithm, algo)
    if "n_timesteps" not in values:
        raise ZooError(f"{_place(entry)}: 'n_timesteps' is missing")

    takes = annotations_of(algorithm.__init__) | ZOO_ANNOTATIONS
    # Our own PPO, more liberal, is annotated with Any; here strings have been read already.
    takes |= {key: SCHEDULE for key in SCHEDULE_KEYS if takes.get(key) is Any}
    read = {
        key: _read(key, value, takes.get(key, Any), places[key]) for key, value in values.items()
    }
    # What is None is as it is without the key.
    zoo = {key: read[key] for key in ZOO_KEYS if read.get(key) is not None}
    algorithm_kwargs = {key: value for key, value in read.items() if key not in ZOO_KEYS}
    algorithm_kwargs.setdefault("policy", "MlpPolicy")
    if "." in str(algorithm_kwargs["policy"]):
        algorithm_kwargs["policy"] = import_object(algorithm_kwargs["policy"], "policy")
    if "normalize" in zoo:
        zoo["normalize"] = _normalization(zoo["normalize"], algorithm_kwargs, places["normalize"])
    saved = {key: values[key] for key in sorted(values)}
    return Settings(saved=saved, algorithm=algorithm_kwargs, **zoo)


def _check_keys(places: dict[str, str], algorithm: type[Any], algo: str) -> None:
    accepted = _arguments(algorithm)
    for key, where in places.items():
        if not isinstance(key, str):
            raise ZooError(f"{where}: {key!r} is not the name of a hyperparameter")
        if key == "extensions" and key not in accepted:
            raise ZooError(
                f"{where}: 'extensions' are arguments of our own PPO, which --algo {algo} does "
                "not have; use --algo ppo_numpy or another of our own"
            )
        if key not in accepted and key not in ZOO_KEYS:
            suggestion = nearest(key, [*accepted, *ZOO_KEYS])
            raise ZooError(f"{where}: {algo} has no hyperparameter {key!r}{suggestion}")


def _arguments(algorithm: type[Any]) -> list[str]:
    parameters = inspect.signature(algorithm.__init__).parameters
    return [name for name in parameters if name not in RESERVED_KEYS and name[0] != "_"]


def _place(entry: Entry) -> str:
    return f"{entry.source}, entry {entry.key!r}"


def _read(key: str, value: Any, annotation: Any, where: str) -> Any:
    from sb3_ext import schedules

    try:
        if key in SCHEDULE_KEYS and isinstance(value, str):
            return schedules.from_string(value)
        if key in SNIPPET_KEYS and isinstance(value, str):
            value = read_literal(value)
    except ValueError as error:
        raise ZooError(f"{where}: {key}: {error}") from error
    if key == "extensions" and isinstance(value, dict):
        return _checked_arguments(PPOExtensions, value, f"{where}: extensions")
    return fitted(key, value, annotation, where)


def _checked_arguments(cls: type[Any], values: dict[str, Any], where: str) -> dict[str, Any]:
    takes = annotations_of(cls.__init__)
    names = [name for name in takes if name not in ("self", "venv")]
    for key in values:
        if key not in names:
            suggestion = nearest(str(key), names)
            raise ZooError(f"{where}: {cls.__name__} has no argument {key!r}{suggestion}")
    return {key: fitted(key, value, takes[key], where) for key, value in values.items()}


def _normalization(
    value: bool | dict[str, Any], algorithm_kwargs: dict[str, Any], where: str
) -> dict[str, Any] | None:
    """VecNormalize's arguments; the discount is the algorithm's, as in RL Zoo."""
    if not value:
        return None
    kwargs = {}
    if isinstance(value, dict):
        kwargs = _checked_arguments(VecNormalize, value, f"{where}: normalize")
    if "gamma" in algorithm_kwargs:
        kwargs["gamma"] = algorithm_kwargs["gamma"]
    return kwargs


def import_object(path: str, what: str) -> Any:
    """Imports ``package.module.Name``.

    Raises:
        ZooError: If there is no such thing.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # somebody's code: anything may happen
        raise ZooError(f"{what}: cannot import {path!r} ({reason(error)})") from error
