"""The engine against RLGym's own, tick for tick."""

import numpy as np
import pytest

pytest.importorskip("rlgym.rocket_league.sim", reason="Rocket League isn't installed")

from rlgym.api import RLGym
from rlgym.rocket_league.action_parsers import LookupTableAction, RepeatAction
from rlgym.rocket_league.common_values import TICKS_PER_SECOND
from rlgym.rocket_league.done_conditions import (
    AnyCondition,
    GoalCondition,
    NoTouchTimeoutCondition,
    TimeoutCondition,
)
from rlgym.rocket_league.obs_builders import DefaultObs
from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward
from rlgym.rocket_league.sim import RocketSimEngine

from envs.rocket_league.engine import SeededEngine
from envs.rocket_league.starts import SeededStart
from envs.rocket_league.vector_env import RocketLeagueVectorEnv

SIZES = [(2, 1)]


def paid():
    return CombinedReward((GoalReward(), 10.0), (TouchReward(), 0.5))


@pytest.mark.parametrize("tick_skip", [1, 8])
def test_a_rollout_is_the_one_of_a_match_put_together_from_rlgyms_parts(tick_skip):
    limits = {"seconds": 4.0, "no_touch_seconds": 2.5}
    world = RocketLeagueVectorEnv(
        1,
        team_size=SIZES,
        tick_skip=tick_skip,
        observation="default",
        reward=paid,
        kickoff=0.5,
        **limits,
    )
    start = SeededStart(SIZES, kickoff=0.5)
    start.rng = np.random.default_rng(7)
    theirs = RLGym(
        state_mutator=start,
        obs_builder=DefaultObs(zero_padding=2),
        action_parser=RepeatAction(LookupTableAction(), tick_skip),
        reward_fn=paid(),
        transition_engine=RocketSimEngine(),
        termination_cond=GoalCondition(),
        truncation_cond=AnyCondition(TimeoutCondition(4.0), NoTouchTimeoutCondition(2.5)),
    )
    rng, ends = np.random.default_rng(0), []
    ours, _ = world.reset(seed=7)
    their_obs = theirs.reset()
    for _ in range(600):
        np.testing.assert_array_equal(ours, np.array(list(their_obs.values()), np.float32))
        # Mostly forward and into each other: they bump, and they touch the ball.
        actions = rng.choice([12, 13, 14, 15, 40, 70], size=3)
        ours, rewards, terminated, truncated, infos = world.step(actions)
        told = dict(zip(theirs.agents, actions[:, None], strict=True))
        their_obs, their_rewards, their_terminated, their_truncated = theirs.step(told)
        np.testing.assert_array_equal(rewards, np.array([*their_rewards.values()], np.float32))
        assert terminated.tolist() == [bool(x) for x in their_terminated.values()]
        over = [bool(x) for x in their_truncated.values()]
        assert truncated.tolist() == [x and not y for x, y in zip(over, terminated, strict=True)]
        ends.append(bool(terminated[0] or truncated[0]))
        if ends[-1]:
            final = np.array(list(infos["final_obs"]), np.float32)
            np.testing.assert_array_equal(final, np.array(list(their_obs.values()), np.float32))
            their_obs = theirs.reset()
    assert sum(ends) >= (1 if tick_skip == 1 else 5)


def test_a_demolished_car_returns_after_three_seconds_where_the_seed_says():
    def places(seed):
        engine, start = SeededEngine(), SeededStart([(1, 1)], 1.0)
        engine.rng, start.rng = np.random.default_rng(seed), np.random.default_rng(0)
        state = engine.create_base_state()
        start.apply(state, {})
        engine.begin(state)
        car = engine._arena.get_cars()[0]
        found = []
        for _ in range(12):
            car.demolish()
            absent = 0
            while car.get_state().demo_respawn_timer > 0.0:
                engine.advance(np.zeros((2, 8)), 1)
                absent += 1
            assert absent == pytest.approx(3 * TICKS_PER_SECOND, abs=2)
            found.append(tuple(round(x) for x in car.get_state().pos.as_tuple()[:2]))
            assert car.get_state().boost == pytest.approx(100 / 3, abs=0.01)
        return found

    first = places(1)
    assert len(set(first)) > 1
    assert places(1) == first
    assert places(2) != first
