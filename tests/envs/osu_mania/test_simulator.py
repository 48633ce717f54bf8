"""The kernels against each other, against the session, and with a player who knows the map."""

import copy
import pickle

import numpy as np
import pytest

from envs.osu_mania.generate import PATTERNS, make_map
from envs.osu_mania.judgement import make_rules
from envs.osu_mania.play import COMBO, FAILED, JUDGEMENTS, MAX_COMBO, POINTS, TIME, Play
from envs.osu_mania.players import perfect_keys
from envs.osu_mania.replay import Recorder, judge
from envs.osu_mania.scoring import accuracies, best_combo
from envs.osu_mania.simulator import Simulator, choose_kernels

KERNELS = ["python", "numpy", "numba"]


def needs(kernels):
    if kernels == "numba":
        pytest.importorskip("numba")


def simulator_of(maps, n_rows, kernels, ruleset="stable", hz=60.0, **rules):
    """Rows on maps in turn, with beginnings of different fractions of a ms."""
    needs(kernels)
    simulator = Simulator(n_rows, maps[0].keys, make_rules(ruleset, **rules), hz, kernels)
    for beatmap in maps:
        simulator.charts.add(beatmap)
    rows = np.arange(n_rows)
    simulator.begin(rows, rows % len(maps), 500.0 + 3.3 * rows)
    return simulator


def maps_of(n, keys=4, seconds=10.0, difficulty=4.0):
    """Maps of every pattern and OD."""
    return [
        make_map(i, keys, PATTERNS[i % 6], difficulty, seconds, overall_difficulty=i % 11)
        for i in range(n)
    ]


def assert_same(first, second):
    for name, ours, theirs in zip(Play._fields, first.play, second.play, strict=True):
        assert np.array_equal(ours, theirs), name


def run_side_by_side(simulators, steps, flips, seed=0):
    """Random keys for all, new maps for rows that are finished, every array compared throughout."""
    rng = np.random.default_rng(seed)
    first, *others = simulators
    n_rows, keys = first.play.next.shape
    down = np.zeros((n_rows, keys), bool)
    n_finished = 0
    for t in range(steps):
        down = down ^ (rng.random((n_rows, keys)) < flips)
        delay = rng.random(n_rows) if t % 3 == 0 else None
        for simulator in simulators:
            simulator.step(down, delay)
        for other in others:
            assert_same(first, other)
        done = np.flatnonzero(first.finished)
        n_finished += done.size
        for simulator in simulators:
            simulator.begin(done, (done + t) % len(simulator.charts), np.full(done.size, 500.25))
    return n_finished


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize(
    "options",
    [
        {"flips": 0.1},
        {"flips": 0.5, "difficulty": 7.0},
        {"flips": 0.3, "rate": 1.5, "can_fail": True},
        {"flips": 0.2, "hz": 20, "keys": 10},
        {"flips": 0.3, "keys": 1, "rate": 0.75},
    ],
    ids=str,
)
def test_all_kernels_say_the_same(ruleset, options):
    options = dict(options)
    flips, keys = options.pop("flips"), options.pop("keys", 4)
    maps = maps_of(8, keys, 4.0, options.pop("difficulty", 4.0))
    kernels = [k for k in KERNELS if k != "numba" or choose_kernels("auto", 9) == "numba"]
    simulators = [simulator_of(maps, 12, k, ruleset, **options) for k in kernels]
    assert run_side_by_side(simulators, 250, flips) > 0 or options.get("hz") is None


@pytest.mark.slow
@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
def test_numpy_equals_numba_over_10_000_steps_of_64_rows(ruleset):
    """5,000 by each ruleset."""
    simulators = [simulator_of(maps_of(24), 64, k, ruleset) for k in ("numpy", "numba")]
    assert run_side_by_side(simulators, 5_000, flips=0.15) > 250


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("hz", [60, 250])
def test_steps_are_the_session(kernels, ruleset, hz):
    """What rows do is what a replay of their keys does through the rules one by one."""
    maps = maps_of(6, seconds=4.0)
    simulator = simulator_of(maps, 6, kernels, ruleset, hz)
    recorders = [Recorder() for _ in maps]
    rng = np.random.default_rng(0)
    down = np.zeros((6, 4), bool)
    while not simulator.finished.all():
        down = down ^ (rng.random((6, 4)) < 6 / hz)
        times = simulator.play.rows[:, TIME].copy()
        for recorder, time, keys in zip(recorders, times, down, strict=True):
            recorder.add(time, keys)
        simulator.step(down)
    play = simulator.play
    for row, (beatmap, recorder) in enumerate(zip(maps, recorders, strict=True)):
        session = judge(recorder.replay(beatmap), beatmap, ruleset)
        assert list(session.counts.values()) == play.counts[row].tolist()
        assert session.max_combo == play.rows[row, MAX_COMBO]
        assert session.score == play.rows[row, POINTS]
        assert session.counts["miss"] > 0
        assert sum(session.counts.values()) - session.counts["miss"] > 5


def play_perfectly(simulator):
    while not simulator.finished.all():
        simulator.step(perfect_keys(simulator))
    return simulator.play


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("keys", [1, 4, 7, 10])
def test_a_perfect_player_has_a_million_at_1000_hz(kernels, ruleset, keys):
    maps = [make_map(i, keys, PATTERNS[i % 6], 1.0 + i % 4, seconds=3) for i in range(12)]
    play = play_perfectly(simulator_of(maps, len(maps), kernels, ruleset, hz=1000))
    assert play.rows[:, POINTS].tolist() == [1_000_000] * len(maps)
    combos = [best_combo(beatmap, ruleset == "lazer") for beatmap in maps]
    assert play.rows[:, MAX_COMBO].tolist() == combos
    assert play.rows[:, COMBO].tolist() == combos
    assert accuracies(play.counts, ruleset == "lazer").tolist() == [1.0] * len(maps)


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("hz", [60, 120])
def test_a_perfect_player_has_nothing_below_300_at_60_hz(ruleset, hz):
    maps = [make_map(i, 4, PATTERNS[i % 6], 0.5 + 0.25 * i, 6, 8.0) for i in range(12)]
    counts = play_perfectly(simulator_of(maps, len(maps), "numpy", ruleset, hz)).counts
    assert counts[:, 2:].sum() == 0
    assert counts[:, 0].sum() > 0.9 * counts.sum()


def test_nobody_playing_misses_everything_and_fails():
    simulator = simulator_of(maps_of(6), 6, "numpy", can_fail=False)
    while not simulator.finished.all():
        simulator.step(np.zeros((6, 4), bool))
    play = simulator.play
    assert (play.counts[:, JUDGEMENTS.index("miss")] == play.counts.sum(axis=1)).all()
    assert play.rows[:, FAILED].all()
    assert not play.rows[:, POINTS].any()


def test_copies_go_on_by_themselves():
    simulator = simulator_of(maps_of(4), 4, "auto")
    keys = np.ones((4, 4), bool)
    simulator.step(keys)
    twins = [copy.deepcopy(simulator), pickle.loads(pickle.dumps(simulator))]
    for t in range(100):
        for each in (simulator, *twins):
            each.step(keys if t % 5 else ~keys)
        for twin in twins:
            assert_same(simulator, twin)


def test_maps_can_be_added_while_others_are_played():
    maps = maps_of(30, seconds=30)
    simulator = simulator_of(maps[:2], 4, "numpy")
    other = simulator_of(maps, 4, "numpy")
    other.begin(np.arange(4), np.arange(4) % 2, 500.0 + 3.3 * np.arange(4))
    for t in range(600):
        if t % 20 == 0 and t:
            simulator.charts.add(maps[len(simulator.charts) % len(maps)])
        keys = perfect_keys(simulator)
        np.testing.assert_array_equal(keys, perfect_keys(other))
        simulator.step(keys)
        other.step(keys)
    np.testing.assert_array_equal(simulator.play.rows, other.play.rows)
    assert simulator.play.rows[:, POINTS].min() > 0


def test_wrong_arguments():
    with pytest.raises(ValueError, match="kernels must be one of auto, numba, numpy, python"):
        choose_kernels("cuda", 1)
    simulator = Simulator(1, 7, make_rules(), kernels="python")
    with pytest.raises(ValueError, match="has 4 keys, not 7"):
        simulator.charts.add(make_map(0, 4))


def test_kernels_without_numba(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_kernels("auto", 1) == "python"
    assert choose_kernels("auto", 64) == "numpy"
    with pytest.raises(ImportError, match="pip install 'sb3_ext\\[fast\\]'"):
        choose_kernels("numba", 64)
