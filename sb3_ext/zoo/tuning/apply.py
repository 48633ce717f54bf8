"""Writes an entry into a file of hyperparameters; everything else in it stays as it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from callbacks import save_atomically
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.hyperparams import own_folder, read_yaml
from sb3_ext.zoo.registry import hyperparameter_files
from sb3_ext.zoo.tuning.report import entry_text


def target_file(algo: str, env_id: str, values: dict[str, Any], preset: str) -> tuple[Path, str]:
    """Where an entry goes, and under which key.

    It is the file that the look-up reads first among those that have the key; where none has it,
    the one that the algorithm shares with others, unless they would refuse the entry.

    Args:
        algo: The algorithm's name.
        env_id: The world.
        values: The entry.
        preset: The NAME of ``ENV@NAME``; empty for the world's own entry.

    Raises:
        ZooError: If that file cannot be written.
    """
    key = f"{env_id}@{preset}" if preset else env_id
    stems = hyperparameter_files(algo)
    paths = [own_folder() / f"{stem}.yml" for stem in stems]
    holding = [path for path in paths if path.is_file() and key in read_yaml(path)]
    path = holding[0] if holding else paths[0 if "extensions" in values else -1]
    writable = path if path.exists() else path.parent
    if not (
        path.parent.is_dir() and os.access(writable, os.W_OK) and os.access(path.parent, os.W_OK)
    ):
        raise ZooError(f"--apply: {path} cannot be written; best.yml can be used with -conf")
    return path, key


def write_entry(path: Path, key: str, values: dict[str, Any]) -> None:
    """Replaces the entry of a key, or adds it at the end.

    Raises:
        ZooError: If the file cannot be written, or others of its entries would change.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        edited = with_entry(text, key, values)
        before = yaml.safe_load(text) or {}
        if yaml.safe_load(edited) != before | {key: values}:
            raise ZooError(f"--apply: {path}: other entries refer to {key!r}; edit it by hand")
        save_atomically(path, lambda file: file.write(edited.encode()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ZooError(f"--apply: {path}: {reason(error)}") from error


def with_entry(text: str, key: str, values: dict[str, Any]) -> str:
    """The text of a file with an entry replaced, or added at its end.

    Args:
        text: YAML whose top is a mapping.
        key: The entry's.
        values: What it is to hold.
    """
    entry = entry_text(key, values)
    lines = text.splitlines(keepends=True)
    span = _span(text, key, lines)
    if span is None:
        end = "" if not text or text.endswith("\n") else "\n"
        return text + end + ("\n" if text.strip() else "") + entry
    first, last = span
    return "".join(lines[:first]) + entry + "".join(lines[last:])


def _span(text: str, key: str, lines: list[str]) -> tuple[int, int] | None:
    """The lines of an entry, without the blank lines and comments before the next."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        return None
    for name, value in root.value:
        if name.value == key:
            first, last = name.start_mark.line, value.end_mark.line
            last += value.end_mark.column > 0  # a flow mapping ends inside of a line
            while last - 1 > first and lines[last - 1].lstrip(" ").startswith(("#", "\n", "\r")):
                if lines[last - 1].startswith(" ") and lines[last - 1].strip():
                    break  # an indented comment is the entry's own
                last -= 1
            return first, last
    return None
