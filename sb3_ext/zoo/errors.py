"""The two exceptions a user of the command line is meant to see, and how others are told."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

# Messages of other packages may hold whole tensors.
LONGEST_REASON = 400
LONGEST_MESSAGE = 900  # a file's value, shown in it, may be of any size


class ZooError(Exception):
    """Wrong input, told in one line: what was wrong, where, and what to do.

    The command line prints it on stderr and exits with code 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]} ...")


class RunError(ZooError):
    """A training that failed after it had begun: what it has so far is kept; exit code 1."""


def reason(error: BaseException) -> str:
    """What an exception of somebody else's says, in one line; its type where that says more."""
    text = " ".join(str(error).split())
    if len(text) > LONGEST_REASON:
        text = text[:LONGEST_REASON] + " ..."
    if text and isinstance(error, TypeError | ValueError | AssertionError | ImportError | OSError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def nearest(word: str, known: Iterable[str], n: int = 3) -> str:
    """Words close to a misspelt one, as the end of an error's sentence.

    Args:
        word: What the user typed.
        known: What exists.
        n: At most so many suggestions.

    Returns:
        ``"; did you mean 'a' or 'b'?"``, or an empty string where nothing comes close.
    """
    names = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), names, n=n, cutoff=0.6)
    if not close:
        return ""
    ratios = [SequenceMatcher(None, word.lower(), match).ratio() for match in close]
    # Names far behind the best match are noise.
    best = [match for match, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - 0.1]
    return "; did you mean " + " or ".join(repr(names[match]) for match in best) + "?"
