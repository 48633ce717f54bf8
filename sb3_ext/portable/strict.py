"""Reading JSON out of files that nobody vouches for: exactly what is expected, or one clear error.

A *reader* is a function of a value and of the place where it stands. It returns the value in the
form that the program works with, or raises :class:`ModelFileError`.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from sb3_ext import schedules
from sb3_ext.portable.errors import ModelFileError, reason

__all__ = [
    "Reader",
    "boolean",
    "choice",
    "integer",
    "number",
    "one_of",
    "optional",
    "parse",
    "record",
    "schedule",
    "sequence",
    "text",
]

Reader = Callable[[Any, str], Any]


def parse(source: str) -> Any:
    """JSON as its standard has it: a key twice in an object, NaN and infinities are errors."""
    try:
        return json.loads(source, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"its JSON is damaged: {reason(error)}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ModelFileError(f"the key {key!r} stands there twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ModelFileError(f"{name} is no number of JSON")


def _misfit(where: str, wanted: str, value: Any) -> NoReturn:
    found = f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(value)
    raise ModelFileError(f"{where} must be {wanted}, not {found}")


def record(
    value: Any, where: str, readers: Mapping[str, Reader], optional_keys: Collection[str] = ()
) -> dict[str, Any]:
    """A mapping with exactly these keys, of which some may be missing."""
    if not isinstance(value, dict):
        _misfit(where, "a mapping", value)
    if unknown := sorted(value.keys() - readers.keys()):
        raise ModelFileError(f"{where} has an unknown key {unknown[0]!r}")
    if missing := sorted(readers.keys() - value.keys() - set(optional_keys)):
        raise ModelFileError(f"{where} lacks the key {missing[0]!r}")
    return {
        key: reader(value[key], f"{where}.{key}") for key, reader in readers.items() if key in value
    }


def sequence(reader: Reader, length: int | None = None) -> Reader:
    """A list of what another reader reads; of this length, if one is given."""

    def read(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or length not in (None, len(value)):
            _misfit(where, "a list" if length is None else f"a list of {length}", value)
        return [reader(item, f"{where}[{k}]") for k, item in enumerate(value)]

    return read


def integer(low: int, high: int) -> Reader:
    """A whole number between two limits, both included."""

    def read(value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _misfit(where, f"a whole number from {low} to {high}", value)
        return value

    return read


def number(low: float = -math.inf, high: float = math.inf) -> Reader:
    """A finite number between two limits, both included."""

    def read(value: Any, where: str) -> float:
        wanted = "a finite number"
        if low != -math.inf:
            wanted += f" of at least {low}" if high == math.inf else f" from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            _misfit(where, wanted, value)
        try:
            result = float(value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result) or not low <= result <= high:
            _misfit(where, wanted, value)
        return result

    return read


def boolean(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        _misfit(where, "true or false", value)
    return value


def text(value: Any, where: str) -> str:
    """A string."""
    if not isinstance(value, str):
        _misfit(where, "text", value)
    return value


def choice(names: Sequence[str]) -> Reader:
    """One of these names."""

    def read(value: Any, where: str) -> str:
        if not isinstance(value, str) or value not in names:
            _misfit(where, f"one of {', '.join(names)}", value)
        return value

    return read


def optional(reader: Reader) -> Reader:
    """What another reader reads, or null."""
    return lambda value, where: None if value is None else reader(value, where)


def one_of(first: Reader, second: Reader) -> Reader:
    """What the first reader reads, else what the second does."""

    def read(value: Any, where: str) -> Any:
        try:
            return first(value, where)
        except ModelFileError:
            return second(value, where)

    return read


def schedule(value: Any, where: str) -> float | str:
    """A number of at least 0, or text such as ``lin_3e-4``."""
    if not isinstance(value, str):
        return number(0.0)(value, where)
    try:
        schedules.from_string(value)
    except ValueError as error:
        raise ModelFileError(f"{where}: {error}") from error
    return value
