"""Reads YAML whose top is a mapping, and says in one line what is wrong with any other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sb3_ext.zoo.errors import ZooError, reason

DEEPEST = 100  # brackets in brackets: PyYAML's time grows with the square of the depth
LARGEST = 1_000_000  # values, those that an alias repeats counted each time


class SafeLoader(yaml.SafeLoader):
    """PyYAML's, but a key that stands twice in one mapping is an error instead of the last winning.

    It is looked for before ``<<`` is resolved: what is merged in may be overridden.
    """

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= DEEPEST:
            problem = f"more than {DEEPEST} brackets in brackets"
            raise yaml.scanner.ScannerError(None, None, problem, self.get_mark())
        super().fetch_flow_collection_start(token_class)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    problem = f"the key {key.value!r} stands there twice"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return node


class ForeignLoader(SafeLoader):
    """Reads RL Zoo's own run files: ``OrderedDict`` as pairs, other Python tags as None."""


def _ordered_or_none(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if suffix == "object/apply:collections.OrderedDict":
        assert isinstance(node, yaml.SequenceNode)
        pairs = loader.construct_sequence(node, deep=True)
        return dict(pairs[0]) if pairs else {}
    return None


ForeignLoader.add_multi_constructor("tag:yaml.org,2002:python/", _ordered_or_none)


def read_mapping(path: Path, loader: type[SafeLoader] = SafeLoader) -> dict[Any, Any]:
    """Reads a YAML file; nothing in it is run.

    Raises:
        ZooError: If it cannot be read, is no YAML, or is no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        if _size(content, {}) > LARGEST:
            raise ValueError("its aliases repeat too much")
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"{path}: cannot be read ({error})") from error
    except Exception as error:  # a foreign file may fail anywhere
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or reason(error)
        raise ZooError(f"{path}{place}: not valid YAML ({problem})") from error
    if not isinstance(content, dict):
        found = "an empty file" if content is None else f"a {type(content).__name__}"
        raise ZooError(f"{path}: expected a mapping, found {found}")
    return content


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are in a value; a few aliases of aliases are billions."""
    if not isinstance(value, dict | list | tuple):
        return 1
    if id(value) in known:
        if not (size := known[id(value)]):
            raise ValueError("an alias stands for what it stands in")
        return size
    known[id(value)] = 0  # not known yet
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    known[id(value)] = 1 + sum(_size(item, known) for item in items)
    return known[id(value)]
