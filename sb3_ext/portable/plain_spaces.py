"""Gymnasium's spaces as JSON, written here and read strictly; nothing is evaluated.

A Box's limits are one number where all are equal, else a flat list; infinities are ``"inf"`` and
``"-inf"``.
"""

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.portable import strict
from sb3_ext.portable.errors import ModelFileError

__all__ = ["describe_space", "read_space"]

_FLOATS = ("float16", "float32", "float64")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_MOST = 2**31 - 1  # values of a discrete space
_WHOLE = strict.integer(-(2**63), 2**64 - 1)
_START = strict.integer(-(2**31), 2**31)
_LIMIT = strict.one_of(strict.choice(("inf", "-inf")), strict.number())


def describe_space(space: spaces.Space) -> dict[str, Any]:
    """A space as plain data.

    Raises:
        ModelFileError: a space that no network of ours reads.
    """
    match space:
        case spaces.Box():
            return {
                "type": "Box",
                "shape": list(space.shape),
                "dtype": space.dtype.name,
                "low": _limits(space.low),
                "high": _limits(space.high),
            }
        case spaces.Discrete():
            description: dict[str, Any] = {"n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete() if space.nvec.ndim == 1:
            description = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.MultiBinary() if len(space.shape) == 1:
            return {"type": "MultiBinary", "n": int(space.shape[0])}
        case spaces.Dict():
            parts = [[key, describe_space(part)] for key, part in space.spaces.items()]
            return {"type": "Dict", "spaces": parts}
        case _:
            raise ModelFileError(f"the space {space} can't be described in a file")
    return {"type": type(space).__name__, **description, "dtype": np.dtype(space.dtype).name}


def _limits(limits: NDArray) -> Any:
    flat = limits.reshape(-1).tolist()
    plain = [x if isinstance(x, int) or math.isfinite(x) else str(x) for x in flat]
    return plain[0] if plain and all(x == plain[0] for x in plain) else plain


def read_space(value: Any, where: str, most_elements: int) -> spaces.Space:
    """The space that :func:`describe_space` described.

    Args:
        value: What stands in the file.
        where: And where, for messages.
        most_elements: How many numbers an observation may have.

    Raises:
        ModelFileError: it is malformed, or larger.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    kind = strict.choice(("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict"))(
        kind, f"{where}.type"
    )
    fields = {key: part for key, part in value.items() if key != "type"}
    if kind == "Box":
        return _box(fields, where, most_elements)
    if kind == "Dict":
        return _dict(fields, where, most_elements)
    if kind == "MultiBinary":
        n = strict.integer(1, most_elements)
        return spaces.MultiBinary(strict.record(fields, where, {"n": n})["n"])
    dtype = strict.choice(_INTEGERS)
    if kind == "Discrete":
        n = strict.integer(1, _MOST)
        return _made(
            spaces.Discrete,
            where,
            strict.record(fields, where, {"n": n, "start": _START, "dtype": dtype}),
        )
    numbers = {"nvec": strict.sequence(strict.integer(1, _MOST)), "start": strict.sequence(_START)}
    read = strict.record(fields, where, {**numbers, "dtype": dtype})
    if not 0 < len(read["nvec"]) == len(read["start"]):
        raise ModelFileError(f"{where}: nvec and start must have the same length, at least 1")
    return _made(spaces.MultiDiscrete, where, read)


def _made(cls: Any, where: str, arguments: dict[str, Any]) -> spaces.Space:
    info = np.iinfo(arguments["dtype"])
    for name in ("n", "nvec", "start"):
        for x in np.ravel(arguments.get(name, 0)).tolist():
            if not info.min <= x <= info.max:
                raise ModelFileError(f"{where}.{name}: {x} is no {arguments['dtype']}")
    if arguments["dtype"] == "int64":  # the default; older Discretes know no other
        del arguments["dtype"]
    return cls(**arguments)


def _box(fields: dict[str, Any], where: str, most_elements: int) -> spaces.Box:
    readers = {
        "shape": strict.sequence(strict.integer(1, most_elements)),
        "dtype": strict.choice((*_FLOATS, *_INTEGERS)),
    }
    limits = {name: fields.get(name) for name in ("low", "high")}
    anything = {name: _as_it_is for name in limits}
    read = strict.record(fields, where, {**readers, **anything})
    size = math.prod(read["shape"])
    if size > most_elements or len(read["shape"]) > 32:
        raise ModelFileError(f"{where}: the shape {read['shape']} is too large for this file")
    low, high = (
        _read_limits(limit, f"{where}.{name}", tuple(read["shape"]), np.dtype(read["dtype"]))
        for name, limit in limits.items()
    )
    if not np.all(low <= high):
        raise ModelFileError(f"{where}: low must not be above high")
    return spaces.Box(low, high, dtype=low.dtype.type)


def _as_it_is(value: Any, where: str) -> Any:
    return value


def _read_limits(value: Any, where: str, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    reader = _LIMIT if dtype.kind == "f" else _WHOLE
    if isinstance(value, list):
        flat = strict.sequence(reader, math.prod(shape))(value, where)
    else:
        flat = [reader(value, where)]
    if dtype.kind != "f":
        info = np.iinfo(dtype)
        if not info.min <= min(flat) <= max(flat) <= info.max:
            raise ModelFileError(f"{where}: {min(flat)} to {max(flat)} is no {dtype}")
    elif any(not isinstance(x, str) and abs(x) > np.finfo(dtype).max for x in flat):
        raise ModelFileError(f"{where}: {max(map(float, flat))} is no {dtype}")
    array = np.array([float(x) if isinstance(x, str) else x for x in flat], dtype)
    return array.reshape(shape) if isinstance(value, list) else np.full(shape, array[0])


def _dict(fields: dict[str, Any], where: str, most_elements: int) -> spaces.Dict:
    pair = strict.sequence(_as_it_is, 2)
    pairs = strict.record(fields, where, {"spaces": strict.sequence(pair)})["spaces"]
    parts: dict[str, spaces.Space] = {}
    for k, (key, description) in enumerate(pairs):
        strict.text(key, f"{where}.spaces[{k}][0]")
        if key in parts:
            raise ModelFileError(f"{where}: the key {key!r} stands there twice")
        place = f"{where}.{key}"
        if isinstance(description, dict) and description.get("type") == "Dict":
            raise ModelFileError(f"{place}: a Dict in a Dict can't be read by a network")
        parts[key] = read_space(description, place, most_elements)
        most_elements -= math.prod(parts[key].shape or ())
    if not parts:
        raise ModelFileError(f"{where}: a Dict without spaces")
    return spaces.Dict(list(parts.items()))  # a mapping would be sorted
