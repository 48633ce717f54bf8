"""One PPO replays what another collects and learns, from a common state."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.parameters import check_names_and_shapes
from sb3_ext.functional import noise
from sb3_ext.parity.compare import Difference, Ledger, Place
from sb3_ext.parity.models import Model, Rollout, as_model
from sb3_ext.parity.steps import replay_update

__all__ = ["ROLLOUT_TERMS", "Report", "replay", "rollout_terms"]

ROLLOUT_TERMS = {
    "likely actions": "the most likely actions in the rollout's states",
    "sampled actions": "the actions that follow from the rollout's noise",
    "rollout values": "V(s)",
    "rollout log_prob": "log pi(a|s)",
    "advantages": "from the rollout's rewards and values",
    "returns": "from the rollout's rewards and values",
}
"""What is compared of a rollout before it is learned from, in this order."""


@dataclass
class Report:
    """What came of a replay.

    Attributes:
        a: Name of the reference.
        b: Name of the other.
        tolerance: How far apart numbers might be.
        difference: The first one beyond it, or None.
        largest: The largest one of every term.
        n_updates: Rollouts replayed.
        n_minibatches: Optimizer steps replayed.
    """

    a: str
    b: str
    tolerance: float
    difference: Difference | None = None
    largest: dict[str, Difference] = field(default_factory=dict)
    n_updates: int = 0
    n_minibatches: int = 0

    @property
    def agree(self) -> bool:
        """Whether everything is within the tolerance."""
        return self.difference is None

    @property
    def identical(self) -> bool:
        """Whether everything is the same to the bit."""
        return self.agree and all(found.size == 0.0 for found in self.largest.values())

    def __str__(self) -> str:
        if self.difference is None:
            how = "to the bit" if self.identical else f"within {self.tolerance:g}"
            seen = f"{self.n_updates} update{'s'[: self.n_updates != 1]}"
            seen += f", {self.n_minibatches} minibatches"
            return f"{self.a} and {self.b} agree {how}: {seen}"
        return f"{self.a} and {self.b} differ in {self.difference.where}: {self.difference}"


def replay(
    a: Any,
    b: Any,
    *,
    names: tuple[str, str] = ("", ""),
    n_updates: int = 3,
    tolerance: float = 1e-4,
    free: bool = False,
    total_timesteps: int | None = None,
    own_settings: bool = True,
    seen: Callable[[], None] = lambda: None,
) -> Report:
    """Let ``a`` collect and learn, and ``b`` do the same from the same numbers.

    ``b`` is given a's parameters and optimizer; then, for each update, a's rollout (collected by
    ``a`` alone) and one order of its minibatches. Both compute each minibatch from a's state. What
    they are before is lost.

    Args:
        a: A PPO with an env: ours in any backend, or SB3's.
        b: Another for the same spaces.
        names: For messages.
        n_updates: Rollouts.
        tolerance: How far apart numbers may be, see ``compare.allowed_differences``.
        free: ``b`` starts from a's state once and then goes on from its own.
        total_timesteps: Of the training that is imitated, for the schedules; None: both are where
            they were saved.
        own_settings: Compare each side's own schedules and coefficients too; both always learn
            with a's.
        seen: Called after each minibatch.

    Returns:
        The first difference, if there is one, and the largest of every term.

    Raises:
        KeyError, ValueError: the two have networks of different shapes.
        FloatingPointError: the training itself runs into a NaN, on both sides.
        Exception: a side's own, if both have said the same before.
    """
    mine, theirs = as_model(a, names[0]), as_model(b, names[1])
    check_same_network(mine, theirs)
    run = _Replay(mine, theirs, tolerance, free, total_timesteps, own_settings, seen)
    mine.begin(total_timesteps)
    theirs.ppo.set_logger(mine.ppo.logger)
    theirs.side.load(mine.side.state())
    for update in range(n_updates):
        run.report.difference = run.update(update)
        run.report.n_updates += 1
        if run.report.difference is not None:
            break
    return run.report


def check_same_network(a: Model, b: Model) -> None:
    """Raises KeyError or ValueError if parameters have other names or shapes."""
    expected = {name: value.shape for name, value in a.side.backend.parameters().items()}
    check_names_and_shapes(expected, b.side.backend.parameters())


class _Replay:
    """The replay's arguments, and what it has found so far."""

    def __init__(
        self,
        a: Model,
        b: Model,
        tolerance: float,
        free: bool,
        total_timesteps: int | None,
        own_settings: bool,
        seen: Callable[[], None],
    ) -> None:
        self.a, self.b, self.free, self.total_timesteps = a, b, free, total_timesteps
        self.own_settings, self.seen = own_settings, seen
        self.ledger = Ledger(tolerance)
        self.report = Report(a.name, b.name, tolerance, largest=self.ledger.largest)

    def update(self, update: int) -> Difference | None:
        """One rollout, and what is learned from it."""
        a, b = self.a, self.b
        if not self.free:
            b.side.load(a.side.state())
        rollout = a.collect()
        for each in (a, b):
            each.at(a.ppo.num_timesteps, self.total_timesteps)
        where = Place(update)
        difference = self._constants(where)
        if difference is None:
            difference = compare_rollout(a, b, rollout, self.ledger, where)
        if difference is not None:
            return difference
        return replay_update(
            a.side,
            b.side,
            rollout.rows,
            a.settings(),
            partial(noise.permutation, a.ppo.seed or 0, update, n=rollout.rows.n_rows),
            self.ledger,
            update=update,
            free=self.free,
            seen=self._seen,
        )

    def _seen(self) -> None:
        self.report.n_minibatches += 1
        self.seen()

    def _constants(self, where: Place) -> Difference | None:
        """Each side's own schedules and coefficients."""
        if not self.own_settings:
            return None
        theirs = self.b.constants()
        for name, mine in self.a.constants().items():
            if not _equal(mine, theirs[name]):
                return Difference(name, "", (), mine, theirs[name], math.inf, 0.0, where)
        return None


def _equal(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=1e-6)


def compare_rollout(
    a: Model, b: Model, rollout: Rollout, ledger: Ledger, where: Place
) -> Difference | None:
    """The rollout as ``a`` has it, and as ``b`` sees it."""
    for term, (mine, other) in rollout_terms(a, b, rollout).items():
        difference = ledger.check(term, {"": mine}, {"": other}, where)
        if difference is not None:
            return difference
    return None


def rollout_terms(a: Model, b: Model, rollout: Rollout) -> dict[str, tuple[NDArray, NDArray]]:
    """Each of :data:`ROLLOUT_TERMS`, as the one who collected has it and as the other sees it."""
    rows, buffer = rollout.collected, rollout.buffer
    result = {"likely actions": (a.likely_actions(rows.obs), b.likely_actions(rows.obs))}
    sampled = b.sampled_actions(rollout, a.ppo.env)
    if sampled is not None:
        result["sampled actions"] = (rows.actions, sampled)
    if not isinstance(a.ppo.action_space, spaces.Box):
        result = {term: _without_ties(*both) for term, both in result.items()}
    predictions = b.side.evaluate(rows.obs, rows.actions)
    result["rollout values"] = (rows.old_values, predictions.values)
    result["rollout log_prob"] = (rows.old_log_prob, predictions.log_prob)
    advantages, returns = b.advantages(rollout)
    result["advantages"] = (buffer.advantages.reshape(-1), advantages)
    result["returns"] = (buffer.returns.reshape(-1), returns)
    return result


def _without_ties(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
    """Discrete actions, of which one row in a thousand may differ.

    There rounding decides between choices that are nearly equal.
    """
    if a.shape != b.shape:
        return a, b
    n_others = int((a != b).reshape(len(a), -1).any(axis=1).sum())
    return (a, a) if n_others <= len(a) // 1000 + 1 else (a, b)
