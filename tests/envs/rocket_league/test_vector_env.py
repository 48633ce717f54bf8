"""RocketLeague-v0: rows, ends, seeds, what is seen and what is paid."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

pytest.importorskip("rlgym.rocket_league.sim", reason="Rocket League isn't installed")

from rlgym.rocket_league.common_values import BALL_MAX_SPEED
from rlgym.rocket_league.state_mutators import KickoffMutator

import envs  # noqa: F401 - registers
from envs.rocket_league import RocketLeagueVectorEnv
from envs.rocket_league.rewards import TERMS, WEIGHTS
from sb3_ext.vec_env import GymnasiumVecEnv, SharedMemoryVecEnv

FORWARD = 13  # of RLGym's table: throttle, straight


def make(n_matches=1, **kwargs):
    return gym.make_vec("RocketLeague-v0", num_envs=n_matches, **kwargs)


def rollout(env, seed, n_steps, rows=slice(None)):
    rng, trace = np.random.default_rng(3), [env.reset(seed=seed)[0][rows]]
    for _ in range(n_steps):
        actions = rng.integers(env.single_action_space.n, size=2)
        actions = np.resize(actions, env.num_envs)  # all matches get the same ones
        obs, rewards, terminated, truncated, _ = env.step(actions)
        trace += [obs[rows], rewards[rows], terminated[rows], truncated[rows]]
    return trace


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def place(env, match, ball=None, ball_velocity=None, car=None, car_velocity=None, car_way=None):
    """Puts the ball and blue's first car of a match somewhere."""
    engine = env.matches._engines[match]
    state = engine.game_state()
    if ball is not None:
        state.ball.position = np.array(ball, np.float32)
        state.ball.linear_velocity = np.array(ball_velocity or (0, 0, 0), np.float32)
    if car is not None:
        physics = next(iter(state.cars.values())).physics
        physics.position = np.array(car, np.float32)
        physics.linear_velocity = np.array(car_velocity or (0, 0, 0), np.float32)
        physics.euler_angles = np.array([0, car_way or 0.0, 0], np.float32)
    engine.begin(state)
    env.matches._look(match)


def test_it_is_registered_as_a_vector_env_of_two_rows_a_match():
    env = make(3)
    assert (env.num_envs, env.row_teams.tolist()) == (6, [0, 1] * 3)
    assert env.single_action_space == gym.spaces.Discrete(90)
    observations, infos = env.reset(seed=0)
    assert observations in env.observation_space
    assert infos == {}
    assert env.active_rows().all()
    assert not env.may_be_inactive
    with pytest.raises(gym.error.Error):
        gym.make("RocketLeague-v0")
    with pytest.raises(gym.error.ResetNeeded):
        make().step(np.zeros(2, int))


def test_a_match_depends_on_its_seed_alone_not_on_its_company():
    kwargs = {"kickoff": 0.5, "seconds": 2.0}
    alone, third = make(1, **kwargs), make(4, **kwargs)
    one = rollout(alone, 10 + 4, 80)
    assert same(one, rollout(third, 10, 80, slice(4, 6)))
    assert same(one, rollout(alone, 14, 80))  # and not on what was played before
    assert not same(one, rollout(alone, 15, 80))


def test_workers_play_the_same_matches():
    kwargs = {"kickoff": 0.5, "seconds": 1.0}
    builder = partial(gym.make_vec, "RocketLeague-v0", num_envs=2, **kwargs)
    here, there = GymnasiumVecEnv(make(4, **kwargs)), None
    try:
        there = SharedMemoryVecEnv([builder, builder], n_workers=2)
        rng = np.random.default_rng(0)
        for env in (here, there):
            env.seed(5)
        np.testing.assert_array_equal(here.reset(), there.reset())
        for _ in range(40):
            actions = rng.integers(90, size=8)
            for a, b in zip(here.step(actions)[:3], there.step(actions)[:3], strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        for env in (here, there):
            if env is not None:
                env.close()


def test_nobody_touches_the_ball_and_time_is_up_are_truncations():
    for limits, end, seconds in (
        ({"no_touch_seconds": 1.0, "seconds": 2.0}, "no_touch", 1.0),
        ({"no_touch_seconds": None, "seconds": 2.0}, "time", 2.0),
        ({"no_touch_seconds": 1.0, "max_episode_steps": 6}, "time", 0.4),
    ):
        env = GymnasiumVecEnv(make(2, **limits))
        env.reset()
        still = np.full(4, 8)  # neither throttle nor steering
        for _ in range(round(seconds * 15) - 1):
            _, _, dones, infos = env.step(still)
            assert not dones.any()
            assert infos == [{}] * 4
        observations, _, dones, infos = env.step(still)
        assert dones.all()
        for row, info in enumerate(infos):
            assert info["TimeLimit.truncated"]
            assert (info["end"], info["goals"], info["touches"]) == (end, 0, 0)
            assert set(info["reward_terms"]) == set(WEIGHTS)
            assert info["episode"]["r"] == pytest.approx(sum(info["reward_terms"].values()), 1e-4)
            assert not np.array_equal(info["terminal_observation"], observations[row])


@pytest.mark.parametrize("scorer", [0, 1])
def test_a_goal_terminates_and_pays_one_team_what_it_takes_from_the_other(scorer):
    env = make(1, reward_weights={name: 0.0 for name in WEIGHTS if name != "goal"})
    env.reset(seed=0)
    side = 1 if scorer == 0 else -1
    place(env, 0, ball=(0, side * 5100, 200), ball_velocity=(0, side * 3000, 0))
    _, rewards, terminated, truncated, infos = env.step(np.array([8, 8]))
    assert terminated.all()
    assert not truncated.any()
    assert rewards.tolist() == ([10.0, -10.0] if scorer == 0 else [-10.0, 10.0])
    assert infos["final_info"]["goals"].tolist() == ([1, -1] if scorer == 0 else [-1, 1])
    assert infos["final_info"]["end"].tolist() == ["goal"] * 2


def test_a_touch_is_counted_once_while_it_lasts_and_paid_by_where_the_ball_goes():
    env = make(1, no_touch_seconds=None)
    env.reset(seed=0)
    place(env, 0, (0, 0, 93.15), car=(0, -400, 17), car_velocity=(0, 1400, 0), car_way=np.pi / 2)
    touching, toward_orange = [False], [0.0]
    for _ in range(20):
        env.step(np.array([FORWARD, 8]))
        ball = env.matches.scene.ball[0, 0]
        to_goal = np.array([0, 6000]) - ball[0:2]
        touching.append(env.matches.scene.touches[0, 0] > 0)
        toward_orange.append(ball[7:9] @ to_goal / np.linalg.norm(to_goal))
    begins = [t for t in range(1, 21) if touching[t] and not touching[t - 1]]
    assert env.touches().tolist() == [len(begins), 0]
    sums = dict(zip(TERMS, env._sums[0, 0], strict=True))
    assert sums["touch"] == len(begins) >= 1
    gained = sum(toward_orange[t] - toward_orange[t - 1] for t in begins)
    assert gained > 500
    assert sums["hit"] == pytest.approx(gained / BALL_MAX_SPEED, rel=1e-4)
    # The ball's way, seen from both sides.
    way = sum(toward_orange[1:]) / 15 / BALL_MAX_SPEED
    assert sums["ball_to_goal"] == pytest.approx(way, rel=1e-4)
    assert env._sums[0, 1, TERMS.index("ball_to_goal")] < 0
    assert sums["demolished"] == 0


def test_both_teams_see_a_kickoff_alike():
    env = make(8)
    observations, _ = env.reset(seed=1)
    np.testing.assert_allclose(observations[0::2], observations[1::2], atol=2e-5)
    assert len(np.unique(observations[0::2, 0])) >= 3  # of five places


def test_what_a_car_sees_against_rlgyms_own_rotations():
    env = make(1, team_size=2, kickoff=0.0)
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(8):  # in the air, tumbling
        observations = env.step(rng.choice([70, 75, 80, 85], size=4))[0]
    state = env.matches.game_state(0)
    cars = list(state.cars.values())
    for seer, other_seats in ((0, [1, 2, 3]), (3, [2, 0, 1])):
        obs, own = observations[seer], cars[seer].physics
        into = own.rotation_mtx.T  # rows: forward, right, up
        np.testing.assert_allclose(obs[8:11], into @ own.linear_velocity / 2300, atol=1e-5)
        offset = state.ball.position - own.position
        np.testing.assert_allclose(obs[25:28], into @ offset / 2300, atol=1e-5)
        np.testing.assert_allclose(obs[28:31], into @ offset / np.linalg.norm(offset), atol=1e-5)
        side = 1 if cars[seer].team_num == 0 else -1
        to_goal = np.array([0, side * 6000, 320]) - own.position
        np.testing.assert_allclose(obs[14:17], into @ to_goal / 2300, atol=1e-4)
        seen = own if side == 1 else cars[seer].inverted_physics
        np.testing.assert_allclose(obs[0:3], seen.position / [4096, 5120, 2044], atol=1e-5)
        np.testing.assert_allclose(obs[3:6], seen.forward, atol=1e-5)
        ball = state.ball if side == 1 else state.inverted_ball
        np.testing.assert_allclose(obs[37:40], ball.position / [4096, 5120, 2044], atol=1e-5)
        np.testing.assert_allclose(obs[40:43], ball.linear_velocity / 6000, atol=1e-5)
        assert obs[20] == pytest.approx(cars[seer].boost_amount / 100)
        assert obs[21:25].tolist() == [
            cars[seer].on_ground,
            cars[seer].has_flip or cars[seer].on_ground,
            cars[seer].is_holding_jump,
            cars[seer].is_demoed,
        ]
        pads = state.boost_pad_timers if side == 1 else state.inverted_boost_pad_timers
        assert obs[48:82].tolist() == (pads == 0).tolist()
        for nth, other in enumerate(other_seats):
            told = obs[82 + 16 * nth : 98 + 16 * nth]
            offset = cars[other].physics.position - own.position
            np.testing.assert_allclose(told[:3], into @ offset / 2300, atol=1e-4)
            np.testing.assert_allclose(told[6:9], into @ cars[other].physics.forward, atol=1e-5)
            assert told[15] == 1


def test_team_sizes_change_between_episodes_and_empty_rows_say_nothing():
    env = make(6, team_size=[1, [2, 0], 3], seconds=0.4, kickoff=0.5)
    assert env.may_be_inactive
    env.reset(seed=0)
    assert env.num_envs == 36
    seen = set()
    for _ in range(40):
        acting = env.active_rows()
        sizes = [(int(m[:3].sum()), int(m[3:].sum())) for m in acting.reshape(6, 6)]
        seen |= set(sizes)
        observations, rewards, terminated, truncated, infos = env.step(np.full(36, FORWARD))
        done = terminated | truncated
        assert not (done & ~acting).any()
        assert not rewards[~acting].any()
        present = env.active_rows()
        assert not observations[~present].any()
        assert observations[present].any(axis=1).all()
        if done.any():
            assert (infos["_final_obs"] == done).all()
            assert all(infos["final_obs"][row].any() for row in np.flatnonzero(done))
    assert seen == {(1, 1), (2, 0), (3, 3)}


def test_cars_stand_at_kickoff_where_the_game_puts_them():
    env = make(5, team_size=4)
    env.reset(seed=0)
    spots = {tuple(spot) for spot in KickoffMutator.SPAWN_BLUE_POS[:, :2].tolist()}
    for match in env.matches.scene.positions[:, :4, :2].tolist():
        places = {tuple(round(x) for x in car) for car in match}
        assert len(places) == 4
        assert places <= spots


def test_continuous_controls_and_tables_of_ones_own_drive_alike():
    table = np.array([[1, 0.5, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0]])
    by_table, by_hand = make(actions=table), make(actions="continuous")
    assert by_table.single_action_space.n == 2
    for env in (by_table, by_hand):
        env.reset(seed=3)
    for _ in range(20):
        a = by_table.step(np.array([0, 1]))[0]
        b = by_hand.step(table.astype(np.float32))[0]
    np.testing.assert_array_equal(a, b)
    assert make(actions="ground").single_action_space.n == 16


@pytest.mark.parametrize(
    ("kwargs", "told"),
    [
        ({"team_size": 0}, "team_size must be 1 to 4"),
        ({"team_size": []}, "at least one size"),
        ({"team_size": "two"}, "team_size must be"),
        ({"team_size": 1.5}, "team_size must be"),
        ({"team_size": None}, "team_size must be"),
        ({"tick_skip": 0}, "tick_skip must be a whole number from 1 to 120"),
        ({"tick_skip": 7.5}, "tick_skip must be a whole number from 1 to 120"),
        ({"kickoff": 2}, "kickoff must be a number from 0 to 1"),
        ({"seconds": -1}, "seconds must be a number"),
        ({"observation": "nice"}, "observation must be a name"),
        ({"observation": "envs.nowhere:Obs"}, "there's no envs.nowhere:Obs"),
        ({"actions": "nice"}, "actions must be 'lookup', 'ground', 'continuous'"),
        ({"actions": [[1, 2]]}, "a table"),
        ({"reward": int}, "RLGym's RewardFunction"),
        ({"reward_weights": 20}, "reward_weights must be a mapping"),
        ({"reward_weights": {"gaol": 1}}, "there's no reward term 'gaol'"),
        ({"reward_weights": {"goal": float("nan")}}, "must be a number"),
        ({"render_mode": "ascii"}, "render_mode must be one of"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a number"),
    ],
)
def test_arguments_that_make_no_sense_are_told_by_name(kwargs, told):
    with pytest.raises(ValueError, match=told):
        RocketLeagueVectorEnv(1, **kwargs)


def test_actions_that_do_not_fit_are_refused():
    env = make()
    env.reset(seed=0)
    for actions in (np.array([0, 90]), np.array([0.0, 1.0]), np.array([1])):
        with pytest.raises(ValueError, match="actions must be 2 integers from 0 to 89"):
            env.step(actions)


def test_seeds_and_masks_that_do_not_fit_are_refused():
    env = make(2)
    some = {"reset_mask": np.array([True, True, False, False])}
    with pytest.raises(ResetNeeded, match="first reset"):
        env.reset(options=some)
    for seed, told in ((-1, "non-negative"), ([1, 2], "a seed for each of 4 rows")):
        with pytest.raises(ValueError, match=told):
            env.reset(seed=seed)
    env.reset(seed=[1, None, None, None])
    env.reset(options=some)
    for mask, told in (([True] * 4, "bool array"), (np.array([1, 0, 1, 1]) > 0, "all rows of a")):
        with pytest.raises(ValueError, match=told):
            env.reset(options={"reset_mask": mask})


def test_a_picture_has_the_ball_and_both_cars_in_their_places():
    env = make(2, render_mode="rgb_array")
    env.reset(seed=0)
    first, second = env.render()
    assert first.dtype == np.uint8
    assert first.shape == second.shape
    height, width, _ = first.shape
    assert height % 2 == width % 2 == 0  # as videos want it
    white = np.argwhere((first == (240, 240, 245)).all(axis=2)).mean(axis=0)
    np.testing.assert_allclose(white, [(height + 10) / 2, width / 2], atol=12)
    blue, orange = (
        np.argwhere((first == color).all(axis=2)) for color in ((70, 140, 255), (255, 150, 50))
    )
    field = slice(40, None)  # below the tanks
    assert np.median(blue[blue[:, 0] > field.start][:, 1]) < width / 2
    assert np.median(orange[orange[:, 0] > field.start][:, 1]) > width / 2
    for _ in range(10):
        env.step(np.full(4, FORWARD))
    assert not np.array_equal(first, env.render()[0])
    env.close()


def test_without_rlgym_one_line_says_what_to_install():
    code = (
        "import sys; sys.modules['rlgym'] = None\n"
        "import gymnasium as gym, envs\n"
        "try: gym.make_vec('RocketLeague-v0')\n"
        "except ImportError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = "pip install --no-deps rlgym-api rlgym-rocket-league rocketsim"
    assert out.stdout == f"Rocket League needs RLGym and RocketSim: {line}\n"


def test_the_example_of_the_docs_runs():
    page = (Path(__file__).parents[3] / "docs" / "rocket-league.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/rocket-league.md", "exec"), namespace := {})
    assert namespace["model"].num_timesteps == 1024


def test_rlviser_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "rlviser_py", None)
    monkeypatch.delitem(sys.modules, "rlgym.rocket_league.rlviser", raising=False)
    env = make(render_mode="rlviser")
    with pytest.raises(ImportError, match=r"rlviser-py: pip install --no-deps 'rlviser-py==0.6"):
        env.reset(seed=0)
