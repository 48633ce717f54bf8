"""Agents as rows: who is in which, what each is told at its end, and whose forms are read."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from envs.rows import RowsVectorEnv, as_match, as_space
from tests.envs.matches import Scripted, Unequal


def play(env, n_steps, seed=None):
    """What every step tells, beginning with the reset; actions are 1, 2, 3, ... by row."""
    trace = [(*env.reset(seed=seed), env.active_rows(), env.agent_of_row())]
    for _ in range(n_steps):
        actions = np.arange(env.num_envs) % 5
        trace.append((*env.step(actions), env.active_rows(), env.agent_of_row()))
    return trace


def test_an_agent_leaves_and_another_comes():
    """Agent 1 leaves at step 2, agent 3 takes its slot at step 3; at step 4 all is over."""
    script = [[[0, 1, 2], [0, 1, 2], [0, 2], [0, 2, 3], [0, 2, 3]]]
    env = RowsVectorEnv([lambda: Scripted(script, truncated=(2,))], max_agents=3)
    trace = play(env, 5)
    assert [step[-1] for step in trace] == [
        [0, 1, 2],
        [0, 1, 2],
        [0, None, 2],
        [0, 3, 2],
        [0, 1, 2],  # the next episode: everybody has his old slot
        [0, 1, 2],
    ]
    assert [step[-2].tolist() for step in trace[1:4]] == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    # Who leaves is done, with his own flags and his own last observation.
    obs, rewards, terminated, truncated, infos, *_ = trace[2]
    assert (terminated.tolist(), truncated.tolist()) == ([False, True, False], [False] * 3)
    np.testing.assert_array_equal(infos["final_obs"][1], [1, 0, 2, 1])
    assert infos["final_obs"][1].dtype == np.float32
    assert infos["_final_obs"].tolist() == [False, True, False]
    np.testing.assert_array_equal(obs, [[0, 0, 2, 0], [0, 0, 0, 0], [2, 0, 2, 2]])
    assert rewards.tolist() == [2, 102, 202]
    # In a row without anybody nothing happens.
    obs, rewards, terminated, truncated, infos, *_ = trace[3]
    assert rewards.tolist() == [3, 0, 203]
    assert not (terminated | truncated).any()
    np.testing.assert_array_equal(obs[1], [3, 0, 3, -1])
    assert infos["step"][infos["_step"]].tolist() == [3, 3, 3]
    # The end of all: the next episode begins within the step.
    obs, rewards, terminated, truncated, infos, *_ = trace[4]
    assert (terminated.tolist(), truncated.tolist()) == ([1, 1, 0], [0, 0, 1])
    assert [last.tolist() for last in infos["final_obs"]] == [
        [0, 0, 4, 0],
        [3, 0, 4, 1],
        [2, 0, 4, 2],
    ]
    np.testing.assert_array_equal(obs, [[0, 1, 0, -1], [1, 1, 0, -1], [2, 1, 0, -1]])
    assert infos["born"].tolist() == [0, 1, 2]


def test_who_leaves_without_a_word_has_terminated():
    script = [[[0, 1], [0, 1], [0], [0]]]
    env = RowsVectorEnv([lambda: Scripted(script, silent=(1,))])
    obs, rewards, terminated, truncated, infos, active, _ = play(env, 2)[2]
    assert (terminated.tolist(), truncated.tolist()) == ([False, True], [False, False])
    assert (rewards.tolist(), active.tolist()) == ([2, 102], [True, False])
    np.testing.assert_array_equal(infos["final_obs"][1], [1, 0, 1, 1])  # what it acted on
    np.testing.assert_array_equal(obs[1], np.zeros(4))


def test_team_sizes_change_between_episodes():
    script = [[[0], [0]], [[5, 6, 7], [5, 6, 7]], [[6, 0], [6, 0]]]
    env = RowsVectorEnv([lambda: Scripted(script)] * 2, max_agents=3)
    assert (env.num_envs, env.num_matches) == (6, 2)
    seats = [step[-1] for step in play(env, 3)]
    assert seats == [
        [0, None, None] * 2,
        [5, 6, 7] * 2,
        [0, 6, None] * 2,  # 6 has its slot again, and 0 the first one, which was its own
        [0, None, None] * 2,
    ]


def test_an_agent_that_is_done_and_goes_on_begins_anew():
    """As RLGym's may, whose list of agents stays as it is."""

    class GoesOn(Scripted):
        def step(self, actions):
            observations, rewards, terminated, truncated, infos = super().step(actions)
            return observations, rewards, terminated | {0: self.steps == 1}, truncated, infos

    env = RowsVectorEnv([lambda: GoesOn([[[0, 1]] * 4])])
    trace = play(env, 2)
    obs, _, terminated, _, infos, active, _ = trace[1]
    assert (terminated.tolist(), active.tolist()) == ([True, False], [True, True])
    np.testing.assert_array_equal(infos["final_obs"][0], obs[0])
    assert not trace[2][2].any()


def test_seeds_are_those_of_the_first_rows():
    matches = [Scripted([[[0, 1], [0, 1]]]) for _ in range(3)]
    env = RowsVectorEnv([lambda match=match: match for match in matches])
    env.reset(seed=10)
    env.reset()
    env.reset(seed=[7, 8, 9, None, 11, 12])
    assert [match.seeds for match in matches] == [[10, None, 7], [12, None, 9], [14, None, 11]]


def test_the_promise_that_nobody_is_missing_is_checked():
    full = RowsVectorEnv([lambda: Scripted([[[0, 1], [0, 1]]])], may_be_inactive=False)
    play(full, 3)
    env = RowsVectorEnv([lambda: Scripted([[[0, 1], [0], [0]]])] * 2, may_be_inactive=False)
    env.reset()
    with pytest.raises(RuntimeError, match="slot 1 of match 0 is empty"):
        env.step(np.zeros(4, int))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RowsVectorEnv([]), ValueError, "builders is empty"),
        (lambda: RowsVectorEnv([Unequal]), ValueError, "agents 0 and 1 have different observation"),
        (lambda: RowsVectorEnv([lambda: 3]), TypeError, "3 is no match"),
        (lambda: RowsVectorEnv([lambda: gym.make("CartPole-v1")]), TypeError, "is no match"),
        (lambda: RowsVectorEnv([Unequal], max_agents=0), ValueError, "max_agents must be at least"),
    ],
)
def test_what_makes_no_rows(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_too_many_agents_and_too_early_a_step():
    env = RowsVectorEnv([lambda: Scripted([[[0], [0, 1, 2]]])], max_agents=2)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(2, int))
    env.reset()
    with pytest.raises(ValueError, match="match 0 has 3 agents, but max_agents=2"):
        RowsVectorEnv([lambda: Scripted([[[0, 1, 2], [0]]])], max_agents=2).reset()


# RLGym


@pytest.mark.parametrize(
    ("told", "space"),
    [
        (("real", 92), spaces.Box(-np.inf, np.inf, (92,), np.float32)),
        (("continuous", (8,)), spaces.Box(-np.inf, np.inf, (8,), np.float32)),
        (("discrete", 90), spaces.Discrete(90)),
        (("multi_discrete", [3, 2]), spaces.MultiDiscrete([3, 2])),
        (spaces.Discrete(3), spaces.Discrete(3)),
    ],
)
def test_spaces_as_rlgym_tells_them(told, space):
    assert as_space(told, np.inf) == space


@pytest.mark.parametrize("told", [90, ("words", 3), None])
def test_spaces_that_nobody_knows(told):
    with pytest.raises(ValueError, match="is no space that is known"):
        as_space(told, 1.0)


def test_rlgym_matches():
    pytest.importorskip("rlgym.api")
    from tests.envs.rlgym_toy import rlgym_toy

    env = RowsVectorEnv([rlgym_toy], max_agents=3)
    assert env.single_observation_space == spaces.Box(-np.inf, np.inf, (2,), np.float32)
    assert env.single_action_space == spaces.Discrete(5)
    sizes = []
    env.reset(seed=3)
    for _ in range(7):
        sizes.append(int(env.active_rows().sum()))
        obs, rewards, terminated, truncated, infos = env.step([2, 1, 1])
        if truncated.any():
            assert not terminated.any()
            assert truncated.sum() == sizes[-1]  # of those who were there
            assert infos["final_obs"][0].tolist() == [4, sizes[-1]]
            assert obs[0].tolist() == [0, env.active_rows().sum()]
            assert rewards[0] == 4
    assert sizes == [2, 2, 3, 3, 1, 1, 2]  # the constructor's first look was at one


# PettingZoo


def test_pettingzoo_s_agents_that_come_and_go():
    """Its own example: new names all the time, of which some end at any step."""
    example = pytest.importorskip("pettingzoo.test.example_envs.generated_agents_parallel_v0")

    class Alike(example.parallel_env):
        """All agents have the same spaces."""

        def observation_space(self, agent):
            return spaces.Box(0.0, 1.0, (3,), np.float32)

        def action_space(self, agent):
            return spaces.Discrete(5)

        def observe(self, agent):
            return self.np_random.random(3, np.float32)

    env = RowsVectorEnv([lambda: Alike(max_cycles=40)], max_agents=16)
    reference = Alike(max_cycles=40)
    ours, infos = env.reset(seed=4)
    theirs, _ = reference.reset(seed=4)
    rng, n_left, n_came = np.random.default_rng(0), 0, 0
    for _ in range(120):
        of = {agent: row for row, agent in enumerate(env.agent_of_row()) if agent is not None}
        assert set(of) == set(reference.agents)
        for agent, row in of.items():
            np.testing.assert_array_equal(ours[row], theirs[agent])
        actions = rng.integers(0, 5, 16)
        ours, rewards, terminated, truncated, infos = env.step(actions)
        given = {agent: actions[row] for agent, row in of.items()}
        theirs, their_rewards, their_terminated, their_truncated, _ = reference.step(given)
        for agent, row in of.items():
            assert rewards[row] == their_rewards[agent]
            assert terminated[row] == their_terminated[agent]
            assert truncated[row] == their_truncated[agent]
            if terminated[row] or truncated[row]:
                n_left += 1
                np.testing.assert_array_equal(infos["final_obs"][row], theirs[agent])
        n_came += len(set(reference.agents) - set(of))
        if not reference.agents:
            theirs, _ = reference.reset()
    assert n_left > 5
    assert n_came > 5
    env.close()


def test_a_match_stays_as_it_is():
    match = Scripted([[[0], [0]]])
    assert as_match(match) is match
