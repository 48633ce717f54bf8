import copy
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from envs.osu_mania.env import OsuManiaEnv
from envs.osu_mania.generate import make_map
from envs.osu_mania.play import TERMS, TIME
from envs.osu_mania.players import perfect_keys
from envs.osu_mania.replay import read_replay
from envs.osu_mania.rewards import WEIGHTS
from envs.osu_mania.vector_env import OsuManiaVectorEnv

SHORT = {"seconds": 1.5, "n_maps": 16, "difficulty": (1.0, 5.0), "lead_in": 300.0}
"""Maps of a second or two, so that episodes end often."""

VARIANTS = {
    "default": {},
    "lazer": {"ruleset": "lazer", "pattern": "hold"},
    "discrete": {"actions": "discrete", "keys": 3},
    "delays": {
        "action_delay": (5.0, 25.0),
        "action_jitter": 10.0,
        "observation_delay": 12.0,
        "observation_jitter": 20.0,
    },
    "highway": {"observation": "highway", "frame_size": (32, 24), "observation_delay": (0, 20)},
    "both": {"observation": "both", "frame_size": (30, 40), "frame_stack": 2, "keys": 7},
    "failing": {"can_fail": True, "drain_rate": 10.0, "rate": 1.5},
}


def perfect_action(env):
    return perfect_keys(env.unwrapped.rows.simulator)[0].astype(np.int8)


def assert_same(ours, theirs):
    """Equality bit for bit, of structures of dicts and arrays."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, np.ndarray) and ours.dtype == object:
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None and b is None) or assert_same(a, b) is None
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_rows_equal_sync_vector_env_bit_for_bit(variant, kernels):
    options = {**SHORT, **VARIANTS[variant]}
    ours = OsuManiaVectorEnv(num_envs=3, kernels=kernels, **options)
    single = partial(OsuManiaEnv, kernels="python", **options)
    theirs = SyncVectorEnv([single] * 3, autoreset_mode="SameStep")
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    assert_same(ours.reset(seed=40)[0], theirs.reset(seed=40)[0])
    ours.action_space.seed(0)
    n_ends = 0
    for t in range(420):
        if t == 120:
            assert_same(ours.reset()[0], theirs.reset()[0])
        if t == 150:
            seeds = [None, 9, None]
            assert_same(ours.reset(seed=seeds)[0], theirs.reset(seed=seeds)[0])
        if t == 180:
            mask = np.array([True, False, True])
            options = [{"options": {"reset_mask": mask.copy()}} for _ in range(2)]
            assert_same(ours.reset(**options[0])[0], theirs.reset(**options[1])[0])
        actions = ours.action_space.sample()
        observations, rewards, terminated, truncated, infos = ours.step(actions)
        result = theirs.step(actions)
        assert_same(observations, result[0])
        np.testing.assert_array_equal(rewards, result[1])
        np.testing.assert_array_equal(terminated, result[2])
        assert not truncated.any()
        if terminated.any():
            assert_same(infos, {k: v for k, v in result[4].items() if "final" in k})
            n_ends += int(terminated.sum())
        else:
            assert infos == {}
    assert n_ends >= 3


def play(env, policy, seed=0):
    """An episode: the return, the last info and how long it was."""
    env.reset(seed=seed)
    total, steps, over = 0.0, 0, False
    while not over:
        _, reward, terminated, truncated, info = env.step(policy(env))
        total += reward
        steps += 1
        over = terminated or truncated
    return total, info, steps


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("pattern", ["mixed", "hold"])
def test_a_perfect_player_of_the_environment(ruleset, pattern):
    env = gym.make("envs:OsuMania-v0", ruleset=ruleset, pattern=pattern, seconds=5)
    total, info, steps = play(env, perfect_action)
    beatmap = env.unwrapped.beatmap
    assert info["accuracy"] > 0.99
    assert info["judgements"]["max"] + info["judgements"]["300"] == sum(info["judgements"].values())
    assert info["combo"] == info["max_combo"] > 10
    assert (info["hp"], info["failed"]) == (1.0, False)
    assert 900_000 < info["score"] <= 1_000_000
    assert total > 0.9 * beatmap.n_objects
    # From a second before the first object until the last one is judged
    length = 1000 + beatmap.end - beatmap.starts[0]
    assert length / 1000 * 60 - 10 < steps < (length + 400) / 1000 * 60


@pytest.mark.parametrize("variant", ["default", "lazer"])
def test_reward_terms_are_counts_times_weights_and_sum_to_the_return(variant):
    weights = {"combo_gain": 0.01, "score": 1e-5, "milestone": 2.0, "miss": -3.0}
    env = OsuManiaEnv(**VARIANTS[variant], reward_weights=weights, seconds=6, difficulty=4.0)
    env.action_space.seed(0)
    flips = np.random.default_rng(0)

    def policy(env):
        """Clumsy, and asleep for a moment."""
        keys = perfect_action(env) ^ (flips.random(4) < 0.03)
        return keys * (env.rows.simulator.play.rows[0, TIME] % 3000 > 300)

    total, info, _ = play(env, policy)
    terms = info["reward_terms"]
    assert set(terms) == set(TERMS) == set(WEIGHTS)
    assert sum(terms.values()) == pytest.approx(total, rel=1e-4)
    weights = {**WEIGHTS, **weights}
    for name, count in info["judgements"].items():
        assert terms[name] == pytest.approx(count * weights[name])
    assert info["judgements"]["miss"] > 0
    assert terms["score"] == pytest.approx(info["score"] * 1e-5)
    for name in ("spam", "idle", "combo_break"):
        assert terms[name] < 0
    assert terms["milestone"] >= 2.0
    if variant == "lazer":
        assert min(terms[name] for name in ("hold_head", "holding", "hold_tail")) > 0


def test_reward_by_hand(make_beatmap):
    """A note hit, a hold held for its 1,000 ms, an empty press, a note left alone."""
    beatmap = make_beatmap((0, 2000), (1, 2500, 3500), (2, 5000))
    env = OsuManiaEnv(maps=beatmap, hz=100, lead_in=1000)
    env.reset(seed=0)
    rows = env.rows.simulator.play.rows
    over = False
    while not over:
        time = rows[0, TIME]
        keys = [abs(time - 2000) < 30, 2495 <= time < 3495, False, abs(time - 4000) < 30]
        *_, over, _, info = env.step(np.array(keys, np.int8))
    terms = info["reward_terms"]
    assert info["judgements"] == {"max": 1, "300": 1, "200": 0, "100": 0, "50": 0, "miss": 1} or (
        info["judgements"]["max"] == 2
    )
    assert terms["spam"] == WEIGHTS["spam"]
    assert terms["stray"] == pytest.approx(WEIGHTS["stray"] * 0.12, abs=0.03)  # two for 0.06 s each
    assert terms["idle"] == WEIGHTS["idle"]
    assert terms["hold_head"] == WEIGHTS["hold_head"]
    assert terms["hold_tail"] == WEIGHTS["hold_tail"]
    assert terms["holding"] == pytest.approx(WEIGHTS["holding"], abs=0.02)


def test_maps_are_drawn_from_all_and_unseen_ones_are_others():
    rows = OsuManiaVectorEnv(num_envs=200, n_maps=20, seconds=1)
    rows.reset(seed=0)
    assert len(set(rows.rows.map_indices.tolist())) == 20
    seen = {rows.rows.beatmap(row).md5 for row in range(200)}
    other = OsuManiaVectorEnv(num_envs=200, n_maps=20, seconds=1, map_seed=1)
    other.reset(seed=0)
    assert not seen & {other.rows.beatmap(row).md5 for row in range(200)}


def test_maps_of_the_generator_have_the_difficulty_and_the_patterns():
    rows = OsuManiaVectorEnv(
        num_envs=64, n_maps=64, pattern=["stream", "hold"], difficulty=(1.5, 2.5), seconds=3
    )
    rows.reset(seed=0)
    beatmaps = [rows.rows.beatmap(row) for row in range(64)]
    assert {beatmap.title.split()[0] for beatmap in beatmaps} == {"stream", "hold"}
    difficulties = [float(beatmap.version.split()[1]) for beatmap in beatmaps]
    assert 1.5 <= min(difficulties) < 1.7
    assert 2.3 < max(difficulties) <= 2.5


def test_the_same_keys_whether_discrete_or_not():
    binary, discrete = OsuManiaEnv(**SHORT), OsuManiaEnv(**SHORT, actions="discrete")
    binary.reset(seed=1)
    discrete.reset(seed=1)
    for _ in range(80):
        keys = binary.action_space.sample()
        number = int(keys @ 2 ** np.arange(4))
        ours, theirs = binary.step(keys), discrete.step(number)
        assert_same(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_actions_arrive_later(make_beatmap):
    """35 ms at 100 Hz; with a jitter of 10 ms up to that more, or across a step another step."""
    beatmap = make_beatmap(*((0, 2000.0 + 1000 * i) for i in range(30)))
    for jitter, errors in ((0.0, {35}), (10.0, set(range(35, 56)))):
        env = OsuManiaEnv(maps=beatmap, hz=100, action_delay=35.0, action_jitter=jitter)
        env.reset(seed=0)
        play_state = env.rows.simulator.play
        offset = play_state.rows[0, TIME] % 10
        seen, over = set(), False
        while not over:
            since = (play_state.rows[0, TIME] - 2000) % 1000
            *_, over, _, _ = env.step(np.array([since < 20, 0, 0, 0], np.int8))
            if play_state.lanes[7, 0, 0] >= 0:
                seen.add(int(play_state.lanes[8, 0, 0] - offset))
        assert seen <= errors
        assert len(seen) == 1 if not jitter else len(seen) > 4


@pytest.mark.parametrize("pattern", ["jack", "hold"])
def test_a_perfect_player_who_knows_the_delay(pattern):
    """Keys that arrive late and not at once, sent so much earlier, are on time."""
    options = {"action_delay": (0.0, 45.0), "action_jitter": 4.0, "pattern": pattern, "rate": 1.25}
    env = OsuManiaVectorEnv(num_envs=12, **options, seconds=6, difficulty=(1.0, 3.0))
    env.reset(seed=0)
    delays = (env.rows.action_delay + 2.0) * 1.25
    assert np.ptp(delays) > 30
    for _ in range(300):
        env.step(perfect_keys(env.rows.simulator, delays))
    counts = env.rows.simulator.play.counts
    assert counts[:, :2].sum() > 0.99 * counts.sum() > 100
    env.reset(seed=0)
    for _ in range(300):
        env.step(perfect_keys(env.rows.simulator))
    unaware = env.rows.simulator.play.counts
    assert unaware[:, 0].sum() < 0.7 * counts[:, 0].sum()


def test_observations_are_older(make_beatmap):
    beatmap = make_beatmap((0, 2000), (0, 2400))
    fresh = OsuManiaEnv(maps=beatmap, hz=100)
    stale = OsuManiaEnv(maps=beatmap, hz=100, observation_delay=30.0)
    first, old = fresh.reset(seed=0)[0], stale.reset(seed=0)[0]
    history = [first]
    for _ in range(60):
        keys = np.zeros(4, np.int8)
        history.append(fresh.step(keys)[0])
        old = stale.step(keys)[0]
        if len(history) > 3:
            np.testing.assert_array_equal(old, history[-4])


def test_a_late_agent_plays_a_seen_song_time_behind():
    """Jitter draws anew in each step, delays once in each episode."""
    env = OsuManiaEnv(**SHORT, observation_delay=(0.0, 40.0), observation_jitter=15.0)
    ages = []
    for seed in range(8):
        env.reset(seed=seed)
        ages.append([env.rows._age[0]])
        for _ in range(10):
            env.step(np.zeros(4, np.int8))
            ages[-1].append(env.rows._age[0])
    assert np.ptp(ages, axis=1).min() > 2
    assert np.ptp(ages, axis=1).max() <= 15
    assert np.ptp(np.mean(ages, axis=1)) > 10
    assert np.min(ages) >= 0 and np.max(ages) <= 55


def test_failing_ends_an_episode_only_where_it_should():
    never = partial(np.zeros, 4, np.int8)
    for can_fail in (True, False):
        env = OsuManiaEnv(seconds=10, difficulty=4.0, can_fail=can_fail, drain_rate=9)
        _, info, steps = play(env, lambda env: never())
        assert info["failed"]
        assert info["hp"] == 0
        assert (steps < 400) == can_fail


def test_replays_of_the_environment(tmp_path):
    pytest.importorskip("osrparse")
    env = gym.make("envs:OsuMania-v0", **SHORT)
    flips = np.random.default_rng(3)
    _, info, _ = play(env, lambda env: perfect_action(env) ^ (flips.random(4) < 0.1))
    env.unwrapped.write_replay(tmp_path / "play.osr", player="tester")
    replay = read_replay(tmp_path / "play.osr")
    assert replay.player == "tester (bot)"
    assert (replay.score, replay.max_combo) == (info["score"], info["max_combo"])
    assert replay.counts == info["judgements"]
    assert replay.beatmap_md5 == env.unwrapped.beatmap.md5
    late = OsuManiaEnv(**SHORT, action_delay=10.0)
    late.reset(seed=0)
    with pytest.raises(ValueError, match="no replays of delayed actions"):
        late.replay()


def test_maps_of_files(tmp_path):
    for i, keys in enumerate((4, 4, 7)):
        make_map(i, keys, "stream", 2.0, seconds=1).write(tmp_path / f"{i}.osu")
    four = OsuManiaVectorEnv(num_envs=20, maps=tmp_path, keys=4)
    four.reset(seed=0)
    assert {four.rows.beatmap(row).title for row in range(20)} == {"stream 0", "stream 1"}
    with pytest.raises(ValueError, match="the maps have 4 and 7 keys: choose with keys="):
        OsuManiaEnv(maps=str(tmp_path))
    with pytest.raises(ValueError, match=r"there's no map of 5 keys in .*, only of 4 and 7"):
        OsuManiaEnv(maps=tmp_path, keys=5)
    assert OsuManiaEnv(maps=[tmp_path / "2.osu"]).action_space.n == 7
    (tmp_path / "3.osu").write_text("osu file format v14\n[General]\nMode: 3\n[HitObjects]\n1\n")
    (tmp_path / "4.osu").write_text("osu file format v14\n[General]\nMode: 0\n")
    with pytest.warns(UserWarning, match=r"left out: .*3.osu, line 5: an object needs"):
        OsuManiaEnv(maps=tmp_path, keys=4)
    with pytest.raises(ValueError, match=r"3.osu, line 5"):
        OsuManiaEnv(maps=[tmp_path / "3.osu"])
    with pytest.raises(OSError, match=r"5.osu"):
        OsuManiaEnv(maps=tmp_path / "5.osu")


def test_the_contract_of_make_vec():
    env = gym.make_vec("envs:OsuMania-v0", num_envs=3, **SHORT)
    assert isinstance(env, OsuManiaVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observations, infos = env.reset(seed=0)
    assert observations.dtype == np.float32
    assert observations.flags.c_contiguous
    assert infos == {}
    assert env.np_random_seed == 0
    _, rewards, terminated, truncated, infos = env.step(np.zeros((3, 4)))
    assert rewards.dtype == np.float32
    assert terminated.dtype == truncated.dtype == bool
    assert infos == {}
    limited = gym.make_vec("envs:OsuMania-v0", num_envs=2, max_episode_steps=5, **SHORT)
    limited.reset(seed=0)
    for t in range(5):
        *_, truncated, infos = limited.step(np.zeros((2, 4)))
        assert truncated.all() == (t == 4)
    assert infos["final_info"]["score"].tolist() == [0, 0]
    assert set(limited.results()) == {k for k in infos["final_info"] if k[0] != "_"}


@pytest.mark.parametrize("variant", ["default", "delays", "both"])
def test_copies_and_snapshots_go_on_exactly(variant):
    options = {**SHORT, **VARIANTS[variant]}
    env = OsuManiaVectorEnv(num_envs=4, **options)
    env.reset(seed=1)
    env.action_space.seed(0)
    for _ in range(100):
        env.step(env.action_space.sample())
    taken = pickle.dumps(env.snapshot())
    other = OsuManiaVectorEnv(num_envs=4, **options)
    other.reset(seed=77)
    for _ in range(200):  # other maps, in another order
        other.step(other.action_space.sample())
    other.restore(pickle.loads(taken))
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env)), other]
    for _ in range(150):
        actions = env.action_space.sample()
        expected = env.step(actions)
        for twin in twins:
            assert_same(twin.step(actions)[0], expected[0])
    env.restore(pickle.loads(taken))
    assert pickle.dumps(env.snapshot()["elapsed"]) == pickle.dumps(pickle.loads(taken)["elapsed"])


def test_a_single_snapshot_goes_on_exactly_with_its_replay():
    env, other = OsuManiaEnv(**SHORT), OsuManiaEnv(**SHORT)
    with pytest.raises(ResetNeeded):
        env.snapshot()
    env.reset(seed=3)
    env.action_space.seed(0)
    for _ in range(40):
        env.step(env.action_space.sample())
    other.restore(env.snapshot())
    for _ in range(30):
        action = env.action_space.sample()
        assert_same(env.step(action)[0], other.step(action)[0])
    np.testing.assert_array_equal(env.replay().times, other.replay().times)
    assert_same(env.reset()[0], other.reset()[0])


def test_results_are_the_callers_own():
    env = OsuManiaVectorEnv(num_envs=3, observation="both", frame_size=(24, 16), **SHORT)
    twin = copy.deepcopy(env)
    mine, theirs = env.reset(seed=1)[0], twin.reset(seed=1)[0]
    for _ in range(150):
        actions = env.action_space.sample()
        for part in mine.values():
            part[:] = 1
        mine, rewards, terminated, _, infos = env.step(actions)
        theirs, *_ = twin.step(actions)
        assert_same(mine, theirs)
        rewards[:] = 99
        terminated[:] = True
        for value in infos.get("final_info", {}).values():
            if isinstance(value, np.ndarray):
                value[:] = 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hz": 10}, "hz must lie in 20 to 1000, got 10"),
        ({"actions": "keys"}, "actions must be one of multi_binary, discrete, got 'keys'"),
        ({"observation": "sound"}, "observation must be one of compact, highway, both"),
        ({"ruleset": "v2"}, "ruleset must be one of stable, lazer"),
        ({"rate": 4}, "rate must lie in 0.5 to 2"),
        ({"kernels": "fast"}, "kernels must be one of"),
        ({"keys": 12}, "keys must lie in 1 to 10"),
        ({"pattern": ["stream", "trill"]}, "pattern must be one of"),
        ({"pattern": []}, "there must be a pattern"),
        ({"difficulty": (3, 1)}, "difficulty must be a range from low to high"),
        ({"difficulty": (0, 1)}, "difficulty must lie above 0"),
        ({"difficulty": (1, 2, 3)}, "difficulty must be a number or two"),
        ({"n_maps": 0}, "n_maps must be positive"),
        ({"map_seed": -1}, "map_seed must lie in"),
        ({"lookahead": 0}, "lookahead must lie in"),
        ({"frame_stack": 0}, "frame_stack must lie in"),
        ({"frame_size": (84, 10)}, "frame_size must be at least 24 high and 16 wide"),
        ({"scroll_speed": 0}, "scroll_speed must lie in"),
        ({"lead_in": -1}, "lead_in must lie in"),
        ({"action_delay": -1}, "action_delay must be a time or a range"),
        ({"observation_delay": (5, 1)}, "observation_delay must be a time or a range"),
        ({"action_delay": 400, "action_jitter": 200}, "at most 500 ms, got 400 to 400 and 200"),
        ({"reward_weights": {"combo": 1}}, "there's no reward term 'combo': it's one of max, 300"),
        ({"reward_weights": {"miss": "a lot"}}, "the weight of 'miss' must be a number"),
        ({"render_mode": "ansi"}, "render_mode must be one of"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        OsuManiaEnv(**options)
    with pytest.raises(ValueError, match=message):
        OsuManiaVectorEnv(num_envs=2, **options)


def test_misuse_is_refused():
    single, rows = OsuManiaEnv(**SHORT), OsuManiaVectorEnv(num_envs=2, **SHORT)
    with pytest.raises(TypeError, match="speed"):
        OsuManiaEnv(speed=3)
    for env in (single, rows):
        with pytest.raises(ResetNeeded):
            env.step(np.zeros((2, 4)))
    with pytest.raises(ResetNeeded):
        _ = single.beatmap
    with pytest.raises(ResetNeeded, match="all rows"):
        rows.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="no reset options"):
        single.reset(options={"map": 3})
    with pytest.raises(ValueError, match="only reset option"):
        rows.reset(options={"map": 3})
    for seed, message in ([[1], "a seed for each"], [[1, -2], "non-negative"], [-5, "non-neg"]):
        with pytest.raises(ValueError, match=message):
            rows.reset(seed=seed)
    single.reset(seed=0)
    rows.reset(seed=0)
    for action in (np.zeros(3), np.full(4, 2), [0.5, 0, 0, 0]):
        with pytest.raises(ValueError, match="action"):
            single.step(np.array(action))
        with pytest.raises(ValueError, match="action"):
            rows.step(np.array([action, action]))
    for wrong in ({"num_envs": 0}, {"max_episode_steps": 0}):
        with pytest.raises(ValueError, match="must be positive"):
            OsuManiaVectorEnv(**wrong)
