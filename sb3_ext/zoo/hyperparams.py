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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.literals import read_literal
from sb3_ext.zoo.registry import hyperparameter_files

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
    "extensions",
)
SCHEDULE_KEYS = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
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
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"{path}: cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise ZooError(f"{path}{place}: not valid YAML ({problem})") from error
    if not isinstance(content, dict):
        raise ZooError(f"{path}: expected a mapping of environment ids to hyperparameters")
    for key, value in content.items():
        if not isinstance(value, dict):
            raise ZooError(f"{path}: the entry {key!r} is not a mapping of hyperparameters")
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
        if path.suffix == ".py":
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(config)
        return dict(module.hyperparams)
    except (ImportError, OSError, SyntaxError, AttributeError, TypeError) as error:
        raise ZooError(
            f"-conf {config}: no YAML file and no Python module with a `hyperparams` dictionary "
            f"({error})"
        ) from error


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
    accepted = _arguments(algorithm)
    places = {key: "-params" if key in overrides else _place(entry) for key in values}
    for key, where in places.items():
        if key == "extensions" and key not in accepted:
            raise ZooError(
                f"{where}: 'extensions' are arguments of our own PPO, which --algo {algo} does "
                "not have; use --algo ppo_numpy or another of our own"
            )
        if key not in accepted and key not in ZOO_KEYS:
            suggestion = nearest(key, [*accepted, *ZOO_KEYS])
            raise ZooError(f"{where}: {algo} has no hyperparameter {key!r}{suggestion}")

    read = {key: _read(key, value, places[key]) for key, value in values.items()}
    if "n_timesteps" not in read:
        raise ZooError(f"{_place(entry)}: 'n_timesteps' is missing")
    zoo = {key: read[key] for key in ZOO_KEYS if key in read}
    algorithm_kwargs = {key: value for key, value in read.items() if key not in ZOO_KEYS}
    algorithm_kwargs.setdefault("policy", "MlpPolicy")
    if "." in str(algorithm_kwargs["policy"]):
        algorithm_kwargs["policy"] = import_object(algorithm_kwargs["policy"], "policy")
    if isinstance(algorithm_kwargs.get("train_freq"), list):
        algorithm_kwargs["train_freq"] = tuple(algorithm_kwargs["train_freq"])
    zoo["normalize"] = _normalization(zoo.get("normalize"), algorithm_kwargs)
    for key in ("n_timesteps", "n_envs", "frame_stack"):
        if zoo.get(key) is not None:
            zoo[key] = _positive_integer(key, zoo[key], places[key])
    saved = {key: values[key] for key in sorted(values)}
    return Settings(saved=saved, algorithm=algorithm_kwargs, **zoo)


def _arguments(algorithm: type[Any]) -> list[str]:
    parameters = inspect.signature(algorithm.__init__).parameters
    return [name for name in parameters if name not in RESERVED_KEYS and name[0] != "_"]


def _place(entry: Entry) -> str:
    return f"{entry.source}, entry {entry.key!r}"


def _read(key: str, value: Any, where: str) -> Any:
    from sb3_ext import schedules

    try:
        if key in SCHEDULE_KEYS and isinstance(value, str):
            return schedules.from_string(value)
        if key in SNIPPET_KEYS and isinstance(value, str):
            return read_literal(value)
    except ValueError as error:
        raise ZooError(f"{where}: {key}: {error}") from error
    return value


def _normalization(value: Any, algorithm_kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """VecNormalize's arguments; the discount is the algorithm's, as in RL Zoo."""
    if not value:
        return None
    kwargs = dict(value) if isinstance(value, dict) else {}
    if "gamma" in algorithm_kwargs:
        kwargs["gamma"] = algorithm_kwargs["gamma"]
    return kwargs


def _positive_integer(key: str, value: Any, where: str) -> int:
    try:
        number = int(float(value))
        whole = number == float(value)
    except (TypeError, ValueError, OverflowError):
        number, whole = 0, False
    if not whole or number < 1:
        raise ZooError(f"{where}: {key} must be a whole number of at least 1, not {value!r}")
    return number


def import_object(path: str, what: str) -> Any:
    """Imports ``package.module.Name``.

    Raises:
        ZooError: If there is no such thing.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ZooError(f"{what}: cannot import {path!r} ({error})") from error
