"""One team's rows against an opponent that stays as it is."""

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.vec_env import GymnasiumVecEnv, SharedMemoryVecEnv
from sb3_ext.vec_env.opponent import AgainstOpponent, ModelOpponent, RandomOpponent, row_teams
from tests.sb3_ext.vec_env.tug import Tug


class Sees:
    """Pulls 3, and keeps what it was shown."""

    def __init__(self):
        self.shown, self.seeds = [], []

    def act(self, observations):
        self.shown.append(np.array(observations))
        return np.full(len(observations), 3)

    def seed(self, seed):
        self.seeds.append(seed)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_team_is_shown_and_the_other_one_is_played(order):
    tug, rival = Tug(3, order), Sees()
    env = AgainstOpponent(GymnasiumVecEnv(tug), rival)
    assert env.num_envs == 3
    obs = env.reset()
    mine = np.flatnonzero(tug.row_teams == 0)
    for step in range(5):
        np.testing.assert_array_equal(obs[:, 0], mine)
        np.testing.assert_array_equal(obs[:, 2], step)
        obs, rewards, dones, infos = env.step(np.array([5, 0, 3]))
        np.testing.assert_array_equal(rewards, [2, -3, 0])
    assert dones.all()
    assert [info["episode"]["r"] for info in infos] == [10, -15, 0]
    assert [info["terminal_observation"][0] for info in infos] == mine.tolist()
    np.testing.assert_array_equal(tug.pulled_by(1), 3)
    np.testing.assert_array_equal(tug.pulled_by(0), np.tile([5, 0, 3], (5, 1)))
    # It acts on its own rows' newest observations.
    shown = np.array(rival.shown)
    np.testing.assert_array_equal(shown[:, :, 1], 1)
    np.testing.assert_array_equal(shown[:, 0, 2], range(5))


def test_rows_in_workers_have_their_teams_too():
    env = SharedMemoryVecEnv([Tug, lambda: Tug(1)], n_workers=2)
    try:
        assert row_teams(env).tolist() == [0, 1] * 3
    finally:
        env.close()


def test_random_actions_follow_from_the_seed():
    def played(seed):
        tug = Tug(4)
        env = AgainstOpponent(GymnasiumVecEnv(tug), RandomOpponent(tug.single_action_space))
        env.seed(seed)
        env.reset()
        for _ in range(20):
            env.step(np.zeros(4, int))
        return tug.pulled_by(1)

    first = played(1)
    np.testing.assert_array_equal(played(1), first)
    assert not np.array_equal(played(2), first)
    assert set(first.ravel()) == set(range(7))


def test_a_model_sees_what_it_was_trained_to_see():
    class Model:
        def predict(self, observations, deterministic):
            self.seen, self.deterministic = observations, deterministic
            return np.zeros(len(observations), int), None

    normalizer = VecNormalize(GymnasiumVecEnv(Tug()))
    normalizer.obs_rms.mean, normalizer.obs_rms.var = np.full(3, 2.0), np.full(3, 4.0)
    model = Model()
    rival = ModelOpponent(model, normalizer)
    rival.act(np.array([[4, 2, 0]], np.float32))
    np.testing.assert_allclose(model.seen, [[1, 0, -1]], atol=1e-4)
    assert model.deterministic


def test_rows_are_counted_among_those_shown():
    tug = Tug(3, (1, 0))
    env = AgainstOpponent(GymnasiumVecEnv(tug), Sees())
    assert env.get_attr("num_envs") == [6, 6, 6]
    assert env.get_attr("num_envs", indices=[2]) == [6]
    env.seed(9)
    assert env.opponent.seeds == [9]
    assert env.reset().shape == (3, 3)


@pytest.mark.parametrize("teams", [None, (0, 0)])
def test_without_two_teams_there_is_no_opponent(teams):
    tug = Tug(2, teams or (0, 1))
    if teams is None:
        del tug.row_teams
    with pytest.raises(ValueError, match="an opponent needs two teams"):
        AgainstOpponent(GymnasiumVecEnv(tug), Sees())
