"""NumPy archives without pickle: arrays of floats by name and, if there is one, a description.

An archive's own words about its sizes are held against what is there before anything is allocated.
"""

import io
import math
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sb3_ext.portable.errors import ModelFileError, reason

__all__ = ["DESCRIPTION", "load_npz", "pack", "save_npz", "unpack"]

DESCRIPTION = "description"
"""Name of the text among the arrays."""

_SMALL = 2**26  # bytes that an archive may always unpack to; a larger one at most to twice its size


def pack(arrays: Mapping[str, Any], description: str | None = None) -> bytes:
    """An archive's bytes, the same for the same content."""
    content = {name: np.asarray(value) for name, value in arrays.items()}
    if description is not None:
        content[DESCRIPTION] = np.array(description)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **content)
    return file.getvalue()


def unpack(data: bytes) -> tuple[dict[str, NDArray], str | None]:
    """The arrays of an archive, and its description.

    Raises:
        ModelFileError: it is damaged, or holds anything but floats.
    """
    try:
        # NumPy warns where it goes on with a header that no program of today writes.
        with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as archive:
            warnings.simplefilter("error")
            arrays = _members(archive, max(_SMALL, 2 * len(data)))
    except ModelFileError:
        raise
    except Exception as error:  # a damaged zip file fails in many ways
        raise ModelFileError(f"no NumPy archive, or a damaged one ({reason(error)})") from error
    text = arrays.pop(DESCRIPTION, None)
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ModelFileError(f"the array {name!r} is {array.dtype}: only floats belong here")
    if text is None:
        return arrays, None
    if text.dtype.kind != "U" or text.shape != ():
        raise ModelFileError(f"its {DESCRIPTION} is no text")
    return arrays, str(text.item())


def _members(archive: zipfile.ZipFile, most_bytes: int) -> dict[str, NDArray]:
    infos = archive.infolist()
    if sum(info.file_size for info in infos) > most_bytes:
        raise ModelFileError("what it would unpack to is out of proportion to its size")
    arrays: dict[str, NDArray] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if name == info.filename:
            raise ModelFileError(f"{name!r} is no array")
        if name in arrays:
            raise ModelFileError(f"the array {name!r} stands there twice")
        arrays[name] = _array(name, archive.read(info))
    return arrays


def _array(name: str, data: bytes) -> NDArray:
    file = io.BytesIO(data)
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in read_header:
        raise ModelFileError(f"the array {name!r} is of NumPy's format {version}")
    shape, is_fortran, dtype = read_header[version](file)
    if dtype.kind not in "fU" or (dtype.kind == "f" and dtype.itemsize > 8):
        raise ModelFileError(f"the array {name!r} is {dtype}: only floats belong here")
    start = file.tell()
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ModelFileError(f"the array {name!r} is {shape}, and not of that size")
    flat = np.frombuffer(data, dtype, offset=start)
    return flat.reshape(shape, order="F" if is_fortran else "C").astype(dtype.newbyteorder("="))


def save_npz(path: str | os.PathLike[str], parameters: Mapping[str, Any]) -> None:
    """Write canonical parameters alone: no pickle, any program can read them."""
    Path(path).write_bytes(pack(parameters))


def load_npz(path: str | os.PathLike[str]) -> dict[str, NDArray]:
    """Read what :func:`save_npz` wrote; nothing in the file is executed.

    Raises:
        ModelFileError: the file is damaged, or holds anything but floats.
        OSError: it can't be read.
    """
    return unpack(Path(path).read_bytes())[0]
