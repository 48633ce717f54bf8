"""Which trained agent the command line means."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from gymnasium.envs.registration import EnvSpec

from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.errors import ZooError, nearest


@dataclass(frozen=True)
class Choice:
    """A model's file.

    Attributes:
        path: The file.
        is_of_a_run: Whether the files that a run leaves must lie beside it.
    """

    path: Path
    is_of_a_run: bool = False


def find_model(args: argparse.Namespace, spec: EnvSpec | None) -> Choice:
    """The file that ``--model``, ``--pretrained``, ``--exp-id`` and the ``--load-*`` flags mean.

    Args:
        args: The command line.
        spec: The world; None is enough for ``--model``.

    Raises:
        ZooError: If it does not exist; it says what does.
    """
    if args.model is not None:
        path = Path(args.model)
        if not path.is_file():
            raise ZooError(f"--model: there is no file {args.model!r}")
        return Choice(path)
    assert spec is not None
    if args.pretrained is not None:
        return Choice(_pretrained(args.pretrained, spec))
    run = runs.find_run(Path(args.folder), args.algo, spec.id, args.exp_id)
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
    return Choice(path, is_of_a_run=args.exp_id != -1)


def pretrained_agents(spec: EnvSpec) -> dict[str, Path]:
    """The agents that come with a world, by name: its ``metadata["pretrained"]``."""
    found = registry.metadata_of(spec).get("pretrained", {})
    return {name: Path(path) for name, path in found.items()}


def _pretrained(name: str, spec: EnvSpec) -> Path:
    known = pretrained_agents(spec)
    if not known:
        raise ZooError(f"--pretrained: no trained agent comes with {spec.id}")
    chosen = name or next(iter(known))
    if chosen not in known:
        raise ZooError(
            f"--pretrained: no agent {chosen!r} comes with {spec.id}{nearest(chosen, known)} "
            f"(there are: {', '.join(known)})"
        )
    return known[chosen]
