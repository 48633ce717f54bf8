import numpy as np
import pytest

from envs import noise


def recomputed(seed, stream, index, width):
    """The documented layout, from a fresh generator."""
    blocks = -(-width // 8)
    bits = np.random.Philox(key=[seed, stream], counter=[index * blocks, 0, 0, 0])
    return np.random.Generator(bits).random(width, dtype=np.float32)


@pytest.mark.parametrize("width", [1, 4, 8, 9, 24])
def test_consecutive_indices_are_the_documented_layout(width):
    drawn = noise.Philox().uniforms(17, noise.STEP, 5, 40, width)
    assert drawn.shape == (40, width)
    assert drawn.dtype == np.float32
    for k in range(40):
        np.testing.assert_array_equal(drawn[k], recomputed(17, noise.STEP, 5 + k, width))
    assert drawn.min() >= 0
    assert drawn.max() < 1


def test_seeds_and_streams_are_independent_and_seeds_wrap():
    philox = noise.Philox()
    draws = {
        (seed, stream): philox.uniforms(seed, stream, 0, 2, 4).tobytes()
        for seed in (0, 1, 2**64 - 1)
        for stream in (noise.RESET, noise.STEP)
    }
    assert len(set(draws.values())) == 6
    assert philox.uniforms(2**64, noise.RESET, 0, 2, 4).tobytes() == draws[0, noise.RESET]


def test_reset_noise_across_its_cache():
    rows = noise.ResetNoise(3, 5)
    for row in range(3):
        rows.seed(row, 100 + row)
    episodes = [0, 0, 0]
    rng = np.random.default_rng(0)
    for _ in range(150):
        for row in range(3):
            expected = recomputed(100 + row, noise.RESET, episodes[row], 5)
            np.testing.assert_array_equal(rows.upcoming[row], expected)
        moved = np.flatnonzero(rng.random(3) < 0.6)
        rows.advance(moved)
        for row in moved:
            episodes[row] += 1


def test_step_noise_across_its_cache_with_rows_seeded_at_different_times():
    rows = noise.StepNoise(2, 3)
    rows.seed(0, 7)
    rows.seed(1, 8)
    for t in range(150):
        if t == 40:
            rows.seed(1, 50)
        if t == 100:
            rows.seed(0, 60)
        taken = rows.take()
        seed, index = (7, t) if t < 100 else (60, t - 100)
        np.testing.assert_array_equal(taken[0], recomputed(seed, noise.STEP, index, 3))
        seed, index = (8, t) if t < 40 else (50, t - 40)
        np.testing.assert_array_equal(taken[1], recomputed(seed, noise.STEP, index, 3))


def test_step_noise_seeded_when_the_cache_is_used_up():
    rows = noise.StepNoise(1, 2)
    rows.seed(0, 7)
    for _ in range(64):
        rows.take()
    rows.seed(0, 9)
    np.testing.assert_array_equal(rows.take()[0], recomputed(9, noise.STEP, 0, 2))


def test_no_step_noise_draws_nothing():
    rows = noise.StepNoise(4, 0)
    rows.seed(0, 1)
    assert rows.take().shape == (4, 0)


@pytest.mark.parametrize("steps", [0, 5, 64, 100])
def test_a_place_is_the_seed_and_the_index(steps):
    resets, step_noise = noise.ResetNoise(2, 5), noise.StepNoise(2, 3)
    for row in range(2):
        resets.seed(row, 20 + row)
        step_noise.seed(row, 20 + row)
    for t in range(steps):
        resets.advance(np.array([t % 2]))
        step_noise.take()
        if t == 40:
            step_noise.seed(1, 99)
    late, late_seed = (steps - 41, 99) if steps > 40 else (steps, 21)
    assert resets.places() == [(20, (steps + 1) // 2), (21, steps // 2)]
    assert step_noise.places() == [(20, steps), (late_seed, late)]

    others = noise.ResetNoise(2, 5), noise.StepNoise(2, 3)
    others[1].take()  # at another place of its cache
    others[0].place(resets.places())
    others[1].place(step_noise.places())
    for _ in range(70):
        np.testing.assert_array_equal(others[0].upcoming, resets.upcoming)
        np.testing.assert_array_equal(others[1].take(), step_noise.take())
        for each in (others[0], resets):
            each.advance(np.arange(2))
