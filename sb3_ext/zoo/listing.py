"""What there is: algorithms, worlds with their spaces, tuned entries and presets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym

from sb3_ext.zoo import registry
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import own_folder, presets_of, read_yaml
from sb3_ext.zoo.model_choice import pretrained_agents


def show(args: argparse.Namespace) -> int:
    """Prints the lists (``zoo.py list``)."""
    entries = {path.stem: read_yaml(path) for path in sorted(own_folder().glob("*.yml"))}
    print("algorithms")
    for name in registry.algorithm_names():
        target = (registry.ALGORITHMS | registry.OWN_ALGORITHMS)[name]
        print(f"  {name:<10} {target.replace(':', '.'):<30} {_missing(name)}".rstrip())
    print("\nworlds")
    for spec in registry.own_worlds():
        _show_world(spec, entries)
    print(
        "\nand every other environment that Gymnasium knows: `--gym-packages PACKAGE` registers "
        "more,\nand RL Zoo's own entries serve for those it has tuned."
    )
    return 0


def _missing(algorithm: str) -> str:
    try:
        registry.load_algorithm(algorithm)
    except ZooError as error:
        return f"not installed ({str(error).partition(': ')[2]})"
    return ""


def _spaces(spec: Any) -> tuple[Any, Any]:
    """A world's observation and action space.

    Raises:
        ImportError: What it needs isn't installed.
    """
    if spec.entry_point is not None:
        env = gym.make(spec)
        spaces = (env.observation_space, env.action_space)
        env.close()
        return spaces
    vector_env = gym.make_vec(spec, num_envs=1)
    vector_env.close()
    return vector_env.single_observation_space, vector_env.single_action_space


def _show_world(spec: Any, entries: dict[str, dict[str, Any]]) -> None:
    print(f"  {spec.id}")
    try:
        spaces = _spaces(spec)
    except ImportError as error:
        print(f"    not installed ({error})")
        return
    print(f"    observation  {spaces[0]}")
    print(f"    action       {spaces[1]}")
    print(f"    time limit   {spec.max_episode_steps or 'none'}")
    print(f"    vector form  {'yes' if spec.vector_entry_point else 'no'}")
    if agents := pretrained_agents(spec):
        print(f"    pretrained   {', '.join(agents)} (zoo.py enjoy --pretrained NAME)")
    tuned = [name for name, content in entries.items() if spec.id in content]
    print(f"    tuned for    {', '.join(tuned) or 'none'} ({_where()})")
    for name, content in entries.items():
        for preset in presets_of(spec.id, {name: content}):
            entry = content[f"{spec.id}@{preset}"]
            algo = f"{name}_numpy" if "extensions" in entry else name  # our own PPO's alone
            print(f"    preset       --algo {algo} --preset {preset}")


def _where() -> str:
    folder = own_folder()
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
