"""Action distributions: log-probability, entropy, sample, mode, and the gradients beside them.

A distribution is a small frozen description; its parameters come from a network and its noise from
the caller. All methods take ``xp`` (see ``functional/xp.py``), so the same formula runs in NumPy,
PyTorch, JAX and MLX. The last three differentiate :meth:`evaluate` themselves; NumPy uses
:meth:`gradient`, which stands right below the formula that it differentiates.

Names: ``d_x`` is the derivative of the loss with respect to x. B rows, A action dimensions.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiagGaussian",
    "Evaluation",
    "GaussianParams",
    "MultiCategorical",
    "SquashedGaussian",
]

Array = Any
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Evaluation(NamedTuple):
    """What a distribution says of given actions."""

    log_prob: Array  # [B]
    entropy: Array  # [B], or [] when it is the same for all rows; None: has no closed form
    saved: tuple  # intermediate results, for `gradient`


class GaussianParams(NamedTuple):
    """Mean ``[B, A]`` and the logarithm of the standard deviation, ``[A]`` or ``[B, A]``."""

    mean: Array
    log_std: Array


@dataclass(frozen=True)
class Categorical:
    """One of n actions; the parameters are unnormalized logits ``[B, n]``.

    ``log p = logits - logsumexp(logits)``, ``H = -sum p log p``.
    """

    n: int
    noise_kind = "gumbel"

    @property
    def n_params(self) -> int:
        """Outputs that the network must have."""
        return self.n

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one action."""
        return (self.n,)

    def evaluate(self, xp: Any, logits: Array, actions: Array) -> Evaluation:
        """Log-probability of ``actions [B]`` (integers) and entropy, both ``[B]``."""
        shifted = logits - xp.max_last(logits)  # the same softmax, and exp can't overflow
        log_p = shifted - xp.log(xp.sum_last(xp.exp(shifted)))[..., None]
        p = xp.exp(log_p)
        entropy = -xp.sum_last(p * log_p)
        return Evaluation(xp.take_last(log_p, actions), entropy, (p, log_p, actions, entropy))

    def gradient(self, xp: Any, evaluation: Evaluation, d_log_prob: Array, d_entropy: Array):
        """d_logits ``[B, n]``.

        ``d log p_a / d logit_j = [j = a] - p_j`` and ``d H / d logit_j = -p_j (log p_j + H)``.
        """
        p, log_p, actions, entropy = evaluation.saved
        d_logits = (xp.one_hot(actions, self.n, p) - p) * d_log_prob[:, None]
        if d_entropy is not None:
            d_logits = d_logits - p * (log_p + entropy[:, None]) * d_entropy[:, None]
        return d_logits

    def sample(self, xp: Any, logits: Array, noise: Array) -> Array:
        """``argmax(logits + Gumbel noise [B, n])``, ``[B]``."""
        return xp.argmax(logits + noise)

    def mode(self, xp: Any, logits: Array) -> Array:
        """The most probable action, ``[B]``."""
        return xp.argmax(logits)


@dataclass(frozen=True)
class MultiCategorical:
    """Independent categorical choices; the parameters are their logits side by side."""

    nvec: tuple[int, ...]
    noise_kind = "gumbel"

    @property
    def n_params(self) -> int:
        """Outputs that the network must have."""
        return sum(self.nvec)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one action."""
        return (sum(self.nvec),)

    def _parts(self, joined: Array) -> list[tuple[Categorical, Array]]:
        ends = [sum(self.nvec[: k + 1]) for k in range(len(self.nvec))]
        return [
            (Categorical(n), joined[..., end - n : end])
            for n, end in zip(self.nvec, ends, strict=True)
        ]

    def evaluate(self, xp: Any, logits: Array, actions: Array) -> Evaluation:
        """Sums over the choices, for ``actions [B, n_choices]`` (integers)."""
        parts = tuple(
            part.evaluate(xp, chunk, actions[:, k])
            for k, (part, chunk) in enumerate(self._parts(logits))
        )
        log_prob = xp.sum_last(xp.stack([part.log_prob for part in parts]))
        entropy = xp.sum_last(xp.stack([part.entropy for part in parts]))
        return Evaluation(log_prob, entropy, parts)

    def gradient(self, xp: Any, evaluation: Evaluation, d_log_prob: Array, d_entropy: Array):
        """Each choice's own gradient, side by side: the sums hand d_log_prob on unchanged."""
        return xp.concatenate(
            [
                Categorical(n).gradient(xp, part, d_log_prob, d_entropy)
                for n, part in zip(self.nvec, evaluation.saved, strict=True)
            ]
        )

    def sample(self, xp: Any, logits: Array, noise: Array) -> Array:
        """``[B, n_choices]`` from Gumbel noise ``[B, sum(nvec)]``."""
        return self.mode(xp, logits + noise)

    def mode(self, xp: Any, logits: Array) -> Array:
        """Each choice's most probable value, ``[B, n_choices]``."""
        return xp.stack([xp.argmax(chunk) for _, chunk in self._parts(logits)])


@dataclass(frozen=True)
class Bernoulli:
    """n independent bits; the parameters are the logits of 1, ``[B, n]``.

    ``log p(a) = a l - log(1 + e^l)``; with p = sigmoid(l), ``H = log(1 + e^l) - p l``.
    """

    n: int
    noise_kind = "logistic"

    @property
    def n_params(self) -> int:
        """Outputs that the network must have."""
        return self.n

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one action."""
        return (self.n,)

    def evaluate(self, xp: Any, logits: Array, actions: Array) -> Evaluation:
        """Sums over the bits, for ``actions [B, n]`` of zeros and ones."""
        softplus = xp.logaddexp(logits, xp.zeros_like(logits))
        p = xp.exp(logits - softplus)
        log_prob = xp.sum_last(actions * logits - softplus)
        return Evaluation(log_prob, xp.sum_last(softplus - p * logits), (p, logits, actions))

    def gradient(self, xp: Any, evaluation: Evaluation, d_log_prob: Array, d_entropy: Array):
        """d_logits ``[B, n]``: ``d log p / d l = a - p`` and ``d H / d l = -l p (1 - p)``."""
        p, logits, actions = evaluation.saved
        d_logits = (actions - p) * d_log_prob[:, None]
        if d_entropy is not None:
            d_logits = d_logits - logits * p * (1.0 - p) * d_entropy[:, None]
        return d_logits

    def sample(self, xp: Any, logits: Array, noise: Array) -> Array:
        """1 where ``logit + logistic noise > 0``, ``[B, n]``."""
        return self.mode(xp, logits + noise)

    def mode(self, xp: Any, logits: Array) -> Array:
        """1 where the logit is positive, ``[B, n]``."""
        return xp.where(logits > 0, xp.ones_like(logits), xp.zeros_like(logits))


@dataclass(frozen=True)
class DiagGaussian:
    """A Gaussian with independent components.

    With ``z = (a - mean) / std``:
    ``log p = -sum(z^2 / 2 + log std + log(2 pi) / 2)`` and
    ``H = sum(log std + 1/2 + log(2 pi) / 2)``.
    """

    n: int
    noise_kind = "normal"

    @property
    def n_params(self) -> int:
        """Outputs that the network must have for the means."""
        return self.n

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one action."""
        return (self.n,)

    def evaluate(self, xp: Any, params: GaussianParams, actions: Array) -> Evaluation:
        """Log-probability of ``actions [B, A]`` and entropy (``[]`` when log_std is ``[A]``)."""
        inverse_std = xp.exp(-params.log_std)
        z = (actions - params.mean) * inverse_std
        sum_log_std = xp.sum_last(params.log_std)
        log_prob = xp.sum_last(z * z) * -0.5 - (sum_log_std + self.n * _HALF_LOG_TWO_PI)
        entropy = sum_log_std + self.n * (0.5 + _HALF_LOG_TWO_PI)
        return Evaluation(log_prob, entropy, (z, inverse_std, params.log_std))

    def gradient(self, xp: Any, evaluation: Evaluation, d_log_prob: Array, d_entropy: Array):
        """(d_mean ``[B, A]``, d_log_std in log_std's shape).

        ``d log p / d mean = z / std``, ``d log p / d log std = z^2 - 1``, ``d H / d log std = 1``.
        """
        z, inverse_std, log_std = evaluation.saved
        d_mean = z * inverse_std * d_log_prob[:, None]
        per_row = -d_log_prob if d_entropy is None else d_entropy - d_log_prob
        if len(log_std.shape) == 1:  # one std for all rows: every row pulls at it
            return GaussianParams(d_mean, xp.matmul(d_log_prob, z * z) + xp.sum(per_row))
        return GaussianParams(d_mean, z * z * d_log_prob[:, None] + per_row[:, None])

    def sample(self, xp: Any, params: GaussianParams, noise: Array) -> Array:
        """``mean + std * noise``, ``[B, A]`` from standard normal noise."""
        return params.mean + xp.exp(params.log_std) * noise

    def mode(self, xp: Any, params: GaussianParams) -> Array:
        """The mean, ``[B, A]``."""
        return params.mean


@dataclass(frozen=True)
class SquashedGaussian:
    """tanh of a Gaussian, as gSDE uses it to keep actions within (-1, 1).

    ``log p(a) = log N(u) - sum log(1 - tanh(u)^2 + eps)`` with ``u = arctanh(a)``. The correction
    doesn't depend on the parameters, so the gradient is the Gaussian's. The entropy has no closed
    form: the loss then estimates it as ``-log p(a)``.
    """

    n: int
    noise_kind = "normal"
    epsilon = 1e-6
    limit = 1.0 - 2.0**-23  # float32's last number below 1: arctanh stays finite

    @property
    def n_params(self) -> int:
        """Outputs that the network must have for the means."""
        return self.n

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one action."""
        return (self.n,)

    def evaluate(self, xp: Any, params: GaussianParams, actions: Array) -> Evaluation:
        """Log-probability of ``actions [B, A]`` within (-1, 1); no entropy."""
        u = xp.arctanh(xp.clip(actions, -self.limit, self.limit))
        gaussian = DiagGaussian(self.n).evaluate(xp, params, u)
        tanh_u = xp.tanh(u)
        correction = xp.sum_last(xp.log(1.0 - tanh_u * tanh_u + self.epsilon))
        return Evaluation(gaussian.log_prob - correction, None, gaussian.saved)

    def gradient(self, xp: Any, evaluation: Evaluation, d_log_prob: Array, d_entropy: Array):
        """The Gaussian's gradient at u."""
        assert d_entropy is None, "a squashed Gaussian has no entropy to differentiate"
        return DiagGaussian(self.n).gradient(xp, evaluation, d_log_prob, None)

    def sample(self, xp: Any, params: GaussianParams, noise: Array) -> Array:
        """``tanh(mean + std * noise)``, ``[B, A]``."""
        return xp.tanh(params.mean + xp.exp(params.log_std) * noise)

    def mode(self, xp: Any, params: GaussianParams) -> Array:
        """``tanh(mean)``, ``[B, A]``."""
        return xp.tanh(params.mean)
