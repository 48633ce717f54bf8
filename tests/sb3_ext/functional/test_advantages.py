"""GAE against closed forms and stable-baselines3's buffer; masks and segments; normalization."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer

from sb3_ext.functional.advantages import gae, gae_of_segments, normalize


def random_rollout(rng, n_steps, n_rows, dtype=np.float64):
    return (
        rng.standard_normal((n_steps, n_rows)).astype(dtype),
        rng.standard_normal((n_steps, n_rows)).astype(dtype),
        rng.random((n_steps, n_rows)) < 0.15,
        rng.standard_normal(n_rows).astype(dtype),
    )


@pytest.mark.parametrize("n_rows", [1, 2])
def test_closed_form_of_lambda_one_is_the_discounted_return(n_rows):
    rewards = np.ones((5, n_rows))
    values = np.full((5, n_rows), 0.3)
    advantages = gae(rewards, values, np.zeros((5, n_rows)), np.full(n_rows, 2.0), 0.9, 1.0)
    expected = sum(0.9**k for k in range(5)) + 0.9**5 * 2.0 - 0.3
    assert advantages[0] == pytest.approx(expected)


def test_lambda_zero_is_the_one_step_error():
    rng = np.random.default_rng(0)
    rewards, values, dones, last = random_rollout(rng, 6, 3)
    next_values = np.concatenate([values[1:], last[None]]) * (1 - dones)
    np.testing.assert_allclose(
        gae(rewards, values, dones, last, 0.9, 0.0), rewards + 0.9 * next_values - values
    )


@pytest.mark.parametrize("n_rows", [1, 4])
def test_equals_stable_baselines3(n_rows):
    rng = np.random.default_rng(n_rows)
    rewards, values, dones, last = random_rollout(rng, 50, n_rows, np.float32)
    box = spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(50, box, box, "cpu", gae_lambda=0.9, gamma=0.97, n_envs=n_rows)
    starts = np.concatenate([np.ones((1, n_rows), bool), dones[:-1]])
    buffer.rewards[:], buffer.values[:], buffer.episode_starts[:] = rewards, values, starts
    buffer.compute_returns_and_advantage(torch.as_tensor(last), dones[-1])
    ours = gae(rewards, values, dones, last, 0.97, 0.9)
    np.testing.assert_allclose(ours, buffer.advantages, rtol=1e-5, atol=1e-5)
    assert ours.dtype == np.float32


def test_segments_of_lockstep_rows_are_the_rows():
    rng = np.random.default_rng(3)
    rewards, values, dones, last = random_rollout(rng, 20, 3)
    segments = [np.arange(row, 60, 3) for row in range(3)]
    flat = gae_of_segments(
        rewards.ravel(), values.ravel(), dones.ravel(), segments, last, 0.99, 0.95
    )
    np.testing.assert_allclose(flat.reshape(20, 3), gae(rewards, values, dones, last, 0.99, 0.95))


def test_ragged_segments_are_independent_and_gaps_get_nothing():
    rng = np.random.default_rng(4)
    n = 30
    rewards, values, dones = rng.standard_normal(n), rng.standard_normal(n), rng.random(n) < 0.2
    order = rng.permutation(n)
    segments = [np.sort(order[:7]), np.sort(order[7:20]), np.sort(order[20:21])]
    last = rng.standard_normal(3)
    result = gae_of_segments(rewards, values, dones, segments, last, 0.9, 0.8)
    for indices, bootstrap in zip(segments, last, strict=True):
        alone = gae(
            rewards[indices, None],
            values[indices, None],
            dones[indices, None],
            np.array([bootstrap]),
            0.9,
            0.8,
        )
        np.testing.assert_allclose(result[indices], alone[:, 0])
    assert (result[order[21:]] == 0).all()
    assert (gae_of_segments(rewards, values, dones, [], last[:0], 0.9, 0.8) == 0).all()


def test_normalize_per_minibatch_is_torchs_std():
    rng = np.random.default_rng(5)
    advantages = rng.standard_normal(11)
    result = normalize(advantages, [0, 4, 8, 10])
    for start, stop in [(0, 4), (4, 8), (8, 10)]:
        part = torch.as_tensor(advantages[start:stop])
        expected = (part - part.mean()) / (part.std() + 1e-8)
        np.testing.assert_allclose(result[start:stop], expected.numpy())
    assert result[10] == advantages[10]  # a single transition stays


def test_equal_advantages_normalize_to_zero():
    assert (normalize(np.full(8, 3.0, np.float32)) == 0).all()
