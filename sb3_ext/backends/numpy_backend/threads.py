"""How many threads BLAS takes for NumPy's matrix products."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["most", "n_threads", "on_one", "set_n_threads"]


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def n_threads() -> int:
    """What it takes now; 1 for a library that can't be asked."""
    return max((library.num_threads for library in _blas().lib_controllers), default=1)


@functools.cache
def most() -> int:
    """What it took before anybody set it: the user's limit, or the machine's."""
    return n_threads()


def set_n_threads(n: int) -> None:
    """From now on."""
    most()
    for library in _blas().lib_controllers:
        library.set_num_threads(n)


def on_one(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on one thread, whatever BLAS may take otherwise."""

    def alone(*args: Any) -> Any:
        with _blas().limit(limits=1):
            return function(*args)

    return alone
