"""Holds values against a constructor's own annotations: the class says what it takes.

stable-baselines3 looks at most arguments only when it uses them, which for some is the end of the
first update.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import types
import typing
from collections.abc import Callable
from typing import Any

from sb3_ext.zoo.errors import ZooError

# Counts: their annotation allows 0, and what follows is a division by it, or an endless loop.
COUNTS = (
    "batch_size",
    "buffer_size",
    "cg_max_steps",
    "frame_stack",
    "line_search_max_iter",
    "n_delta",
    "n_envs",
    "n_epochs",
    "n_steps",
    "n_timesteps",
    "n_top",
    "policy_delay",
    "stats_window_size",
    "sub_sampling_factor",
    "target_update_interval",
    "train_freq",
)
NAMES = {
    bool: "True or False",
    dict: "a mapping",
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a tuple",
    type: "a class",
    types.NoneType: "None",
}


class _MisfitError(Exception):
    pass


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """A function's annotations as objects; Any where one is missing or cannot be resolved."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        annotation: Any = parameter.annotation
        if isinstance(annotation, str):
            one = types.SimpleNamespace(__annotations__={name: annotation})
            try:  # names imported for type checkers only are not there
                annotation = typing.get_type_hints(one, getattr(function, "__globals__", {}))[name]
            except NameError:
                annotation = Any
        found[name] = Any if annotation is inspect.Parameter.empty else annotation
    return found


def fitted(key: str, value: Any, annotation: Any, where: str) -> Any:
    """The value as the annotation has it: a whole float (``1e5``) serves as an int.

    Args:
        key: The argument's name.
        value: What was given.
        annotation: What the argument is annotated with.
        where: Where it was given, for messages.

    Raises:
        ZooError: If it is of another type, not a number (nan), or a count below 1.
    """
    try:
        found = _fit(value, annotation)
    except _MisfitError:
        expected = " or ".join(dict.fromkeys(_names(annotation)))
        raise ZooError(f"{where}: {key} must be {expected}, not {value!r}") from None
    count = found[0] if isinstance(found, tuple) and found else found
    if key in COUNTS and isinstance(count, int | float) and count < 1:
        raise ZooError(f"{where}: {key} must be at least 1, not {value!r}")
    return found


def _fit(value: Any, annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _first_fit(value, typing.get_args(annotation))
    kind = origin or annotation
    if kind in (int, float):
        return _number(value, kind)
    if kind is tuple and isinstance(value, list):
        return tuple(value)
    if kind is Any or not isinstance(kind, type):
        return value
    if not (callable(value) if kind is Callable else isinstance(value, kind)):
        raise _MisfitError
    return value


def _first_fit(value: Any, annotations: tuple[Any, ...]) -> Any:
    for annotation in annotations:
        try:
            return _fit(value, annotation)
        except _MisfitError:
            continue
    raise _MisfitError


def _number(value: Any, kind: type) -> int | float:
    if isinstance(value, str):  # PyYAML reads 1e5, without a point, as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise _MisfitError
    if kind is int and value != value // 1:  # inf // 1 is nan
        raise _MisfitError
    return int(value) if kind is int else value


def _names(annotation: Any) -> list[str]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [name for part in typing.get_args(annotation) for name in _names(part)]
    kind = origin or annotation
    if kind is Callable:
        return ["a schedule"]
    return [NAMES.get(kind) or f"a {getattr(kind, '__name__', kind)}"]
