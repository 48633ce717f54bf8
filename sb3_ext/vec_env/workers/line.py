"""What a VecEnv and a worker say to each other, through two pipes.

A message is one byte, which is all that most steps need, or one byte, a length and so many bytes.
A pipe wakes its reader in half the time that a Unix socket takes, and its end tells that the other
side is gone.
"""

from __future__ import annotations

import os
import struct

__all__ = [
    "ANSWER",
    "ATTACH",
    "BUILD",
    "CALL",
    "DONE",
    "ERROR",
    "NEWS",
    "RESET",
    "STEP",
    "STEP_WANTED",
    "hear",
    "hear_rest",
    "say",
]

# To a worker. Upper case has something to follow.
BUILD = b"B"  # (registered specs, functions that build its envs)
ATTACH = b"A"  # the spaces, and which rows are its own
RESET = b"R"  # (seeds, options) of its rows
STEP = b"s"
STEP_WANTED = b"w"
CALL = b"C"  # (method, members, arguments)
# From a worker.
DONE = b"d"
NEWS = b"N"  # infos
ANSWER = b"V"
ERROR = b"E"

_LENGTH = struct.Struct("=Q")
_AT_ONCE = 1 << 20


def say(pipe: int, code: bytes, content: bytes | None = None) -> None:
    """Writes a message.

    Raises:
        BrokenPipeError: The other side is gone.
    """
    if content is None:
        os.write(pipe, code)
        return
    message = memoryview(code + _LENGTH.pack(len(content)) + content)
    while message:
        message = message[os.write(pipe, message) :]


def hear(pipe: int) -> bytes:
    """Waits for a message's code.

    Raises:
        EOFError: The other side is gone.
    """
    return os.read(pipe, 1) or _gone()


def hear_rest(pipe: int) -> bytes:
    """What follows a code in upper case.

    Raises:
        EOFError: The other side is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: int, n_bytes: int) -> bytes:
    parts = []
    while n_bytes:
        part = os.read(pipe, min(n_bytes, _AT_ONCE)) or _gone()
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _gone() -> bytes:
    raise EOFError("the other side of the pipe is gone")
