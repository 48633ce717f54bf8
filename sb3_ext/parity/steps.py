"""Optimizer steps of two backends from one state, held against each other term by term.

Two runs drift apart, because rounding grows chaotically, even where both are right. So the second
side is set back to the first one's parameters and optimizer before every step: what differs then
has come about in this very step.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.base import ActorCritic, Batch, Rates, UpdateSettings, optimizer_steps
from sb3_ext.backends.parameters import is_value_parameter
from sb3_ext.functional.losses import Predictions
from sb3_ext.parity.compare import Difference, Ledger, Place, allowed_differences

__all__ = [
    "TERMS",
    "Adam",
    "BackendSide",
    "Side",
    "State",
    "Trace",
    "predicted_terms",
    "replay_update",
]

TERMS = {
    "log_prob": "log pi(a|s) of the minibatch's actions",
    "ratio": "exp(log_prob - old log_prob)",
    "values": "V(s)",
    "entropy": "of the action distribution",
    "policy_loss": "as it is logged",
    "value_loss": "as it is logged",
    "entropy_loss": "as it is logged",
    "loss": "as it is logged",
    "approx_kl": "as it is logged",
    "clip_fraction": "as it is logged",
    "kl_stop": "1 if the approximate KL ended the update before this step",
    "gradient": "of the loss, before clipping",
    "grad_norm": "of the whole gradient, before clipping",
    "clipped_norm": "the same after clipping",
    "exp_avg": "Adam's first moment after the step",
    "exp_avg_sq": "Adam's second moment after the step",
    "momentum_buffer": "SGD's velocity after the step",
    "step": "the optimizer's count of steps",
    "parameter": "after the step",
}
"""What is compared in a step, in this order."""

_LOSSES = ("policy_loss", "value_loss", "entropy_loss", "loss", "approx_kl", "clip_fraction")
_NO_LIMIT = 1e6  # of a clip range
_ULP = 2.0**-22  # float32: the rounding of two sums, relative to their size
_ROUNDINGS, _OFTEN = 2, 4.0  # tries with rounded parameters, and how much worse it may be


class State(NamedTuple):
    """What an optimizer step changes, under canonical names."""

    parameters: dict[str, NDArray]
    optimizer: dict[str, Any]  # {"step": int, moment: {name: array}}


class Adam(NamedTuple):
    """Adam's constants."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def moves(self, after: State, rates: Rates) -> dict[str, NDArray]:
        """By how much a step that led to these moments moved the parameters, in float64."""
        t, (b1, b2) = after.optimizer["step"], self.betas
        first, second = after.optimizer["exp_avg"], after.optimizer["exp_avg_sq"]
        result = {}
        for name in first:
            m, v = (np.asarray(x[name], np.float64) for x in (first, second))
            denominator = np.sqrt(v / (1.0 - b2**t)) + self.eps
            scaled = np.divide(
                m / (1.0 - b1**t), denominator, out=np.zeros_like(m), where=denominator > 0.0
            )
            result[name] = -_rate(name, rates) * scaled
        return result


def _rate(name: str, rates: Rates) -> float:
    return rates.policy if rates.value is None or not is_value_parameter(name) else rates.value


@dataclass
class Trace:
    """What one side computed in one step.

    Attributes:
        terms: Each of :data:`TERMS` that it can tell, by parameter, or under ``""``.
        after: Where the step led; None: no step was taken.
        error: What was raised instead.
    """

    terms: dict[str, dict[str, NDArray]]
    after: State | None = None
    error: Exception | None = None


class Side(ABC):
    """One of the two that are compared.

    Attributes:
        name: For messages.
    """

    name: str

    @property
    @abstractmethod
    def adam(self) -> Adam | None:
        """The optimizer's constants; None: it is no Adam."""

    @abstractmethod
    def state(self) -> State:
        """Parameters and optimizer, copied."""

    @abstractmethod
    def load(self, state: State) -> None:
        """Set what :meth:`state` gave, this side's or the other's."""

    @abstractmethod
    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """What the network says of given actions, ``[B]`` each."""

    @abstractmethod
    def step(self, rows: Batch, settings: UpdateSettings) -> Trace:
        """Take one optimizer step with these rows, as training takes it."""


def predicted_terms(predictions: Predictions, rows: Batch) -> dict[str, dict[str, NDArray]]:
    """The terms that follow from what a network says of a minibatch."""
    with np.errstate(over="ignore"):
        ratio = np.exp(predictions.log_prob - rows.old_log_prob)
    terms = {"log_prob": predictions.log_prob, "ratio": ratio, "values": predictions.values}
    if predictions.entropy is not None:
        terms["entropy"] = np.broadcast_to(predictions.entropy, rows.returns.shape)
    return {term: {"": np.asarray(value)} for term, value in terms.items()}


def terms_after(after: State) -> dict[str, dict[str, NDArray]]:
    """Moments and parameters."""
    moments = {key: value for key, value in after.optimizer.items() if key != "step"}
    terms: dict[str, dict[str, NDArray]] = dict(moments)
    if "exp_avg" in moments:  # only Adam needs the count
        terms["step"] = {"": np.asarray(after.optimizer["step"])}
    return terms | {"parameter": after.parameters}


class BackendSide(Side):
    """A backend, through :meth:`ActorCritic.update` as training goes.

    Its gradient is asked for beforehand, from the same state: :meth:`ActorCritic.loss_and_grad`.

    Args:
        backend: The network and its optimizer.
        name: For messages; the backend's own by default.
    """

    def __init__(self, backend: ActorCritic, name: str = "") -> None:
        self.backend, self.name = backend, name or backend.name

    @property
    def adam(self) -> Adam | None:
        """From torch's optimizer, where there is one, else from the specification."""
        spec = self.backend.spec
        optimizer = getattr(getattr(self.backend, "policy", None), "optimizer", None)
        if optimizer is None:
            return Adam(**spec.optimizer_kwargs) if spec.optimizer == "adam" else None
        options = optimizer.param_groups[0]
        if "betas" not in options or options.get("amsgrad"):
            return None
        return Adam(options["betas"], options["eps"])

    def state(self) -> State:
        """Parameters and optimizer, copied."""
        return State(self.backend.parameters(), self.backend.optimizer_state())

    def load(self, state: State) -> None:
        """Set parameters and optimizer."""
        self.backend.load_parameters(state.parameters)
        self.backend.load_optimizer_state(state.optimizer)

    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """What the network says of given actions."""
        self.backend.set_training_mode(False)
        return self.backend.evaluate(obs, actions)

    def step(self, rows: Batch, settings: UpdateSettings) -> Trace:
        """Predictions and gradient, then an update of one step."""
        self.backend.set_training_mode(True)
        settings, order = replace(settings, n_epochs=1), np.arange(rows.n_rows)
        (minibatches,) = optimizer_steps(rows, order, settings)
        terms, gradient = self._differentiated(minibatches, settings)
        before = self.state()
        norm = self._norm_after_clipping(gradient, settings)
        self.load(before)
        try:
            stats = self.backend.update(rows, settings, lambda epoch: order)
        except Exception as error:  # what it has said before is compared first
            return Trace(terms, error=error)
        terms |= {term: {"": np.asarray(getattr(stats, term))} for term in _LOSSES}
        terms["kl_stop"] = {"": np.asarray(stats.stopped_kl is not None)}
        if stats.stopped_kl is not None:
            return Trace(terms)
        terms["grad_norm"] = {"": np.asarray(stats.grad_norms[0])}
        if norm is not None:
            terms["clipped_norm"] = {"": np.asarray(norm * stats.grad_norms[0])}
        after = self.state()
        return Trace(terms | terms_after(after), after)

    def _differentiated(
        self, minibatches: list[Batch], settings: UpdateSettings
    ) -> tuple[dict[str, dict[str, NDArray]], Any]:
        """The terms of accumulated minibatches, and their gradient in the backend's own form."""
        n_rows = sum(minibatch.n_rows for minibatch in minibatches)
        parts, total = [], None
        for minibatch in minibatches:
            predictions, gradient = self.backend.loss_and_grad(minibatch, settings.coefs)
            total = self.backend.combine(total, gradient, minibatch.n_rows / n_rows)
            parts.append(predicted_terms(predictions, minibatch))
        terms = {term: {"": np.concatenate([p[term][""] for p in parts])} for term in parts[0]}
        terms["gradient"] = self.backend.named_gradients(total)
        return terms, total

    def _norm_after_clipping(self, gradient: Any, settings: UpdateSettings) -> float | None:
        """The share of the gradient's norm that clipping leaves.

        No backend tells; but from nothing, with and without a limit, the optimizer's first moment
        (or a step of plain SGD) is proportional to what it is given. None if it is of another kind.
        """
        parameters, limits = self.backend.parameters(), settings.max_grad_norm
        unlimited = Rates(*(None if limit is None else np.inf for limit in limits))  # type: ignore[arg-type]
        lengths = []
        for each in (unlimited, limits):
            zeros = {name: np.zeros_like(value) for name, value in parameters.items()}
            self.load(State(zeros, {"step": 0}))
            try:
                self.backend.apply_gradients(
                    self.backend.combine(None, gradient, 1.0), Rates(1.0, _one(limits)), each
                )
            except Exception:  # the update will say the same
                return None
            length = _given(self.state())
            if length is None:
                return None
            lengths.append(length)
        return lengths[1] / lengths[0] if lengths[0] > 0.0 else 1.0


def _one(limits: Rates) -> float | None:
    return None if limits.value is None else 1.0


def _given(after: State) -> float | None:
    """A number proportional to the norm of the first gradient that an optimizer was given."""
    moments = after.optimizer.keys() - {"step"}
    linear = moments & {"exp_avg", "momentum_buffer"}
    if moments and not linear:
        return None
    arrays = after.optimizer[linear.pop()] if linear else after.parameters
    return float(np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in arrays.values())))


# Two sides


def replay_update(
    a: Side,
    b: Side,
    rows: Batch,
    settings: UpdateSettings,
    order: Callable[[int], NDArray],
    ledger: Ledger,
    *,
    update: int = 0,
    free: bool = False,
    seen: Callable[[], None] = lambda: None,
) -> Difference | None:
    """Let two sides learn from one rollout, step by step; ends with the first difference.

    Args:
        a: The reference: the other starts each step from its parameters and optimizer.
        b: The other.
        rows: The rollout.
        settings: How it becomes optimizer steps.
        order: A function of the epoch: the permutation of the rows in it.
        ledger: Compares, and keeps the largest differences.
        update: Which one it is, for messages.
        free: ``b`` goes on from its own parameters and optimizer.
        seen: Called after each step.

    Returns:
        The first difference, or None.

    Raises:
        Exception: a side's own, if both have said the same before.
    """
    per_step = settings.batch_size * settings.accumulate
    for epoch in range(settings.n_epochs):
        index = order(epoch)[: settings.rows_of_epoch(rows.n_rows)]
        for start in range(0, len(index), per_step):
            where = Place(update, epoch, start // settings.batch_size)
            step = _Step(a, b, rows.take(index[start : start + per_step]), settings, ledger, free)
            difference = step.compare(where)
            seen()
            if difference is not None:
                return difference
            if step.stopped:
                return None
    return None


class _Step:
    """One optimizer step of both sides.

    Args:
        a: The reference.
        b: The other.
        rows: The step's transitions.
        settings: How they become a step.
        ledger: Compares.
        free: ``b`` starts from where it is.
    """

    def __init__(
        self, a: Side, b: Side, rows: Batch, settings: UpdateSettings, ledger: Ledger, free: bool
    ) -> None:
        self.a, self.b, self.settings, self.ledger, self.free = a, b, settings, ledger, free
        self.before_a, self.before_b = a.state(), b.state() if free else a.state()
        self.rows = _off_the_edges(rows, a.evaluate(rows.obs, rows.actions), settings)
        self.stopped = False
        self._rounding: dict[str, dict[str, float]] | None = None

    def compare(self, where: Place) -> Difference | None:
        """Take the step on both sides."""
        trace_a, trace_b = self._traces(self.settings)
        self.stopped = trace_a.after is None
        difference = self._first(trace_a, trace_b, where)
        if difference is not None:
            return self._with_reason(difference)
        for trace in (trace_a, trace_b):
            if trace.error is not None:
                raise trace.error
        return None

    def _traces(self, settings: UpdateSettings) -> tuple[Trace, Trace]:
        self.a.load(self.before_a)
        self.b.load(self.before_b)
        return self.a.step(self.rows, settings), self.b.step(self.rows, settings)

    def _first(self, a: Trace, b: Trace, where: Place) -> Difference | None:
        for term in [*TERMS, *(a.terms.keys() - TERMS.keys())]:
            if term not in a.terms or term not in b.terms:
                continue
            if term == "kl_stop" and self._is_close_call(a):
                continue
            mine, theirs = a.terms[term], self._comparable(term, a, b)
            more = None if term in ("step", "parameter") else partial(self._by_rounding, a, term)
            difference = self.ledger.check(
                term, mine, theirs, where, self._allowed(term, mine), more
            )
            if difference is not None:
                return difference
        return None

    def _by_rounding(self, trace: Trace, term: str) -> dict[str, float]:
        """Several times what the reference itself is off if its parameters are rounded.

        Some numbers are differences of much larger ones: the value function's gradient, when the
        values are right, says more of their last digits than of their errors.
        """
        if self._rounding is None:
            self._rounding = self._off_if_rounded(trace)
            self.a.load(trace.after or self.before_a)
        return self._rounding.get(term, {})

    def _off_if_rounded(self, trace: Trace) -> dict[str, dict[str, float]]:
        rng = np.random.default_rng(0)
        off: dict[str, dict[str, float]] = {term: {} for term in trace.terms}
        for _ in range(_ROUNDINGS):
            parameters = {
                name: value
                * (1.0 + _ULP * rng.choice((-1.0, 1.0), value.shape)).astype(value.dtype)
                for name, value in self.before_a.parameters.items()
            }
            self.a.load(self.before_a._replace(parameters=parameters))
            other = self.a.step(self.rows, self.settings).terms
            for term in trace.terms.keys() & other.keys():
                for name, value in trace.terms[term].items():
                    change = np.abs(np.asarray(other[term][name], np.float64) - value)
                    largest = float(np.max(change, initial=0.0, where=np.isfinite(change)))
                    off[term][name] = max(off[term].get(name, 0.0), _OFTEN * largest)
        return off

    def _comparable(self, term: str, a: Trace, b: Trace) -> Mapping[str, NDArray]:
        """The other's numbers, less what has been compared already."""
        return self._as_if_from(a, b) if term == "parameter" else b.terms[term]

    def _allowed(self, term: str, mine: Mapping[str, NDArray]) -> dict[str, float] | None:
        """By how much a term may differ where the general rules don't do; else None."""
        if term == "step":
            return {"": 0.0}
        if term == "parameter":
            return None if self.free else self._allowed_moves(mine)
        if term in ("exp_avg", "momentum_buffer") and term in self.before_a.optimizer:
            # Old moment and new gradient may cancel, but not what is rounded in them.
            before = self.before_a.optimizer[term]
            parts = {name: np.maximum(np.abs(x), np.abs(before[name])) for name, x in mine.items()}
            return allowed_differences(term, parts, self.ledger.tolerance)
        return None

    def _is_close_call(self, trace: Trace) -> bool:
        """Whether rounding decides if the approximate KL ends the update."""
        if self.settings.target_kl is None:
            return False
        kl, limit = trace.terms["approx_kl"], 1.5 * self.settings.target_kl
        margin = allowed_differences("approx_kl", kl, self.ledger.tolerance)[""]
        return abs(float(kl[""]) - limit) <= margin

    # Adam divides by the root of its second moment: where both moments are little more than
    # rounding, so is the step's direction, though its size is the learning rate. What follows from
    # the two sides' moments, which have been compared before, is not held against the parameters.

    def _as_if_from(self, a: Trace, b: Trace) -> Mapping[str, NDArray]:
        """The other's parameters, had it had the reference's moments."""
        theirs = b.terms["parameter"]
        if self.free or self.a.adam is None or a.after is None or b.after is None:
            return theirs
        expected = self.a.adam.moves(a.after, self.settings.learning_rate)
        found = self.a.adam.moves(b.after, self.settings.learning_rate)
        return {
            name: value + (expected[name] - found[name] if name in expected else 0.0)
            for name, value in theirs.items()
        }

    def _allowed_moves(self, after: Mapping[str, NDArray]) -> dict[str, float]:
        """Relative to how far the step goes, and to what float32 can tell of the parameters."""
        before, tolerance = self.before_a.parameters, self.ledger.tolerance
        moves = {name: value - before[name] for name, value in after.items()}
        allowed = allowed_differences("gradient", moves, tolerance)
        floor = tolerance * 1e-4  # of gradients
        return {
            name: allowed[name] - floor + _ULP * float(np.max(np.abs(value), initial=0.0))
            for name, value in after.items()
        }

    # Why

    def _with_reason(self, difference: Difference) -> Difference:
        """Which part of the loss it is, for a difference in the loss or its gradient."""
        if difference.term not in ("gradient", *_LOSSES):
            return difference
        without = []
        for name, settings in _without_parts(self.settings):
            if name == "vf_coef" and is_value_parameter(difference.parameter):
                continue  # nothing is left of it
            a, b = (trace.terms.get(difference.term) for trace in self._traces(settings))
            if a is None or b is None:
                continue
            if Ledger(self.ledger.tolerance).check(difference.term, a, b) is None:
                without.append(name)
        return replace(difference, agree_without=tuple(without))


def _without_parts(settings: UpdateSettings) -> list[tuple[str, UpdateSettings]]:
    """The settings with one part of the loss switched off."""
    coefs = settings.coefs
    parts = {
        "ent_coef": coefs._replace(ent_coef=0.0) if coefs.ent_coef else None,
        "vf_coef": coefs._replace(vf_coef=0.0) if coefs.vf_coef else None,
        "clip_range_vf": None
        if coefs.clip_range_vf is None
        else coefs._replace(clip_range_vf=None),
        "clip_range": coefs._replace(clip_range=_NO_LIMIT),
    }
    result = [(name, replace(settings, coefs=c)) for name, c in parts.items() if c is not None]
    if settings.normalize_minibatch:
        result.append(("normalize_advantage", replace(settings, normalize_minibatch=False)))
    return result


def _off_the_edges(rows: Batch, predictions: Predictions, settings: UpdateSettings) -> Batch:
    """Rows that rounding would put on either side of a clip range, moved off its edge.

    There the gradient jumps, and two right implementations may differ by a whole row's part.
    """
    margin = 1e-4
    clip_range, clip_range_vf = settings.coefs[:2]
    with np.errstate(over="ignore"):
        ratio = np.exp(predictions.log_prob - rows.old_log_prob)
    near = np.abs(np.abs(ratio - 1.0) - clip_range) < margin
    old_log_prob = np.where(near, rows.old_log_prob - 4.0 * margin, rows.old_log_prob)
    old_values = rows.old_values
    if clip_range_vf is not None:
        margins = margin * (1.0 + np.abs(predictions.values))
        change = np.abs(predictions.values - old_values)
        near = np.abs(change - clip_range_vf) < margins
        old_values = np.where(near, old_values - 4.0 * margins, old_values)
    return rows._replace(
        old_log_prob=old_log_prob.astype(rows.old_log_prob.dtype),
        old_values=old_values.astype(rows.old_values.dtype),
    )
