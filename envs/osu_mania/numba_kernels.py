"""The scalar rules compiled by numba, which is imported here and nowhere else."""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Callable
from functools import cache
from types import FunctionType, SimpleNamespace
from typing import Any

from envs.osu_mania import judgement, scalar_kernels, scoring

# Callees before their callers.
_RULES: tuple[Any, ...] = (
    scoring.gain_combo,
    scoring.break_combo,
    scoring.record,
    scoring.update_score,
    judgement.timing_judgement,
    judgement.remember,
    judgement.advance,
    judgement.begin_body,
    judgement.is_broken,
    judgement.whole,
    judgement.next_tick,
    judgement.hold_judgement,
    judgement.part_change,
    judgement.miss_part,
    judgement.skip,
    judgement.press_lazer,
    judgement.release_lazer,
    judgement.press_stable,
    judgement.finish_stable,
    judgement.release_stable,
    judgement.expire_body_stable,
    judgement.press,
    judgement.release,
    judgement.expire,
    judgement.expire_until,
    judgement.apply_keys,
    scalar_kernels.step_row,
    scalar_kernels.row_under,
    scalar_kernels.paint,
    scalar_kernels.draw_column,
    scalar_kernels.blend,
)
_KERNELS: tuple[Any, ...] = (
    scalar_kernels.step_rows,
    scalar_kernels.compact_rows,
    scalar_kernels.pay_rows,
    scalar_kernels.draw_rows,
    scalar_kernels.stack_rows,
)


@cache
def compiled() -> SimpleNamespace:
    """The kernels by name; the first call of each compiles it, or loads it from numba's cache.

    Raises:
        ImportError: numba isn't installed.
    """
    try:
        import numba
    except ImportError as error:
        raise ImportError("these kernels need numba: pip install 'sb3_ext[fast]'") from error
    # Numba looks for changes in a function's own file only, but what it compiles has the callees
    # in it. So the name under which it keeps the result tells the code of all of them.
    functions = (*_RULES, *_KERNELS)
    codes = b"".join(marshal.dumps(function.__code__) for function in functions)
    version = hashlib.sha1(codes).hexdigest()[:12]
    kernels: dict[str, Any] = {}
    for function in functions:
        names = {**function.__globals__, **kernels}  # its module's, with the compiled callees
        copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
        copy.__qualname__ = f"{function.__name__}_{version}"
        copy.__module__ = function.__module__
        keep = function in _KERNELS
        kernels[function.__name__] = _compile(copy, numba.njit, keep)
    return SimpleNamespace(**kernels)


def _compile(function: FunctionType, njit: Callable[..., Any], keep: bool) -> Any:
    # Kernels make no arrays and outlive none. Without counting references to those they are given,
    # and without calls between the rules, they take a third of the time.
    options = {"_nrt": False, "forceinline": not keep, "error_model": "numpy"}
    if keep:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # there's nowhere to keep it
            pass
    return njit(**options)(function)
