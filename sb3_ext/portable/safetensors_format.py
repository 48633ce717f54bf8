"""The container ``.safetensors``: arrays of floats by name, and a description as its metadata.

The library reads and writes it; what it lets pass (a tensor twice, unknown fields) is refused here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ext.portable import strict
from sb3_ext.portable.errors import ModelFileError, from_extra, reason

__all__ = ["pack", "unpack"]

_KEY = "sb3_ext"  # of the description among the file's metadata
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_METADATA = "__metadata__"


def pack(arrays: Mapping[str, Any], description: str) -> bytes:
    """A file's bytes, the same for the same content.

    Raises:
        ImportError: the library isn't installed.
    """
    library = from_extra("safetensors.numpy", "a .safetensors file")
    content = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    return library.save(content, {_KEY: description})


def unpack(data: bytes) -> tuple[dict[str, NDArray], str]:
    """The arrays of a file, and its description.

    Raises:
        ModelFileError: it is damaged, or not one of ours.
        ImportError: the library isn't installed.
    """
    library = from_extra("safetensors", "a .safetensors file")
    try:
        entries = dict(library.deserialize(data))
    except Exception as error:  # of the library's own kind
        raise ModelFileError(f"no safetensors file, or a damaged one ({reason(error)})") from error
    text = _description(data, entries)
    return {name: _array(name, entry) for name, entry in entries.items()}, text


def _description(data: bytes, entries: Mapping[str, Any]) -> str:
    """The library has held the header against the file, but doesn't show it."""
    size = int.from_bytes(data[:8], "little")
    header = strict.parse(data[8 : 8 + size].decode())
    fields = {name: _as_it_is for name in ("dtype", "shape", "data_offsets")}
    for name in entries:
        strict.record(header.get(name), f"tensor {name!r}", fields)
    metadata = header.get(_METADATA)
    if not isinstance(metadata, dict) or _KEY not in metadata:
        raise ModelFileError("a safetensors file without our description: another program's")
    return strict.record(metadata, "its metadata", {_KEY: strict.text})[_KEY]


def _as_it_is(value: Any, where: str) -> Any:
    return value


def _array(name: str, entry: Mapping[str, Any]) -> NDArray:
    if entry["dtype"] not in _DTYPES:
        raise ModelFileError(f"tensor {name!r} is {entry['dtype']}, not F32 or F64")
    return np.frombuffer(entry["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
