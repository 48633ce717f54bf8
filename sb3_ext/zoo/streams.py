"""What is printed: it outlives its reader, and warnings wait until they are not an error's noise.

``| head`` ends the reading, not the training.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any


class PatientStream:
    """A text stream that drops what is written once nobody reads it any more.

    Args:
        stream: Standard output or standard error.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal is gone
                raise
            # What is still in the buffer would fail again when Python exits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def patient_output() -> Iterator[None]:
    """Standard output and error as patient streams, flushed at the end."""
    out, err = PatientStream(sys.stdout), PatientStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            yield
        finally:
            out.flush()
            err.flush()


@contextlib.contextmanager
def held_warnings() -> Iterator[Callable[[], None]]:
    """Holds warnings back until the function it gives is called: an error is one line.

    What would have been warned of before an error comes to nothing is dropped.
    """
    held: list[tuple[Any, ...]] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def hold(*warning: Any, **options: Any) -> None:
            held.append(warning)

        def release() -> None:
            warnings.showwarning = show
            for warning in held:
                show(*warning)
            held.clear()

        warnings.showwarning = hold
        yield release
