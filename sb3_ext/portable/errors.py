"""The error of a model's file, and what is said where a library for it is missing."""

import importlib
from typing import Any

__all__ = ["ModelFileError", "from_extra", "reason"]

_LONGEST = 400  # characters: a file may hold anything in the place of a name


class ModelFileError(ValueError):
    """A file that can't be read as a model, or a model that such a file can't hold; in one line."""

    def __init__(self, message: str) -> None:
        line = " ".join(message.split())
        super().__init__(line if len(line) <= _LONGEST else line[:_LONGEST] + " ...")


def reason(error: BaseException) -> str:
    """What somebody else's exception says; its type where it says nothing."""
    return str(error) or type(error).__name__


def from_extra(module: str, what: str) -> Any:
    """Import a library that only files of one kind need.

    Args:
        module: Its name.
        what: Who asks, for the message.

    Raises:
        ImportError: it isn't installed; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        if (error.name or name).partition(".")[0] != name:
            raise
        raise ImportError(
            f"{what} needs {name}: pip install 'sb3_ext[export]'", name=name
        ) from error
