"""PPO's loss (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) and its gradient.

For one minibatch of B transitions, with ``r = exp(log pi(a|s) - log pi_old(a|s))``::

    policy_loss  = -mean(min(A r, A clip(r, 1 - eps, 1 + eps)))
    value_loss   = mean((R - V)^2)          V is clipped to V_old +- eps_v if clip_range_vf is given
    entropy_loss = -mean(H)                 -mean(-log pi(a|s)) where H has no closed form
    loss         = policy_loss + ent_coef * entropy_loss + vf_coef * value_loss
"""

from typing import Any, NamedTuple

__all__ = [
    "Coefficients",
    "LossGradient",
    "LossRows",
    "Predictions",
    "ppo_gradient",
    "ppo_loss",
    "ppo_rows",
]

Array = Any


class Coefficients(NamedTuple):
    """The loss's constants, under stable-baselines3's names."""

    clip_range: float
    clip_range_vf: float | None = None
    ent_coef: float = 0.0
    vf_coef: float = 0.5


class Predictions(NamedTuple):
    """What the network says of a minibatch."""

    log_prob: Array  # [B], of the actions taken
    entropy: Array  # [B], or [] when it is the same for all rows; None: no closed form
    values: Array  # [B]


class LossRows(NamedTuple):
    """Each transition's terms; the loss averages them. A mean over rows is what gets logged."""

    log_ratio: Array  # [B]
    ratio: Array  # [B]
    policy: Array  # [B], -min(A r, A clip(r))
    value: Array  # [B], (R - V)^2
    entropy: Array  # [B], or [] when it is the same for all rows


class LossGradient(NamedTuple):
    """Derivatives of the loss with respect to what the network said, each ``[B]``."""

    d_log_prob: Array
    d_entropy: Array  # None: no gradient flows through the entropy
    d_values: Array


def ppo_rows(
    xp: Any,
    log_prob: Array,
    entropy: Array,
    values: Array,
    old_log_prob: Array,
    old_values: Array,
    advantages: Array,
    returns: Array,
    coefs: Coefficients,
) -> LossRows:
    """The terms of the loss row by row. All arrays are ``[B]``; advantages are used as given."""
    log_ratio = log_prob - old_log_prob
    ratio = xp.exp(log_ratio)
    clipped = xp.clip(ratio, 1.0 - coefs.clip_range, 1.0 + coefs.clip_range)
    policy = -xp.minimum(advantages * ratio, advantages * clipped)
    if coefs.clip_range_vf is not None:
        change = xp.clip(values - old_values, -coefs.clip_range_vf, coefs.clip_range_vf)
        values = old_values + change
    error = values - returns
    entropy = -log_prob if entropy is None else entropy
    return LossRows(log_ratio, ratio, policy, error * error, entropy)


def ppo_loss(xp: Any, rows: LossRows, coefs: Coefficients, mask: Array = None) -> Array:
    """The scalar loss: the weighted sum of the rows' means.

    Args:
        xp: The array namespace.
        rows: From :func:`ppo_rows`.
        coefs: The loss's constants.
        mask: ``[B]`` of 1 for rows that count and 0 for padding; None when all of them count.
    """
    per_row = rows.policy - coefs.ent_coef * rows.entropy + coefs.vf_coef * rows.value
    if mask is None:
        return xp.mean(per_row)
    return xp.sum(xp.where(mask > 0, per_row, 0.0)) / xp.sum(mask)


def ppo_gradient(
    xp: Any,
    log_prob: Array,
    has_entropy: bool,
    values: Array,
    old_log_prob: Array,
    old_values: Array,
    advantages: Array,
    returns: Array,
    coefs: Coefficients,
) -> LossGradient:
    """Differentiate :func:`ppo_loss` (without a mask) by hand.

    * Policy: ``d(-A r) / d log pi = -A r``. The minimum picks the clipped term, a constant, exactly
      when r has already moved past the limit *in the direction that A asks for*: r > 1 + eps for
      A > 0, r < 1 - eps for A < 0; in one line, ``A (r - 1) > eps |A|``. There the gradient is 0,
      everywhere else it is ``-A r / B``.
    * Value: ``d (V - R)^2 / d V = 2 (V - R)``; 0 where ``|V - V_old| > eps_v`` if V is clipped.
    * Entropy: ``-ent_coef / B``; without a closed form ``+ent_coef / B`` into log pi.
    """
    n = float(log_prob.shape[0])
    ratio = xp.exp(log_prob - old_log_prob)
    gain = advantages * ratio
    unclipped = gain - advantages <= coefs.clip_range * xp.abs(advantages)
    d_log_prob = gain * unclipped * (-1.0 / n)
    d_entropy = None
    if coefs.ent_coef != 0.0:
        if has_entropy:
            d_entropy = xp.ones_like(d_log_prob) * (-coefs.ent_coef / n)
        else:
            d_log_prob = d_log_prob + coefs.ent_coef / n
    scale = 2.0 * coefs.vf_coef / n
    if coefs.clip_range_vf is None:
        return LossGradient(d_log_prob, d_entropy, (values - returns) * scale)
    change = values - old_values
    error = old_values + xp.clip(change, -coefs.clip_range_vf, coefs.clip_range_vf) - returns
    inside = xp.abs(change) <= coefs.clip_range_vf
    return LossGradient(d_log_prob, d_entropy, xp.where(inside, error * scale, 0.0))
