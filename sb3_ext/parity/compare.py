"""Two sides' numbers: what differs beyond a tolerance, where, and by how much."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.parameters import is_value_parameter

__all__ = ["Difference", "Ledger", "Place", "allowed_differences"]

Named = Mapping[str, NDArray]
"""A term's arrays by parameter; under ``""`` where it is no parameters' affair."""

_OF_THE_OTHERS = 0.1  # of the largest number among the actor's, or the critic's, parameters


class _Rule(NamedTuple):
    """``tolerance * factor * (largest + floor + 0.1 * largest of the group)`` may differ."""

    factor: float = 1.0
    floor: float = 0.01
    in_groups: bool = False


_PREDICTED = _Rule()
_LOSS = _Rule(floor=0.1)  # the mean of parts of size 1, which cancel
# A gradient is a sum whose parts may cancel: its rounding follows its neighbors' size.
_GRADIENT = _Rule(floor=1e-4, in_groups=True)
_RULES = {
    "policy_loss": _LOSS,
    "loss": _LOSS,
    "gradient": _GRADIENT,
    "exp_avg": _GRADIENT,
    "momentum_buffer": _GRADIENT,
    "exp_avg_sq": _Rule(factor=2.0, floor=1e-12, in_groups=True),  # squares
}


@dataclass(frozen=True)
class Place:
    """A place in a replay, counted from 0.

    Attributes:
        update: Which rollout.
        epoch: Which pass over it; None: the rollout itself.
        minibatch: Which of the epoch's.
    """

    update: int | None = None
    epoch: int | None = None
    minibatch: int | None = None

    def __str__(self) -> str:
        if self.update is None:
            return ""
        if self.epoch is None:
            return f"update {self.update + 1}"
        assert self.minibatch is not None
        return f"update {self.update + 1}, epoch {self.epoch + 1}, minibatch {self.minibatch + 1}"


@dataclass(frozen=True)
class Difference:
    """The number of a term in which two sides are farthest apart.

    Attributes:
        term: What was compared, see ``steps.TERMS`` and ``replay.ROLLOUT_TERMS``.
        parameter: Of which parameter; ``""`` where the term isn't theirs.
        index: Where in the array.
        a: One side's number; text where they can't be told apart by one.
        b: The other side's.
        size: By how much they differ.
        allowed: How much is allowed.
        where: When.
        n_others: How many further parameters differ in this term.
        agree_without: Parts of the loss without which both agree.
    """

    term: str
    parameter: str
    index: tuple[int, ...]
    a: Any
    b: Any
    size: float
    allowed: float
    where: Place = Place()
    n_others: int = 0
    agree_without: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Of what is allowed; above 1 the sides differ."""
        if self.size == 0.0:
            return 0.0
        return self.size / self.allowed if self.allowed > 0.0 else float("inf")

    @property
    def part(self) -> str:
        """The parameter and the index, for people."""
        if not self.parameter and len(self.index) == 1:
            return f"row {self.index[0]}"
        return self.parameter + (f"[{', '.join(map(str, self.index))}]" if self.index else "")

    @property
    def what(self) -> str:
        """The same with the term."""
        if self.term == "parameter":
            return f"parameter {self.part}"
        if not self.part or self.part.startswith("["):
            return self.term + self.part
        return f"{self.term} of {self.part}"

    def __str__(self) -> str:
        text = f"{self.what} is {_number(self.a)} and {_number(self.b)}"
        if np.isfinite(self.size):
            text += f", {self.size:.1e} apart where {self.allowed:.1e} is allowed"
        if self.n_others:
            text += f" (and {self.n_others} more parameters differ)"
        if self.agree_without:
            text += f"; both agree without {' or without '.join(self.agree_without)}"
        return text


def _number(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def allowed_differences(term: str, a: Named, tolerance: float) -> dict[str, float]:
    """By how much a term may differ, parameter by parameter.

    Args:
        term: Which.
        a: The reference's numbers.
        tolerance: Relative to the largest number of each array, see the module's rules.
    """
    rule = _RULES.get(term, _PREDICTED)
    largest = {name: _largest(value) for name, value in a.items()}
    group = {own: 0.0 for own in (False, True)}
    for name, value in largest.items() if rule.in_groups else ():
        own = is_value_parameter(name)
        group[own] = max(group[own], value)
    return {
        name: tolerance
        * rule.factor
        * (value + rule.floor + _OF_THE_OTHERS * group[is_value_parameter(name)])
        for name, value in largest.items()
    }


def _largest(array: Any) -> float:
    finite = np.abs(np.asarray(array, np.float64))
    return float(np.max(finite, initial=0.0, where=np.isfinite(finite)))


class Ledger:
    """Holds term after term of two sides against each other, and remembers the largest differences.

    Args:
        tolerance: How far apart numbers may be, see :func:`allowed_differences`.

    Attributes:
        largest: Of every term the difference that came closest to what is allowed, or beyond.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.largest: dict[str, Difference] = {}

    def check(
        self,
        term: str,
        a: Named,
        b: Named,
        where: Place = Place(),
        allowed: Mapping[str, float] | None = None,
        more: Callable[[], Mapping[str, float]] | None = None,
    ) -> Difference | None:
        """Compare one term.

        Args:
            term: Which.
            a: The reference's numbers.
            b: The other's.
            where: When.
            allowed: How much each may differ; None: by the term's rule.
            more: Asked for what is allowed beyond that, if it doesn't do.

        Returns:
            The first array that differs beyond what is allowed, or None. Parameters are gone
            through from the network's outputs to its inputs, as a gradient comes about: what is
            wrong in one layer spoils all that lie before it.
        """
        limits = allowed_differences(term, a, self.tolerance) if allowed is None else allowed
        found = _farthest_of_each(term, a, b, limits, where)
        if more is not None and any(math.inf > x.size > x.allowed for x in found):
            added = more()
            limits = {name: limit + added.get(name, 0.0) for name, limit in limits.items()}
            found = _farthest_of_each(term, a, b, limits, where)
        for difference in found:
            if term not in self.largest or difference.share > self.largest[term].share:
                self.largest[term] = difference
        beyond = [difference for difference in found if difference.share > 1.0]
        return replace(beyond[0], n_others=len(beyond) - 1) if beyond else None


def _farthest_of_each(
    term: str, a: Named, b: Named, limits: Mapping[str, float], where: Place
) -> list[Difference]:
    names = reversed([*a])
    return [_farthest(term, name, a[name], b[name], limits[name], where) for name in names]


def _farthest(term: str, name: str, a: Any, b: Any, allowed: float, where: Place) -> Difference:
    """The number in which two arrays differ most."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        mine, theirs = (f"of shape {list(x.shape)}" for x in (a, b))
        return Difference(term, name, (), mine, theirs, float("inf"), allowed, where)
    if not a.size:
        return Difference(term, name, (), 0.0, 0.0, 0.0, allowed, where)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.array(np.abs(b.astype(np.float64) - a.astype(np.float64)))
    error[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    error[np.isnan(error)] = np.inf
    index = np.unravel_index(int(error.argmax()), a.shape)
    at = tuple(map(int, index))
    return Difference(
        term, name, at, float(a[index]), float(b[index]), float(error[index]), allowed, where
    )
