import numpy as np
import pytest

from envs.osu_mania.beatmap import TimingPoint
from envs.osu_mania.env import OsuManiaEnv
from envs.osu_mania.generate import make_map
from envs.osu_mania.highway import (
    BACKGROUND,
    BODY,
    BROKEN,
    GAP,
    HELD,
    KEY_DOWN,
    KEY_UP,
    LINE,
    NOTE,
)
from envs.osu_mania.play import FAR, TIME
from envs.osu_mania.vector_env import OsuManiaVectorEnv

KEYS_UP = np.zeros(2, np.int8)


def walk(env, until, keys=KEYS_UP):
    """Steps to the last moment before a time, with some keys down; the observation there."""
    observation = None
    while env.rows.simulator.next_times[0] <= until:
        observation = env.step(keys)[0]
    return observation, float(env.rows.simulator.play.rows[0, TIME])


def expected_compact(now, starts, ends, flags, rate=1.0):
    """The features, from the times `[K][lookahead]` of what is next."""
    away = (np.stack([starts, ends], axis=2).ravel() - now) / rate
    return np.concatenate([away / (abs(away) + 50), away / (abs(away) + 300), np.ravel(flags)])


@pytest.mark.parametrize("kernels", ["python", "numpy", "auto"])
@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_compact_by_hand(kernels, rate, make_beatmap):
    beatmap = make_beatmap((0, 2000), (0, 2600, 3000), (1, 2200), keys=2, od=8.0)
    env = OsuManiaEnv(maps=beatmap, lookahead=2, kernels=kernels, rate=rate, hz=250)
    first = env.reset(seed=0)[0]
    now = float(env.rows.simulator.play.rows[0, TIME])
    assert now == pytest.approx(1000, abs=6 * rate)
    starts, ends = [[2000, 2600], [2200, FAR]], [[2000, 3000], [2200, FAR]]
    none = np.zeros((3, 2))
    expected = expected_compact(now, starts, ends, none, rate)
    np.testing.assert_allclose(first, expected, atol=2e-6)
    # The note is hit: the hold is next, then nothing
    walk(env, 2000)
    observation, now = walk(env, 2100, [1, 0])
    starts[0], ends[0] = [2600, FAR], [3000, FAR]
    expected = expected_compact(now, starts, ends, [[1, 0], [0, 0], [0, 0]], rate)
    np.testing.assert_allclose(observation, expected, atol=2e-6)
    # The hold is held; the other column's note has been missed
    walk(env, 2600)
    observation, now = walk(env, 2800, [1, 0])
    starts[1] = ends[1] = [FAR, FAR]
    expected = expected_compact(now, starts, ends, [[1, 0], [1, 0], [0, 0]], rate)
    np.testing.assert_allclose(observation, expected, atol=2e-6)
    # It's let go
    observation, now = walk(env, 2820)
    expected = expected_compact(now, starts, ends, [[0, 0], [0, 0], [1, 0]], rate)
    np.testing.assert_allclose(observation, expected, atol=2e-6)
    assert observation in env.observation_space


def test_kernels_show_the_same():
    pytest.importorskip("numba")
    options = {"observation": "both", "keys": 5, "frame_size": (40, 33), "difficulty": (2.0, 6.0)}
    options |= {"observation_delay": (0, 30), "observation_jitter": 20.0, "rate": 1.5}
    ours = OsuManiaVectorEnv(num_envs=16, kernels="numpy", **options)
    theirs = OsuManiaVectorEnv(num_envs=16, kernels="numba", **options)
    pairs = [(ours.reset(seed=0)[0], theirs.reset(seed=0)[0])]
    ours.action_space.seed(0)
    down = np.zeros((16, 5), bool)
    rng = np.random.default_rng(0)
    for _ in range(200):
        down ^= rng.random((16, 5)) < 0.1
        pairs.append((ours.step(down)[0], theirs.step(down)[0]))
    for a, b in pairs:
        np.testing.assert_array_equal(a["compact"], b["compact"])
        np.testing.assert_array_equal(a["highway"], b["highway"])


# Frames of 336 x 42: the line is at 296 to 299, a note is 16 high, 1 px is 11485 / 20 / 296 = 1.94
# ms, and columns are 21 wide, of which the second one's first is the gap.

FRAME = {"observation": "highway", "frame_size": (336, 42), "hz": 250}
PX = 11_485 / 20 / 296


def rows_of(frame, column, level):
    """The rows of pixels of a column that are of a level all through."""
    strip = frame[:, 21 * column + (column > 0) : 21 * (column + 1)]
    return np.flatnonzero((strip == level).all(axis=1)).tolist()


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_notes_come_down_to_the_line(kernels, make_beatmap):
    beatmap = make_beatmap((0, 2000), (1, 2300, 2600), keys=2, od=5.0)
    env = OsuManiaEnv(maps=beatmap, kernels=kernels, **FRAME)
    frames = env.reset(seed=0)[0]
    assert frames.shape == (4, 336, 42)
    for frame in frames:  # nothing in sight yet
        assert rows_of(frame, 0, BACKGROUND) == list(range(296))
        assert rows_of(frame, 1, LINE) == [296, 297, 298, 299]
        assert rows_of(frame, 1, KEY_UP) == list(range(300, 336))
        assert (frame[:, 21] == GAP).all()
    for until in (1500, 1700, 1900, 2000, 2050):
        observation, now = walk(env, until)
        bottom = 300 - round((2000 - now) / PX)
        seen = [y for y in range(bottom - 16, bottom) if 0 <= y < 336]
        assert rows_of(observation[3], 0, NOTE) == seen
    np.testing.assert_array_equal(walk(env, 2060)[0][2], env.step(KEYS_UP)[0][1])
    # The hold in its place: body from its head up to its tail
    observation, now = walk(env, 2200)
    head, tail = 300 - round((2300 - now) / PX), 300 - round((2600 - now) / PX)
    assert rows_of(observation[3], 1, NOTE) == list(range(head - 16, head))
    assert rows_of(observation[3], 1, BODY) == list(range(tail, head - 16))
    # Held: lit, with its head on the line; the key is lit as well
    walk(env, 2300)
    observation, now = walk(env, 2400, [0, 1])
    tail = 300 - round((2600 - now) / PX)
    assert rows_of(observation[3], 1, NOTE) == list(range(296 - 16, 296))
    assert rows_of(observation[3], 1, HELD) == list(range(tail, 296 - 16))
    assert rows_of(observation[3], 1, KEY_DOWN) == list(range(300, 336))
    # Let go: dark, and it comes down further. Afterwards there's nothing.
    observation, now = walk(env, 2420)
    tail = 300 - round((2600 - now) / PX)
    assert set(range(tail, 280)) < set(rows_of(observation[3], 1, BROKEN))
    observation, _ = walk(env, 2800)
    assert rows_of(observation[3], 1, BACKGROUND) == list(range(296))


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_scroll_velocity_moves_the_highway(kernels, make_beatmap):
    """At velocity 2 from 1700 on a note stands twice as far away; a first stretch at 1 counts."""
    timing = (TimingPoint(0, 500), TimingPoint(1700, -50, False), TimingPoint(1900, -200, False))
    beatmap = make_beatmap((0, 2000), keys=2, timing=timing)
    env = OsuManiaEnv(maps=beatmap, kernels=kernels, observation_jitter=20.0, **FRAME)
    env.reset(seed=0)
    for until, distance in (
        (1600, lambda t: (1700 - t) + 2 * 200 + 0.5 * 100),
        (1750, lambda t: 2 * (1900 - t) + 0.5 * 100),
        (1950, lambda t: 0.5 * (2000 - t)),
    ):
        observation, now = walk(env, until)
        shown = now - float(env.rows._age[0])
        bottom = 300 - round(distance(shown) / PX)
        seen = [y for y in range(bottom - 16, bottom) if 0 <= y < 336]
        assert rows_of(observation[3], 0, NOTE) == seen


@pytest.mark.parametrize(
    ("keys", "size"), [(4, (84, 84)), (4, (42, 42)), (4, (48, 32)), (7, (61, 84)), (10, (24, 40))]
)
def test_a_small_frame_is_a_large_one_averaged(keys, size):
    """As OpenCV resizes areas; rounding twice and 256ths of columns may be off by one."""
    resize = pytest.importorskip("cv2")
    height, width = size
    fine = (height * -(-336 // height), width * 21 * keys // np.gcd(width, 21 * keys))
    options = {"keys": keys, "pattern": "hold", "difficulty": 4.0, "observation": "highway"}
    small = OsuManiaEnv(frame_size=size, frame_stack=1, kernels="numpy", **options)
    large = OsuManiaEnv(frame_size=fine, frame_stack=1, kernels="numpy", **options)
    pictures = [(small.reset(seed=0)[0][0], large.reset(seed=0)[0][0])]
    down = np.zeros(keys, bool)
    rng = np.random.default_rng(0)
    for _ in range(150):
        down ^= rng.random(keys) < 0.1
        pictures.append((small.step(down)[0][0], large.step(down)[0][0]))
    levels = set()
    for ours, theirs in pictures:
        averaged = resize.resize(theirs, (width, height), interpolation=resize.INTER_AREA)
        assert abs(ours.astype(int) - averaged.astype(int)).max() <= 1
        levels |= set(np.unique(theirs).tolist())
    assert levels == {BACKGROUND, GAP, KEY_UP, BROKEN, LINE, BODY, HELD, KEY_DOWN, NOTE}


def test_frames_of_many_columns_fit():
    for keys, width in ((1, 24), (10, 40), (7, 84)):
        beatmap = make_map(0, keys, "stream", 4.0, seconds=4)
        size = (24, width)
        env = OsuManiaEnv(maps=beatmap, observation="highway", frame_size=size, frame_stack=1)
        env.reset(seed=0)
        frames = [env.step(np.zeros(keys, np.int8))[0][0] for _ in range(80)]
        assert frames[0].shape == size
        assert max(frame.max() for frame in frames) > 200
