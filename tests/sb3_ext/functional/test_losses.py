"""The loss and its gradient: finite differences, autograd, every branch of both clips."""

import numpy as np
import pytest
import torch

from sb3_ext.functional.losses import Coefficients, ppo_gradient, ppo_loss, ppo_rows
from sb3_ext.functional.xp import namespace

np_xp = namespace("numpy")


def inputs(rng, n=40):
    """Both signs of the advantage, ratios and value changes inside and outside their limits."""
    old_log_prob = rng.standard_normal(n)
    log_prob = old_log_prob + rng.uniform(-0.6, 0.6, n)
    old_values = rng.standard_normal(n)
    values = old_values + rng.uniform(-0.6, 0.6, n)
    batch = {
        "old_log_prob": old_log_prob,
        "old_values": old_values,
        "advantages": rng.standard_normal(n),
        "returns": rng.standard_normal(n),
    }
    return log_prob, rng.uniform(0.5, 2.0, n), values, batch


def loss_of(log_prob, entropy, values, batch, coefs, xp=np_xp, mask=None):
    rows = ppo_rows(xp, log_prob, entropy, values, coefs=coefs, **batch)
    return ppo_loss(xp, rows, coefs, mask)


@pytest.mark.parametrize("clip_range_vf", [None, 0.3])
@pytest.mark.parametrize("closed_form", [True, False])
@pytest.mark.parametrize("ent_coef", [0.0, 0.01])
def test_gradient_against_finite_differences_and_autograd(clip_range_vf, closed_form, ent_coef):
    log_prob, entropy, values, batch = inputs(np.random.default_rng(0))
    coefs = Coefficients(0.2, clip_range_vf, ent_coef, 0.7)
    given = entropy if closed_form else None
    gradient = ppo_gradient(np_xp, log_prob, closed_form, values, coefs=coefs, **batch)

    tensors = [torch.tensor(x, requires_grad=True) for x in (log_prob, entropy, values)]
    t_batch = {k: torch.as_tensor(v) for k, v in batch.items()}
    loss_of(
        tensors[0],
        tensors[1] if closed_form else None,
        tensors[2],
        t_batch,
        coefs,
        namespace("torch"),
    ).backward()

    for k, d in enumerate(gradient):
        if d is None:
            assert k == 1
            assert not closed_form or ent_coef == 0
            continue
        np.testing.assert_allclose(d, tensors[k].grad.numpy(), rtol=1e-6, atol=1e-12)
        for i in range(len(log_prob)):
            args = [log_prob, given, values]
            step = np.zeros(len(log_prob))
            step[i] = 1e-6
            up, down = (
                loss_of(*(a + s * step if j == k else a for j, a in enumerate(args)), batch, coefs)
                for s in (1, -1)
            )
            assert d[i] == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8)


def test_hand_numbers():
    rows = ppo_rows(
        np_xp,
        np.log(np.array([2.0, 0.5, 2.0])),
        np.array(1.5),
        np.array([1.0, 2.0, 3.0]),
        np.zeros(3),
        np.zeros(3),
        np.array([1.0, -1.0, -1.0]),
        np.array([0.0, 0.0, 1.0]),
        Coefficients(0.2),
    )
    np.testing.assert_allclose(rows.policy, [-1.2, 0.8, 2.0])
    np.testing.assert_allclose(rows.value, [1.0, 4.0, 4.0])
    assert ppo_loss(np_xp, rows, Coefficients(0.2, ent_coef=0.1)) == pytest.approx(
        1.6 / 3 - 0.15 + 0.5 * 3.0
    )


def test_masked_rows_change_nothing():
    log_prob, entropy, values, batch = inputs(np.random.default_rng(1), 10)
    coefs = Coefficients(0.2, None, 0.01)
    plain = loss_of(log_prob, entropy, values, batch, coefs)
    padded = {k: np.append(v, [np.nan, 1e9]) for k, v in batch.items()}
    more = [np.append(x, [0.0, 0.0]) for x in (log_prob, entropy, values)]
    with np.errstate(all="ignore"):
        masked = loss_of(*more, padded, coefs, mask=np.append(np.ones(10), [0, 0]))
    assert masked == pytest.approx(plain)
