"""What PPO asks of a backend: a network, its gradient and its optimizer behind one small interface.

NumPy arrays cross the border in both directions. A backend must give :meth:`ActorCritic.forward`,
:meth:`~ActorCritic.loss_and_grad`, :meth:`~ActorCritic.apply_gradients` and the dictionaries of its
parameters and its optimizer; the loop over epochs and minibatches stands here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.advantages import normalize
from sb3_ext.functional.losses import Coefficients, Predictions, ppo_rows
from sb3_ext.functional.xp import namespace

__all__ = [
    "ActorCritic",
    "Batch",
    "Rates",
    "UpdateSettings",
    "UpdateStats",
    "optimizer_steps",
    "summarize",
    "take",
]

_GATHER_AT_ONCE = 32 * 2**20  # bytes of observations up to which an epoch's order is laid out whole


class Batch(NamedTuple):
    """Transitions as rows: a whole rollout or a minibatch of it."""

    obs: Any  # [B, ...] as the env gave them, or a dict of such
    actions: NDArray  # [B, ...] as the distribution knows them: before clipping, counted from 0
    old_log_prob: NDArray  # [B]
    old_values: NDArray  # [B]
    advantages: NDArray  # [B]
    returns: NDArray  # [B]

    @property
    def n_rows(self) -> int:
        """B."""
        return len(self.returns)

    def take(self, index: Any) -> "Batch":
        """The rows of an index array or a slice."""
        return Batch(take(self.obs, index), *(column[index] for column in self[1:]))

    @classmethod
    def joined(cls, batches: "Sequence[Batch]") -> "Batch":
        """Several batches, one after the other, as arrays of their own."""
        first = batches[0].obs
        obs: Any
        if isinstance(first, dict):
            obs = {key: np.concatenate([b.obs[key] for b in batches]) for key in first}
        else:
            obs = np.concatenate([b.obs for b in batches])
        return cls(
            obs,
            *(np.concatenate(columns) for columns in zip(*(b[1:] for b in batches), strict=True)),
        )


def take(obs: Any, index: Any) -> Any:
    """Rows of observations, which may be a dict of arrays."""
    if isinstance(obs, dict):
        return {key: part[index] for key, part in obs.items()}
    return None if obs is None else obs[index]


class Rates(NamedTuple):
    """A learning rate or a norm limit for the policy and for the value function.

    With ``value=None`` one optimizer serves both: one rate and one norm over all parameters.
    """

    policy: float
    value: float | None = None


@dataclass(frozen=True)
class UpdateSettings:
    """How a rollout becomes optimizer steps.

    Attributes:
        coefs: Of the loss.
        learning_rate: Learning rates.
        max_grad_norm: Norm limits.
        batch_size: Rows of a minibatch.
        n_epochs: Passes over the rollout.
        target_kl: Stop before the step whose minibatch has an approximate KL above 1.5 times this.
        normalize_minibatch: Normalize advantages within each minibatch.
        accumulate: Minibatches whose gradients make one optimizer step.
        drop_incomplete: Leave out the end of an epoch that doesn't fill a step.
    """

    coefs: Coefficients
    learning_rate: Rates
    max_grad_norm: Rates
    batch_size: int = 64
    n_epochs: int = 10
    target_kl: float | None = None
    normalize_minibatch: bool = True
    accumulate: int = 1
    drop_incomplete: bool = False

    def rows_of_epoch(self, n_rows: int) -> int:
        """How many rows of a rollout an epoch goes through."""
        per_step = self.batch_size * self.accumulate
        if self.drop_incomplete and n_rows >= per_step:
            return n_rows // per_step * per_step
        return n_rows


@dataclass
class UpdateStats:
    """What an update did, each number as stable-baselines3 logs it."""

    policy_loss: float
    value_loss: float
    entropy_loss: float
    loss: float
    approx_kl: float
    clip_fraction: float
    n_epochs: int  # epochs begun
    stopped_kl: float | None = None  # the approximate KL that stopped the update early
    grad_norms: list[float] = field(default_factory=list)


class ActorCritic(ABC):
    """An actor-critic network with its optimizer.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: those that the user's own network was made
            with.
    """

    name = "?"

    def __init__(self, spec: NetworkSpec, parameters: dict[str, NDArray] | None) -> None:
        if parameters is None and spec.network is None:
            raise ValueError("a built-in network needs its initial parameters")
        self.spec = spec
        self.distribution = spec.distribution

    def __reduce__(self) -> tuple[Any, ...]:
        # Parameters are views into vectors: a copy is rebuilt, so that they are so again.
        return _rebuild, (type(self), self.spec, self.parameters(), self.optimizer_state())

    # The network

    @property
    def own_network(self) -> Any:
        """The user's own network as it is now, in its framework; None: the network is built in."""
        return None

    def set_training_mode(self, mode: bool) -> None:  # noqa: B027 (abstract for nobody)
        """Tell the network's layers whether they are to learn; the built-in ones don't care."""

    @abstractmethod
    def act(self, obs: Any, noise: NDArray | None) -> NDArray:
        """Actions ``[B, ...]``, sampled with ``noise``, or the mode if it's None."""

    def actor(self, noise: NDArray) -> Callable[[int, Any], NDArray]:
        """``act`` for a rollout: a function of (index into ``noise``, obs).

        It may prepare what doesn't change while the parameters don't. The index is a step, or
        (steps, rows) ``[m]`` each where only some rows act.
        """
        return lambda k, obs: self.act(obs, noise[k])

    def acted_predictions(self) -> Predictions | None:
        """What :meth:`actor`'s function found on the way, for every row that it acted for.

        None: ask :meth:`evaluate`. With convolutions acting has the features already, without them
        one batch at the rollout's end is cheaper.
        """
        return None

    @abstractmethod
    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""

    @abstractmethod
    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """Log-probabilities, entropies and values of given actions, without a gradient."""

    @abstractmethod
    def distribution_params(self, obs: Any) -> tuple[NDArray, ...]:
        """The action distribution's parameters: logits, or mean and log std, ``[B, n]`` each."""

    # The update

    @abstractmethod
    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, Any]:
        """Predictions for a minibatch and the loss's gradient, in the backend's own form.

        The gradient may live in a buffer that the next call overwrites.
        """

    @abstractmethod
    def named_gradients(self, gradient: Any) -> dict[str, NDArray]:
        """Copies of such a gradient's parts under the parameters' names."""

    @abstractmethod
    def combine(self, total: Any, gradient: Any, weight: float) -> Any:
        """``total + weight * gradient``; ``total`` is None at first. For accumulation."""

    @abstractmethod
    def apply_gradients(self, gradient: Any, learning_rate: Rates, max_grad_norm: Rates) -> float:
        """Clip by the norm, take an optimizer step, return the norm before clipping.

        Raises:
            FloatingPointError: the gradient isn't finite; it names a parameter and nothing changes.
        """

    def update(
        self,
        rollout: Batch | Callable[[int], Batch],
        settings: UpdateSettings,
        order: Callable[[int], NDArray] | None,
    ) -> UpdateStats:
        """Learn from a rollout.

        Args:
            rollout: Its rows, or a function that gives them for an epoch.
            settings: How they become optimizer steps.
            order: A function of the epoch: the permutation of the rows in it. None: as they come.
        """
        record = _Record(settings)
        for epoch in range(settings.n_epochs):
            record.begin_epoch()
            rows = rollout if isinstance(rollout, Batch) else rollout(epoch)
            index = np.arange(rows.n_rows) if order is None else order(epoch)
            for minibatches in optimizer_steps(rows, index, settings):
                n_rows = sum(minibatch.n_rows for minibatch in minibatches)
                total = None
                for minibatch in minibatches:
                    predictions, gradient = self.loss_and_grad(minibatch, settings.coefs)
                    if record.add(minibatch, predictions):  # the policy has moved too far
                        return record.stats()
                    if len(minibatches) > 1:
                        gradient = total = self.combine(total, gradient, minibatch.n_rows / n_rows)
                record.grad_norms.append(
                    self.apply_gradients(gradient, settings.learning_rate, settings.max_grad_norm)
                )
        return record.stats()

    # Canonical dictionaries

    @abstractmethod
    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters under their canonical names, in the optimizer's order."""

    def live_parameters(self) -> dict[str, NDArray]:
        """The parameters themselves where they can be written to, else copies."""
        return self.parameters()

    @abstractmethod
    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters. Raises KeyError or ValueError if names or shapes differ."""

    @abstractmethod
    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``; no moments before the first step."""

    @abstractmethod
    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""


def _rebuild(
    cls: type[ActorCritic], spec: NetworkSpec, parameters: dict[str, NDArray], state: dict[str, Any]
) -> ActorCritic:
    backend = cls(spec, parameters)
    backend.load_optimizer_state(state)
    return backend


def optimizer_steps(
    rollout: Batch, order: NDArray, settings: UpdateSettings
) -> Iterator[list[Batch]]:
    """An epoch's minibatches, grouped into optimizer steps, with the advantages that the loss sees.

    Args:
        rollout: Its rows.
        order: The permutation of the rows in this epoch.
        settings: How they become optimizer steps.
    """
    n, size = len(order), settings.batch_size
    starts = range(0, settings.rows_of_epoch(n), size)
    advantages = rollout.advantages[order]
    if settings.normalize_minibatch:
        advantages = normalize(advantages, range(0, n, size))
    actions, old_log_prob, old_values, _, returns = (column[order] for column in rollout[1:])
    columns = (actions, old_log_prob, old_values, advantages, returns)
    read = _reader(rollout.obs, order)
    for first in range(0, len(starts), settings.accumulate):
        yield [
            Batch(read(window), *(column[window] for column in columns))
            for window in (
                slice(start, start + size) for start in starts[first : first + settings.accumulate]
            )
        ]


def _reader(obs: Any, order: NDArray) -> Callable[[slice], Any]:
    """Observations of a window of the order: laid out once if they are few, else gathered."""
    parts = obs.values() if isinstance(obs, dict) else [obs]
    if sum(part.nbytes for part in parts) > _GATHER_AT_ONCE:
        return lambda window: take(obs, order[window])
    ordered = take(obs, order)
    return lambda window: take(ordered, window)


class _Record:
    """Collects predictions; turns them into the logged means once, at the end of the update."""

    def __init__(self, settings: UpdateSettings) -> None:
        self.settings = settings
        self.minibatches: list[Batch] = []
        self.predictions: list[Predictions] = []
        self.grad_norms: list[float] = []
        self.n_epochs = 0
        self.epoch_start = 0
        self.stopped_kl: float | None = None

    def begin_epoch(self) -> None:
        self.n_epochs += 1
        self.epoch_start = len(self.predictions)

    def add(self, minibatch: Batch, predictions: Predictions) -> bool:
        """Keep a minibatch's predictions; True if its KL says that the update must stop."""
        self.minibatches.append(minibatch._replace(obs=None))
        self.predictions.append(predictions)
        if self.settings.target_kl is None:
            return False
        log_ratio = predictions.log_prob - minibatch.old_log_prob
        kl = float(np.mean(np.expm1(log_ratio) - log_ratio))
        if kl > 1.5 * self.settings.target_kl:
            self.stopped_kl = kl
        return self.stopped_kl is not None

    def stats(self) -> UpdateStats:
        """The logged means over everything that was added."""
        columns = zip(*(minibatch[2:] for minibatch in self.minibatches), strict=True)
        entropy: Any = [p.entropy for p in self.predictions]
        sizes = [minibatch.n_rows for minibatch in self.minibatches]
        if entropy[0] is None:
            entropy = None
        else:  # one number for each row, or one for all of a minibatch's
            entropy = np.repeat(entropy, sizes) if entropy[0].ndim == 0 else np.concatenate(entropy)
        log_prob, values = (
            np.concatenate([getattr(p, name) for p in self.predictions])
            for name in ("log_prob", "values")
        )
        return summarize(
            self.settings.coefs,
            sizes,
            Batch(None, np.empty(0), *map(np.concatenate, columns)),
            Predictions(log_prob, entropy, values),
            n_epochs=self.n_epochs,
            last_epoch=self.epoch_start,
            stopped_kl=self.stopped_kl,
            grad_norms=self.grad_norms,
        )


def summarize(
    coefs: Coefficients,
    sizes: Sequence[int],
    rows: Batch,
    predictions: Predictions,
    *,
    n_epochs: int,
    last_epoch: int,
    stopped_kl: float | None,
    grad_norms: list[float],
) -> UpdateStats:
    """The numbers that are logged: means over minibatches of each minibatch's mean.

    Args:
        coefs: Of the loss.
        sizes: Rows of each minibatch.
        rows: All minibatches, one after the other; advantages as the loss saw them.
        predictions: What the network said of each row when its turn came.
        n_epochs: Epochs begun.
        last_epoch: The first minibatch of the last epoch: the KL's mean is over that epoch alone.
        stopped_kl: The approximate KL that ended the update, or None.
        grad_norms: Of each optimizer step, before clipping.
    """
    counts = np.array(sizes)
    starts = np.cumsum(counts) - counts

    def means(column: NDArray) -> NDArray:
        return np.add.reduceat(np.asarray(column, np.float64), starts) / counts

    terms = ppo_rows(namespace("numpy"), *predictions, *rows[2:], coefs=coefs)
    policy, value, entropy_mean = means(terms.policy), means(terms.value), means(terms.entropy)
    kl = means(np.expm1(terms.log_ratio) - terms.log_ratio)
    return UpdateStats(
        policy_loss=float(policy.mean()),
        value_loss=float(value.mean()),
        entropy_loss=float(-entropy_mean.mean()),
        loss=float(policy[-1] - coefs.ent_coef * entropy_mean[-1] + coefs.vf_coef * value[-1]),
        approx_kl=float(kl[last_epoch:].mean()),
        clip_fraction=float(means(np.abs(terms.ratio - 1.0) > coefs.clip_range).mean()),
        n_epochs=n_epochs,
        stopped_kl=stopped_kl,
        grad_norms=grad_norms,
    )
