"""Noise is a pure function of (seed, stream, step, row), with the right distribution."""

import numpy as np
import pytest

from sb3_ext.functional import noise


@pytest.mark.parametrize("kind", ["normal", "gumbel", "logistic"])
@pytest.mark.parametrize("shape", [(3,), (2, 5), (1,)])
def test_step_and_row_alone_decide(kind, shape):
    whole = noise.draw(kind, 7, noise.ACTION, 0, 12, 3, shape)
    late = noise.draw(kind, 7, noise.ACTION, 5, 4, 2, shape)
    np.testing.assert_array_equal(whole[5:9, :2], late)
    assert whole.shape == (12, 3, *shape)
    assert whole.dtype == np.float32


def test_seed_and_stream_differ():
    draws = [noise.draw("normal", s, k, 0, 4, 1, (2,)) for s in (0, 1) for k in (1, 2)]
    assert len({d.tobytes() for d in draws}) == 4


@pytest.mark.parametrize(
    ("kind", "mean", "variance"),
    [("normal", 0.0, 1.0), ("gumbel", 0.5772, np.pi**2 / 6), ("logistic", 0.0, np.pi**2 / 3)],
)
def test_moments(kind, mean, variance):
    sample = noise.draw(kind, 0, noise.ACTION, 0, 100_000, 1, (2,), np.float64)
    assert sample.mean() == pytest.approx(mean, abs=0.02)
    assert sample.var() == pytest.approx(variance, rel=0.02)
    assert np.isfinite(sample).all()


def test_unknown_kind():
    with pytest.raises(ValueError, match="unknown noise"):
        noise.draw("cauchy", 0, 1, 0, 1, 1, (1,))


def test_permutations_cover_everything_and_differ_by_epoch_and_update():
    orders = [tuple(noise.permutation(3, u, e, 50)) for u in (0, 1) for e in (0, 1)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 4
    assert orders[0] == tuple(noise.permutation(3, 0, 0, 50))
