"""What goes wrong in live play."""

from __future__ import annotations


class LiveError(RuntimeError):
    """Live play can't begin or go on; the message says why and what to do."""


class StoppedError(LiveError):
    """The keys were released, and this episode is over; the next one may begin."""
